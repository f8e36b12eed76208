package supervise

import (
	"context"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
)

// ahead is by how much the cloud's clock is ahead of this machine's in these tests.
const ahead = 3 * time.Hour

// skewed returns a run that began now, by a machine whose clock is wrong, and ends an hour later by the cloud's.
func skewed(began time.Time) *journal.Run {
	return &journal.Run{Opened: journal.Opened{
		Run: grants.NewRunID(began, [5]byte{}), Began: began.Add(ahead), Expires: began.Add(ahead + time.Hour),
	}}
}

// gone is a store without journals.
var gone = ends{}

// A run's end is the cloud's: on a machine whose clock is wrong it is told of when it comes, and the run is renewed
// before it.
func TestTheEndByAWrongClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var told []time.Duration
		WatchEnd(t.Context(), skewed(began), gone, time.Now, func(time.Time, bool) {
			told = append(told, time.Since(began))
		})
		if len(told) != 2 || told[0] != 55*time.Minute || told[1] != time.Hour {
			t.Errorf("the end is told of after %s", told)
		}

		began = time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Hour)
		defer cancel()
		var renewed time.Duration
		r := Renewing{
			TTL: time.Hour, Latest: began.Add(ahead + 10*time.Hour),
			Renew: func(context.Context) (*journal.Run, error) {
				renewed = time.Since(began)
				return nil, fault.New(fault.Denied, "enough")
			},
			Failed: func(time.Time, error, bool) {},
		}
		r.Keep(ctx, skewed(began), gone, time.Now)
		if renewed != 45*time.Minute {
			t.Errorf("it is renewed after %s", renewed)
		}
	})
}

// While a renewal is in progress, the old end is not told as if it were the run's: it is waited for, but not for long.
func TestTheEndDuringARenewal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		journals, j := newJournal(t, began.Add(time.Hour))
		if err := j.Append(journal.RenewIntended{Expires: began.Add(2 * time.Hour)}); err != nil {
			t.Fatal(err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		var over []time.Duration
		WatchEnd(t.Context(), j.Run(), journals, time.Now, func(_ time.Time, is bool) {
			if is {
				over = append(over, time.Since(began))
			}
		})
		if len(over) != 1 || over[0] != time.Hour+watchEvery {
			t.Errorf("a renewal that was cut off: the end is told after %s", over)
		}
	})
}

// A login that has ended comes back when the person logs in again: a renewal is tried again.
func TestRenewingAfterALoginEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		run := &journal.Run{Opened: journal.Opened{Run: grants.NewRunID(began, [5]byte{}), Expires: began.Add(time.Hour)}}
		tries := 0
		r := Renewing{
			TTL: time.Hour, Latest: began.Add(10 * time.Hour),
			Renew: func(context.Context) (*journal.Run, error) {
				tries++
				return nil, fault.New(fault.Unauthenticated, "log in again")
			},
			Failed: func(_ time.Time, _ error, final bool) {
				if final {
					t.Error("a login that ended is taken for a refusal")
				}
			},
		}
		r.Keep(t.Context(), run, gone, time.Now)
		if tries < 5 {
			t.Errorf("it is tried %d times", tries)
		}
	})
}

// Once a teardown has begun, nothing more of the run is recorded: no token is given out, and the journal does not go
// on after its end.
func TestNothingIsRecordedInATeardown(t *testing.T) {
	t.Parallel()
	journals, j := newJournal(t, time.Now().Add(time.Hour))
	if err := j.Append(journal.DownBegan{}); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	id := j.Run().ID()
	size := func() int64 {
		info, err := os.Stat(journals.Where(id))
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	before := size()
	if err := recordIn(t.Context(), journals, id, journal.TokenMinted{}); !fault.Is(err, fault.Denied) {
		t.Errorf("a token in a teardown is recorded: %v", err)
	}
	if err := recordEnd(t.Context(), journals, id, "start"); err != nil {
		t.Errorf("the end of a process: %v", err)
	}
	if after := size(); after != before {
		t.Errorf("the journal has grown from %d bytes to %d", before, after)
	}
}
