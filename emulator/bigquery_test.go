package emulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/api/bigquery/v2"
	"google.golang.org/api/option"

	"github.com/taskiam/taskiam/emulator/internal/iam"
)

const (
	datasetsURL = "bigquery.googleapis.com/bigquery/v2/projects/acme/datasets"
	sales       = datasetsURL + "/sales"
	orders      = sales + "/tables/orders"
)

// access returns the access list of the dataset sales, an entry a string of JSON.
func (c cloud) access(version string) []string {
	c.t.Helper()
	var d struct{ Access []json.RawMessage }
	c.want(200, &d, "operator", "GET "+sales+"?accessPolicyVersion="+version, "")
	var out []string
	for _, e := range d.Access {
		out = append(out, string(e))
	}
	return out
}

// setAccess replaces the access list of sales.
func (c cloud) setAccess(version string, entries []string, header ...string) reply {
	c.t.Helper()
	return c.call("operator", "PATCH "+sales+"?accessPolicyVersion="+version, `{"access":[`+strings.Join(entries, ",")+`]}`, header...)
}

func entry(role, field, value string) string {
	return fmt.Sprintf(`{"role":%q,%q:%q}`, role, field, value)
}

func TestBigqueryPermissions(t *testing.T) {
	t.Parallel()
	rows := `{"rows":[{"json":{"id":2}}]}`
	tests := []struct {
		role string // of the dataset's access list, or of the table's policy
		on   string
		what string
		body string
		code int // with the role; without it is always 403
	}{
		{"READER", sales, "GET " + sales, "", 200},
		{"READER", sales, "GET " + sales + "/tables", "", 200},
		{"READER", sales, "GET " + orders, "", 200},
		{"READER", sales, "GET " + orders + "/data", "", 200},
		{"READER", sales, "GET " + sales + "/tables/missing", "", 404},
		{"READER", sales, "POST " + orders + "/insertAll", rows, 403},
		{"READER", sales, "PATCH " + sales, "{}", 403},
		{"READER", sales, "POST " + sales + "/tables", `{"tableReference":{"tableId":"t"}}`, 403},
		{"roles/bigquery.metadataViewer", sales, "GET " + orders, "", 200},
		{"roles/bigquery.metadataViewer", sales, "GET " + orders + "/data", "", 403},
		{"WRITER", sales, "POST " + orders + "/insertAll", rows, 200},
		{"WRITER", sales, "POST " + sales + "/tables", `{"tableReference":{"tableId":"t"}}`, 200},
		{"WRITER", sales, "DELETE " + orders, "", 204},
		{"WRITER", sales, "PATCH " + sales, "{}", 403},
		{"WRITER", sales, "DELETE " + sales + "?deleteContents=true", "", 403},
		{"OWNER", sales, "PATCH " + sales, "{}", 200},
		{"OWNER", sales, "DELETE " + sales + "?deleteContents=true", "", 204},
		{"OWNER", sales, "POST " + datasetsURL, `{"datasetReference":{"datasetId":"d"}}`, 403},
		{"roles/bigquery.dataViewer", orders, "GET " + orders + "/data", "", 200},
		{"roles/bigquery.dataViewer", orders, "GET " + sales, "", 403},
		{"roles/bigquery.dataViewer", orders, "GET " + sales + "/tables", "", 403},
		{"roles/bigquery.dataOwner", orders, "POST " + orders + ":getIamPolicy", "", 200},
	}
	for _, test := range tests {
		t.Run(test.role+" "+test.what, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t)
			c.want(403, nil, "agent", test.what, test.body)
			var got reply
			if test.on == sales {
				got = c.setAccess("3", append(c.access("3"), entry(test.role, "userByEmail", agentEmail)))
			} else {
				got = c.bind(test.on, iam.Binding{Role: test.role, Members: []string{agentMember}})
			}
			if got.code != 200 {
				t.Fatalf("binding: %d %s", got.code, got.body)
			}
			c.want(test.code, nil, "agent", test.what, test.body)
			c.want(403, nil, "other", test.what, test.body)
		})
	}
}

