package cli

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
)

func testInterrupts(t *testing.T) (*interrupts, context.Context, func() string) {
	t.Helper()
	e, _, stderr := testEnv(nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	t.Cleanup(func() { cancel(nil) })
	e.interrupts = newInterrupts(e, cancel)
	return e.interrupts, ctx, stderr.String
}

// later lets time pass for the signals.
func later(i *interrupts, d time.Duration) {
	now := i.env.Now().Add(d)
	i.env.Now = func() time.Time { return now }
}

func abandoned(i *interrupts) bool {
	select {
	case <-i.abandoned:
		return true
	default:
		return false
	}
}

func TestTheFirstSignalCancelsAndTheSecondAbandons(t *testing.T) {
	t.Parallel()
	i, ctx, said := testInterrupts(t)
	i.leaving(exitIncomplete, "undoing", "taskiam down r")
	i.take(syscall.SIGTERM)
	if !errors.Is(context.Cause(ctx), errInterrupted) || abandoned(i) {
		t.Fatalf("after one signal: cause %v, abandoned %v", context.Cause(ctx), abandoned(i))
	}
	if !strings.Contains(said(), "terminated: undoing; send the signal again") {
		t.Errorf("said %q", said())
	}
	later(i, oneEvent)
	i.take(syscall.SIGINT)
	if !abandoned(i) {
		t.Fatal("two signals do not abandon")
	}
	later(i, oneEvent)
	i.take(syscall.SIGINT) // a third one must not close the channel again
	err := i.abandonment()
	if codeOf(err) != exitIncomplete || strings.Join(fault.Hints(err), "") != "taskiam down r" {
		t.Errorf("abandoned with %d, hints %q", codeOf(err), fault.Hints(err))
	}
}

func TestSignalsOfTheChildCountOnce(t *testing.T) {
	t.Parallel()
	i, ctx, _ := testInterrupts(t)
	var got []os.Signal
	release := i.handle(func(s os.Signal) { got = append(got, s) })
	for range 3 {
		i.take(syscall.SIGINT)
		later(i, oneEvent)
	}
	release()
	if len(got) != 3 || ctx.Err() != nil || abandoned(i) {
		t.Fatalf("the child got %v; cancelled %v, abandoned %v", got, ctx.Err(), abandoned(i))
	}
	i.take(syscall.SIGINT)
	if !abandoned(i) {
		t.Error("the signal after the child's does not abandon the teardown")
	}
}

func TestWithoutSignalsToTheChildTheTeardownHasBoth(t *testing.T) {
	t.Parallel()
	i, _, _ := testInterrupts(t)
	i.handle(func(os.Signal) {})()
	i.take(syscall.SIGTERM)
	if abandoned(i) {
		t.Error("the first signal abandons the teardown")
	}
	later(i, oneEvent)
	i.take(syscall.SIGTERM)
	if !abandoned(i) {
		t.Error("the second signal does not")
	}
}

func TestSignalsOfOneEventCountOnce(t *testing.T) {
	t.Parallel()
	i, ctx, _ := testInterrupts(t)
	i.take(syscall.SIGTERM) // timeout signals the process
	later(i, oneEvent/2)
	i.take(syscall.SIGTERM) // and then its group
	i.take(syscall.SIGHUP)
	if ctx.Err() == nil || abandoned(i) {
		t.Fatalf("cancelled %v, abandoned %v", ctx.Err(), abandoned(i))
	}
	// The first one began the event: repeats do not make it longer.
	later(i, oneEvent/2)
	i.take(syscall.SIGTERM)
	if !abandoned(i) {
		t.Error("a signal after the event does not abandon")
	}
}

// A command that dies of the first signal of an event leaves the second one to its teardown. And
// some end at once, half-way, if they are told twice.
func TestSignalsOfOneEventReachTheChildOnce(t *testing.T) {
	t.Parallel()
	i, _, _ := testInterrupts(t)
	var got []os.Signal
	release := i.handle(func(s os.Signal) { got = append(got, s) })
	for _, s := range []os.Signal{syscall.SIGHUP, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGTERM} {
		i.take(s)
	}
	if !slices.Equal(got, []os.Signal{syscall.SIGHUP, syscall.SIGTERM}) {
		t.Errorf("the child got %v", got)
	}
	release()
	i.take(syscall.SIGTERM)
	if abandoned(i) {
		t.Error("the last signal of the event abandons the teardown")
	}
	later(i, oneEvent)
	i.take(syscall.SIGTERM)
	if !abandoned(i) {
		t.Error("the next event does not abandon the teardown")
	}
}
