package emulator

import (
	"cmp"
	_ "embed"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
)

//go:generate go run ../internal/tools/gen/emulator -list ../../shared/gcp/predefined_roles.json.gz roles.txt types.txt bigquery_discovery.json

//go:embed types.txt
var typeText string

// resourceType is a type of resource of which the emulator knows nothing but that it
// has an allow policy: a line of types.txt.
type resourceType struct {
	name       string     // the ids of its methods, without the verb: "run.projects.locations.services"
	host       string     // "run.googleapis.com"
	prefixes   [][]string // the segments that paths begin with, by version: "v1", "compute" and "beta"
	template   []string   // the segments of its path: * is any one, ** at the end what remains
	form       string     // what stands between path and verb: ":", "/"; "/iam" is Cloud Storage's
	get, set   string     // HTTP verbs; "-" if there is no such method
	test       string     // where testIamPermissions takes the permissions: "body", "query"; "-" if there is no such method
	testVerb   string
	conditions bool
	kind       string // resource.type for conditions; "" if they see no attributes
	permission string // what the permissions begin with: "run.services"
}

// resourceTypes returns the table, the types that fit closest first. It panics if the embedded text is malformed, which
// a test rules out.
var resourceTypes = sync.OnceValue(func() []*resourceType {
	types, err := parseTypes(typeText)
	if err != nil {
		panic(err)
	}
	return types
})

func parseTypes(table string) ([]*resourceType, error) {
	var types []*resourceType
	for line := range strings.Lines(table) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(line, "\t")
		if len(f) != 9 {
			return nil, fmt.Errorf("reading the table of resource types: %d columns in %q", len(f), line)
		}
		service, _, _ := strings.Cut(f[0], ".")
		t := &resourceType{
			name: f[0], host: service + ".googleapis.com", template: strings.Split(f[2], "/"),
			set: f[4], conditions: f[6] == "yes", permission: f[8], testVerb: http.MethodPost,
		}
		for prefix := range strings.SplitSeq(f[1], ",") {
			t.prefixes = append(t.prefixes, strings.Split(prefix, "/"))
		}
		t.get, t.form, _ = strings.Cut(f[3], " ")
		t.test = f[5]
		if where, verb, ok := strings.Cut(f[5], " "); ok {
			t.test, t.testVerb = where, verb
		}
		if f[7] != "-" {
			t.kind = f[7]
		}
		types = append(types, t)
	}
	slices.SortStableFunc(types, func(a, b *resourceType) int { return cmp.Compare(b.literals(), a.literals()) })
	return types, nil
}

// literals counts the segments of the template that leave no choice: the more, the
// closer a type fits a name.
func (t *resourceType) literals() int {
	n := 0
	for _, s := range t.template {
		if s[0] != '*' {
			n++
		}
	}
	return n
}

// policyVerb is one of the three methods that all resource types have in common.
type policyVerb string

const (
	getPolicy       policyVerb = "getIamPolicy"
	setPolicy       policyVerb = "setIamPolicy"
	testPermissions policyVerb = "testIamPermissions"
)

// cutPolicyVerb takes the method off the end of a path: how it was attached, and what
// resource it follows.
func cutPolicyVerb(httpVerb, path string) (resource, form string, verb policyVerb, ok bool) {
	for _, verb := range []policyVerb{getPolicy, setPolicy, testPermissions} {
		for _, form := range []string{":", "/"} {
			if resource, ok := strings.CutSuffix(path, form+string(verb)); ok {
				return resource, form, verb, true
			}
		}
	}
	if resource, ok := strings.CutSuffix(path, "/iam/testPermissions"); ok {
		return resource, "/iam", testPermissions, true
	}
	if resource, ok := strings.CutSuffix(path, "/iam"); ok {
		if httpVerb == http.MethodPut {
			return resource, "/iam", setPolicy, true
		}
		return resource, "/iam", getPolicy, true
	}
	return "", "", "", false
}

// httpVerb is the HTTP verb of a method of the type, "-" if it has none.
func (t *resourceType) httpVerb(verb policyVerb) string {
	switch {
	case verb == getPolicy:
		return t.get
	case verb == setPolicy:
		return t.set
	case t.test == "-":
		return "-"
	}
	return t.testVerb
}

// matches reports whether a relative resource name, in segments, is of the type.
func (t *resourceType) matches(segments []string) bool {
	for i, want := range t.template {
		switch {
		case i >= len(segments):
			return false
		case want == "**":
			return true
		case want != "*" && want != segments[i] || segments[i] == "":
			return false
		}
	}
	return len(t.template) == len(segments)
}

