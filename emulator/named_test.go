package emulator

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/internal/fault"
)

// namedLab is a lab whose company has more resources.
func namedLab(t *testing.T, resources string, configure ...func(*Config)) *lab {
	seed := append(append([]byte(nil), acme...), `
[[service_account]]
project = "acme-agents"
id      = "ti-named"
token   = "ya29.named"
`+resources...)
	return newLab(t, append(configure, func(c *Config) { c.Seed = seed })...)
}

const namedMember = "serviceAccount:ti-named@acme-agents.iam.gserviceaccount.com"

// granting is a TOML binding of a role to the account of a namedLab.
func granting(role string) string {
	return "[[resource.binding]]\nrole = \"" + role + "\"\nmembers = [\"" + namedMember + "\"]\n"
}

// tested are the permissions that the account of a namedLab holds of one asked for.
func (l *lab) tested(url, permission string) bool {
	l.t.Helper()
	return strings.Contains(l.must("ya29.named", "POST", url+":testIamPermissions", `{"permissions":["`+permission+`"]}`).raw, permission)
}

func TestNamedResourcesInherit(t *testing.T) {
	t.Parallel()
	l := namedLab(t, `
[[resource]]
name = "//spanner.googleapis.com/projects/acme-data/instances/i"
`+granting("roles/spanner.databaseReader")+`
[[resource]]
name = "//spanner.googleapis.com/projects/678901234567/instances/i/databases/d"
[[resource]]
name = "//spanner.googleapis.com/projects/acme-data/instances/j"
[[resource]]
name = "//bigquery.googleapis.com/projects/acme-data/datasets/sales/routines/r"
[[resource]]
name = "//cloudbilling.googleapis.com/billingAccounts/0X"
[[resource]]
name   = "//servicemanagement.googleapis.com/services/s.example"
parent = "projects/acme-agents"
`)
	const spanner = "https://spanner.googleapis.com/v1/projects/"
	number := l.wire.State().Projects["acme-data"].Number
	for path, want := range map[string]bool{
		"acme-data/instances/i":              true,
		"acme-data/instances/i/databases/d":  true,
		number + "/instances/i/databases/d":  true,
		"acme-data/instances/j":              false,
		"acme-data/instances/missing":        false,
		"acme-agents/instances/i":            false,
		"missing/instances/i":                false,
		"acme-data/instances/i/databases/no": false,
	} {
		if got := l.tested(spanner+path, "spanner.databases.select"); got != want {
			t.Errorf("%s: held is %t, want %t", path, got, want)
		}
	}
	// The operator owns acme-agents, where the service lies, and reviews the organization, where billing does.
	l.must(l.operator, "POST", "https://servicemanagement.googleapis.com/v1/services/s.example:getIamPolicy", "")
	l.must(l.operator, "GET", "https://cloudbilling.googleapis.com/v1/billingAccounts/0X:getIamPolicy", "")
	l.want(l.do("ya29.named", "GET", "https://cloudbilling.googleapis.com/v1/billingAccounts/0X:getIamPolicy", ""), 403, "PERMISSION_DENIED")
	// What is missing is told from what is out of reach only to those who may see it.
	l.want(l.do(l.operator, "POST", spanner+"acme-agents/instances/no:getIamPolicy", ""), 404, "NOT_FOUND")
	l.want(l.do("ya29.named", "POST", spanner+"acme-agents/instances/no:getIamPolicy", ""), 403, "PERMISSION_DENIED")
	l.want(l.do(l.operator, "POST", spanner+"missing/instances/no:getIamPolicy", ""), 403, "PERMISSION_DENIED")
}

