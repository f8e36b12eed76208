package lifecycle_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/journal/journaltest"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
)

const byKey = `
version = 1
[task]
name    = "nightly-report"
project = "acme-agents"
ttl     = "2h"
[[grant]]
role     = "roles/storage.objectViewer"
resource = "gs://acme-reports/2026/"
[[grant]]
role     = "roles/secretmanager.secretAccessor"
resource = "projects/acme-agents/secrets/api-key"
[[grant]]
role      = "roles/pubsub.publisher"
resource  = "projects/acme-agents/topics/reports"
unbounded = "accept"
[[grant]]
role     = "roles/bigquery.dataViewer"
resource = "bq://acme-data.sales"
[credentials]
deliver = "key"
`

var byToken = strings.Replace(byKey, `deliver = "key"`, `deliver = "token"`, 1)

func TestUpThenDownLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, source := range map[string]string{"key": byKey, "token": byToken} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			result, plan := w.up(source)
			want := []journal.Readiness{journal.NotProvable, journal.Proved, journal.Proved, journal.NotProvable}
			for i, g := range result.Grants {
				if g.State != want[i] {
					t.Errorf("grant %d is %q (%s), want %q", i, g.State, g.Why, want[i])
				}
			}
			if got := result.Run.State(); got != journal.Running {
				t.Errorf("the run is %q", got)
			}
			delivery := w.safe.get(result.Dir)
			if delivery.Key.IsZero() == delivery.Token.Value.IsZero() {
				t.Error("want a key or a token delivered, and not both")
			}
			if bytes.Equal(w.before, w.snapshot()) {
				t.Error("up changed nothing")
			}

			receipt, err := w.engine().Down(t.Context(), plan.Run, 0)
			if err != nil {
				t.Fatal(err)
			}
			if receipt.Already || len(receipt.Run.Left()) != 0 || len(receipt.Run.Steps) == 0 {
				t.Errorf("the receipt is %+v", receipt)
			}
			w.asBefore()

			again, err := w.engine().Down(t.Context(), plan.Run, 0)
			if err != nil || !again.Already {
				t.Errorf("a second down: %+v, %v", again, err)
			}
		})
	}
}

// Down kills first, and deletes last: deleted earlier, the account would stay in every
// policy as a deleted: member.
func TestDownGoesInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, plan := w.up(byKey)
	var order []string
	turn := make(chan struct{}, 1)
	w.wire.step(nil, func(_ int, r *http.Request, answer *http.Response) (*http.Response, error) {
		turn <- struct{}{}
		defer func() { <-turn }()
		switch {
		case strings.HasSuffix(r.URL.Path, ":disable"):
			order = append(order, "disable")
		case setsPolicy(r):
			order = append(order, "unbind")
		case r.Method == http.MethodDelete && strings.Contains(r.URL.Path, "/keys/"):
			order = append(order, "delete key")
		case r.Method == http.MethodDelete:
			order = append(order, "delete account")
		}
		return answer, nil
	})
	if _, err := w.engine().Down(t.Context(), plan.Run, 0); err != nil {
		t.Fatal(err)
	}
	if len(order) != 7 || order[0] != "disable" || order[6] != "delete account" {
		t.Errorf("the writes came in the order %q", order)
	}
}

// The user who exists for a run alone ends with it, before anything else is taken away. A run whose
// user does not end is not down.
func TestUserOfARunEndsWithIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.engine()
	plan := w.plan(e, byKey)
	o := w.options(plan)
	o.OwnUser = journal.OwnUser{UID: 60600, Claim: "ours"}
	if _, err := e.Up(t.Context(), plan, o); err != nil {
		t.Fatal(err)
	}
	deaf := errors.New("it is deaf")
	for _, outcome := range []error{deaf, nil} {
		e := w.engine()
		ended := journal.OwnUser{}
		e.EndUser = func(_ context.Context, uid int, claim string) error {
			ended = journal.OwnUser{UID: uid, Claim: claim}
			if outcome != nil && w.safe.count() != 1 {
				t.Error("the delivery was taken from a user who is still there")
			}
			return outcome
		}
		down, err := e.Down(t.Context(), plan.Run, 0)
		if ended != o.OwnUser || !errors.Is(err, outcome) || (outcome == nil) != (len(down.Run.Left()) == 0) {
			t.Errorf("%+v was ended; left is %q, %v", ended, down.Run.Left(), err)
		}
	}
	w.asBefore()
}

