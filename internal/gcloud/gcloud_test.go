package gcloud

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
)

func named(t *testing.T, s string) resource.Name {
	t.Helper()
	name, _, err := resource.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func TestBind(t *testing.T) {
	t.Parallel()
	const table = "//bigquery.googleapis.com/projects/p-123456/datasets/d/tables/t"
	until := policy.Condition{Title: "taskiam r", Expression: `request.time < timestamp("2026-01-01T00:00:00Z")`}
	for name, tt := range map[string]struct {
		on        string
		condition policy.Condition
		want      string // after add-iam-policy-binding; "" if there is no command
	}{
		"no condition":   {"gs://b-1", policy.Condition{}, "gs://b-1 --member=user:a@b.c --role=roles/r --condition=None"},
		"takes none":     {"projects/p-123456/topics/t-1", policy.Condition{}, "t-1 --project=p-123456 --member=user:a@b.c --role=roles/r"},
		"a condition":    {"gs://b-1", until, `gs://b-1 --member=user:a@b.c --role=roles/r --condition='^|^title=taskiam r|expression=request.time < timestamp("2026-01-01T00:00:00Z")'`},
		"a description":  {"gs://b-1", policy.Condition{Title: "t", Description: "d", Expression: "true"}, `gs://b-1 --member=user:a@b.c --role=roles/r --condition='^|^title=t|description=d|expression=true'`},
		"the delimiter":  {"gs://b-1", policy.Condition{Title: "t", Expression: "a || b"}, `gs://b-1 --member=user:a@b.c --role=roles/r --condition='^|~^title=t|~expression=a || b'`},
		"a quote":        {"gs://b-1", policy.Condition{Title: "t", Expression: "'a'"}, `gs://b-1 --member=user:a@b.c --role=roles/r --condition='^|^title=t|expression='\''a'\'''`},
		"flags first":    {table, policy.Condition{}, "--member=user:a@b.c --role=roles/r p-123456:d.t"},
		"several names":  {"projects/p-123456/locations/global/keyRings/r/cryptoKeys/k", policy.Condition{}, "k --keyring=r --location=global --project=p-123456 --member=user:a@b.c --role=roles/r --condition=None"},
		"has no command": {"//bigquery.googleapis.com/projects/p-123456/datasets/d", policy.Condition{}, ""},
	} {
		on := named(t, tt.on)
		add, remove := bind(on, policy.Binding{Role: "roles/r", Member: "user:a@b.c", Condition: tt.condition})
		_, got, _ := strings.Cut(add, " add-iam-policy-binding ")
		if got != tt.want {
			t.Errorf("%s: %s\nwant %s", name, got, tt.want)
		}
		if want := strings.Replace(add, " add-iam-", " remove-iam-", 1); remove != want {
			t.Errorf("%s: removed with %s\nwant %s", name, remove, want)
		}
	}
}

// Each command names a resource by variables that its type has.
func TestGroupsAreOfTypes(t *testing.T) {
	t.Parallel()
	types := map[string]*resource.Type{}
	for _, typ := range resource.Types() {
		types[typ.ID] = typ
	}
	variable := regexp.MustCompile(`\{\+?(\w+)\}`)
	for id, g := range groups {
		typ, ok := types[id]
		if !ok {
			t.Errorf("there is no type %s", id)
			continue
		}
		if !typ.Bindable() {
			t.Errorf("%s has no policy", id)
		}
		has := variable.FindAllStringSubmatch(typ.Pattern, -1)
		for _, m := range variable.FindAllStringSubmatch(g.arguments, -1) {
			if !slices.ContainsFunc(has, func(h []string) bool { return h[1] == m[1] }) {
				t.Errorf("%s: %s is no variable of %s", id, m[0], typ.Pattern)
			}
		}
	}
}

// Whatever is in a name, it is one word of its command.
func TestHints(t *testing.T) {
	t.Parallel()
	bucket := named(t, "gs://b-1")
	const evil = "x;rm -rf /"
	for want, got := range map[string]string{
		"gcloud services enable a.googleapis.com b.googleapis.com --project='x;rm -rf /'":                                EnableServices(evil, "a.googleapis.com", "b.googleapis.com"),
		"gcloud org-policies describe 'x;rm -rf /' --project='x;rm -rf /' --effective":                                   DescribeConstraint(evil, evil),
		"gcloud projects describe 'x;rm -rf /'":                                                                          DescribeProject(evil),
		"gcloud projects undelete 'x;rm -rf /'":                                                                          UndeleteProject(evil),
		"gcloud projects create 'x;rm -rf /'":                                                                            CreateProject(evil),
		"gcloud iam roles list --filter=name:'x;rm -rf /'":                                                               FindRole(evil),
		"gcloud iam list-grantable-roles //storage.googleapis.com/projects/_/buckets/b-1":                                GrantableRoles(bucket),
		"gcloud iam list-testable-permissions //storage.googleapis.com/projects/_/buckets/b-1":                           TestablePermissions(bucket),
		"gcloud storage buckets update gs://b-1 --uniform-bucket-level-access":                                           UniformAccess("gs://b-1"),
		"gcloud projects add-iam-policy-binding 'x;rm -rf /' --member='x;rm -rf /' --role='x;rm -rf /' --condition=None": BindOnProject(evil, evil, evil),
		`gcloud storage buckets get-iam-policy gs://b-1 --format=json | jq '.bindings |= (map(.members |= ` +
			`map(select(startswith("deleted:") | not))) | map(select(.members != [])))' > policy.json && ` +
			"gcloud storage buckets set-iam-policy gs://b-1 policy.json": DropDeleted(bucket),
		"gcloud organizations add-iam-policy-binding ORGANIZATION --member='x;rm -rf /' --role=roles/r --condition=None": BindOnOrganization(evil, "roles/r"),
	} {
		if got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}

func TestRoles(t *testing.T) {
	t.Parallel()
	role := grants.Role{
		Name: "projects/p-123456/roles/taskiam_x", Stage: "GA", Title: "a title", Description: "it's",
		Permissions: []string{"a.b.c", "d.e.f"},
	}
	for want, got := range map[string]string{
		`gcloud iam roles create taskiam_x --project=p-123456 --stage=GA --title='a title' --description='it'\''s' --permissions=a.b.c,d.e.f`: CreateRole(role),
		"gcloud iam roles undelete taskiam_x --project=p-123456":                                                                              UndeleteRole(role),
		"gcloud iam roles update taskiam_x --project=p-123456 --stage=GA --permissions=a.b.c,d.e.f":                                           UpdateRole(role),
		"gcloud iam roles create op --project=PROJECT --stage=GA --title=t --description=d --permissions=a.b.c":                               CreateOperatorRole("", "op", "t", "d", []string{"a.b.c"}),
		"gcloud iam roles create op --organization=1 --stage=GA --title=t --description=d --permissions=a.b.c":                                CreateOperatorRole("organizations/1", "op", "t", "d", []string{"a.b.c"}),
	} {
		if got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}

func TestBindOperator(t *testing.T) {
	t.Parallel()
	for on, want := range map[string]string{
		"gs://b-1": "gcloud storage buckets add-iam-policy-binding gs://b-1 --member=user:a@b.c --role=roles/r --condition=None",
		"//bigquery.googleapis.com/projects/p-123456/datasets/d": "bq query --project_id=p-123456 --use_legacy_sql=false " +
			"'GRANT `roles/r` ON SCHEMA `p-123456.d` TO \"user:a@b.c\"'",
		"//storage.googleapis.com/projects/_/buckets/b-1/managedFolders/f/": "# add to the policy of " +
			`//storage.googleapis.com/projects/_/buckets/b-1/managedFolders/f/: {"condition":null,"members":["user:a@b.c"],"role":"roles/r"}`,
	} {
		b := policy.Binding{Role: "roles/r", Member: "user:a@b.c"}
		if got := BindOperator(named(t, on), b); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}

// Nothing of a manifest leaves the comments of a script, and one that is not whole ends with an
// error.
func TestScript(t *testing.T) {
	t.Parallel()
	task := grants.Task{
		Name: "t", Project: "p-123456", TTL: time.Hour,
		Grants: []grants.Grant{{Role: "roles/r", Resource: named(t, "gs://b-1")}},
	}
	byHand := task
	byHand.Grants = []grants.Grant{{Role: "roles/r", Resource: named(t, "//bigquery.googleapis.com/projects/p-123456/datasets/d")}}
	run := grants.NewRunID(time.Unix(1_800_000_000, 0), [5]byte{1})
	for name, tt := range map[string]struct {
		script Script
		has    string
		fails  bool
	}{
		"whole":   {Script{Plan: grants.NewPlan(task, run)}, "again gcloud storage buckets add-iam-policy-binding gs://b-1 ", false},
		"by hand": {Script{Plan: grants.NewPlan(byHand, run)}, "#   jq '{access: (.access + [", true},
		"refused": {Script{Plan: grants.NewPlan(task, run), Refusals: []error{errors.New("no\nrm -rf /")}}, "#   rm -rf /", true},
	} {
		text := tt.script.String()
		if !strings.Contains(text, "\n"+tt.has) {
			t.Errorf("%s: no line begins with %q:\n%s", name, tt.has, text)
		}
		if fails := strings.Contains(text, "\nexit 1\n"); fails != tt.fails {
			t.Errorf("%s: it fails: %v, want %v:\n%s", name, fails, tt.fails, text)
		}
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "rm ") {
				t.Errorf("%s: %q is a command", name, line)
			}
		}
	}
}
