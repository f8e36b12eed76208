// Package app wires the other packages together, once: the operator's login and the client
// that speaks to the cloud with it, the engine that brings runs up and down, the roles that are
// kept on this machine, what delivers credentials, the CI job, and the folders of all of them.
//
// What it needs of its process comes in as a [World], so that the demo or a test can give it
// another one. It knows no flags and no exit codes, and prints only where it was told to.
package app

import (
	"cmp"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/supervise"
)

// World is what the package needs of the process that it is part of.
type World struct {
	Getenv  func(string) string
	Environ func() []string
	// Started is the environment that the process was started with, whatever Setenv has changed since.
	Started []string
	// Setenv changes the environment of this process; an empty value unsets a variable.
	Setenv func(name, value string) error
	Now    func() time.Time
	Random io.Reader
}

// App connects the other packages. Nothing is opened or called before a method needs it.
type App struct {
	World
	// Warn tells the operator of something that they may not have wanted, the same thing once.
	Warn func(format string, args ...any)
	// Reading is told how many of all journals were looked at, where many have to be read; nil is nobody.
	Reading func(done, all int)
	// Debug is told of every call to the cloud; nil is nobody. It may be called from several goroutines.
	Debug func(format string, args ...any)
	// Progress is told of long waits for what is on this machine; nil is nobody. Of those for the cloud the one in
	// [Options] is told.
	Progress Progress
}

// StateDir returns the folder for what must survive a reboot.
func (a *App) StateDir() (string, error) {
	// Relative paths must be ignored (XDG Base Directory Specification).
	if dir := a.Getenv(EnvStateHome); filepath.IsAbs(dir) {
		return filepath.Join(dir, "taskiam"), nil
	}
	if home := a.Getenv(envHome); filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "state", "taskiam"), nil
	}
	return "", fault.WithHint(
		fault.New(fault.Usage, "there is no folder for the state: neither $%s nor $%s is an absolute path",
			EnvStateHome, envHome),
		"export "+EnvStateHome+"=/path/to/a/folder/of/yours")
}

// DeliveryDir returns the default place for the delivery of a run: in memory if there is such
// a folder, and never in a work tree.
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

// Delivered returns the default place for the delivery of a run if something is there, else "".
func (a *App) Delivered(run grants.RunID) string {
	dir, err := a.DeliveryDir(string(run))
	if err != nil {
		return ""
	}
	if dir, err = withoutLinks(dir); err != nil {
		return ""
	}
	if _, err := os.Lstat(dir); err != nil {
		return ""
	}
	return dir
}

// Journals returns where the journals of runs are kept: in the state folder, which need not
// exist. This is the one place that chooses.
func (a *App) Journals() (journal.Store, error) {
	dir, err := a.folder()
	if err != nil {
		return nil, err // and no interface that holds a nil
	}
	return journal.Seal(dir, sync.OnceValues(a.journalsKey)), nil
}

// journalsKey returns the key that seals journals. Without one they are written all the same, and
// the operator is told: what is to be taken down must not depend on it.
func (a *App) journalsKey() ([]byte, error) {
	key, err := a.stateKey("journals")
	if err != nil {
		a.Warn("warning: journals are neither sealed nor verified: %v", err)
	}
	return key, err
}

// TokenLogs returns the logs of tokens that were given out on this machine.
func (a *App) TokenLogs() (supervise.TokenLogs, error) {
	dir, err := a.StateDir()
	return supervise.TokenLogs{Dir: filepath.Join(dir, "runs"), Now: a.Now}, err
}

// folder returns the state folder.
func (a *App) folder() (*journal.Dir, error) {
	dir, err := a.StateDir()
	if err != nil {
		return nil, err
	}
	d, err := journal.OpenDir(dir, nil)
	if err != nil {
		return nil, err
	}
	d.Now, d.Reading = a.Now, a.Reading
	return d, nil
}

// Runs returns the runs that are wanted, the oldest first. If some journals cannot be read, it returns the other runs
// and an error.
func Runs(journals journal.Store, want func(journal.Summary) bool) ([]*journal.Run, error) {
	runs, unread, err := journals.Select(want)
	errs := []error{err}
	for _, u := range unread {
		errs = append(errs, u.Err)
	}
	return runs, errors.Join(errs...)
}

// RunsNamed returns the runs that are not down, the oldest first, and beside them what the words mean of those that
// are: one by its id, and the last of a task or of a manifest.
func RunsNamed(journals journal.Store, words ...string) ([]*journal.Run, error) {
	paths := make([]string, len(words))
	for i, word := range words {
		var err error
		if paths[i], err = filepath.Abs(word); err != nil {
			return nil, err
		}
	}
	last := map[string]journal.Summary{}
	runs, unreadable := Runs(journals, func(s journal.Summary) bool {
		for i, word := range words {
			// Ids are ordered by the second alone: runs of the same one come in any order.
			if (s.Task == word || s.ManifestPath == paths[i]) && !s.Last.Before(last[word].Last) {
				last[word] = s
			}
		}
		return s.Live() || slices.Contains(words, string(s.Run))
	})
	for _, s := range last {
		if slices.ContainsFunc(runs, func(r *journal.Run) bool { return r.ID() == s.Run }) {
			continue
		}
		run, err := journals.Read(s.Run)
		if err != nil {
			unreadable = errors.Join(unreadable, err)
			continue
		}
		runs = append(runs, run)
	}
	slices.SortFunc(runs, func(a, b *journal.Run) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID(), b.ID()))
	})
	return runs, unreadable
}
