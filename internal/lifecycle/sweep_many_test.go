package lifecycle_test

import (
	"bytes"
	"crypto/rsa"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/emulator"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/policy"
)

// manyOn are the policies that all of the runs are bound on.
var manyOn = []struct{ name, role string }{
	{"projects/acme-agents/secrets/api-key", "roles/secretmanager.secretAccessor"},
	{"gs://acme-reports", "roles/storage.objectViewer"},
	{"bq://acme-data.sales", "roles/bigquery.dataViewer"},
}

// manyRuns makes the accounts of n runs whose journals are elsewhere, all bound on the same
// policies, and deletes every tenth of them by hand. It returns their emails.
func (w *world) manyRuns(n int) []string {
	w.t.Helper()
	until := time.Now().Add(time.Hour)
	var accounts []grants.Account
	var mu sync.Mutex
	var wg sync.WaitGroup
	runs := make([]grants.RunID, n)
	for i := range n {
		runs[i] = grants.NewRunID(time.Now(), [5]byte{byte(i), byte(i >> 8)})
		wg.Go(func() {
			mark := grants.Mark{Version: grants.MarkVersion, Task: "many", Run: runs[i], Expires: until}
			a, err := w.engine().Cloud.CreateAccount(w.t.Context(), hosting, grants.AccountID("many", runs[i]), "", mark.String())
			if err != nil {
				w.t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			accounts = append(accounts, a)
		})
	}
	wg.Wait()
	for _, on := range manyOn {
		doc, err := w.engine().Cloud.ReadPolicy(w.t.Context(), parse(w.t, on.name))
		if err != nil {
			w.t.Fatal(err)
		}
		for _, a := range accounts {
			run, _ := grants.RunOf(a.Email, hosting)
			doc.Add(policy.Binding{Role: on.role, Member: a.Member(), Condition: policy.Condition{
				Title: grants.ConditionTitle(run), Expression: policy.UntilExpression(until),
			}})
		}
		if _, err := w.engine().Cloud.WritePolicy(w.t.Context(), parse(w.t, on.name), doc); err != nil {
			w.t.Fatal(err)
		}
	}
	var emails []string
	for i, a := range accounts {
		emails = append(emails, a.Email)
		if i%10 == 9 {
			w.remove(a.Email)
		}
	}
	return emails
}

// roomyWorld is a world whose project has room for many accounts.
func roomyWorld(t *testing.T) *world {
	t.Helper()
	acme, err := os.ReadFile("../../emulator/seed/acme.toml")
	if err != nil {
		t.Fatal(err)
	}
	seed := bytes.Replace(acme, []byte("id     = \"acme-agents\"\n"), []byte("id     = \"acme-agents\"\naccount_quota = 1000\n"), 1)
	server, err := emulator.New(emulator.Config{Seed: seed, NewKey: func() (*rsa.PrivateKey, error) { return testKey(), nil }})
	if err != nil {
		t.Fatal(err)
	}
	w := worldOn(t, server)
	w.before = w.snapshot()
	return w
}

// isPolicyWrite reports whether a call writes the policy of a resource.
func isPolicyWrite(r *http.Request) bool {
	return strings.HasSuffix(r.URL.Path, ":setIamPolicy") || r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/iam") ||
		r.Method == http.MethodPatch && strings.Contains(r.URL.Path, "/datasets/")
}

// However many runs are swept, each policy is edited once for the accounts and once for the deleted
// ones, is read a bounded number of times, and is searched for once.
func TestSweepOfManyRunsEditsEachPolicyOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := roomyWorld(t)
		w.bind(manyOn[0].name, "user:mara@acme.example", policy.Condition{Title: "night", Expression: `request.time.getHours("UTC") < 6`})
		w.before = w.snapshot()
		_, own := w.up(byKey) // one has its journal here
		emails := append(w.manyRuns(200), own.Email)
		time.Sleep(longAfter)

		var mu sync.Mutex
		writes, reads, searches := map[string]int{}, map[string]int{}, 0
		w.wire.step(func(_ int, r *http.Request) (*http.Response, error) {
			mu.Lock()
			defer mu.Unlock()
			policyRead := strings.HasSuffix(r.URL.Path, ":getIamPolicy") || strings.HasSuffix(r.URL.Path, "/iam") ||
				strings.Contains(r.URL.Path, "/datasets/")
			switch {
			case isPolicyWrite(r):
				writes[r.URL.Path]++
			case policyRead:
				reads[r.URL.Path]++
			case strings.HasSuffix(r.URL.Path, ":searchAllIamPolicies"):
				searches++
			}
			return nil, nil
		}, nil)
		want := map[string]lifecycle.SweptState{}
		for _, email := range emails {
			want[email] = lifecycle.SweptGone
		}
		w.swept(sweepOptions(), want)
		w.wire.step(nil, nil)
		w.asBefore()
		if len(writes) < len(manyOn) {
			t.Errorf("only these policies were written: %v", writes)
		}
		for name, n := range writes {
			if n > 2 {
				t.Errorf("%s was written %d times", name, n)
			}
		}
		for name, n := range reads {
			if n > 6 {
				t.Errorf("%s was read %d times", name, n)
			}
		}
		if searches != 1 {
			t.Errorf("%d searches", searches)
		}
		run, err := w.engine().Journals.Read(own.Run)
		if err != nil || run.State() != journal.Ended || len(run.Left()) != 0 {
			t.Errorf("the journal: %v, %v", run.State(), err)
		}
		for _, b := range run.Bindings {
			if b.Effect != journal.Undone {
				t.Errorf("by the journal %s on %s is %q", b.Binding.Role, b.Resource, b.Effect)
			}
		}
	})
}

