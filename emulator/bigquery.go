package emulator

import (
	"net/http"
	"strings"
	"time"
)

const bigqueryHost = "bigquery.googleapis.com"

// bigqueryState is what BigQuery remembers. Datasets are kept by projects/P/datasets/D.
type bigqueryState struct {
	Datasets map[string]*dataset `json:"datasets,omitempty"`
	// Jobs are kept by projects/P/jobs/J. They record what was asked, as the request log does.
	Jobs map[string]*queryJob `json:"jobs,omitempty" snapshot:"-"`
}

// dataset is one dataset with its tables. It has no allow policy beside Access: the one that decisions
// need is made from that.
type dataset struct {
	Project      string             `json:"project"` // id
	ID           string             `json:"id"`
	FriendlyName string             `json:"friendlyName,omitempty"`
	Description  string             `json:"description,omitempty"`
	Location     string             `json:"location"`
	Labels       map[string]string  `json:"labels,omitempty"`
	TimeTravel   string             `json:"maxTimeTravelHours,omitempty"` // a number; Google's default if empty
	AnyCase      *bool              `json:"isCaseInsensitive,omitempty"`  // of the names of tables; as it was asked for
	Created      time.Time          `json:"created"`
	Modified     time.Time          `json:"modified" snapshot:"-"`
	Revision     int64              `json:"revision" snapshot:"-"` // the etag is made from it
	Access       []accessEntry      `json:"access,omitempty"`
	Unsettled    []unsettled        `json:"unsettled,omitempty" snapshot:"-"`  // as a policy's
	Superseded   []supersededPolicy `json:"superseded,omitempty" snapshot:"-"` // as a policy's
	Tables       map[string]*table  `json:"tables,omitempty"`
}

// bigqueryService is BigQuery.
func bigqueryService() *service {
	return &service{
		Name: bigqueryHost, Title: "BigQuery API", Scopes: []string{"bigquery", "bigquery.readonly", "bigquery.insertdata"},
		Methods: bigqueryMethods(),
		Key:     bigqueryKey,
		New:     func() any { return &bigqueryState{Datasets: map[string]*dataset{}, Jobs: map[string]*queryJob{}} },
		Seed:    bigquerySeed, Assets: bigqueryAssets, Node: datasetByName,
		Grantable: map[string][]string{
			"datasets": {"bigquery.datasets.", "bigquery.tables.", "bigquery.routines.", "bigquery.models."},
			"tables":   {"bigquery.tables."},
		},
		Denied: bigqueryDenied, Errors: legacyErrors, Quota: spendDatasetUpdate,
	}
}

const bigqueryKey = "bigquery"

func bigqueryOf(st *state) *bigqueryState { return part[bigqueryState](st, bigqueryKey) }

func bigqueryAssets(st *state, add func(asset)) {
	for _, d := range bigqueryOf(st).Datasets {
		full := "//" + bigqueryHost + "/" + d.name()
		p := d.policy()
		p.Superseded = d.Superseded
		if a, ok := st.assetBelow(d.Project, full, bigqueryHost+"/Dataset", p); ok {
			add(a)
		}
		for _, t := range d.Tables {
			if a, ok := st.assetBelow(d.Project, full+"/tables/"+t.ID, bigqueryHost+"/Table", t.Policy); ok {
				add(a)
			}
		}
	}
}

// datasetByName returns a dataset, for what lies below it.
func datasetByName(st *state, relative string) (node, bool) {
	d := bigqueryOf(st).Datasets[relative]
	if d == nil {
		return node{}, false
	}
	parent, _, err := st.projectNode(d.Project)
	return d.node(parent), err == nil
}

// bigqueryDenied is the 403 of a missing permission in the words of BigQuery.
func bigqueryDenied(_ *principal, permission string, n node) *apiError {
	e := forbidden("Access Denied: %s: Permission %s denied on %s (or it may not exist).", shortName(n), permission, shortName(n))
	e.reason = "accessDenied"
	return e
}

// spendDatasetUpdate counts an update of a dataset's metadata. BigQuery reports rate limits as 403.
func spendDatasetUpdate(c *call, q *quotas) error {
	if !strings.HasPrefix(c.method.id, "bigquery.datasets.") || !c.method.updates() ||
		q.take("dataset "+c.vars["project"]+":"+c.vars["dataset"], q.limits.DatasetUpdates, 10*time.Second, c.now) {
		return nil
	}
	return fail(http.StatusForbidden, "PERMISSION_DENIED", "rateLimitExceeded",
		"Exceeded rate limits: too many dataset metadata update operations for this dataset.")
}

// bigqueryMethods are the methods of BigQuery's REST API for datasets, tables and rows, and for the
// queries that need no SQL engine.
func bigqueryMethods() []method {
	const datasets = "/bigquery/v2/projects/{project}/datasets"
	const one, tables = datasets + "/{dataset}", datasets + "/{dataset}/tables"
	at := func(id, pattern string, serve func(*call) (any, error)) method {
		writes := !strings.HasPrefix(pattern, "GET ")
		return method{id: "bigquery." + id, host: bigqueryHost, pattern: pattern, writes: writes, serve: serve}
	}
	return append([]method{
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
		{id: "bigquery.discovery", host: bigqueryHost, pattern: "GET /$discovery/rest", public: true, serve: bigqueryDiscovery},
	}, policyMethods(policySpec{
		api: "bigquery.tables", host: bigqueryHost, path: tables + "/{table}", getVerb: http.MethodPost,
		permission: "bigquery.tables", public: true,
		find: func(c *call) (node, *policy, error) {
			_, t, n, err := findTable(c)
			if err != nil {
				return n, nil, err
			}
			return n, t.Policy, nil
		},
	})...)
}

// findDataset returns the dataset of the request and its node, or the node of its project beside the error.
func findDataset(c *call) (*dataset, node, error) {
	parent, p, err := c.state().projectNode(c.vars["project"])
	if err != nil {
		return nil, parent, err
	}
	d := bigqueryOf(c.state()).Datasets["projects/"+p.ID+"/datasets/"+c.vars["dataset"]]
	if d == nil {
		return nil, parent, notFound("Not found: Dataset %s:%s", p.ID, c.vars["dataset"])
	}
	return d, d.node(parent), nil
}

func (d *dataset) name() string { return "projects/" + d.Project + "/datasets/" + d.ID }

func (d *dataset) node(parent node) node {
	return parent.child("//"+bigqueryHost+"/"+d.name(), d.name(), bigqueryHost+"/Dataset", d.policy())
}

// findTable returns the table of the request, its dataset and its node, or the node of what would hold
// it beside the error.
func findTable(c *call) (*dataset, *table, node, error) {
	d, n, err := findDataset(c)
	if err != nil {
		return nil, nil, n, err
	}
	t := d.Tables[c.vars["table"]]
	if t == nil {
		return nil, nil, n, notFound("Not found: Table %s:%s.%s", d.Project, d.ID, c.vars["table"])
	}
	full, name := n.full+"/tables/"+t.ID, n.name+"/tables/"+t.ID
	return d, t, n.child(full, name, bigqueryHost+"/Table", t.Policy), nil
}

// duplicate is BigQuery's answer to a name that is taken.
func duplicate(format string, args ...any) error {
	return fail(http.StatusConflict, "ALREADY_EXISTS", "duplicate", "Already Exists: "+format, args...)
}

// invalidEntry is BigQuery's answer to content that it does not accept.
func invalidEntry(format string, args ...any) error {
	return fail(http.StatusBadRequest, "INVALID_ARGUMENT", "invalid", format, args...)
}