func TestBigqueryAccessForms(t *testing.T) {
	t.Parallel()
	view := `{"view":{"projectId":"acme","datasetId":"d","tableId":"v"}}`
	tests := []struct {
		name, in, out string // out is "" for what is refused
	}{
		{"legacy role", entry("roles/bigquery.dataOwner", "userByEmail", agentEmail), entry("OWNER", "userByEmail", agentEmail)},
		{"other role", entry("roles/bigquery.metadataViewer", "groupByEmail", "g@acme.test"), entry("roles/bigquery.metadataViewer", "groupByEmail", "g@acme.test")},
		{"account as IAM member", entry("READER", "iamMember", agentMember), entry("READER", "userByEmail", agentEmail)},
		{"person as IAM member", entry("WRITER", "iamMember", "user:p@acme.test"), entry("WRITER", "userByEmail", "p@acme.test")},
		{"group as IAM member", entry("READER", "iamMember", "group:g@acme.test"), entry("READER", "groupByEmail", "g@acme.test")},
		{"domain", entry("READER", "domain", "acme.test"), entry("READER", "domain", "acme.test")},
		{"everybody", entry("READER", "iamMember", "allUsers"), entry("READER", "iamMember", "allUsers")},
		{"everybody who logged in", entry("READER", "specialGroup", "allAuthenticatedUsers"), entry("READER", "specialGroup", "allAuthenticatedUsers")},
		{"owners of the project", entry("OWNER", "iamMember", "projectOwner:acme"), entry("OWNER", "specialGroup", "projectOwners")},
		{"view", view, view},
		{"view with role", `{"role":"READER",` + view[1:], ""},
		{"two at once", `{"role":"READER","userByEmail":"p@acme.test","domain":"acme.test"}`, ""},
		{"nobody", `{"role":"READER"}`, ""},
		{"no role", `{"userByEmail":"p@acme.test"}`, ""},
		{"unknown role", entry("EDITOR", "userByEmail", "p@acme.test"), ""},
		{"unknown field", `{"role":"READER","userByEmail":"p@acme.test","until":"noon"}`, ""},
		{"unknown group", entry("READER", "specialGroup", "projectFriends"), ""},
		{"missing account", entry("READER", "userByEmail", "gone@acme.iam.gserviceaccount.com"), ""},
		{"deleted member", entry("READER", "userByEmail", "deleted:serviceAccount:gone@acme.iam.gserviceaccount.com?uid=1"), ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t)
			before := c.access("3")
			got := c.setAccess("3", append(slices.Clone(before), test.in))
			want, code := before, 400
			if test.out != "" {
				want, code = append(slices.Clone(before), test.out), 200
			}
			if got.code != code {
				t.Errorf("got %d %s, want %d", got.code, got.body, code)
			}
			if diff := cmp.Diff(want, c.access("3")); diff != "" {
				t.Errorf("access list (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBigqueryAccessDefaults(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.want(200, nil, "operator", "POST "+datasetsURL, `{"datasetReference":{"datasetId":"fresh"}}`)
	var d bigquery.Dataset
	c.want(200, &d, "operator", "GET "+datasetsURL+"/fresh", "")
	got := map[string]string{}
	for _, e := range d.Access {
		got[e.SpecialGroup+e.UserByEmail] = e.Role
	}
	want := map[string]string{"projectOwners": "OWNER", "projectWriters": "WRITER", "projectReaders": "READER", "olga@acme.test": "OWNER"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("access of a new dataset (-want +got):\n%s", diff)
	}

	// A special group is who has the basic role on the project.
	const project = "cloudresourcemanager.googleapis.com/v3/projects/acme"
	c.want(403, nil, "agent", "GET "+orders+"/data", "")
	c.bind(project, iam.Binding{Role: "roles/viewer", Members: []string{agentMember}})
	c.want(200, nil, "agent", "GET "+orders+"/data", "")
	c.setAccess("", []string{entry("OWNER", "specialGroup", "projectOwners")})
	c.want(403, nil, "agent", "GET "+orders+"/data", "")
}

func TestBigqueryConditions(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	before := c.access("3")
	raw, err := json.Marshal(struct {
		Role        string         `json:"role"`
		UserByEmail string         `json:"userByEmail"`
		Condition   *iam.Condition `json:"condition"`
	}{"READER", agentEmail, &iam.Condition{
		Title: "orders for an hour",
		Expression: `resource.name.startsWith("projects/acme/datasets/sales/tables/orders") && ` +
			`request.time < timestamp("2026-03-03T12:00:00Z")`,
	}})
	if err != nil {
		t.Fatal(err)
	}
	conditional := string(raw)
	next := append(slices.Clone(before), conditional)
	for _, version := range []string{"", "0", "1"} {
		if got := c.setAccess(version, next); got.code != 400 {
			t.Errorf("setting a condition as version %q: got %d %s, want 400", version, got.code, got.body)
		}
	}
	if got := c.setAccess("2", before); got.code != 400 {
		t.Errorf("version 2: got %d, want 400", got.code)
	}
	if got := c.setAccess("3", next); got.code != 200 {
		t.Fatalf("setting a condition: %d %s", got.code, got.body)
	}
	if diff := cmp.Diff(next, c.access("3")); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
	hidden := c.access("1")
	if last := hidden[len(hidden)-1]; !strings.Contains(last, "roles/bigquery.dataViewer_withcond_") || strings.Contains(last, "expression") {
		t.Errorf("read as version 1: %s", last)
	}
	// Whoever does not know of conditions cannot write, not even what would keep them.
	if got := c.setAccess("", before); got.code != 400 {
		t.Errorf("replacing conditions as version 1: got %d %s, want 400", got.code, got.body)
	}

	c.want(200, nil, "agent", "GET "+orders+"/data", "")
	c.want(403, nil, "agent", "GET "+sales+"/tables/summary", "")
	c.want(403, nil, "agent", "GET "+sales, "")
	c.Advance(time.Hour)
	c.want(403, nil, "agent", "GET "+orders+"/data", "")
	if got := c.setAccess("3", before); got.code != 200 {
		t.Errorf("taking the condition away: %d %s", got.code, got.body)
	}
	if got := c.setAccess("", before); got.code != 200 {
		t.Errorf("without conditions version 1 will do again: %d %s", got.code, got.body)
	}
	// Tables take none.
	if got := c.bind(orders, iam.Binding{Role: "roles/bigquery.dataViewer", Members: []string{agentMember}, Condition: &iam.Condition{Title: "t", Expression: "true"}}); got.code != 400 {
		t.Errorf("a condition on a table: got %d %s, want 400", got.code, got.body)
	}
}

func TestBigqueryEtags(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	etag := strings.Trim(c.want(200, nil, "operator", "GET "+sales, "").field("etag"), `"`)
	next := append(c.access("3"), entry("READER", "domain", "acme.test"))
	if got := c.setAccess("3", next, "If-Match: "+etag); got.code != 200 {
		t.Fatalf("writing with the live etag: %d %s", got.code, got.body)
	}
	stale := c.setAccess("3", next, "If-Match: "+etag)
	if stale.code != 412 || stale.reason() != "conditionNotMet" {
		t.Errorf("writing with a stale etag: %d %s, want 412", stale.code, stale.body)
	}
	if got := c.setAccess("3", next, "If-Match: *"); got.code != 200 {
		t.Errorf("writing with any etag: %d %s", got.code, got.body)
	}

	// A dataset that was made anew has no etag of the old one.
	c.want(204, nil, "operator", "DELETE "+sales+"?deleteContents=true", "")
	c.Advance(time.Second)
	c.want(200, nil, "operator", "POST "+datasetsURL, `{"datasetReference":{"datasetId":"sales"}}`)
	if got := c.setAccess("3", next, "If-Match: "+etag); got.code != 412 {
		t.Errorf("an etag of the dataset's predecessor: got %d, want 412", got.code)
	}
}

// TestBigqueryTombstones deletes a service account that has access to a dataset, and brings it back.
func TestBigqueryTombstones(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	before := c.access("3")
	mine := entry("READER", "userByEmail", agentEmail)
	c.setAccess("3", append(slices.Clone(before), mine))
	const accounts = "iam.googleapis.com/v1/projects/acme/serviceAccounts/"
	const email = agentEmail
	id := strings.Trim(c.want(200, nil, "operator", "GET "+accounts+email, "").field("uniqueId"), `"`)
	c.want(200, nil, "operator", "DELETE "+accounts+email, "")

	deletedMember := entry("READER", "userByEmail", "deleted:serviceAccount:"+agentEmail+"?uid="+id)
	after := c.access("3")
	if diff := cmp.Diff(append(slices.Clone(before), deletedMember), after); diff != "" {
		t.Errorf("after the account's end (-want +got):\n%s", diff)
	}
	if got := c.setAccess("3", after); got.code != 400 {
		t.Errorf("writing a deleted member back: got %d %s, want 400", got.code, got.body)
	}
	c.want(200, nil, "operator", "POST "+accounts+id+":undelete", "{}")
	if diff := cmp.Diff(append(slices.Clone(before), mine), c.access("3")); diff != "" {
		t.Errorf("after the account's return (-want +got):\n%s", diff)
	}
	c.want(200, nil, "agent", "GET "+sales, "")
}

func TestBigqueryDatasets(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	patch := func(query, body string) (d bigquery.Dataset) {
		t.Helper()
		c.want(200, &d, "operator", "PATCH "+sales+query, body)
		return d
	}
	d := patch("", `{"description":"d","labels":{"a":"1","b":"2"}}`)
	if d.Description != "d" || len(d.Access) != 3 || cmp.Diff(map[string]string{"a": "1", "b": "2"}, d.Labels) != "" {
		t.Errorf("after the first patch: %+v", d)
	}
	if d = patch("", `{"description":null,"labels":{"a":null,"c":"3"}}`); d.Description != "" || cmp.Diff(map[string]string{"b": "2", "c": "3"}, d.Labels) != "" {
		t.Errorf("after the second patch: %+v", d)
	}
	if d = patch("?updateMode=UPDATE_ACL", `{"description":"x","access":[`+entry("OWNER", "specialGroup", "projectOwners")+`]}`); d.Description != "" || len(d.Access) != 1 {
		t.Errorf("after a patch of access alone: %+v", d)
	}
	if d = patch("?updateMode=UPDATE_METADATA", `{"description":"x","access":[]}`); d.Description != "x" || len(d.Access) != 1 {
		t.Errorf("after a patch of metadata alone: %+v", d)
	}
	d = bigquery.Dataset{}
	c.want(200, &d, "operator", "PUT "+sales, `{"friendlyName":"f"}`)
	if d.FriendlyName != "f" || d.Description != "" || len(d.Labels) != 0 || len(d.Access) != 1 {
		t.Errorf("after an update, which is the whole dataset but for access: %+v", d)
	}
	c.want(200, &d, "operator", "GET "+sales+"?datasetView=METADATA", "")
	for _, test := range []struct {
		what, body string
		code       int
	}{
		{"POST " + datasetsURL, `{"datasetReference":{"datasetId":"sales"}}`, 409},
		{"POST " + datasetsURL, `{"datasetReference":{"datasetId":"no-dash"}}`, 400},
		{"POST " + datasetsURL, `{"datasetReference":{"datasetId":"x"},"defaultTableExpirationMs":"1"}`, 501},
		{"GET " + datasetsURL + "/missing", "", 404},
		{"POST " + sales + "/tables", `{"tableReference":{"tableId":"orders"}}`, 409},
		{"POST " + sales + "/tables", `{"tableReference":{"tableId":"a-b"}}`, 400},
		{"POST " + sales + "/tables", `{"tableReference":{"tableId":"v"},"view":{"query":"SELECT 1"}}`, 501},
		{"POST " + sales + "/tables", `{"tableReference":{"tableId":"t"},"schema":{"fields":[{"name":"a","type":"STRING"},{"name":"A","type":"STRING"}]}}`, 400},
		{"POST " + sales + "/tables", `{"tableReference":{"tableId":"t"},"schema":{"fields":[{"name":"a","type":"TEXT"}]}}`, 400},
		{"POST " + sales + "/tables", `{"tableReference":{"tableId":"t"},"schema":{"fields":[{"name":"a","type":"RECORD"}]}}`, 400},
		{"POST " + sales + "/tables", `{"tableReference":{"tableId":"t"},"schema":{"fields":[{"name":"a","type":"STRING","mode":"MANY"}]}}`, 400},
		{"DELETE " + sales, "", 400},
		{"DELETE " + sales + "/tables/summary", "", 204},
		{"DELETE " + sales + "?deleteContents=true", "", 204},
		{"POST bigquery.googleapis.com/bigquery/v2/projects/acme/jobs", "{}", 501},
	} {
		if got := c.call("operator", test.what, test.body); got.code != test.code {
			t.Errorf("%s %s: got %d, want %d\n%s", test.what, test.body, got.code, test.code, got.body)
		}
	}

	// A list holds what the caller may get, and no more.
	list := func(token string) (names []string) {
		t.Helper()
		var l bigquery.DatasetList
		c.want(200, &l, token, "GET "+datasetsURL, "")
		for _, d := range l.Datasets {
			names = append(names, d.DatasetReference.DatasetId)
		}
		return names
	}
	c.want(200, nil, "operator", "POST "+datasetsURL, `{"datasetReference":{"datasetId":"one"}}`)
	c.want(200, nil, "operator", "POST "+datasetsURL, `{"datasetReference":{"datasetId":"two"},"access":[`+entry("READER", "userByEmail", agentEmail)+`]}`)
	if got := list("operator"); fmt.Sprint(got) != "[one two]" {
		t.Errorf("the operator lists %v", got)
	}
	if got := list("agent"); fmt.Sprint(got) != "[two]" {
		t.Errorf("the agent lists %v", got)
	}
}

// TestBigqueryRows drives the emulator with Google's own client.
func TestBigqueryRows(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	service, err := bigquery.NewService(t.Context(), option.WithHTTPClient(c.bearer("operator")))
	if err != nil {
		t.Fatal(err)
	}
	_, err = service.Tables.Insert("acme", "sales", &bigquery.Table{
		TableReference: &bigquery.TableReference{TableId: "items"},
		Schema: &bigquery.TableSchema{Fields: []*bigquery.TableFieldSchema{
			{Name: "id", Type: "INTEGER", Mode: "REQUIRED"}, {Name: "tags", Type: "STRING", Mode: "REPEATED"},
			{Name: "at", Type: "TIMESTAMP"}, {Name: "ok", Type: "BOOLEAN"},
			{Name: "box", Type: "RECORD", Fields: []*bigquery.TableFieldSchema{{Name: "w", Type: "FLOAT"}}},
		}},
	}).Do()
	if err != nil {
		t.Fatalf("creating a table: %v", err)
	}
	insert := func(skip bool, rows ...map[string]bigquery.JsonValue) map[int64]string {
		t.Helper()
		in := &bigquery.TableDataInsertAllRequest{SkipInvalidRows: skip}
		for _, row := range rows {
			in.Rows = append(in.Rows, &bigquery.TableDataInsertAllRequestRows{Json: row})
		}
		out, err := service.Tabledata.InsertAll("acme", "sales", "items", in).Do()
		if err != nil {
			t.Fatalf("inserting: %v", err)
		}
		reasons := map[int64]string{}
		for _, e := range out.InsertErrors {
			reasons[e.Index] = e.Errors[0].Reason + " " + e.Errors[0].Location
		}
		return reasons
	}
	type row = map[string]bigquery.JsonValue
	for _, test := range []struct {
		bad   row
		where string
	}{
		{row{"tags": []string{"a"}}, "id"}, {row{"id": "x"}, "id"}, {row{"id": 1, "nope": 1}, "nope"}, {row{"id": 1, "at": "noon"}, "at"},
		{row{"id": 1, "tags": "a"}, "tags"}, {row{"id": 1, "ok": "perhaps"}, "ok"}, {row{"id": 1, "box": row{"w": "wide"}}, "w"},
		{row{"id": 1, "box": 1}, "box"}, {row{"id": []int{1}}, "id"},
	} {
		want := map[int64]string{0: "stopped ", 1: "invalid " + test.where}
		if diff := cmp.Diff(want, insert(false, row{"id": 1}, test.bad)); diff != "" {
			t.Errorf("inserting %v (-want +got):\n%s", test.bad, diff)
		}
	}
	if got := insert(true, row{"id": 1, "tags": []string{"a", "b"}, "at": "2026-01-02T03:04:05Z", "box": row{"W": 1.5}}, row{}); len(got) != 1 || got[1] != "invalid id" {
		t.Errorf("skipping the invalid: %v", got)
	}
	if got := insert(false, row{"ID": "2", "ok": true}); len(got) != 0 {
		t.Errorf("inserting: %v", got)
	}

	list, err := service.Tabledata.List("acme", "sales", "items").MaxResults(1).Do()
	if err != nil || list.TotalRows != 2 || list.PageToken == "" {
		t.Fatalf("listing: %+v, %v", list, err)
	}
	first := c.want(200, nil, "operator", "GET "+sales+"/tables/items/data?maxResults=1", "").field("rows")
	want := `[{"f":[{"v":"1"},{"v":[{"v":"a"},{"v":"b"}]},{"v":"1.767323045E+09"},{"v":null},{"v":{"f":[{"v":"1.5"}]}}]}]`
	if first != want {
		t.Errorf("first row: %s, want %s", first, want)
	}
	list, err = service.Tabledata.List("acme", "sales", "items").PageToken(list.PageToken).SelectedFields("ok,id").FormatOptionsUseInt64Timestamp(true).Do()
	if err != nil || len(list.Rows) != 1 || list.PageToken != "" || list.Rows[0].F[0].V != "2" || list.Rows[0].F[1].V != "true" {
		t.Errorf("second page: %+v, %v", list, err)
	}
	items, err := service.Tables.Get("acme", "sales", "items").Do()
	if err != nil || items.NumRows != 2 || items.Type != "TABLE" {
		t.Errorf("table: %+v, %v", items, err)
	}
	tables, err := service.Tables.List("acme", "sales").Do()
	kinds := map[string]string{}
	if err == nil {
		for _, l := range tables.Tables {
			kinds[l.TableReference.TableId] = l.Type
		}
	}
	if diff := cmp.Diff(map[string]string{"items": "TABLE", "orders": "TABLE", "summary": "VIEW"}, kinds); diff != "" || err != nil {
		t.Errorf("tables: %v (-want +got):\n%s", err, diff)
	}
	if _, err := service.Tabledata.List("acme", "sales", "summary").Do(); !isCode(err, http.StatusBadRequest) {
		t.Errorf("listing a view: %v, want 400", err)
	}

	// The client hands the etag over as a header.
	d, err := service.Datasets.Get("acme", "sales").AccessPolicyVersion(3).Do()
	if err != nil {
		t.Fatal(err)
	}
	write := service.Datasets.Patch("acme", "sales", &bigquery.Dataset{Access: d.Access}).AccessPolicyVersion(3)
	write.Header().Set("If-Match", d.Etag)
	if _, err := write.Do(); err != nil {
		t.Errorf("patching: %v", err)
	}
	if _, err := write.Do(); !isCode(err, http.StatusPreconditionFailed) {
		t.Errorf("patching with the same etag again: %v, want 412", err)
	}
}