// What is bound on a policy that cannot be written any more is left, and said to be;
// the account stays disabled until it is gone.
func TestAccountOutlastsItsBindings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, plan := w.up(byKey)
	w.wire.step(func(_ int, r *http.Request) (*http.Response, error) {
		if setsPolicy(r) && strings.Contains(r.URL.Path, "api-key") {
			return answer(r, 403, `{"error":{"code":403,"status":"PERMISSION_DENIED","message":"no"}}`), nil
		}
		return nil, nil
	}, nil)
	e := w.engine()
	receipt, err := e.Down(t.Context(), plan.Run, 0)
	if !fault.Is(err, fault.Incomplete) {
		t.Fatalf("down: %v", err)
	}
	if !slices.ContainsFunc(receipt.Run.Left(), func(s string) bool { return strings.Contains(s, "api-key") }) {
		t.Errorf("left is %q", receipt.Run.Left())
	}
	if account, err := e.Cloud.Account(t.Context(), "acme-agents", plan.Email); err != nil || !account.Disabled {
		t.Errorf("the account is %+v, %v", account, err)
	}
	w.wire.step(nil, nil)
	if _, err := w.engine().Down(t.Context(), plan.Run, 0); err != nil {
		t.Fatal(err)
	}
	w.asBefore()
}

// What cannot be done is refused before anything is written, and all of it at once.
func TestLastingRefusalsComeBeforeAnyWrite(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.engine()
	plan := w.plan(e, `
version = 1
[task]
name    = "hopeless"
project = "acme-agents"
[[grant]]
role     = "roles/storage.objectViewer"
resource = "gs://no-such-bucket-anywhere"
[[grant]]
role     = "roles/secretmanager.noSuchRole"
resource = "projects/acme-agents/secrets/api-key"
[[grant]]
role     = "roles/pubsub.publisher"
resource = "projects/acme-agents/secrets/db-password"
`)
	w.wire.step(func(_ int, r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodPut || r.Method == http.MethodPatch || r.Method == http.MethodDelete ||
			strings.HasSuffix(r.URL.Path, ":setIamPolicy") || strings.HasSuffix(r.URL.Path, "/serviceAccounts") {
			t.Errorf("a write was called: %s %s", r.Method, r.URL)
		}
		return nil, nil
	}, nil)
	_, err := e.Up(t.Context(), plan, w.options(plan))
	if err == nil {
		t.Fatal("up worked")
	}
	for _, want := range []string{"no-such-bucket-anywhere", "noSuchRole", "roles/pubsub.publisher"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %s: %v", want, err)
		}
	}
	if _, err := os.Stat(w.journalFile(plan.Run)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a journal: %v", err)
	}
	w.asBefore()
}

// setsPolicy reports whether a request writes a policy or an access list.
func setsPolicy(r *http.Request) bool {
	return strings.HasSuffix(r.URL.Path, ":setIamPolicy") ||
		r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/iam") ||
		r.Method == http.MethodPatch
}

// body reads a request's body and puts it back.
func body(t *testing.T, r *http.Request) []byte {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Error(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(b))
	return b
}

// A service that drops conditions must not be believed: what was to end by itself
// would not.
func TestDroppedConditionIsUndone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.engine()
	plan := w.plan(e, byKey)
	w.wire.step(func(_ int, r *http.Request) (*http.Response, error) {
		if !setsPolicy(r) || !strings.Contains(r.URL.Path, "api-key") {
			return nil, nil
		}
		m := decode(t, body(t, r))
		for _, b := range m["policy"].(map[string]any)["bindings"].([]any) {
			delete(b.(map[string]any), "condition")
		}
		b, err := json.Marshal(m)
		if err != nil {
			t.Error(err)
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
		return nil, nil
	}, nil)
	_, err := e.Up(t.Context(), plan, w.options(plan))
	if !fault.Is(err, fault.Precondition) || !strings.Contains(err.Error(), "dropped") {
		t.Errorf("up: %v", err)
	}
	w.asBefore()
}

