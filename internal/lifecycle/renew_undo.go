package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/journal"
)

// undo takes back what a renewal did before it failed, so that the old end stands.
func (x *renewRun) undo(ctx context.Context, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoWithin)
	defer cancel()
	x.report("undo the renewal", string(x.run.ID()), Started, nil)
	if !closed(x.marked) { // from here on nothing waits for it
		close(x.marked)
	}
	var mu sync.Mutex
	var left, lost []error
	failed := func(what string, err error) {
		mu.Lock()
		defer mu.Unlock()
		left = append(left, fmt.Errorf("left: %s: %w", what, err))
	}
	was := x.run.Expires()
	if x.delivering {
		if err := x.Credentials.Renew(x.run, was, x.oldKey); err != nil {
			failed("perhaps the files in "+x.run.Opened.DeliveryDir+", which may have another time of expiry", err)
		}
	}
	var wg sync.WaitGroup
	for _, m := range x.moves {
		wg.Go(func() {
			err := x.moveBack(ctx, m, was)
			if gone, ok := errors.AsType[takenAway](err); ok {
				mu.Lock()
				defer mu.Unlock()
				lost = append(lost, gone)
			} else if err != nil {
				failed(fmt.Sprintf("perhaps later bindings of %s on %s", x.run.Opened.Email, m.resource), err)
			}
		})
	}
	if x.uploading {
		wg.Go(func() {
			if err := x.dropNewKey(ctx); err != nil {
				failed("perhaps another key of "+x.run.Opened.Email, err)
			}
		})
	}
	wg.Wait()
	if len(left) == 0 { // while something lasts longer, the mark must say so
		if err := x.markBack(ctx, was); err != nil {
			failed("perhaps the mark of "+x.run.Opened.Email, err)
		}
	}
	if len(left) == 0 {
		if err := x.journal.Append(journal.RenewUndone{}); err != nil {
			failed("the journal of run "+string(x.run.ID())+", which does not say that the renewal was undone", err)
		}
	}
	if len(left) == 0 && len(lost) == 0 {
		x.report("undo the renewal", string(x.run.ID()), Done, nil)
		return cause
	}
	if len(left) == 0 {
		x.report("undo the renewal", string(x.run.ID()), Failed, errors.Join(lost...))
		return errors.Join(fault.WithHint(fault.New(fault.Incomplete, "run %s was not renewed, and lacks what would "+
			"not expire any more and was removed: %w", x.run.ID(), errors.Join(lost...)),
			"taskiam down "+string(x.run.ID())), cause)
	}
	x.report("undo the renewal", string(x.run.ID()), Failed, errors.Join(left...))
	// Incomplete comes first: it is what the exit code has to say.
	return errors.Join(append([]error{fault.WithHint(
		fault.New(fault.Incomplete, "run %s was not renewed: it expires at %s, but what is left may last until %s",
			x.run.ID(),
			was.Format(time.RFC3339), x.expires.Format(time.RFC3339)),
		x.ways()...)}, slices.Concat(left, lost, []error{cause})...)...)
}

// ways are how to go on after a renewal that is neither whole nor undone.
func (x *renewRun) ways() []string {
	return []string{fmt.Sprintf("taskiam renew %s --ttl %s", x.run.ID(), x.ttl), "taskiam down " + string(x.run.ID())}
}

// markBack has the account's mark say the old end, if it does not.
func (x *renewRun) markBack(ctx context.Context, end time.Time) error {
	o := x.run.Opened
	live, err := x.Cloud.Account(ctx, o.Project, x.account.UniqueID)
	switch mark := x.mark(end); {
	case fault.Is(err, fault.NotFound):
		return nil
	case err != nil:
		return err
	case live.Description == mark:
		return nil
	default:
		return x.Cloud.SetDescription(ctx, o.Project, x.account.UniqueID, mark)
	}
}
