package lifecycle_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskiam/taskiam/emulator"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/policy"
)

// endless returns what the run's account has in a policy without its end.
func (w *world) endless(email string, on grants.Edit) (out []policy.Binding) {
	w.t.Helper()
	doc, err := w.engine().Cloud.ReadPolicy(w.t.Context(), on.Resource)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, b := range doc.Account(email, "") {
		if !strings.Contains(b.Condition.Expression, "request.time < timestamp(") {
			out = append(out, b)
		}
	}
	return out
}

// A service that loses the conditions of a policy while a renewal writes it leaves no grant that never expires: what
// the grant was is put back, or it is taken away. What could not be, the error and the journal tell.
func TestRenewThatLosesConditions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		count int
		// refused is the number of the write from which on writes are refused; 0 is none.
		refused int
		left    bool // for good
		there   bool // the grant, at the end
	}{
		"once":                 {count: 1, there: true},
		"twice":                {count: 2},
		"whenever":             {},
		"and refuses the next": {count: 1, refused: 2, left: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				_, plan := w.up(byToken)
				const secretPath = "secrets/api-key"
				var edit grants.Edit
				for _, e := range plan.Edits {
					if strings.Contains(e.Resource.Full(), secretPath) {
						edit = e
					}
				}
				faults := []emulator.Fault{{Name: "lossy", Method: "*.setIamPolicy", Resource: secretPath, Do: emulator.FaultLossy, Count: c.count}}
				if c.refused > 0 {
					faults = append(faults, emulator.Fault{
						Name: "refused", Method: "*.setIamPolicy", Resource: secretPath, Do: emulator.FaultAnswer, Code: 403, Nth: c.refused,
					})
				}
				for _, f := range faults {
					if _, err := w.server.AddFault(f); err != nil {
						t.Fatal(err)
					}
				}
				renewal, err := w.engine().Renew(t.Context(), plan.Run, lifecycle.RenewOptions{TTL: 3 * time.Hour})
				if err == nil || renewal != nil {
					t.Fatalf("it was renewed: %v", err)
				}
				if whole := c.there && !c.left; whole == fault.Is(err, fault.Incomplete) || strings.Contains(err.Error(), "somebody has removed") {
					t.Errorf("the error is %s: %v", fault.KindOf(err), err)
				}
				run, readErr := w.engine().Journals.Read(plan.Run)
				if readErr != nil {
					t.Fatal(readErr)
				}
				endless := w.endless(plan.Email, edit)
				if (len(endless) > 0) != c.left || (len(run.Endless()) > 0) != c.left {
					t.Errorf("there is %+v, and the journal has %+v", endless, run.Endless())
				}
				doc, readErr := w.engine().Cloud.ReadPolicy(t.Context(), edit.Resource)
				if readErr != nil {
					t.Fatal(readErr)
				}
				if doc.Has(edit.Bindings[0]) != c.there && !c.left {
					t.Errorf("after %v there is %+v", err, doc.Bindings())
				}
				for _, f := range faults {
					w.server.RemoveFault(f.Name)
				}
				if c.left {
					// Whoever tries again is told of it, and not that it was taken away.
					_, err := w.engine().Renew(t.Context(), plan.Run, lifecycle.RenewOptions{TTL: 3 * time.Hour})
					if !fault.Is(err, fault.Incomplete) || !strings.Contains(err.Error(), "in another form") {
						t.Errorf("renewing again: %v", err)
					}
				}
				if _, err := w.engine().Down(t.Context(), plan.Run, 0); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}
