package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"unicode"

	"github.com/taskiam/taskiam/internal/tools/gen"
)

const typesHead = `# The resource types that have an allow policy, after Google's discovery documents;
# made by go generate. Columns, separated by tabs:
#   name        the methods' ids without the verb; the service is its first part
#   prefixes    what paths begin with, one for each version of the API
#   resource    its path: * is one segment, ** what remains
#   get         verb of getIamPolicy, and how verbs follow the path: ":", "/", "/iam"
#   set         verb of setIamPolicy; PUT takes the policy itself; - for none
#   test        where testIamPermissions takes the permissions: body, query; - for none
#   conditions  whether bindings may be conditional: yes, no
#   type        resource.type of conditions; - where conditions see no attributes
#   permission  what the permissions begin with
`

// conditional are the services whose resources accept conditional bindings
// (iam/docs/resource-types-with-conditional-roles); BigQuery's only on datasets,
// which have no IAM methods. Those with true provide resource.name, resource.type and
// resource.service to conditions (iam/docs/conditions-resource-attributes).
var conditional = map[string]bool{
	"beyondcorp": false, "bigtableadmin": true, "binaryauthorization": true, "clouddeploy": false, "cloudkms": true,
	"cloudresourcemanager": false, "compute": true, "dataproc": false, "dns": false, "iam": false, "iap": true,
	"logging": true, "privateca": false, "run": false, "secretmanager": true, "servicemanagement": false,
	"spanner": true, "storage": true, "workstations": false,
}

//go:embed permissions.txt
var permissionList string

// resourceType is a line of the table.
type resourceType struct {
	name, template, get, set, test string
}

// typeTable makes types.txt of the discovery documents, and of the permissions that the
// table of roles knows.
func typeTable(roles string) ([]byte, error) {
	module, err := gen.Module()
	if err != nil {
		return nil, err
	}
	prefixes := map[resourceType][]string{}
	if err := gen.Each(module, func(_ string, data []byte) error {
		if !bytes.Contains(data, []byte("getIamPolicy")) {
			return nil
		}
		var d gen.Document
		if err := json.Unmarshal(data, &d); err != nil {
			return err
		}
		return collect(&d, prefixes)
	}); err != nil {
		return nil, err
	}
	known, err := readKnown(roles)
	if err != nil {
		return nil, err
	}
	overrides := readOverrides()

	var b bytes.Buffer
	b.WriteString(typesHead)
	for _, t := range slices.SortedFunc(maps.Keys(prefixes), func(x, y resourceType) int {
		return strings.Compare(x.name+x.get+x.test, y.name+y.get+y.test)
	}) {
		service, _, _ := strings.Cut(t.name, ".")
		conditions, kind := "no", "-"
		if attributes, ok := conditional[service]; ok {
			conditions = "yes"
			if attributes {
				kind = service + ".googleapis.com/" + singular(collection(t.template))
			}
		}
		slices.Sort(prefixes[t])
		prefixes[t] = slices.Compact(prefixes[t])
		fmt.Fprintln(&b, strings.Join([]string{
			t.name, strings.Join(prefixes[t], ","), t.template, t.get, t.set, t.test, conditions, kind,
			permission(t.name, known, overrides),
		}, "\t"))
	}
	return b.Bytes(), nil
}

// collect adds the types of a document, and what their paths begin with in it.
func collect(d *gen.Document, prefixes map[resourceType][]string) error {
	methods := d.All()
	for id, get := range methods {
		name, ok := strings.CutSuffix(id, ".getIamPolicy")
		if !ok || name == "storage.objects" { // what an object's policy says is its access control list
			continue
		}
		t, prefix, err := newType(d, name, get, methods)
		if err != nil {
			return fmt.Errorf("%s: %w", id, err)
		}
		prefixes[t] = append(prefixes[t], prefix)
	}
	return nil
}

// newType reads a type off the methods of one version of its API, and what paths
// begin with in that version.
func newType(d *gen.Document, name string, get gen.Method,
	methods map[string]gen.Method) (resourceType, string, error) {
	t := resourceType{name: name, get: get.HTTPMethod, set: "-", test: "-"}
	prefix, rest, err := gen.SplitVersion(d.URL(get))
	if err != nil {
		return t, "", err
	}
	template, suffix := gen.CutVerb(rest)
	t.template = template
	if suffix != "" {
		t.get += " " + strings.TrimSuffix(suffix, "getIamPolicy")
	}
	prefix = strings.TrimSuffix(prefix, "/")
	t.template = gen.Variable.ReplaceAllString(t.template, "*")
	if p, ok := get.Parameters["resource"]; ok && p.Pattern != "" && strings.Contains(get.Path, "{+resource}") {
		pattern := strings.Trim(p.Pattern, "^$")
		t.template = strings.NewReplacer("[^/]+", "*", ".*", "**", ".+", "**").Replace(pattern)
	}
	if set, ok := methods[name+".setIamPolicy"]; ok {
		t.set = set.HTTPMethod
	}
	if test, ok := methods[name+".testIamPermissions"]; ok {
		t.test = "body"
		if test.Request == nil {
			t.test = "query"
		}
		if test.HTTPMethod != http.MethodPost {
			t.test += " " + test.HTTPMethod
		}
	}
	return t, prefix, nil
}

// collection is the last literal segment of a template.
func collection(template string) string {
	segments := strings.Split(template, "/")
	for _, s := range slices.Backward(segments) {
		if !strings.HasPrefix(s, "*") {
			return s
		}
	}
	return "web"
}

// singular is the type of what lies in a collection: Policy for policies.
func singular(collection string) string {
	s := collection
	switch {
	case strings.HasSuffix(s, "ies"):
		s = strings.TrimSuffix(s, "ies") + "y"
	case strings.HasSuffix(s, "s"):
		s = strings.TrimSuffix(s, "s")
	}
	return string(unicode.ToUpper(rune(s[0]))) + s[1:]
}

// readKnown returns what the permissions to get and set policies begin with, by the
// same in lower case: services do not agree on the spelling of their own types.
func readKnown(path string) (map[string]string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	known := map[string]string{}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if line == "" {
			break
		}
		for _, verb := range []string{".getIamPolicy", ".setIamPolicy"} {
			if prefix, ok := strings.CutSuffix(line, verb); ok {
				known[strings.ToLower(prefix)] = prefix
			}
		}
	}
	return known, nil
}

func readOverrides() map[string]string {
	overrides := map[string]string{}
	for line := range strings.Lines(permissionList) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] != "#" {
			overrides[f[0]] = f[1]
		}
	}
	return overrides
}

// permission says what the permissions of a type begin with. A type whose own
// permission no role holds is decided by that of what it lies in, in the end by the
// project's: else nobody could ever be allowed anything on it.
func permission(name string, known, overrides map[string]string) string {
	parts := strings.Split(name, ".")
	service := parts[0]
	if s, ok := overrides[service]; ok {
		service = s
	}
	for n := len(parts); n > 0; n-- {
		if p, ok := overrides[strings.Join(parts[:n], ".")]; ok && strings.Contains(p, ".") {
			return p
		}
		if p, ok := known[strings.ToLower(service+"."+parts[n-1])]; ok && n > 1 {
			return p
		}
	}
	return "resourcemanager.projects"
}
