package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
)

// mendWithin bounds the one attempt to put back what a service changed beside our edit.
const mendWithin = time.Minute

// mend compares what Google has stored, by its answer to the write or by a read, with the whole policy
// that it was sent. What differs and is not the edit's own is put back, once; harmed or the error
// names it in any case. In a policy that somebody else may have written since, only a binding counts
// that stands under another condition than was sent.
// Only if the policy that is then read still has the difference is it believed.
func (t *attempt) mend(ctx context.Context, stored policy.Document) error {
	harm := t.putBack(ctx, stored)
	if harm != nil && t.harmed != nil {
		t.harmed(harm)
		return nil
	}
	return harm
}

func (t *attempt) putBack(ctx context.Context, stored policy.Document) error {
	accounts := append(slices.Clone(t.accounts), t.account)
	own := func(b policy.Binding) bool {
		return slices.ContainsFunc(accounts, func(a string) bool { return a != "" && strings.Contains(b.Member, a) })
	}
	differs := policy.Compare(t.written, stored).Without(own)
	if t.unanswered != nil {
		differs = differs.In(stored, true)
	}
	if differs.IsZero() {
		return nil
	}
	t.wrote.CompareAndDelete(t.name, t) // it is told of once
	// Whoever wrote it puts it back, even if the command is interrupted.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), mendWithin)
	defer cancel()
	var seen, left policy.Difference
	look := func(doc policy.Document) policy.Difference {
		if t.unanswered != nil || doc.Etag() != stored.Etag() { // somebody may have written since
			return differs.In(doc, true)
		}
		return policy.Compare(t.written, doc).Without(own)
	}
	err := t.Engine.edit(ctx, policyEdit{
		doing: "put back", name: t.name, ready: nowReady, mending: true, dropping: t.dropping,
		account: t.account, accounts: t.accounts, harmed: t.harmed,
		change: func(doc policy.Document) bool {
			seen = look(doc)
			return seen.Undo(doc)
		},
	})
	if err != nil && seen.IsZero() {
		seen = differs // it could not even be read
	}
	if seen.IsZero() {
		return nil
	}
	left = seen
	if err == nil {
		var doc policy.Document
		if doc, err = t.Cloud.ReadPolicy(ctx, t.name); err == nil {
			left = seen.In(doc, false)
		}
	}
	return harm(t.name, seen, left, err)
}

// lookBack reads a policy after it was written. If nobody has written it since, it has to be what was sent: what
// the answer to a write shows, a service need not have kept.
func (e *Engine) lookBack(ctx context.Context, name resource.Name) (policy.Document, error) {
	doc, err := e.Cloud.ReadPolicy(ctx, name)
	if err != nil {
		return nil, err
	}
	if last, ok := e.wrote.Load(name); ok && last.(*attempt).stored == doc.Etag() {
		err = last.(*attempt).mend(ctx, doc)
	}
	return doc, err
}

var nowReady = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// harm is the error for what a service changed beside an edit: all of it, and what of it is left.
func harm(on resource.Name, seen, left policy.Difference, err error) error {
	var lines []string
	for _, b := range seen.Lost {
		lines = append(lines, fmt.Sprintf("%s of %s %s", b.Role, b.Member, titled(b.Condition)))
	}
	if len(lines) == 0 {
		for _, b := range seen.Gained {
			lines = append(lines, fmt.Sprintf("%s of %s %s, which nobody had given", b.Role, b.Member,
				titled(b.Condition)))
		}
	}
	if seen.Others {
		lines = append(lines, "audit configurations, or what is shared otherwise")
	}
	what := fmt.Sprintf("the service has changed more of the policy of %s than it was told to: %s", on,
		strings.Join(lines, "; "))
	if err == nil && len(left.Lost) == 0 && len(left.Gained) == 0 && !seen.Others {
		return fault.WithHint(fault.New(fault.Precondition, "%s; it was put back", what),
			"compare the policy with what it should be: none of this is the run's")
	}
	return errors.Join(fault.WithHint(fault.New(fault.Incomplete, "%s; it could not be put back", what),
		"whoever owns it has to put it back: none of this is the run's"), err)
}

// titled names a condition as its owner knows it.
func titled(c policy.Condition) string {
	switch {
	case c.IsZero():
		return "without a condition"
	case c.Title != "":
		return fmt.Sprintf("under the condition %q", c.Title)
	}
	return "under the condition " + c.Expression
}
