package bigquery

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/wire"
	"github.com/taskiam/taskiam/internal/lazy"
)

// queryJob is a query that was run. Its result are the first rows of a table, to which rows are only
// ever added, or a literal.
type queryJob struct {
	ID       string    `json:"id"`
	Project  string    `json:"project"` // id
	Location string    `json:"location"`
	Caller   string    `json:"caller"` // member string
	Created  time.Time `json:"created"`
	Query    string    `json:"query"`

	Table   tableReference  `json:"table,omitzero"`
	Rows    int             `json:"rows"`
	Column  tableField      `json:"column,omitzero"` // of a literal
	Literal json.RawMessage `json:"literal,omitempty"`
}

// queryResult is the result of a query as getQueryResults and query write it.
type queryResult struct {
	Kind      string       `json:"kind"`
	Etag      string       `json:"etag,omitempty"`
	Schema    tableSchema  `json:"schema"`
	Reference jobReference `json:"jobReference"`
	Total     int          `json:"totalRows,string"`
	Next      string       `json:"pageToken,omitempty"`
	Rows      []fieldCells `json:"rows,omitempty"`
	Bytes     string       `json:"totalBytesProcessed"`
	Complete  bool         `json:"jobComplete"`
	CacheHit  bool         `json:"cacheHit"`
}

type jobReference struct {
	ProjectID string `json:"projectId"`
	JobID     string `json:"jobId,omitempty"`
	Location  string `json:"location,omitempty"`
}

// The two queries that are understood: all of a table, and a literal. A table is named as in
// GoogleSQL (d.t, p.d.t, in backquotes or without) or as in legacy SQL ([p:d.t]).
var (
	tableQuery = lazy.Regexp(
		"(?is)^\\s*SELECT\\s+\\*\\s+FROM\\s+([`\\[]?)(?:([a-z0-9:.-]*[a-z0-9-])[.:])?([a-z0-9_]+)\\." +
			"([a-z0-9_]+)([`\\]]?)(?:\\s+LIMIT\\s+([0-9]{1,9}))?\\s*;?\\s*$")
	literalQuery = lazy.Regexp(
		`(?is)^\s*SELECT\s+(-?[0-9]{1,18}|true|false|'[^'\\]*'|"[^"\\]*")(?:\s+AS\s+([a-z_][a-z0-9_]*))?\s*;?\s*$`)
)

// run finds out what the query asks for, and whether the caller may have it.
func (j *queryJob) run(c *wire.Call) error {
	if m := literalQuery().FindStringSubmatch(j.Query); m != nil {
		j.literal(m[1], cmp.Or(m[2], "f0_"))
		return nil
	}
	m := tableQuery().FindStringSubmatch(j.Query)
	if m == nil || m[1]+m[5] != "" && m[1]+m[5] != "``" && m[1]+m[5] != "[]" {
		return wire.Fail(http.StatusBadRequest, "INVALID_ARGUMENT", "invalidQuery",
			"The emulator runs two kinds of query: SELECT * FROM dataset.table [LIMIT n], and SELECT of one literal. "+
				"This is neither: %s", j.Query)
	}
	j.Table = tableReference{ProjectID: cmp.Or(m[2], j.Project), DatasetID: m[3], TableID: m[4]}
	t, err := queriedTable(c, j.Table)
	if err != nil {
		return err
	}
	j.Rows = len(t.Rows)
	if m[6] != "" {
		limit, err := strconv.Atoi(m[6])
		if err != nil {
			return invalidEntry("Invalid LIMIT: %v", err)
		}
		j.Rows = min(j.Rows, limit)
	}
	return nil
}

func (j *queryJob) literal(text, name string) {
	j.Rows, j.Column = 1, tableField{Name: name, Type: "INTEGER", Mode: "NULLABLE"}
	switch text[0] {
	case '\'', '"':
		j.Column.Type = "STRING"
		text = strconv.Quote(text[1 : len(text)-1])
	case 't', 'f', 'T', 'F':
		j.Column.Type = "BOOLEAN"
		text = strings.ToLower(text)
	}
	j.Literal = json.RawMessage(text)
}

