package customrole

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
	"github.com/taskiam/taskiam/internal/resource"
)

// Survey finds, for every list of permissions in the task, in which project its custom role
// is to be, what there is of the role, and whether it can be had. It writes nothing. The
// errors are every reason why it cannot be had or is not known.
func (m Manager) Survey(ctx context.Context, task grants.Task) (*Set, []error) {
	s := &survey{Manager: m, task: task, set: &Set{}, projects: newOnce[string]()}
	on := map[resource.Name][]int{}
	for i, g := range task.Grants {
		if len(g.Permissions) > 0 {
			on[g.Resource] = append(on[g.Resource], i)
		}
	}
	for name, indices := range on {
		s.ask(func() error { return s.resource(ctx, name, indices) })
	}
	s.wg.Wait()
	for _, r := range s.set.roles {
		r.planned = r.name()
		slices.Sort(r.testing)
		r.testing = slices.Compact(r.testing)
	}
	slices.SortFunc(s.set.roles, func(a, b *role) int { return strings.Compare(a.planned, b.planned) })
	slices.SortFunc(s.errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return s.set, s.errs
}

// survey is one Survey in progress. Its questions are asked side by side.
type survey struct {
	Manager
	task     grants.Task
	projects *once[string] // ids, by number
	wg       sync.WaitGroup

	mu   sync.Mutex // guards what follows
	set  *Set
	errs []error
}

// ask asks one question, and keeps its error.
func (s *survey) ask(question func() error) {
	s.wg.Go(func() {
		if err := question(); err != nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.errs = append(s.errs, err)
		}
	})
}

// resource asks about the lists of permissions on one resource: those of the grants.
func (s *survey) resource(ctx context.Context, name resource.Name, grants []int) error {
	project, err := s.projectOf(ctx, name)
	if err != nil {
		return err
	}
	for _, i := range grants {
		permissions := s.task.Grants[i].Permissions
		r, first := s.role(project, permissions, i)
		if first {
			s.ask(func() error { return s.find(ctx, r) })
		}
		s.ask(func() error {
			testing, err := s.holdable(ctx, name, project, permissions)
			s.mu.Lock()
			defer s.mu.Unlock()
			r.testing = append(r.testing, testing...)
			return err
		})
	}
	return nil
}

// role returns the custom role for a list of permissions in a project, and whether it was
// not known before.
func (s *survey) role(project string, permissions []string, grant int) (r *role, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.set.roles {
		if r.project == project && slices.Equal(r.permissions, permissions) {
			r.grants = append(r.grants, grant)
			return r, false
		}
	}
	r = &role{project: project, permissions: permissions, grants: []int{grant}, state: Missing}
	s.set.roles = append(s.set.roles, r)
	return r, true
}

