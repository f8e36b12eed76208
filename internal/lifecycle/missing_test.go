package lifecycle_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/resource"
)

// Google says the same of a project that does not exist and of one that one may not see; so the hint names both, and
// a project of a similar name. Of a project that one sees, it is known that it exists.
func TestAProjectThatDoesNotExist(t *testing.T) {
	t.Parallel()
	w := newFreshWorld(t, nil)
	source := strings.ReplaceAll(fmt.Sprintf(looksKey, `"key"`), `"acme-agents"`, `"acme-agnets"`)
	const missing = "or there is no project acme-agnets: Google says the same of both; did you mean acme-agents?"
	e := w.engine()
	host := w.plan(e, source)
	_, ofHost := e.Up(t.Context(), host, w.options(host))
	resource := w.plan(e, strings.ReplaceAll(fmt.Sprintf(looksKey, `"key"`), "projects/acme-agents/", "projects/acme-agnets/"))
	_, ofResource := e.Up(t.Context(), resource, w.options(resource))
	_, ofSweep := e.Sweep(t.Context(), lifecycle.SweepOptions{Projects: []string{"acme-agnets"}})
	_, ofRoles := e.SweepRoles(t.Context(), lifecycle.SweepOptions{Projects: []string{"acme-agnets"}})
	_, ofAccount := e.DownAccount(t.Context(), "acme-agnets", host.Email, nil)
	for name, err := range map[string]error{
		"the host": ofHost, "a resource's": ofResource, "sweep": ofSweep, "sweep --roles": ofRoles, "down --account": ofAccount,
	} {
		if hints := fault.Hints(err); !fault.Is(err, fault.Denied) || !slices.Contains(hints, missing) ||
			!slices.Contains(hints, "gcloud projects list") {
			t.Errorf("%s: %v, with hints %q", name, err, hints)
		}
	}
	// What is lacking is told first, and that there may be no such project after it.
	if hints := fault.Hints(ofHost); len(hints) < 3 || !strings.Contains(hints[0], "roles/") || !slices.Equal(hints[len(hints)-2:], []string{missing, "gcloud projects list"}) {
		t.Errorf("the host: the hints are in the order %q", hints)
	}
	// Who sees no project at all is told of both too; no name is near.
	fresh := w.engineOf(freshToken)
	plan := w.plan(fresh, fmt.Sprintf(looksKey, `"key"`))
	_, err := fresh.Up(t.Context(), plan, w.options(plan))
	if hints := strings.Join(fault.Hints(err), "\n"); !strings.Contains(hints, "there is no project acme-agents: ") || strings.Contains(hints, "did you mean acme") {
		t.Errorf("who sees nothing: %v, with hints %q", err, hints)
	}
	// That it exists is no question to who sees it.
	w.denyPermissions("iam.serviceAccounts.create")
	plan = w.plan(e, fmt.Sprintf(looksKey, `"key"`))
	_, err = e.Up(t.Context(), plan, w.options(plan))
	if hints := strings.Join(fault.Hints(err), "\n"); !fault.Is(err, fault.Denied) || strings.Contains(hints, "no project") {
		t.Errorf("who sees it: %v, with hints %q", err, hints)
	}
}

