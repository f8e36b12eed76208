package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
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
	"github.com/taskiam/taskiam/internal/spelling"
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
	// unread maps each resource to the reason why its policy could not be read. The reasons
	// are among the refusals.
	unread map[resource.Name]error
	// absent are the roles that do not exist, and unbindable the refusals of roles that cannot be
	// bound where the plan does: of an absent one only that is said.
	absent     map[string]bool
	unbindable []unbindable
	// refusals is every lasting reason why the plan cannot be carried out.
	refusals []error
	// seen is what its grants are judged by, and findings what came of that.
	seen     review.Seen
	findings []review.Finding
}

// unbindable is a refusal of one grant's role on its resource.
type unbindable struct {
	grant int
	role  string
	err   error
}

// survey reads, side by side, all that a plan depends on. The error is one that
// says nothing of the plan: no login, no network, a cancelled context.
func (e *Engine) survey(ctx context.Context, plan grants.Plan) (*survey, error) {
	q := &surveyor{Engine: e, plan: plan, found: newSurvey(plan)}
	q.ask(ctx, func() error { return q.whoami(ctx) })
	q.ask(ctx, func() error { return q.hostPermissions(ctx) })
	roles := rolesOf(plan)
	for _, role := range slices.Sorted(maps.Keys(roles)) {
		q.ask(ctx, func() error { return q.role(ctx, role, roles[role]) })
	}
	q.ask(ctx, func() error { return q.listedPermissions(ctx) })
	for _, edit := range plan.Edits {
		q.ask(ctx, func() error { return q.policy(ctx, edit) })
		if _, ok := edit.Resource.Bucket(); ok {
			q.ask(ctx, func() error { return q.uniform(ctx, edit) })
		}
		if edit.Resource.Type().Kind == "project" && slices.ContainsFunc(plan.Edits, inBucket) {
			q.ask(ctx, func() error { return q.number(ctx, edit.Resource.Project()) })
		}
	}
	types := byType(plan.Edits)
	for _, t := range slices.SortedFunc(maps.Keys(types), byID) {
		edits := types[t]
		if slices.ContainsFunc(edits, namesPredefined) { // custom roles are listed only for some operators
			q.ask(ctx, func() error { return q.grantable(ctx, edits) })
		}
	}
	q.wg.Wait()
	s := q.found
	for _, u := range s.unbindable {
		if !s.absent[u.role] {
			s.seen.Ungrantable[u.grant] = true
			s.refusals = append(s.refusals, u.err)
		}
	}
	s.addRoles()
	s.judge()
	s.ahead = e.clockAhead()
	if err := s.leaveUnsigned(plan); err != nil {
		s.refusals = append(s.refusals, err)
	}
	slices.SortFunc(s.refusals, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return s, q.failed()
}

func byID(a, b *resource.Type) int { return strings.Compare(a.ID, b.ID) }

// failed returns what says nothing of the plan, in the order of the questions. If it is about
// the login or the network, every question met it, and it is said once.
func (q *surveyor) failed() error {
	slices.SortFunc(q.fatal, func(a, b answer) int { return cmp.Compare(a.question, b.question) })
	var errs []error
	for _, a := range q.fatal {
		if fault.Local(a.err) || fault.Is(a.err, fault.Unauthenticated) {
			return a.err
		}
		errs = append(errs, a.err)
	}
	return errors.Join(errs...)
}

// surveyor asks the questions of one survey.
type surveyor struct {
	*Engine
	plan grants.Plan
	wg   sync.WaitGroup

	mu    sync.Mutex // guards what follows
	found *survey
	asked int      // how many questions
	fatal []answer // what says nothing of the plan
}

// answer is the error that a question was answered with.
type answer struct {
	question int
	err      error
}

// ask asks one question beside the others. Its error is a reason to refuse the plan, or says
// nothing of the plan.
func (q *surveyor) ask(ctx context.Context, question func() error) {
	q.mu.Lock()
	n := q.asked
	q.asked++
	q.mu.Unlock()
	q.wg.Go(func() {
		err := question()
		if err == nil {
			return
		}
		q.mu.Lock()
		defer q.mu.Unlock()
		if ctx.Err() != nil || fault.Is(err, fault.Unauthenticated, fault.Unavailable, fault.Throttled) {
			q.fatal = append(q.fatal, answer{n, err})
		} else {
			q.found.refusals = append(q.found.refusals, err)
		}
	})
}

// note writes down what was found.
func (q *surveyor) note(f func(s *survey)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	f(q.found)
}

func (q *surveyor) whoami(ctx context.Context) error {
	id, err := q.Cloud.Whoami(ctx)
	q.note(func(s *survey) { s.operator = id })
	return err
}

// hostPermissions asks what the operator may do in the project of the account, and so how
// the task can be delivered.
func (q *surveyor) hostPermissions(ctx context.Context) error {
	task := q.plan.Task
	host, _, err := resource.Parse("projects/" + task.Project)
	if err != nil {
		return err
	}
	want := slices.Concat(hostPermissions, []string{mintIDPermission, letMintPermission})
	for _, kind := range delivery.Kinds() {
		want = append(want, kind.Permissions...)
	}
	slices.Sort(want)
	have, err := q.Cloud.TestPermissions(ctx, host, slices.Compact(want))
	if err != nil {
		return err
	}
	mints := slices.Contains(have, mintPermission) &&
		(len(task.Audiences) == 0 || slices.Contains(have, mintIDPermission))
	kinds, err := allowed(task, mints, have)
	if len(have) == 0 {
		err = q.perhapsMissing(ctx, task.Project, err)
	}
	q.note(func(s *survey) { s.host, s.mints, s.deliver = have, mints, kinds })
	return err
}

// role reads a role that the manifest names. One that the operator may not read may exist.
func (q *surveyor) role(ctx context.Context, name string, on resource.Name) error {
	r, err := q.Roles.Role(ctx, name)
	r.Name = cmp.Or(r.Name, name)
	switch {
	case err == nil && r.Deleted:
		return fault.WithHint(fault.New(fault.Precondition, "granting %s on %s: the role is deleted and grants nothing",
			name, on), gcloud.UndeleteRole(r), "or name another role: "+gcloud.FindRole(name))
	case err == nil && r.Stage == disabled:
		return fault.WithHint(fault.New(fault.Precondition,
			"granting %s on %s: the role is disabled and grants nothing",
			name, on), gcloud.EnableRole(r))
	case err == nil:
		q.note(func(s *survey) { s.roles[name] = r })
		return nil
	case fault.Is(err, fault.NotFound):
		q.note(func(s *survey) { s.absent[name] = true })
		return fault.WithHint(fmt.Errorf("granting %s on %s: there is no such role: %w", name, on, err),
			q.otherRole(ctx, name, on)...)
	case fault.Is(err, fault.Denied):
		q.note(func(s *survey) { s.seen.Unreadable[name] = true })
		return nil
	}
	return err
}

// disabled is the stage of a custom role whose bindings give nothing.
const disabled = "DISABLED"

// otherRole says which role was probably meant by one that does not exist, and how to find others.
func (q *surveyor) otherRole(ctx context.Context, name string, on resource.Name) []string {
	find := gcloud.FindRole(name)
	word, predefined := strings.CutPrefix(name, "roles/")
	if !predefined {
		return []string{find}
	}
	roles, err := q.Roles.GrantableRoles(ctx, on)
	if err != nil {
		return []string{find}
	}
	var words []string
	for role := range roles {
		words = append(words, strings.TrimPrefix(role, "roles/"))
	}
	slices.Sort(words)
	if near := spelling.Nearest(word, words); near != "" {
		return []string{fmt.Sprintf("did you mean role = %q?", "roles/"+near), find}
	}
	return []string{find}
}

// listedPermissions finds the custom roles that lists of permissions come to.
func (q *surveyor) listedPermissions(ctx context.Context) error {
	custom, errs := q.customRoles().Survey(ctx, q.plan.Task)
	q.note(func(s *survey) { s.custom = custom })
	for _, err := range errs { // each is judged by itself
		q.ask(ctx, func() error { return err })
	}
	return nil
}

// policy reads a policy that is to be edited, and looks whether there is room in it.
func (q *surveyor) policy(ctx context.Context, edit grants.Edit) error {
	doc, err := q.Cloud.ReadPolicy(ctx, edit.Resource)
	if err != nil {
		err = q.perhapsMissing(ctx, edit.Resource.Project(), err)
		for _, i := range edit.Grants {
			if instead, why, ok := review.Elsewhere(q.plan.Task.Grants[i], nil); ok {
				err = fault.WithHint(err, fmt.Sprintf("%s: role = %q, resource = %q", why, instead.Role,
					instead.Resource.String()))
			}
		}
		q.note(func(s *survey) { s.unread[edit.Resource] = err })
		return err
	}
	q.note(func(s *survey) { s.policies[edit.Resource] = doc })
	return room(doc, edit)
}

// room returns an error if a policy has no room for the bindings of an edit.
func room(doc policy.Document, edit grants.Edit) error {
	err := doc.Room(edit.Bindings)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("binding on %s: %w", edit.Resource, err)
	dead := policy.Dead(doc)
	if left, ok := policy.MembersLeft(doc, edit.Bindings); !ok || left > 0 || dead == 0 {
		return err
	}
	err = fmt.Errorf("%w; %d of its members are deleted, and give nobody anything", err, dead)
	if drop := gcloud.DropDeleted(edit.Resource); drop != "" {
		err = fault.WithHint(err, drop)
	}
	return err
}

func predefined(b policy.Binding) bool { return strings.HasPrefix(b.Role, "roles/") }

func namesPredefined(edit grants.Edit) bool { return slices.ContainsFunc(edit.Bindings, predefined) }

func conditional(b policy.Binding) bool { return !b.Condition.IsZero() }

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
		fault.New(fault.Denied, "the operator lacks %s on project %s", strings.Join(lacking(kinds[0]), ", "),
			task.Project),
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
func (q *surveyor) grantable(ctx context.Context, edits []grants.Edit) error {
	roles, err := q.Roles.GrantableRoles(ctx, edits[0].Resource)
	if err != nil {
		if fault.Is(err, fault.Unauthenticated, fault.Unavailable) {
			return err
		}
		return nil
	}
	for _, edit := range edits {
		for i, b := range edit.Bindings {
			if !predefined(b) || roles[b.Role] {
				continue
			}
			refused := unbindable{edit.Grants[i], b.Role, fault.WithHint(
				fault.New(fault.Invalid, "granting %s on %s: the role cannot be bound on %s",
					b.Role, edit.Resource, edit.Resource.Type().A()),
				gcloud.GrantableRoles(edit.Resource))}
			q.note(func(s *survey) { s.unbindable = append(s.unbindable, refused) })
		}
	}
	return nil
}

// number finds the number of a project: a bucket names its project by that. Without it, nothing is
// found of what a bucket inherits.
func (q *surveyor) number(ctx context.Context, project string) error {
	number, err := q.Cloud.ProjectNumber(ctx, project)
	switch {
	case err == nil:
		q.note(func(s *survey) { s.seen.Numbers[project] = number })
	case fault.Is(err, fault.Unauthenticated, fault.Unavailable, fault.Throttled):
		return err
	}
	return nil
}

func inBucket(edit grants.Edit) bool {
	_, ok := edit.Resource.Bucket()
	return ok
}

// uniform refuses conditions on a bucket that still has object ACLs. An operator who may
// bind on a bucket need not be allowed to look at it.
func (q *surveyor) uniform(ctx context.Context, edit grants.Edit) error {
	bucket, _ := edit.Resource.Bucket()
	b, err := q.Cloud.Bucket(ctx, bucket)
	if err != nil {
		if fault.Is(err, fault.Denied, fault.NotFound) {
			return nil
		}
		return err
	}
	q.note(func(s *survey) {
		s.seen.Uniform[edit.Resource] = b.Uniform
		s.seen.Homes[bucket] = b.Project
	})
	if !b.Uniform && slices.ContainsFunc(edit.Bindings, conditional) {
		return fault.WithHint(fault.New(fault.Precondition, "binding on %s: a bucket without uniform bucket-level "+
			"access takes no conditions, so the grant would not expire", bucket),
			gcloud.UniformAccess(bucket.String()))
	}
	return nil
}