// A neighbour who writes the policy between our read and our write is neither
// overwritten nor in the way.
func TestConflictIsReadAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.engine()
		plan := w.plan(e, byKey)
		refused := map[string]bool{}
		w.wire.step(locked(func(_ int, r *http.Request) (*http.Response, error) {
			if !setsPolicy(r) || refused[r.URL.Path] {
				return nil, nil
			}
			refused[r.URL.Path] = true
			return conflict(r), nil
		}), nil)
		if _, err := e.Up(t.Context(), plan, w.options(plan)); err != nil {
			t.Fatal(err)
		}
		if len(refused) != 4 {
			t.Errorf("conflicts were met on %d policies, want 4", len(refused))
		}
		clear(refused)
		if _, err := w.engine().Down(t.Context(), plan.Run, 0); err != nil {
			t.Fatal(err)
		}
		w.asBefore()
	})
}

// locked lets one call in at a time; runs write their policies side by side.
func locked(f func(int, *http.Request) (*http.Response, error)) func(int, *http.Request) (*http.Response, error) {
	turn := make(chan struct{}, 1)
	return func(n int, r *http.Request) (*http.Response, error) {
		turn <- struct{}{}
		defer func() { <-turn }()
		return f(n, r)
	}
}

// conflict answers as Google does to a stale etag.
func conflict(r *http.Request) *http.Response {
	code, text := http.StatusConflict, `{"error":{"code":409,"status":"ABORTED","message":"There were concurrent policy changes."}}`
	if r.Method != http.MethodPost {
		code, text = http.StatusPreconditionFailed, `{"error":{"code":412,"message":"x","errors":[{"reason":"conditionNotMet"}]}}`
	}
	return answer(r, code, text)
}

func answer(r *http.Request, code int, text string) *http.Response {
	return &http.Response{
		StatusCode: code, Status: http.StatusText(code), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(text)), ContentLength: int64(len(text)),
	}
}

// A new account is seen late by others: that is waited for.
func TestAccountThatIsNotVisibleYet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.engine()
		plan := w.plan(e, byToken)
		begun := time.Now()
		w.wire.step(func(_ int, r *http.Request) (*http.Response, error) {
			switch late := time.Since(begun) < time.Minute; {
			case late && setsPolicy(r):
				return answer(r, 400, `{"error":{"code":400,"status":"INVALID_ARGUMENT","message":"Service account does not exist."}}`), nil
			case late && strings.HasSuffix(r.URL.Path, ":generateAccessToken"):
				return answer(r, 404, `{"error":{"code":404,"status":"NOT_FOUND","message":"Not found."}}`), nil
			}
			return nil, nil
		}, nil)
		var waits []lifecycle.Event
		turn := make(chan struct{}, 1)
		e.Progress = func(ev lifecycle.Event) {
			turn <- struct{}{}
			defer func() { <-turn }()
			if ev.State == lifecycle.Waiting {
				waits = append(waits, ev)
			}
		}
		if _, err := e.Up(t.Context(), plan, w.options(plan)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took < time.Minute || took > 2*time.Minute {
			t.Errorf("up took %s of virtual time", took)
		}
		if !slices.ContainsFunc(waits, func(ev lifecycle.Event) bool { return ev.Step == "bind" && ev.Err != nil }) {
			t.Error("nobody was told what is waited for")
		}
		if _, err := w.engine().Down(t.Context(), plan.Run, 0); err != nil {
			t.Fatal(err)
		}
		w.asBefore()
	})
}

