package policy

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/internal/resource"
)

func decoded(t *testing.T, dialect resource.Dialect, data string) Document {
	t.Helper()
	doc, err := Decode(dialect, []byte(data))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

const sentPolicy = `{"etag":"a","version":3,"bindings":[
	{"role":"roles/viewer","members":["user:a@x.example","serviceAccount:s@p.iam.gserviceaccount.com"],
	 "condition":{"title":"office hours","expression":"request.time.getHours() < 18"}},
	{"role":"roles/editor","members":["group:Team@x.example"]}],
	"auditConfigs":[{"service":"allServices","auditLogConfigs":[{"logType":"DATA_READ","exemptedMembers":["user:a@x.example"]}]}]}`

// What a service stored otherwise than it was told is seen, whatever it is; what means the same is not.
func TestCompare(t *testing.T) {
	t.Parallel()
	hours := Condition{Title: "office hours", Expression: "request.time.getHours() < 18"}
	account := Binding{"roles/viewer", "serviceAccount:s@p.iam.gserviceaccount.com", hours}
	user := Binding{"roles/viewer", "user:a@x.example", hours}
	bare := func(b Binding) Binding { b.Condition = Condition{}; return b }
	audit := `"auditConfigs":[{"auditLogConfigs":[{"exemptedMembers":["user:a@x.example"],"logType":"DATA_READ"}],"service":"allServices"}]`
	both := `{"role":"roles/viewer","members":["user:a@x.example","serviceAccount:s@p.iam.gserviceaccount.com"],"condition":{"title":"office hours","expression":"request.time.getHours() < 18"}}`
	team := `{"role":"roles/editor","members":["group:team@x.example"]}`
	for name, tt := range map[string]struct {
		stored string
		want   Difference
	}{
		"the same in another order": {`{"bindings":[` + team + `,` + both + `],` + audit + `,"etag":"b"}`, Difference{}},
		"split, and one deleted": {`{"bindings":[` + team + `,
			{"role":"roles/viewer","members":["user:a@x.example"],"condition":{"title":"office hours","expression":"request.time.getHours() < 18"}},
			{"role":"roles/viewer","members":["deleted:serviceAccount:s@p.iam.gserviceaccount.com?uid=123"],"condition":{"title":"office hours","expression":"request.time.getHours() < 18"}}
			],` + audit + `}`, Difference{}},
		"without the condition": {`{"bindings":[` + team + `,{"role":"roles/viewer","members":["user:a@x.example","serviceAccount:s@p.iam.gserviceaccount.com"]}],` + audit + `}`,
			Difference{Lost: []Binding{account, user}, Gained: []Binding{bare(account), bare(user)}}},
		"another title":      {`{"bindings":[` + team + `,{"role":"roles/viewer","members":["user:a@x.example","serviceAccount:s@p.iam.gserviceaccount.com"],"condition":{"title":"t","expression":"request.time.getHours() < 18"}}],` + audit + `}`, Difference{Lost: []Binding{account, user}, Gained: []Binding{{"roles/viewer", account.Member, Condition{Title: "t", Expression: hours.Expression}}, {"roles/viewer", user.Member, Condition{Title: "t", Expression: hours.Expression}}}}},
		"a member lost":      {`{"bindings":[` + both + `],` + audit + `}`, Difference{Lost: []Binding{{"roles/editor", "group:Team@x.example", Condition{}}}}},
		"a member more":      {`{"bindings":[` + both + `,` + team + `,{"role":"roles/owner","members":["user:b@x.example"]}],` + audit + `}`, Difference{Gained: []Binding{{"roles/owner", "user:b@x.example", Condition{}}}}},
		"no audit any more":  {`{"bindings":[` + both + `,` + team + `]}`, Difference{Others: true}},
		"an exemption more":  {`{"bindings":[` + both + `,` + team + `],"auditConfigs":[{"service":"allServices","auditLogConfigs":[{"logType":"DATA_READ"}]}]}`, Difference{Others: true}},
		"a principal's case": {`{"bindings":[` + both + `,` + team + `],` + audit + `,"version":1}`, Difference{}},
	} {
		got := Compare(decoded(t, resource.Standard, sentPolicy), decoded(t, resource.Standard, tt.stored))
		if diff := cmp.Diff(tt.want, got); diff != "" || got.IsZero() != tt.want.IsZero() {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	sent := decoded(t, resource.Dataset, `{"etag":"a","access":[{"role":"OWNER","specialGroup":"projectOwners"},{"view":{"projectId":"p","datasetId":"d","tableId":"t"}},
		{"role":"READER","iamMember":"deleted:user:gone@x.example?uid=1"}]}`)
	for stored, want := range map[string]Difference{
		`{"access":[{"view":{"tableId":"t","projectId":"p","datasetId":"d"}},{"role":"roles/bigquery.dataOwner","specialGroup":"projectOwners"}]}`: {},
		`{"access":[{"role":"OWNER","specialGroup":"projectOwners"}]}`:                                                                             {Others: true},
	} {
		if diff := cmp.Diff(want, Compare(sent, decoded(t, resource.Dataset, stored))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", stored, diff)
		}
	}
}

// In a later version of a policy, only what stands there under another condition is the service's doing.
func TestDifferenceInALaterPolicy(t *testing.T) {
	t.Parallel()
	hours := Condition{Title: "t", Expression: "true"}
	d := Difference{
		Lost:   []Binding{{"roles/a", "user:a@x.example", hours}, {"roles/b", "user:b@x.example", Condition{}}, {"roles/c", "user:c@x.example", hours}},
		Gained: []Binding{{"roles/a", "user:a@x.example", Condition{}}, {"roles/d", "user:d@x.example", Condition{}}, {"roles/c", "user:c@x.example", Condition{}}},
	}
	doc := decoded(t, resource.Standard, `{"etag":"b","bindings":[{"role":"roles/a","members":["user:a@x.example"]},{"role":"roles/d","members":["user:d@x.example"]}]}`)
	if diff := cmp.Diff(Difference{Lost: d.Lost[:1], Gained: d.Gained[:1]}, d.In(doc, true)); diff != "" {
		t.Errorf("later (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Difference{Lost: d.Lost, Gained: d.Gained[:2]}, d.In(doc, false)); diff != "" {
		t.Errorf("the same (-want +got):\n%s", diff)
	}
}

// However a service changes a policy, undoing the difference makes it what was sent, and a policy does
// not differ from itself.
func FuzzCompare(f *testing.F) {
	f.Add([]byte{1, 2, 3}, []byte{1, 3})
	f.Add([]byte{0, 17, 34, 255}, []byte{17, 16, 1})
	f.Fuzz(func(t *testing.T, sent, stored []byte) {
		make := func(choices []byte) Document {
			doc := decoded(t, resource.Standard, `{"etag":"a"}`)
			for _, c := range choices {
				b := Binding{"roles/" + string('a'+rune(c&3)), "user:" + string('a'+rune(c>>2&3)) + "@x.example", Condition{}}
				if n := c >> 4 & 3; n > 0 {
					b.Condition = Condition{Title: string('0' + rune(n)), Expression: "true"}
				}
				doc.Add(b)
			}
			return doc
		}
		want, doc := make(sent), make(stored)
		if d := Compare(want, want); !d.IsZero() {
			t.Fatalf("a policy differs from itself: %+v", d)
		}
		d := Compare(want, doc)
		if there := d.In(doc, false); !slices.Equal(there.Lost, d.Lost) || !slices.Equal(there.Gained, d.Gained) {
			t.Fatalf("the difference %+v is seen as %+v", d, there)
		}
		if changed := d.Undo(doc); changed == d.IsZero() {
			t.Fatalf("undoing %+v: changed is %v", d, changed)
		}
		if again := Compare(want, doc); !again.IsZero() {
			t.Fatalf("after %+v was undone, there is %+v", d, again)
		}
	})
}
