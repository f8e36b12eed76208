package customrole

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
)

// Record keeps records of a run, durably; it is the run's [journal.Journal.Append].
type Record func(...journal.Record) error

// Provide makes the roles that do not exist, and takes back those that were deleted.
func (m Manager) Provide(ctx context.Context, s *Set, record Record) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, r := range s.roles {
		if len(r.testing) > 0 {
			m.Progress.Warn("Google is still testing this in custom roles: " + strings.Join(r.testing, ", "))
		}
		g.Go(func() error { return m.provide(ctx, r, record) })
	}
	return g.Wait()
}

// provide makes one custom role or takes it back, under the first of its ids that Google
// lets it have. Another run may be doing the same: what it has done is done.
func (m Manager) provide(ctx context.Context, r *role, record Record) error {
	instead := "" // the id that was announced before, and cannot be had
	for {
		name := r.want(r.try).Name
		if r.state != There || instead != "" {
			err := record(journal.RoleIntended{Role: name, Permissions: r.permissions, Instead: instead})
			if err != nil {
				return err
			}
		}
		origin, refused, err := m.obtain(ctx, r)
		switch {
		case err != nil:
			return err
		case refused == nil:
			return record(journal.RoleReady{Role: name, Permissions: r.permissions, Origin: origin})
		}
		if instead, err = m.another(ctx, r, refused); err != nil {
			return err
		}
	}
}

// obtain makes a role, takes it back, or finds that it exists. It is refused where Google
// does not let its id be used.
func (m Manager) obtain(ctx context.Context, r *role) (origin journal.RoleOrigin, refused, err error) {
	name := r.want(r.try).Name
	var step string
	switch r.state {
	case There:
		return journal.RoleFound, nil, nil
	case Deleted:
		step, origin = "undelete custom role", journal.RoleUndeleted
	case Missing:
		step, origin = "create custom role", journal.RoleMade
	}
	err = m.Progress.Step(step, name, func() error {
		made, err := m.makeOrUndelete(ctx, r)
		if fault.Is(err, fault.Precondition) && origin == journal.RoleMade {
			refused = err
			return nil
		}
		if err != nil {
			return err
		}
		r.take(r.try, made, There)
		return r.matches(made)
	})
	return origin, refused, err
}

// another decides how to go on with a role that was refused, since its id was used before.
// If the old role can still be seen, it can be taken back. Else its id cannot be used for up
// to 44 days, and the next one is taken instead.
func (m Manager) another(ctx context.Context, r *role, refused error) (instead string, err error) {
	name := r.want(r.try).Name
	found, err := m.Cloud.Role(ctx, name)
	try := r.try
	switch {
	case fault.Is(err, fault.NotFound) && r.try+1 < grants.MaxRoleTries:
		instead, try = name, r.try+1
		found, err = m.Cloud.Role(ctx, r.want(try).Name)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return "", err
		}
		refused = nil
	case fault.Is(err, fault.NotFound):
		return "", fmt.Errorf(
			"each of the %d ids of the custom role for %s was used before and cannot be used again yet: %w",
			grants.MaxRoleTries, strings.Join(r.permissions, ", "), refused)
	case err != nil:
		return "", err
	}
	r.take(try, found, stateOf(found))
	if r.state == Missing {
		return instead, nil
	}
	if err := r.matches(found); err != nil {
		return "", errors.Join(err, refused)
	}
	return instead, nil
}

// makeOrUndelete makes a custom role, or takes it back, and returns it as it is. An answer that was
// lost, and another run that was faster, are told from a refusal by a look.
func (m Manager) makeOrUndelete(ctx context.Context, r *role) (grants.Role, error) {
	want := r.want(r.try)
	if r.state == Deleted {
		made, err := m.Cloud.UndeleteRole(ctx, want.Name, r.found.Etag)
		if fault.Is(err, fault.Precondition, fault.Conflict) {
			return m.lookAgain(ctx, want.Name, err)
		}
		if len(made.Permissions) == 0 && err == nil { // the answer need not have all of it
			return m.lookAgain(ctx, want.Name, nil)
		}
		return made, err
	}
	made, err := m.Cloud.CreateRole(ctx, want)
	switch {
	case fault.Is(err, fault.Exists):
		return m.lookAgain(ctx, want.Name, err)
	case fault.Is(err, fault.Throttled): // which is also how Google says that there are too many
		return grants.Role{}, r.noRoom(err)
	}
	return made, err
}

// read reads a role that has to exist, and waits until it is seen.
func (m Manager) read(ctx context.Context, name string) (found grants.Role, err error) {
	err = m.Progress.Retry(ctx, "look at custom role", name, readBackWithin, func() (err error) {
		found, err = m.Cloud.Role(ctx, name)
		return err
	}, fault.NotFound)
	return found, err
}

// lookAgain reads a role that has to exist, and returns cause too if it does not.
func (m Manager) lookAgain(ctx context.Context, name string, cause error) (grants.Role, error) {
	found, err := m.read(ctx, name)
	if err == nil && found.Deleted {
		err = fault.New(fault.Precondition, "custom role %s is deleted", name)
	}
	if err != nil {
		return found, errors.Join(err, cause)
	}
	return found, nil
}

// maxUndeleted is how often a role is taken back that is deleted again and again.
const maxUndeleted = 3

// Watch looks at custom roles that are bound, or about to be: somebody may have deleted or
// changed one since the last look. A deleted role grants nothing and is taken back. One that
// holds anything else than what was declared is an error, and the caller has to undo what it
// bound.
func (m Manager) Watch(ctx context.Context, s *Set, record Record) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, r := range s.roles {
		g.Go(func() error { return m.watch(ctx, r, record) })
	}
	return g.Wait()
}

func (m Manager) watch(ctx context.Context, r *role, record Record) error {
	name := r.name()
	for range maxUndeleted {
		found, err := m.read(ctx, name)
		if err != nil {
			return err
		}
		if err := r.matches(found); err != nil || !found.Deleted {
			return err
		}
		if err := record(journal.RoleIntended{Role: name, Permissions: r.permissions}); err != nil {
			return err
		}
		err = m.Progress.Step("undelete custom role", name, func() error {
			_, err := m.Cloud.UndeleteRole(ctx, name, found.Etag)
			if fault.Is(err, fault.Precondition, fault.Conflict) {
				return nil // somebody else was faster: the next look tells
			}
			return err
		})
		if err != nil {
			return err
		}
		err = record(journal.RoleReady{Role: name, Permissions: r.permissions, Origin: journal.RoleUndeleted})
		if err != nil {
			return err
		}
	}
	return fault.New(fault.Conflict, "the custom role %s was deleted again and again by somebody else", name)
}
