package review_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/review"
)

func onResource(t *testing.T, role, name string) grants.Grant {
	t.Helper()
	n, _, err := resource.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	return grants.Grant{Role: role, Resource: n}
}

// TestOperatorNeedsFollowTheDelivery: a way of delivery that the task does not have costs
// no permission.
func TestOperatorNeedsFollowTheDelivery(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		deliver         []grants.DeliveryKind
		audiences       []string
		keys, mint, ids bool
	}{
		{deliver: nil, keys: true, mint: true},
		{deliver: []grants.DeliveryKind{delivery.Key}, keys: true},
		{deliver: []grants.DeliveryKind{delivery.Token}, mint: true},
		{deliver: []grants.DeliveryKind{delivery.Metadata}, audiences: []string{"https://x"}, mint: true, ids: true},
		{deliver: []grants.DeliveryKind{delivery.Key, delivery.Token}, keys: true, mint: true},
	} {
		needs := review.OperatorNeeds(grants.Task{Project: "acme-agents", Deliver: c.deliver, Audiences: c.audiences})
		if len(needs) != 1 || needs[0].On.String() != "projects/acme-agents" {
			t.Fatalf("%v: %+v", c.deliver, needs)
		}
		want := slices.Clone(review.AccountPermissions)
		if c.keys {
			want = append(want, delivery.Of(delivery.Key).Permissions...)
		}
		if c.mint {
			want = append(want, delivery.MintPermission)
		}
		if c.ids {
			want = append(want, review.MintIDPermission)
		}
		if d := cmp.Diff(want, needs[0].Permissions); d != "" {
			t.Errorf("%v (-want +got):\n%s", c.deliver, d)
		}
	}
}

// TestOperatorAccess: a role of each project for each kind of resource, a binding for each
// resource, and a fence with the roles that the tasks bind on that very one.
func TestOperatorAccess(t *testing.T) {
	t.Parallel()
	key := []grants.DeliveryKind{delivery.Key}
	tasks := []grants.Task{
		{Project: "acme-agents", Deliver: key, Grants: []grants.Grant{
			onResource(t, "roles/storage.objectViewer", "gs://one-b"),
			onResource(t, "roles/storage.objectViewer", "gs://two-b"),
			onResource(t, "organizations/12/roles/own", "projects/acme-data"),
			onResource(t, "roles/browser", "folders/34"),
		}},
		{Project: "acme-agents", Deliver: key, Grants: []grants.Grant{
			onResource(t, "roles/storage.objectCreator", "gs://one-b"),
			onResource(t, "roles/browser", "organizations/12"),
		}},
	}
	a := review.NewOperatorAccess(tasks, "user:x@acme.example", func(n resource.Name) string {
		if n.Var("bucket") == "one-b" {
			return "acme-data"
		}
		return ""
	})
	var got []string
	for _, r := range a.Roles {
		got = append(got, r.Name()+": "+strings.Join(r.Permissions, " "))
	}
	for _, b := range a.Bindings {
		got = append(got, strings.TrimSpace(b.Role+" on "+b.Resource.String()+" "+strings.TrimPrefix(b.Condition.Expression, `api.getAttribute("iam.googleapis.com/modifiedGrantsByRole", [])`)))
	}
	want := []string{
		"projects/acme-agents/roles/taskiamOperator: " + strings.Join(slices.Concat(review.AccountPermissions, delivery.Of(delivery.Key).Permissions), " "),
		"projects/acme-data/roles/taskiamBindBucket: storage.buckets.getIamPolicy storage.buckets.setIamPolicy",
		"projects/PROJECT/roles/taskiamBindBucket: storage.buckets.getIamPolicy storage.buckets.setIamPolicy",
		"projects/acme-data/roles/taskiamBindProject: resourcemanager.projects.getIamPolicy resourcemanager.projects.setIamPolicy",
		"organizations/12/roles/taskiamRoles: iam.roles.get",
		"organizations/12/roles/taskiamBindOrganization: resourcemanager.organizations.getIamPolicy resourcemanager.organizations.setIamPolicy",
		"projects/acme-agents/roles/taskiamOperator on projects/acme-agents",
		`projects/acme-data/roles/taskiamBindBucket on gs://one-b .hasOnly(["roles/storage.objectViewer", "roles/storage.objectCreator"])`,
		`projects/PROJECT/roles/taskiamBindBucket on gs://two-b .hasOnly(["roles/storage.objectViewer"])`,
		`projects/acme-data/roles/taskiamBindProject on projects/acme-data .hasOnly(["organizations/12/roles/own"])`,
		"organizations/12/roles/taskiamRoles on organizations/12",
		`roles/resourcemanager.folderIamAdmin on folders/34 .hasOnly(["roles/browser"])`,
		`organizations/12/roles/taskiamBindOrganization on organizations/12 .hasOnly(["roles/browser"])`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
