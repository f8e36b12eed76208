package customrole

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
)

// Swept is what came of one custom role of ours.
type Swept struct {
	Name        string
	Permissions []string
	State       SweptState
	// Why says what keeps it, in words.
	Why string
	// Bound has the resources that bind it.
	Bound []string
	Err   error
}

// SweptState is what came of a custom role.
type SweptState string

const (
	// InUse means that something binds the role, or may be about to.
	InUse SweptState = "in use"
	// Changed means that somebody changed what the role holds: it is theirs now.
	Changed SweptState = "changed"
	// Unused means that the role would be retired, were this not a dry run.
	Unused SweptState = "unused"
	// Retired means that the role was deleted. An up that needs it takes it back.
	Retired SweptState = "retired"
	// Gone means that somebody else deleted the role before the sweep did.
	Gone SweptState = "was gone already"
	// Left means that it is not known whether the role is in use, or that it could not be
	// deleted.
	Left SweptState = "left"
)

// Sweeper retires the custom roles of one project that nothing uses.
type Sweeper struct {
	Manager
	Project resource.Name
	// More are places that may bind a role, beside those that a search finds. Where a search
	// is not allowed, they are taken for all there are.
	More []resource.Name
	// DryRun finds, and writes nothing.
	DryRun bool
	// Needed says which run has a role, or had it until a short time ago; "" if none.
	// If that run is live, nothing else needs to be asked.
	Needed func(role string) (why string, live bool)
	// Young is a run that began less than Settles ago, which is how long the search may
	// take to know what it bound; "" if there is none.
	Young   grants.RunID
	Settles time.Duration
}

// Sweep retires a role if nothing uses it. After the role is deleted all that is asked
// again, and a role that came into use meanwhile is taken back.
func (s *Sweeper) Sweep(ctx context.Context, r grants.Role) Swept {
	if !r.Ours() {
		return Swept{Name: r.Name, Permissions: r.Permissions, State: Changed,
			Why: "somebody has changed its permissions: it is kept"}
	}
	out := s.judge(ctx, r)
	if out.State != Unused || s.DryRun {
		return out
	}
	err := s.Progress.Step("delete custom role", r.Name, func() error {
		return s.Cloud.DeleteRole(ctx, r.Name, r.Etag)
	})
	switch gone := s.gone(ctx, r.Name, err); {
	case gone && fault.Refused(err):
		out.State = Gone
		return out
	case gone: // by an attempt whose answer was lost
	case fault.Is(err, fault.Conflict):
		out.State, out.Why = InUse, "somebody else changed it at the same time"
		return out
	case err != nil:
		out.State, out.Err = Left, left(r.Name, err)
		return out
	}
	again := s.judge(ctx, r) // a run may have bound it since the search
	if again.State == Unused {
		out.State = Retired
		return out
	}
	err = s.Progress.Step("undelete custom role", r.Name, func() error {
		now, err := s.Cloud.Role(ctx, r.Name)
		if err != nil || !now.Deleted { // a run took it back
			return err
		}
		_, err = s.Cloud.UndeleteRole(ctx, r.Name, now.Etag)
		return err
	})
	if err != nil {
		again.State, again.Err = Left, left(r.Name, fmt.Errorf("it was bound while it was deleted: %w", err))
	}
	return again
}

// gone reports whether the deleting of a role was refused because it is deleted.
func (s *Sweeper) gone(ctx context.Context, name string, err error) bool {
	if !fault.Is(err, fault.NotFound, fault.Precondition) {
		return false
	}
	now, err := s.Cloud.Role(ctx, name)
	return fault.Is(err, fault.NotFound) || err == nil && now.Deleted
}

func left(name string, err error) error {
	return fault.New(fault.Incomplete, "custom role %s is left: %w", name, err)
}

// judge finds out whether a role is in use.
func (s *Sweeper) judge(ctx context.Context, r grants.Role) Swept {
	out := Swept{Name: r.Name, Permissions: r.Permissions, State: Unused}
	why, live := s.Needed(r.Name)
	if why != "" {
		out.State, out.Why = InUse, why
	}
	if live {
		return out
	}
	bound, err := s.boundOn(ctx, r.Name)
	out.Bound = bound
	switch {
	case len(bound) > 0:
		out.State, out.Why = InUse, "bound on "+strings.Join(bound, ", ")
	case out.State == InUse:
	case err != nil:
		out.State = Left
		out.Err = fault.WithHint(left(r.Name, fmt.Errorf("it is not known whether it is bound: %w", err)),
			"give the operator roles/cloudasset.viewer on the project, "+
				"or name the resources that may bind it: --resource RESOURCE, once for each")
	case s.Young != "":
		out.State = InUse
		out.Why = fmt.Sprintf("perhaps: run %s began less than %s ago, and the search may not find its bindings yet",
			s.Young, s.Settles)
	}
	return out
}

// boundOn returns the resources that bind a role, as people write them. With an error there
// may be more.
func (s *Sweeper) boundOn(ctx context.Context, role string) (bound []string, err error) {
	matches, err := s.Cloud.SearchPolicies(ctx, s.Project, role)
	if err != nil && len(s.More) > 0 && ctx.Err() == nil && !fault.Is(err, fault.Unavailable, fault.Throttled) {
		err = nil
	}
	var found []string
	for _, m := range matches {
		found = append(found, m.Resource)
	}
	for _, n := range append([]resource.Name{s.Project}, s.More...) {
		found = append(found, n.Full())
	}
	slices.Sort(found)
	for _, full := range slices.Compact(found) {
		name, parseErr := resource.ParseFull(full)
		if parseErr != nil { // of a type that taskiam does not know: the search is believed
			bound = append(bound, full)
			continue
		}
		binds, readErr := s.binds(ctx, name, role)
		if err == nil {
			err = readErr
		}
		if binds {
			bound = append(bound, name.String())
		}
	}
	return bound, err
}

// binds reports whether the policy of a resource binds a role.
func (s *Sweeper) binds(ctx context.Context, name resource.Name, role string) (bool, error) {
	doc, err := s.Cloud.ReadPolicy(ctx, name)
	if err != nil {
		if fault.Is(err, fault.NotFound) {
			err = nil
		}
		return false, err
	}
	return slices.ContainsFunc(doc.Bindings(), func(b policy.Binding) bool { return b.Role == role }), nil
}
