package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/gcloud"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
)

// The permissions that an operator needs on a project for its custom roles.
const (
	getRolePermission      = "iam.roles.get"
	createRolePermission   = "iam.roles.create"
	undeleteRolePermission = "iam.roles.undelete"
)

// RoleState is what there is of a custom role before an up.
type RoleState string

const (
	// RoleThere means that it is there, with exactly the permissions.
	RoleThere RoleState = "there"
	// RoleDeleted means that it was deleted and that up takes it back.
	RoleDeleted RoleState = "deleted"
	// RoleMissing means that up makes it.
	RoleMissing RoleState = "missing"
)

// CustomRole is the custom role of a project by which a list of permissions is granted.
type CustomRole struct {
	Name        string // in full
	Permissions []string
	State       RoleState
	// Testing are the permissions that Google still tries out in custom roles.
	Testing []string
}

// customRole is a custom role on its way to be bound.
type customRole struct {
	project     string // its id
	permissions []string
	grants      []int  // for which grants of the task
	planned     string // its full name, as the survey found it

	state   RoleState
	testing []string

	mu   sync.Mutex
	try  int         // which of its ids it has
	role grants.Role // as it was last seen; zero if it is not there
}

// name returns the full name of the role by now.
func (c *customRole) name() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.want(c.try).Name
}

// want returns the role as it is to be, under one of its ids.
func (c *customRole) want(try int) grants.Role {
	return grants.CustomRole(c.project, c.permissions, try)
}

// is reports whether the role is what is to be bound: exactly the permissions, and alive.
// The error names the difference. What holds more than was declared is never bound, and
// what somebody changed is not changed back: others may be using it.
func (c *customRole) is(r grants.Role) error {
	differs := differences(r, c.permissions)
	if differs == "" {
		return nil
	}
	want := c.want(0)
	want.Name = r.Name // it may have another of the ids
	return fault.WithHint(
		fault.New(fault.Precondition, "the custom role %s is not what taskiam made it, and is not bound: %s", r.Name, differs),
		"if nobody needs it so: "+gcloud.UpdateRole(want))
}

// differences says in what a role differs from one that holds exactly the permissions and is
// enabled; "" if in nothing.
func differences(r grants.Role, permissions []string) string {
	more, lacking := r.Beside(permissions)
	var differs []string
	if len(more) > 0 {
		differs = append(differs, "it holds "+strings.Join(more, ", ")+" beside what is declared")
	}
	if len(lacking) > 0 {
		differs = append(differs, "it lacks "+strings.Join(lacking, ", "))
	}
	if r.Stage == "DISABLED" {
		differs = append(differs, "it is disabled")
	}
	return strings.Join(differs, "; ")
}

// surveyPermissions asks, for every list of permissions in the plan, in which project its
// custom role is to be, what there is of it, and whether it can be had.
func (e *Engine) surveyPermissions(ctx context.Context, plan grants.Plan, s *survey, ask func(func() error), note func(func())) {
	on := map[resource.Name][]int{}
	for i, g := range plan.Task.Grants {
		if len(g.Permissions) > 0 {
			on[g.Resource] = append(on[g.Resource], i)
		}
	}
	projects := newOnce[string]()
	for name, indices := range on {
		ask(func() error {
			project, err := e.projectOf(ctx, name, projects)
			if err != nil {
				return err
			}
			for _, i := range indices {
				permissions := plan.Task.Grants[i].Permissions
				c, first := (*customRole)(nil), false
				note(func() { c, first = s.customFor(project, permissions, i) })
				if first {
					ask(func() error { return e.lookFor(ctx, c) })
				}
				ask(func() error {
					testing, err := e.holdable(ctx, name, project, permissions)
					note(func() { c.testing = append(c.testing, testing...) })
					return err
				})
			}
			return nil
		})
	}
}

// customFor returns the custom role for a list of permissions in a project, and whether
// it was not known before.
func (s *survey) customFor(project string, permissions []string, grant int) (c *customRole, first bool) {
	for _, c := range s.custom {
		if c.project == project && slices.Equal(c.permissions, permissions) {
			c.grants = append(c.grants, grant)
			return c, false
		}
	}
	c = &customRole{project: project, permissions: permissions, grants: []int{grant}, state: RoleMissing}
	s.custom = append(s.custom, c)
	return c, true
}

// settle puts the custom roles that were found into the plan.
func (s *survey) settle() {
	for _, c := range s.custom {
		c.planned = c.name()
		s.roles[c.planned] = c.want(c.try)
		slices.Sort(c.testing)
		c.testing = slices.Compact(c.testing)
	}
	slices.SortFunc(s.custom, func(a, b *customRole) int { return strings.Compare(a.planned, b.planned) })
	s.plan = s.plan.WithRoles(s.named())
}

