package lifecycle_test

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/lifecycle"
)

// While a change spreads, one server knows of it and the next one not yet: a grant is proved by several answers in a
// row, never by one.
func TestOneAnswerProvesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var asked atomic.Int32
		w.wire.step(func(_ int, r *http.Request) (*http.Response, error) {
			if strings.HasSuffix(r.URL.Path, "secrets/api-key:testIamPermissions") && asked.Add(1)%3 == 2 && asked.Load() < 10 {
				return answer(r, http.StatusOK, "{}"), nil
			}
			return nil, nil
		}, nil)
		result, _ := w.up(byShort)
		if state := result.Run.Grants[0]; state.State != journal.Proved || asked.Load() < 12 {
			t.Errorf("the grant is %+v, after %d answers", state, asked.Load())
		}
	})
}

// Of several lengths that keys may have the longest is the one that is told.
func TestTheLongestKeyIsTold(t *testing.T) {
	t.Parallel()
	w := sickWorld(t, agents, `constraints = ["iam.serviceAccountKeyExpiryHours=1h"]`)
	w.wire.step(func(_ int, r *http.Request) (*http.Response, error) {
		if r.Host == "orgpolicy.googleapis.com" {
			return answer(r, http.StatusOK, `{"spec":{"rules":[{"values":{"allowedValues":["90m","1h"]}}]}}`), nil
		}
		return nil, nil
	}, nil)
	e := w.engine()
	plan := w.plan(e, fmt.Sprintf(looksKey, `"key"`))
	_, err := e.Up(t.Context(), plan, w.options(plan))
	const want = "keys may be valid for 1h30m here, and not for 2h: "
	if !slices.ContainsFunc(fault.Hints(err), func(h string) bool { return strings.HasPrefix(h, want) }) {
		t.Errorf("the hints of %v are %q", err, fault.Hints(err))
	}
}

// What a teardown finds beyond its journal is its account's own: a deleted account of the same name is another one.
func TestDownLeavesTheTombstoneOfAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, plan := w.up(byShort)
		stranger := "deleted:serviceAccount:" + plan.Email + "?uid=100000000000000000009"
		var looked atomic.Bool
		w.wire.step(func(_ int, r *http.Request) (*http.Response, error) {
			switch {
			case strings.HasSuffix(r.URL.Path, ":searchAllIamPolicies"):
				return answer(r, http.StatusOK, `{"results":[{"resource":"`+parse(t, byHand).Full()+`","policy":{"bindings":[{`+
					`"role":"roles/storage.objectViewer","members":["`+stranger+`"]}]}}]}`), nil
			case strings.Contains(r.URL.Path, "/b/acme-reports"):
				looked.Store(true)
			}
			return nil, nil
		}, nil)
		if _, err := w.engine().Down(t.Context(), plan.Run, 0); err != nil {
			t.Fatal(err)
		}
		if looked.Load() {
			t.Error("the policy that names somebody else alone is looked at")
		}
	})
}

// A sweep leaves the journals of other clouds alone, whose projects may have the same name.
func TestSweepLeavesJournalsOfOtherClouds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		result, plan := w.up(byShort)
		if _, err := w.engine().Down(t.Context(), plan.Run, 0); err != nil {
			t.Fatal(err)
		}
		endpoint := result.Run.Opened.Endpoint
		// As if it had been up on the other cloud, whose account has no counterpart here.
		w.tamper(plan.Run, func(b []byte) []byte {
			first, _, _ := bytes.Cut(b, []byte("\n"))
			return append(bytes.ReplaceAll(first, []byte(`"endpoint":"`+endpoint+`"`), []byte(`"endpoint":"other.example:1"`)), '\n')
		})
		time.Sleep(longAfter)
		before := w.files()
		w.swept(sweepOptions(), map[string]lifecycle.SweptState{})
		if diff := cmp.Diff(before, w.files()); diff != "" {
			t.Errorf("its journal has changed:\n%s", diff)
		}
	})
}

// What is left of an account says whether it can be used.
func TestWhatIsLeftSaysThatItIsDisabled(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	run := journal.NewRun(journal.Opened{Email: "e"}, at)
	if err := run.Add(at, journal.AccountCreated{UniqueID: "1"}, journal.AccountDisabled{}); err != nil {
		t.Fatal(err)
	}
	if got, want := lifecycle.Leaves(run), []string{"the account e (unique id 1), disabled"}; !slices.Equal(got, want) {
		t.Errorf("it leaves %q, want %q", got, want)
	}
}

// A sweep names what the search knows and taskiam does not: a deleted account may be bound there.
func TestSweepNamesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, plan := w.up(byShort)
		if _, err := w.engine().Down(t.Context(), plan.Run, 0); err != nil {
			t.Fatal(err)
		}
		const unknown = "//odd.googleapis.com/projects/acme-agents/things/x"
		w.wire.step(func(_ int, r *http.Request) (*http.Response, error) {
			if strings.HasSuffix(r.URL.Path, ":searchAllIamPolicies") {
				return answer(r, http.StatusOK, `{"results":[{"resource":"`+unknown+`","policy":{"bindings":[{"role":"roles/viewer",`+
					`"members":["deleted:serviceAccount:`+plan.Email+`?uid=100000000000000000009"]}]}}]}`), nil
			}
			return nil, nil
		}, nil)
		swept, err := w.engine().Sweep(t.Context(), sweepOptions())
		if err != nil {
			t.Fatal(err)
		}
		if got := swept.Projects[0].Unread; !slices.Equal(got, []string{unknown}) {
			t.Errorf("it names %q", got)
		}
	})
}

// Of a sweep of several projects the exit code says that something is left, whatever else was refused before.
func TestSweepSaysFirstThatSomethingIsLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.up(byShort)
		time.Sleep(longAfter)
		other := w.elsewhere()
		w.wire.step(noSearch, nil)
		o := sweepOptions()
		o.Projects = append([]string{"acme-agnets"}, o.Projects...)
		if _, err := other.sweep(o); !fault.Is(err, fault.Incomplete) {
			t.Errorf("the first error is of kind %s: %v", fault.KindOf(err), err)
		}
	})
}