// queriedTable returns a table whose data the caller may read.
func queriedTable(c *wire.Call, ref tableReference) (*table, error) {
	c.Vars = map[string]string{"project": ref.ProjectID, "dataset": ref.DatasetID, "table": ref.TableID}
	_, t, n, err := findTable(c)
	if err := c.RequireFound("bigquery.tables.getData", n, err); err != nil {
		return nil, err
	}
	if t.View != "" {
		return nil, wire.Fail(http.StatusBadRequest, "INVALID_ARGUMENT", "invalidQuery",
			"The emulator runs no queries on views: %s.%s is one.", ref.DatasetID, ref.TableID)
	}
	return t, nil
}

// result returns the rows of the result that the request asks for.
func (j *queryJob) result(c *wire.Call, kind string, micros bool) (any, error) {
	fields, rows := []tableField{j.Column}, []map[string]json.RawMessage{{j.Column.Name: j.Literal}}
	if j.Literal == nil {
		d := stateOf(c.State()).Datasets["projects/"+j.Table.ProjectID+"/datasets/"+j.Table.DatasetID]
		if d == nil || d.Tables[j.Table.TableID] == nil {
			return nil, wire.NotFound("Not found: Table %s:%s.%s", j.Table.ProjectID, j.Table.DatasetID,
				j.Table.TableID)
		}
		t := d.Tables[j.Table.TableID]
		fields, rows = t.Schema.Fields, t.Rows[:min(j.Rows, len(t.Rows))]
	}
	from, to, next, err := rowWindow(c, len(rows))
	if err != nil {
		return nil, err
	}
	out := queryResult{
		Kind: kind, Schema: tableSchema{Fields: fields}, Reference: j.reference(), Total: len(rows), Next: next,
		Bytes: "0", Complete: true,
	}
	for _, row := range rows[from:to] {
		out.Rows = append(out.Rows, cells(fields, row, micros))
	}
	return out, nil
}

func (j *queryJob) reference() jobReference { return jobReference{j.Project, j.ID, j.Location} }

func (j *queryJob) resource(c *wire.Call) map[string]any {
	at := strconv.FormatInt(j.Created.UnixMilli(), 10)
	return map[string]any{
		"kind": "bigquery#job", "id": fmt.Sprintf("%s:%s.%s", j.Project, j.Location, j.ID),
		"jobReference": j.reference(),
		"selfLink":     c.BaseURL() + "/bigquery/v2/projects/" + j.Project + "/jobs/" + j.ID,
		"user_email":   j.Caller[strings.Index(j.Caller, ":")+1:],
		"configuration": map[string]any{"jobType": "QUERY",
			"query": map[string]any{"query": j.Query, "useLegacySql": false}},
		"status": map[string]any{"state": "DONE"},
		"statistics": map[string]any{
			"creationTime": at, "startTime": at, "endTime": at, "totalBytesProcessed": "0",
			"query": map[string]any{"statementType": "SELECT", "totalBytesProcessed": "0", "cacheHit": false},
		},
	}
}

// newJob runs a query in the project of the request, which takes bigquery.jobs.create, and keeps the job
// unless it is a dry run. An empty id is drawn.
func newJob(c *wire.Call, query string, ref jobReference, dryRun bool) (*queryJob, error) {
	n, p, err := c.State().ProjectNode(c.Vars["project"])
	if err := c.RequireFound("bigquery.jobs.create", n, err); err != nil {
		return nil, err
	}
	j := &queryJob{
		ID: cmp.Or(ref.JobID, "job_"+rand.Text()), Project: p.ID, Location: cmp.Or(ref.Location, "US"),
		Caller: c.Caller.Member, Created: c.Now, Query: query,
	}
	st := stateOf(c.State())
	name := "projects/" + p.ID + "/jobs/" + j.ID
	if st.Jobs[name] != nil {
		return nil, duplicate("Job %s:%s.%s", p.ID, j.Location, j.ID)
	}
	if err := j.run(c); err != nil || dryRun {
		return j, err
	}
	if st.Jobs == nil {
		st.Jobs = map[string]*queryJob{}
	}
	st.Jobs[name] = j
	return j, nil
}

