package lifecycle

import (
	"context"

	"github.com/taskiam/taskiam/internal/journal"
)

// Turns keeps the runs of one machine from fighting over a policy. Nothing depends on it:
// whoever gets no turn meets a conflict, and repeats.
type Turns interface {
	// LockPolicy waits for the turn to read and write the policy that key names.
	LockPolicy(ctx context.Context, key string, pace journal.Pace) (*journal.Turn, error)
}
