// Package app wires the other packages together, once: the operator's login and the client
// that speaks to the cloud with it, the engine that brings runs up and down, the roles that are
// kept on this machine, what delivers credentials, the CI job, and the folders of all of them.
//
// What it needs of the process around it enters by [World], so that another environment (the
// demo's, a test's) is another value. It knows no flags, prints nothing by itself and
// decides no exit code: that is the command line's.
package app

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
)

// World is what is needed of the process and the machine around it.
type World struct {
	Getenv  func(string) string
	Environ func() []string
	// Setenv changes the environment of this process; an empty value unsets a variable.
	Setenv func(name, value string) error
	Now    func() time.Time
	Random io.Reader
}

// App is taskiam in a world. Nothing is dialled and no file is touched before a method asks
// for it.
type App struct {
	World
	// Warn tells the person what they may not have wanted.
	Warn func(format string, args ...any)
}

// StateDir returns the folder in which taskiam keeps what has to outlast a reboot.
func (a *App) StateDir() (string, error) {
	// A relative path is to be ignored (XDG Base Directory Specification).
	if dir := a.Getenv(EnvStateHome); filepath.IsAbs(dir) {
		return filepath.Join(dir, "taskiam"), nil
	}
	if home := a.Getenv(EnvHome); filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "state", "taskiam"), nil
	}
	return "", fault.WithHint(
		fault.New(fault.Usage, "there is no folder for the state: neither $%s nor $%s is an absolute path",
			EnvStateHome, EnvHome),
		"export "+EnvStateHome+"=/path/to/a/folder/of/yours")
}

// DeliveryDir returns where the delivery of a run goes if nothing else is said: to
// memory where there is such a folder, and never into a work tree.
func (a *App) DeliveryDir(run string) (string, error) {
	if dir := a.Getenv(EnvRuntimeDir); filepath.IsAbs(dir) {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return filepath.Join(dir, "taskiam", run), nil
		}
	}
	state, err := a.StateDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(state, "delivery", run), nil
}

// Delivered returns where the delivery of a run is, if it is in its default place.
func (a *App) Delivered(run grants.RunID) string {
	dir, err := a.DeliveryDir(string(run))
	if err != nil {
		return ""
	}
	if _, err := os.Lstat(dir); err != nil {
		return ""
	}
	return dir
}

// Journals returns the state folder. It need not exist.
func (a *App) Journals() (*journal.Dir, error) {
	dir, err := a.StateDir()
	if err != nil {
		return nil, err
	}
	d, err := journal.OpenDir(dir, nil)
	if err != nil {
		return nil, err
	}
	d.Now = a.Now
	return d, nil
}

// Runs returns what every journal says, the oldest run first. A journal that
// cannot be read does not hide the others: its error comes beside them.
func Runs(dir *journal.Dir) ([]*journal.Run, error) {
	ids, err := dir.List()
	if err != nil {
		return nil, err
	}
	var runs []*journal.Run
	var errs []error
	for _, id := range ids {
		run, err := dir.Read(id)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		runs = append(runs, run)
	}
	return runs, errors.Join(errs...)
}
