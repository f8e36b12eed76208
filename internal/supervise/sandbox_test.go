package supervise

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/isolate"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/paths"
)

// Where the delivery of a run lies is known when the run is up: not in what the sandbox shows anyway.
func TestEnterRefusesADeliveryInTheTree(t *testing.T) {
	t.Parallel()
	tree := paths.Real(t.TempDir())
	s := &Sandbox{SandboxConfig: SandboxConfig{Isolated: true}, spec: isolate.Spec{WorkTree: tree}}
	run := &journal.Run{Opened: journal.Opened{DeliveryDir: filepath.Join(tree, "tmp", "taskiam")}}
	if leave, err := s.Enter(t.Context(), run); !fault.Is(err, fault.Usage) {
		if leave != nil {
			leave()
		}
		t.Errorf("a delivery in the work tree: %v", err)
	}
}

// TestRealPaths says what a path that is not there was for.
func TestRealPaths(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"--ro", "finding the work tree"} {
		if _, err := realPaths(what, t.TempDir()+"/gone"); err == nil || !strings.HasPrefix(err.Error(), what+": lstat ") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
