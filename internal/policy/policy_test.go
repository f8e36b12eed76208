package policy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/resource"
)

func decode(t testing.TB, d resource.Dialect, data string) Document {
	t.Helper()
	doc, err := Decode(d, []byte(data))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func encode(t testing.TB, doc Document) string {
	t.Helper()
	out, err := doc.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

const (
	robot  = "serviceAccount:robot@acme-agents.iam.gserviceaccount.com"
	grave  = "deleted:serviceAccount:robot@acme-agents.iam.gserviceaccount.com?uid=104857600000000000001"
	viewer = "roles/storage.objectViewer"
)

var until2026 = Condition{Title: "taskiam r", Expression: `request.time < timestamp("2026-01-01T00:00:00Z")`}

func TestPolicyEdits(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, before string
		edit         func(Document) bool
		after        string // "" means unchanged
	}{
		{
			name:   "the never-set policy",
			before: `{"etag":"ACAB"}`,
			edit:   func(d Document) bool { return d.Add(Binding{viewer, robot, Condition{}}) },
			after:  `{"etag":"ACAB","bindings":[{"role":"` + viewer + `","members":["` + robot + `"]}]}`,
		},
		{
			name:   "a condition makes it version 3",
			before: `{"version":1,"etag":"BwX="}`,
			edit:   func(d Document) bool { return d.Add(Binding{viewer, robot, until2026}) },
			after:  `{"version":3,"etag":"BwX=","bindings":[{"role":"` + viewer + `","members":["` + robot + `"],"condition":{"title":"taskiam r","expression":"request.time < timestamp(\"2026-01-01T00:00:00Z\")"}}]}`,
		},
		{
			name:   "a conditional binding of the role is another binding",
			before: `{"etag":"BwX=","version":3,"bindings":[{"role":"` + viewer + `","members":["user:jo@example.com"],"condition":{"title":"t","expression":"true"}}]}`,
			edit:   func(d Document) bool { return d.Add(Binding{viewer, robot, Condition{}}) },
			after:  `{"etag":"BwX=","version":3,"bindings":[{"role":"` + viewer + `","members":["user:jo@example.com"],"condition":{"title":"t","expression":"true"}},{"role":"` + viewer + `","members":["` + robot + `"]}]}`,
		},
		{
			name:   "conditions of another title or description are others",
			before: `{"etag":"BwX=","version":3,"bindings":[{"role":"r","members":["user:jo@example.com"],"condition":{"title":"t","description":"d","expression":"true"}}]}`,
			edit: func(d Document) bool {
				return d.Remove(Binding{"r", "user:jo@example.com", Condition{"t", "", "true"}})
			},
		},
		{
			name:   "into the binding that is there; unknown fields and the way it is written survive",
			before: `{ "kind":"storage#policy" ,"resourceId":"projects/_/buckets/b","version":1,"etag":"CAI=", "bindings":[ {"role":"a","members":["user:\u0061@example.com" ], "x":{"y" : [1, 2.50]}} , {"role":"b", "members":[ "allUsers" ]}],"auditConfigs":[{"service":"allServices"}] }`,
			edit:   func(d Document) bool { return d.Add(Binding{"a", robot, Condition{}}) },
			after:  `{"kind":"storage#policy","resourceId":"projects/_/buckets/b","version":1,"etag":"CAI=","bindings":[{"role":"a","members":["user:\u0061@example.com","` + robot + `"],"x":{"y" : [1, 2.50]}},{"role":"b", "members":[ "allUsers" ]}],"auditConfigs":[{"service":"allServices"}]}`,
		},
		{
			name:   "nothing changes if it is there already, written another way",
			before: `{"etag":"BwX=","bindings":[{"role":"a","members":["serviceAccount:robot\u0040acme-agents.iam.gserviceaccount.com"]}]}`,
			edit:   func(d Document) bool { return d.Add(Binding{"a", robot, Condition{}}) },
		},
		{
			name:   "the last member takes the binding along",
			before: `{"etag":"BwX=","bindings":[{"role":"a","members":["` + robot + `"]},{"role":"b","members":["` + robot + `","user:jo@example.com"]}]}`,
			edit:   func(d Document) bool { return d.Remove(Binding{"a", robot, Condition{}}) },
			after:  `{"etag":"BwX=","bindings":[{"role":"b","members":["` + robot + `","user:jo@example.com"]}]}`,
		},
		{
			name:   "an account goes from every binding, live and dead, and no other does",
			before: `{"etag":"BwX=","bindings":[{"role":"a","members":["` + robot + `","user:jo@example.com","` + grave + `"]},{"role":"b","members":["` + grave + `"]},{"role":"c","members":["deleted:serviceAccount:robot@acme-agents.iam.gserviceaccount.com?uid=999"]}],"auditConfigs":[{"auditLogConfigs":[{"exemptedMembers":["` + robot + `"]}]}]}`,
			edit: func(d Document) bool {
				return d.RemoveAccount("robot@acme-agents.iam.gserviceaccount.com", "104857600000000000001")
			},
			after: `{"etag":"BwX=","bindings":[{"role":"a","members":["user:jo@example.com"]},{"role":"c","members":["deleted:serviceAccount:robot@acme-agents.iam.gserviceaccount.com?uid=999"]}],"auditConfigs":[{"auditLogConfigs":[{"exemptedMembers":["` + robot + `"]}]}]}`,
		},
		{
			name:   "without its unique id the dead stay",
			before: `{"etag":"BwX=","bindings":[{"role":"a","members":["` + grave + `"]}]}`,
			edit:   func(d Document) bool { return d.RemoveAccount("robot@acme-agents.iam.gserviceaccount.com", "") },
		},
		{
			name:   "an empty email names nobody",
			before: `{"etag":"BwX=","bindings":[{"role":"a","members":["serviceAccount:"]}]}`,
			edit:   func(d Document) bool { return d.RemoveAccount("", "") },
		},
		{
			name:   "who is not there is not removed",
			before: `{"etag":"BwX=","bindings":[{"role":"a","members":["user:jo@example.com"]}]}`,
			edit:   func(d Document) bool { return d.Remove(Binding{"a", robot, Condition{}}) },
		},
		{
			name:   "a null condition is none",
			before: `{"etag":"BwX=","bindings":[{"role":"a","condition":null,"members":["user:jo@example.com"]}]}`,
			edit:   func(d Document) bool { return d.Add(Binding{"a", "user:jo@example.com", Condition{}}) },
		},
	} {
		for _, dialect := range []resource.Dialect{resource.Standard, resource.Bucket} {
			doc := decode(t, dialect, tt.before)
			untouched := encode(t, doc)
			changed := tt.edit(doc)
			if changed != (tt.after != "") {
				t.Errorf("%s: changed = %v", tt.name, changed)
			}
			want := tt.after
			if want == "" {
				want = untouched
			}
			if diff := cmp.Diff(want, encode(t, doc)); diff != "" {
				t.Errorf("%s:\n%s", tt.name, diff)
			}
			if tt.edit(doc) {
				t.Errorf("%s: the second time changed something again", tt.name)
			}
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		dialect    resource.Dialect
		data, want string
	}{
		{resource.Standard, ``, "decoding policy: EOF"},
		{resource.Standard, `[]`, "expected an object"},
		{resource.Standard, `{"bindings":{}}`, "reading bindings"},
		{resource.Standard, `{"bindings":[{"members":[1]}]}`, "binding 1: reading members"},
		{resource.Standard, `{"etag":"a","etag":"b"}`, `the field "etag" stands there twice`},
		{resource.Standard, `{"bindings":[{"role":"roles/iam.serviceAccountAdmin_withcond_2b17cc25d2cd9e2c54d8"}]}`, "conditions are hidden"},
		{resource.Dataset, `{`, "decoding dataset"},
		{resource.Dataset, `{"access":[{"role":"roles/bigquery.dataViewer_withcond_2b17cc25d2cd9e2c54d8","userByEmail":"jo@example.com"}]}`, "conditions are hidden"},
		{"toast", `{}`, `no document is written in the dialect "toast"`},
	} {
		_, err := Decode(tt.dialect, []byte(tt.data))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Decode(%s, %s): %v, want %q", tt.dialect, tt.data, err, tt.want)
		}
	}
	for _, d := range []resource.Dialect{resource.Standard, resource.Bucket, resource.Dataset} {
		if _, err := decode(t, d, `{}`).Encode(); err == nil {
			t.Errorf("a %s document without an etag is sent", d)
		}
	}
}

func TestBindingsAndAccount(t *testing.T) {
	t.Parallel()
	doc := decode(t, resource.Standard, `{"etag":"e","bindings":[{"role":"a","members":["`+robot+`","allUsers"]},{"role":"b","members":["`+grave+`"],"condition":{"title":"t","expression":"true"}}]}`)
	all := []Binding{{"a", robot, Condition{}}, {"a", "allUsers", Condition{}}, {"b", grave, Condition{Title: "t", Expression: "true"}}}
	if diff := cmp.Diff(all, doc.Bindings()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]Binding{all[0], all[2]}, doc.Account("robot@acme-agents.iam.gserviceaccount.com", "104857600000000000001")); diff != "" {
		t.Error(diff)
	}
	if doc.Etag() != "e" {
		t.Errorf("etag = %q", doc.Etag())
	}
}