// Access that is not usable in time is named, and the run stays up.
func TestNotReadyInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.engine()
		plan := w.plan(e, byKey)
		w.wire.step(func(_ int, r *http.Request) (*http.Response, error) {
			if strings.HasSuffix(r.URL.Path, "secrets/api-key:testIamPermissions") {
				return answer(r, 200, `{}`), nil
			}
			return nil, nil
		}, nil)
		result, err := e.Up(t.Context(), plan, w.options(plan))
		if !fault.Is(err, fault.NotReady) || result == nil || !strings.Contains(err.Error(), "secretAccessor") {
			t.Fatalf("up: %v, %v", result, err)
		}
		if got := result.Grants[1].State; got != journal.NotReady {
			t.Errorf("the grant is %q", got)
		}
		if got := result.Run.State(); got != journal.RunningNotReady {
			t.Errorf("the run is %q", got)
		}
		w.wire.step(nil, nil)
		if _, err := w.engine().Down(t.Context(), plan.Run, 0); err != nil {
			t.Fatal(err)
		}
		w.asBefore()
	})
}

// Whatever call is the last one that a process gets through, down finishes the job.
func TestCutOffAfterEveryCall(t *testing.T) {
	t.Parallel()
	for name, source := range map[string]string{"key": byKey, "token": byToken} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for n := 0; ; n++ {
				var upErr error
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					e := w.engine()
					plan := w.plan(e, source)
					w.wire.step(func(at int, _ *http.Request) (*http.Response, error) {
						if at > n {
							return nil, errors.New("the network is gone")
						}
						return nil, nil
					}, nil)
					_, upErr = e.Up(t.Context(), plan, w.options(plan))
					w.wire.step(nil, nil)
					_, err := w.engine().Down(t.Context(), plan.Run, 0)
					// Without a journal nothing was written.
					if err != nil && !fault.Is(err, fault.NotFound) {
						t.Errorf("down after %d calls: %v", n, err)
					}
					w.asBefore()
				})
				if t.Failed() {
					t.Fatalf("cut off after %d calls", n)
				}
				if upErr == nil {
					break // it got through with n calls
				}
			}
		})
	}
}

// The answer to any one call is lost after it was applied.
func TestEveryAnswerLostOnce(t *testing.T) {
	t.Parallel()
	lost := errors.New("the answer is lost")
	for n := 1; ; n++ {
		reached := false
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			e := w.engine()
			plan := w.plan(e, byKey)
			w.wire.step(nil, func(at int, _ *http.Request, answer *http.Response) (*http.Response, error) {
				if at == n {
					reached = true
					return nil, lost
				}
				return answer, nil
			})
			if _, err := e.Up(t.Context(), plan, w.options(plan)); err != nil {
				t.Fatalf("up without the answer to call %d: %v", n, err)
			}
			upCalls := w.wire.calls
			if _, err := w.engine().Down(t.Context(), plan.Run, 0); err != nil {
				t.Fatalf("down, the answer to call %d (of up's %d) lost: %v", n, upCalls, err)
			}
			w.asBefore()
		})
		if !reached || t.Failed() {
			return
		}
	}
}

// A journal is only a file. Whatever stands in it, down touches only its own run.
func TestTamperedJournalReachesNobodyElse(t *testing.T) {
	t.Parallel()
	const neighbour = "reporting@acme-data.iam.gserviceaccount.com"
	for name, change := range map[string]func(plan grants.Plan) func([]byte) []byte{
		"another email": func(plan grants.Plan) func([]byte) []byte {
			return func(b []byte) []byte { return bytes.ReplaceAll(b, []byte(plan.Email), []byte(neighbour)) }
		},
		"another project": func(grants.Plan) func([]byte) []byte {
			return func(b []byte) []byte {
				return bytes.ReplaceAll(b, []byte(`"project":"acme-agents"`), []byte(`"project":"acme-data"`))
			}
		},
		"another cloud": func(grants.Plan) func([]byte) []byte {
			return func(b []byte) []byte {
				return bytes.ReplaceAll(b, []byte(`"cloud":"emulator"`), []byte(`"cloud":"google"`))
			}
		},
		"another endpoint": func(grants.Plan) func([]byte) []byte {
			return func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("emulator.test:80"), []byte("127.0.0.1:1")) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			_, plan := w.up(byKey)
			up := w.snapshot()
			original, err := os.ReadFile(w.journalFile(plan.Run))
			if err != nil {
				t.Fatal(err)
			}
			w.tamper(plan.Run, change(plan))
			w.wire.step(func(_ int, r *http.Request) (*http.Response, error) {
				if r.Method != http.MethodGet && !strings.HasSuffix(r.URL.Path, ":getIamPolicy") {
					t.Errorf("a write was called: %s %s", r.Method, r.URL)
				}
				return nil, nil
			}, nil)
			if _, err := w.engine().Down(t.Context(), plan.Run, 0); err == nil {
				t.Error("down followed the journal")
			}
			if !bytes.Equal(up, w.snapshot()) {
				t.Error("down changed something")
			}
			w.wire.step(nil, nil)
			w.tamper(plan.Run, func([]byte) []byte { return original })
			if _, err := w.engine().Down(t.Context(), plan.Run, 0); err != nil {
				t.Error(err)
			}
			w.asBefore()
		})
	}
}

