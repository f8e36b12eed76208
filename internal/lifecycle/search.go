package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/gcp"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
)

const (
	// searchSettles is how old a run must be for the search to be believed: bindings are
	// written in the first minutes of a run, and the index has nearly every change some
	// minutes later (asset-inventory/docs/asset-types).
	searchSettles = 30 * time.Minute
	// anyAccount is in every member that is an account of a run's, and anyTombstone in
	// every one that is a deleted one.
	anyAccount   = "serviceAccount:ti-"
	anyTombstone = "deleted:" + anyAccount
)

// searcher finds what binds the accounts of one project, in as much of the company as
// the operator may search.
type searcher struct {
	*Engine
	project resource.Name
	more    []resource.Name // where the operator says to look, too
	scope   resource.Name   // what was searched; zero if nothing could be
	short   error           // why that is not everything; nil if it is
	matches []gcp.Match     // what was found
	unread  []string        // full names of those whose policies taskiam does not know how to read
}

// projectName returns a project that accounts are looked for in. Emails have its id, and
// not its number.
func projectName(project string) (resource.Name, error) {
	name, _, err := resource.Parse("projects/" + project)
	if err != nil {
		return resource.Name{}, fault.New(fault.Usage, "project %q: %w", project, err)
	}
	if project[0] >= '0' && project[0] <= '9' {
		return resource.Name{}, fault.New(fault.Usage, "project %s is a number: name the project by its id", project)
	}
	return name, nil
}

// newSearcher searches the topmost of what is above the project that can be searched, once, for
// the members that have the text: the email of an account, or [anyAccount].
func (e *Engine) newSearcher(
	ctx context.Context, project, text string, more []resource.Name,
) (*searcher, error) {
	name, err := projectName(project)
	if err != nil {
		return nil, err
	}
	s := &searcher{Engine: e, project: name, more: more}
	above, err := e.Cloud.Ancestors(ctx, project)
	if err != nil {
		s.short = fmt.Errorf("the parents of %s are not known: %w", name, err)
		above = []resource.Name{name}
	}
	for _, scope := range slices.Backward(above) {
		if s.matches, err = e.Cloud.SearchPolicies(ctx, scope, text); err == nil {
			s.scope = scope
			return s, nil
		}
		if s.short == nil {
			s.short = err
		}
		if passing(err) || ctx.Err() != nil {
			break // it would be no better below
		}
	}
	return s, nil
}

// passing reports whether an error would be another one at another time.
func passing(err error) bool { return fault.Is(err, fault.Unavailable, fault.Throttled) }

// naming returns the full names of the resources that have the text in a member, as far as the
// search shows members.
func (s *searcher) naming(text string) []string {
	var out []string
	for _, m := range s.matches {
		if len(m.Bindings) == 0 || slices.ContainsFunc(m.Bindings,
			func(b policy.Binding) bool { return strings.Contains(b.Member, text) }) {
			out = append(out, m.Resource)
		}
	}
	return out
}

// find returns what may bind an account: the host project, where the operator says to look,
// and what the search has found. The run began then.
func (s *searcher) find(began time.Time, email string) findings {
	f := findings{resources: []string{s.project.Full()}, looked: []string{s.project.String()}, missing: s.short}
	for _, name := range s.more {
		f.resources = append(f.resources, name.Full())
		f.looked = append(f.looked, name.String())
	}
	if !s.scope.IsZero() {
		f.resources = append(f.resources, s.naming(email)...)
		f.looked = append(f.looked, "everything in "+s.scope.String())
	}
	if settled := began.Add(searchSettles); f.missing == nil && s.Cloud.Clock().Before(settled) {
		f.missing = fault.New(fault.Incomplete,
			"the run is so new that a search may not find all of its bindings before %s",
			settled.Format(time.RFC3339))
	}
	// Whoever says where to look stands in for a search that is not allowed, but not for
	// one that did not work just now.
	if f.missing != nil && len(s.more) > 0 && !passing(f.missing) {
		f.missing = nil
	}
	if f.missing != nil {
		f.hints = []string{"name the resources of the task, then no search is needed: " +
			"--resource RESOURCE, once for each"}
		if fault.Is(f.missing, fault.Denied) {
			f.hints = append(f.hints, "or get roles/cloudasset.viewer on the organisation, to search everything")
		}
	}
	return f
}

