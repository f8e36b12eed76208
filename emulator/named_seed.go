package emulator

import (
	"fmt"
	"strings"
)

// seedResources makes the resources that are nothing but a name and a policy.
func seedResources(s *seeding, resources []seedResource) error {
	for _, in := range resources {
		host, relative, ok := strings.Cut(strings.TrimPrefix(in.Name, "//"), "/")
		if !ok || !strings.HasPrefix(in.Name, "//") {
			return fmt.Errorf("resource %q: a full resource name begins with //SERVICE.googleapis.com/", in.Name)
		}
		full := fullName(s.state, host, relative)
		t := typeOf(full)
		if t == nil {
			return fmt.Errorf("resource %s: no resource type of %s that has a policy is named like this", in.Name, host)
		}
		if handWritten(s, t) {
			return fmt.Errorf("resource %s: %s has a table of its own in the seed", in.Name, t.name)
		}
		if s.Resources[full] != nil {
			return fmt.Errorf("resource %s is there twice", in.Name)
		}
		if sv := s.service(host); sv != nil && sv.Admit != nil {
			if err := sv.Admit(s.state, strings.TrimPrefix(full, "//"+host+"/")); err != nil {
				return fmt.Errorf("resource %s: %w", full, err)
			}
		}
		r := &namedResource{Parent: in.Parent, Policy: &policy{}}
		if in.Project != "" {
			r.Parent = "projects/" + in.Project
		}
		if nodeAbove(s.state, full, r.Parent).full == "" {
			return fmt.Errorf("resource %s: what it lies in does not exist", in.Name)
		}
		s.Resources[full] = r
		spec := t.spec()
		if err := s.Policy(r.Policy, in.Bindings, spec.writeOptions()); err != nil {
			return fmt.Errorf("resource %s: %w", in.Name, err)
		}
	}
	return nil
}

// handWritten reports whether a service of its own keeps the resources of the type.
func handWritten(s *seeding, t *resourceType) bool {
	path := strings.ReplaceAll(strings.Join(t.template, "/"), "**", "x")
	path = strings.ReplaceAll(path, "*", "x")
	for _, prefix := range t.prefixes {
		verb := "getIamPolicy"
		if t.form == "/iam" {
			verb = ""
		}
		if s.Serves(t.host, t.get, "/"+strings.Join(prefix, "/")+"/"+path+t.form+verb) {
			return true
		}
	}
	return false
}