// findTyped returns the method of the table for a request, and the relative name of the
// resource as a path variable. Where several services share the root, the path may
// fit several types: the method then asks which of the resources is there.
func findTyped(host, httpVerb, path string) (*method, map[string]string) {
	path, form, verb, ok := cutPolicyVerb(httpVerb, path)
	if !ok {
		return nil, nil
	}
	segments, err := unescape(strings.Split(strings.TrimPrefix(path, "/"), "/"))
	if err != nil {
		return nil, nil
	}
	var found []*resourceType
	var relative string
	for _, t := range resourceTypes() {
		if t.form != form || t.httpVerb(verb) != httpVerb || host != "" && !t.servedAt(host) {
			continue
		}
		below, ok := t.below(segments)
		// Of one service the type that fits closest is meant.
		if ok && !slices.ContainsFunc(found, func(o *resourceType) bool { return o.host == t.host }) {
			found, relative = append(found, t), strings.Join(below, "/")
		}
	}
	switch len(found) {
	case 0:
		return nil, nil
	case 1:
		return found[0].method(verb), map[string]string{"resource": relative}
	}
	return chooseMethod(found, verb), map[string]string{"resource": relative}
}

// below takes the prefix of a version off the segments of a path, and reports whether
// the rest is a name of the type.
func (t *resourceType) below(segments []string) ([]string, bool) {
	for _, prefix := range t.prefixes {
		if len(segments) > len(prefix) && slices.Equal(segments[:len(prefix)], prefix) && t.matches(segments[len(prefix):]) {
			return segments[len(prefix):], true
		}
	}
	return nil, false
}

func unescape(segments []string) ([]string, error) {
	out := make([]string, len(segments))
	for i, s := range segments {
		var err error
		if out[i], err = url.PathUnescape(s); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// servedAt reports whether the type's service answers at a host: its own, or one of a
// region (us-central1-aiplatform.googleapis.com, aiplatform.us-central1.rep.googleapis.com).
func (t *resourceType) servedAt(host string) bool {
	service := strings.TrimSuffix(t.host, "googleapis.com") // with its dot
	return host == t.host || strings.HasSuffix(host, "-"+t.host) ||
		strings.HasPrefix(host, service) && strings.HasSuffix(host, ".rep.googleapis.com")
}

func (t *resourceType) method(verb policyVerb) *method {
	m := &method{id: t.name + "." + string(verb), host: t.host, writes: verb == setPolicy}
	spec := t.spec()
	switch verb {
	case getPolicy:
		m.serve = spec.get
	case setPolicy:
		m.serve = func(c *call) (any, error) {
			if err := t.wrapPolicy(c); err != nil {
				return nil, err
			}
			answer, err := spec.set(c)
			return answer, t.refusal(err)
		}
	case testPermissions:
		m.serve = spec.test
		if t.test == "query" {
			m.serve = func(c *call) (any, error) {
				_, n, err := t.find(c)
				return c.held(c.r.URL.Query()["permissions"], n, err)
			}
		}
	}
	return m
}

// chooseMethod serves a path that fits several types, by the one of which there is
// such a resource.
func chooseMethod(types []*resourceType, verb policyVerb) *method {
	m := &method{id: string(verb), writes: verb == setPolicy}
	m.serve = func(c *call) (any, error) {
		var there []*resourceType
		for _, t := range types {
			if c.state().Resources[fullName(c.state(), t.host, c.vars["resource"])] != nil {
				there = append(there, t)
			}
		}
		if len(there) != 1 {
			var hosts []string
			for _, t := range types {
				hosts = append(hosts, t.host)
			}
			slices.Sort(hosts)
			return nil, notFound("The path names a resource of several services, of which %d have it: send the request to one of %s.",
				len(there), strings.Join(slices.Compact(hosts), ", "))
		}
		c.method = there[0].method(verb)
		return c.method.serve(c)
	}
	return m
}

func (t *resourceType) spec() policySpec {
	spec := policySpec{
		api: t.name, host: t.host, permission: t.permission, conditions: t.conditions, public: true,
		audit: t.name == "cloudbilling.billingAccounts",
		find: func(c *call) (node, *policy, error) {
			r, n, err := t.find(c)
			if err != nil {
				return n, nil, err
			}
			return n, r.Policy, nil
		},
	}
	if t.permission == "resourcemanager.projects" { // it stands in for one that nobody knows
		spec.grants = "*"
	}
	return spec
}

// find returns the resource of the request and its node, or the node of what would
// hold it beside the error.
func (t *resourceType) find(c *call) (*namedResource, node, error) {
	full := fullName(c.state(), t.host, c.vars["resource"])
	return findNamed(c.state(), full)
}

// typeOf returns the type of a full resource name, or nil.
func typeOf(full string) *resourceType {
	host, relative, ok := strings.Cut(strings.TrimPrefix(full, "//"), "/")
	if !ok {
		return nil
	}
	segments := strings.Split(relative, "/")
	if host == cloudStorage {
		if len(segments) < 6 || segments[2] != "buckets" || segments[4] != "managedFolders" {
			return nil
		}
		segments = []string{"b", segments[3], "managedFolders", strings.Join(segments[5:], "/")}
	}
	for _, t := range resourceTypes() {
		if t.host == host && t.matches(segments) {
			return t
		}
	}
	return nil
}
