package review

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
)

func parsed(t *testing.T, name string) resource.Name {
	t.Helper()
	n, _, err := resource.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestEffectiveOn: what the account can do on a resource comes from its grants there and above, and from what reaches
// it without naming it; what is not true there, somebody else's, or not known, gives nothing.
func TestEffectiveOn(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	secret, project, byNumber := parsed(t, "projects/acme-data/secrets/s"), parsed(t, "projects/acme-data"), parsed(t, "projects/42")
	folder, unread := parsed(t, "folders/7"), parsed(t, "organizations/8")
	when := func(expression string) policy.Condition { return policy.Condition{Title: "t", Expression: expression} }
	const services = "/type/ServiceAccount"
	s := Surroundings{
		Above: map[resource.Name][]resource.Name{
			secret: {project, folder, unread}, parsed(t, "projects/acme-agents"): {folder},
		},
		Same:    map[resource.Name]resource.Name{byNumber: project},
		Numbers: map[string]string{"acme-agents": "41", "acme-data": "42"},
		Bindings: map[resource.Name][]policy.Binding{
			secret: {
				{Role: "roles/everybody", Member: "allUsers"},
				{Role: "roles/late", Member: "allUsers", Condition: when(policy.UntilExpression(now))},
				{Role: "roles/named", Member: "allUsers", Condition: when(`resource.name == "projects/42/secrets/s"`)},
				{Role: "roles/other", Member: "allUsers", Condition: when(`resource.name == "projects/acme-data/secrets/s"`)},
				{Role: "roles/viewers", Member: "projectViewer:acme-data"},
				{Role: "roles/viewers-elsewhere", Member: "projectViewer:acme-agents"},
				{Role: "roles/editors", Member: "projectEditor:acme-data"},
				{Role: "roles/somebody", Member: "user:mara@acme.example"},
				{Role: "roles/unknown", Member: "allUsers"},
			},
			project: {
				{Role: "roles/of-the-host", Member: policy.PrincipalSets + "projects/41" + services},
				{Role: "roles/of-another-project", Member: policy.PrincipalSets + "projects/43" + services},
			},
			folder: {
				{Role: "roles/of-the-folder", Member: policy.PrincipalSets + "folders/7" + services},
				{Role: "roles/of-another-folder", Member: policy.PrincipalSets + "folders/9" + services},
			},
		},
		Unseen: map[resource.Name][]string{secret: {"what is above it"}},
	}
	plan := grants.Plan{
		Task: grants.Task{Project: "acme-agents", Grants: []grants.Grant{
			{Role: "roles/granted", Resource: secret}, {Role: "roles/viewer", Resource: byNumber},
			{Role: "roles/granted-elsewhere", Resource: parsed(t, "gs://b-1")},
		}},
		Edits: []grants.Edit{
			{Resource: secret, Bindings: []policy.Binding{{Role: "roles/granted"}}, Grants: []int{0}},
			{Resource: byNumber, Bindings: []policy.Binding{{Role: "roles/viewer"}}, Grants: []int{1}},
			{Resource: parsed(t, "gs://b-1"), Bindings: []policy.Binding{{Role: "roles/granted-elsewhere"}}, Grants: []int{2}},
		},
	}
	roles := map[string]grants.Role{}
	note := func(role string) {
		if role != "roles/unknown" {
			roles[role] = grants.Role{Name: role, Permissions: []string{strings.TrimPrefix(role, "roles/")}}
		}
	}
	for _, bindings := range s.Bindings {
		for _, b := range bindings {
			note(b.Role)
		}
	}
	for _, g := range plan.Task.Grants {
		note(g.Role)
	}
	got := EffectiveOn(plan, secret, s, roles, now)
	want := []string{"everybody", "granted", "named", "of-the-folder", "of-the-host", "viewer", "viewers"}
	if diff := cmp.Diff(want, got.Permissions); diff != "" {
		t.Errorf("permissions (-want +got):\n%s", diff)
	}
	unknown := []string{"the permissions of roles/unknown", "the policy of organizations/8", "what is above it"}
	if diff := cmp.Diff(unknown, got.Unknown); diff != "" {
		t.Errorf("not known (-want +got):\n%s", diff)
	}
	var untrue []string
	for _, source := range got.Sources {
		if !source.Holds {
			untrue = append(untrue, source.Binding.Role)
		}
	}
	if want := []string{"roles/late", "roles/other"}; !slices.Equal(untrue, want) {
		t.Errorf("not true there are %q, want %q", untrue, want)
	}
}

// TestOfferFor: what takes no condition is offered on what it is in, narrowed to itself where a condition can name it.
func TestOfferFor(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ role, on, in, condition string }{
		{"roles/pubsub.publisher", "projects/acme-agents/topics/reports", "projects/acme-agents", ""}, // has no name in conditions
		{"roles/bigquery.dataViewer", "projects/acme-data/datasets/sales/tables/orders", "bq://acme-data.sales",
			`resource.type == "bigquery.googleapis.com/Table" && resource.name == "projects/acme-data/datasets/sales/tables/orders"`},
		{"roles/storage.objectViewer", "gs://acme-reports", "", ""}, // ends by itself
		{"roles/viewer", "projects/acme-agents/topics/reports", "", ""},
	} {
		o, ok := OfferFor(grants.Grant{Role: tt.role, Resource: parsed(t, tt.on)})
		if !ok && tt.in == "" {
			continue
		}
		if !ok || o.Grant.Resource.String() != tt.in || o.Grant.Condition != tt.condition || o.Grant.Role != tt.role {
			t.Errorf("%s on %s: %+v, %v", tt.role, tt.on, o, ok)
		}
	}
}
