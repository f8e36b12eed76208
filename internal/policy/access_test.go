package policy

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/internal/resource"
)

func TestAccessEdits(t *testing.T) {
	t.Parallel()
	const (
		email = "robot@acme-agents.iam.gserviceaccount.com"
		mine  = `{"role":"READER","userByEmail":"` + email + `"}`
		dead  = `{"role":"READER","userByEmail":"` + grave + `"}`
		head  = `{"kind":"bigquery#dataset","etag":"e","labels":{"a":"b"},"access":[`
	)
	reader := Binding{"roles/bigquery.dataViewer", robot, Condition{}}
	for _, tt := range []struct {
		name, before string
		edit         func(Document) bool
		after        string // the list that is sent; "" means as before
		dropped      []string
	}{
		{
			name:   "a role goes by the name that it is answered by",
			before: ``,
			edit:   func(d Document) bool { return d.Add(reader) },
			after:  mine,
		},
		{
			name:   "a role without a short name, and a condition",
			before: mine,
			edit: func(d Document) bool {
				return d.Add(Binding{"roles/bigquery.metadataViewer", robot, Condition{Title: "t", Expression: "a < b"}})
			},
			after: mine + `,{"role":"roles/bigquery.metadataViewer","userByEmail":"` + email + `","condition":{"title":"t","expression":"a < b"}}`,
		},
		{
			name:   "nothing changes if the role is there by its long name",
			before: `{"role":"roles/bigquery.dataViewer","userByEmail":"` + email + `"}`,
			edit:   func(d Document) bool { return d.Add(reader) },
		},
		{
			name:   "nothing changes if it is there as iamMember",
			before: `{"role":"READER","iamMember":"` + robot + `"}`,
			edit:   func(d Document) bool { return d.Add(reader) },
		},
		{
			name:   "a conditional entry is another one",
			before: `{"role":"READER","userByEmail":"` + email + `","condition":{"title":"t","expression":"true"}}`,
			edit:   func(d Document) bool { return d.Remove(reader) },
		},
		{
			name:   "by the short name too",
			before: mine,
			edit:   func(d Document) bool { return d.Remove(Binding{"READER", robot, Condition{}}) },
			after:  ` `,
		},
		{
			name:   "views, routines, groups and what is not known survive as they are written",
			before: `{"view": {"projectId":"p"}},{"routine":{}},{"dataset":{"targetTypes":["VIEWS"]}},{"specialGroup":"projectReaders","role":"READER"},{"domain":"example.com","role":"READER"},{"new":{"b":1.0}}`,
			edit:   func(d Document) bool { return d.Add(reader) },
			after:  `{"view": {"projectId":"p"}},{"routine":{}},{"dataset":{"targetTypes":["VIEWS"]}},{"specialGroup":"projectReaders","role":"READER"},{"domain":"example.com","role":"READER"},{"new":{"b":1.0}},` + mine,
		},
		{
			name:    "the dead are not sent back, and are named",
			before:  `{"role":"WRITER","iamMember":"deleted:group:g@example.com?uid=1"},` + dead,
			edit:    func(d Document) bool { return d.Add(reader) },
			after:   mine,
			dropped: []string{"deleted:group:g@example.com?uid=1", grave},
		},
		{
			name:    "our own dead are removed, not dropped",
			before:  `{"role":"WRITER","groupByEmail":"deleted:group:g@example.com?uid=1"},` + dead + `,` + mine,
			edit:    func(d Document) bool { return d.RemoveAccount(email, "104857600000000000001") },
			after:   ` `,
			dropped: []string{"deleted:group:g@example.com?uid=1"},
		},
		{
			name:   "groups, domains and principals have fields of their own",
			before: ``,
			edit: func(d Document) bool {
				return d.Add(Binding{"roles/bigquery.dataOwner", "group:g@example.com", Condition{}}) &&
					d.Add(Binding{"roles/bigquery.dataEditor", "domain:example.com", Condition{}}) &&
					d.Add(Binding{"roles/bigquery.dataViewer", "user:jo@example.com", Condition{}}) &&
					d.Add(Binding{"roles/bigquery.dataViewer", "principal://iam.googleapis.com/x", Condition{}})
			},
			after: `{"role":"OWNER","groupByEmail":"g@example.com"},{"role":"WRITER","domain":"example.com"},{"role":"READER","userByEmail":"jo@example.com"},{"role":"READER","iamMember":"principal://iam.googleapis.com/x"}`,
		},
	} {
		doc := decode(t, resource.Dataset, head+tt.before+`]}`)
		changed := tt.edit(doc)
		if changed != (tt.after != "") {
			t.Errorf("%s: changed = %v", tt.name, changed)
		}
		want := tt.after
		switch want {
		case "":
			want = tt.before
		case " ":
			want = ""
		}
		if diff := cmp.Diff(`{"access":[`+want+`]}`, encode(t, doc)); diff != "" {
			t.Errorf("%s:\n%s", tt.name, diff)
		}
		var dropped []string
		for _, b := range doc.Dropped() {
			dropped = append(dropped, b.Member)
		}
		if diff := cmp.Diff(tt.dropped, dropped); diff != "" {
			t.Errorf("%s: dropped:\n%s", tt.name, diff)
		}
	}
}

func TestAccessAccount(t *testing.T) {
	t.Parallel()
	doc := decode(t, resource.Dataset, `{"etag":"e","access":[
		{"role":"OWNER","userByEmail":"jo@example.com"},
		{"role":"READER","userByEmail":"robot@acme-agents.iam.gserviceaccount.com","condition":{"title":"t","expression":"true"}},
		{"role":"roles/bigquery.metadataViewer","iamMember":"`+grave+`"},
		{"view":{"projectId":"p"}}]}`)
	want := []Binding{
		{"roles/bigquery.dataOwner", "user:jo@example.com", Condition{}},
		{"roles/bigquery.dataViewer", robot, Condition{Title: "t", Expression: "true"}},
		{"roles/bigquery.metadataViewer", grave, Condition{}},
	}
	if diff := cmp.Diff(want, doc.Bindings()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want[1:], doc.Account("robot@acme-agents.iam.gserviceaccount.com", "104857600000000000001")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want[1:2], doc.Account("robot@acme-agents.iam.gserviceaccount.com", "")); diff != "" {
		t.Error(diff)
	}
}
