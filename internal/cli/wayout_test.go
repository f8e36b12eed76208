package cli

import (
	"testing"

	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/grants"
)

// What a closed network alone enforces is refused in every other one.
func TestFits(t *testing.T) {
	t.Parallel()
	closed := grants.Task{Deliver: delivery.DefaultOfClosed}
	open := grants.Task{Deliver: delivery.DefaultOfRun}
	named := grants.Task{Deliver: delivery.DefaultOfClosed, Network: &grants.Network{}}
	leaky := grants.Task{Deliver: delivery.DefaultOfRun, Network: &grants.Network{}}
	for _, how := range []isolateValue{isolateNot, isolateNet, isolateNoNet, isolateClosed} {
		for _, tt := range []struct {
			name string
			task grants.Task
			fits bool
		}{
			{"a proxied task", closed, how == isolateClosed},
			{"a task with a credential inside", open, how != isolateClosed},
			{"a task with hosts", named, how == isolateClosed},
			{"a task with hosts and a credential inside", leaky, false},
		} {
			if err := how.fits(tt.task); (err == nil) != tt.fits {
				t.Errorf("--isolate=%s: %s: %v", how, tt.name, err)
			}
		}
	}
}
