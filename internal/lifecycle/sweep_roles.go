package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
)

// SweptRoles is what a sweep of custom roles found and did, project by project.
type SweptRoles struct {
	Projects []SweptRolesProject
	Elapsed  time.Duration
}

// SweptRolesProject is what was found of one project's custom roles.
type SweptRolesProject struct {
	Project string
	// Count is how many custom roles the project has, whoever made them, the deleted ones
	// included that can come back.
	Count int
	// Err is why not all of them could be looked at.
	Err   error
	Roles []SweptRole // by name
}

// SweptRole is what came of one custom role of ours.
type SweptRole struct {
	Name        string
	Permissions []string
	State       SweptRoleState
	// Why says what keeps it, in words.
	Why string
	// Bound has the resources that bind it.
	Bound []string
	Err   error
}

// SweptRoleState is what came of a custom role.
type SweptRoleState string

const (
	// RoleInUse means that something binds it, or may be about to.
	RoleInUse SweptRoleState = "in use"
	// RoleChanged means that somebody changed what it holds: it is theirs now.
	RoleChanged SweptRoleState = "changed"
	// RoleUnused means that it would be retired, were this not a dry run.
	RoleUnused SweptRoleState = "unused"
	// RoleRetired means that it was deleted. An up that needs it takes it back.
	RoleRetired SweptRoleState = "retired"
	// RoleLeft means that it is not known whether it is in use, or that it could not be
	// deleted.
	RoleLeft SweptRoleState = "left"
)

// SweepRoles retires the custom roles that were made for lists of permissions and that
// nothing uses: it deletes them, which can be undone for some days, and an up that needs
// one does so.
//
// IAM does not say when a role was last used. A role counts as unused if no policy binds it,
// by a search of its whole project, outside of which it cannot be bound; if no run that is
// not down names it, by the journals of this machine, nor one that ended less than OlderThan
// ago; and if no run that one of the projects hosts began so short a time ago that the search
// may not know what it bound. After it is deleted all that is asked again, and a role that came into use
// meanwhile is taken back.
//
// An error is [fault.Incomplete] if of some role it could not be told.
func (e *Engine) SweepRoles(ctx context.Context, o SweepOptions) (*SweptRoles, error) {
	for _, p := range o.Projects {
		if _, err := projectName(p); err != nil {
			return nil, err
		}
	}
	begun := e.Now()
	young, err := e.findYoung(ctx, o.Projects)
	if err != nil {
		return nil, err
	}
	out := &SweptRoles{Projects: make([]SweptRolesProject, len(o.Projects))}
	var wg sync.WaitGroup
	for i, p := range o.Projects {
		wg.Go(func() { out.Projects[i] = e.sweepRoles(ctx, p, young, o) })
	}
	wg.Wait()
	var errs []error
	for _, p := range out.Projects {
		if p.Err != nil {
			errs = append(errs, p.Err)
		}
		for _, r := range p.Roles {
			if r.Err != nil {
				errs = append(errs, r.Err)
			}
		}
	}
	out.Elapsed = e.Now().Sub(begun)
	return out, errors.Join(incompleteFirst(errs)...)
}

// roleSweeper sweeps the custom roles of one project.
type roleSweeper struct {
	*Engine
	options SweepOptions
	project resource.Name
	runs    []*journal.Run // of this machine, that name roles of the project
	young   grants.RunID   // one that the search may not know; "" for none
}

func (e *Engine) sweepRoles(ctx context.Context, project string, young grants.RunID, o SweepOptions) SweptRolesProject {
	out := SweptRolesProject{Project: project}
	name, err := projectName(project)
	if err != nil {
		out.Err = err
		return out
	}
	// The roles come first: what is bound after they were read is found below, or it
	// changes their etags.
	all, err := e.Cloud.CustomRoles(ctx, project)
	if err != nil {
		out.Err = err
		return out
	}
	out.Count = len(all)
	s := &roleSweeper{Engine: e, options: o, project: name, young: young}
	if err := s.readJournals(); err != nil {
		out.Err = err
		return out
	}
	all = slices.DeleteFunc(all, func(r grants.Role) bool { return r.Deleted || !r.Marked() })
	slices.SortFunc(all, func(a, b grants.Role) int { return strings.Compare(a.Name, b.Name) })
	out.Roles = make([]SweptRole, len(all))
	var g errgroup.Group
	g.SetLimit(sideBySide)
	for i, r := range all {
		g.Go(func() error {
			out.Roles[i] = s.sweep(ctx, r)
			return nil // its error is with the role
		})
	}
	_ = g.Wait()
	return out
}

// readJournals reads which runs of this machine name custom roles. One that cannot be read
// may name any: nothing is retired then.
func (s *roleSweeper) readJournals() error {
	ids, err := s.Journals.List()
	if err != nil {
		return err
	}
	for _, id := range ids {
		run, err := s.Journals.Read(id)
		if fault.Is(err, fault.NotFound) {
			continue // it ended before its first call
		}
		if err != nil {
			return fmt.Errorf("whether run %s needs a custom role is not known: %w", id, err)
		}
		if len(run.Roles) > 0 && s.refuse(run.Opened) == nil {
			s.runs = append(s.runs, run)
		}
	}
	return nil
}