// named returns the names of the custom roles by now, by grant.
func (s *survey) named() map[int]string {
	names := map[int]string{}
	for _, c := range s.custom {
		for _, i := range c.grants {
			names[i] = c.name()
		}
	}
	return names
}

// customOf returns the custom roles that an edit binds.
func (s *survey) customOf(edit grants.Edit) []*customRole {
	var out []*customRole
	for _, c := range s.custom {
		if slices.ContainsFunc(edit.Bindings, func(b policy.Binding) bool { return b.Role == c.planned }) {
			out = append(out, c)
		}
	}
	return out
}

// final returns an edit with the roles as they are named by now.
func (s *survey) final(edit grants.Edit) grants.Edit {
	edit.Bindings = slices.Clone(edit.Bindings)
	for _, c := range s.custom {
		for i := range edit.Bindings {
			if edit.Bindings[i].Role == c.planned {
				edit.Bindings[i].Role = c.name()
			}
		}
	}
	return edit
}

// customRoles returns what is known of the custom roles, by name.
func (s *survey) customRoles() map[string]CustomRole {
	out := map[string]CustomRole{}
	for _, c := range s.custom {
		out[c.planned] = CustomRole{Name: c.planned, Permissions: c.permissions, State: c.state, Testing: c.testing}
	}
	return out
}

// toMake says what is to be done for the custom roles that are not there.
func (s *survey) toMake() []string {
	var out []string
	for _, c := range s.custom {
		switch c.state {
		case RoleMissing:
			out = append(out, "make the custom role "+c.planned)
		case RoleDeleted:
			out = append(out, "undelete the custom role "+c.planned)
		case RoleThere:
		}
	}
	return out
}

// projectOf returns the id of the project that a resource is in: a custom role is named by
// it, and can be bound there alone. Some names have the project's number, and a bucket's
// has none.
func (e *Engine) projectOf(ctx context.Context, name resource.Name, known *once[string]) (string, error) {
	project := name.Project()
	if bucket, ok := name.Bucket(); ok {
		b, err := e.Cloud.Bucket(ctx, bucket)
		if err == nil && b.Project == "" {
			err = fault.New(fault.Other, "Google does not say it")
		}
		if err != nil {
			return "", fault.WithHint(fmt.Errorf("asking in which project %s is, for a custom role of that: %w", name, err),
				"this takes storage.buckets.get on "+bucket.String()+"; or grant a role, which takes no custom role")
		}
		project = b.Project
	}
	if strings.Trim(project, "0123456789") != "" {
		return project, nil
	}
	return known.do(project, func() (string, error) {
		above, err := e.Cloud.Ancestors(ctx, project)
		if err == nil && (len(above) == 0 || above[0].Type().Kind != "project") {
			err = fault.New(fault.Other, "Google does not say it")
		}
		if err != nil {
			return "", fault.WithHint(fmt.Errorf("asking for the id of project %s, for a custom role of that: %w", project, err),
				"this takes resourcemanager.projects.get on the project")
		}
		return above[0].Project(), nil
	})
}

// once remembers what was found of each key, so that those who ask side by side for the
// same thing ask once.
type once[T any] struct {
	mu    sync.Mutex
	found map[string]func() (T, error)
}

func newOnce[T any]() *once[T] { return &once[T]{found: map[string]func() (T, error){}} }

func (o *once[T]) do(key string, f func() (T, error)) (T, error) {
	o.mu.Lock()
	if o.found[key] == nil {
		o.found[key] = sync.OnceValues(f)
	}
	f = o.found[key]
	o.mu.Unlock()
	return f()
}

// lookFor finds out what there is of a custom role, and whether the operator may do what
// is to be done about that.
func (e *Engine) lookFor(ctx context.Context, c *customRole) error {
	host, _, err := resource.Parse("projects/" + c.project)
	if err != nil {
		return err
	}
	var have []string
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		have, err = e.Cloud.TestPermissions(gctx, host, []string{getRolePermission, createRolePermission, undeleteRolePermission})
		return err
	})
	g.Go(func() error { return e.look(gctx, c) })
	err = g.Wait()
	need := map[RoleState]string{RoleMissing: createRolePermission, RoleDeleted: undeleteRolePermission}[c.state]
	switch {
	case fault.Is(err, fault.Denied):
		return fault.WithHint(fmt.Errorf("looking at the custom role for %s: %w", strings.Join(c.permissions, ", "), err),
			"roles/iam.roleViewer on project "+c.project+" lets the operator look at it")
	case err != nil:
		return err
	case need != "" && !slices.Contains(have, need):
		return c.mayNot(need)
	case c.state == RoleMissing:
		return e.roomFor(ctx, c)
	}
	return nil
}

