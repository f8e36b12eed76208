package resource

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// method is what a discovery document says of one call.
type method struct {
	HTTPMethod string
	Path       string
	FlatPath   string
	Parameters map[string]struct{ Location string }
	Request    *struct {
		Ref string `json:"$ref"`
	}
}

type methods struct {
	Methods   map[string]method
	Resources map[string]methods
}

func (m methods) each(f func(method)) {
	for _, x := range m.Methods {
		f(x)
	}
	for _, r := range m.Resources {
		r.each(f)
	}
}

var anyVariable = regexp.MustCompile(`\{[^}]*\}`)

// The rows agree with Google's own discovery documents, which come with the module of
// its Go clients: verb, path, host, and where a read asks for the policy's version.
func TestTableAgreesWithDiscovery(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "google.golang.org/api").Output()
	dir := strings.TrimSpace(string(out))
	if err != nil || dir == "" {
		t.Skipf("the module google.golang.org/api is not here: %v", err)
	}
	for _, typ := range Types() {
		a := typ.API
		api, _, _ := strings.Cut(a.Host, ".")
		version := regexp.MustCompile(`(^|/)(v[0-9]+)/`).FindStringSubmatch(a.GetPath)[2]
		data, err := os.ReadFile(filepath.Join(dir, api, version, api+"-api.json"))
		if err != nil {
			t.Fatal(err)
		}
		var doc struct {
			methods
			RootURL, ServicePath string
		}
		if err := json.Unmarshal(data, &doc); err != nil {
			t.Fatal(err)
		}
		if want := "https://" + a.Host + "/"; doc.RootURL != want {
			t.Errorf("%s: host %s, Google says %s", typ.Kind, want, doc.RootURL)
		}
		find := func(verb, path string) (found method, ok bool) {
			want := anyVariable.ReplaceAllString(path, "{}")
			doc.each(func(m method) {
				flat := m.FlatPath
				if flat == "" {
					flat = m.Path
				}
				if m.HTTPMethod == verb && anyVariable.ReplaceAllString(doc.ServicePath+flat, "{}") == want {
					found, ok = m, true
				}
			})
			return found, ok
		}
		get, ok := find(a.GetVerb, a.GetPath)
		if !ok {
			t.Errorf("%s: Google has no %s %s", typ.Kind, a.GetVerb, a.GetPath)
		}
		switch parameter := map[VersionIn]string{
			VersionInQuery:        "options.requestedPolicyVersion",
			VersionInCompactQuery: "optionsRequestedPolicyVersion",
			VersionInAccessQuery:  "accessPolicyVersion",
		}[a.VersionIn]; {
		case parameter != "" && get.Parameters[parameter].Location != "query":
			t.Errorf("%s: the version is not asked for by %s", typ.Kind, parameter)
		case parameter == "" && (get.Request == nil || get.Request.Ref != "GetIamPolicyRequest"):
			t.Errorf("%s: a read takes no body", typ.Kind)
		}
		if _, ok := find(a.SetVerb, a.SetPath); !ok {
			t.Errorf("%s: Google has no %s %s", typ.Kind, a.SetVerb, a.SetPath)
		}
		if a.TestVerb != "" {
			if _, ok := find(a.TestVerb, a.TestPath); !ok {
				t.Errorf("%s: Google has no %s %s", typ.Kind, a.TestVerb, a.TestPath)
			}
		}
	}
}
