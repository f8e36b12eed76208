package lifecycle

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/taskiam/taskiam/internal/customrole"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/search"
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
	Roles []customrole.Swept // by name
}

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
	if err := projectNames(o.Projects); err != nil {
		return nil, err
	}
	begun := e.Now()
	young, err := e.findYoung(ctx, o.Projects)
	if err != nil {
		return nil, err
	}
	out := &SweptRoles{Projects: make([]SweptRolesProject, len(o.Projects))}
	sideBySide(o.Projects, func(i int, p string) { out.Projects[i] = e.sweepRoles(ctx, p, young, o) })
	var errs []error
	for _, p := range out.Projects {
		errs = append(errs, p.Err)
		for _, r := range p.Roles {
			errs = append(errs, r.Err)
		}
	}
	out.Elapsed = e.Now().Sub(begun)
	return out, joinIncompleteFirst(errs)
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
		out.Err = e.perhapsMissing(ctx, project, err)
		return out
	}
	out.Count = len(all)
	runs, err := e.runsWithRoles(o.OlderThan)
	if err != nil {
		out.Err = err
		return out
	}
	all = slices.DeleteFunc(all, func(r grants.Role) bool { return r.Deleted || !r.Marked() })
	slices.SortFunc(all, func(a, b grants.Role) int { return strings.Compare(a.Name, b.Name) })
	s := &customrole.Sweeper{
		Manager: e.customRoles(), Project: name, More: o.Resources, DryRun: o.DryRun,
		Needed: func(role string) (string, bool) { return e.needed(role, runs, o.OlderThan) },
		Young:  young, Settles: search.Settles,
	}
	out.Roles = make([]customrole.Swept, len(all))
	sideBySide(all, func(i int, r grants.Role) { out.Roles[i] = s.Sweep(ctx, r) })
	return out
}

// needed says which of the runs has a custom role, or had it until a short time ago, and
// whether that run is live.
func (e *Engine) needed(role string, runs []*journal.Run, olderThan time.Duration) (why string, live bool) {
	for _, run := range runs {
		if !slices.ContainsFunc(run.Roles, func(r journal.Role) bool { return r.Name == role }) {
			continue
		}
		last := run.Last.Add(run.ClockAhead()).UTC() // by the clock of the cloud
		switch {
		case run.Live():
			return "run " + string(run.ID()) + " is not down", true
		case e.Cloud.Clock().Before(last.Add(olderThan)):
			why = fmt.Sprintf("run %s had it until %s", run.ID(), last.Format(time.RFC3339))
		}
	}
	return why, false
}

// runsWithRoles returns the runs of this machine that name custom roles, and are not down or were so long ago. A
// journal that cannot be read may name any: nothing is retired then.
func (e *Engine) runsWithRoles(olderThan time.Duration) ([]*journal.Run, error) {
	runs, unread, err := e.Journals.Select(func(s journal.Summary) bool {
		return len(s.Roles) > 0 && (s.Live() || e.Cloud.Clock().Before(s.Last.Add(s.ClockAhead+olderThan)))
	})
	if err != nil {
		return nil, err
	}
	for _, u := range unread {
		if !fault.Is(u.Err, fault.NotFound) { // else it ended before its first call
			return nil, fmt.Errorf("it is not known whether run %s needs a custom role: %w", u.Run, u.Err)
		}
	}
	return slices.DeleteFunc(runs, func(r *journal.Run) bool { return e.refuse(r.Opened) != nil }), nil
}

// findYoung looks for a run that one of the projects hosts and that began so short a time
// ago that the search may not know its bindings.
func (e *Engine) findYoung(ctx context.Context, projects []string) (young grants.RunID, err error) {
	for _, project := range projects {
		accounts, err := e.Cloud.Accounts(ctx, project)
		if err != nil {
			return "", e.perhapsMissing(ctx, project, err)
		}
		for _, a := range accounts {
			if mark, ours := markOf(a, project); ours && e.Cloud.Clock().Before(mark.Started().Add(search.Settles)) {
				young = mark.Run
			}
		}
	}
	return young, nil
}
