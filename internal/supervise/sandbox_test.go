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

// TestEmptyHome: only where no login can lie under HOME may clients look for one there.
func TestEmptyHome(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name                     string
		isolated                 bool
		tree, readOnly, writable string
		want                     bool
	}{
		{"a sandbox", true, "/home/a/work", "/opt/tool", "/home/a/.cache", true},
		{"no sandbox", false, "/home/a/work", "/opt/tool", "/home/a/.cache", false},
		{"the folder is shown", true, "/home/a/work", "/home/a/.config/gcloud", "/home/a/.cache", false},
		{"what is in it is", true, "/home/a/work", "/opt/tool", "/home/a/.config/gcloud/application_default_credentials.json", false},
		{"what it is in is", true, "/home/a/work", "/opt/tool", "/home/a/.config", false},
		{"it is worked in", true, "/home/a/.config/gcloud", "/opt/tool", "/home/a/.cache", false},
		{"another home", true, "/home/a/work", "/home/b/.config/gcloud", "/home/a/.cache", true},
	} {
		s := &Sandbox{SandboxConfig: SandboxConfig{Isolated: tt.isolated}, spec: isolate.Spec{
			Home: "/home/a", WorkTree: tt.tree, ReadOnly: []string{tt.readOnly}, Writable: []string{tt.writable},
		}}
		if got := s.EmptyHome(); got != tt.want {
			t.Errorf("%s: %t", tt.name, got)
		}
	}
}
