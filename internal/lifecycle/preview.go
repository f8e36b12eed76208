package lifecycle

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/resource"
)

// Preview is what `plan` reports: what an up would meet.
type Preview struct {
	// Plan is the plan, as an up would carry it out now.
	Plan     grants.Plan
	Operator grants.Identity
	// Roles has the permissions behind every role of the plan that could be read. Of a
	// custom role that is to be made, those that it is made with.
	Roles map[string]grants.Role
	// Custom are the custom roles that lists of permissions come to, by their names.
	Custom map[string]CustomRole
	// Ambient is what everybody has, on the plan's resources and on all that is above
	// them and the account, as far as it can be seen.
	Ambient []AmbientAccess
	// Dropped is what of others' deleted members the writes would leave out, by resource.
	Dropped map[resource.Name][]grants.Binding
	// Unseen names, in words, what is above a resource and cannot be found.
	Unseen []string
	// Refusals is every reason why up would refuse.
	Refusals []error
	// Calls says in which order up would call.
	Calls []string
}

// AmbientAccess is what the run's account would have on a resource without being
// named there.
type AmbientAccess struct {
	Resource resource.Name
	// Known is false where the policy cannot be read: then there may be anything.
	Known    bool
	Bindings []grants.Binding
}

// Preview looks at what an up of the plan would meet, and writes nothing.
func (e *Engine) Preview(ctx context.Context, plan grants.Plan) (*Preview, error) {
	s, err := e.survey(ctx, plan)
	if err != nil {
		return nil, err
	}
	plan = s.plan
	if s.ahead != 0 {
		plan = plan.BeginAt(plan.Began.Add(s.ahead))
		e.warnOfClock(s.ahead, "a run ends by the cloud's")
	}
	p := &Preview{Plan: plan, Operator: s.operator, Roles: s.roles, Custom: s.customRoles(), Refusals: s.refusals, Calls: calls(plan, s),
		Dropped: map[resource.Name][]grants.Binding{}}
	for name, doc := range s.policies {
		p.Dropped[name] = doc.Dropped()
	}
	names, unseen := e.above(ctx, plan)
	p.Unseen, p.Ambient = unseen, e.ambient(ctx, names, s)
	return p, nil
}

// above returns the plan's resources, and the projects, folders and organisations
// that they and the account inherit access from.
func (e *Engine) above(ctx context.Context, plan grants.Plan) (names []resource.Name, unseen []string) {
	var mu sync.Mutex
	add := func(more ...resource.Name) {
		mu.Lock()
		defer mu.Unlock()
		for _, n := range more {
			if !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
	}
	miss := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		if !slices.Contains(unseen, what) {
			unseen = append(unseen, what)
		}
	}
	ancestors := func(project string) {
		above, err := e.Cloud.Ancestors(ctx, project)
		if err != nil {
			miss("project " + project + " and what is above it")
		}
		add(above...)
	}
	projects := map[string]bool{plan.Task.Project: true}
	var wg sync.WaitGroup
	for _, edit := range plan.Edits {
		add(edit.Resource)
		if bucket, ok := edit.Resource.Bucket(); ok {
			add(bucket)
			wg.Go(func() {
				b, err := e.Cloud.Bucket(ctx, bucket)
				if err != nil || b.Project == "" {
					miss("the project of " + bucket.String())
					return
				}
				ancestors(b.Project)
			})
		} else if p := edit.Resource.Project(); p != "" {
			projects[p] = true
		}
	}
	for p := range projects {
		wg.Go(func() { ancestors(p) })
	}
	wg.Wait()
	slices.SortFunc(names, func(a, b resource.Name) int { return strings.Compare(a.Full(), b.Full()) })
	slices.Sort(unseen)
	return names, unseen
}

// ambient looks for access that is not by name.
func (e *Engine) ambient(ctx context.Context, names []resource.Name, s *survey) []AmbientAccess {
	out := make([]AmbientAccess, len(names))
	var wg sync.WaitGroup
	for i, n := range names {
		wg.Go(func() {
			doc := s.policies[n]
			if doc == nil {
				var err error
				if doc, err = e.Cloud.ReadPolicy(ctx, n); err != nil {
					out[i] = AmbientAccess{Resource: n}
					return
				}
			}
			out[i] = AmbientAccess{Resource: n, Known: true, Bindings: grants.Ambient(doc)}
		})
	}
	wg.Wait()
	return out
}

// calls names the calls of an up in their order; those of one line go side by side.
func calls(plan grants.Plan, s *survey) []string {
	policies := "1 policy"
	if n := len(plan.Edits); n != 1 {
		policies = fmt.Sprintf("%d policies", n)
	}
	credential := "upload a public key that ends with the run"
	if kinds := s.deliver; len(kinds) > 0 && kinds[0] != grants.DeliverKey {
		credential = "mint an access token"
		if !s.mints {
			credential = "let the operator mint tokens of the account (roles/iam.serviceAccountTokenCreator on it) and mint one"
		}
	}
	create := "create the service account " + plan.Email
	if made := s.toMake(); len(made) > 0 {
		create += ", and beside that " + strings.Join(made, ", ")
	}
	return []string{
		"read " + policies + " and the roles to be bound, as " + s.operator.Member,
		create,
		"write " + policies + ", and beside that " + credential,
		"read back what was written, and ask as the account whether it works",
	}
}