// deadAccount is a deleted account of a run, and the resources that still name it.
type deadAccount struct {
	grants.Tombstone
	run       grants.RunID
	resources []string
	titled    []string // those of them where a title names the run
	known     bool     // a journal here names it, and so all that may name it
}

// tombstonesIn returns the deleted accounts of runs that the policies of the resources
// name, as far as they are provably ours: by a condition title that is that of the run
// in the email, or by the unique id, of which known may be asked. What cannot be read is an error
// beside them.
func (s *searcher) tombstonesIn(
	ctx context.Context, resources []string, known func(grants.RunID, grants.Tombstone) bool,
) ([]deadAccount, error) {
	seen := map[grants.Tombstone]*deadAccount{}
	var order []grants.Tombstone
	var unread []string // full names
	var errs []error
	slices.Sort(resources)
	for _, full := range slices.Compact(resources) {
		name, err := resource.ParseFull(full)
		if err != nil || !name.Type().Bindable() {
			s.unread = append(s.unread, full)
			continue
		}
		doc, err := s.Cloud.ReadPolicy(ctx, name)
		if err != nil {
			if !fault.Is(err, fault.NotFound) {
				errs = append(errs, err)
				unread = append(unread, full)
			}
			continue
		}
		for _, b := range doc.Bindings() {
			dead, ok := grants.ParseTombstone(b.Member)
			if !ok {
				continue
			}
			run, ok := grants.RunOf(dead.Email, s.project.Project())
			if !ok {
				continue
			}
			g := seen[dead]
			if g == nil {
				g = &deadAccount{Tombstone: dead, run: run, known: known != nil && known(run, dead)}
				seen[dead] = g
				order = append(order, dead)
			}
			if b.Condition.Title == grants.ConditionTitle(run) && !slices.Contains(g.titled, full) {
				g.titled = append(g.titled, full)
			}
			if !slices.Contains(g.resources, full) {
				g.resources = append(g.resources, full)
			}
		}
	}
	var out []deadAccount
	for _, dead := range order {
		if g := seen[dead]; g.known || len(g.titled) > 0 {
			g.resources = append(g.resources, s.perhaps(dead, unread)...)
			out = append(out, *g)
		}
	}
	return out, errors.Join(errs...)
}

// perhaps returns which of the unreadable resources may name a tombstone. They must be
// cleaned before the last proof of whose tombstone it is disappears.
func (s *searcher) perhaps(dead grants.Tombstone, unread []string) []string {
	if len(unread) == 0 || s.scope.IsZero() {
		return unread
	}
	found := s.naming(dead.Email)
	return slices.DeleteFunc(slices.Clone(unread), func(full string) bool { return !slices.Contains(found, full) })
}

// began returns when a run began, from its id alone and by the clock of the machine that
// made the id. An id from the future gives no time.
func (s *searcher) began(run grants.RunID) time.Time {
	if t := run.Started(); !t.After(s.Cloud.Clock()) {
		return t
	}
	return time.Time{}
}

// places returns where tombstones are looked for.
func (s *searcher) places() []string {
	out := append([]string{s.project.Full()}, s.naming(anyTombstone)...)
	for _, name := range s.more {
		out = append(out, name.Full())
	}
	return out
}

// target returns what there is to take away of a deleted account. There may be more than was seen,
// as there may be of a live account.
func (s *searcher) target(g deadAccount) target {
	return target{
		run: g.run, project: s.project.Project(), email: g.Email, uid: g.UniqueID,
		tombstone: true, resources: g.resources, proof: g.titled,
		find: func() findings {
			f := s.find(s.began(g.run), g.Email)
			if g.known {
				f.missing, f.hints = nil, nil
			}
			return f
		},
	}
}