// By path alone a resource is found if one service has it.
func TestPathsOfSeveralServices(t *testing.T) {
	t.Parallel()
	l := namedLab(t, `
[[resource]]
name = "//notebooks.googleapis.com/projects/acme-agents/locations/l/instances/one"
`+granting("roles/notebooks.viewer")+`
[[resource]]
name = "//notebooks.googleapis.com/projects/acme-agents/locations/l/instances/two"
[[resource]]
name = "//datafusion.googleapis.com/projects/acme-agents/locations/l/instances/two"
`+granting("roles/datafusion.viewer"))
	const instances = "/v1/projects/acme-agents/locations/l/instances/"
	if r := l.must(l.operator, "GET", "http://127.0.0.1:8790"+instances+"one:getIamPolicy", ""); !strings.Contains(r.raw, "roles/notebooks.viewer") {
		t.Errorf("by path the policy is %s", r.raw)
	}
	for _, name := range []string{"two", "none"} {
		r := l.do(l.operator, "GET", "http://127.0.0.1:8790"+instances+name+":getIamPolicy", "")
		l.want(r, 404, "NOT_FOUND")
		if !strings.Contains(r.raw, "datafusion.googleapis.com, ") || !strings.Contains(r.raw, "notebooks.googleapis.com") {
			t.Errorf("the refusal does not say where to ask: %s", r.raw)
		}
	}
	for host, role := range map[string]string{"notebooks": "", "datafusion": "roles/datafusion.viewer"} {
		if r := l.must(l.operator, "GET", "https://"+host+".googleapis.com"+instances+"two:getIamPolicy", ""); strings.Contains(r.raw, "roles/") != (role != "") {
			t.Errorf("%s: %s", host, r.raw)
		}
	}
	log := l.log.String()
	if !strings.Contains(log, `"method":"notebooks.projects.locations.instances.getIamPolicy"`) {
		t.Errorf("the log does not name the method: %s", log)
	}
}

// Services answer at the names of their regions, too.
func TestRegionalHosts(t *testing.T) {
	t.Parallel()
	l := namedLab(t, "[[resource]]\nname = \"//aiplatform.googleapis.com/projects/acme-agents/locations/us-central1/endpoints/e\"\n")
	const path = "/v1beta1/projects/acme-agents/locations/us-central1/endpoints/e:getIamPolicy"
	for host, want := range map[string]int{
		"aiplatform.googleapis.com": 200, "us-central1-aiplatform.googleapis.com": 200, "aiplatform.us-central1.rep.googleapis.com": 200,
		"notaiplatform.googleapis.com": 501, "run.googleapis.com": 501, "aiplatform.example.com": 403,
	} {
		if r := l.do(l.operator, "POST", "https://"+host+path, ""); r.code != want {
			t.Errorf("%s: %d %s, want %d", host, r.code, r.raw, want)
		}
	}
}

// Compute takes bindings and etag without a policy around them, as it once did.
func TestComputeForms(t *testing.T) {
	t.Parallel()
	l := namedLab(t, "[[resource]]\nname = \"//compute.googleapis.com/projects/acme-agents/zones/z/instances/i\"\n")
	const instance = "https://compute.googleapis.com/compute/v1/projects/acme-agents/zones/z/instances/i/"
	const bindings = `"bindings":[{"role":"roles/compute.viewer","members":["` + namedMember + `"]}]`
	etag := l.must(l.operator, "POST", instance+"setIamPolicy", `{"etag":"ACAB",`+bindings+`}`).str("etag")
	l.want(l.do(l.operator, "POST", instance+"setIamPolicy", `{"etag":"ACAB",`+bindings+`}`), 409, "ABORTED")
	l.must(l.operator, "POST", instance+"setIamPolicy", `{"policy":{"etag":"`+etag+`",`+bindings+`}}`)
	l.want(l.do(l.operator, "POST", instance+"setIamPolicy", `[]`), 400, "INVALID_ARGUMENT")
	l.want(l.do(l.operator, "POST", instance+"setIamPolicy", `{"policy":{"bindings":[{"role":"roles/run.invoker","members":["`+namedMember+`"]}]}}`), 400, "INVALID_ARGUMENT")
	// The role is held where it is bound, under the form of the name that conditions see.
	body := `{"policy":{"version":3,"bindings":[{"role":"roles/compute.instanceAdmin.v1","members":["` + namedMember +
		`"],"condition":{"title":"t","expression":"resource.type == 'compute.googleapis.com/Instance' && resource.name == 'projects/acme-agents/zones/z/instances/i'"}}]}}`
	l.must(l.operator, "POST", instance+"setIamPolicy", body)
	if r := l.must("ya29.named", "POST", instance+"testIamPermissions", `{"permissions":["compute.instances.stop"]}`); !strings.Contains(r.raw, "stop") {
		t.Errorf("under a condition that is true the account holds %s", r.raw)
	}
}

