// Package search finds what binds the accounts of runs, in as much of the company as the operator may search.
//
// It reads and it writes nothing. What is found may be any account's: whose it is, is decided by who asks.
package search

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
	// Settles is how old a run must be for the search to be believed: bindings are
	// written in the first minutes of a run, and the index has nearly every change some
	// minutes later (asset-inventory/docs/asset-types).
	Settles = 30 * time.Minute
	// AnyAccount is in every member that is an account of a run's, and anyTombstone in
	// every one that is a deleted one.
	AnyAccount   = "serviceAccount:ti-"
	anyTombstone = "deleted:" + AnyAccount
)

// Searcher finds what binds the accounts of one project, in as much of the company as
// the operator may search.
type Searcher struct {
	Scope  resource.Name // what was searched; zero if nothing could be
	Short  error         // why that is not everything; nil if it is
	Unread []string      // full names of those whose policies taskiam does not know how to read

	cloud   *gcp.Client
	project resource.Name
	more    []resource.Name // where the operator says to look, too
	matches []gcp.Match     // what was found
}

// New searches the topmost of what is above the project that can be searched, once, for the members that have the
// text: the email of an account, or [AnyAccount]. It looks in more, too.
func New(ctx context.Context, cloud *gcp.Client, project resource.Name, text string, more []resource.Name) *Searcher {
	s := &Searcher{cloud: cloud, project: project, more: more}
	above, err := cloud.Ancestors(ctx, project.Project())
	if err != nil {
		s.Short = fmt.Errorf("the parents of %s are not known: %w", project, err)
		above = []resource.Name{project}
	}
	for _, scope := range slices.Backward(above) {
		if s.matches, err = cloud.SearchPolicies(ctx, scope, text); err == nil {
			s.Scope = scope
			return s
		}
		if s.Short == nil {
			s.Short = err
		}
		if passing(err) || ctx.Err() != nil {
			break // it would be no better below
		}
	}
	return s
}

// passing reports whether an error would be another one at another time.
func passing(err error) bool { return fault.Is(err, fault.Unavailable, fault.Throttled) }

// naming returns the full names of the resources that have the text in a member, as far as the
// search shows members.
func (s *Searcher) naming(text string) []string {
	var out []string
	for _, m := range s.matches {
		if len(m.Bindings) == 0 || slices.ContainsFunc(m.Bindings,
			func(b policy.Binding) bool { return strings.Contains(b.Member, text) }) {
			out = append(out, m.Resource)
		}
	}
	return out
}

// Find returns what may bind an account: the host project, where the operator says to look,
// and what the search has found. The run began then.
func (s *Searcher) Find(began time.Time, email string) Findings {
	f := Findings{Resources: []string{s.project.Full()}, Looked: []string{s.project.String()}, Missing: s.Short}
	for _, name := range s.more {
		f.Resources = append(f.Resources, name.Full())
		f.Looked = append(f.Looked, name.String())
	}
	if !s.Scope.IsZero() {
		f.Resources = append(f.Resources, s.naming(email)...)
		f.Looked = append(f.Looked, "everything in "+s.Scope.String())
	}
	if settled := began.Add(Settles); f.Missing == nil && s.cloud.Clock().Before(settled) {
		f.Missing = fault.New(fault.Incomplete,
			"the run is so new that a search may not find all of its bindings before %s",
			settled.Format(time.RFC3339))
	}
	// Whoever says where to look stands in for a search that is not allowed, but not for
	// one that did not work just now.
	if f.Missing != nil && len(s.more) > 0 && !passing(f.Missing) {
		f.Missing = nil
	}
	if f.Missing != nil {
		f.Hints = []string{"name the resources of the task, then no search is needed: " +
			"--resource RESOURCE, once for each"}
		if fault.Is(f.Missing, fault.Denied) {
			f.Hints = append(f.Hints, "or get roles/cloudasset.viewer on the organisation, to search everything")
		}
	}
	return f
}

// DeadAccount is a deleted account of a run, and the resources that still name it.
type DeadAccount struct {
	grants.Tombstone
	Run       grants.RunID
	Resources []string
	Titled    []string // those of them where a title names the run
	Known     bool     // a journal here names it, and so all that may name it
}

// TombstonesIn returns the deleted accounts of runs that the policies of the resources
// name, as far as they are provably ours: by a condition title that is that of the run
// in the email, or by the unique id, of which known may be asked. What cannot be read is an error
// beside them.
func (s *Searcher) TombstonesIn(
	ctx context.Context, resources []string, known func(grants.RunID, grants.Tombstone) bool,
) ([]DeadAccount, error) {
	seen := map[grants.Tombstone]*DeadAccount{}
	var order []grants.Tombstone
	var unread []string // full names
	var errs []error
	slices.Sort(resources)
	for _, full := range slices.Compact(resources) {
		name, err := resource.ParseFull(full)
		if err != nil || !name.Type().Bindable() {
			s.Unread = append(s.Unread, full)
			continue
		}
		doc, err := s.cloud.ReadPolicy(ctx, name)
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
				g = &DeadAccount{Tombstone: dead, Run: run, Known: known != nil && known(run, dead)}
				seen[dead] = g
				order = append(order, dead)
			}
			if b.Condition.Title == grants.ConditionTitle(run) && !slices.Contains(g.Titled, full) {
				g.Titled = append(g.Titled, full)
			}
			if !slices.Contains(g.Resources, full) {
				g.Resources = append(g.Resources, full)
			}
		}
	}
	var out []DeadAccount
	for _, dead := range order {
		if g := seen[dead]; g.Known || len(g.Titled) > 0 {
			g.Resources = append(g.Resources, s.perhaps(dead, unread)...)
			out = append(out, *g)
		}
	}
	return out, errors.Join(errs...)
}

// perhaps returns which of the unreadable resources may name a tombstone. They must be
// cleaned before the last proof of whose tombstone it is disappears.
func (s *Searcher) perhaps(dead grants.Tombstone, unread []string) []string {
	if len(unread) == 0 || s.Scope.IsZero() {
		return unread
	}
	found := s.naming(dead.Email)
	return slices.DeleteFunc(slices.Clone(unread), func(full string) bool { return !slices.Contains(found, full) })
}

// Began returns when a run began, from its id alone and by the clock of the machine that
// made the id. An id from the future gives no time.
func (s *Searcher) Began(run grants.RunID) time.Time {
	if t := run.Started(); !t.After(s.cloud.Clock()) {
		return t
	}
	return time.Time{}
}

// Places returns where tombstones are looked for.
func (s *Searcher) Places() []string {
	out := append([]string{s.project.Full()}, s.naming(anyTombstone)...)
	for _, name := range s.more {
		out = append(out, name.Full())
	}
	return out
}

// Findings is what a search for an account came to.
type Findings struct {
	Resources []string // full names
	Looked    []string // where, in words
	Missing   error    // why there may be more places; nil if there are not
	Hints     []string // what would make up for that
}
