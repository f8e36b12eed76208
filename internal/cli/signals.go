package cli

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
)

// errInterrupted is why a command's context ends on a signal.
var errInterrupted = errors.New("interrupted")

// oneEvent is how long signals count as one. Several come of one event: timeout signals the process
// and then its group, npm passes on what the terminal has sent to both, and when a terminal
// closes, the system and the shell send one each.
const oneEvent = time.Second

// interrupts decides what a signal does. By default the first signal cancels the command,
// which then undoes what it has begun, and the second one, if it is no part of the same event,
// ends the process at once.
// A command that needs the signals for something else takes them with [interrupts.handle].
type interrupts struct {
	env    *Env
	cancel context.CancelCauseFunc
	// abandoned is closed when the process is to end at once.
	abandoned chan struct{}

	mu      sync.Mutex
	handler func(os.Signal)
	count   int                // of events
	event   time.Time          // when the last one began
	passed  map[os.Signal]bool // what the handler had of it
	// first says what the first signal leads to. code is what the process ends with at the
	// second one, and hints are the commands that then finish the work.
	first string
	code  exitCode
	hints []string
}

func newInterrupts(e *Env, cancel context.CancelCauseFunc) *interrupts {
	return &interrupts{env: e, cancel: cancel, abandoned: make(chan struct{}), first: "stopping", code: exitFailure}
}

// watch begins to listen, and returns how to stop.
func (i *interrupts) watch() (stop func()) {
	if i.env.Signals == nil {
		return func() {}
	}
	signals, stopSignals := i.env.Signals()
	done := make(chan struct{})
	go func() {
		for {
			select {
			case s := <-signals:
				i.take(s)
			case <-done:
				return
			}
		}
	}()
	return func() {
		stopSignals()
		close(done)
	}
}

func (i *interrupts) take(s os.Signal) {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := i.env.Now()
	again := i.count > 0 && now.Sub(i.event) < oneEvent
	if !again {
		i.count++
		i.event, i.passed = now, map[os.Signal]bool{}
	}
	switch {
	case i.handler != nil:
		if !i.passed[s] {
			i.passed[s] = true
			i.handler(s)
		}
	case again:
	case i.count == 1:
		i.env.say("%s: %s; send the signal again to stop at once", s, i.first)
		i.cancel(errInterrupted)
	case i.count == 2:
		close(i.abandoned)
	}
}

// handle gives signals to h, which must not block, until release is called. Of one event it gets each
// signal once. All that h took count as one event: the next one after release ends the process.
func (i *interrupts) handle(h func(os.Signal)) (release func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.handler = h
	return func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.handler, i.count = nil, min(i.count, 1)
	}
}

// pass gives signals to a command, until release is called.
func (i *interrupts) pass() (signals <-chan os.Signal, release func()) {
	passed := make(chan os.Signal, 8)
	return passed, i.handle(func(s os.Signal) {
		select {
		case passed <- s:
		default: // CMD has many signals waiting already
		}
	})
}

// leaving sets what the first signal leads to from now on, the code with which the second one
// ends the process, and the commands that finish the work then.
func (i *interrupts) leaving(code exitCode, first string, hints ...string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.first, i.code, i.hints = first, code, hints
}

// abandonment returns the error of a command that was abandoned.
func (i *interrupts) abandonment() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return &exitError{i.code, fault.WithHint(errors.New("interrupted twice: the work is not finished"), i.hints...)}
}