// mayNot says which permission is lacking, and how to do without it.
func (c *customRole) mayNot(permission string) error {
	want := c.want(c.try)
	command := gcloud.UndeleteRole(want)
	if permission == createRolePermission {
		command = gcloud.CreateRole(want)
	}
	return fault.WithHint(
		fault.New(fault.Denied, "the operator lacks %s on project %s, for the custom role %s", permission, c.project, want.Name),
		"have somebody who may do this once, for all runs: "+command,
		"or get roles/iam.roleAdmin on the project, with which one can change every custom role there")
}

// look finds the role under the first of its ids that will do: one that is there, else one
// that can be taken back, else one that was never used as far as can be seen. A role that
// is there and is not what it should be is refused.
func (e *Engine) look(ctx context.Context, c *customRole) error {
	seen := make([]grants.Role, grants.MaxRoleTries) // the zero Role is not there
	read := func(ctx context.Context, try int) error {
		r, err := e.Cloud.Role(ctx, c.want(try).Name)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
		seen[try] = r
		return nil
	}
	if err := read(ctx, 0); err != nil {
		return err
	}
	if seen[0].Name == "" || seen[0].Deleted { // an earlier run may have had to take another id
		g, gctx := errgroup.WithContext(ctx)
		for try := 1; try < len(seen); try++ {
			g.Go(func() error { return read(gctx, try) })
		}
		if err := g.Wait(); err != nil {
			return err
		}
	}
	for try, r := range seen {
		if r.Name == "" || r.Deleted {
			continue
		}
		c.take(try, r, RoleThere)
		return c.is(r)
	}
	for try, r := range seen {
		if r.Deleted && c.is(r) == nil {
			c.take(try, r, RoleDeleted)
			return nil
		}
	}
	for try, r := range seen {
		if r.Name == "" {
			c.take(try, r, RoleMissing)
			return nil
		}
	}
	return fault.New(fault.Precondition, "each of the %d ids of the custom role %s has a deleted role that was changed before", grants.MaxRoleTries, c.want(0).Name)
}

func (c *customRole) take(try int, r grants.Role, state RoleState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.try, c.role, c.state = try, r, state
}

// roomFor refuses to make one more role than a project can have. Where the operator may not
// list them, making it will tell.
func (e *Engine) roomFor(ctx context.Context, c *customRole) error {
	all, err := e.Cloud.CustomRoles(ctx, c.project)
	switch {
	case fault.Is(err, fault.Denied):
		return nil
	case err != nil:
		return err
	case len(all) >= grants.MaxCustomRoles:
		return c.noRoom(fault.New(fault.Precondition, "project %s has %d custom roles, those deleted of late included, and no room for %s", c.project, len(all), c.want(c.try).Name))
	}
	return nil
}

func (c *customRole) noRoom(err error) error {
	return fault.WithHint(err, "retire those that no run needs: taskiam sweep --roles --project "+c.project,
		"a retired role counts for 7 to 14 days more")
}

// holdable refuses permissions that custom roles cannot hold, naming the roles that do, and
// those that mean nothing on the resource. It returns those that Google still tries out.
// Where it cannot be asked, making the role will tell.
func (e *Engine) holdable(ctx context.Context, name resource.Name, project string, permissions []string) (testing []string, err error) {
	host, _, err := resource.Parse("projects/" + project)
	if err != nil {
		return nil, err
	}
	known, err := e.Cloud.TestablePermissions(ctx, name)
	on := name
	if err != nil && !hopeless(err) && name != host {
		known, err = e.Cloud.TestablePermissions(ctx, host)
		on = host
	}
	if err != nil {
		if hopeless(err) {
			return nil, err
		}
		return nil, nil
	}
	var unknown, unsupported []string
	for _, p := range permissions {
		switch level, ok := known[p]; {
		case !ok:
			unknown = append(unknown, p)
		case level == grants.NotSupported:
			unsupported = append(unsupported, p)
		case level == grants.Testing:
			testing = append(testing, p)
		}
	}
	var refused []error
	if len(unknown) > 0 {
		refused = append(refused, e.meaningless(ctx, name, on, host, unknown))
	}
	if len(unsupported) > 0 {
		refused = append(refused, e.unsupported(ctx, name, unsupported))
	}
	return testing, errors.Join(refused...)
}

// hopeless reports whether an error says nothing of what was asked.
func hopeless(err error) bool {
	return fault.Is(err, fault.Unauthenticated, fault.Unavailable, fault.Throttled)
}

