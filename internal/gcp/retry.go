package gcp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/wait"
)

// The schedule is Google's advice (iam/docs/retry-strategy): wait up to 2^n seconds,
// 32 at most. With full jitter eight tries take 48 s on average and 95 s at most.
const (
	firstWait   = time.Second
	longestWait = 32 * time.Second
	maxAttempts = 8
	// A quota is counted by the minute (iam/quotas), and so two of them make sure that it
	// was free once, even where a hundred wait for it.
	throttledFor   = 2 * time.Minute
	attemptTimeout = 30 * time.Second
)

// LongestWait is the longest wait that Google can ask for and get. A call that it asks to
// try again later than that has failed.
const LongestWait = 2 * longestWait

// retry is the one loop in which calls are tried again.
type retry struct {
	attempts     int
	throttledFor time.Duration                     // with a quota that is used up, beyond the attempts
	timeout      time.Duration                     // of one attempt
	jitter       func(time.Duration) time.Duration // a random duration below its argument
	progress     func(Event)
}

// impatient returns a client that tries everything once.
func (c *Client) impatient() *Client {
	once := *c
	once.retry.attempts, once.retry.throttledFor = 1, 0
	return &once
}

// task names a call, for errors and progress: doing "reading policy of" on "//…".
type task struct{ doing, on string }

// call makes one call of Google's, again and again while its errors pass by
// themselves, and classifies what it ends with. The function f makes one attempt.
//
// A stale etag, and a thing that is not there yet, are not tried again here: those
// waits belong to whoever knows what is being waited for.
func call[T any](ctx context.Context, c *Client, t task, f func(ctx context.Context) (T, error)) (T, error) {
	var zero T
	if err := c.base.unreachable(); err != nil {
		return zero, err
	}
	begun := time.Now()
	unsure := false // whether an attempt may have taken effect
	for attempt := 1; ; attempt++ {
		v, err := once(context.WithValue(ctx, attemptKey{}, attempt), c.retry.timeout, f)
		if err == nil {
			return v, nil
		}
		// Who gave up first matters: an attempt that ran out of time is tried again,
		// a caller who did not want to wait is obeyed.
		if ctx.Err() != nil {
			return zero, fmt.Errorf("%s %s: %w", t.doing, t.on, context.Cause(ctx))
		}
		err = c.classify(err)
		unsure = noteUnsure(err, unsure)
		delay, again := c.retry.wait(attempt, time.Since(begun), err)
		if deadline, ok := ctx.Deadline(); ok && again && time.Until(deadline) <= delay {
			again = false // better to say now what is wrong than to sleep into the deadline
		}
		if !again {
			if fault.Local(err) {
				if fault.Is(err, fault.Unavailable) && !c.base.reached() {
					err = c.base.lose(err)
				}
				return zero, err // it says nothing of this call
			}
			err = askedToWait(err)
			if attempt > 1 {
				return zero, fmt.Errorf("%s %s, tried %d times: %w", t.doing, t.on, attempt, err)
			}
			return zero, fmt.Errorf("%s %s: %w", t.doing, t.on, err)
		}
		if c.retry.progress != nil {
			c.retry.progress(Event{Op: t.doing, Object: t.on, Attempt: attempt, Wait: delay, Err: err})
		}
		if cause := wait.For(ctx, delay); cause != nil {
			return zero, fmt.Errorf("%s %s: %w, after: %w", t.doing, t.on, cause, err)
		}
	}
}

// noteUnsure writes into err whether an attempt before it may have taken effect, and returns
// whether that is to be said of the next one.
func noteUnsure(err error, unsure bool) bool {
	e, ok := errors.AsType[*fault.Error](err)
	if !ok {
		return true
	}
	if unsure && !e.Unsure {
		e.Unsure = true
	}
	return unsure || !fault.Refused(err)
}

// askedToWait adds how long Google asks to wait, where nobody would wait that long.
func askedToWait(err error) error {
	e, ok := errors.AsType[*fault.Error](err)
	if !ok || e.RetryAfter <= LongestWait {
		return err
	}
	return fmt.Errorf("%w; Google asks to wait %s before the next try", err, e.RetryAfter.Round(time.Second))
}

func once[T any](ctx context.Context, timeout time.Duration, f func(ctx context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return f(ctx)
}

// unversioned makes a call that sends no etag pass, to be tried again, where it met
// another change of the same thing (409 ABORTED): there is nothing to read anew.
func unversioned[T any](c *Client, f func(ctx context.Context) (T, error)) func(ctx context.Context) (T, error) {
	return func(ctx context.Context) (T, error) {
		v, err := f(ctx)
		if err == nil {
			return v, nil
		}
		err = c.classify(err)
		if e := (*fault.Error)(nil); errors.As(err, &e) && e.Kind == fault.Conflict {
			e.Kind = fault.Unavailable
		}
		return v, err
	}
}

// wait returns how long to wait after the attempt failed with err, that long after the
// first one began, and whether there is to be another one.
func (r retry) wait(attempt int, since time.Duration, err error) (time.Duration, bool) {
	if !fault.Is(err, fault.Unavailable, fault.Throttled) || fault.Lasts(err) {
		return 0, false
	}
	if attempt >= r.attempts && (since >= r.throttledFor || !fault.Is(err, fault.Throttled)) {
		return 0, false
	}
	bound := min(firstWait<<min(attempt-1, maxAttempts), longestWait)
	wait := r.jitter(bound)
	if e := (*fault.Error)(nil); errors.As(err, &e) && e.RetryAfter > 0 {
		// Asked for by the server: the jitter comes on top, or all who were told the
		// same second would come back in it. A wait of minutes is not a retry.
		if e.RetryAfter > LongestWait {
			return 0, false
		}
		wait += e.RetryAfter
	}
	return wait, true
}
