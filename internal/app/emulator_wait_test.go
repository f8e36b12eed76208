package app

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/lifecycle"
)

// Whoever looks for an emulator is told after a moment what is waited for and for how long at most, once, and when that
// is over. Of a wait that is short nothing is told.
func TestFindTellsWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var told []lifecycle.Event
		home := EmulatorHome{Dir: t.TempDir(), now: time.Now, tell: func(ev lifecycle.Event) { told = append(told, ev) }}
		begun := time.Now()
		if _, err := home.Find(t.Context(), 5*time.Second); !fault.Is(err, fault.Unavailable) {
			t.Errorf("no emulator is found as %v", err)
		}
		if len(told) != 2 || told[0].State != lifecycle.Waiting || told[1].State != lifecycle.Failed {
			t.Fatalf("it tells %+v", told)
		}
		if w := told[0].Wait; w.For != "an emulator to start" || !w.Until.Equal(begun.Add(5*time.Second)) {
			t.Errorf("it waits for %+v, begun at %s", w, begun)
		}
		if at := told[0].Time.Sub(begun); at != waitNotice {
			t.Errorf("it tells after %s", at)
		}
		told = nil
		if _, err := home.Find(t.Context(), waitNotice/2); err == nil || len(told) > 0 {
			t.Errorf("of a short wait it tells %+v, %v", told, err)
		}
	})
}
