package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/taskiam/taskiam/internal/customrole"
	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/gcloud"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/review"
)

// The permissions that an operator needs on the project that hosts the accounts.
var hostPermissions = review.AccountPermissions

const (
	mintPermission    = delivery.MintPermission
	mintIDPermission  = review.MintIDPermission
	letMintPermission = review.LetMintPermission
)

// survey is what is known of the cloud before the first write.
type survey struct {
	operator grants.Identity
	// plan is the plan with the custom roles that its lists of permissions come to.
	plan     grants.Plan
	roles    map[string]grants.Role // the roles of the plan that could be read
	custom   *customrole.Set        // those that lists of permissions come to
	policies map[resource.Name]policy.Document
	// mints says that the operator may mint tokens of every account in the host project.
	mints bool
	// deliver has those of the plan's deliveries that the operator may make.
	deliver []grants.DeliveryKind
	// ahead is by how much the cloud's clock is ahead of this machine's; 0 if they agree.
	ahead time.Duration
	// host has those of the permissions on the host project that matter here.
	host []string
	// unread has why the policy of a resource could not be read; it is among the refusals.
	unread map[resource.Name]error
	// refusals is every lasting reason why the plan cannot be carried out.
	refusals []error
	// seen is what its grants are judged by, and findings what came of that.
	seen     review.Seen
	findings []review.Finding
}

