package lifecycle

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/taskiam/taskiam/internal/gcloud"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/review"
)

// around is where a plan's resources and its account are, as far as that can be seen.
type around struct {
	review.Surroundings
	missing []string
}

// names returns all of it, sorted, each once.
func (a *around) names() []resource.Name {
	set := map[resource.Name]bool{}
	for name, above := range a.Above {
		for _, n := range append([]resource.Name{name}, above...) {
			if _, twice := a.Same[n]; !twice {
				set[n] = true
			}
		}
	}
	return slices.SortedFunc(maps.Keys(set),
		func(a, b resource.Name) int { return strings.Compare(a.Full(), b.Full()) })
}

func (a *around) unseen() []string { return slices.Compact(slices.Sorted(slices.Values(a.missing))) }

// around finds, for the plan's resources and the project of its account, what each
// inherits access from.
func (e *Engine) around(ctx context.Context, plan grants.Plan) *around {
	a := &around{Surroundings: review.Surroundings{
		Above: map[resource.Name][]resource.Name{}, Same: map[resource.Name]resource.Name{},
		Numbers:  map[string]string{},
		Bindings: map[resource.Name][]policy.Binding{}, Unseen: map[resource.Name][]string{},
	}}
	places := e.placesOf(ctx, plan)
	projects := e.projectsOf(ctx, places)
	for id, p := range projects {
		if p.number != "" {
			a.Numbers[id] = p.number
		}
	}
	for _, p := range places {
		a.put(p, projects[p.project].chain)
	}
	a.complete()
	return a
}

// place says where a resource is.
type place struct {
	name    resource.Name
	project string // its id or its number; "" if the resource is in none, or in an unknown one
	unknown string // what cannot be found, in words
}

// placesOf finds in which projects the plan's resources are. A bucket has to be asked for.
func (e *Engine) placesOf(ctx context.Context, plan grants.Plan) []place {
	var places []place
	host, _, err := resource.Parse("projects/" + plan.Task.Project)
	if err == nil {
		places = append(places, place{name: host, project: plan.Task.Project})
	}
	for _, edit := range plan.Edits {
		if edit.Resource != host {
			places = append(places, place{name: edit.Resource, project: edit.Resource.Project()})
		}
	}
	var wg sync.WaitGroup
	for i := range places {
		p := &places[i]
		switch {
		case p.name.Type().Kind == "folder":
			p.project, p.unknown = "", "the parents of "+p.name.String()
		case p.name.Var("bucket") != "" && p.project == "":
			wg.Go(func() {
				bucket, _ := p.name.Bucket()
				b, err := e.Cloud.Bucket(ctx, bucket)
				if err != nil || b.Project == "" {
					p.unknown = "the project of " + bucket.String()
					return
				}
				p.project = b.Project
			})
		}
	}
	wg.Wait()
	return places
}

// projectAround is what can be seen of one project.
type projectAround struct {
	chain  []resource.Name // the project and what is above it; nil if that cannot be found
	number string          // "" if it cannot be found
}

// projectsOf looks at each project of the places once.
func (e *Engine) projectsOf(ctx context.Context, places []place) map[string]projectAround {
	var (
		out = map[string]projectAround{}
		mu  sync.Mutex
		wg  sync.WaitGroup
	)
	for _, p := range places {
		if _, twice := out[p.project]; !twice {
			out[p.project] = projectAround{}
		}
	}
	delete(out, "")
	for _, id := range slices.Collect(maps.Keys(out)) {
		wg.Go(func() {
			var found projectAround
			if chain, err := e.Cloud.Ancestors(ctx, id); err == nil {
				found.chain = chain
			}
			if number, err := e.Cloud.ProjectNumber(ctx, id); err == nil {
				found.number = number
			}
			mu.Lock()
			defer mu.Unlock()
			out[id] = found
		})
	}
	wg.Wait()
	return out
}

// put notes what a resource inherits access from: what contains it, and the chain of its
// project.
func (a *around) put(p place, chain []resource.Name) {
	above := review.Containers(p.name)
	self, _, err := resource.Parse("projects/" + p.project)
	named := p.project != "" && err == nil
	if len(chain) == 0 {
		unknown := p.unknown
		if unknown == "" && p.project != "" {
			unknown = "project " + p.project + " and its parents"
		}
		if unknown != "" {
			a.missing = append(a.missing, unknown)
			a.Unseen[p.name] = append(a.Unseen[p.name], unknown)
		}
		if named && p.name != self {
			above = append(above, self)
		}
		a.Above[p.name] = above
		return
	}
	if named && chain[0] != self {
		a.Same[self] = chain[0]
	}
	if chain[0] == p.name {
		chain = chain[1:]
	}
	a.Above[p.name] = append(above, chain...)
}

