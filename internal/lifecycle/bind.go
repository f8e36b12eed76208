package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/resource"
)

// readBackWithin bounds the wait for a read to show what was written.
const readBackWithin = 30 * time.Second

// bind writes one resource's bindings and reads them back.
func (u *ascent) bind(ctx context.Context, edit grants.Edit) error {
	err := u.step("bind", edit.Resource.String(), func() error {
		if err := u.journal.Append(perBinding(edit, func(r string, b journal.Binding) journal.Record {
			return journal.BindIntended{Resource: r, Binding: b}
		})...); err != nil {
			return err
		}
		return u.write(ctx, edit)
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
	return u.readBack(ctx, edit)
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

// write adds the bindings of one edit: the whole read-modify-write again after a
// conflict, and again until the account is visible to the service that is to name it.
func (u *ascent) write(ctx context.Context, edit grants.Edit, also ...fault.Kind) error {
	again := slices.Concat(invisible, also, []fault.Kind{fault.Conflict})
	return u.repeat(ctx, "bind", edit.Resource.String(), visibleWithin, func() error { return u.tryWrite(ctx, edit) }, again...)
}

// errSlow says that the account was not there while the lock was held for it.
var errSlow = errors.New("creating the account takes long")

func (u *ascent) tryWrite(ctx context.Context, edit grants.Edit) error {
	err := u.underLock(ctx, edit.Resource, func(doc grants.Document) (bool, error) {
		select {
		case <-u.created:
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-time.After(lockPatience):
			return false, errSlow
		}
		changed := false
		for _, b := range edit.Bindings {
			changed = doc.Add(b) || changed
		}
		return changed, nil
	}, func(stored grants.Document) error { return survived(stored, edit) })
	if errors.Is(err, errSlow) {
		if err := after(ctx, u.created); err != nil {
			return err
		}
		return u.tryWrite(ctx, edit)
	}
	return err
}

// survived returns an error if a binding came back changed from Google. It must
// never be claimed that a binding ends when the service has dropped its condition.
func survived(stored grants.Document, edit grants.Edit) error {
	for _, b := range edit.Bindings {
		if stored.Has(b) {
			continue
		}
		bare := b
		bare.Condition = grants.Condition{}
		if !b.Condition.IsZero() && stored.Has(bare) {
			return fault.New(fault.Precondition, "granting %s on %s: the condition that ends it was dropped by the service", b.Role, edit.Resource)
		}
		return fault.New(fault.NotFound, "granting %s on %s: the binding is not in the policy that was written", b.Role, edit.Resource)
	}
	return nil
}

// underLock reads a policy, lets edit change it, and writes it if that changed
// anything; then check sees what Google says it stored. The policy's lock on this
// machine is held from the read to the write, so that runs queue instead of
// overtaking each other.
func (e *Engine) underLock(ctx context.Context, name resource.Name, edit func(grants.Document) (bool, error), check func(grants.Document) error) error {
	cloud, endpoint := e.Cloud.Cloud()
	unlock, err := e.Journals.LockPolicy(ctx, cloud+" "+endpoint+" "+name.Full())
	if err != nil {
		return fmt.Errorf("waiting for the policy of %s: %w", name, err)
	}
	defer unlock()
	doc, err := e.Cloud.ReadPolicy(ctx, name)
	if err != nil {
		return err
	}
	changed, err := edit(doc)
	if err != nil || !changed {
		return err
	}
	stored, err := e.Cloud.WritePolicy(ctx, name, doc)
	if err != nil {
		return err
	}
	if check == nil {
		return nil
	}
	return check(stored)
}

// readBack asks for the policy again and records what it says.
func (u *ascent) readBack(ctx context.Context, edit grants.Edit) error {
	return u.step("read back", edit.Resource.String(), func() error {
		err := u.repeat(ctx, "read back", edit.Resource.String(), readBackWithin, func() error {
			doc, err := u.Cloud.ReadPolicy(ctx, edit.Resource)
			if err != nil {
				return err
			}
			return survived(doc, edit)
		}, fault.NotFound)
		if err != nil {
			return err
		}
		return u.journal.Append(perBinding(edit, func(r string, b journal.Binding) journal.Record {
			return journal.ReadBack{Resource: r, Binding: b}
		})...)
	})
}
