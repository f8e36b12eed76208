package emulator

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/taskiam/taskiam/emulator/internal/iam"
)

func TestBigqueryDiscovery(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	var document string
	for _, host := range []string{"https://bigquery.googleapis.com", "http://127.0.0.1:8790"} {
		r := l.must("", "GET", host+"/$discovery/rest?version=v2", "")
		if r.str("id") != "bigquery:v2" || r.str("servicePath") != "bigquery/v2/" {
			t.Errorf("%s describes %.80s", host, r.raw)
		}
		document = r.raw
	}
	l.want(l.do("", "GET", "https://bigquery.googleapis.com/$discovery/rest?version=v1", ""), 404, "NOT_FOUND")

	// Every schema that the document refers to is there: bq does not bear a missing one.
	var doc struct {
		Schemas   map[string]any
		Resources map[string]any
	}
	if err := json.Unmarshal([]byte(document), &doc); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"datasets", "tables", "tabledata", "jobs"} {
		if doc.Resources[name] == nil {
			t.Errorf("there is nothing of %s", name)
		}
	}
	for _, part := range strings.Split(document, `"$ref": "`)[1:] {
		name, _, _ := strings.Cut(part, `"`)
		if doc.Schemas[name] == nil {
			t.Errorf("schema %s is missing", name)
		}
	}
}

const bigqueryProject = "https://bigquery.googleapis.com/bigquery/v2/projects/acme-data"

// queryLab has an account that may run queries in acme-data and read sales.orders.
func queryLab(t *testing.T) (l *lab, token string) {
	l = newLab(t, func(c *Config) {
		c.Seed = append(append([]byte(nil), acme...), `
[[service_account]]
project = "acme-agents"
id      = "ti-query"
token   = "ya29.query"

[[service_account]]
project = "acme-agents"
id      = "ti-neighbour"
token   = "ya29.neighbour"

[[dataset]]
project = "acme-data"
name    = "shop"
[[dataset.access]]
role        = "READER"
userByEmail = "ti-query@acme-agents.iam.gserviceaccount.com"
[[dataset.table]]
name = "orders"
rows = [{ item = "tea", n = 1 }, { item = "milk", n = 2 }, { item = "rice", n = 3 }]
[[dataset.table.column]]
name = "item"
type = "STRING"
[[dataset.table.column]]
name = "n"
type = "INTEGER"
[[dataset.table]]
name = "seen"
view = "SELECT 1"
`...)
	})
	p := l.wire.State().Projects["acme-data"]
	for _, member := range []string{"ti-query", "ti-neighbour"} {
		p.Policy.Bindings = append(p.Policy.Bindings,
			iam.Binding{Role: "roles/bigquery.jobUser", Members: []string{"serviceAccount:" + member + "@acme-agents.iam.gserviceaccount.com"}})
	}
	p.Policy.Touch(l.wire.Now())
	return l, "ya29.query"
}

// firstCells returns the first column of a result.
func firstCells(r response) []string {
	var out []string
	rows, _ := r.body["rows"].([]any)
	for _, row := range rows {
		cell, _ := row.(map[string]any)["f"].([]any)
		v, _ := cell[0].(map[string]any)["v"].(string)
		out = append(out, v)
	}
	return out
}