// A key that is valid for too long is refused with the hours that are allowed, if the operator may read them.
func TestAKeyThatIsValidForTooLong(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		constraint, deny, want string
	}{
		{"iam.serviceAccountKeyExpiryHours=1h", "", `keys may be valid for 1h here, and not for 2h: put ttl = "1h" under [task] in the manifest, or less`},
		{"iam.serviceAccountKeyExpiryHours=1h", "orgpolicy.googleapis.com", "keys may not be valid for 2h here; how long they may: gcloud org-policies describe iam.serviceAccountKeyExpiryHours --project=acme-agents --effective"},
		{"iam.disableServiceAccountKeyUpload", "", `keys are not allowed here: put deliver = ["key", "token"] under [credentials] in the manifest`},
	} {
		w := sickWorld(t, agents, "constraints = [\""+tt.constraint+"\"]")
		w.before = w.snapshot()
		e := w.engine()
		if tt.deny != "" {
			w.wire.step(func(_ int, r *http.Request) (*http.Response, error) {
				if r.Host == tt.deny {
					return answer(r, 403, `{"error":{"code":403,"status":"PERMISSION_DENIED","message":"no"}}`), nil
				}
				return nil, nil
			}, nil)
		}
		plan := w.plan(e, fmt.Sprintf(looksKey, `"key"`))
		_, err := e.Up(t.Context(), plan, w.options(plan))
		if hints := fault.Hints(err); !fault.Is(err, fault.Precondition) || !slices.Contains(hints, tt.want) {
			t.Errorf("%s: %v, with hints %q", tt.constraint, err, hints)
		}
		w.wire.step(nil, nil)
		w.asBefore()
	}

	w := sickWorld(t, agents, `constraints = ["iam.serviceAccountKeyExpiryHours=8h"]`)
	result, plan := w.up(fmt.Sprintf(looksKey, `"key"`))
	_, err := w.engine().Renew(t.Context(), result.Run.ID(), lifecycle.RenewOptions{TTL: 9 * 3600e9})
	want := "keys may be valid for 8h here, and not for 9h: taskiam renew " + string(plan.Run) + " --ttl 8h, or less"
	if hints := fault.Hints(err); !slices.Contains(hints, want) {
		t.Errorf("renew: %v, with hints %q", err, hints)
	}
}

// wasGone returns what of a teardown's steps says that there was nothing to do, and what says that it was done.
func wasGone(run *journal.Run) (gone, done []string) {
	for _, s := range run.Steps {
		if what, _, _ := strings.Cut(s.What, " roles/"); s.Missing {
			gone = append(gone, what)
		} else if s.Failure == "" {
			done = append(done, what)
		}
	}
	slices.Sort(gone)
	slices.Sort(done)
	return slices.Compact(gone), slices.Compact(done)
}

