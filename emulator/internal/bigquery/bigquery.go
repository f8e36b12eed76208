// Package bigquery is the BigQuery of the emulator: datasets with their access lists, tables,
// rows, and the queries that need no SQL engine.
package bigquery

import (
	"net/http"
	"strings"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

const host = "bigquery.googleapis.com"

// state is what BigQuery remembers. Datasets are kept by projects/P/datasets/D.
type state struct {
	Datasets map[string]*dataset `json:"datasets,omitempty"`
	// Jobs are kept by projects/P/jobs/J. They record what was asked, as the request log does.
	Jobs map[string]*queryJob `json:"jobs,omitempty" snapshot:"-"`
}

// dataset is one dataset with its tables. It has no allow policy but Access: the one that decisions
// need is made from that.
type dataset struct {
	Project      string            `json:"project"` // id
	ID           string            `json:"id"`
	FriendlyName string            `json:"friendlyName,omitempty"`
	Description  string            `json:"description,omitempty"`
	Location     string            `json:"location"`
	Labels       map[string]string `json:"labels,omitempty"`
	TimeTravel   string            `json:"maxTimeTravelHours,omitempty"` // a number; Google's default if empty
	AnyCase      *bool             `json:"isCaseInsensitive,omitempty"`  // of the names of tables; as it was asked for
	Created      time.Time         `json:"created"`
	Modified     time.Time         `json:"modified" snapshot:"-"`
	Revision     int64             `json:"revision" snapshot:"-"` // the etag is made from it
	Access       []accessEntry     `json:"access,omitempty"`
	Unsettled    []iam.Unsettled   `json:"unsettled,omitempty" snapshot:"-"`  // as a policy's
	Superseded   []iam.Superseded  `json:"superseded,omitempty" snapshot:"-"` // as a policy's
	Tables       map[string]*table `json:"tables,omitempty"`
}

// Service is BigQuery.
func Service() *wire.Service {
	return &wire.Service{
		Name: host, Title: "BigQuery API", Scopes: []string{"bigquery", "bigquery.readonly", "bigquery.insertdata"},
		Methods: methods(),
		Key:     stateKey,
		New:     func() any { return &state{Datasets: map[string]*dataset{}, Jobs: map[string]*queryJob{}} },
		Seed:    seed, Assets: assets, Node: datasetByName,
		Grantable: map[string][]string{
			"datasets": {"bigquery.datasets.", "bigquery.tables.", "bigquery.routines.", "bigquery.models."},
			"tables":   {"bigquery.tables."},
		},
		Denied: denied, Errors: wire.LegacyErrors, Quota: spendDatasetUpdate,
	}
}

const stateKey = "bigquery"

func stateOf(st *wire.State) *state { return wire.Part[state](st, stateKey) }

func assets(st *wire.State, add func(wire.Asset)) {
	for _, d := range stateOf(st).Datasets {
		full := "//" + host + "/" + d.name()
		p := d.policy()
		p.Superseded = d.Superseded
		if a, ok := st.AssetBelow(d.Project, full, host+"/Dataset", p); ok {
			add(a)
		}
		for _, t := range d.Tables {
			if a, ok := st.AssetBelow(d.Project, full+"/tables/"+t.ID, host+"/Table", t.Policy); ok {
				add(a)
			}
		}
	}
}

// datasetByName returns a dataset, for what lies below it.
func datasetByName(st *wire.State, relative string) (iam.Node, bool) {
	d := stateOf(st).Datasets[relative]
	if d == nil {
		return iam.Node{}, false
	}
	parent, _, err := st.ProjectNode(d.Project)
	return d.node(parent), err == nil
}

// denied is the 403 of a missing permission in the words of BigQuery.
func denied(_ *iam.Principal, permission string, n iam.Node) *wire.Error {
	e := wire.Forbidden("Access Denied: %s: Permission %s denied on %s (or it may not exist).", shortName(n),
		permission, shortName(n))
	e.Reason = "accessDenied"
	return e
}

// spendDatasetUpdate counts an update of a dataset's metadata. BigQuery reports rate limits as 403.
func spendDatasetUpdate(c *wire.Call, q *wire.Usage) error {
	if !strings.HasPrefix(c.Method.ID, "bigquery.datasets.") || !c.Method.Updates() ||
		q.Take("dataset "+c.Vars["project"]+":"+c.Vars["dataset"], q.Limits.DatasetUpdates, 10*time.Second, c.Now) {
		return nil
	}
	return wire.Fail(http.StatusForbidden, "PERMISSION_DENIED", "rateLimitExceeded",
		"Exceeded rate limits: too many dataset metadata update operations for this dataset.")
}

// methods are the methods of BigQuery's REST API for datasets, tables and rows, and for the
// queries that need no SQL engine.
func methods() []wire.Method {
	const datasets = "/bigquery/v2/projects/{project}/datasets"
	const one, tables = datasets + "/{dataset}", datasets + "/{dataset}/tables"
	at := func(id, pattern string, serve func(*wire.Call) (any, error)) wire.Method {
		writes := !strings.HasPrefix(pattern, "GET ")
		return wire.Method{ID: "bigquery." + id, Host: host, Pattern: pattern, Writes: writes, Serve: serve}
	}
	return append([]wire.Method{
		at("datasets.insert", "POST "+datasets, insertDataset),
		at("datasets.list", "GET "+datasets, listDatasets),
		at("datasets.get", "GET "+one, getDataset),
		at("datasets.patch", "PATCH "+one, patchDataset),
		at("datasets.update", "PUT "+one, updateDataset),
		at("datasets.delete", "DELETE "+one, deleteDataset),
		at("tables.insert", "POST "+tables, insertTable),
		at("tables.list", "GET "+tables, listTables),
		at("tables.get", "GET "+tables+"/{table}", getTable),
		at("tables.delete", "DELETE "+tables+"/{table}", deleteTable),
		at("tabledata.insertAll", "POST "+tables+"/{table}/insertAll", insertRows),
		at("tabledata.list", "GET "+tables+"/{table}/data", listRows),
		at("jobs.insert", "POST /bigquery/v2/projects/{project}/jobs", insertJob),
		at("jobs.query", "POST /bigquery/v2/projects/{project}/queries", queryNow),
		at("jobs.list", "GET /bigquery/v2/projects/{project}/jobs", listJobs),
		at("jobs.get", "GET /bigquery/v2/projects/{project}/jobs/{job}", getJob),
		at("jobs.getQueryResults", "GET /bigquery/v2/projects/{project}/queries/{job}", getQueryResults),
		{ID: "bigquery.discovery", Host: host, Pattern: "GET /$discovery/rest", Public: true, Serve: bigqueryDiscovery},
	}, wire.PolicyMethods(wire.PolicySpec{
		ID: "bigquery.tables", Host: host, Path: tables + "/{table}", GetVerb: http.MethodPost,
		Permission: "bigquery.tables", Public: true,
		Find: func(c *wire.Call) (iam.Node, *iam.Policy, error) {
			_, t, n, err := findTable(c)
			if err != nil {
				return n, nil, err
			}
			return n, t.Policy, nil
		},
	})...)
}

// findDataset returns the dataset of the request and its node, or the node of its project and the error.
func findDataset(c *wire.Call) (*dataset, iam.Node, error) {
	parent, p, err := c.State().ProjectNode(c.Vars["project"])
	if err != nil {
		return nil, parent, err
	}
	d := stateOf(c.State()).Datasets["projects/"+p.ID+"/datasets/"+c.Vars["dataset"]]
	if d == nil {
		return nil, parent, wire.NotFound("Not found: Dataset %s:%s", p.ID, c.Vars["dataset"])
	}
	return d, d.node(parent), nil
}

func (d *dataset) name() string { return "projects/" + d.Project + "/datasets/" + d.ID }

func (d *dataset) node(parent iam.Node) iam.Node {
	return parent.Child("//"+host+"/"+d.name(), d.name(), host+"/Dataset", d.policy())
}

// findTable returns the table of the request, its dataset and its node, or the node of what would hold
// it and the error.
func findTable(c *wire.Call) (*dataset, *table, iam.Node, error) {
	d, n, err := findDataset(c)
	if err != nil {
		return nil, nil, n, err
	}
	t := d.Tables[c.Vars["table"]]
	if t == nil {
		return nil, nil, n, wire.NotFound("Not found: Table %s:%s.%s", d.Project, d.ID, c.Vars["table"])
	}
	full, name := n.Full+"/tables/"+t.ID, n.Name+"/tables/"+t.ID
	return d, t, n.Child(full, name, host+"/Table", t.Policy), nil
}

// duplicate is BigQuery's answer to a name that is taken.
func duplicate(format string, args ...any) error {
	return wire.Fail(http.StatusConflict, "ALREADY_EXISTS", "duplicate", "Already Exists: "+format, args...)
}

// invalidEntry is BigQuery's answer to content that it does not accept.
func invalidEntry(format string, args ...any) error {
	return wire.Fail(http.StatusBadRequest, "INVALID_ARGUMENT", "invalid", format, args...)
}
