package lifecycle_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/taskiam/taskiam/internal/journal"
)

// forge ends a run in its journal alone.
func (w *world) forge(plan journal.Opened) {
	w.t.Helper()
	j, err := w.engine().Journals.Open(w.t.Context(), plan.Run, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	defer j.Close()
	err = j.Append(journal.AccountDisabled{}, journal.DownBegan{}, journal.AccountDeleted{},
		journal.Removed{Path: plan.DeliveryDir}, journal.Closed{Checks: []journal.Check{{What: "check account is gone", OK: true}}})
	if err != nil {
		w.t.Fatal(err)
	}
	if state := j.Run().State(); state != journal.Ended {
		w.t.Fatalf("the forged journal is %q", state)
	}
}

// TestDownOfAClosedRunAsksTheCloud: the journal alone is not enough to say that a run is down.
func TestDownOfAClosedRunAsksTheCloud(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	result, plan := w.up(byKey)
	w.forge(result.Run.Opened)
	down, err := w.engine().Down(t.Context(), plan.Run, 0)
	if err != nil || down.Already {
		t.Errorf("down: %+v, %v", down, err)
	}
	w.asBefore()
	if again, err := w.engine().Down(t.Context(), plan.Run, 0); err != nil || !again.Already {
		t.Errorf("a second down: %+v, %v", again, err)
	}
}

// TestDownFromWhatIsKnown: the journal was forged, is gone, or is another run's; what is known is enough.
func TestDownFromWhatIsKnown(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(t *testing.T, w *world, o journal.Opened){
		"as it was": func(*testing.T, *world, journal.Opened) {},
		"forged":    func(_ *testing.T, w *world, o journal.Opened) { w.forge(o) },
		"of another manifest": func(_ *testing.T, w *world, o journal.Opened) {
			w.tamper(o.Run, func(b []byte) []byte {
				return bytes.Replace(b, []byte(`"/tasks/task.toml"`), []byte(`"/tasks/other.toml"`), 1)
			})
		},
		"gone": func(t *testing.T, w *world, o journal.Opened) {
			if err := os.Remove(w.engine().Journals.Where(o.Run)); err != nil {
				t.Fatal(err)
			}
		},
		"empty": func(t *testing.T, w *world, o journal.Opened) {
			if err := os.Truncate(w.journalFile(o.Run), 0); err != nil {
				t.Fatal(err)
			}
		},
		"in a folder that was moved": func(t *testing.T, w *world, _ journal.Opened) {
			if err := os.Rename(filepath.Join(w.state, "runs"), filepath.Join(w.state, "elsewhere")); err != nil {
				t.Fatal(err)
			}
		},
		"in a folder that is a file now": func(t *testing.T, w *world, _ journal.Opened) {
			runs := filepath.Join(w.state, "runs")
			if err := errors.Join(os.RemoveAll(runs), os.WriteFile(runs, nil, 0o600)); err != nil {
				t.Fatal(err)
			}
		},
		"read-only": func(t *testing.T, w *world, o journal.Opened) {
			if os.Geteuid() == 0 {
				t.Skip("root writes to what is read-only")
			}
			if err := errors.Join(os.Chmod(w.journalFile(o.Run), 0o400), os.Chmod(filepath.Join(w.state, "runs"), 0o500)); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Chmod(filepath.Join(w.state, "runs"), 0o700) })
		},
		"without its locks": func(t *testing.T, w *world, _ journal.Opened) {
			locks := filepath.Join(w.state, "locks")
			if err := errors.Join(os.RemoveAll(locks), os.WriteFile(locks, nil, 0o600)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			result, _ := w.up(byKey)
			harm(t, w, result.Run.Opened)
			down, err := w.engine().DownFrom(t.Context(), result.Run, 0)
			if down == nil || down.Already || len(down.Run.Left()) > 0 || (err == nil) != (name == "forged" || name == "as it was") {
				t.Errorf("down: %+v, %v", down, err)
			}
			did := map[string]bool{}
			for _, s := range down.Run.Steps {
				if step := s.What + " " + s.On; did[step] {
					t.Errorf("it is told of twice: %s", step)
				} else {
					did[step] = true
				}
			}
			w.asBefore()
		})
	}
}
