package cli

import (
	"crypto/rand"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
)

// Env is the world as commands see it. Nothing in it dials, and nothing touches
// the disk, before a command asks for it.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) string
	Environ        func() []string
	// Setenv changes the environment of this process; an empty value unsets a variable.
	Setenv func(name, value string) error
	Now    func() time.Time
	Random io.Reader
	// Signals begins to listen for the signals that end or hurry a command, and
	// returns how to stop listening. nil is never interrupted.
	Signals func() (<-chan os.Signal, func())

	// talk is standard error behind a [view.Writer]; it is what taskiam itself writes to.
	talk       io.Writer
	interrupts *interrupts
}

// OS returns the process's own environment.
func OS() *Env {
	return &Env{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Getenv: os.Getenv, Environ: os.Environ, Setenv: setenv,
		Now: time.Now, Random: rand.Reader,
		Signals: listen,
	}
}

func setenv(name, value string) error {
	if value == "" {
		return os.Unsetenv(name)
	}
	return os.Setenv(name, value)
}

// listen catches what asks a process to end. A signal that was being ignored when
// we were started, as nohup does with SIGHUP, stays ignored.
func listen() (<-chan os.Signal, func()) {
	ends := make(chan os.Signal, 4)
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT} {
		if !signal.Ignored(s) {
			signal.Notify(ends, s)
		}
	}
	// A reader of our output that goes away must not kill us before a teardown. The
	// signal is caught, not ignored: CMD would inherit that.
	pipe := make(chan os.Signal, 1)
	signal.Notify(pipe, syscall.SIGPIPE)
	return ends, func() {
		signal.Stop(ends)
		signal.Stop(pipe)
	}
}

// stateDir returns the folder in which taskiam keeps what has to outlast a reboot.
func (e *Env) stateDir() (string, error) {
	// A relative path is to be ignored (XDG Base Directory Specification).
	if dir := e.Getenv(envStateHome); filepath.IsAbs(dir) {
		return filepath.Join(dir, "taskiam"), nil
	}
	if home := e.Getenv(envHome); filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "state", "taskiam"), nil
	}
	return "", fault.WithHint(
		fault.New(fault.Usage, "there is no folder for the state: neither $%s nor $%s is an absolute path", envStateHome, envHome),
		"export "+envStateHome+"=/path/to/a/folder/of/yours")
}

// deliveryDir returns where the delivery of a run goes if nothing else is said: to
// memory where there is such a folder, and never into a work tree.
func (e *Env) deliveryDir(run string) (string, error) {
	if dir := e.Getenv(envRuntimeDir); filepath.IsAbs(dir) {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return filepath.Join(dir, "taskiam", run), nil
		}
	}
	state, err := e.stateDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(state, "delivery", run), nil
}

// delivered returns where the delivery of a run is, if it is in its default place.
func (e *Env) delivered(run grants.RunID) string {
	dir, err := e.deliveryDir(string(run))
	if err != nil {
		return ""
	}
	if _, err := os.Lstat(dir); err != nil {
		return ""
	}
	return dir
}
