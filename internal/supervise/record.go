package supervise

import (
	"context"
	"os"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
)

// recordWithin is how long a token waits to be recorded, if another process is at work on
// the run. A token that is not recorded is not handed out.
const recordWithin = 10 * time.Second

// Record adds a record to the journal of a run, if it is not being taken down.
func Record(ctx context.Context, journals *journal.Dir, run grants.RunID, r journal.Record) error {
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

// RecordEnd records that this process, which the journal has, ends. Whoever is at work on the
// run is about to stop it, and will record that.
func RecordEnd(ctx context.Context, journals *journal.Dir, run grants.RunID, start string) error {
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

// AtWork returns the process of a run that has this role, if it is recorded and runs.
func AtWork(run *journal.Run, role journal.ProcessRole) (journal.Process, bool) {
	for _, p := range run.Processes {
		if p.Role == role && p.Effect.Standing() && Running(p.PID, p.Start) {
			return p, true
		}
	}
	return journal.Process{}, false
}
