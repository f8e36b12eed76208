package named

import (
	"cmp"
	_ "embed"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

//go:generate go run ../../../internal/tools/gen/emulator -roles ../iam/roles.txt types.txt

//go:embed types.txt
var typeText string

// ResourceType is a type of resource of which the emulator knows nothing but that it
// has an allow policy: a line of types.txt.
type ResourceType struct {
	Name     string     // the ids of its methods, without the verb: "run.projects.locations.services"
	Host     string     // "run.googleapis.com"
	Prefixes [][]string // the segments that paths begin with, by version: "v1", "compute" and "beta"
	Template []string   // the segments of its path: * is any one, ** at the end what remains
	Form     string     // what stands between path and verb: ":", "/"; "/iam" is Cloud Storage's
	Get, Set string     // HTTP verbs; "-" if there is no such method
	// where testIamPermissions takes the permissions: "body", "query"; "-" if there is no such method
	Test       string
	TestVerb   string
	Conditions bool
	kind       string // resource.type for conditions; "" if they see no attributes
	Permission string // what the permissions begin with: "run.services"
}

// ResourceTypes returns the table, the types that fit closest first. It panics if the embedded text is malformed, which
// a test rules out.
var ResourceTypes = sync.OnceValue(func() []*ResourceType {
	types, err := parseTypes(typeText)
	if err != nil {
		panic(err)
	}
	return types
})

func parseTypes(table string) ([]*ResourceType, error) {
	var types []*ResourceType
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
		t := &ResourceType{
			Name: f[0], Host: service + ".googleapis.com", Template: strings.Split(f[2], "/"),
			Set: f[4], Conditions: f[6] == "yes", Permission: f[8], TestVerb: http.MethodPost,
		}
		for prefix := range strings.SplitSeq(f[1], ",") {
			t.Prefixes = append(t.Prefixes, strings.Split(prefix, "/"))
		}
		t.Get, t.Form, _ = strings.Cut(f[3], " ")
		t.Test = f[5]
		if where, verb, ok := strings.Cut(f[5], " "); ok {
			t.Test, t.TestVerb = where, verb
		}
		if f[7] != "-" {
			t.kind = f[7]
		}
		types = append(types, t)
	}
	slices.SortStableFunc(types, func(a, b *ResourceType) int { return cmp.Compare(b.literals(), a.literals()) })
	return types, nil
}

// literals counts the segments of the template that leave no choice: the more, the
// closer a type fits a name.
func (t *ResourceType) literals() int {
	n := 0
	for _, s := range t.Template {
		if s[0] != '*' {
			n++
		}
	}
	return n
}

// PolicyVerb is one of the three methods that all resource types have in common.
type PolicyVerb string

// The three of them.
const (
	GetPolicy       PolicyVerb = "getIamPolicy"
	SetPolicy       PolicyVerb = "setIamPolicy"
	TestPermissions PolicyVerb = "testIamPermissions"
)

// cutPolicyVerb takes the method off the end of a path: how it was attached, and what
// resource it follows.
func cutPolicyVerb(httpVerb, path string) (resource, form string, verb PolicyVerb, ok bool) {
	for _, verb := range []PolicyVerb{GetPolicy, SetPolicy, TestPermissions} {
		for _, form := range []string{":", "/"} {
			if resource, ok := strings.CutSuffix(path, form+string(verb)); ok {
				return resource, form, verb, true
			}
		}
	}
	if resource, ok := strings.CutSuffix(path, "/iam/testPermissions"); ok {
		return resource, "/iam", TestPermissions, true
	}
	if resource, ok := strings.CutSuffix(path, "/iam"); ok {
		if httpVerb == http.MethodPut {
			return resource, "/iam", SetPolicy, true
		}
		return resource, "/iam", GetPolicy, true
	}
	return "", "", "", false
}

// httpVerb is the HTTP verb of a method of the type, "-" if it has none.
func (t *ResourceType) httpVerb(verb PolicyVerb) string {
	switch {
	case verb == GetPolicy:
		return t.Get
	case verb == SetPolicy:
		return t.Set
	case t.Test == "-":
		return "-"
	}
	return t.TestVerb
}

// matches reports whether a relative resource name, in segments, is of the type.
func (t *ResourceType) matches(segments []string) bool {
	for i, want := range t.Template {
		switch {
		case i >= len(segments):
			return false
		case want == "**":
			return true
		case want != "*" && want != segments[i] || segments[i] == "":
			return false
		}
	}
	return len(t.Template) == len(segments)
}

