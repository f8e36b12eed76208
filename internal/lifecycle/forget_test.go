package lifecycle_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/wait"
)

// TestForgetAsksNoCloud gives a run up without a cloud. What cannot be taken away on this machine keeps it from that;
// and a later teardown, should the cloud be there after all, takes all of it away.
func TestForgetAsksNoCloud(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, plan := w.up(byKey)
		e := w.engine()
		here := &lifecycle.Engine{Credentials: e.Credentials, Journals: e.Journals, Stop: e.Stop, EndUser: e.EndUser, Now: e.Now}
		before := string(w.snapshot())

		j, err := e.Journals.Open(t.Context(), plan.Run, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(j.Append(journal.ProcessStarted{PID: 7, Start: "s"}), j.Close()); err != nil {
			t.Fatal(err)
		}
		here.Stop = func(context.Context, int, string) error { return errors.New("it does not end") }
		if _, err := here.Forget(t.Context(), plan.Run, 0); !fault.Is(err, fault.Incomplete) {
			t.Errorf("a process stays, and the run is forgotten: %v", err)
		}
		if run, err := e.Journals.Read(plan.Run); err != nil || !run.Live() {
			t.Errorf("a process stays, and nobody is told: %v, %v", run.State(), err)
		}
		here.Stop = func(context.Context, int, string) error { return nil }
		for _, already := range []bool{false, true} {
			got, err := here.Forget(t.Context(), plan.Run, 0)
			if err != nil || got.Already != already || got.Run.State() != journal.GivenUp || got.Run.Live() {
				t.Fatalf("forgotten: %+v, %v", got, err)
			}
			if len(got.Run.Left()) < 3 || len(lifecycle.ByHand(got.Run)) < 3 {
				t.Errorf("what is left is not said: %q, %q", got.Run.Left(), lifecycle.ByHand(got.Run))
			}
		}
		if after := string(w.snapshot()); after != before {
			t.Error("the cloud was changed")
		}
		runs, _, err := e.Journals.Select(journal.Summary.Live)
		if err != nil || len(runs) > 0 {
			t.Errorf("runs to take down: %v, %v", runs, err)
		}

		down, err := e.Down(t.Context(), plan.Run, 0)
		if err != nil || down.Run.State() != journal.Ended || len(down.Run.Left()) > 0 {
			t.Errorf("down after all: %v", err)
		}
		w.asBefore()
	})
}

// TestWhatARunLeaves says each thing that may stand, and nothing that was taken away.
func TestWhatARunLeaves(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	bound := journal.Binding{Role: "roles/pubsub.publisher", Member: "serviceAccount:e"}
	on := "//pubsub.googleapis.com/projects/acme-agents/topics/reports"
	run := journal.NewRun(journal.Opened{Email: "e"}, at)
	if err := run.Add(at, journal.AccountCreated{UniqueID: "1"}, journal.KeyIntended{},
		journal.BindIntended{Resource: on, Binding: bound}); err != nil {
		t.Fatal(err)
	}
	want := []string{"the account e (unique id 1)", "perhaps a key of e",
		"perhaps roles/pubsub.publisher on projects/acme-agents/topics/reports, which does not expire"}
	if got := lifecycle.Leaves(run); !slices.Equal(got, want) {
		t.Errorf("it leaves %q", got)
	}
	if err := run.Add(at, journal.AccountDeleted{}, journal.KeyDeleted{KeyID: "k"},
		journal.Unbound{Resource: on, Binding: bound}); err != nil {
		t.Fatal(err)
	}
	if got := lifecycle.Leaves(run); len(got) > 0 {
		t.Errorf("all is gone, and it leaves %q", got)
	}
}

// busy is a store whose journals another process has open.
type busy struct{ journal.Store }

func (busy) Open(ctx context.Context, run grants.RunID, within time.Duration) (journal.Journal, error) {
	if err := wait.For(ctx, within); err != nil {
		return nil, err
	}
	return nil, fault.New(fault.Locked, "another process works on run %s", run)
}

// Whoever waits for another process that is at work on the run is told so, and for how long at most; and not, at the
// end, that the wait was successful if it was not.
func TestWhoWaitsForAJournalIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const within = 5 * time.Second
		run := grants.NewRunID(time.Now(), [5]byte{1})
		for name, do := range map[string]func(*lifecycle.Engine) error{
			"down": func(e *lifecycle.Engine) error {
				_, err := e.Down(t.Context(), run, within)
				return err
			},
			"renew": func(e *lifecycle.Engine) error {
				_, err := e.Renew(t.Context(), run, lifecycle.RenewOptions{TTL: 3 * time.Hour, Wait: within})
				return err
			},
			"down --forget": func(e *lifecycle.Engine) error {
				_, err := e.Forget(t.Context(), run, within)
				return err
			},
		} {
			var told []lifecycle.Event
			e := newWorld(t).engine()
			e.Journals = busy{e.Journals}
			e.Progress = func(ev lifecycle.Event) { told = append(told, ev) }
			began := time.Now()
			if err := do(e); !fault.Is(err, fault.Locked) {
				t.Errorf("%s: %v", name, err)
			}
			switch {
			case len(told) != 2 || told[0].State != lifecycle.Waiting || told[1].State != lifecycle.Failed:
				t.Errorf("%s tells of %+v", name, told)
			case told[0].Wait.For != "another taskiam that is working on the run" || !told[0].Wait.Until.Equal(began.Add(within)):
				t.Errorf("%s waits for %+v, begun at %s", name, told[0].Wait, began)
			}
		}
	})
}