// A neighbour's member in the journal's bindings is not taken out: only the run's
// own account is.
func TestTamperedMemberIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, plan := w.up(byKey)
	w.tamper(plan.Run, func(b []byte) []byte {
		return bytes.ReplaceAll(b, []byte(`"member":"serviceAccount:`+plan.Email), []byte(`"member":"user:olivia@acme.example`))
	})
	if _, err := w.engine().Down(t.Context(), plan.Run, 0); err != nil {
		t.Fatal(err)
	}
	w.asBefore()
}

// An account that was deleted and made again under the same name is somebody else's: it is never touched, with or
// without a copy of the mark, and what the run's own left goes all the same.
func TestAccountOfTheSameNameIsNotTouched(t *testing.T) {
	t.Parallel()
	const project = "acme-agents"
	byJournal := func(w *world, run *journal.Run) error {
		_, err := w.engine().Down(w.t.Context(), run.ID(), 0)
		return err
	}
	sweep := func(w *world, run *journal.Run) error {
		time.Sleep(3 * time.Hour) // it is over
		_, err := w.engine().Sweep(w.t.Context(), lifecycle.SweepOptions{Projects: []string{project}})
		return err
	}
	for name, c := range map[string]struct {
		copied bool // the mark
		end    func(w *world, run *journal.Run) error
		kind   fault.Kind // of the error; 0 for none
	}{
		"down":                  {end: byJournal},
		"down, and it is down":  {end: func(w *world, run *journal.Run) error { return errors.Join(byJournal(w, run), byJournal(w, run)) }},
		"sweep":                 {end: sweep},
		"down, with the mark":   {copied: true, end: byJournal, kind: fault.Incomplete}, // the journal proves nothing
		"sweep, with the mark":  {copied: true, end: sweep, kind: fault.Incomplete},
		"by memory":             {end: fromMemory},
		"by memory, and a mark": {copied: true, end: fromMemory},
		"by account, no journal": {end: func(w *world, run *journal.Run) error {
			if err := os.Remove(w.journalFile(run.ID())); err != nil {
				return err
			}
			time.Sleep(time.Hour) // until a search is believed
			_, err := w.engine().DownAccount(w.t.Context(), project, run.Opened.Email, nil)
			w.safe = &safe{}
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				result, plan := w.up(byKey)
				e := w.engine()
				ctx := t.Context()
				was, err := e.Cloud.Account(ctx, project, plan.Email)
				if err != nil {
					t.Fatal(err)
				}
				if err := e.Cloud.DeleteAccount(ctx, project, plan.Email); err != nil {
					t.Fatal(err)
				}
				description := "made by hand"
				if c.copied {
					description = was.Description
				}
				other, err := e.Cloud.CreateAccount(ctx, project, plan.AccountID, "somebody else's", description)
				if err != nil {
					t.Fatal(err)
				}
				secretName := plan.Edits[0].Resource
				theirs := policy.Binding{Role: "roles/viewer", Member: other.Member()}
				doc, err := e.Cloud.ReadPolicy(ctx, secretName)
				if err != nil {
					t.Fatal(err)
				}
				doc.Add(theirs)
				if _, err := e.Cloud.WritePolicy(ctx, secretName, doc); err != nil {
					t.Fatal(err)
				}
				err = c.end(w, result.Run)
				if (err == nil) != (c.kind == 0) || err != nil && !fault.Is(err, c.kind) {
					t.Errorf("the end of the run: %v", err)
				}
				live, err := e.Cloud.Account(ctx, project, plan.Email)
				if err != nil || live.UniqueID != other.UniqueID || live.Disabled {
					t.Errorf("the other account is %+v, %v", live, err)
				}
				if doc, err := e.Cloud.ReadPolicy(ctx, secretName); err != nil || !doc.Has(theirs) {
					t.Errorf("the other account's binding is gone: %v", err)
				}
				if c.kind == 0 && bytes.Contains(w.snapshot(), []byte("deleted:serviceAccount:"+plan.Email)) {
					t.Error("what the run's account left is there")
				}
			})
		})
	}
}

