package emulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// namedService are all other resource types that have an allow policy.
func namedService() *service {
	return &service{
		Find: findMethod, GrantableOn: grantableOn, Assets: namedAssets,
		Seed: func() (any, func(*seeding) error) {
			var in struct {
				Resources []seedResource `toml:"resource"`
			}
			return &in, func(s *seeding) error { return seedResources(s, in.Resources) }
		},
	}
}

// findMethod returns the method of the table for a request: to handle a policy, also where
// a catch-all pattern fits, or to read a resource.
func findMethod(host, verb, path string, fallback *method) (*method, map[string]string) {
	if m, vars := findTyped(host, verb, path); m != nil || fallback != nil {
		return m, vars
	}
	return findNamedGet(host, verb, path)
}

func grantableOn(full string) []string {
	t := typeOf(full)
	if t == nil {
		return nil
	}
	return []string{t.spec().writeOptions().service}
}

func namedAssets(st *state, add func(asset)) {
	for full := range st.Resources {
		if r, n, err := findNamed(st, full); err == nil {
			add(asset{full, n.typ, n, r.Policy})
		}
	}
}

// cloudStorage is the service whose full resource names are not like its paths.
const cloudStorage = "storage.googleapis.com"

// apigeeHost serves resources of organizations that are named after their projects
// (apigee/docs/api-platform/fundamentals/organization-structure).
const apigeeHost = "apigee.googleapis.com"

// seedResource is a resource by its full name: "//run.googleapis.com/projects/p/locations/l/services/s".
type seedResource struct {
	Name     string        `toml:"name"`
	Parent   string        `toml:"parent"`  // for names that begin with no project, folder or organization; the organization if absent
	Project  string        `toml:"project"` // short for a parent that is a project
	Bindings []SeedBinding `toml:"binding"`
}

// fullName returns the full name under which a resource is kept: by the id of its
// project, whichever form a request uses.
func fullName(s *state, host, relative string) string {
	if rest, ok := strings.CutPrefix(relative, "b/"); ok && host == cloudStorage {
		return "//" + host + "/projects/_/buckets/" + rest
	}
	if rest, ok := strings.CutPrefix(relative, "projects/"); ok {
		id, below, nested := strings.Cut(rest, "/")
		if p := s.projectBy(id); p != nil && nested {
			relative = "projects/" + p.ID + "/" + below
		}
	}
	return "//" + host + "/" + relative
}

// findNamed returns a named resource and its node, or the node of what would hold it
// beside the error.
func findNamed(s *state, full string) (*namedResource, node, error) {
	r := s.Resources[full]
	host, relative, _ := strings.Cut(strings.TrimPrefix(full, "//"), "/")
	if r == nil {
		above := nodeAbove(s, full, "")
		if above.full == "" {
			return nil, node{}, forbidden("The caller does not have permission")
		}
		return nil, above, missingNamed(host, relative)
	}
	var name, kind string
	if t := typeOf(full); t != nil && t.kind != "" {
		name, kind = relative, t.kind
		if host == "secretmanager.googleapis.com" { // the one that names projects by their number
			name = byNumber(s, relative)
		}
	}
	return r, nodeAbove(s, full, r.Parent).child(full, name, kind, r.Policy), nil
}

func byNumber(s *state, relative string) string {
	f := strings.SplitN(relative, "/", 3)
	if len(f) == 3 && f[0] == "projects" {
		if p := s.projectBy(f[1]); p != nil {
			f[1] = p.Number
		}
	}
	return strings.Join(f, "/")
}

// nodeAbove returns what a resource inherits policies from: the nearest of the
// resources that its name leads through, in the end a project, folder or
// organization; failing all, parent, or the organization. The zero node is none.
func nodeAbove(s *state, full, parent string) node {
	host, relative, _ := strings.Cut(strings.TrimPrefix(full, "//"), "/")
	segments := strings.Split(relative, "/")
	for n := len(segments) - 1; n >= 2; n-- {
		above := "//" + host + "/" + strings.Join(segments[:n], "/")
		if s.Resources[above] != nil {
			_, n, err := findNamed(s, above)
			if err != nil {
				return node{}
			}
			return n
		}
		if n, ok := s.serviceNode(above); ok {
			return n
		}
	}
	if host == apigeeHost && segments[0] == "organizations" && len(segments) > 1 && s.projectBy(segments[1]) != nil {
		return s.containerNode("projects/" + segments[1])
	}
	switch segments[0] {
	case "projects", "folders", "organizations":
		if len(segments) > 1 {
			return s.containerNode(segments[0] + "/" + segments[1])
		}
	}
	if parent != "" {
		return s.containerNode(parent)
	}
	for number := range s.Organizations {
		return s.containerNode("organizations/" + number) // there is one at most
	}
	return node{}
}

// wrapPolicy turns the other two forms of a request to set a policy into the usual
// one: Cloud Storage's, which is the policy itself, and Compute's older one, which
// has bindings and etag beside the policy that is not there.
func (t *resourceType) wrapPolicy(c *call) error {
	if len(bytes.TrimSpace(c.body)) == 0 {
		return nil
	}
	var fields map[string]json.RawMessage
	if err := c.decode(&fields); err != nil {
		return err
	}
	if t.form == ":" || t.form == "/" && (fields["policy"] != nil || fields["bindings"] == nil) {
		return nil
	}
	body, err := json.Marshal(map[string]json.RawMessage{"policy": c.body})
	if err != nil {
		return fmt.Errorf("wrapping a policy: %w", err)
	}
	c.body = body
	return nil
}

// refusal is err in the words of the type's service: to a stale etag Cloud Storage
// answers with a precondition that does not hold.
func (t *resourceType) refusal(err error) error {
	if r, ok := errors.AsType[*refusal](err); ok && t.host == cloudStorage && r.Status == refuseStale().Status {
		return conditionNotMet()
	}
	return err
}
