package lifecycle

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/taskiam/taskiam/internal/customrole"
	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/gcloud"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/review"
	"github.com/taskiam/taskiam/internal/surroundings"
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
	Custom map[string]customrole.Role
	// Ambient is what everybody has, on the plan's resources and on all that is above
	// them and the account, as far as it can be seen.
	Ambient []AmbientAccess
	// Dropped is what of others' deleted members the writes would leave out, by resource.
	Dropped map[resource.Name][]policy.Binding
	// Unseen names, in words, what is above a resource and cannot be found.
	Unseen []string
	// Findings is what is to be said of each grant, by grant and the gravest first.
	Findings []review.Finding
	// Effective is what the account could do, on the plan's resources and all above them.
	Effective []review.Effective
	Forecast  Forecast
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
	Bindings []policy.Binding
	all      []policy.Binding // those that are by name included
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
		e.warnOfClock(s.ahead, "a run expires by the cloud's")
	}
	p := &Preview{Plan: plan, Operator: s.operator, Roles: s.roles, Custom: s.custom.Roles(), Refusals: s.refusals,
		Calls:   calls(plan, s),
		Dropped: map[resource.Name][]policy.Binding{}}
	for name, doc := range s.policies {
		p.Dropped[name] = doc.Dropped()
	}
	around := surroundings.Find(ctx, e.Cloud, plan)
	names := around.Names()
	p.Unseen, p.Ambient = around.Missing(), e.ambient(ctx, names, s)
	for _, a := range p.Ambient {
		if a.Known {
			around.Bindings[a.Resource] = a.all
		}
	}
	e.readRoles(ctx, plan, around, s)
	for _, name := range names {
		p.Effective = append(p.Effective, review.EffectiveOn(plan, name, around.Surroundings, s.roles, e.Cloud.Clock()))
	}
	s.seen.Ambient = heldByEverybody(p.Effective, s.roles)
	s.seen.Candidates, s.seen.Thorough = e.candidates(ctx, plan), true
	p.Findings = review.Findings(plan.Task, s.seen)
	p.Forecast = e.forecast(ctx, plan, s)
	return p, nil
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
			out[i] = AmbientAccess{Resource: n, Known: true, Bindings: policy.Ambient(doc), all: doc.Bindings()}
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
	credential := "upload a public key that expires with the run"
	if kinds := s.deliver; len(kinds) > 0 && !delivery.Of(kinds[0]).MakesKey {
		credential = "mint an access token"
		if !s.mints {
			credential = "give the operator the right to mint tokens of the account " +
				"(roles/iam.serviceAccountTokenCreator on it), and mint one"
		}
	}
	create := "create the service account " + plan.Email
	if made := s.custom.ToDo(); len(made) > 0 {
		create += ", and at the same time " + strings.Join(made, ", ")
	}
	return []string{
		"read " + policies + " and the roles to be bound, as " + s.operator.Member,
		create,
		"write " + policies + ", and at the same time " + credential,
		"read back what was written, and check as the account whether it works",
	}
}

// Gcloud returns the plan as commands of gcloud.
func (p *Preview) Gcloud() gcloud.Script {
	s := gcloud.Script{Plan: p.Plan, Refusals: p.Refusals}
	for _, name := range slices.Sorted(maps.Keys(p.Custom)) {
		c := p.Custom[name]
		project, _, _ := strings.Cut(strings.TrimPrefix(name, "projects/"), "/roles/")
		role := grants.CustomRole(project, c.Permissions, 0)
		role.Name = name
		switch c.State {
		case customrole.Missing:
			s.Create = append(s.Create, role)
		case customrole.Deleted:
			s.Undelete = append(s.Undelete, role)
		case customrole.There:
		}
	}
	return s
}