// What fails is told for the runs that it concerns, and the rest goes on.
func TestSweepOfManyRunsTellsWhoseAFailureIs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := roomyWorld(t)
		emails := w.manyRuns(9) // none of which is deleted by hand
		const publisher = `
version = 1
[task]
name    = "elsewhere"
project = "acme-agents"
ttl     = "1h"
[[grant]]
role      = "roles/pubsub.publisher"
resource  = "projects/acme-agents/topics/reports"
unbounded = "accept"
`
		_, plan := w.up(publisher)
		_, again := w.up(publisher)
		short, kept := w.up(byShort)
		time.Sleep(longAfter)
		live, err := w.engine().Cloud.Account(t.Context(), hosting, kept.Email)
		if err != nil {
			t.Fatal(err)
		}
		bound := false
		// One policy cannot be written, and one account of another run cannot be deleted.
		w.wire.step(func(_ int, r *http.Request) (*http.Response, error) {
			if isPolicyWrite(r) && strings.Contains(r.URL.Path, "acme-reports") ||
				r.Method == http.MethodDelete && strings.Contains(r.URL.Path, live.UniqueID) {
				return answer(r, 403, `{"error":{"code":403,"status":"PERMISSION_DENIED","message":"no"}}`), nil
			}
			return nil, nil
		}, func(_ int, r *http.Request, got *http.Response) (*http.Response, error) {
			// Somebody binds one of the two publishers again, after both were taken out.
			if isPolicyWrite(r) && strings.Contains(r.URL.Path, "/topics/") && !bound {
				bound = true
				w.bindAs("projects/acme-agents/topics/reports", "roles/pubsub.publisher", "serviceAccount:"+again.Email, policy.Condition{})
			}
			return got, nil
		})
		result, err := w.engine().Sweep(t.Context(), sweepOptions())
		if !fault.Is(err, fault.Incomplete) {
			t.Errorf("sweep: %v", err)
		}
		for _, r := range result.Projects[0].Runs {
			left := r.Down.Run.Left()
			var want []string
			switch r.Email {
			case plan.Email:
			case again.Email:
				want = []string{"bindings of " + r.Email + " on projects/acme-agents/topics/reports"}
			case kept.Email:
				// Its key cannot either; it is there, so that the refusal is not the one of a key that is gone.
				want = []string{"the account " + r.Email + ", disabled",
					"key " + short.Run.Keys[0].ID + " of " + r.Email}
			default:
				want = []string{
					"bindings of " + r.Email + " on gs://acme-reports",
					"the account " + r.Email + ", disabled, which is kept until the bindings above are removed",
				}
			}
			if diff := cmp.Diff(want, left); diff != "" {
				t.Errorf("left of %s (-want +got):\n%s", r.Email, diff)
			}
			if (r.State == lifecycle.SweptLeft) != (want != nil) || (r.Err != nil) != (want != nil) {
				t.Errorf("%s is %q, %v", r.Email, r.State, r.Err)
			}
		}
		w.wire.step(nil, nil)
		want := map[string]lifecycle.SweptState{kept.Email: lifecycle.SweptGone, again.Email: lifecycle.SweptGone}
		for _, email := range emails {
			want[email] = lifecycle.SweptGone
		}
		w.swept(sweepOptions(), want)
		w.asBefore()
	})
}

// A sweep tells of each of its steps that have many parts when it begins, how many are done, one after the other, and
// when it ends.
func TestSweepTellsHowFarItIs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := roomyWorld(t)
		w.manyRuns(50)
		time.Sleep(longAfter)
		e := w.engine()
		var mu sync.Mutex
		told := map[string][]lifecycle.Event{}
		e.Progress = func(event lifecycle.Event) {
			mu.Lock()
			defer mu.Unlock()
			told[event.Step] = append(told[event.Step], event)
		}
		if _, err := e.Sweep(t.Context(), sweepOptions()); err != nil {
			t.Fatal(err)
		}
		for _, step := range []string{"disable accounts of acme-agents", "delete accounts", "check accounts"} {
			if !countsUp(told[step], 40) {
				t.Errorf("%q is not told part by part: %+v", step, told[step])
			}
		}
	})
}

// countsUp reports whether each round of a step begins, counts its parts and ends, and whether one has so many.
func countsUp(events []lifecycle.Event, parts int) bool {
	all, next, most := 0, 0, 0
	for _, event := range events {
		switch {
		case event.State == lifecycle.Started && next == 0:
			all, next = 0, 1
		case event.State == lifecycle.Working && event.Done == next && (all == 0 || event.All == all):
			all = event.All
			next++
		case event.State == lifecycle.Done && (next == all || all == 0 && next == 1):
			most, next = max(most, all), 0
		default:
			return false
		}
	}
	return next == 0 && most >= parts
}

// Of one run that is taken down, its own steps tell.
func TestDownOfOneRunCountsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := roomyWorld(t)
		w.manyRuns(1)
		time.Sleep(longAfter)
		e := w.engine()
		var counted atomic.Bool
		e.Progress = func(event lifecycle.Event) {
			if event.State == lifecycle.Working {
				counted.Store(true)
			}
		}
		if _, err := e.Sweep(t.Context(), sweepOptions()); err != nil {
			t.Fatal(err)
		}
		if counted.Load() {
			t.Error("the parts of a single run are counted")
		}
	})
}
