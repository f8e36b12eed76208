package lifecycle

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/review"
	"github.com/taskiam/taskiam/internal/wait"
)

// answersInARow is how many answers have to agree before a grant counts as proved. They are asked side by side: while a
// change spreads, one of Google's servers may know of it and the next one not yet.
const answersInARow = 3

// maxTested is how many permissions one testIamPermissions may name.
const maxTested = 100

// proveAll asks, as the new account, for every grant whether it works, until all
// do or ctx is done. The channel gets one value: nil, unless the journal fails.
func (u *upRun) proveAll(ctx context.Context) <-chan error {
	out := make(chan error, 1)
	go func() {
		var g errgroup.Group
		for _, edit := range u.plan.Edits {
			for at, grant := range edit.Grants {
				g.Go(func() error { return u.prove(ctx, edit, edit.Bindings[at], grant) })
			}
		}
		out <- g.Wait()
	}()
	return out
}

// notAsked is why a grant is not proved that was not asked about.
const notAsked = "not checked yet"

// proveNone records that no grant was asked about.
func (u *upRun) proveNone(context.Context) <-chan error {
	out := make(chan error, 1)
	records := make([]journal.Record, len(u.grants))
	for i := range u.grants {
		u.grants[i] = journal.GrantState{State: journal.NotReady, Why: notAsked}
		records[i] = journal.GrantReady{Grant: i, State: journal.NotReady, Why: notAsked}
	}
	out <- u.journal.Append(records...)
	return out
}

func (u *upRun) prove(ctx context.Context, edit grants.Edit, b policy.Binding, grant int) error {
	var state journal.GrantState
	u.grants[grant] = journal.GrantState{State: journal.NotReady, Why: notAsked}
	if after(ctx, u.bound[edit.Resource]) != nil || after(ctx, u.hasCredential) != nil {
		return nil
	}
	permissions, why := u.provable(edit, b)
	listed := len(u.plan.Task.Grants[grant].Permissions) > 0
	if why == "" && !listed {
		permissions = permissions[:min(len(permissions), maxTested)] // of a list, all are asked about
	}
	if why != "" {
		state.State, state.Why = journal.NotProvable, why
	} else {
		state.State, state.Why = u.ask(ctx, edit, permissions, listed)
	}
	state.At = u.Now()
	u.grants[grant] = state
	return u.journal.Append(journal.GrantReady{Grant: grant, State: state.State, Why: state.Why})
}

// provable returns the permissions to ask about, or why asking proves nothing.
func (u *upRun) provable(edit grants.Edit, b policy.Binding) (permissions []string, why string) {
	typ := edit.Resource.Type()
	if typ.API.TestPath == "" {
		return nil, typ.A() + " has no testIamPermissions"
	}
	if !b.Condition.IsZero() && !review.Holds(b.Condition.Expression, edit.Resource, u.Cloud.Clock()) {
		return nil, fmt.Sprintf("its condition is false for the %s itself now", typ.Kind)
	}
	role, ok := u.survey.roles[b.Role]
	if !ok {
		return nil, "the permissions of the role cannot be read"
	}
	for _, p := range role.Permissions {
		if slices.ContainsFunc(typ.Testable, func(prefix string) bool { return strings.HasPrefix(p, prefix) }) {
			permissions = append(permissions, p)
		}
	}
	if len(permissions) == 0 {
		return nil, fmt.Sprintf("the role has no permission that %s can be asked about", typ.A())
	}
	return permissions, ""
}

// ask repeats the question until every answer is yes. Permissions that Google refuses to be asked
// about are left out; where all have to be proved, that leaves the grant unproved.
func (u *upRun) ask(
	ctx context.Context, edit grants.Edit, permissions []string, all bool,
) (journal.Readiness, string) {
	on := edit.Resource.String()
	var refused []string
	u.report("prove", on, Started, nil)
	for looks := 0; ; looks++ {
		missing, err := u.askOnce(ctx, edit, permissions)
		switch {
		case err == nil && len(missing) == 0:
			u.report("prove", on, Done, nil)
			if all && len(refused) > 0 {
				return journal.NotProvable, "Google does not answer about " + strings.Join(refused, ", ") +
					"; the other permissions are proved"
			}
			return journal.Proved, ""
		case fault.Is(err, fault.Invalid):
			if rest := u.answered(ctx, edit, permissions); len(rest) > 0 && len(rest) < len(permissions) {
				refused = append(refused, slices.DeleteFunc(permissions,
					func(p string) bool { return slices.Contains(rest, p) })...)
				permissions = rest
				continue
			}
			u.report("prove", on, Done, err)
			return journal.NotProvable, "Google does not answer the check: " + err.Error()
		case err == nil:
			err = fault.New(fault.NotReady, "not yet allowed: %s", strings.Join(missing, ", "))
		}
		u.waits("prove", on, err, u.untilReady(ctx))
		if wait.For(ctx, wait.Jitter(firstLook, looks, longestLook)) != nil {
			u.report("prove", on, Failed, err)
			return journal.NotReady, err.Error()
		}
	}
}

// untilReady says what is to be expected of access that does not work yet. The time for it begins when all is bound.
func (u *upRun) untilReady(ctx context.Context) Wait {
	if until := u.readyUntil.Load(); until != nil {
		return forAccess.atMost(ctx, *until)
	}
	return forAccess.atMost(ctx, u.Now().Add(u.options.ReadyTimeout))
}

// answered returns those of the permissions about which Google answers on a resource: on a project
// it refuses resourcemanager.projects.list and others, and the whole question with them.
func (u *upRun) answered(ctx context.Context, edit grants.Edit, permissions []string) []string {
	_, err := u.tester.TestPermissions(ctx, edit.Resource, permissions)
	switch {
	case !fault.Is(err, fault.Invalid): // also if it cannot be told now
		return permissions
	case len(permissions) == 1:
		return nil
	}
	half := len(permissions) / 2
	return slices.Concat(u.answered(ctx, edit, permissions[:half]), u.answered(ctx, edit, permissions[half:]))
}

// askOnce returns the permissions that some answer did not contain.
func (u *upRun) askOnce(ctx context.Context, edit grants.Edit, permissions []string) ([]string, error) {
	answers := make([][]string, answersInARow)
	g, ctx := errgroup.WithContext(ctx)
	for i := range answers {
		g.Go(func() (err error) {
			answers[i], err = u.tester.TestPermissions(ctx, edit.Resource, permissions)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return permissions, err
	}
	return slices.DeleteFunc(slices.Clone(permissions), func(p string) bool {
		for _, have := range answers {
			if !slices.Contains(have, p) {
				return false
			}
		}
		return true
	}), nil
}

// unready returns the error that names the grants which are not usable yet.
func (u *upRun) unready() error {
	var names []string
	for i, s := range u.grants {
		if s.State == journal.NotReady {
			g := u.plan.Task.Grants[i]
			names = append(names, fmt.Sprintf("%s on %s (%s)", g.Gives(), g.Resource, s.Why))
		}
	}
	if len(names) == 0 {
		return nil
	}
	return fault.WithHint(fault.New(fault.NotReady, "run %s is up, but not usable yet after %s: %s",
		u.plan.Run, u.options.ReadyTimeout, strings.Join(names, "; ")),
		"taskiam status "+string(u.plan.Run), "taskiam down "+string(u.plan.Run))
}
