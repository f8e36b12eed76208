package lifecycle

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

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
	return slices.SortedFunc(maps.Keys(set), func(a, b resource.Name) int { return strings.Compare(a.Full(), b.Full()) })
}

func (a *around) unseen() []string { return slices.Compact(slices.Sorted(slices.Values(a.missing))) }

// around finds, for the plan's resources and the project of its account, what each
// inherits access from.
func (e *Engine) around(ctx context.Context, plan grants.Plan) *around {
	a := &around{Surroundings: review.Surroundings{
		Above: map[resource.Name][]resource.Name{}, Same: map[resource.Name]resource.Name{}, Numbers: map[string]string{},
		Bindings: map[resource.Name][]policy.Binding{}, Unseen: map[resource.Name][]string{},
	}}
	var (
		mu   sync.Mutex
		wg   sync.WaitGroup
		once = map[string]*sync.Once{}
		ends = map[string][]resource.Name{}
	)
	// ancestors asks for each project once; nil is for what cannot be found.
	ancestors := func(project string) []resource.Name {
		mu.Lock()
		o := once[project]
		if o == nil {
			o = &sync.Once{}
			once[project] = o
		}
		mu.Unlock()
		o.Do(func() {
			above, err := e.Cloud.Ancestors(ctx, project)
			number, numberErr := e.Cloud.ProjectNumber(ctx, project)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				ends[project] = above
			}
			if numberErr == nil {
				a.Numbers[project] = number
			}
		})
		mu.Lock()
		defer mu.Unlock()
		return ends[project]
	}
	place := func(name resource.Name, project, unknown string) {
		above := review.Containers(name)
		self, _, err := resource.Parse("projects/" + project)
		var chain []resource.Name
		if project != "" {
			chain = ancestors(project)
		}
		mu.Lock()
		defer mu.Unlock()
		if (project != "" || unknown != "") && len(chain) == 0 {
			if unknown == "" {
				unknown = "project " + project + " and what is above it"
			}
			a.missing = append(a.missing, unknown)
			a.Unseen[name] = append(a.Unseen[name], unknown)
			if err == nil && project != "" && name != self {
				above = append(above, self)
			}
		}
		if len(chain) > 0 {
			if err == nil && chain[0] != self {
				a.Same[self] = chain[0]
			}
			if chain[0] == name {
				chain = chain[1:]
			}
		}
		a.Above[name] = append(above, chain...)
	}
	host, _, err := resource.Parse("projects/" + plan.Task.Project)
	if err == nil {
		wg.Go(func() { place(host, plan.Task.Project, "") })
	}
	for _, edit := range plan.Edits {
		name := edit.Resource
		switch {
		case name == host:
		case name.Var("bucket") != "" && name.Project() == "":
			wg.Go(func() {
				bucket, _ := name.Bucket()
				b, err := e.Cloud.Bucket(ctx, bucket)
				if err != nil || b.Project == "" {
					place(name, "", "the project of "+bucket.String())
					return
				}
				place(name, b.Project, "")
			})
		case name.Type().Kind == "folder":
			wg.Go(func() { place(name, "", "what is above "+name.String()) })
		default:
			wg.Go(func() { place(name, name.Project(), "") })
		}
	}
	wg.Wait()
	// Each project and folder on the way up is a resource of its own, above which is the rest.
	for _, chain := range slices.Collect(maps.Values(a.Above)) {
		for i, n := range chain {
			if rest := chain[i+1:]; len(a.Above[n]) < len(rest) || len(rest) == 0 && a.Above[n] == nil {
				a.Above[n] = rest
				delete(a.Unseen, n)
			}
		}
	}
	a.missing = slices.DeleteFunc(a.missing, func(what string) bool {
		return !slices.ContainsFunc(slices.Collect(maps.Values(a.Unseen)), func(list []string) bool { return slices.Contains(list, what) })
	})
	return a
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

// everybodys returns what is held on the plan's resources without any grant, whenever and
// however.
func everybodys(plan grants.Plan, effective []review.Effective, roles map[string]grants.Role) map[resource.Name]map[string]bool {
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
}

func (e *Engine) forecast(ctx context.Context, plan grants.Plan, s *survey) Forecast {
	f := Forecast{Accounts: -1, CustomRoles: -1, Members: map[resource.Name]int{}}
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
			}
		}
	}
	return f
}
