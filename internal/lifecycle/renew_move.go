package lifecycle

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
)

// move is what changes in the policy of one resource.
type move struct {
	resource resource.Name
	// bindings end at from, and are to end at another time. By now they may end at any
	// of ends: an earlier renewal may have been cut off.
	bindings []policy.Binding
	from     time.Time
	ends     []time.Time
	// endless are the bindings that the manifest wants without an end.
	endless []policy.Binding
	// journalled is false for what lets the operator mint, which vanishes with the account.
	journalled bool
	// touched says that a write was begun, or that the policy was found to differ.
	touched bool
}

// moved is what came of an attempt to move the end of bindings in a policy.
type moved struct {
	changed bool
	// missing are bindings that are not there, whenever they might end.
	missing []policy.Binding
	// strange are bindings of the same roles and members that end at no time of the run's, or not at all.
	// Where one is there, a missing binding was changed and not taken away.
	strange []policy.Binding
}

// asExpected reports whether each binding was there, in a form that the run gave it.
func (m moved) asExpected() bool { return len(m.missing) == 0 && len(m.strange) == 0 }

// at returns the bindings as they are if they end at t.
func (m *move) at(t time.Time) grants.Edit {
	edit := grants.Edit{Resource: m.resource}
	for _, b := range m.bindings {
		edit.Bindings = append(edit.Bindings, m.moved(b, t))
	}
	return edit
}

func (m *move) moved(b policy.Binding, to time.Time) policy.Binding {
	b.Condition, _ = b.Condition.Moved(m.from, to)
	return b
}

// apply makes the bindings in a policy end at a time. Those that are missing stay so:
// whoever took them away meant it.
func (m *move) apply(doc policy.Document, to time.Time) (out moved) {
	for _, b := range m.bindings {
		want := m.moved(b, to)
		there := doc.Has(want)
		for _, end := range m.ends {
			if other := m.moved(b, end); other != want && doc.Remove(other) {
				there, out.changed = true, true
			}
		}
		if !there {
			out.missing = append(out.missing, want)
			continue
		}
		out.changed = doc.Add(want) || out.changed
	}
	out.strange = m.strange(doc, to)
	return out
}

// strange returns the bindings of the same roles and members that are in a policy in a form that the run did not
// give them. All that are to move end at a time by now.
func (m *move) strange(doc policy.Document, at time.Time) (out []policy.Binding) {
	expected := slices.Concat(m.at(at).Bindings, m.endless)
	for _, b := range doc.Bindings() {
		if !slices.Contains(expected, b) && slices.ContainsFunc(m.bindings, func(x policy.Binding) bool {
			return x.Role == b.Role && x.Member == b.Member
		}) {
			out = append(out, b)
		}
	}
	return out
}

// restore makes the bindings in a policy end at a time, as apply does. Where some were changed, which is worse than
// missing, it replaces what they became.
func (m *move) restore(doc policy.Document, to time.Time) moved {
	out := m.apply(doc, to)
	if len(out.strange) == 0 {
		return out
	}
	out.changed = true
	for _, b := range out.strange {
		doc.Remove(b)
		out.missing = slices.DeleteFunc(out.missing, func(want policy.Binding) bool {
			return want.Role == b.Role && want.Member == b.Member && doc.Add(want)
		})
	}
	return out
}

// differs is the error for bindings that are not as the run made them; nil if all are. What is there instead goes
// into the journal, so that status tells it.
func (x *renewRun) differs(m *move, found moved) error {
	down := "taskiam down " + string(x.run.ID())
	switch {
	case len(found.strange) > 0:
		b := found.strange[0]
		x.noteStrange(m, found.strange)
		return fault.WithHint(fault.New(fault.Incomplete, "renewing %s on %s: it is bound to %s in another form "+
			"than run %s gave it (%s), which may never expire", b.Role, m.resource, b.Member, x.run.ID(),
			inWords(b.Condition)), down)
	case len(found.missing) > 0:
		return fault.WithHint(fault.New(fault.Precondition,
			"renewing %s on %s: somebody has removed it from run %s, and it is not bound again",
			found.missing[0].Role, m.resource, x.run.ID()), down)
	default:
		return nil
	}
}

// noteStrange keeps what was seen to be bound in a form that the run did not give it.
func (x *renewRun) noteStrange(m *move, strange []policy.Binding) {
	if m.journalled && len(strange) > 0 {
		x.note(x.standing(m, strange)...)
	}
}

// standing returns the records that say that bindings are there.
func (x *renewRun) standing(m *move, there []policy.Binding) []journal.Record {
	return perBinding(grants.Edit{Resource: m.resource, Bindings: there},
		func(r string, b journal.Binding) journal.Record { return journal.Bound{Resource: r, Binding: b} })
}

func inWords(c policy.Condition) string {
	if c.IsZero() {
		return "without a condition"
	}
	return "with the condition " + c.Expression
}

