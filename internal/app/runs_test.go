package app

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
)

// The last of several runs that began in one second is the one that was last at work, whatever its id.
func TestTheLastRunOfASecond(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	journals, err := journal.OpenDir(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	journals.Now = func() time.Time { return now }
	var last grants.RunID
	for _, random := range [][5]byte{{2}, {3}, {1}} {
		last = grants.NewRunID(now, random)
		j, err := journals.Create(journal.Opened{
			Run: last, Task: "report", Cloud: "emulator", Project: "acme-agents",
			AccountID: grants.AccountID("report", last), Email: grants.AccountEmail(grants.AccountID("report", last), "acme-agents"),
			Expires: now.Add(time.Hour), ManifestPath: filepath.Join("/tasks", "report.toml"),
		}, journal.AccountIntended{})
		if err != nil {
			t.Fatal(err)
		}
		now = now.Add(100 * time.Millisecond)
		if err := j.Append(journal.AccountRefused{}, journal.DownBegan{}, journal.Closed{}); err != nil {
			t.Fatal(err)
		}
		if s := j.Run().State(); s != journal.Ended {
			t.Fatalf("the run is %s", s)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // of the journals, and of their index
		runs, err := RunsNamed(journals, "report")
		if err != nil || len(runs) != 1 || runs[0].ID() != last {
			t.Errorf("got %v, %v; want %s", runs, err, last)
		}
	}
}
