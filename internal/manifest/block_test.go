package manifest

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/review"
)

const header = "version = 1\n[task]\nname = \"t\"\nproject = \"acme-agents\"\n"

// What is offered for a type that takes no conditions can be pasted as it is: it reads as
// what was offered, ends by itself, and says what it widens.
func TestEveryOfferReads(t *testing.T) {
	t.Parallel()
	offered := 0
	for _, typ := range resource.Types() {
		name, _, err := resource.Parse(typ.Example)
		if err != nil {
			t.Fatal(err)
		}
		o, ok := review.OfferFor(grants.Grant{Role: "roles/pubsub.viewer", Resource: name})
		// What lies in no project, folder or organization has nothing around it to bind on.
		_, inside, _ := strings.Cut(name.Relative(), "/")
		within := strings.HasPrefix(name.Relative(), "projects/") || strings.HasPrefix(name.Relative(), "organizations/") && typ.Service != "apigee.googleapis.com"
		if want := !typ.Conditions && within && strings.Contains(inside, "/"); ok != want {
			t.Errorf("a grant on a %s, which takes conditions (%t), has an offer: %t", typ.Kind, typ.Conditions, ok)
		}
		if !ok {
			continue
		}
		offered++
		if o.Widens == "" {
			t.Errorf("it is not said what the offer for a %s widens", typ.Kind)
		}
		task, err := Parse("task.toml", []byte(header+Block(o.Grant)), Limits{})
		if err != nil {
			t.Errorf("the offer for a %s is refused: %v\n%s", typ.Kind, err, Block(o.Grant))
			continue
		}
		if diff := cmp.Diff([]grants.Grant{o.Grant}, task.Grants, sameName); diff != "" {
			t.Errorf("the offer for a %s (-offered +read):\n%s", typ.Kind, diff)
		}
		plan := grants.NewPlan(task, grants.NewRunID(time.Unix(1e9, 0), [5]byte{}))
		if c := plan.Edits[0].Bindings[0].Condition; c.IsZero() || !task.Grants[0].Bounded() || plan.WorksUntil(task.Grants[0]) != plan.Expires {
			t.Errorf("the offer for a %s does not end by itself: %+v", typ.Kind, c)
		}
	}
	if offered < 3 {
		t.Errorf("there are offers for %d types", offered)
	}
}

func TestOffer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ role, on, want string }{
		{"roles/pubsub.publisher", "projects/acme-agents/topics/reports", "[[grant]]\nrole     = \"roles/pubsub.publisher\"\nresource = \"projects/acme-agents\"\n"},
		// A project may be written by its number, or in a domain.
		{"roles/pubsub.subscriber", "projects/42/subscriptions/worker", "[[grant]]\nrole     = \"roles/pubsub.subscriber\"\nresource = \"projects/42\"\n"},
		{"roles/bigquery.dataViewer", "projects/acme-data/datasets/sales/tables/orders", `[[grant]]
role      = "roles/bigquery.dataViewer"
resource  = "bq://acme-data.sales"
condition = 'resource.type == "bigquery.googleapis.com/Table" && resource.name == "projects/acme-data/datasets/sales/tables/orders"'
`},
		{"roles/cloudsql.client", "//sqladmin.googleapis.com/projects/acme-agents/instances/main", `[[grant]]
role      = "roles/cloudsql.client"
resource  = "projects/acme-agents"
condition = 'resource.type == "sqladmin.googleapis.com/Instance" && resource.name == "projects/acme-agents/instances/main"'
`},
		{"roles/parametermanager.parameterAccessor", "projects/acme-agents/locations/global/parameters/p", "[[grant]]\nrole     = \"roles/parametermanager.parameterAccessor\"\nresource = \"projects/acme-agents\"\n"},
		{"roles/parametermanager.parameterAccessor", "projects/42/locations/global/parameters/p", `[[grant]]
role      = "roles/parametermanager.parameterAccessor"
resource  = "projects/42"
condition = 'resource.type == "parametermanager.googleapis.com/Parameter" && resource.name == "projects/42/locations/global/parameters/p"'
`},
		{"roles/viewer", "projects/acme-agents/topics/reports", ""}, // takes conditions nowhere
		{"roles/storage.legacyBucketReader", "gs://acme-reports", ""},
		{"roles/storage.objectViewer", "gs://acme-reports", ""}, // ends by itself
	} {
		name, _, err := resource.Parse(tt.on)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if o, ok := review.OfferFor((grants.Grant{Role: tt.role, Resource: name})); ok {
			got = Block(o.Grant)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s on %s (-want +got):\n%s", tt.role, tt.on, diff)
		}
	}
}

// The error that demands unbounded names the other way out, too.
func TestOfferBesideTheError(t *testing.T) {
	t.Parallel()
	src := header + "[[grant]]\nrole = \"roles/pubsub.publisher\"\nresource = \"projects/acme-agents/topics/reports\"\n"
	_, err := Parse("f", []byte(src), Limits{})
	problems, _ := err.(interface{ Unwrap() error }).Unwrap().(Problems)
	const want = `or let it expire: resource = "projects/acme-agents"; the role then applies to every topic in projects/acme-agents, ` +
		"and to everything else there that it covers; it cannot be limited to this one, because a topic has no resource.name in conditions"
	if len(problems) != 1 || problems[0].Or != want || problems[0].Fix != unboundedFix {
		t.Errorf("the problems are %+v", problems)
	}
}

// Whatever stands in a grant, its block reads as it.
func FuzzBlock(f *testing.F) {
	f.Add("2026/", `request.host == "x"`)
	f.Add("it's \"q\" \\ é", "'a' == \"b\" && true")
	f.Add("\x7f", "a\n\t\\b\"\"\"")
	f.Add("", "'\xff' != \"\"")
	f.Add("", "\xff")
	f.Fuzz(func(t *testing.T, prefix, condition string) {
		name, prefix, err := resource.Parse("gs://acme-reports/" + prefix)
		if err != nil {
			return
		}
		g := grants.Grant{Role: "roles/storage.objectViewer", Resource: name, Prefix: prefix, Condition: condition}
		task, err := Parse("f", []byte(header+Block(g)), Limits{})
		if err != nil {
			return // the condition is none, or not UTF-8
		}
		if diff := cmp.Diff([]grants.Grant{g}, task.Grants, sameName, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
