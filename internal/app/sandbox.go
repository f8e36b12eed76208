package app

import (
	"os"
	"path/filepath"

	"github.com/taskiam/taskiam/internal/credentials"
	"github.com/taskiam/taskiam/internal/isolate"
	"github.com/taskiam/taskiam/internal/supervise"
)

// Sandbox returns the sandbox for a command, and fails if the command could not be run in it.
// The operator's home, what is passed of the operator's environment, and what must stay hidden,
// are filled in here.
func (a *App) Sandbox(c supervise.SandboxConfig, passed credentials.Passed) (*supervise.Sandbox, error) {
	c.Home, c.Environ = a.Getenv(EnvHome), passed.Of(a.Environ(), !c.Isolated && c.UID == 0)
	if c.Isolated {
		var err error
		if c.Closed, err = a.closed(); err != nil {
			return nil, err
		}
	}
	return supervise.NewSandbox(c)
}

// closed returns what no sandbox may see: taskiam's own files, and the deliveries of all runs.
func (a *App) closed() ([]isolate.Closed, error) {
	state, err := a.StateDir()
	if err != nil {
		return nil, err
	}
	var out []isolate.Closed
	add := func(path, what string) {
		out = append(out, isolate.Closed{Path: supervise.RealPath(path), What: what})
	}
	add(state, "taskiam's journals and the emulator's logins")
	if dir := a.Getenv(EnvRuntimeDir); filepath.IsAbs(dir) {
		add(dir, "sockets and deliveries of yours")
	}
	if path := a.Getenv(EnvEmulatorToken); path != "" {
		add(path, "the operator's token on the emulator")
	}
	if path := a.Getenv(EnvCredentials); path != "" {
		add(path, "a credential of yours")
	}
	journals, err := a.Journals()
	if err != nil {
		return nil, err
	}
	// A journal that cannot be read does not matter here.
	runs, _ := Runs(journals)
	for _, run := range runs {
		if _, err := os.Lstat(run.Opened.DeliveryDir); err == nil {
			add(run.Opened.DeliveryDir, "the delivery of run "+string(run.ID()))
		}
	}
	return out, nil
}
