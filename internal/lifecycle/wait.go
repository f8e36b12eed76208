package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/wait"
)

// openJournal opens the journal of a run, and tells if another process is at work on the run and is waited for.
func (e *Engine) openJournal(ctx context.Context, run grants.RunID, within time.Duration) (journal.Journal, error) {
	const step = "open the journal of run"
	on, told := string(run), make(chan struct{})
	notice := time.AfterFunc(lockNotice, func() {
		defer close(told)
		e.waits(step, on, nil, forJournal.atMost(ctx, e.Now().Add(within-lockNotice)))
	})
	j, err := e.Journals.Open(ctx, run, within)
	if !notice.Stop() {
		<-told
		e.report(step, on, Ended(err), err)
	}
	return j, err
}

// repeat calls f again while it fails with one of the kinds: ones that pass, such as
// a conflict, or a thing just made that is not seen everywhere yet. It gives up after
// the bound, with the last error. What it waits for is told.
func (e *Engine) repeat(
	ctx context.Context, step, on string, what Wait, bound time.Duration, f func() error, kinds ...fault.Kind,
) error {
	deadline := e.Now().Add(bound)
	for looks := 0; ; looks++ {
		err := f()
		if err == nil || !fault.Is(err, kinds...) {
			return err
		}
		if e.Now().After(deadline) {
			return fmt.Errorf("giving up after %s: %w", bound, err)
		}
		e.waits(step, on, err, what.atMost(ctx, deadline))
		if cause := wait.For(ctx, wait.Jitter(firstLook, looks, longestLook)); cause != nil {
			return errors.Join(cause, err)
		}
	}
}
