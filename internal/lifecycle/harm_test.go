package lifecycle_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskiam/taskiam/emulator"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
)

// hours is what a neighbour has on the secret that the tests' runs use.
var hours = policy.Binding{
	Role: "roles/secretmanager.secretAccessor", Member: "user:olivia@acme.example",
	Condition: policy.Condition{Title: "office hours", Expression: `request.time < timestamp("2039-01-01T00:00:00Z")`},
}

// neighbour binds hours on the secret, and returns the secret.
func (w *world) neighbour() resource.Name {
	w.t.Helper()
	secret, _, err := resource.Parse("projects/acme-agents/secrets/api-key")
	if err != nil {
		w.t.Fatal(err)
	}
	cloud := w.engine().Cloud
	doc, err := cloud.ReadPolicy(w.t.Context(), secret)
	if err != nil {
		w.t.Fatal(err)
	}
	doc.Add(hours)
	if _, err := cloud.WritePolicy(w.t.Context(), secret, doc); err != nil {
		w.t.Fatal(err)
	}
	return secret
}

// A service that drops a neighbour's condition while it stores what a flow writes is told of, by
// resource, role, member and condition; the condition is put back, or it is said that it is not.
func TestNeighboursConditionsDropped(t *testing.T) {
	t.Parallel()
	flows := map[string]func(w *world, lossy func()) error{
		"up": func(w *world, lossy func()) error {
			e := w.engine()
			plan := w.plan(e, byKey)
			lossy()
			_, err := e.Up(w.t.Context(), plan, w.options(plan))
			return err
		},
		"renew": func(w *world, lossy func()) error {
			_, plan := w.up(byKey)
			lossy()
			_, err := w.engine().Renew(w.t.Context(), plan.Run, lifecycle.RenewOptions{TTL: 3 * time.Hour})
			return err
		},
		"down": func(w *world, lossy func()) error {
			_, plan := w.up(byKey)
			lossy()
			down, err := w.engine().Down(w.t.Context(), plan.Run, 0)
			if down == nil || len(down.Run.Left()) > 0 {
				w.t.Errorf("something of the run is left: %v", err)
			}
			return err
		},
		"sweep": func(w *world, lossy func()) error {
			w.up(byKey)
			time.Sleep(longAfter)
			lossy()
			result, err := w.elsewhere().engine().Sweep(w.t.Context(), sweepOptions())
			if err == nil {
				return nil
			}
			for _, p := range result.Projects {
				for _, r := range p.Runs {
					if r.Err != nil {
						return r.Err
					}
				}
			}
			return err
		},
	}
	// How the service answers the write: with what it stores, with what it was sent, or not at all.
	answers := map[string]func(w *world){
		"shown":  func(*world) {},
		"hidden": (*world).hideDropped,
		"lost":   (*world).loseAnswer,
	}
	for name, flow := range flows {
		for c := range 2 * len(answers) {
			answer, good := slices.Sorted(maps.Keys(answers))[c/2], c%2 == 1
			t.Run(fmt.Sprintf("%s, %s, for good: %t", name, answer, good), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					secret := w.neighbour()
					err := flow(w, func() {
						f := emulator.Fault{Method: "*.setIamPolicy", Resource: "secrets/api-key", Do: emulator.FaultLossy, Spare: "taskiam"}
						if !good {
							f.Count = 1
						}
						if _, err := w.server.AddFault(f); err != nil {
							t.Fatal(err)
						}
						answers[answer](w)
					})
					want := map[bool]fault.Kind{false: fault.Precondition, true: fault.Incomplete}[good]
					if !fault.Is(err, want) {
						t.Errorf("the error is %s: %v", fault.KindOf(err), err)
					}
					for _, part := range []string{secret.String(), hours.Role, hours.Member, `"office hours"`} {
						if err == nil || !strings.Contains(err.Error(), part) {
							t.Errorf("%s is not named: %v", part, err)
						}
					}
					doc, readErr := w.engine().Cloud.ReadPolicy(t.Context(), secret)
					if readErr != nil {
						t.Fatal(readErr)
					}
					if doc.Has(hours) == good {
						t.Errorf("there is %+v", doc.Bindings())
					}
					if bare := (policy.Binding{Role: hours.Role, Member: hours.Member}); doc.Has(bare) != good {
						t.Errorf("the neighbour has %+v", doc.Bindings())
					}
				})
			})
		}
	}
}

// hideDropped has the answer to each write of the secret's policy show what was sent, and not what was stored.
func (w *world) hideDropped() {
	var mu sync.Mutex
	sent := map[*http.Request][]byte{}
	w.wire.step(func(_ int, r *http.Request) (*http.Response, error) {
		if setsSecret(r) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			mu.Lock()
			defer mu.Unlock()
			sent[r] = body
		}
		return nil, nil
	}, func(_ int, r *http.Request, answer *http.Response) (*http.Response, error) {
		if !setsSecret(r) || answer.StatusCode != http.StatusOK {
			return answer, nil
		}
		mu.Lock()
		defer mu.Unlock()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			return nil, err
		}
		shown := decode(w.t, sent[r])["policy"].(map[string]any)
		shown["etag"] = decode(w.t, body)["etag"]
		if body, err = json.Marshal(shown); err != nil {
			return nil, err
		}
		answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		return answer, nil
	})
}

func setsSecret(r *http.Request) bool {
	return strings.HasSuffix(r.URL.Path, "secrets/api-key:setIamPolicy")
}

