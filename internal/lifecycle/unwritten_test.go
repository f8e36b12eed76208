package lifecycle_test

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/resource"
)

// written counts, by path, the calls from here on that write a policy, whatever came of
// them.
func (w *world) written() func() []string {
	var mu sync.Mutex
	var paths []string
	w.wire.step(func(_ int, r *http.Request) (*http.Response, error) {
		if setsPolicy(r) && !strings.Contains(r.URL.Path, "/serviceAccounts/") {
			mu.Lock()
			defer mu.Unlock()
			paths = append(paths, r.Method+" "+r.URL.Path)
		}
		return nil, nil
	}, nil)
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(paths)
	}
}

// Where nothing is to be changed, nothing is written: no call of setIamPolicy, no PATCH,
// and so no etag that others would find changed.
func TestWhatDoesNotChangeIsNotWritten(t *testing.T) {
	t.Parallel()
	// byHand takes the run's bindings away, as somebody else might.
	byHand := func(w *world, plan grants.Plan) {
		for _, edit := range plan.Edits {
			doc, err := w.engine().Cloud.ReadPolicy(w.t.Context(), edit.Resource)
			if err != nil {
				w.t.Fatal(err)
			}
			if !doc.RemoveAccount(plan.Email, "") {
				w.t.Fatalf("%s does not name the run", edit.Resource)
			}
			if _, err := w.engine().Cloud.WritePolicy(w.t.Context(), edit.Resource, doc); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	for what, do := range map[string]func(*world, grants.Plan) error{
		"down of what somebody took away by hand": func(w *world, plan grants.Plan) error {
			_, err := w.engine().Down(w.t.Context(), plan.Run, 0)
			return err
		},
		"down by the account alone of what somebody took away by hand": func(w *world, plan grants.Plan) error {
			var names []resource.Name
			for _, edit := range plan.Edits {
				names = append(names, edit.Resource)
			}
			_, err := w.engine().DownAccount(w.t.Context(), plan.Task.Project, plan.Email, names)
			return err
		},
		"down for the second time": func(w *world, plan grants.Plan) error {
			for range 2 {
				if _, err := w.engine().Down(w.t.Context(), plan.Run, 0); err != nil {
					return err
				}
			}
			return nil
		},
		"plan": func(w *world, plan grants.Plan) error {
			_, err := w.engine().Preview(w.t.Context(), plan)
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				_, plan := w.up(byKey)
				byHand(w, plan)
				writes := w.written()
				if err := do(w, plan); err != nil {
					t.Fatal(err)
				}
				if got := writes(); len(got) > 0 {
					t.Errorf("written: %q", got)
				}
			})
		})
	}
}

// A write whose answer got lost is not made again: the next look finds it done.
func TestLostAnswersAreNotWrittenAgain(t *testing.T) {
	t.Parallel()
	for what, do := range map[string]func(*world, grants.Plan) error{
		"down": func(w *world, plan grants.Plan) error {
			_, err := w.engine().Down(w.t.Context(), plan.Run, 0)
			return err
		},
		"renew": func(w *world, plan grants.Plan) error {
			_, err := w.engine().Renew(w.t.Context(), plan.Run, lifecycle.RenewOptions{TTL: 3 * time.Hour, MaxTTL: 4 * time.Hour})
			return err
		},
		"up": nil,
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				var writes func() map[string]int
				if do == nil {
					writes = w.loseAnswers()
				}
				_, plan := w.up(byKey)
				if do != nil {
					writes = w.loseAnswers()
					if err := do(w, plan); err != nil {
						t.Fatal(err)
					}
				}
				got := writes()
				want := len(plan.Edits)
				if what == "renew" { // of a topic there is no end to move
					want--
				}
				if len(got) < want {
					t.Errorf("written were %v, want %d policies", got, want)
				}
				for path, n := range got {
					if n != 1 {
						t.Errorf("%s was written %d times", path, n)
					}
				}
				w.wire.step(nil, nil)
				if what != "down" {
					if _, err := w.engine().Down(t.Context(), plan.Run, 0); err != nil {
						t.Fatal(err)
					}
				}
				w.asBefore()
			})
		})
	}
}
