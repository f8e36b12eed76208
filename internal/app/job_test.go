package app

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/taskiam/taskiam/internal/ci"
	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/paths"
)

// What a job leaves in its workspace may be published, also where only a link leads there.
func TestDeliveriesOfAJobAreOutsideOfItsWorkspace(t *testing.T) {
	t.Parallel()
	dir := paths.Real(t.TempDir())
	workspace, temp := filepath.Join(dir, "work"), filepath.Join(dir, "temp")
	for _, path := range []string{filepath.Join(workspace, "tmp"), temp} {
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(workspace, "tmp"), filepath.Join(temp, "link")); err != nil {
		t.Fatal(err)
	}
	for path, ok := range map[string]bool{temp: true, workspace: false, workspace + "/tmp": false, temp + "/link": false} {
		j := (&App{World: World{Getenv: getting(nil)}}).Job(ci.Job{Workspaces: []string{workspace}, Temp: path}, nil)
		if got, err := j.temp(); ok && (err != nil || got != path) || !ok && !fault.Is(err, fault.Usage) {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
}

// A job that leaves a run takes back what the run has exported, and nothing that was changed since.
func TestLeave(t *testing.T) {
	t.Parallel()
	run := &journal.Run{Kind: delivery.Key, Opened: journal.Opened{
		Run: "1lguhv4k2itf0v0", Task: "t", Project: "acme-agents", Email: "a@acme-agents.iam.gserviceaccount.com",
		DeliveryDir: "/d", Login: "/login.json",
	}}
	for now, want := range map[string]string{"/d/key.json": "/login.json", "": "/login.json", "/other.json": "/other.json"} {
		vars := map[string]string{
			EnvCredentials: now, "GOOGLE_CLOUD_PROJECT": "acme-agents", "CLOUDSDK_CORE_PROJECT": "another", EnvRun: string(run.Opened.Run),
		}
		a := &App{World: World{Getenv: getting(vars), Setenv: func(name, value string) error {
			vars[name] = value
			return nil
		}}}
		if err := a.Job(ci.Job{}, nil).Leave([]*journal.Run{run}); err != nil {
			t.Fatal(err)
		}
		if vars[EnvCredentials] != want || vars["GOOGLE_CLOUD_PROJECT"] != "" || vars["CLOUDSDK_CORE_PROJECT"] != "another" || vars[EnvRun] != "" {
			t.Errorf("with the login %q it leaves %v", now, vars)
		}
	}
}
