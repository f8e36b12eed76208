package lifecycle

import (
	"context"
	"time"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
)

// Journals keeps the journals of runs. It says nothing of how: [Folder] appends to files
// and locks them, another implementation may write objects in a bucket.
type Journals interface {
	// Probe returns why no journal could be begun now.
	Probe() error
	// Create begins the journal of a run with its first records. It keeps others out until
	// the journal is closed.
	Create(open journal.Opened, announced ...journal.Record) (Journal, error)
	// Open goes on with a journal and keeps others out until it is closed. If another
	// process has it, Open waits as long as wait says; then that is a [fault.Locked]. A run
	// without a journal is a [fault.NotFound].
	Open(ctx context.Context, run grants.RunID, wait time.Duration) (Journal, error)
	// Read returns what a journal says now, whoever is at work on the run.
	Read(run grants.RunID) (*journal.Run, error)
	// Opening returns the first record of a journal, of which the rest may be damaged.
	Opening(run grants.RunID) (journal.Opened, error)
	// List returns the runs that have a journal, the oldest first.
	List() ([]grants.RunID, error)
	// Prune removes the journals of runs that were down, and checked to be, before a time.
	Prune(before time.Time) error
	// Where says to a person where the journal of a run is.
	Where(run grants.RunID) string
}

// Journal is the journal of one run, open.
type Journal interface {
	// Append adds records. When it returns without an error they are there for good,
	// whatever happens to this machine.
	Append(records ...journal.Record) error
	// Run returns what the journal says. It is a copy.
	Run() *journal.Run
	// Close lets others go on with the run.
	Close() error
}

// Turns keeps the runs of one machine from fighting over a policy. Nothing depends on it:
// whoever gets no turn meets a conflict, and repeats.
type Turns interface {
	// LockPolicy waits for the turn to read and write the policy that key names.
	LockPolicy(ctx context.Context, key string, pace journal.Pace) (*journal.Turn, error)
}

// Folder keeps journals in a folder of this machine.
func Folder(dir *journal.Dir) Journals { return folder{dir} }

type folder struct{ *journal.Dir }

// Create begins a file.
func (f folder) Create(open journal.Opened, announced ...journal.Record) (Journal, error) {
	j, err := f.Dir.Create(open, announced...)
	if err != nil {
		return nil, err // and no interface that holds a nil
	}
	return j, nil
}

// Open locks and reads a file.
func (f folder) Open(ctx context.Context, run grants.RunID, wait time.Duration) (Journal, error) {
	j, err := f.Dir.Open(ctx, run, wait)
	if err != nil {
		return nil, err
	}
	return j, nil
}

// Where is the file's path.
func (f folder) Where(run grants.RunID) string { return f.JournalPath(run) }
