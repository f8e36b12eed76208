package supervise

import (
	"context"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/wait"
)

const (
	// endSoon is how long before the end of a run that is told.
	endSoon = 5 * time.Minute
	// renewBefore is how long before the end of a run it is renewed: so long that a change of a policy has spread when
	// the old end comes, and that a failure can be tried again. A run that is shorter is renewed at its half.
	renewBefore = 15 * time.Minute
	// LeastGain is the least by which a renewal while a command works has to move the end.
	LeastGain = time.Minute
)

// WatchEnd calls tell five minutes before the end of a run, and when it has come, which is over and is recorded. A
// renewal moves both. It returns after the end, or when ctx ends. now is this machine's clock.
func WatchEnd(
	ctx context.Context, run *journal.Run, journals journal.Store, now func() time.Time,
	tell func(end time.Time, over bool),
) {
	latest := run
	told := run.Expires() // whoever starts a run that is as short as that knows it
	if told.Sub(now().Add(run.ClockAhead())) > endSoon {
		told = time.Time{}
	}
	for {
		latest = reread(journals, latest)
		end := latest.Expires()
		left := end.Sub(now().Add(run.ClockAhead()))
		switch {
		case left <= 0 && left > -watchEvery && !latest.Renewing().IsZero():
			left = lookBefore // a renewal is in progress, or was cut off
		case left <= 0:
			// What cannot be recorded is missing in the receipt alone.
			_ = recordIn(ctx, journals, run.ID(), journal.TimeOver{})
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

// reread returns the run as its journal has it now. The journal may be gone or changed: then what is known stands.
func reread(journals journal.Store, known *journal.Run) *journal.Run {
	if latest, err := journals.Read(known.ID()); err == nil {
		return latest
	}
	return known
}

// Renewing is how a run is renewed while its command works.
type Renewing struct {
	// TTL is the time for which the run was brought up, and Latest the latest end that it may have.
	TTL    time.Duration
	Latest time.Time
	// Renew moves the end, by TTL from now but not beyond Latest. It returns the run with its new end; nil if the end
	// is what it was.
	Renew func(ctx context.Context) (*journal.Run, error)
	// Renewed is told of each new end, and whether it is the latest one.
	Renewed func(run *journal.Run, latest bool)
	// Failed is told what went wrong while the run was renewed; final means that there is no other try.
	Failed func(end time.Time, err error, final bool)
}

// Keep renews the run in good time before each of its ends, up to the latest one. It returns when there is nothing
// more to do, or when ctx ends. now is this machine's clock.
func (r Renewing) Keep(ctx context.Context, run *journal.Run, journals journal.Store, now func() time.Time) {
	lead := min(renewBefore, r.TTL/2)
	pause := time.Duration(0) // after a failure
	for latest := run; ; {
		latest = reread(journals, latest)
		end := latest.Expires()
		left := end.Sub(now().Add(run.ClockAhead()))
		switch {
		case left <= 0 || r.atLimit(end):
			return
		case left > lead || pause > 0 || ctx.Err() != nil:
			if wait.For(ctx, min(max(left-lead, pause), watchEvery)) != nil {
				return
			}
			pause = 0
			continue
		}
		renewed, err := r.Renew(ctx)
		if renewed != nil {
			latest = renewed
			r.Renewed(renewed, r.atLimit(renewed.Expires()))
		}
		if err == nil || ctx.Err() != nil { // its command has ended
			continue
		}
		// What is refused, and what somebody has changed, stays so.
		final := renewed == nil &&
			!fault.Is(err, fault.Throttled, fault.Unavailable, fault.Locked, fault.Unauthenticated)
		r.Failed(latest.Expires(), err, final)
		if final {
			return
		}
		pause = max(lookBefore, min(watchEvery, left/4)) // a failure can be tried again in time
	}
}

// atLimit reports whether a run with this end cannot be renewed any further.
func (r Renewing) atLimit(end time.Time) bool { return r.Latest.Sub(end) < LeastGain }
