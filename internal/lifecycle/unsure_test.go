package lifecycle_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/internal/fault"
)

// A machine whose clock is a day ahead sweeps nothing away that is not over, and one whose
// clock is a day behind sweeps what is.
func TestSweepByTheCloudsClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, nil)
		plan := m.upNow(byKey)
		before := string(m.snapshot())
		other := m.elsewhere()
		other.ahead = 25 * time.Hour
		if err := other.sweep(); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(before, string(m.snapshot())); diff != "" {
			t.Errorf("a run that is not over was touched:\n%s", diff)
		}
		other.ahead = -25 * time.Hour
		m.lose(plan)
		if err := other.sweep(); err != nil {
			t.Error(err)
		}
		if left := other.changed(); left != nil {
			t.Errorf("a run that is over was left:\n%s", strings.Join(left, "\n"))
		}
	})
}

// Where an account was deleted by hand and the search cannot know all that names it yet,
// it is said that something may.
func TestDeletedAccountMayBeNamedElsewhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, plan := w.up(byKey)
		w.remove(plan.Email)
		receipt, err := w.elsewhere().engine().DownAccount(t.Context(), hosting, plan.Email, nil)
		if !fault.Is(err, fault.Incomplete) || receipt == nil || !strings.Contains(strings.Join(receipt.Run.Left(), "\n"), "perhaps bindings of "+plan.Email+", which is deleted") {
			t.Errorf("down: %v, left %+v", err, receipt)
		}
	})
}

// The token of a run that is shorter than a token's life ends with the run.
func TestTokenEndsWithAShortRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		result, plan := w.up(strings.Replace(byToken, `"2h"`, `"40m"`, 1))
		if d := w.safe.get(result.Dir); d.Token.Value.IsZero() || d.Token.Expires.After(plan.Expires) {
			t.Errorf("the token ends at %s, and the run at %s", d.Token.Expires, plan.Expires)
		}
	})
}
