package lifecycle_test

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/lifecycle"
)

// A custom role that somebody has changed while the run was up is not given for longer.
func TestRenewLooksAtCustomRoles(t *testing.T) {
	t.Parallel()
	patch := func(body string) func(*world) {
		return func(w *world) { w.patchRole(theRole.Name, body) }
	}
	retire := func(w *world) {
		r, err := w.other().Role(w.t.Context(), theRole.Name)
		must(t, err)
		must(t, w.other().DeleteRole(w.t.Context(), r.Name, r.Etag))
	}
	widen := patch(`{"includedPermissions":["storage.objects.get","storage.objects.list","storage.objects.delete"]}`)
	for name, tt := range map[string]struct {
		meddle func(*world)
		// late has it happen once the role was looked at, while the policy is written.
		late bool
		says string // "" where the run is renewed
	}{
		"untouched":           {func(*world) {}, false, ""},
		"another title":       {patch(`{"title":"x"}`), false, ""},
		"widened":             {widen, false, "it holds storage.objects.delete in addition to what is declared"},
		"narrowed":            {patch(`{"includedPermissions":["storage.objects.get"]}`), false, "it lacks storage.objects.list"},
		"disabled":            {patch(`{"stage":"DISABLED"}`), false, "it is disabled"},
		"deleted":             {retire, false, "somebody has deleted the custom role"},
		"widened at the last": {widen, true, "it holds storage.objects.delete in addition to what is declared"},
		"deleted at the last": {retire, true, "somebody has deleted the custom role"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				_, plan := w.up(byPermissions)
				time.Sleep(10 * time.Minute)
				var met atomic.Bool
				if meddle := func() { met.Store(true); tt.meddle(w) }; tt.late {
					w.meddle("PUT", "/storage/v1/b/acme-reports/iam", 1, meddle)
				} else {
					meddle()
				}
				before := string(w.snapshot())
				renewal, err := w.engine().Renew(t.Context(), plan.Run, lifecycle.RenewOptions{TTL: 2 * time.Hour})
				w.wire.step(nil, nil)
				if !met.Load() {
					t.Errorf("nobody meddled")
				}
				if tt.says == "" {
					if err != nil || !renewal.Run.Expires().After(plan.Expires) {
						t.Errorf("renew: %+v, %v", renewal, err)
					}
				} else {
					if renewal != nil || !fault.Is(err, fault.Precondition) || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), theRole.Name) {
						t.Errorf("renew: %+v, %v, want %q", renewal, err, tt.says)
					}
					if hints := fault.Hints(err); !slices.Contains(hints, "taskiam down "+string(plan.Run)) {
						t.Errorf("the hints are %q", hints)
					}
					if run, err := w.engine().Journals.Read(plan.Run); err != nil || !run.Expires().Equal(plan.Expires) {
						t.Errorf("the run ends at %s, %v", run.Expires(), err)
					}
					if after := string(w.snapshot()); after != before {
						t.Errorf("something is not as it was:\n%s\n%s", before, after)
					}
				}
				_, err = w.engine().Down(t.Context(), plan.Run, 0)
				must(t, err)
				w.asBefore()
			})
		})
	}
}
