package supervise

import (
	"context"
	"os"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
)

// recordWithin is how long to wait for another process that is working on the run, before a
// token can be recorded. A token that is not recorded is not given out.
const recordWithin = 10 * time.Second

// recordIn adds a record to the journal of a run, if it is not being taken down.
func recordIn(ctx context.Context, journals journal.Store, run grants.RunID, r journal.Record) error {
	j, err := journals.Open(ctx, run, recordWithin)
	if err != nil {
		return err
	}
	defer j.Close()
	if !j.Run().Down.IsZero() {
		return fault.New(fault.Denied, "run %s is being taken down", run)
	}
	return j.Append(r)
}

// recordEnd records that this process, which is in the journal, ends. If another process is
// working on the run, it does nothing: that process is stopping this one, and records it.
func recordEnd(ctx context.Context, journals journal.Store, run grants.RunID, start string) error {
	j, err := journals.Open(context.WithoutCancel(ctx), run, 0)
	if fault.Is(err, fault.Locked, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer j.Close()
	if !j.Run().Down.IsZero() {
		return nil
	}
	return j.Append(journal.ProcessStopped{PID: os.Getpid(), Start: start})
}

// AtWork returns the running process of a run that has this role, if there is one.
func AtWork(run *journal.Run, role journal.ProcessRole) (journal.Process, bool) {
	for _, p := range run.Processes {
		if p.Role == role && p.Effect.Standing() && Running(p.PID, p.Start) {
			return p, true
		}
	}
	return journal.Process{}, false
}
