package cli

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

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
	i.take(syscall.SIGINT)
	if !abandoned(i) {
		t.Fatal("two signals do not abandon")
	}
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
	i.take(syscall.SIGTERM)
	if !abandoned(i) {
		t.Error("the second signal does not")
	}
}
