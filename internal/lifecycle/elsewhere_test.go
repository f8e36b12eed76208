package lifecycle_test

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskiam/taskiam/emulator"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/policy"
)

// byHand is a policy that no run of byShort touches, and that somebody edits by hand.
const byHand = "gs://acme-reports"

// handBound brings up a run and binds its account by hand where its journal knows nothing of it.
func (w *world) handBound() (email string, down func() (*lifecycle.Teardown, error)) {
	_, plan := w.up(byShort)
	w.bindAs(byHand, "roles/storage.objectViewer", "serviceAccount:"+plan.Email, policy.Condition{})
	return plan.Email, func() (*lifecycle.Teardown, error) { return w.engine().Down(w.t.Context(), plan.Run, 0) }
}

func TestDownTakesWhatWasBoundByHandElsewhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.bindAs(byHand, "roles/storage.objectViewer", "user:mara@acme.example", policy.Condition{})
		w.before = w.snapshot()
		_, plan := w.up(byShort)
		w.bindAs(byHand, "roles/storage.objectViewer", "serviceAccount:"+plan.Email, policy.Condition{})
		e := w.engine()
		var mu sync.Mutex
		var warned []string
		e.Progress = func(event lifecycle.Event) {
			mu.Lock()
			defer mu.Unlock()
			if event.State == lifecycle.Warned {
				warned = append(warned, event.Step)
			}
		}
		down, err := e.Down(t.Context(), plan.Run, 0)
		if err != nil {
			t.Fatal(err)
		}
		w.asBefore()
		if text := strings.Join(warned, "\n"); !strings.Contains(text, plan.Email) || !strings.Contains(text, byHand) ||
			!strings.Contains(text, "roles/storage.objectViewer") {
			t.Errorf("it is not named in %q", warned)
		}
		run, err := w.engine().Journals.Read(plan.Run)
		if err != nil {
			t.Fatal(err)
		}
		taken := slices.ContainsFunc(run.Bindings, func(b journal.RunBinding) bool {
			return b.Resource == parse(t, byHand).Full() && b.Effect == journal.Undone
		})
		checked := slices.ContainsFunc(down.Run.Receipt.Checks, func(c journal.Check) bool { return c.OK && c.What == "check policy "+byHand })
		if !taken || !checked {
			t.Errorf("taken by the journal: %t, checked: %t", taken, checked)
		}
	})
}

// Where nothing can be searched, whatever the reason, a teardown is what it was: the receipt says so, and
// it waits for no longer than it has to.
func TestDownThatCannotSearchIsNoError(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]emulator.Fault{
		"refused":           {Do: emulator.FaultAnswer, Code: 403},
		"unavailable":       {Do: emulator.FaultAnswer, Code: 503},
		"throttled":         {Do: emulator.FaultAnswer, Code: 429},
		"without an answer": {Do: emulator.FaultHang},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				_, plan := w.up(byShort)
				f.Method = "cloudasset.searchAllIamPolicies"
				if _, err := w.server.AddFault(f); err != nil {
					t.Fatal(err)
				}
				begun := time.Now()
				down, err := w.engine().Down(t.Context(), plan.Run, 0)
				if err != nil {
					t.Fatal(err)
				}
				w.asBefore()
				if took := time.Since(begun); took > 15*time.Second {
					t.Errorf("it took %s", took)
				}
				if !slices.ContainsFunc(down.Run.Receipt.Checks, func(c journal.Check) bool { return strings.HasPrefix(c.What, lifecycle.NotSearched) }) {
					t.Errorf("the receipt does not say that nothing was searched: %+v", down.Run.Receipt.Checks)
				}
			})
		})
	}
}