// complete adds the projects and folders on the way up: each is a resource of its own, above
// which is the rest of the chain. What one resource shows is not missing any more.
func (a *around) complete() {
	for _, chain := range slices.Collect(maps.Values(a.Above)) {
		for i, n := range chain {
			if rest := chain[i+1:]; len(a.Above[n]) < len(rest) || len(rest) == 0 && a.Above[n] == nil {
				a.Above[n] = rest
				delete(a.Unseen, n)
			}
		}
	}
	unseen := map[string]bool{}
	for _, list := range a.Unseen {
		for _, what := range list {
			unseen[what] = true
		}
	}
	a.missing = slices.DeleteFunc(a.missing, func(what string) bool { return !unseen[what] })
}

// readRoles reads the roles that reach the account without being in the plan. What cannot
// be read stays unknown.
func (e *Engine) readRoles(ctx context.Context, plan grants.Plan, a *around, s *survey) {
	var (
		mu   sync.Mutex
		wg   sync.WaitGroup
		want = map[string]bool{}
	)
	for name := range a.Above {
		for _, source := range review.EffectiveOn(plan, name, a.Surroundings, s.roles, plan.Began).Sources {
			if _, known := s.roles[source.Binding.Role]; !known {
				want[source.Binding.Role] = true
			}
		}
	}
	for role := range want {
		wg.Go(func() {
			if r, err := e.Roles.Role(ctx, role); err == nil {
				mu.Lock()
				defer mu.Unlock()
				s.roles[role] = r
			}
		})
	}
	wg.Wait()
}

// heldByEverybody returns what is held on the plan's resources without any grant, whenever and
// however.
func heldByEverybody(
	effective []review.Effective, roles map[string]grants.Role,
) map[resource.Name]map[string]bool {
	out := map[resource.Name]map[string]bool{}
	for _, e := range effective {
		held := map[string]bool{}
		for _, source := range e.Sources {
			if source.Grant < 0 && source.Binding.Condition.IsZero() {
				for _, p := range roles[source.Binding.Role].Permissions {
					held[p] = true
				}
			}
		}
		out[e.Resource] = held
	}
	return out
}

// candidates returns the roles that could be bound on the plan's resources in place of
// those that are to be. Which these are depends on the type alone.
func (e *Engine) candidates(ctx context.Context, plan grants.Plan) map[resource.Name][]grants.Role {
	var (
		out = map[resource.Name][]grants.Role{}
		mu  sync.Mutex
		wg  sync.WaitGroup
	)
	for t, edits := range byType(plan.Edits) {
		if t.Service == "cloudresourcemanager.googleapis.com" {
			continue // all roles there are, and none of them is about the project alone
		}
		wg.Go(func() {
			roles, err := e.Roles.RolesOn(ctx, edits[0].Resource)
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for _, edit := range edits {
				out[edit.Resource] = roles
			}
		})
	}
	wg.Wait()
	return out
}

// Forecast is how much room there is for what an up adds, and for what comes after it.
type Forecast struct {
	// Accounts is how many accounts the project has, and CustomRoles how many roles of its
	// own; -1 if that cannot be read.
	Accounts, CustomRoles int
	// Members has how many more principals each policy can name once the plan is carried
	// out. Policies that cannot be read, and access lists, are not in it.
	Members map[resource.Name]int
	// Deleted has what deleted members take of the room in each policy.
	Deleted map[resource.Name]Deleted
}

// Deleted is how many members of a policy are deleted, and the command that takes them out; ""
// if there is none.
type Deleted struct {
	Members int
	Drop    string
}

func (e *Engine) forecast(ctx context.Context, plan grants.Plan, s *survey) Forecast {
	f := Forecast{Accounts: -1, CustomRoles: -1, Members: map[resource.Name]int{}, Deleted: map[resource.Name]Deleted{}}
	var wg sync.WaitGroup
	wg.Go(func() {
		if accounts, err := e.Cloud.Accounts(ctx, plan.Task.Project); err == nil {
			f.Accounts = len(accounts)
		}
	})
	wg.Go(func() {
		if roles, err := e.Cloud.CustomRoles(ctx, plan.Task.Project); err == nil {
			f.CustomRoles = len(roles)
		}
	})
	wg.Wait()
	for _, edit := range plan.Edits {
		if doc := s.policies[edit.Resource]; doc != nil {
			if left, ok := policy.MembersLeft(doc, edit.Bindings); ok {
				f.Members[edit.Resource] = left
				f.Deleted[edit.Resource] = Deleted{policy.Dead(doc), gcloud.DropDeleted(edit.Resource)}
			}
		}
	}
	return f
}
