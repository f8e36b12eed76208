package supervise

import (
	"context"
	"time"

	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/wait"
)

// endSoon is how long before the end of a run that is told.
const endSoon = 5 * time.Minute

// WatchEnd calls tell five minutes before the end of a run, and when it has come, which is over. A renewal moves
// both. It returns after the end, or when ctx ends. now is this machine's clock.
func WatchEnd(
	ctx context.Context, run *journal.Run, journals journal.Store, now func() time.Time,
	tell func(end time.Time, over bool),
) {
	end := run.Expires()
	told := end // whoever starts a run that is as short as that knows it
	if end.Sub(now().Add(run.ClockAhead())) > endSoon {
		told = time.Time{}
	}
	for {
		// The journal may be gone or changed: then the end that is known stands. It is only told of.
		if latest, err := journals.Read(run.ID()); err == nil {
			end = latest.Expires()
		}
		left := end.Sub(now().Add(run.ClockAhead()))
		switch {
		case left <= 0:
			tell(end, true)
			return
		case left > endSoon:
			left -= endSoon
		case !told.Equal(end):
			tell(end, false)
			told = end
		}
		if wait.For(ctx, min(left, watchEvery)) != nil {
			return
		}
	}
}
