package lifecycle

import (
	"context"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/taskiam/taskiam/internal/customrole"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/policy"
)

// readBackWithin bounds the wait for a read to show what was written.
const readBackWithin = 30 * time.Second

// bind writes one resource's bindings and reads them back.
func (u *upRun) bind(ctx context.Context, edit grants.Edit) error {
	custom := u.survey.custom.In(edit)
	if !custom.Empty() {
		if err := after(ctx, u.rolesReady); err != nil {
			return err
		}
		edit = custom.Final(edit)
	}
	err := u.step("bind", edit.Resource.String(), func() error {
		if err := u.journal.Append(perBinding(edit, func(r string, b journal.Binding) journal.Record {
			return journal.BindIntended{Resource: r, Binding: b}
		})...); err != nil {
			return err
		}
		return u.edit(ctx, u.binding(edit, custom))
	})
	if err != nil {
		return err
	}
	close(u.bound[edit.Resource])
	if err := u.journal.Append(perBinding(edit, func(r string, b journal.Binding) journal.Record {
		return journal.Bound{Resource: r, Binding: b}
	})...); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return u.readBack(ctx, u.journal, edit) })
	g.Go(func() error { return u.customRoles().Watch(ctx, custom, u.journal.Append) })
	return g.Wait()
}

// perBinding makes one record for each binding of an edit.
func perBinding(edit grants.Edit, record func(resource string, b journal.Binding) journal.Record) []journal.Record {
	out := make([]journal.Record, len(edit.Bindings))
	for i, b := range edit.Bindings {
		out[i] = record(edit.Resource.Full(), journal.BindingOf(b))
	}
	return out
}

// invisible is what a policy that names a fresh account may be refused with until
// the service knows it: a plain 400, or a 404.
var invisible = []fault.Kind{fault.Invalid, fault.NotFound}

// visibleWithin is how long this up waits for a service to know its account: no longer than it
// may wait for all access, but half a minute in any case, since new accounts often take that.
func (u *upRun) visibleWithin() time.Duration {
	return min(visibleWithin, max(u.options.ReadyTimeout, 30*time.Second))
}

// binding is what adds the bindings of one edit, once the account is there and as soon as it is
// visible to the service that is to name it. Custom roles may be retired in the meantime.
func (u *upRun) binding(edit grants.Edit, custom *customrole.Set, also ...fault.Kind) policyEdit {
	var members []string
	for _, b := range edit.Bindings {
		members = append(members, b.Member)
	}
	return policyEdit{
		doing: "bind", name: edit.Resource, ready: u.created,
		beforeRetry: func(ctx context.Context) error { return u.customRoles().Watch(ctx, custom, u.journal.Append) },
		room:        func(doc policy.Document) error { return room(doc, edit) },
		change: func(doc policy.Document) bool {
			changed := false
			for _, b := range edit.Bindings {
				// There is one without its end if the service dropped that in a write whose answer was lost.
				if bare := endless(b); !slices.Contains(edit.Bindings, bare) {
					changed = doc.Remove(bare) || changed
				}
				changed = doc.Add(b) || changed
			}
			return changed
		},
		check:    func(stored policy.Document) error { return survived(stored, edit) },
		dropping: journalDrops(u.journal, edit.Resource),
		passing:  slices.Concat(invisible, also),
		within:   u.visibleWithin(),
		account:  u.plan.Email,
		accounts: members,
	}
}

// endless returns a binding without its condition.
func endless(b policy.Binding) policy.Binding {
	b.Condition = policy.Condition{}
	return b
}

// survived returns an error if a binding came back changed from Google. It must
// never be claimed that a binding ends when the service has dropped its condition.
func survived(stored policy.Document, edit grants.Edit) error {
	for _, b := range edit.Bindings {
		if stored.Has(b) {
			continue
		}
		if !b.Condition.IsZero() && stored.Has(endless(b)) {
			return fault.New(fault.Precondition,
				"granting %s on %s: the service has dropped the condition that makes it expire", b.Role, edit.Resource)
		}
		return fault.New(fault.NotFound, "granting %s on %s: the binding is not in the policy that was written", b.Role,
			edit.Resource)
	}
	return nil
}

// readBack asks for the policy again and records what it says.
func (e *Engine) readBack(ctx context.Context, j journal.Journal, edit grants.Edit) error {
	return e.step("read back", edit.Resource.String(), func() error {
		err := e.repeat(ctx, "read back", edit.Resource.String(), forWritten, readBackWithin, func() error {
			doc, err := e.lookBack(ctx, edit.Resource)
			if err != nil {
				return err
			}
			return survived(doc, edit)
		}, fault.NotFound)
		if err != nil {
			return err
		}
		return j.Append(perBinding(edit, func(r string, b journal.Binding) journal.Record {
			return journal.ReadBack{Resource: r, Binding: b}
		})...)
	})
}
