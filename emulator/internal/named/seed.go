package named

import (
	"fmt"
	"strings"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

// seedResources makes the resources that are nothing but a name and a policy.
func seedResources(s *wire.Seeding, resources []seedResource) error {
	for _, in := range resources {
		host, relative, ok := strings.Cut(strings.TrimPrefix(in.Name, "//"), "/")
		if !ok || !strings.HasPrefix(in.Name, "//") {
			return fmt.Errorf("resource %q: a full resource name begins with //SERVICE.googleapis.com/", in.Name)
		}
		full := fullName(s.State, host, relative)
		t := TypeOf(full)
		if t == nil {
			return fmt.Errorf("resource %s: no resource type of %s that has a policy is named like this", in.Name, host)
		}
		if HandWritten(s.Serves, t) {
			return fmt.Errorf("resource %s: %s has a table of its own in the seed", in.Name, t.Name)
		}
		if s.Resources[full] != nil {
			return fmt.Errorf("resource %s is there twice", in.Name)
		}
		if sv := s.Service(host); sv != nil && sv.Admit != nil {
			if err := sv.Admit(s.State, strings.TrimPrefix(full, "//"+host+"/")); err != nil {
				return fmt.Errorf("resource %s: %w", full, err)
			}
		}
		r := &iam.Resource{Parent: in.Parent, Policy: &iam.Policy{}}
		if in.Project != "" {
			r.Parent = "projects/" + in.Project
		}
		if nodeAbove(s.State, full, r.Parent).Full == "" {
			return fmt.Errorf("resource %s: what it lies in does not exist", in.Name)
		}
		s.Resources[full] = r
		spec := t.Spec()
		if err := s.Policy(r.Policy, in.Bindings, spec.WriteOptions()); err != nil {
			return fmt.Errorf("resource %s: %w", in.Name, err)
		}
	}
	return nil
}

// HandWritten reports whether a service of its own keeps the resources of the type.
func HandWritten(serves func(host, verb, path string) bool, t *ResourceType) bool {
	path := strings.ReplaceAll(strings.Join(t.Template, "/"), "**", "x")
	path = strings.ReplaceAll(path, "*", "x")
	for _, prefix := range t.Prefixes {
		verb := "getIamPolicy"
		if t.Form == "/iam" {
			verb = ""
		}
		if serves(t.Host, t.Get, "/"+strings.Join(prefix, "/")+"/"+path+t.Form+verb) {
			return true
		}
	}
	return false
}