func TestManagedFolders(t *testing.T) {
	t.Parallel()
	l := namedLab(t, `
[[resource]]
name = "//storage.googleapis.com/projects/_/buckets/acme-reports/managedFolders/2026/"
`+granting("roles/storage.objectViewer")+`
[[resource]]
name = "//storage.googleapis.com/projects/_/buckets/acme-reports/managedFolders/2025/"
`)
	const objects = "https://storage.googleapis.com/storage/v1/b/acme-reports/o/"
	for object, want := range map[string]int{"2026%2F01.csv": 200, "2025%2F12.csv": 403, "20260": 403, "2026": 403} {
		if r := l.do("ya29.named", "GET", objects+object, ""); r.code != want {
			t.Errorf("%s: %d %s, want %d", object, r.code, r.raw, want)
		}
	}
	if r := l.do("ya29.named", "GET", strings.TrimSuffix(objects, "/"), ""); r.code != 403 {
		t.Errorf("a folder's viewer lists the bucket: %s", r.raw)
	}
}

func TestNamedResourcesAreKept(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "data.json")
	const repository = "//artifactregistry.googleapis.com/projects/acme-agents/locations/l/repositories/r"
	seed := "[[resource]]\nname = \"" + repository + "\"\n" + granting("roles/artifactregistry.reader")
	dir := t.TempDir()
	keep := func(c *Config) { c.DataFile, c.Dir = file, dir }
	first := namedLab(t, seed, keep)
	before := first.snapshot()
	if !strings.Contains(before, repository) {
		t.Errorf("the snapshot does not show %s", repository)
	}
	if diff := cmp.Diff(before, namedLab(t, "", keep).snapshot()); diff != "" {
		t.Errorf("the state after a restart (-before +after):\n%s", diff)
	}
	// A deleted account leaves its tombstone here as everywhere.
	first.must(first.operator, "DELETE", accounts+"/ti-named@acme-agents.iam.gserviceaccount.com", "")
	r := first.must(first.operator, "GET", "https://artifactregistry.googleapis.com/v1/projects/acme-agents/locations/l/repositories/r:getIamPolicy", "")
	if !strings.Contains(r.raw, "deleted:"+namedMember+"?uid=") {
		t.Errorf("after the deletion the policy is %s", r.raw)
	}
}

func TestSeedOfNamedResources(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ seed, want string }{
		"no full name":     {`name = "projects/p/locations/l/services/s"`, "begins with //"},
		"unknown service":  {`name = "//nonsense.googleapis.com/projects/acme-data/things/t"`, "no resource type"},
		"unknown type":     {`name = "//run.googleapis.com/projects/acme-data/things/t"`, "no resource type"},
		"no project":       {`name = "//run.googleapis.com/projects/missing/locations/l/services/s"`, "does not exist"},
		"no parent":        {"name = \"//cloudbilling.googleapis.com/billingAccounts/a\"\nparent = \"folders/1\"", "does not exist"},
		"of another table": {`name = "//pubsub.googleapis.com/projects/acme-agents/topics/t"`, "table of its own"},
		"no bucket":        {`name = "//storage.googleapis.com/projects/_/buckets/none/managedFolders/f/"`, "no bucket"},
		"no slash":         {`name = "//storage.googleapis.com/projects/_/buckets/acme-reports/managedFolders/f"`, "slash"},
		"object":           {`name = "//storage.googleapis.com/projects/_/buckets/acme-reports/objects/o"`, "no resource type"},
		"unsuitable role":  {"name = \"//run.googleapis.com/projects/acme-data/locations/l/services/s\"\n" + granting("roles/storage.objectViewer"), "not supported"},
		"twice": {`name = "//run.googleapis.com/projects/acme-data/locations/l/services/s"
[[resource]]
name = "//run.googleapis.com/projects/acme-data/locations/l/services/s"`, "twice"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := New(Config{Seed: append(append([]byte(nil), acme...), "\n[[service_account]]\nproject = \"acme-agents\"\nid = \"ti-named\"\n[[resource]]\n"+tt.seed...)})
			if err == nil || fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the seed is refused with %v, want %q", err, tt.want)
			}
		})
	}
}

// Which roles can be granted on a resource of the table is known as for any other.
func TestRolesGrantableOnNamed(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	r := l.must(mara, "POST", iamAPI+"roles:queryGrantableRoles",
		`{"fullResourceName":"//run.googleapis.com/projects/acme-data/locations/l/services/s","pageSize":2000}`)
	if !strings.Contains(r.raw, "roles/run.invoker") || strings.Contains(r.raw, `"roles/storage.objectViewer"`) {
		t.Error("roles/run.invoker alone should be grantable on a service of Cloud Run")
	}
}
