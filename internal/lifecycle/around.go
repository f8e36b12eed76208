package lifecycle

import (
	"context"
	"sync"

	"github.com/taskiam/taskiam/internal/gcloud"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/review"
	"github.com/taskiam/taskiam/internal/surroundings"
)

// readRoles reads the roles that reach the account without being in the plan. What cannot
// be read stays unknown.
func (e *Engine) readRoles(ctx context.Context, plan grants.Plan, a *surroundings.Found, s *survey) {
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