// move makes what is bound on one resource end at another time, in one write: at no time
// is there neither, and at none are there both.
func (x *renewRun) move(ctx context.Context, m *move, to time.Time) error {
	edit := m.at(to)
	err := x.step("move the end on", m.resource.String(), func() error {
		if m.journalled {
			if err := x.journal.Append(perBinding(edit, func(r string, b journal.Binding) journal.Record {
				return journal.BindIntended{Resource: r, Binding: b}
			})...); err != nil {
				return err
			}
		}
		var found moved
		err := x.edit(ctx, policyEdit{
			doing: "move the end on", name: m.resource, ready: x.marked,
			change: func(doc policy.Document) bool {
				found = m.apply(doc, to)
				change := found.changed && found.asExpected()
				m.touched = m.touched || change || len(found.strange) > 0
				return change
			},
			check: func(stored policy.Document) error {
				x.noteStrange(m, m.strange(stored, to))
				return survived(stored, edit)
			},
			dropping: journalDrops(x.journal, m.resource),
			account:  x.run.Opened.Email,
		})
		if err == nil {
			err = x.differs(m, found)
		}
		return err
	})
	if err != nil || !m.journalled {
		return err
	}
	if err := x.journal.Append(x.standingAlone(m, edit.Bindings)...); err != nil {
		return err
	}
	return x.readBack(ctx, x.journal, edit)
}

// standingAlone returns the records that say that bindings are there, and that they end at no other time.
func (x *renewRun) standingAlone(m *move, there []policy.Binding) []journal.Record {
	return append(x.standing(m, there), x.otherEnds(m, there)...)
}

// otherEnds returns the records that say that the bindings of a resource whose end is to move are not there any
// more, but for those that are kept.
func (x *renewRun) otherEnds(m *move, kept []policy.Binding) (out []journal.Record) {
	kept = slices.Concat(kept, m.endless)
	for _, b := range x.journal.Run().Bindings {
		is := b.Binding.Grants()
		if b.Resource == m.resource.Full() && b.Effect.Standing() && !slices.Contains(kept, is) &&
			slices.ContainsFunc(m.bindings, func(x policy.Binding) bool {
				return x.Role == is.Role && x.Member == is.Member
			}) {
			out = append(out, journal.Unbound{Resource: b.Resource, Binding: b.Binding})
		}
	}
	return out
}

// moveBack makes what is bound on one resource end when it did before. What is not there in any form
// is not bound anew. What cannot be made to end is taken away.
func (x *renewRun) moveBack(ctx context.Context, m *move, to time.Time) error {
	m.ends = append(slices.Clone(m.ends), x.expires)
	there := m.at(to).Bindings
	if m.touched || !x.run.Renewing().IsZero() { // there may be something of an earlier renewal, too
		var found moved
		var stored policy.Document
		err := x.edit(ctx, policyEdit{
			doing: "undo the renewal", name: m.resource, ready: x.marked,
			change: func(doc policy.Document) bool {
				found, stored = m.restore(doc, to), doc
				return found.changed
			},
			check: func(doc policy.Document) error {
				stored = doc
				return nil
			},
			dropping: journalDrops(x.journal, m.resource),
			account:  x.run.Opened.Email,
			harmed:   x.warn,
		})
		switch {
		case fault.Is(err, fault.NotFound): // and binds no account
			there = nil
		case err != nil:
			return err
		default:
			if strange := m.strange(stored, to); len(strange) > 0 {
				return x.takeAway(ctx, m, strange)
			}
			there = slices.DeleteFunc(there, func(b policy.Binding) bool { return !stored.Has(b) })
		}
	}
	x.noteThere(m, there)
	return nil
}

// noteThere keeps which of the bindings whose end was to move are there, and that no others are.
func (x *renewRun) noteThere(m *move, there []policy.Binding) {
	if m.journalled {
		x.note(x.standingAlone(m, there)...)
	}
}

// warn tells of what went wrong beside an undo, which goes on.
func (x *renewRun) warn(err error) { x.report(err.Error(), "", Warned, nil) }

// takenAway is what a renewal removed, since Google keeps it without the end that it was given.
type takenAway struct {
	grant policy.Binding
	on    resource.Name
}

func (t takenAway) Error() string {
	return fmt.Sprintf("%s on %s: the service stores it %s", t.grant.Role, t.on, inWords(t.grant.Condition))
}

// takeAway removes bindings that Google keeps without the end that they were given: less access is better than
// access without an end. It returns an error in any case, [takenAway] once they are gone.
func (x *renewRun) takeAway(ctx context.Context, m *move, strange []policy.Binding) error {
	x.noteThere(m, strange)
	lacking := takenAway{strange[0], m.resource}
	err := x.edit(ctx, policyEdit{
		doing: "remove what would not expire", name: m.resource, ready: x.marked,
		change: func(doc policy.Document) (changed bool) {
			for _, b := range m.strange(doc, x.run.Expires()) {
				changed = doc.Remove(b) || changed
			}
			return changed
		},
		dropping: journalDrops(x.journal, m.resource),
		account:  x.run.Opened.Email,
		harmed:   x.warn,
	})
	if err != nil && !fault.Is(err, fault.NotFound) {
		return fmt.Errorf("%s, and it could not be removed: %w", lacking, err)
	}
	x.noteThere(m, nil)
	return lacking
}