// What is found and may not be changed is named, with the line for somebody who may, and keeps the account.
func TestDownNamesWhatItMayNotTake(t *testing.T) {
	t.Parallel()
	for name, refuse := range map[string]func(*http.Request) bool{
		"the write": func(r *http.Request) bool { return r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/iam") },
		"the read":  func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/iam") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				email, down := w.handBound()
				w.wire.step(func(_ int, r *http.Request) (*http.Response, error) {
					if refuse(r) {
						return answer(r, 403, `{"error":{"code":403,"status":"PERMISSION_DENIED","message":"no"}}`), nil
					}
					return nil, nil
				}, nil)
				ended, err := down()
				if !fault.Is(err, fault.Incomplete) {
					t.Fatalf("down: %v", err)
				}
				hints := strings.Join(fault.Hints(err), "\n")
				line := "gcloud storage buckets remove-iam-policy-binding gs://acme-reports --member=serviceAccount:" + email +
					" --role=roles/storage.objectViewer --condition=None"
				if !strings.Contains(hints, line) {
					t.Errorf("the hints have no %s:\n%s", line, hints)
				}
				if left := strings.Join(ended.Run.Left(), "\n"); !strings.Contains(left, "bindings of "+email+" on "+byHand) ||
					!strings.Contains(left, "the account "+email+", disabled") {
					t.Errorf("left: %s", left)
				}
				// The search has forgotten it by then: the index is no proof.
				w.wire.step(noSearch, nil)
				if name == "the read" {
					w.wire.step(nil, nil)
				}
				if _, err := down(); err != nil {
					t.Fatal(err)
				}
				w.asBefore()
			})
		})
	}
}

// A resource of a type that taskiam does not know is named as the search names it.
func TestDownNamesWhatItCannotEdit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, plan := w.up(byShort)
		const strange = "//strange.googleapis.com/projects/acme-agents/things/one"
		w.wire.step(func(_ int, r *http.Request) (*http.Response, error) {
			if strings.HasSuffix(r.URL.Path, ":searchAllIamPolicies") {
				return answer(r, 200, `{"results":[
					{"resource":"`+strange+`","policy":{"bindings":[{"role":"roles/strange.user","members":["serviceAccount:`+plan.Email+`"]}]}},
					{"resource":"//strange.googleapis.com/projects/acme-agents/things/two","policy":{"bindings":[{"role":"r","members":["serviceAccount:other-`+plan.Email+`"]}]}}]}`), nil
			}
			return nil, nil
		}, nil)
		ended, err := w.engine().Down(t.Context(), plan.Run, 0)
		if !fault.Is(err, fault.Incomplete) {
			t.Fatalf("down: %v", err)
		}
		left := strings.Join(ended.Run.Left(), "\n")
		if !strings.Contains(left, strange) || !strings.Contains(left, "roles/strange.user") || strings.Contains(left, "things/two") {
			t.Errorf("left: %s", left)
		}
		if hints := strings.Join(fault.Hints(err), "\n"); !strings.Contains(hints, strange) {
			t.Errorf("hints: %s", hints)
		}
		w.wire.step(nil, nil)
		if _, err := w.engine().Down(t.Context(), plan.Run, 0); err != nil {
			t.Fatal(err)
		}
		w.asBefore()
	})
}

// The search goes on beside the teardown: where it finds nothing, down takes no longer with it than without.
func TestSearchIsBesideTheTeardown(t *testing.T) {
	t.Parallel()
	took := func(t *testing.T, before func(int, *http.Request) (*http.Response, error)) (d time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			_, plan := w.up(byShort)
			w.wire.step(func(n int, r *http.Request) (*http.Response, error) {
				if got, err := before(n, r); got != nil || err != nil {
					return got, err
				}
				time.Sleep(time.Second) // a round trip, in the bubble
				return nil, nil
			}, nil)
			begun := time.Now()
			if _, err := w.engine().Down(t.Context(), plan.Run, 0); err != nil {
				t.Fatal(err)
			}
			d = time.Since(begun)
		})
		return d
	}
	with := took(t, func(int, *http.Request) (*http.Response, error) { return nil, nil })
	without := took(t, noSearch)
	if with > without+time.Second {
		t.Errorf("down takes %s with the search and %s without", with, without)
	}
}
