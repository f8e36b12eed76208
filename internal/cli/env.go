package cli

import (
	"crypto/rand"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/taskiam/taskiam/internal/app"
	"github.com/taskiam/taskiam/internal/manifest"
	"github.com/taskiam/taskiam/internal/view"
)

// Env is everything outside of the program that commands use. Nothing is opened or called
// before a command asks for it.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr *view.Stream
	app.World
	// Signals starts to listen for the signals that end or hurry a command, and returns how
	// to stop listening. If it is nil, nothing is ever interrupted.
	Signals func() (<-chan os.Signal, func())

	interrupts *interrupts
	json       bool     // the document of an error is wanted
	debug      bool     // every call to the cloud is told of
	warned     sync.Map // by what was said
}

// OS returns the process's own environment.
func OS() *Env {
	e := &Env{
		Stdin: os.Stdin,
		World: app.World{
			Getenv: os.Getenv, Environ: os.Environ, Started: os.Environ(), Setenv: setenv,
			Now: time.Now, Random: rand.Reader,
		},
		Signals: listen,
	}
	e.Stdout, e.Stderr = view.Streams(os.Stdout, os.Stderr, e.formOf(e.colour()))
	return e
}

// colour returns what the configuration says of colour. What is wrong with it is told by the commands that need it:
// none may fail to take a run down for it.
func (e *Env) colour() string {
	s, _, err := e.app().Configuration(manifest.Limits{})
	if err != nil {
		return colourAuto
	}
	return s.Colour
}

// app returns the other packages, connected for this environment.
func (e *Env) app() *app.App {
	progress := e.newProgress(false)
	a := &app.App{World: e.World, Warn: e.warn, Reading: progress.Reading(e.Now), Progress: progress}
	if e.debug {
		a.Debug = e.say
	}
	return a
}

func setenv(name, value string) error {
	if value == "" {
		return os.Unsetenv(name)
	}
	return os.Setenv(name, value)
}

// listen catches the signals that ask a process to end. A signal that was ignored when we were
// started, as nohup ignores SIGHUP, stays ignored.
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