// projectOf returns the id of the project that a resource is in: a custom role is named by
// it, and can be bound there alone. Some names have the project's number, and a bucket's
// has none.
func (s *survey) projectOf(ctx context.Context, name resource.Name) (string, error) {
	project := name.Project()
	if bucket, ok := name.Bucket(); ok {
		b, err := s.Cloud.Bucket(ctx, bucket)
		if err == nil && b.Project == "" {
			err = fault.New(fault.Other, "Google does not say it")
		}
		if err != nil {
			return "", fault.WithHint(
				fmt.Errorf("finding the project of %s, for a custom role in it: %w", name, err),
				"this needs storage.buckets.get on "+bucket.String()+"; or grant a role, which needs no custom role")
		}
		project = b.Project
	}
	if strings.Trim(project, "0123456789") != "" {
		return project, nil
	}
	return s.projects.do(project, func() (string, error) {
		above, err := s.Cloud.Ancestors(ctx, project)
		if err == nil && (len(above) == 0 || above[0].Type().Kind != "project") {
			err = fault.New(fault.Other, "Google does not say it")
		}
		if err != nil {
			return "", fault.WithHint(
				fmt.Errorf("finding the id of project %s, for a custom role in it: %w", project, err),
				"this needs resourcemanager.projects.get on the project")
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

// find finds out what there is of a role, and whether the operator may do what is to be
// done about it.
func (m Manager) find(ctx context.Context, r *role) error {
	host, _, err := resource.Parse("projects/" + r.project)
	if err != nil {
		return err
	}
	var have []string
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		have, err = m.Cloud.TestPermissions(gctx, host, []string{GetPermission, createPermission, undeletePermission})
		return err
	})
	g.Go(func() error { return m.look(gctx, r) })
	err = g.Wait()
	need := map[State]string{Missing: createPermission, Deleted: undeletePermission}[r.state]
	switch {
	case fault.Is(err, fault.Denied):
		return fault.WithHint(
			fmt.Errorf("looking at the custom role for %s: %w", strings.Join(r.permissions, ", "), err),
			"roles/iam.roleViewer on project "+r.project+" lets the operator read it")
	case err != nil:
		return err
	case need != "" && !slices.Contains(have, need):
		return r.denied(need)
	case r.state == Missing:
		return m.roomFor(ctx, r)
	}
	return nil
}

// denied says which permission the operator lacks, and how to do without it.
func (r *role) denied(permission string) error {
	want := r.want(r.try)
	command := gcloud.UndeleteRole(want)
	if permission == createPermission {
		command = gcloud.CreateRole(want)
	}
	return fault.WithHint(
		fault.New(fault.Denied, "the operator lacks %s on project %s, for the custom role %s",
			permission, r.project, want.Name),
		"ask an administrator to do this once, for all runs: "+command,
		"or get roles/iam.roleAdmin on the project, which can change every custom role there")
}

// look finds the role under the first of its ids that will do: one that exists, else one
// that can be taken back, else one that was never used as far as can be seen. A role that
// exists and is not what it should be is refused.
func (m Manager) look(ctx context.Context, r *role) error {
	seen, err := m.seen(ctx, r)
	if err != nil {
		return err
	}
	for try, found := range seen {
		if stateOf(found) == There {
			r.take(try, found, There)
			return r.matches(found)
		}
	}
	for try, found := range seen {
		if stateOf(found) == Deleted && r.matches(found) == nil {
			r.take(try, found, Deleted)
			return nil
		}
	}
	for try, found := range seen {
		if stateOf(found) == Missing {
			r.take(try, found, Missing)
			return nil
		}
	}
	return fault.New(fault.Precondition,
		"each of the %d ids of the custom role %s has a deleted role that was changed before",
		grants.MaxRoleTries, r.want(0).Name)
}

// seen reads what is under the ids of a role; the zero Role does not exist.
func (m Manager) seen(ctx context.Context, r *role) ([]grants.Role, error) {
	seen := make([]grants.Role, grants.MaxRoleTries)
	read := func(ctx context.Context, try int) error {
		found, err := m.Cloud.Role(ctx, r.want(try).Name)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
		seen[try] = found
		return nil
	}
	if err := read(ctx, 0); err != nil || stateOf(seen[0]) == There {
		return seen, err
	}
	g, gctx := errgroup.WithContext(ctx) // an earlier run may have had to take another id
	for try := 1; try < len(seen); try++ {
		g.Go(func() error { return read(gctx, try) })
	}
	return seen, g.Wait()
}

// roomFor refuses to make one more role than a project can have. Where the operator may not
// list them, making it will tell.
func (m Manager) roomFor(ctx context.Context, r *role) error {
	all, err := m.Cloud.CustomRoles(ctx, r.project)
	switch {
	case fault.Is(err, fault.Denied):
		return nil
	case err != nil:
		return err
	case len(all) >= grants.MaxCustomRoles:
		return r.noRoom(fault.New(fault.Precondition,
			"project %s has %d custom roles, including recently deleted ones, and no room for %s",
			r.project, len(all), r.want(r.try).Name))
	}
	return nil
}

func (r *role) noRoom(err error) error {
	return fault.WithHint(err, "delete those that no run needs: taskiam sweep --roles --project "+r.project,
		"a deleted role counts for 7 to 14 more days")
}

// holdable refuses permissions that custom roles cannot hold, naming the roles that do, and
// those that mean nothing on the resource. It returns those that Google still tries out.
// Where it cannot be asked, making the role will tell.
func (m Manager) holdable(
	ctx context.Context, name resource.Name, project string, permissions []string,
) (testing []string, err error) {
	host, _, err := resource.Parse("projects/" + project)
	if err != nil {
		return nil, err
	}
	known, err := m.Cloud.TestablePermissions(ctx, name)
	on := name
	if err != nil && !hopeless(err) && name != host {
		known, err = m.Cloud.TestablePermissions(ctx, host)
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
		refused = append(refused, m.meaningless(ctx, name, on, host, unknown))
	}
	if len(unsupported) > 0 {
		refused = append(refused, m.unsupported(ctx, name, unsupported))
	}
	return testing, errors.Join(refused...)
}

// hopeless reports whether an error says nothing of what was asked.
func hopeless(err error) bool {
	return fault.Is(err, fault.Unauthenticated, fault.Unavailable, fault.Throttled)
}

// meaningless says why permissions are not known on a resource: they are misspelled, or
// about something else.
func (m Manager) meaningless(ctx context.Context, name, asked, host resource.Name, unknown []string) error {
	why := "no resource in a project has such a permission"
	if asked != host {
		all, err := m.Cloud.TestablePermissions(ctx, host)
		nowhere := func(p string) bool { return all[p] == "" }
		if err == nil && !slices.ContainsFunc(unknown, nowhere) {
			why = "it does not apply to a " + name.Type().Kind
			if len(unknown) > 1 {
				why = "they do not apply to a " + name.Type().Kind
			}
		}
	}
	return fault.WithHint(
		fault.New(fault.Invalid, "granting %s on %s: %s", strings.Join(unknown, ", "), name, why),
		gcloud.TestablePermissions(name))
}

// maxHolders is how many roles are named for a permission.
const maxHolders = 3

// unsupported refuses permissions that Google keeps out of custom roles.
func (m Manager) unsupported(ctx context.Context, name resource.Name, permissions []string) error {
	roles, err := m.RolesOn(ctx, name)
	var errs []error
	for _, p := range permissions {
		const refused = "granting %s on %s: Google does not allow it in custom roles"
		refusal := fault.New(fault.Invalid, refused, p, name)
		if holders := holdersOf(p, roles); err == nil && len(holders) > 0 {
			refusal = fault.WithHint(
				fault.New(fault.Invalid, refused+"; the predefined roles that hold it, the narrowest first: %s",
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
	return out[:min(len(out), maxHolders)]
}

func worded(roles []grants.Role) []string {
	var out []string
	for _, r := range roles {
		out = append(out, fmt.Sprintf("%s (%d permissions)", r.Name, len(r.Permissions)))
	}
	return out
}