// What a neighbour took away between up and down, or during down, was gone already, and down has not done it. What
// down took away itself, with an answer that was lost, it did.
func TestWhatWasGoneAlready(t *testing.T) {
	t.Parallel()
	const account, bound = "delete account", "unbind"
	deletes := func(r *http.Request, what string) bool {
		return r.Method == http.MethodDelete && strings.Contains(r.URL.Path, "/keys/") == (what == "key")
	}
	type before = func(n int, r *http.Request) (*http.Response, error)
	type after = func(n int, r *http.Request, got *http.Response) (*http.Response, error)
	for name, tt := range map[string]struct {
		neighbour func(w *world, run *journal.Run)
		before    func(w *world, run *journal.Run) before
		lost      func(r *http.Request) bool // whose first answer is lost
		gone      []string
		done      []string
	}{
		"nothing": {done: []string{account, "delete key", "disable account", "remove delivery", bound}},
		"the bindings": {
			neighbour: func(w *world, run *journal.Run) { w.unbindAll(run) },
			gone:      []string{bound},
			done:      []string{account, "delete key", "disable account", "remove delivery"},
		},
		"the key": {
			neighbour: func(w *world, run *journal.Run) { w.deleteKeyOf(run) },
			gone:      []string{"delete key"},
			done:      []string{account, "disable account", "remove delivery", bound},
		},
		"the key, which is refused": { // as Google does it too
			neighbour: func(w *world, run *journal.Run) { w.deleteKeyOf(run) },
			before: func(*world, *journal.Run) before {
				return func(_ int, r *http.Request) (*http.Response, error) {
					if deletes(r, "key") {
						return answer(r, 403, `{"error":{"code":403,"status":"PERMISSION_DENIED","message":"no"}}`), nil
					}
					return nil, nil
				}
			},
			gone: []string{"delete key"},
			done: []string{account, "disable account", "remove delivery", bound},
		},
		"the account": {
			neighbour: func(w *world, run *journal.Run) { w.deleteAccountOf(run) },
			gone:      []string{account, "delete key"},
			done:      []string{"remove delivery", bound},
		},
		"the account, once it was seen": {
			before: func(w *world, run *journal.Run) before {
				var once sync.Once
				return func(_ int, r *http.Request) (*http.Response, error) {
					if strings.HasSuffix(r.URL.Path, ":disable") {
						once.Do(func() { w.deleteAccountOf(run) })
					}
					return nil, nil
				}
			},
			gone: []string{account, "delete key", "disable account"},
			done: []string{"remove delivery", bound},
		},
		"an answer to the deleting of the account": {
			lost: func(r *http.Request) bool { return deletes(r, "account") },
			done: []string{account, "delete key", "disable account", "remove delivery", bound},
		},
		"an answer to the deleting of the key": {
			lost: func(r *http.Request) bool { return deletes(r, "key") },
			done: []string{account, "delete key", "disable account", "remove delivery", bound},
		},
		"an answer to the write of a policy": {
			lost: isPolicyWrite,
			done: []string{account, "delete key", "disable account", "remove delivery", bound},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				result, plan := w.up(byKey)
				if tt.neighbour != nil {
					tt.neighbour(w, result.Run)
				}
				var first before
				if tt.before != nil {
					first = tt.before(w, result.Run)
				}
				var then after
				if tt.lost != nil {
					var lost sync.Map
					then = func(_ int, r *http.Request, got *http.Response) (*http.Response, error) {
						if _, known := lost.LoadOrStore(r.URL.Path, true); tt.lost(r) && !known {
							return answer(r, 503, `{"error":{"code":503,"status":"UNAVAILABLE","message":"lost"}}`), nil
						}
						return got, nil
					}
				}
				w.wire.step(first, then)
				down, err := w.engine().Down(t.Context(), plan.Run, 0)
				w.wire.step(nil, nil)
				if err != nil {
					t.Fatal(err)
				}
				stored, err := w.engine().Journals.Read(plan.Run)
				if err != nil {
					t.Fatal(err)
				}
				for where, run := range map[string]*journal.Run{"told": down.Run, "in the journal": stored} {
					gone, done := wasGone(run)
					if d := cmp.Diff(tt.gone, gone); d != "" {
						t.Errorf("%s as gone already (-want +got):\n%s", where, d)
					}
					if d := cmp.Diff(tt.done, done); d != "" {
						t.Errorf("%s as done (-want +got):\n%s", where, d)
					}
					for _, k := range run.Keys {
						if k.Missing != slices.Contains(tt.gone, "delete key") || k.Effect != journal.Undone {
							t.Errorf("%s: key %+v", where, k)
						}
					}
					for _, b := range run.Bindings {
						if b.Missing != slices.Contains(tt.gone, bound) || b.Effect != journal.Undone {
							t.Errorf("%s: binding %+v", where, b)
						}
					}
				}
				w.asBefore()
			})
		})
	}
}

// unbindAll removes the run's bindings, as a neighbour does.
func (w *world) unbindAll(run *journal.Run) {
	w.t.Helper()
	for _, full := range run.Resources() {
		name, err := resource.ParseFull(full)
		if err != nil {
			w.t.Fatal(err)
		}
		doc, err := w.engine().Cloud.ReadPolicy(w.t.Context(), name)
		if err != nil {
			w.t.Fatal(err)
		}
		doc.RemoveAccount(run.Opened.Email, run.Account.UniqueID)
		if _, err := w.engine().Cloud.WritePolicy(w.t.Context(), name, doc); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) deleteKeyOf(run *journal.Run) {
	w.t.Helper()
	if err := w.engine().Cloud.DeleteKey(w.t.Context(), run.Opened.Project, run.Opened.Email, run.Keys[0].ID); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) deleteAccountOf(run *journal.Run) {
	if err := w.engine().Cloud.DeleteAccount(w.t.Context(), run.Opened.Project, run.Opened.Email); err != nil {
		w.t.Error(err)
	}
}
