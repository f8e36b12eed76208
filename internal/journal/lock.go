package journal

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/wait"
)

// A lock that another process has is asked for again and again: the kernel's own
// waiting cannot be given up. The pause is an eighth of the time waited so far, within these
// bounds: a hundred processes that wait for one lock must not use up the machine with asking.
const (
	firstPause = 2 * time.Millisecond
	lastPause  = 100 * time.Millisecond
)

// pauseAfter returns how long to pause before asking again, after having waited for so long.
func pauseAfter(waited time.Duration) time.Duration {
	pause := min(max(waited/8, firstPause), lastPause)
	return pause/2 + rand.N(pause)
}

// runLockName is the name of a run's lock among the locks.
func runLockName(run grants.RunID) string { return "run-" + string(run) }

// lockRun takes the run's lock, and waits for it as long as wait says.
func (d *Dir) lockRun(ctx context.Context, run grants.RunID, wait time.Duration) (func() error, error) {
	bounded, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	unlock, holder, err := d.lockFile(bounded, runLockName(run))
	switch {
	case err == nil:
		return unlock, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("waiting for run %s, which %s has: %w", run, process(holder), context.Cause(ctx))
	case errors.Is(err, context.DeadlineExceeded):
		return nil, fault.WithHint(fault.New(fault.Locked, "run %s is in use by %s", run, process(holder)),
			"wait for it, or stop it with a signal: it then takes the run down")
	default:
		return nil, fmt.Errorf("locking run %s: %w", run, err)
	}
}

func process(pid int) string {
	if pid == 0 {
		return "another process"
	}
	return fmt.Sprintf("process %d", pid)
}

// digest makes a file name of a key.
func digest(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:16])
}

// queue returns the channel whose one place is this process's claim to a lock.
func (d *Dir) queue(name string) chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	q := d.queues[name]
	if q == nil {
		q = make(chan struct{}, 1)
		d.queues[name] = q
	}
	return q
}

// lockFile locks locks/name, asking at least once and until ctx is done. With an
// error it returns the process that has the lock; 0 if that is not known.
func (d *Dir) lockFile(ctx context.Context, name string) (unlock func() error, holder int, err error) {
	if err := d.mkdirs(d.locks()); err != nil {
		return nil, 0, err
	}
	lock, err := d.disk.OpenLock(filepath.Join(d.locks(), name))
	if err != nil {
		return nil, 0, err
	}
	for began := time.Now(); ; {
		taken, err := lock.Try()
		if taken && err == nil {
			return lock.Close, 0, nil
		}
		if err == nil {
			err = wait.For(ctx, pauseAfter(time.Since(began)))
		}
		if err != nil {
			return nil, lock.Holder(), errors.Join(err, lock.Close())
		}
	}
}