// findTyped returns the method of the table for a request, and the relative name of the
// resource as a path variable. Where several services share the root, the path may
// fit several types: the method then asks which of the resources is there.
func findTyped(host, httpVerb, path string) (*wire.Method, map[string]string) {
	path, form, verb, ok := cutPolicyVerb(httpVerb, path)
	if !ok {
		return nil, nil
	}
	segments, err := unescape(strings.Split(strings.TrimPrefix(path, "/"), "/"))
	if err != nil {
		return nil, nil
	}
	var found []*ResourceType
	var relative string
	for _, t := range ResourceTypes() {
		if t.Form != form || t.httpVerb(verb) != httpVerb || host != "" && !t.servedAt(host) {
			continue
		}
		below, ok := t.below(segments)
		// Of one service the type that fits closest is meant.
		if ok && !slices.ContainsFunc(found, func(o *ResourceType) bool { return o.Host == t.Host }) {
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
func (t *ResourceType) below(segments []string) ([]string, bool) {
	for _, prefix := range t.Prefixes {
		if len(segments) > len(prefix) && slices.Equal(segments[:len(prefix)], prefix) &&
			t.matches(segments[len(prefix):]) {
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
func (t *ResourceType) servedAt(host string) bool {
	service := strings.TrimSuffix(t.Host, "googleapis.com") // with its dot
	return host == t.Host || strings.HasSuffix(host, "-"+t.Host) ||
		strings.HasPrefix(host, service) && strings.HasSuffix(host, ".rep.googleapis.com")
}

func (t *ResourceType) method(verb PolicyVerb) *wire.Method {
	m := &wire.Method{ID: t.Name + "." + string(verb), Host: t.Host, Writes: verb == SetPolicy}
	spec := t.Spec()
	switch verb {
	case GetPolicy:
		m.Serve = spec.Get
	case SetPolicy:
		m.Serve = func(c *wire.Call) (any, error) {
			if err := t.wrapPolicy(c); err != nil {
				return nil, err
			}
			answer, err := spec.Set(c)
			return answer, t.refusal(err)
		}
	case TestPermissions:
		m.Serve = spec.Test
		if t.Test == "query" {
			m.Serve = func(c *wire.Call) (any, error) {
				_, n, err := t.find(c)
				return c.AnswerHeld(c.Request.URL.Query()["permissions"], n, err)
			}
		}
	}
	return m
}

// chooseMethod serves a path that fits several types, by the one of which there is
// such a resource.
func chooseMethod(types []*ResourceType, verb PolicyVerb) *wire.Method {
	m := &wire.Method{ID: string(verb), Writes: verb == SetPolicy}
	m.Serve = func(c *wire.Call) (any, error) {
		var there []*ResourceType
		for _, t := range types {
			if c.State().Resources[fullName(c.State(), t.Host, c.Vars["resource"])] != nil {
				there = append(there, t)
			}
		}
		if len(there) != 1 {
			var hosts []string
			for _, t := range types {
				hosts = append(hosts, t.Host)
			}
			slices.Sort(hosts)
			return nil, wire.NotFound("The path names a resource of several services, of which %d have it: send the "+
				"request to one of %s.",
				len(there), strings.Join(slices.Compact(hosts), ", "))
		}
		c.Method = there[0].method(verb)
		return c.Method.Serve(c)
	}
	return m
}

// Spec describes the policy of the type.
func (t *ResourceType) Spec() wire.PolicySpec {
	spec := wire.PolicySpec{
		ID: t.Name, Host: t.Host, Permission: t.Permission, Conditions: t.Conditions, Public: true,
		Audit: t.Name == "cloudbilling.billingAccounts",
		Find: func(c *wire.Call) (iam.Node, *iam.Policy, error) {
			r, n, err := t.find(c)
			if err != nil {
				return n, nil, err
			}
			return n, r.Policy, nil
		},
	}
	if t.Permission == "resourcemanager.projects" { // it stands in for one that nobody knows
		spec.Grants = "*"
	}
	return spec
}

// find returns the resource of the request and its node, or the node of what would
// hold it and the error.
func (t *ResourceType) find(c *wire.Call) (*iam.Resource, iam.Node, error) {
	full := fullName(c.State(), t.Host, c.Vars["resource"])
	return findNamed(c.State(), full)
}

// TypeOf returns the type of a full resource name, or nil.
func TypeOf(full string) *ResourceType {
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
	for _, t := range ResourceTypes() {
		if t.Host == host && t.matches(segments) {
			return t
		}
	}
	return nil
}
