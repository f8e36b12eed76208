package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
)

// Opening returns the first record of a run's journal, where the rest of it need not be
// whole: what the run was to do, which tells where to look. A run without a journal is
// a [fault.NotFound].
func (d *Dir) Opening(run grants.RunID) (Opened, error) {
	path := d.Where(run)
	b, err := d.disk.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Opened{}, fault.New(fault.NotFound, "run %s has no journal in %s", run, d.runs())
	}
	var o Opened
	if err == nil {
		o, err = opening(b)
	}
	if err == nil && o.Run != run {
		err = fmt.Errorf("it is the journal of run %s", o.Run)
	}
	if err != nil {
		return Opened{}, fmt.Errorf("reading journal %s, line 1: %w", path, err)
	}
	return o, nil
}

// Prune removes the journals of the runs that were down, and checked to be, before the
// time. One that is open, that could not be closed without something left, that is not
// understood or that another process has, stays.
func (d *Dir) Prune(before time.Time) error {
	runs, err := d.List()
	if err != nil {
		return err
	}
	var errs []error
	pruned := false
	for _, run := range runs {
		// Ids sort by time: what began later cannot have ended earlier.
		if !run.Started().Before(before) {
			break
		}
		removed, err := d.prune(run, before)
		pruned, errs = pruned || removed, append(errs, err)
	}
	if pruned {
		errs = append(errs, d.disk.SyncDir(d.runs()))
	}
	return errors.Join(errs...)
}

func (d *Dir) prune(run grants.RunID, before time.Time) (removed bool, err error) {
	if c, err := d.read(run); err != nil || !c.run.endedBefore(before) {
		return false, nil // what is not understood is kept for those who will
	}
	lock, err := d.disk.OpenLock(d.runLock(run))
	if err != nil {
		return false, err
	}
	if taken, err := lock.Try(); err != nil || !taken { // somebody has it, and so a use for the journal
		return false, errors.Join(err, lock.Close())
	}
	c, err := d.read(run) // again: until now it may have been gone on with
	if err == nil && c.run.endedBefore(before) {
		// A run's id is never used again, so its lock is of no use either.
		removed = true
		err = d.disk.Remove(d.Where(run))
		if lockErr := d.disk.Remove(d.runLock(run)); !errors.Is(lockErr, fs.ErrNotExist) {
			err = errors.Join(err, lockErr)
		}
	}
	return removed, errors.Join(err, lock.Close())
}

// runLock returns the file that is locked by whoever is at work on the run.
func (d *Dir) runLock(run grants.RunID) string { return filepath.Join(d.locks(), runLockName(run)) }

// endedBefore reports whether the run was down, with nothing left, or given up before the time.
func (r *Run) endedBefore(t time.Time) bool {
	switch r.State() {
	case Ended:
		return r.Receipt.At.Before(t)
	case GivenUp:
		return r.Forgotten.Before(t)
	}
	return false
}