// survey reads, side by side, all that a plan depends on. The error is one that
// says nothing of the plan: no login, no network, a cancelled context.
func (e *Engine) survey(ctx context.Context, plan grants.Plan) (*survey, error) {
	var (
		s     = newSurvey(plan)
		mu    sync.Mutex
		wg    sync.WaitGroup
		fatal []error
	)
	// ask runs one question; what it returns is judged under the lock.
	ask := func(f func() error) {
		wg.Go(func() {
			err := f()
			if err == nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if ctx.Err() != nil || fault.Is(err, fault.Unauthenticated, fault.Unavailable, fault.Throttled) {
				fatal = append(fatal, err)
			} else {
				s.refusals = append(s.refusals, err)
			}
		})
	}
	note := func(f func()) { mu.Lock(); defer mu.Unlock(); f() }

	ask(func() error {
		id, err := e.Cloud.Whoami(ctx)
		note(func() { s.operator = id })
		return err
	})
	ask(func() error {
		host, _, err := resource.Parse("projects/" + plan.Task.Project)
		if err != nil {
			return err
		}
		want := slices.Concat(hostPermissions, []string{mintIDPermission, letMintPermission})
		for _, kind := range delivery.Kinds() {
			want = append(want, kind.Permissions...)
		}
		slices.Sort(want)
		want = slices.Compact(want)
		have, err := e.Cloud.TestPermissions(ctx, host, want)
		if err != nil {
			return err
		}
		s.host = have
		s.mints = slices.Contains(have, mintPermission) &&
			(len(plan.Task.Audiences) == 0 || slices.Contains(have, mintIDPermission))
		s.deliver, err = allowed(plan.Task, s.mints, have)
		return err
	})
	for role, on := range rolesOf(plan) {
		ask(func() error {
			r, err := e.Roles.Role(ctx, role)
			switch {
			case err == nil && r.Deleted:
				return fault.New(fault.Precondition, "role %s is deleted and grants nothing", role)
			case err == nil:
				note(func() { s.roles[role] = r })
				return nil
			case fault.Is(err, fault.NotFound):
				return fault.WithHint(fmt.Errorf("granting %s on %s: there is no such role: %w", role, on, err),
					gcloud.FindRole(lastPart(role)))
			case fault.Is(err, fault.Denied):
				// Another project's role: it may exist, and nobody here knows what it gives.
				note(func() { s.seen.Unreadable[role] = true })
				return nil
			default:
				return err
			}
		})
	}
	ask(func() error {
		custom, errs := e.customRoles().Survey(ctx, plan.Task)
		s.custom = custom
		for _, err := range errs {
			ask(func() error { return err })
		}
		return nil
	})
	for _, edit := range plan.Edits {
		ask(func() error {
			doc, err := e.Cloud.ReadPolicy(ctx, edit.Resource)
			if err != nil {
				note(func() { s.unread[edit.Resource] = err })
				return err
			}
			note(func() { s.policies[edit.Resource] = doc })
			if err := doc.Room(edit.Bindings); err != nil {
				return fmt.Errorf("binding on %s: %w", edit.Resource, err)
			}
			return nil
		})
		if _, ok := edit.Resource.Bucket(); ok {
			ask(func() error {
				return e.uniform(ctx, edit, func(uniform bool) { note(func() { s.seen.Uniform[edit.Resource] = uniform }) })
			})
		}
	}
	for _, edits := range byType(plan.Edits) {
		if !slices.ContainsFunc(edits, namesPredefined) {
			continue // a custom role is in the list only for who may list those
		}
		ask(func() error {
			return e.grantable(ctx, edits, func(grant int) { note(func() { s.seen.Ungrantable[grant] = true }) })
		})
	}
	wg.Wait()
	s.settle()
	s.judge()
	s.ahead = e.clockAhead()
	if err := s.leaveUnsigned(plan); err != nil {
		s.refusals = append(s.refusals, err)
	}
	slices.SortFunc(s.refusals, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return s, errors.Join(fatal...)
}

func predefined(b policy.Binding) bool { return strings.HasPrefix(b.Role, "roles/") }

func namesPredefined(edit grants.Edit) bool { return slices.ContainsFunc(edit.Bindings, predefined) }

func conditional(b policy.Binding) bool { return !b.Condition.IsZero() }

func lastPart(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// rolesOf returns the roles of a plan, each with the first resource it is for.
func rolesOf(plan grants.Plan) map[string]resource.Name {
	roles := map[string]resource.Name{}
	for _, g := range slices.Backward(plan.Task.Grants) {
		if len(g.Permissions) == 0 {
			roles[g.Role] = g.Resource
		}
	}
	return roles
}

// allowed returns the deliveries of a task that the operator may make, by the
// permissions that it has on the host project. Without any, the error says what the
// best one would need.
func allowed(task grants.Task, mints bool, have []string) ([]grants.DeliveryKind, error) {
	lacking := func(kind delivery.Kind) []string {
		want := slices.Clone(hostPermissions)
		for _, p := range kind.Permissions {
			switch {
			case p != delivery.MintPermission:
				want = append(want, p)
			case !mints:
				want = append(want, letMintPermission)
			}
		}
		return slices.DeleteFunc(want, func(p string) bool { return slices.Contains(have, p) })
	}
	kinds := delivery.For(task)
	var may []grants.DeliveryKind
	for _, kind := range kinds {
		if len(lacking(kind)) == 0 {
			may = append(may, kind.Name)
		}
	}
	if len(may) > 0 {
		return may, nil
	}
	return nil, fault.WithHint(
		fault.New(fault.Denied, "the operator lacks %s on project %s", strings.Join(lacking(kinds[0]), ", "), task.Project),
		"roles/iam.serviceAccountAdmin and roles/iam.serviceAccountKeyAdmin on the project hold them")
}

// byType returns the edits, those of one type of resource together.
func byType(edits []grants.Edit) map[*resource.Type][]grants.Edit {
	out := map[*resource.Type][]grants.Edit{}
	for _, edit := range edits {
		out[edit.Resource.Type()] = append(out[edit.Resource.Type()], edit)
	}
	return out
}

// grantable refuses roles that Google does not let one bind on resources of one type.
// Which predefined roles these are depends on the type alone, and the answer is long,
// so it is asked for once. Where Google does not answer, binding will tell.
func (e *Engine) grantable(ctx context.Context, edits []grants.Edit, not func(grant int)) error {
	roles, err := e.Roles.GrantableRoles(ctx, edits[0].Resource)
	if err != nil {
		if fault.Is(err, fault.Unauthenticated, fault.Unavailable) {
			return err
		}
		return nil
	}
	var refused []error
	for _, edit := range edits {
		for i, b := range edit.Bindings {
			if predefined(b) && !roles[b.Role] {
				not(edit.Grants[i])
				refused = append(refused, fault.WithHint(
					fault.New(fault.Invalid, "granting %s on %s: the role cannot be bound on %s", b.Role, edit.Resource, edit.Resource.Type().A()),
					gcloud.GrantableRoles(edit.Resource)))
			}
		}
	}
	return errors.Join(refused...)
}

// uniform refuses conditions on a bucket that still has object ACLs, and tells whether it has.
func (e *Engine) uniform(ctx context.Context, edit grants.Edit, tell func(uniform bool)) error {
	bucket, _ := edit.Resource.Bucket()
	b, err := e.Cloud.Bucket(ctx, bucket)
	if err != nil {
		if fault.Is(err, fault.Denied, fault.NotFound) {
			return nil // who may bind on it need not be who may look at it; that it is not there, its policy says
		}
		return err
	}
	tell(b.Uniform)
	if !b.Uniform && slices.ContainsFunc(edit.Bindings, conditional) {
		return fault.WithHint(
			fault.New(fault.Precondition, "binding on %s: a bucket without uniform bucket-level access takes no conditions, so the grant would not end by itself", bucket),
			gcloud.UniformAccess(bucket))
	}
	return nil
}
