// Package named is what the emulator has of all other resource types that have an allow
// policy: the name and the policy of a resource, by a table made from Google's discovery
// documents.
package named

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

// Service are all other resource types that have an allow policy.
func Service() *wire.Service {
	return &wire.Service{
		Find: findMethod, GrantableOn: grantableOn, Assets: assets,
		Seed: func() (any, func(*wire.Seeding) error) {
			var in struct {
				Resources []seedResource `toml:"resource"`
			}
			return &in, func(s *wire.Seeding) error { return seedResources(s, in.Resources) }
		},
	}
}

// findMethod returns the method of the table for a request: to handle a policy, also where
// a catch-all pattern fits, or to read a resource.
func findMethod(host, verb, path string, fallback *wire.Method) (*wire.Method, map[string]string) {
	if m, vars := findTyped(host, verb, path); m != nil || fallback != nil {
		return m, vars
	}
	return findNamedGet(host, verb, path)
}

func grantableOn(full string) []string {
	t := TypeOf(full)
	if t == nil {
		return nil
	}
	return []string{t.Spec().WriteOptions().Service}
}

func assets(st *wire.State, add func(wire.Asset)) {
	for full := range st.Resources {
		if r, n, err := findNamed(st, full); err == nil {
			add(wire.Asset{Name: full, Type: n.Type, Node: n, Policy: r.Policy})
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
	Name string `toml:"name"`
	// for names that begin with no project, folder or organization; the organization if absent
	Parent   string             `toml:"parent"`
	Project  string             `toml:"project"` // short for a parent that is a project
	Bindings []wire.SeedBinding `toml:"binding"`
}

// fullName returns the full name under which a resource is kept: by the id of its
// project, whichever form a request uses.
func fullName(s *wire.State, host, relative string) string {
	if rest, ok := strings.CutPrefix(relative, "b/"); ok && host == cloudStorage {
		return "//" + host + "/projects/_/buckets/" + rest
	}
	if rest, ok := strings.CutPrefix(relative, "projects/"); ok {
		id, below, nested := strings.Cut(rest, "/")
		if p := s.ProjectBy(id); p != nil && nested {
			relative = "projects/" + p.ID + "/" + below
		}
	}
	return "//" + host + "/" + relative
}

// findNamed returns a named resource and its node, or the node of what would hold it
// and the error.
func findNamed(s *wire.State, full string) (*iam.Resource, iam.Node, error) {
	r := s.Resources[full]
	host, relative, _ := strings.Cut(strings.TrimPrefix(full, "//"), "/")
	if r == nil {
		above := nodeAbove(s, full, "")
		if above.Full == "" {
			return nil, iam.Node{}, wire.Forbidden("The caller does not have permission")
		}
		return nil, above, missingNamed(host, relative)
	}
	var name, kind string
	if t := TypeOf(full); t != nil && t.kind != "" {
		name, kind = relative, t.kind
		if host == "secretmanager.googleapis.com" { // the one that names projects by their number
			name = byNumber(s, relative)
		}
	}
	return r, nodeAbove(s, full, r.Parent).Child(full, name, kind, r.Policy), nil
}

func byNumber(s *wire.State, relative string) string {
	f := strings.SplitN(relative, "/", 3)
	if len(f) == 3 && f[0] == "projects" {
		if p := s.ProjectBy(f[1]); p != nil {
			f[1] = p.Number
		}
	}
	return strings.Join(f, "/")
}

// nodeAbove returns what a resource inherits policies from: the nearest of the
// resources that its name leads through, in the end a project, folder or
// organization; failing all, parent, or the organization. The zero node is none.
func nodeAbove(s *wire.State, full, parent string) iam.Node {
	host, relative, _ := strings.Cut(strings.TrimPrefix(full, "//"), "/")
	segments := strings.Split(relative, "/")
	for n := len(segments) - 1; n >= 2; n-- {
		above := "//" + host + "/" + strings.Join(segments[:n], "/")
		if s.Resources[above] != nil {
			_, n, err := findNamed(s, above)
			if err != nil {
				return iam.Node{}
			}
			return n
		}
		if n, ok := s.ServiceNode(above); ok {
			return n
		}
	}
	if host == apigeeHost && segments[0] == "organizations" && len(segments) > 1 && s.ProjectBy(segments[1]) != nil {
		return s.ContainerNode("projects/" + segments[1])
	}
	switch segments[0] {
	case "projects", "folders", "organizations":
		if len(segments) > 1 {
			return s.ContainerNode(segments[0] + "/" + segments[1])
		}
	}
	if parent != "" {
		return s.ContainerNode(parent)
	}
	for number := range s.Organizations {
		return s.ContainerNode("organizations/" + number) // there is one at most
	}
	return iam.Node{}
}

// wrapPolicy turns the other two forms of a request to set a policy into the usual
// one: Cloud Storage's, which is the policy itself, and Compute's older one, which
// has bindings and etag beside the policy that is not there.
func (t *ResourceType) wrapPolicy(c *wire.Call) error {
	if len(bytes.TrimSpace(c.Body)) == 0 {
		return nil
	}
	var fields map[string]json.RawMessage
	if err := c.Decode(&fields); err != nil {
		return err
	}
	if t.Form == ":" || t.Form == "/" && (fields["policy"] != nil || fields["bindings"] == nil) {
		return nil
	}
	body, err := json.Marshal(map[string]json.RawMessage{"policy": c.Body})
	if err != nil {
		return fmt.Errorf("wrapping a policy: %w", err)
	}
	c.Body = body
	return nil
}

// refusal is err in the words of the type's service: to a stale etag Cloud Storage
// answers with a precondition that does not hold.
func (t *ResourceType) refusal(err error) error {
	if r, ok := errors.AsType[*iam.Refusal](err); ok && t.Host == cloudStorage && r.Status == iam.RefuseStale().Status {
		return wire.ConditionNotMet()
	}
	return err
}