// meaningless says why permissions are not known on a resource: by a slip of the pen, or
// because they are about something else.
func (e *Engine) meaningless(ctx context.Context, name, asked, host resource.Name, unknown []string) error {
	why := "nothing in a project has such a permission"
	if asked != host {
		if all, err := e.Cloud.TestablePermissions(ctx, host); err == nil && !slices.ContainsFunc(unknown, func(p string) bool { return all[p] == "" }) {
			why = "it is not about a " + name.Type().Kind
			if len(unknown) > 1 {
				why = "they are not about a " + name.Type().Kind
			}
		}
	}
	return fault.WithHint(
		fault.New(fault.Invalid, "granting %s on %s: %s", strings.Join(unknown, ", "), name, why),
		gcloud.TestablePermissions(name))
}

// mostHolders is how many roles are named for a permission.
const mostHolders = 3

// unsupported refuses permissions that Google keeps out of custom roles.
func (e *Engine) unsupported(ctx context.Context, name resource.Name, permissions []string) error {
	roles, err := e.Roles.RolesOn(ctx, name)
	var errs []error
	for _, p := range permissions {
		refusal := fault.New(fault.Invalid, "granting %s on %s: Google keeps it out of custom roles", p, name)
		if holders := holdersOf(p, roles); err == nil && len(holders) > 0 {
			refusal = fault.WithHint(
				fault.New(fault.Invalid, "granting %s on %s: Google keeps it out of custom roles; the predefined roles that hold it, the narrowest first: %s",
					p, name, strings.Join(worded(holders), ", ")),
				"write a grant of its own: role = \""+holders[0].Name+"\"")
		}
		errs = append(errs, refusal)
	}
	return errors.Join(errs...)
}

// holdersOf returns the narrowest predefined roles that hold a permission, and that take a
// condition.
func holdersOf(permission string, roles []grants.Role) []grants.Role {
	var out []grants.Role
	for _, r := range roles {
		if strings.HasPrefix(r.Name, "roles/") && !grants.Basic(r.Name) && slices.Contains(r.Permissions, permission) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b grants.Role) int {
		return cmp.Or(cmp.Compare(len(a.Permissions), len(b.Permissions)), strings.Compare(a.Name, b.Name))
	})
	return out[:min(len(out), mostHolders)]
}

func worded(roles []grants.Role) []string {
	var out []string
	for _, r := range roles {
		out = append(out, fmt.Sprintf("%s (%d permissions)", r.Name, len(r.Permissions)))
	}
	return out
}