func fromMemory(w *world, run *journal.Run) error {
	_, err := w.engine().DownFrom(w.t.Context(), run, 0)
	return err
}

// An account that somebody deleted by hand leaves deleted: members; down clears them.
func TestTombstonesAreCleared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, plan := w.up(byKey)
		e := w.engine()
		if err := e.Cloud.DeleteAccount(t.Context(), "acme-agents", plan.Email); err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(w.snapshot(), []byte("deleted:serviceAccount:"+plan.Email)) {
			t.Fatal("the emulator makes no tombstones")
		}
		if _, err := e.Down(t.Context(), plan.Run, 0); err != nil {
			t.Fatal(err)
		}
		w.asBefore()
	})
}

// A unique id in the journal that is somebody else's does not reach their tombstone.
func TestForeignTombstonesStay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ctx := t.Context()
		e := w.engine()
		// A neighbour's account that was deleted before it was unbound.
		other, err := e.Cloud.CreateAccount(ctx, "acme-agents", "neighbour", "", "")
		if err != nil {
			t.Fatal(err)
		}
		secret, _, err := resource.Parse("projects/acme-agents/secrets/api-key")
		if err != nil {
			t.Fatal(err)
		}
		doc, err := e.Cloud.ReadPolicy(ctx, secret)
		if err != nil {
			t.Fatal(err)
		}
		doc.Add(policy.Binding{Role: "roles/secretmanager.viewer", Member: other.Member()})
		if _, err := e.Cloud.WritePolicy(ctx, secret, doc); err != nil {
			t.Fatal(err)
		}
		if err := e.Cloud.DeleteAccount(ctx, "acme-agents", other.Email); err != nil {
			t.Fatal(err)
		}
		w.before = w.snapshot()

		result, plan := w.up(byKey)
		if err := e.Cloud.DeleteAccount(ctx, "acme-agents", plan.Email); err != nil {
			t.Fatal(err)
		}
		ours := result.Run.Account.UniqueID
		w.tamper(plan.Run, func(b []byte) []byte { return bytes.ReplaceAll(b, []byte(ours), []byte(other.UniqueID)) })
		_, err = w.engine().Down(ctx, plan.Run, 0)
		if !bytes.Contains(w.snapshot(), []byte("deleted:serviceAccount:neighbour@")) {
			t.Errorf("down took a neighbour's tombstone away (%v)", err)
		}
	})
}

func TestReuseIsForTheSameManifestOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, plan := w.up(byKey)
	e := w.engine()
	other := func(change func(*grants.Task)) grants.Task {
		task := plan.Task
		change(&task)
		return task
	}
	for _, tt := range []struct {
		path, sum string
		task      grants.Task
		want      bool
	}{
		{"/tasks/task.toml", "00", plan.Task, true},
		{"/tasks/task.toml", "01", plan.Task, false},
		{"/other/task.toml", "00", plan.Task, false},
		{"/tasks/task.toml", "00", other(func(t *grants.Task) { t.Project = "acme-other" }), false},
		{"/tasks/task.toml", "00", other(func(t *grants.Task) { t.TTL /= 2 }), false},
		{"/tasks/task.toml", "00", other(func(t *grants.Task) { t.Deliver = []grants.DeliveryKind{"token"} }), false},
		{"/tasks/task.toml", "00", other(func(t *grants.Task) { t.Deliver = nil }), true},
	} {
		run, ok, err := e.Reusable(tt.path, tt.sum, tt.task)
		if err != nil || ok != tt.want || ok && run.ID() != plan.Run {
			t.Errorf("Reusable(%s, %s) = %v, %v, %v", tt.path, tt.sum, run, ok, err)
		}
	}
	if _, err := e.Down(t.Context(), plan.Run, 0); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := e.Reusable("/tasks/task.toml", "00", plan.Task); ok || err != nil {
		t.Errorf("a run that is down is reused: %v", err)
	}
}

// A signal while access is waited for takes the run down again; a timeout does not.
func TestInterruptedWhileWaitingIsUndone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.engine()
		plan := w.plan(e, byKey)
		w.wire.step(func(_ int, r *http.Request) (*http.Response, error) {
			if strings.HasSuffix(r.URL.Path, "secrets/api-key:testIamPermissions") {
				return answer(r, 200, `{}`), nil
			}
			return nil, nil
		}, nil)
		interrupt := errors.New("interrupt")
		ctx, cancel := context.WithCancelCause(t.Context())
		defer time.AfterFunc(time.Minute, func() { cancel(interrupt) }).Stop()
		if _, err := e.Up(ctx, plan, w.options(plan)); !errors.Is(err, interrupt) {
			t.Errorf("up: %v", err)
		}
		w.asBefore()
	})
}

// A disk that is full stops an up, and no teardown.
func TestFullDiskStopsNoTeardown(t *testing.T) {
	t.Parallel()
	for n := 1; ; n++ {
		reached := false
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			disk := &journaltest.Disk{}
			full := errors.New("no space left on device")
			writes := 0
			disk.Before = func(op journaltest.Op) error {
				if op.Name == "write" {
					if writes++; writes >= n {
						reached = true
						return full
					}
				}
				return nil
			}
			e := w.engine()
			journals, err := journal.OpenDir(w.state, disk)
			if err != nil {
				t.Fatal(err)
			}
			e.Journals, e.Turns = journals, journals
			plan := w.plan(e, byKey)
			_, err = e.Up(t.Context(), plan, w.options(plan))
			if reached != (err != nil) {
				t.Errorf("up with %d writes: %v", n, err)
			}
			if err == nil {
				if _, err := e.Down(t.Context(), plan.Run, 0); reached != (err != nil) {
					t.Errorf("down with %d writes: %v", n, err)
				}
			}
			w.asBefore()
		})
		if !reached || t.Failed() {
			return
		}
	}
}

// Where an organisation forbids keys, up says which policy it was and what to write instead.
func TestKeysForbidden(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.engine()
	plan := w.plan(e, byKey)
	w.wire.step(func(_ int, r *http.Request) (*http.Response, error) {
		if strings.HasSuffix(r.URL.Path, "/keys:upload") {
			return answer(r, 400, `{"error":{"code":400,"status":"FAILED_PRECONDITION","message":"Key upload is not allowed on this service account.",
				"details":[{"@type":"type.googleapis.com/google.rpc.PreconditionFailure","violations":[{"type":"constraints/iam.disableServiceAccountKeyUpload"}]}]}}`), nil
		}
		return nil, nil
	}, nil)
	_, err := e.Up(t.Context(), plan, w.options(plan))
	if !fault.Is(err, fault.Precondition) || !strings.Contains(err.Error(), "constraints/iam.disableServiceAccountKeyUpload") {
		t.Errorf("up: %v", err)
	}
	if hints := fault.Hints(err); !slices.ContainsFunc(hints, func(h string) bool { return strings.Contains(h, `deliver = ["key", "token"]`) }) {
		t.Errorf("the hints are %q", hints)
	}
	w.asBefore()
}