func TestQueries(t *testing.T) {
	t.Parallel()
	l, token := queryLab(t)
	for query, want := range map[string][]string{
		"SELECT * FROM shop.orders":                      {"tea", "milk", "rice"},
		"select *\n from `acme-data.shop.orders` ;":      {"tea", "milk", "rice"},
		"SELECT * FROM acme-data.shop.orders LIMIT 2":    {"tea", "milk"},
		"SELECT * FROM [acme-data:shop.orders] LIMIT 10": {"tea", "milk", "rice"},
		"SELECT * FROM shop.orders LIMIT 0":              nil,
		"SELECT 1":                                       {"1"},
		"SELECT 'a b' AS word":                           {"a b"},
		"SELECT TRUE":                                    {"true"},
	} {
		body, err := json.Marshal(map[string]any{"query": query, "useLegacySql": false})
		if err != nil {
			t.Fatal(err)
		}
		r := l.must(token, "POST", bigqueryProject+"/queries", string(body))
		if got := firstCells(r); !slices.Equal(got, want) || r.body["jobComplete"] != true {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
	for query, want := range map[string]string{
		"SELECT COUNT(*) FROM shop.orders":             "invalidQuery",
		"SELECT * FROM shop.orders WHERE n = 1":        "invalidQuery",
		"SELECT * FROM `shop.orders":                   "invalidQuery",
		"SELECT 'it''s'":                               "invalidQuery",
		"DROP TABLE shop.orders":                       "invalidQuery",
		"":                                             "invalidQuery",
		"SELECT * FROM shop.seen":                      "invalidQuery",
		"SELECT * FROM shop.missing":                   "accessDenied", // whoever may not read the dataset learns nothing
		"SELECT * FROM `acme-agents.nowhere.anything`": "accessDenied",
	} {
		body, err := json.Marshal(map[string]any{"query": query})
		if err != nil {
			t.Fatal(err)
		}
		r := l.do(token, "POST", bigqueryProject+"/queries", string(body))
		if r.code == 200 || !strings.Contains(r.raw, `"reason":"`+want+`"`) && r.code != 404 {
			t.Errorf("%q: %d %s, want %s", query, r.code, r.raw, want)
		}
	}
	l.want(l.do("ya29.neighbour", "POST", bigqueryProject+"/queries", `{"query":"SELECT * FROM shop.orders"}`), 403, "PERMISSION_DENIED")
	l.must("ya29.neighbour", "POST", bigqueryProject+"/queries", `{"query":"SELECT 1"}`)
	// To read a table is one thing, to run queries in a project another.
	l.want(l.do(token, "POST", strings.Replace(bigqueryProject, "acme-data", "acme-agents", 1)+"/queries",
		`{"query":"SELECT * FROM acme-data.shop.orders"}`), 403, "PERMISSION_DENIED")
}

func TestJobs(t *testing.T) {
	t.Parallel()
	l, token := queryLab(t)
	before := l.snapshot()
	const job = `{"jobReference":{"projectId":"acme-data","jobId":"j1"},"configuration":{"query":{"query":"SELECT * FROM shop.orders"}}}`
	r := l.must(token, "POST", bigqueryProject+"/jobs", job)
	if r.str("id") != "acme-data:US.j1" || !strings.Contains(r.raw, `"state":"DONE"`) {
		t.Errorf("the job is %s", r.raw)
	}
	l.want(l.do(token, "POST", bigqueryProject+"/jobs", job), 409, "ALREADY_EXISTS")
	l.want(l.do(token, "POST", bigqueryProject+"/jobs", `{"configuration":{"load":{}}}`), 501, "UNIMPLEMENTED")
	l.must(token, "GET", bigqueryProject+"/jobs/j1", "")

	first := l.must(token, "GET", bigqueryProject+"/queries/j1?maxResults=2", "")
	rest := l.must(token, "GET", bigqueryProject+"/queries/j1?maxResults=2&pageToken="+first.str("pageToken"), "")
	if got := append(firstCells(first), firstCells(rest)...); !slices.Equal(got, []string{"tea", "milk", "rice"}) || rest.str("pageToken") != "" {
		t.Errorf("the pages are %v", got)
	}
	// A result is what the table was when the job ran.
	if got := l.snapshot(); got != before {
		t.Error("the snapshot shows that a query was run")
	}
	const orders = bigqueryProject + "/datasets/shop/tables/orders"
	l.must(l.operator, "POST", orders+"/insertAll", `{"rows":[{"json":{"item":"tea","n":1}}]}`)
	if r := l.must(token, "GET", bigqueryProject+"/queries/j1", ""); r.str("totalRows") != "3" {
		t.Errorf("the result grew: %s", r.raw)
	}

	l.want(l.do("ya29.neighbour", "GET", bigqueryProject+"/jobs/j1", ""), 403, "PERMISSION_DENIED")
	l.want(l.do("ya29.neighbour", "GET", bigqueryProject+"/queries/j1", ""), 403, "PERMISSION_DENIED")
	l.do(l.operator, "DELETE", orders, "")
	if r := l.do(token, "GET", bigqueryProject+"/queries/j1", ""); r.code == 200 {
		t.Errorf("the result outlived its table: %s", r.raw)
	}
}
