package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"time"

	"github.com/taskiam/taskiam/internal/wait"
)

const (
	// pacedFor is how long runs keep to the pace of a policy after it was throttled.
	pacedFor = 10 * time.Minute
	// forgetAfter is how long it has to be quiet around a policy until a contest for it
	// begins anew.
	forgetAfter = time.Minute
	// The rests after a conflict begin at a round trip and are bounded by these two,
	// those after a quota was used up by firstHold and longestHold
	// (iam/docs/retry-strategy).
	shortestRest = time.Millisecond
	longestRest  = 8 * time.Second
	firstHold    = time.Second
	longestHold  = 32 * time.Second
	// longestHeld is longer than any wait that a turn file asks for, unless a clock was set back.
	longestHeld = 5 * time.Minute
	// keptWrites is how many of the last writes a turn file remembers.
	keptWrites = 16
)

// Pace is how often the policy of a resource may be written: so many writes in any
// window of that length. The zero value is no limit.
type Pace struct {
	Writes int
	In     time.Duration
}

// Turn is the right to read and write one policy, which one run of this machine has at
// a time. It has to be ended.
type Turn struct {
	past    past
	changed bool
	end     func(*Turn) // notes what was changed, and lets the next one have its turn
}

// past is what the turns before this one have left: the turn file, as JSON. Its times are
// the machine's, as the waits are, whatever clock stamps records.
type past struct {
	Tried []time.Time `json:"tried,omitempty"` // the last writes, the latest last
	Done  time.Time   `json:"done,omitzero"`   // the last that was accepted
	Hold  time.Time   `json:"hold,omitzero"`   // no run is to write before
	Paced time.Time   `json:"paced,omitzero"`  // until when the pace is kept
	// Crowd and Quota are how often more a write was lost, or throttled, than accepted.
	Crowd int `json:"crowd,omitempty"`
	Quota int `json:"quota,omitempty"`
}

// due returns how long to wait until the policy may be written.
func (p past) due(pace Pace, now time.Time) time.Duration {
	wait := p.Hold.Sub(now)
	if n := len(p.Tried) - pace.Writes; now.Before(p.Paced) && pace.Writes > 0 && n >= 0 {
		wait = max(wait, p.Tried[n].Add(pace.In).Sub(now))
	}
	if wait > longestHeld {
		return 0
	}
	return wait
}

// LockPolicy takes the lock of one policy, for the time from its read to its write, and
// waits for it until ctx is done. The key is any string that names the policy: the cloud
// and the full resource name. It keeps out the other goroutines of this process, who are
// served in the order in which they came, and other processes, of whom any may be next.
// The lock of a process that dies is free.
//
// If the policy was throttled of late, the turn does not come before a write is likely
// to be accepted: one run that is told to wait spares all others the asking. That too is
// waited for without the lock.
//
// The locks keep runs of one machine from competing for an etag and a quota. Nothing
// depends on them: a run that is not kept out meets a conflict, and tries again. So where the
// disk can give no lock, the turn comes without one.
func (d *Dir) LockPolicy(ctx context.Context, key string, pace Pace) (*Turn, error) {
	name, noted := "policy-"+digest(key), "turn-"+digest(key)
	queue := d.queue(name)
	select {
	case queue <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for the lock of policy %s: %w", key, context.Cause(ctx))
	}
	for {
		release, holder, err := d.lockFile(ctx, name)
		if err != nil {
			if ctx.Err() != nil {
				<-queue
				return nil, fmt.Errorf("waiting for the lock of policy %s, which %s has: %w",
					key, process(holder), context.Cause(ctx))
			}
			// A disk that takes no locks must not keep a teardown from its work.
			release = func() error { return nil }
		}
		left := past{}
		if err == nil {
			left = d.past(noted)
		}
		due := left.due(pace, time.Now())
		if due <= 0 {
			return &Turn{past: left, end: func(t *Turn) {
				if t.changed {
					// What cannot be noted costs somebody a conflict.
					_ = d.leave(noted, t.past)
				}
				// Closing the file frees the lock whatever is answered.
				_ = release()
				<-queue
			}}, nil
		}
		_ = release()
		if wait.For(ctx, due+rand.N(40*time.Millisecond)) != nil {
			<-queue
			return nil, fmt.Errorf("waiting until policy %s may be written: %w", key, context.Cause(ctx))
		}
	}
}

// past reads a turn file. One that cannot be read says nothing.
func (d *Dir) past(name string) past {
	var p past
	if b, err := d.disk.Read(filepath.Join(d.locks(), name)); err != nil || json.Unmarshal(b, &p) != nil {
		return past{}
	}
	return p
}

// Follows reports whether no run of this machine tried to write the policy between an
// earlier turn and this one, so that what was read in the earlier one still stands.
func (t *Turn) Follows(earlier *Turn) bool {
	return slices.EqualFunc(t.past.Tried, earlier.past.Tried, time.Time.Equal)
}

// Moved returns when this machine last got a write of the policy through.
func (t *Turn) Moved() time.Time { return t.past.Done }

// Wrote notes that a write was tried, and that it is not known what came of it.
func (t *Turn) Wrote() {
	now := time.Now()
	if n := len(t.past.Tried); n > 0 && now.Sub(t.past.Tried[n-1]) > forgetAfter {
		t.past.Crowd, t.past.Quota = 0, 0
	}
	t.past.Tried = append(t.past.Tried, now)
	t.past.Tried = t.past.Tried[max(0, len(t.past.Tried)-keptWrites):]
	t.changed = true
}

// All runs of one machine wait as one before the next write. The wait doubles with each write
// that is lost and halves with each that is accepted, so that as many are lost as are accepted,
// however many machines there are. It is random down to zero, so that machines that lost a write
// at one time do not try again at one time.

// Accepted notes that the write of this turn got through. The round trip is what it takes
// to read the policy.
func (t *Turn) Accepted(roundTrip time.Duration) {
	t.past.Done = time.Now()
	t.past.Quota = max(0, t.past.Quota-1)
	if t.past.Crowd = max(0, t.past.Crowd-1); t.past.Crowd > 0 {
		t.hold(wait.Jitter(max(roundTrip, shortestRest), t.past.Crowd, longestRest))
	}
}

// Lost notes that the write of this turn came too late, and returns how long to rest.
func (t *Turn) Lost(roundTrip time.Duration) time.Duration {
	t.past.Crowd++
	return t.hold(wait.Jitter(max(roundTrip, shortestRest), t.past.Crowd-1, longestRest))
}

// Throttled notes that the policy's quota is used up, and returns how long to rest: what
// Google asks for, after, and a random time on top. Then everybody keeps to the pace.
func (t *Turn) Throttled(after time.Duration) time.Duration {
	t.past.Quota++
	t.past.Paced = time.Now().Add(pacedFor)
	return t.hold(after + wait.Jitter(firstHold, t.past.Quota-1, longestHold))
}

func (t *Turn) hold(d time.Duration) time.Duration {
	t.past.Hold = time.Now().Add(d)
	t.changed = true
	return d
}

// End lets the next run have its turn.
func (t *Turn) End() { t.end(t) }

// leave writes a turn file. It need not be durable: what is lost is only advice.
func (d *Dir) leave(name string, p past) error {
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	f, err := d.openOrCreate(filepath.Join(d.locks(), name))
	if err != nil {
		return err
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.Write(b)
	}
	return errors.Join(err, f.Close())
}