// findYoung looks for a run that one of the projects hosts and that began so short a time
// ago that the search may not know its bindings.
func (e *Engine) findYoung(ctx context.Context, projects []string) (young grants.RunID, err error) {
	for _, project := range projects {
		accounts, err := e.Cloud.Accounts(ctx, project)
		if err != nil {
			return "", err
		}
		for _, a := range accounts {
			if mark, ours := markOf(a, project); ours && e.Cloud.Clock().Before(mark.Started().Add(searchSettles)) {
				young = mark.Run
			}
		}
	}
	return young, nil
}

func (s *roleSweeper) sweep(ctx context.Context, r grants.Role) SweptRole {
	out := SweptRole{Name: r.Name, Permissions: r.Permissions}
	if !r.Ours() {
		out.State, out.Why = RoleChanged, "its permissions are not those that taskiam made it with: it is left to who changed it"
		return out
	}
	if s.judge(ctx, &out); out.State != RoleUnused || s.options.DryRun {
		return out
	}
	err := s.step("retire custom role", r.Name, func() error { return s.Cloud.DeleteRole(ctx, r.Name, r.Etag) })
	switch {
	case fault.Is(err, fault.Conflict):
		out.State, out.Why = RoleInUse, "somebody else worked on it at the same time"
		return out
	case err != nil:
		out.State, out.Err = RoleLeft, leftRole(r.Name, err)
		return out
	}
	out.State = RoleRetired
	// A run may have bound it since it was searched for.
	again := SweptRole{Name: r.Name, Permissions: r.Permissions}
	if s.judge(ctx, &again); again.State == RoleUnused {
		return out
	}
	err = s.step("undelete custom role", r.Name, func() error {
		now, err := s.Cloud.Role(ctx, r.Name)
		if err != nil || !now.Deleted { // a run took it back
			return err
		}
		_, err = s.Cloud.UndeleteRole(ctx, r.Name, now.Etag)
		return err
	})
	if err != nil {
		again.State, again.Err = RoleLeft, leftRole(r.Name, fmt.Errorf("it came into use while it was retired: %w", err))
	}
	return again
}

func leftRole(name string, err error) error {
	return fault.New(fault.Incomplete, "custom role %s is left: %w", name, err)
}

// judge finds out whether a role is in use.
func (s *roleSweeper) judge(ctx context.Context, out *SweptRole) {
	out.State = RoleUnused
	for _, run := range s.runs {
		if !slices.ContainsFunc(run.Roles, func(r journal.Role) bool { return r.Name == out.Name }) {
			continue
		}
		last := run.Last.Add(run.ClockAhead()).UTC() // by the clock of the cloud
		switch {
		case run.Live():
			out.State, out.Why = RoleInUse, "run "+string(run.ID())+" is not down"
			return
		case s.Cloud.Clock().Before(last.Add(s.options.OlderThan)):
			out.State, out.Why = RoleInUse, fmt.Sprintf("run %s had it until %s", run.ID(), last.Format(time.RFC3339))
		}
	}
	places, err := s.places(ctx, out.Name)
	for _, full := range places {
		bound, lookErr := s.binds(ctx, full, out.Name)
		if lookErr != nil && err == nil {
			err = lookErr
		}
		if bound {
			out.Bound = append(out.Bound, plain(full))
		}
	}
	switch {
	case len(out.Bound) > 0:
		out.State, out.Why = RoleInUse, "bound on "+strings.Join(out.Bound, ", ")
	case out.State == RoleInUse:
	case err != nil:
		out.State, out.Err = RoleLeft, fault.WithHint(leftRole(out.Name, fmt.Errorf("whether it is bound is not known: %w", err)),
			"let the operator search the project, with roles/cloudasset.viewer, or name what may bind it: --resource RESOURCE, once for each")
	case s.young != "":
		out.State, out.Why = RoleInUse, fmt.Sprintf("perhaps: run %s began less than %s ago, and the search may not know yet what it bound", s.young, searchSettles)
	}
}

// places returns the full names of what may bind a role. Where a search is not allowed,
// what the operator named is taken for all there is; the error says that there is nothing.
func (s *roleSweeper) places(ctx context.Context, role string) ([]string, error) {
	found, err := s.Cloud.SearchPolicies(ctx, s.project, role)
	if err != nil && len(s.options.Resources) > 0 && !passing(err) && ctx.Err() == nil {
		err = nil
	}
	found = append(found, s.project.Full())
	found = append(found, fullNames(s.options.Resources)...)
	slices.Sort(found)
	return slices.Compact(found), err
}

// binds reports whether the policy of a resource binds a role. Of a type that taskiam does
// not know, the search is believed.
func (s *roleSweeper) binds(ctx context.Context, full, role string) (bool, error) {
	name, err := resource.ParseFull(full)
	if err != nil {
		return true, nil
	}
	doc, err := s.Cloud.ReadPolicy(ctx, name)
	if fault.Is(err, fault.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(doc.Bindings(), func(b policy.Binding) bool { return b.Role == role }), nil
}