func insertJob(c *wire.Call) (any, error) {
	var in struct {
		Reference     jobReference `json:"jobReference"`
		Configuration struct {
			DryRun bool `json:"dryRun"`
			Query  *struct {
				Query string `json:"query"`
			} `json:"query"`
		} `json:"configuration"`
	}
	if err := c.Decode(&in); err != nil {
		return nil, err
	}
	if in.Configuration.Query == nil {
		return nil, c.Unsupported("jobs that are not queries")
	}
	j, err := newJob(c, in.Configuration.Query.Query, in.Reference, in.Configuration.DryRun)
	if err != nil {
		return nil, err
	}
	return j.resource(c), nil
}

// queryNow is jobs.query: the job and the first page of its result in one answer.
func queryNow(c *wire.Call) (any, error) {
	var in struct {
		Query    string `json:"query"`
		Location string `json:"location"`
		DryRun   bool   `json:"dryRun"`
		Format   struct {
			Micros bool `json:"useInt64Timestamp"`
		} `json:"formatOptions"`
	}
	if err := c.Decode(&in); err != nil {
		return nil, err
	}
	j, err := newJob(c, in.Query, jobReference{Location: in.Location}, in.DryRun)
	if err != nil {
		return nil, err
	}
	return j.result(c, "bigquery#queryResponse", in.Format.Micros)
}

// findJob returns the job of the request, to the caller that made it or may get all jobs of the project.
func findJob(c *wire.Call) (*queryJob, error) {
	n, p, err := c.State().ProjectNode(c.Vars["project"])
	if err != nil {
		return nil, err
	}
	j := stateOf(c.State()).Jobs["projects/"+p.ID+"/jobs/"+c.Vars["job"]]
	permission := "bigquery.jobs.get"
	if j != nil && j.Caller == c.Caller.Member {
		permission = "bigquery.jobs.create"
	}
	if err := c.Require(permission, n); err != nil {
		return nil, err
	}
	if j == nil {
		return nil, wire.NotFound("Not found: Job %s:%s", p.ID, c.Vars["job"])
	}
	return j, nil
}

func getJob(c *wire.Call) (any, error) {
	j, err := findJob(c)
	if err != nil {
		return nil, err
	}
	return j.resource(c), nil
}

func getQueryResults(c *wire.Call) (any, error) {
	j, err := findJob(c)
	if err != nil {
		return nil, err
	}
	if j.Literal == nil { // a caller who may not read the table any more may not read the result
		if _, err := queriedTable(c, j.Table); err != nil {
			return nil, err
		}
	}
	return j.result(c, "bigquery#getQueryResultsResponse", c.Query("formatOptions.useInt64Timestamp") == "true")
}

// listJobs lists the caller's own jobs, newest first; with allUsers those of everybody, which takes
// bigquery.jobs.listAll.
func listJobs(c *wire.Call) (any, error) {
	n, p, err := c.State().ProjectNode(c.Vars["project"])
	permission, all := "bigquery.jobs.list", c.Query("allUsers") == "true"
	if all {
		permission = "bigquery.jobs.listAll"
	}
	if err := c.RequireFound(permission, n, err); err != nil {
		return nil, err
	}
	var jobs []*queryJob
	for _, name := range wire.NamesBelow(stateOf(c.State()).Jobs, "projects/"+p.ID+"/") {
		if j := stateOf(c.State()).Jobs[name]; all || j.Caller == c.Caller.Member {
			jobs = append(jobs, j)
		}
	}
	slices.SortStableFunc(jobs, func(a, b *queryJob) int { return b.Created.Compare(a.Created) })
	from, to, next, err := rowWindow(c, len(jobs))
	if err != nil {
		return nil, err
	}
	answer := map[string]any{"kind": "bigquery#jobList"}
	var out []any
	for _, j := range jobs[from:to] {
		r := j.resource(c)
		r["state"] = "DONE"
		out = append(out, r)
	}
	if len(out) > 0 {
		answer["jobs"] = out
	}
	if next != "" {
		answer["nextPageToken"] = next
	}
	return answer, nil
}
