package journal

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
)

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

// lockFile locks locks/name: it tries once, and waits until ctx is done. With an
// error it returns the process that has the lock; 0 if that is not known.
func (d *Dir) lockFile(ctx context.Context, name string) (unlock func() error, holder int, err error) {
	if err := d.mkdirs(d.locks()); err != nil {
		return nil, 0, err
	}
	lock, err := d.disk.OpenLock(filepath.Join(d.locks(), name))
	if err != nil {
		return nil, 0, err
	}
	if err := lock.Take(ctx); err != nil {
		return nil, lock.Holder(), err
	}
	return lock.Close, 0, nil
}
