package journal

import (
	"context"
	"time"

	"github.com/taskiam/taskiam/internal/grants"
)

// Store keeps the journals of runs. It says nothing of how: [Dir] appends to files of this
// machine and locks them, another implementation may write objects in a bucket. Whoever brings
// runs up, takes them down or shows them knows no more of it than this.
type Store interface {
	// Probe returns why no journal could be begun now.
	Probe() error
	// Create begins the journal of a run with its first records. It keeps others out until
	// the journal is closed.
	Create(open Opened, announced ...Record) (Journal, error)
	// Open goes on with a journal and keeps others out until it is closed. If another
	// process has it, Open waits as long as wait says; then that is a [fault.Locked]. A run
	// without a journal is a [fault.NotFound].
	Open(ctx context.Context, run grants.RunID, wait time.Duration) (Journal, error)
	// Read returns what a journal says now, whoever is at work on the run. A run without a
	// journal is a [fault.NotFound].
	Read(run grants.RunID) (*Run, error)
	// Opening returns the first record of a journal, of which the rest may be damaged.
	Opening(run grants.RunID) (Opened, error)
	// List returns the runs that have a journal, the oldest first.
	List() ([]grants.RunID, error)
	// Select returns the runs that are wanted, the oldest first, and the journals that cannot be read. Whoever wants
	// few of ten thousand runs has few journals read: a store keeps the summaries of runs that are down. It notices
	// if the journal of one was changed since.
	Select(want func(Summary) bool) ([]*Run, []Unread, error)
	// Prune removes the journals of runs that were down, and checked to be, before a time.
	Prune(before time.Time) error
	// Where says to a person where the journal of a run is.
	Where(run grants.RunID) string
}

// Journal is the journal of one run, open. Its methods may be called from several goroutines.
type Journal interface {
	// Append adds records, in order, with one time and with no others between them. When it returns without
	// an error they are there for good, whatever happens to this machine. An error means that they may or may not be
	// there; what they were to announce must not be done.
	Append(records ...Record) error
	// Run returns what the journal says so far: a copy, which later records do not change.
	Run() *Run
	// Close lets others go on with the run. A second one does nothing.
	Close() error
}