// loseAnswer has the answer to the first write of the secret's policy be lost.
func (w *world) loseAnswer() {
	var lost atomic.Bool
	w.wire.step(nil, func(_ int, r *http.Request, answer *http.Response) (*http.Response, error) {
		if setsSecret(r) && lost.CompareAndSwap(false, true) {
			return nil, io.ErrUnexpectedEOF
		}
		return answer, nil
	})
}

// A run's own condition that the service dropped in a write whose answer was lost is not left beside the one that is
// written then.
func TestDroppedConditionOfALostAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		if _, err := w.server.AddFault(emulator.Fault{
			Method: "*.setIamPolicy", Resource: "secrets/api-key", Do: emulator.FaultLossy, Count: 1,
		}); err != nil {
			t.Fatal(err)
		}
		w.loseAnswer()
		_, plan := w.up(byKey)
		for _, edit := range plan.Edits {
			if strings.Contains(edit.Resource.Full(), "secrets/api-key") {
				if there := w.endless(plan.Email, edit); len(there) > 0 {
					t.Errorf("there is %+v", there)
				}
			}
		}
		if _, err := w.engine().Down(t.Context(), plan.Run, 0); err != nil {
			t.Error(err)
		}
		w.asBefore()
	})
}

// Every write of a policy goes one way, on which all that was stored is compared.
func TestPoliciesAreWrittenInOnePlace(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var writes []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for range strings.Count(string(text), "WritePolicy(") {
			if !strings.HasSuffix(file, "_test.go") {
				writes = append(writes, file)
			}
		}
	}
	if !slices.Equal(writes, []string{"edit.go"}) {
		t.Errorf("policies are written in %v, and not in attempt.put alone", writes)
	}
}

// A neighbour who writes the policy between our write and whatever is read later is not taken for a
// fault of the service, and what he wrote stays.
func TestNeighbourWritesBehindOurWrite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		secret := w.neighbour()
		e := w.engine()
		plan := w.plan(e, byKey)
		change := func() {
			cloud := w.engine().Cloud
			doc, err := cloud.ReadPolicy(t.Context(), secret)
			if err != nil {
				t.Error(err)
				return
			}
			if doc.Remove(hours) {
				if _, err := cloud.WritePolicy(t.Context(), secret, doc); err != nil {
					t.Error(err)
				}
			}
		}
		if _, err := w.server.AddFault(emulator.Fault{Method: "*.getIamPolicy", Resource: "secrets/api-key", Do: emulator.FaultDelay,
			For: emulator.Delay{Min: 3 * time.Second}, Nth: 2}); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, change)
		if _, err := e.Up(t.Context(), plan, w.options(plan)); err != nil {
			t.Fatal(err)
		}
		change() // if it has not been yet
		if _, err := w.engine().Down(t.Context(), plan.Run, 0); err != nil {
			t.Fatal(err)
		}
		if doc, err := w.engine().Cloud.ReadPolicy(t.Context(), secret); err != nil || doc.Has(hours) {
			t.Errorf("what a neighbour took away is there again: %v", err)
		}
	})
}

// deletedBefore has an account deleted just before the nth write of the secret's policy, which was read by then.
func (w *world) deletedBefore(nth int64, email string) {
	cloud := w.engine().Cloud
	var writes atomic.Int64
	w.wire.step(func(_ int, r *http.Request) (*http.Response, error) {
		if setsSecret(r) && writes.Add(1) == nth {
			return nil, cloud.DeleteAccount(w.t.Context(), "acme-agents", email)
		}
		return nil, nil
	}, nil)
}

// What a service dropped is put back also if a neighbour deletes the run's account before that is written.
func TestPutBackBesideADeletedAccount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		secret := w.neighbour()
		e := w.engine()
		plan := w.plan(e, byKey)
		if _, err := w.server.AddFault(emulator.Fault{
			Method: "*.setIamPolicy", Resource: "secrets/api-key", Do: emulator.FaultLossy, Spare: "taskiam", Count: 1,
		}); err != nil {
			t.Fatal(err)
		}
		w.deletedBefore(2, plan.Email)
		if _, err := e.Up(t.Context(), plan, w.options(plan)); err == nil {
			t.Error("up of a run whose account was deleted says nothing")
		}
		if doc, err := e.Cloud.ReadPolicy(t.Context(), secret); err != nil || !doc.Has(hours) {
			t.Errorf("the neighbour's condition is not put back: %+v, %v", doc.Bindings(), err)
		}
	})
}

// A member of somebody else's that is deleted between the read and the write of a policy is in nobody's way.
func TestNeighbourDeletedBeforeOurWrite(t *testing.T) {
	t.Parallel()
	for name, flow := range map[string]func(w *world, deleted func()) error{
		"up": func(w *world, deleted func()) error {
			e := w.engine()
			plan := w.plan(e, byKey)
			deleted()
			_, err := e.Up(w.t.Context(), plan, w.options(plan))
			return err
		},
		"renew": func(w *world, deleted func()) error {
			_, plan := w.up(byKey)
			deleted()
			_, err := w.engine().Renew(w.t.Context(), plan.Run, lifecycle.RenewOptions{TTL: 3 * time.Hour})
			return err
		},
		"down": func(w *world, deleted func()) error {
			_, plan := w.up(byKey)
			deleted()
			_, err := w.engine().Down(w.t.Context(), plan.Run, 0)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				email := "ci-runner@acme-agents.iam.gserviceaccount.com"
				if err := flow(w, func() { w.deletedBefore(1, email) }); err != nil {
					t.Error(err)
				}
				_, err := w.engine().Cloud.Account(t.Context(), "acme-agents", email)
				if !fault.Is(err, fault.NotFound) {
					t.Errorf("the neighbour was not deleted meanwhile: %v", err)
				}
			})
		})
	}
}