// settleRoles makes the custom roles that are not there, and takes back those that were
// deleted. They are shared, so no teardown takes them away.
func (u *ascent) settleRoles(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, c := range u.survey.custom {
		if len(c.testing) > 0 {
			u.report("Google still tries out in custom roles: "+strings.Join(c.testing, ", "), "", Warned, nil)
		}
		g.Go(func() error { return u.settleRole(ctx, c) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	close(u.settled)
	return nil
}

// settleRole makes one custom role or takes it back, under the first of its ids that Google
// lets it have. Another run may be doing the same: what it has done is done.
func (u *ascent) settleRole(ctx context.Context, c *customRole) error {
	instead := ""
	for {
		want, refused := c.want(c.try), error(nil)
		if c.state != RoleThere || instead != "" {
			if err := u.journal.Append(journal.RoleIntended{Role: want.Name, Permissions: c.permissions, Instead: instead}); err != nil {
				return err
			}
		}
		if c.state == RoleThere {
			return u.journal.Append(journal.RoleReady{Role: want.Name, Permissions: c.permissions, Origin: journal.RoleFound})
		}
		instead = ""
		origin := journal.RoleMade
		if c.state == RoleDeleted {
			origin = journal.RoleUndeleted
		}
		err := u.step(map[journal.RoleOrigin]string{journal.RoleMade: "create custom role", journal.RoleUndeleted: "undelete custom role"}[origin], want.Name, func() error {
			made, err := u.makeRole(ctx, c, want)
			if fault.Is(err, fault.Precondition) && origin == journal.RoleMade {
				refused, err = err, nil // by its id, most likely: a look tells
				return err
			}
			if err != nil {
				return err
			}
			c.take(c.try, made, RoleThere)
			return c.is(made)
		})
		switch {
		case err != nil:
			return err
		case refused == nil:
			return u.journal.Append(journal.RoleReady{Role: want.Name, Permissions: c.permissions, Origin: origin})
		}
		// The id was used before. If the role can still be seen it can be taken back; else
		// its id rests, for up to 44 days, and the next one is taken.
		switch r, err := u.Cloud.Role(ctx, want.Name); {
		case fault.Is(err, fault.NotFound) && c.try+1 < grants.MaxRoleTries:
			instead = want.Name
			next, err := u.Cloud.Role(ctx, c.want(c.try+1).Name)
			if err != nil && !fault.Is(err, fault.NotFound) {
				return err
			}
			c.take(c.try+1, next, stateOf(next))
			if err := c.usable(); err != nil {
				return err
			}
		case fault.Is(err, fault.NotFound):
			return fmt.Errorf("each of the %d ids of the custom role for %s was used before and rests: %w", grants.MaxRoleTries, strings.Join(c.permissions, ", "), refused)
		case err != nil:
			return err
		default:
			c.take(c.try, r, stateOf(r))
			if err := c.usable(); err != nil {
				return errors.Join(err, refused)
			}
		}
	}
}

// stateOf returns what there is of a role that was read; the zero Role is not there.
func stateOf(r grants.Role) RoleState {
	switch {
	case r.Name == "":
		return RoleMissing
	case r.Deleted:
		return RoleDeleted
	}
	return RoleThere
}

// usable refuses a role that is there or can come back and is not what it should be.
func (c *customRole) usable() error {
	if c.state == RoleMissing {
		return nil
	}
	return c.is(c.role)
}

// makeRole makes a custom role, or takes it back, and returns it as it is. An answer that
// was lost, and another run that was faster, are told from a refusal by a look.
func (u *ascent) makeRole(ctx context.Context, c *customRole, want grants.Role) (grants.Role, error) {
	if c.state == RoleDeleted {
		made, err := u.Cloud.UndeleteRole(ctx, want.Name, c.role.Etag)
		if fault.Is(err, fault.Precondition, fault.Conflict) {
			return u.lookAgain(ctx, want.Name, err)
		}
		if len(made.Permissions) == 0 && err == nil { // the answer need not have all of it
			return u.lookAgain(ctx, want.Name, nil)
		}
		return made, err
	}
	made, err := u.Cloud.CreateRole(ctx, want)
	switch {
	case fault.Is(err, fault.Exists):
		return u.lookAgain(ctx, want.Name, err)
	case fault.Is(err, fault.Throttled): // which is also how Google says that there are too many
		return grants.Role{}, c.noRoom(err)
	}
	return made, err
}

// lookAgain reads a role that has to be there, and returns cause if it is not.
func (u *ascent) lookAgain(ctx context.Context, name string, cause error) (r grants.Role, err error) {
	err = u.repeat(ctx, "look at custom role", name, readBackWithin, func() (err error) {
		r, err = u.Cloud.Role(ctx, name)
		return err
	}, fault.NotFound)
	if err == nil && r.Deleted {
		err = fault.New(fault.Precondition, "custom role %s is deleted", name)
	}
	if err != nil {
		return r, errors.Join(err, cause)
	}
	return r, nil
}

// mostUndeleted is how often a role is taken back that is deleted again and again.
const mostUndeleted = 3

// watchRoles looks at custom roles that are bound, or about to be: somebody may have
// retired or changed one since it was looked at. A deleted role grants nothing and is taken
// back; one that holds anything else than what was declared is an error, and what was bound
// is undone.
func (u *ascent) watchRoles(ctx context.Context, custom []*customRole) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, c := range custom {
		g.Go(func() error { return u.watchRole(ctx, c) })
	}
	return g.Wait()
}

func (u *ascent) watchRole(ctx context.Context, c *customRole) error {
	name := c.name()
	for range mostUndeleted {
		r, err := grants.Role{}, error(nil)
		err = u.repeat(ctx, "look at custom role", name, readBackWithin, func() error {
			r, err = u.Cloud.Role(ctx, name)
			return err
		}, fault.NotFound)
		if err != nil {
			return err
		}
		if err := c.is(r); err != nil || !r.Deleted {
			return err
		}
		if err := u.journal.Append(journal.RoleIntended{Role: name, Permissions: c.permissions}); err != nil {
			return err
		}
		err = u.step("undelete custom role", name, func() error {
			_, err := u.Cloud.UndeleteRole(ctx, name, r.Etag)
			if fault.Is(err, fault.Precondition, fault.Conflict) {
				return nil // somebody else was faster: the next look tells
			}
			return err
		})
		if err != nil {
			return err
		}
		if err := u.journal.Append(journal.RoleReady{Role: name, Permissions: c.permissions, Origin: journal.RoleUndeleted}); err != nil {
			return err
		}
	}
	return fault.New(fault.Conflict, "the custom role %s is deleted again and again; who else works on it?", name)
}
