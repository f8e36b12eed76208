package tasks_test

import (
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/taskiam/taskiam/internal/manifest"
	"github.com/taskiam/taskiam/tasks"
)

// TestEverySampleIsAManifest: they are there to be copied.
func TestEverySampleIsAManifest(t *testing.T) {
	t.Parallel()
	names, err := fs.Glob(tasks.Files, "*.toml")
	if err != nil {
		t.Fatal(err)
	}
	if len(names) < 6 {
		t.Errorf("there are only %d samples: %q", len(names), names)
	}
	for _, name := range names {
		src, err := tasks.Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		task, err := manifest.Parse(name, src, manifest.Limits{})
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if want := strings.TrimSuffix(name, ".toml"); task.Name != want && name != "demo.toml" {
			t.Errorf("%s is the manifest of %s", name, task.Name)
		}
		if task.Reason == "" || task.TTL > 2*time.Hour || !strings.HasPrefix(string(src), "# ") {
			t.Errorf("%s is no good example: it should say its reason, be short, and begin with what it is for", name)
		}
	}
}
