package review

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
)

// Effective is what the run's account can do on one resource while the run is up.
type Effective struct {
	Resource resource.Name
	// Permissions are those that it holds on the resource itself, sorted. What a binding
	// gives only below the resource, or at another time, is not included: see Sources.
	Permissions []string
	// Sources are the bindings that reach the account, on the resource and all above it.
	Sources []Source
	// Unknown lists, in words, what could not be read and may give more.
	Unknown []string
}

// Source is a binding from which access on some resource comes.
type Source struct {
	On      resource.Name // whose policy it is in
	Grant   int           // index in the task; -1 for what the account has without being named
	Binding policy.Binding
	// Holds says that the binding is of use on the resource itself: it has no condition, or
	// one that is true there now.
	Holds bool
}

// Surroundings is what is known about the ancestors of a plan's resources.
type Surroundings struct {
	// Above lists, for each resource, the ancestors that it inherits access from, nearest first.
	Above map[resource.Name][]resource.Name
	// Same maps a project named by its number to its other name.
	Same map[resource.Name]resource.Name
	// Numbers are the known project numbers, by project id.
	Numbers map[string]string
	// Bindings are those of each policy before the run; unreadable policies are missing.
	Bindings map[resource.Name][]policy.Binding
	// Unseen lists, for each resource, the ancestors that cannot be found.
	Unseen map[resource.Name][]string
}

// Containers returns the resources of the same service that a resource is in, the nearest
// first: the dataset of a table.
func Containers(name resource.Name) []resource.Name {
	var out []resource.Name
	segments := strings.Split(name.Relative(), "/")
	for n := len(segments) - 1; n > 2; n-- {
		in, err := resource.ParseFull("//" + name.Type().Service + "/" + strings.Join(segments[:n], "/"))
		if err == nil && in.Type().Bindable() {
			out = append(out, in)
		}
	}
	return out
}

// EffectiveOn returns what the plan's account can do on a resource at now once the plan is
// carried out: through its grants, and through bindings that do not name it.
func EffectiveOn(p grants.Plan, name resource.Name, s Surroundings, roles map[string]grants.Role,
	now time.Time) Effective {
	e := Effective{Resource: name, Permissions: []string{}, Unknown: slices.Clone(s.Unseen[name])}
	held := map[string]bool{}
	add := func(on resource.Name, grant int, b policy.Binding) {
		source := Source{On: on, Grant: grant, Binding: b, Holds: b.Condition.IsZero() ||
			holdsOn(b.Condition.Expression, name, s.Numbers, now)}
		e.Sources = append(e.Sources, source)
		role, known := roles[b.Role]
		if !known {
			e.Unknown = append(e.Unknown, "the permissions of "+b.Role)
		}
		if source.Holds {
			for _, permission := range role.Permissions {
				held[permission] = true
			}
		}
	}
	for _, on := range append([]resource.Name{name}, s.Above[name]...) {
		for _, edit := range p.Edits {
			if edit.Resource != on && s.Same[edit.Resource] != on {
				continue
			}
			for i, b := range edit.Bindings {
				add(on, edit.Grants[i], b)
			}
		}
		bindings, known := s.Bindings[on]
		if !known {
			e.Unknown = append(e.Unknown, "the policy of "+on.String())
		}
		for _, b := range bindings {
			if reaches(p, b.Member, on, s) {
				add(on, -1, b)
			}
		}
	}
	e.Permissions = slices.AppendSeq(e.Permissions, maps.Keys(held))
	slices.Sort(e.Permissions)
	slices.Sort(e.Unknown)
	e.Unknown = slices.Compact(e.Unknown)
	return e
}

// reaches reports whether a member of a policy is the account of the plan without naming
// it: everybody, the service accounts of what it is in, and, if the plan gives it a basic
// role on a project, those who have that role there (iam/docs/principal-identifiers).
func reaches(p grants.Plan, member string, on resource.Name, s Surroundings) bool {
	if rest, ok := strings.CutPrefix(member, policy.PrincipalSets); ok {
		in, _, _ := strings.Cut(rest, "/type/")
		if number, ok := strings.CutPrefix(in, "projects/"); ok {
			ours := s.Numbers[p.Task.Project]
			return ours == "" || ours == number
		}
		host, _, err := resource.Parse("projects/" + p.Task.Project)
		above, known := s.Above[host]
		return err != nil || !known || slices.ContainsFunc(above, func(n resource.Name) bool {
			return n.Relative() == in
		})
	}
	if policy.IsAmbient(member) {
		return true
	}
	kind, project, _ := strings.Cut(member, ":")
	basic := map[string]string{
		"projectOwner": "roles/owner", "projectEditor": "roles/editor", "projectViewer": "roles/viewer",
		"projectOwners": "roles/owner", "projectWriters": "roles/editor", "projectReaders": "roles/viewer",
	}[kind]
	if basic == "" {
		return false
	}
	if project == "" { // of a dataset: those of its own project
		project = on.Project()
	}
	return slices.ContainsFunc(p.Task.Grants, func(g grants.Grant) bool {
		of := g.Resource
		if same, ok := s.Same[of]; ok {
			of = same
		}
		return g.Role == basic && of.Type().Kind == "project" && of.Project() == project
	})
}

// holdsOn is [Holds] where the numbers of projects are known.
func holdsOn(expression string, name resource.Name, numbers map[string]string, now time.Time) bool {
	path := name.Relative()
	if number := numbers[name.Project()]; name.Type().NumbersProject && number != "" {
		path = "projects/" + number + strings.TrimPrefix(path, "projects/"+name.Project())
	}
	return holdsAt(expression, name.Type(), path, now)
}