func TestRoom(t *testing.T) {
	t.Parallel()
	members := func(n int) string {
		var out []string
		for i := range n {
			out = append(out, fmt.Sprintf(`"user:u%d@example.com"`, i))
		}
		return strings.Join(out, ",")
	}
	full := func(n int) string {
		return `{"etag":"e","bindings":[{"role":"a","members":[` + members(n) + `]}],"auditConfigs":[{"auditLogConfigs":[{"exemptedMembers":["user:u1@example.com"]},{}]}]}`
	}
	many := func(n int) string {
		var out []string
		for i := range n {
			out = append(out, fmt.Sprintf(`{"role":"a","members":["%s"],"condition":{"title":"t%d","expression":"true"}}`, robot, i))
		}
		return `{"etag":"e","bindings":[` + strings.Join(out, ",") + `]}`
	}
	entries := func(n int) string {
		var out []string
		for i := range n {
			out = append(out, fmt.Sprintf(`{"role":"READER","userByEmail":"robot@acme-agents.iam.gserviceaccount.com","condition":{"title":"t%d","expression":"true"}}`, i))
		}
		return `{"etag":"e","access":[` + strings.Join(out, ",") + `]}`
	}
	one := Binding{"a", robot, Condition{}}
	for _, tt := range []struct {
		name    string
		dialect resource.Dialect
		data    string
		add     []Binding
		want    string
	}{
		{"1,500 with the exempted one", resource.Standard, full(1498), []Binding{one}, ""},
		{"1,501 with the exempted one", resource.Standard, full(1499), []Binding{one}, "1501 principals, and Google allows 1500"},
		{"the same addition twice counts once", resource.Standard, full(1498), []Binding{one, one}, ""},
		{"two additions", resource.Standard, full(1498), []Binding{one, {"b", robot, Condition{}}}, "1501 principals"},
		{"full, and nothing to add", resource.Standard, full(1600), []Binding{{"a", "user:u7@example.com", Condition{}}}, ""},
		{"20 conditions", resource.Standard, many(19), []Binding{{"a", robot, until2026}}, ""},
		{"21 conditions", resource.Bucket, many(20), []Binding{{"a", robot, until2026}}, "under 21 different conditions, and Google allows 20"},
		{"another role", resource.Standard, many(20), []Binding{{"b", robot, until2026}}, ""},
		{"20 conditions of a dataset", resource.Dataset, entries(19), []Binding{{"roles/bigquery.dataViewer", robot, until2026}}, ""},
		{"21 conditions of a dataset", resource.Dataset, entries(20), []Binding{{"roles/bigquery.dataViewer", robot, until2026}}, "under 21 different conditions"},
	} {
		err := decode(t, tt.dialect, tt.data).Room(tt.add)
		if tt.want == "" {
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) || !fault.Is(err, fault.Precondition) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// naive is a policy as a second person would write it: a set of triples. What it says
// is what must be true of a Policy after every edit.
type naive map[Binding]bool

func (n naive) edit(op byte, b Binding) bool {
	was := n[b]
	switch op % 3 {
	case 0:
		n[b] = true
		return !was
	case 1:
		delete(n, b)
		return was
	}
	changed := false
	for x := range n {
		if dead := strings.HasPrefix(x.Member, "deleted:"); x.Member == b.Member && !dead || x.Member == "deleted:"+b.Member+"?uid=7" {
			delete(n, x)
			changed = true
		}
	}
	return changed
}

func apply(d Document, op byte, b Binding) bool {
	switch op % 3 {
	case 0:
		return d.Add(b)
	case 1:
		return d.Remove(b)
	}
	return d.RemoveAccount(strings.TrimPrefix(b.Member, "serviceAccount:"), "7")
}

// vocabulary picks a binding by a byte, few enough for edits to meet.
func vocabulary(pick byte) Binding {
	accounts := []string{"serviceAccount:a@p.iam.gserviceaccount.com", "serviceAccount:b@p.iam.gserviceaccount.com", "deleted:serviceAccount:a@p.iam.gserviceaccount.com?uid=7", "deleted:serviceAccount:a@p.iam.gserviceaccount.com?uid=8"}
	conditions := []Condition{{}, {"t", "", "true"}, {"t", "d", "true"}, {"u", "", "true"}}
	roles := []string{"roles/bigquery.dataViewer", "roles/storage.objectViewer"}
	return Binding{roles[pick>>4&1], accounts[pick&3], conditions[pick>>2&3]}
}

// state is what a document says, as a set, and how often it says it.
func state(d Document) map[Binding]int {
	out := map[Binding]int{}
	for _, b := range d.Bindings() {
		out[b]++
	}
	return out
}

// FuzzDocument edits a policy and a dataset, and compares every step with the naive
// policy, and the neighbours with what they were.
func FuzzDocument(f *testing.F) {
	f.Add([]byte{0, 0, 1, 0, 2, 0})
	f.Add([]byte{0, 2, 0, 0, 0, 1, 0, 4, 2, 0, 1, 1})
	f.Add([]byte{0, 19, 0, 23, 1, 19, 0, 3, 2, 1})
	const (
		policy  = `{"etag":"e","x":1,"bindings":[{"role":"roles/storage.objectViewer","members":["user:jo@example.com"],"y":2},{"role":"roles/bigquery.dataViewer","members":["group:g@example.com"],"condition":{"title":"t","expression":"true","location":"here"}}],"auditConfigs":[{"service":"s"}]}`
		dataset = `{"etag":"e","access":[{"role":"OWNER","specialGroup":"projectOwners"},{"view":{"projectId":"p","datasetId":"d","tableId":"t"}},{"role":"READER","userByEmail":"jo@example.com","new":[1 , 2]},{"role":"READER","groupByEmail":"g@example.com","condition":{"title":"t","expression":"true"}}]}`
	)
	f.Fuzz(func(t *testing.T, ops []byte) {
		ops = ops[:min(len(ops), 128)] // longer ones reach nothing new, and take their time
		for _, start := range []struct {
			dialect    resource.Dialect
			data       string
			neighbours []string
		}{
			{resource.Standard, policy, []string{`"x":1`, `"auditConfigs":[{"service":"s"}]`, `"user:jo@example.com"`, `"y":2`, `"location":"here"`}},
			{resource.Dataset, dataset, []string{`{"view":{"projectId":"p","datasetId":"d","tableId":"t"}}`, `{"role":"READER","userByEmail":"jo@example.com","new":[1 , 2]}`, `{"role":"OWNER","specialGroup":"projectOwners"}`}},
		} {
			doc := decode(t, start.dialect, start.data)
			model := naive{}
			for b := range state(doc) {
				model[b] = true
			}
			original := encode(t, doc)
			foreign := len(model)
			for i := 0; i+1 < len(ops); i += 2 {
				op, b := ops[i], vocabulary(ops[i+1])
				if got, want := apply(doc, op, b), model.edit(op, b); got != want {
					t.Fatalf("%s: operation %d on %v changed: %v, want %v", start.dialect, op%3, b, got, want)
				}
				got := state(doc)
				for b := range model {
					if got[b] != 1 {
						t.Fatalf("%s: %v is there %d times", start.dialect, b, got[b])
					}
				}
				if len(got) != len(model) {
					t.Fatalf("%s: says %v, want %v", start.dialect, got, model)
				}
				sent := encode(t, doc)
				if !json.Valid([]byte(sent)) {
					t.Fatalf("%s: not JSON: %s", start.dialect, sent)
				}
				for _, n := range start.neighbours {
					if !strings.Contains(sent, n) {
						t.Fatalf("%s: lost %s in %s", start.dialect, n, sent)
					}
				}
				if start.dialect == resource.Standard {
					again := decode(t, start.dialect, sent)
					if diff := cmp.Diff(doc.Bindings(), again.Bindings()); diff != "" {
						t.Fatalf("what is sent says something else:\n%s", diff)
					}
				} else if strings.Contains(sent, "deleted:") {
					t.Fatalf("a deleted member is sent: %s", sent)
				}
			}
			// Take everything of ours out again: the document is as it was.
			for _, b := range slices.Clone(doc.Bindings()) {
				if strings.Contains(b.Member, "serviceAccount:") {
					if !doc.Remove(b) {
						t.Fatalf("%s: %v is listed and cannot be removed", start.dialect, b)
					}
				}
			}
			if len(doc.Bindings()) != foreign {
				t.Fatalf("%s: %v are left", start.dialect, doc.Bindings())
			}
			if diff := cmp.Diff(canonical(t, original), canonical(t, encode(t, doc))); diff != "" {
				t.Fatalf("%s: not as before:\n%s", start.dialect, diff)
			}
		}
	})
}

// canonical is a document's content without what an edit may change for good: the
// version, which is 3 from the first condition on.
func canonical(t *testing.T, data string) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(data), &v); err != nil {
		t.Fatal(err)
	}
	delete(v, "version")
	return v
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{"etag":"ACAB"}`, `{"etag":"e","bindings":[{"role":"a","members":["user:x"],"condition":{"title":"t"}}]}`, `{"etag":"e","access":[{"role":"OWNER","specialGroup":"x"},{"view":{}}]}`, "{\"\\u0061\" :\t1 , \"b\":{} }"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, data string) {
		for _, d := range []resource.Dialect{resource.Standard, resource.Dataset} {
			doc, err := Decode(d, []byte(data))
			if err != nil || doc.Etag() == "" {
				continue
			}
			before := slices.Clone(doc.Bindings())
			sent := encode(t, doc)
			if !json.Valid([]byte(sent)) {
				t.Fatalf("%s: not JSON: %s", d, sent)
			}
			b := Binding{"roles/x.fresh", "serviceAccount:fresh@p.iam.gserviceaccount.com", until2026}
			if doc.Has(b) {
				continue
			}
			if !doc.Add(b) || !doc.Has(b) || doc.Add(b) || !doc.Remove(b) || doc.Has(b) || doc.Remove(b) {
				t.Fatalf("%s: adding and removing %v does not work on %s", d, b, data)
			}
			if diff := cmp.Diff(before, doc.Bindings()); diff != "" {
				t.Fatalf("%s: not as before:\n%s", d, diff)
			}
		}
	})
}

// Reading a document takes as long as it is large, and not its square: this one took half a minute.
func TestDocumentsOfManyFieldsAreRead(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString(`{"etag":"e"`)
	for i := range 40_000 {
		fmt.Fprintf(&b, `,"f%d":1`, i)
	}
	b.WriteString("}")
	began := time.Now()
	if _, err := Decode(resource.Standard, []byte(b.String())); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("reading %d bytes took %s", b.Len(), took)
	}
}

// Room is never less than none, however full a policy is.
func TestMembersLeftIsNeverNegative(t *testing.T) {
	t.Parallel()
	for _, have := range []int{0, maxMembers - 1, maxMembers, maxMembers + 100} {
		members := make([]string, have)
		for i := range members {
			members[i] = fmt.Sprintf("user:u%d@acme.example", i)
		}
		raw, err := json.Marshal(map[string]any{"etag": "a", "bindings": []any{map[string]any{"role": viewer, "members": members}}})
		if err != nil {
			t.Fatal(err)
		}
		for add := range 3 {
			var more []Binding
			for i := range add {
				more = append(more, Binding{Role: viewer, Member: fmt.Sprintf("user:new%d@acme.example", i)})
			}
			left, ok := MembersLeft(decode(t, resource.Standard, string(raw)), more)
			if want := max(0, maxMembers-have-add); !ok || left != want {
				t.Errorf("%d members and %d more leave room for %d, want %d", have, add, left, want)
			}
		}
	}
}
