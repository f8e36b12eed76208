package review

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// predefined returns the permissions of the predefined roles that the emulator knows.
func predefined(t *testing.T) []string {
	t.Helper()
	table, err := os.ReadFile("../../emulator/internal/iam/roles.txt")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for line := range strings.Lines(string(table)) {
		p := strings.TrimSpace(line)
		if p == "" {
			break
		}
		if !strings.HasPrefix(p, "#") {
			out = append(out, p)
		}
	}
	return out
}

const sharedRoles = "../../../shared/gcp/predefined_roles.json.gz"

// listed returns the permissions of Google's list of roles, those of service agents included. It skips the test
// where the list is missing.
func listed(t *testing.T) []string {
	t.Helper()
	f, err := os.Open(sharedRoles)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("the list of predefined roles is not at %s", sharedRoles)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var list struct{ Permissions []string }
	if err := json.NewDecoder(z).Decode(&list); err != nil {
		t.Fatal(err)
	}
	return list.Permissions
}

// A permission without a class is new: read what it does, and give it a rule in classes.txt.
func TestEveryPermissionHasAClass(t *testing.T) {
	t.Parallel()
	for name, permissions := range map[string]func(*testing.T) []string{"of the emulator": predefined, "of Google": listed} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := permissions(t)
			if len(all) < 10000 {
				t.Fatalf("there are %d permissions", len(all))
			}
			for _, p := range all {
				if c, _ := ClassOf(p); c.Name == unreviewed.Name {
					t.Errorf("%s has no class", p)
				}
			}
		})
	}
}

// A rule for single services that is the first for nothing guards nothing. Nouns are also for what is to come.
func TestEveryRuleIsOfUse(t *testing.T) {
	t.Parallel()
	used := map[int]bool{}
	for _, p := range listed(t) {
		if w, found := rules().find(p); found {
			used[w.order] = true
		}
	}
	classes := map[string]bool{}
	book := rules()
	all := slices.Collect(maps.Values(book.byWord))
	for _, list := range book.byService {
		all = append(all, list...)
	}
	for _, p := range all {
		if !used[p.order] {
			t.Errorf("nothing is of class %s by %s", p.class.Name, p.text)
		}
		classes[p.class.Name] = true
	}
	for _, p := range book.general {
		classes[p.class.Name] = true
	}
	for _, c := range Classes {
		if !classes[c.Name] {
			t.Errorf("no rule is about the class %s", c.Name)
		}
	}
}

func TestRulesAreRead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"nonesuch:\n\ta.b.c\n":        `there is no class "nonesuch"`,
		"read:\n\ta.*b*.c\n":          "has two stars",
		"\ta.b.c\n":                   "is in no class",
		"read:\n\ta.b\n":              "has 2 parts",
		"read:\n\tget\nwrite:\n\tget": `"get" is there twice`,
	} {
		if _, err := parseRules(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// What methods are called is another opinion of what their permissions do.
func TestClassesBesideMethods(t *testing.T) {
	t.Parallel()
	const list = "../../../shared/gcp/method_permissions.json"
	text, err := os.ReadFile(list)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("the list of methods is not at %s", list)
	}
	if err != nil {
		t.Fatal(err)
	}
	var methods map[string][]string
	if err := json.Unmarshal(text, &methods); err != nil {
		t.Fatal(err)
	}
	// Where the name of a method misleads, or the list is wrong.
	known := map[string]string{
		"apigeeregistry.projects.locations.apis.versions.get":                "the list says delete",
		"notebooks.projects.locations.schedules.get":                         "the list says delete",
		"gkehub.projects.locations.memberships.bindings.delete":              "the list says get",
		"apigee.organizations.developers.apps.attributes.get":                "the list says create",
		"connectors.projects.locations.connections.entityTypes.entities.get": "reads by the login of a connection",
		"iap.projects.brands.identityAwareProxyClients.get":                  "answers with the secret",
		"iap.projects.brands.identityAwareProxyClients.list":                 "answers with the secrets",
		"bigtableadmin.projects.instances.tables.generateConsistencyToken":   "no credential",
		"dataform.projects.locations.repositories.computeAccessTokenStatus":  "tells of it without its value",
		"compute.backendBuckets.deleteSignedUrlKey":                          "deletes it",
		"compute.backendServices.deleteSignedUrlKey":                         "deletes it",
	}
	credential := regexp.MustCompile(`(?i)token|credential|kubeconfig|secret|password|keystring|signedurlkey|wallet|authstring`)
	compared := 0
	for method, permissions := range methods {
		verb := method[strings.LastIndexByte(method, '.')+1:]
		var classes []string
		reads, marked := true, false
		for _, p := range permissions {
			if p == "iam.permissions.none" {
				continue
			}
			c, _ := ClassOf(p)
			classes = append(classes, p+" is "+c.Name)
			reads, marked = reads && c.Group == Reads, marked || len(c.Marks) > 0
		}
		if known[method] != "" || len(classes) == 0 {
			continue
		}
		compared++
		switch {
		case (verb == "get" || verb == "list") && !reads, verb == "delete" && reads,
			credential.MatchString(verb) && !marked:
			t.Errorf("%s: %s", method, strings.Join(classes, ", "))
		}
	}
	if compared < 5000 {
		t.Errorf("only %d methods were compared", compared)
	}
}

// A verb that reads in most services opens a secret or a door in some: those are named one by one, and a
// permission that Google may make tomorrow has no class.
func TestClassesOfVerbsThatMislead(t *testing.T) {
	t.Parallel()
	for permission, want := range map[string]string{
		"container.secrets.get":              "credential",
		"container.secrets.list":             "credential", // Kubernetes lists them with their values
		"secretmanager.versions.access":      "secret",
		"newservice.things.access":           unreviewed.Name,
		"logging.views.access":               "read",
		"accessapproval.requests.approve":    "rule",
		"accessapproval.settings.update":     "rule",
		"accessapproval.requests.list":       "read",
		"privilegedaccessmanager.grants.get": "read",
	} {
		if c, _ := ClassOf(permission); c.Name != want {
			t.Errorf("%s is of class %s, want %s", permission, c.Name, want)
		}
	}
}
