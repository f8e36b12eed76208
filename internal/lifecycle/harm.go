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

// mend compares what Google says it stored with the whole policy that it was sent. What differs and
// is not the run's own is put back, once; the error names it in any case. The answer to the write
// is compared, since that is of this write alone: a policy that is read later may have
// been changed by somebody else. Only if the policy that is then read still has the
// difference is it believed.
func (t *attempt) mend(ctx context.Context, stored policy.Document) error {
	accounts := append(slices.Clone(t.accounts), t.account)
	own := func(b policy.Binding) bool {
		return slices.ContainsFunc(accounts, func(a string) bool { return a != "" && strings.Contains(b.Member, a) })
	}
	differs := policy.Compare(t.written, stored).Without(own)
	if differs.IsZero() || t.mending {
		return nil
	}
	// Whoever wrote it puts it back, even if the command is interrupted.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), mendWithin)
	defer cancel()
	var seen, left policy.Difference
	look := func(doc policy.Document) policy.Difference {
		if doc.Etag() != stored.Etag() { // somebody has written since
			return differs.In(doc, true)
		}
		return policy.Compare(t.written, doc).Without(own)
	}
	err := t.Engine.edit(ctx, policyEdit{
		doing: "put back", name: t.name, ready: nowReady, mending: true, dropping: t.dropping,
		change: func(doc policy.Document) bool {
			seen = look(doc)
			left = seen
			return seen.Undo(doc)
		},
		check: func(stored policy.Document) error {
			left = seen.In(stored, false)
			return nil
		},
	})
	if err != nil && seen.IsZero() {
		seen, left = differs, differs // it could not even be read
	}
	if seen.IsZero() {
		return nil
	}
	return harm(t.name, seen, left, err)
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
