package emulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// apigeeHost serves resources of organizations that are named after their projects
// (apigee/docs/api-platform/fundamentals/organization-structure).
const apigeeHost = "apigee.googleapis.com"

// namedResource is a resource of which there is nothing but its name and its policy.
type namedResource struct {
	Parent string  `json:"parent,omitempty"` // what it lies in, if its name does not say so: projects/ID, folders/N, organizations/N
	Policy *policy `json:"policy,omitempty"`
}

// seedResource is a resource by its full name: "//run.googleapis.com/projects/p/locations/l/services/s".
type seedResource struct {
	Name     string        `toml:"name"`
	Parent   string        `toml:"parent"`  // for names that begin with no project, folder or organization; the organization if absent
	Project  string        `toml:"project"` // short for a parent that is a project
	Bindings []seedBinding `toml:"binding"`
}

// fullName returns the full name under which a resource is kept: by the id of its
// project, whichever form a request uses.
func (s *state) fullName(host, relative string) string {
	if rest, ok := strings.CutPrefix(relative, "b/"); ok && host == storageHost {
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
func (s *Server) findNamed(full string) (*namedResource, node, error) {
	r := s.state.Resources[full]
	host, relative, _ := strings.Cut(strings.TrimPrefix(full, "//"), "/")
	if r == nil {
		above := s.nodeAbove(full, "")
		if above.full == "" {
			return nil, node{}, forbidden("The caller does not have permission")
		}
		return nil, above, missingNamed(host, relative)
	}
	var name, kind string
	if t := typeOf(full); t != nil && t.kind != "" {
		name, kind = relative, t.kind
		if host == secretHost { // the one that names projects by their number
			name = s.byNumber(relative)
		}
	}
	return r, s.nodeAbove(full, r.Parent).child(full, name, kind, r.Policy), nil
}

func (s *Server) byNumber(relative string) string {
	f := strings.SplitN(relative, "/", 3)
	if len(f) == 3 && f[0] == "projects" {
		if p := s.state.projectBy(f[1]); p != nil {
			f[1] = p.Number
		}
	}
	return strings.Join(f, "/")
}

// nodeAbove returns what a resource inherits policies from: the nearest of the
// resources that its name leads through, in the end a project, folder or
// organization; failing all, parent, or the organization. The zero node is none.
func (s *Server) nodeAbove(full, parent string) node {
	host, relative, _ := strings.Cut(strings.TrimPrefix(full, "//"), "/")
	if host == storageHost {
		return s.aboveFolder(relative)
	}
	segments := strings.Split(relative, "/")
	for n := len(segments) - 1; n >= 2; n-- {
		above := "//" + host + "/" + strings.Join(segments[:n], "/")
		if s.state.Resources[above] != nil {
			_, n, err := s.findNamed(above)
			if err != nil {
				return node{}
			}
			return n
		}
		if n, ok := s.builtNode(above); ok {
			return n
		}
	}
	if host == apigeeHost && segments[0] == "organizations" && len(segments) > 1 && s.state.projectBy(segments[1]) != nil {
		return s.state.containerNode("projects/" + segments[1])
	}
	switch segments[0] {
	case "projects", "folders", "organizations":
		if len(segments) > 1 {
			return s.state.containerNode(segments[0] + "/" + segments[1])
		}
	}
	if parent != "" {
		return s.state.containerNode(parent)
	}
	for number := range s.state.Organizations {
		return s.state.containerNode("organizations/" + number) // there is one at most
	}
	return node{}
}

// builtNode returns the node of a resource that a service of its own keeps and that
// may have named ones below: a key ring, a dataset.
func (s *Server) builtNode(full string) (node, bool) {
	host, relative, _ := strings.Cut(strings.TrimPrefix(full, "//"), "/")
	switch host {
	case bigqueryHost:
		if d := s.state.BigQuery.Datasets[relative]; d != nil {
			parent, _, err := s.projectNode(d.Project)
			return d.node(parent), err == nil
		}
	case kmsHost:
		if n, ok := s.kmsNode(relative); ok {
			return n, true
		}
	}
	return node{}, false
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
	if e, ok := errors.AsType[*apiError](err); ok && t.host == storageHost && e.status == aborted().status {
		return conditionNotMet()
	}
	return err
}

// seedResources makes the resources that are nothing but a name and a policy.
func (s *Server) seedResources(resources []seedResource) error {
	for _, in := range resources {
		host, relative, ok := strings.Cut(strings.TrimPrefix(in.Name, "//"), "/")
		if !ok || !strings.HasPrefix(in.Name, "//") {
			return fmt.Errorf("resource %q: a full resource name begins with //SERVICE.googleapis.com/", in.Name)
		}
		full := s.state.fullName(host, relative)
		t := typeOf(full)
		if t == nil {
			return fmt.Errorf("resource %s: no resource type of %s that has a policy is named like this", in.Name, host)
		}
		if s.handWritten(t) {
			return fmt.Errorf("resource %s: %s has a table of its own in the seed", in.Name, t.name)
		}
		if s.state.Resources[full] != nil {
			return fmt.Errorf("resource %s is there twice", in.Name)
		}
		if err := s.checkFolder(full); err != nil {
			return err
		}
		r := &namedResource{Parent: in.Parent, Policy: &policy{}}
		if in.Project != "" {
			r.Parent = "projects/" + in.Project
		}
		if s.nodeAbove(full, r.Parent).full == "" {
			return fmt.Errorf("resource %s: what it lies in does not exist", in.Name)
		}
		if s.state.Resources == nil {
			s.state.Resources = map[string]*namedResource{}
		}
		s.state.Resources[full] = r
		spec := t.spec()
		if err := s.seedPolicy(r.Policy, in.Bindings, spec.writeOptions()); err != nil {
			return fmt.Errorf("resource %s: %w", in.Name, err)
		}
	}
	return nil
}

// handWritten reports whether a service of its own keeps the resources of the type.
func (s *Server) handWritten(t *resourceType) bool {
	path := strings.ReplaceAll(strings.Join(t.template, "/"), "**", "x")
	path = strings.ReplaceAll(path, "*", "x")
	for _, prefix := range t.prefixes {
		verb := "getIamPolicy"
		if t.form == "/iam" {
			verb = ""
		}
		if m, _ := s.router.find(t.host, t.get, "/"+strings.Join(prefix, "/")+"/"+path+t.form+verb); m != nil && !m.catchAll() {
			return true
		}
	}
	return false
}
