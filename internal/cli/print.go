package cli

import (
	"fmt"

	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/supervise"
	"github.com/taskiam/taskiam/internal/view"
)

// say writes one message to standard error.
func (e *Env) say(format string, args ...any) { view.Say(e.Stderr, format, args...) }

// warn says something, however often a command comes to it, once.
func (e *Env) warn(format string, args ...any) {
	if _, again := e.warned.LoadOrStore(fmt.Sprintf(format, args...), true); !again {
		e.say(format, args...)
	}
}

// print writes a document to standard output, in the form that was asked for.
func (e *Env) print(d view.Document, asJSON bool) error { return view.Write(e.Stdout, d, asJSON) }

// viewRun returns the view of a run as it is now.
func (e *Env) viewRun(run *journal.Run) view.Run { return view.NewRun(run, e.Now(), supervise.Running) }

// newProgress returns a progress that speaks through e.
func (e *Env) newProgress(quiet bool) *view.Progress { return view.NewProgress(e.Stderr, quiet) }
