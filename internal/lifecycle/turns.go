package lifecycle

import (
	"context"

	"github.com/taskiam/taskiam/internal/journal"
)

// Turns keeps the runs of one machine from competing for a policy. Nothing depends on it:
// a run that gets no turn meets a conflict, and tries again.
type Turns interface {
	// LockPolicy waits for the turn to read and write the policy that key names.
	LockPolicy(ctx context.Context, key string, pace journal.Pace) (*journal.Turn, error)
}
