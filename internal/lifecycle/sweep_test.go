package lifecycle_test

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
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
	"github.com/taskiam/taskiam/internal/resource"
)

const (
	hosting = "acme-agents"
	grace   = time.Hour
	// longAfter is when a run of byKey, and its grace, is over.
	longAfter = 4 * time.Hour
)

// elsewhere returns another machine, on which nothing is known of any run.
func (w *world) elsewhere() *world {
	return &world{t: w.t, server: w.server, wire: w.wire, state: w.t.TempDir(), safe: &safe{}, before: w.before}
}

func sweepOptions() lifecycle.SweepOptions {
	return lifecycle.SweepOptions{Projects: []string{hosting}, OlderThan: grace}
}

// sweep sweeps, and returns what came of the runs, by email.
func (w *world) sweep(o lifecycle.SweepOptions) (map[string]lifecycle.SweptState, error) {
	w.t.Helper()
	result, err := w.engine().Sweep(w.t.Context(), o)
	if result == nil {
		w.t.Fatal(err)
	}
	out := map[string]lifecycle.SweptState{}
	for _, p := range result.Projects {
		for _, r := range p.Runs {
			if _, twice := out[r.Email]; twice {
				w.t.Errorf("%s is told twice", r.Email)
			}
			out[r.Email] = r.State
		}
	}
	return out, err
}

// swept sweeps, without an error and with this outcome.
func (w *world) swept(o lifecycle.SweepOptions, want map[string]lifecycle.SweptState) {
	w.t.Helper()
	got, err := w.sweep(o)
	if err != nil {
		w.t.Errorf("sweep: %v", err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.t.Errorf("what came of the runs (-want +got):\n%s", diff)
	}
}

// account makes a service account by hand.
func (w *world) account(id, description string) grants.Account {
	w.t.Helper()
	a, err := w.engine().Cloud.CreateAccount(w.t.Context(), hosting, id, "by hand", description)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// bind binds by hand.
func (w *world) bind(on, member string, c policy.Condition) {
	w.t.Helper()
	w.bindAs(on, "roles/secretmanager.secretAccessor", member, c)
}

func (w *world) bindAs(on, role, member string, c policy.Condition) {
	w.t.Helper()
	name, cloud := parse(w.t, on), w.engine().Cloud
	doc, err := cloud.ReadPolicy(w.t.Context(), name)
	if err == nil {
		doc.Add(policy.Binding{Role: role, Member: member, Condition: c})
		_, err = cloud.WritePolicy(w.t.Context(), name, doc)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// remove deletes an account by hand.
func (w *world) remove(email string) {
	w.t.Helper()
	if err := w.engine().Cloud.DeleteAccount(w.t.Context(), hosting, email); err != nil {
		w.t.Fatal(err)
	}
}

func parse(t *testing.T, s string) resource.Name {
	t.Helper()
	n, _, err := resource.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// givenByKey is what a run of byKey is bound on.
func givenByKey(t *testing.T) []resource.Name {
	return []resource.Name{
		parse(t, "gs://acme-reports"), parse(t, "projects/acme-agents/secrets/api-key"),
		parse(t, "projects/acme-agents/topics/reports"), parse(t, "bq://acme-data.sales"),
	}
}

// noSearch refuses every search, as it is where the operator may not.
func noSearch(_ int, r *http.Request) (*http.Response, error) {
	if r.URL.Host == "cloudasset.googleapis.com" || r.Host == "cloudasset.googleapis.com" {
		return answer(r, 403, `{"error":{"code":403,"status":"PERMISSION_DENIED","message":"no"}}`), nil
	}
	return nil, nil
}

func TestSweepOfARunWithItsJournal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, plan := w.up(byKey)
		time.Sleep(longAfter)
		w.wire.step(noSearch, nil) // the journal knows all
		w.swept(sweepOptions(), map[string]lifecycle.SweptState{plan.Email: lifecycle.SweptGone})
		w.asBefore()
		run, err := w.engine().Journals.Read(plan.Run)
		if err != nil || run.State() != journal.Ended {
			t.Errorf("the journal: %v, %v", run.State(), err)
		}
		w.swept(sweepOptions(), map[string]lifecycle.SweptState{})
	})
}

func TestSweepAfterALostLaptop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, plan := w.up(byKey)
		time.Sleep(longAfter)
		other := w.elsewhere()
		other.swept(sweepOptions(), map[string]lifecycle.SweptState{plan.Email: lifecycle.SweptGone})
		other.asBefore()
	})
}

func TestSweepLeavesALiveRunAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, plan := w.up(byKey)
		before := string(w.snapshot())
		time.Sleep(time.Until(plan.Expires.Add(grace)) - time.Second)
		for _, machine := range []*world{w, w.elsewhere()} {
			machine.swept(sweepOptions(), map[string]lifecycle.SweptState{plan.Email: lifecycle.SweptLive})
		}
		if diff := cmp.Diff(before, string(w.snapshot())); diff != "" {
			t.Errorf("a run that is not over was touched:\n%s", diff)
		}
		time.Sleep(time.Second)
		w.swept(sweepOptions(), map[string]lifecycle.SweptState{plan.Email: lifecycle.SweptGone})
		w.asBefore()
	})
}

func TestSweepLeavesLookAlikesAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		run := grants.NewRunID(time.Now(), [5]byte{1})
		other := grants.NewRunID(time.Now(), [5]byte{2})
		mark := func(task string, run grants.RunID) string {
			return grants.Mark{Version: grants.MarkVersion, Task: task, Run: run, Expires: time.Now()}.String()
		}
		for id, description := range map[string]string{
			grants.AccountID("bare", run):     "",
			grants.AccountID("nearly", run):   "made for " + mark("nearly", run),
			grants.AccountID("wrongrun", run): mark("wrongrun", other),
			grants.AccountID("task", run):     mark("othertask", run),
			"robots":                          mark("robots", run),
			"ti-robots":                       mark("robots", run),
		} {
			a := w.account(id, description)
			w.bind("projects/acme-agents/secrets/api-key", a.Member(), policy.Condition{})
		}
		before := string(w.snapshot())
		time.Sleep(longAfter)
		w.swept(sweepOptions(), map[string]lifecycle.SweptState{})
		if diff := cmp.Diff(before, string(w.snapshot())); diff != "" {
			t.Errorf("somebody else's account was touched:\n%s", diff)
		}
		for _, email := range []string{
			grants.AccountEmail(grants.AccountID("bare", run), hosting),
			grants.AccountEmail(grants.AccountID("wrongrun", run), hosting),
			grants.AccountEmail("robots", hosting),
		} {
			if _, err := w.engine().DownAccount(t.Context(), hosting, email, nil); !fault.Is(err, fault.Conflict, fault.NotFound) {
				t.Errorf("down of %s: %v, want a refusal", email, err)
			}
		}
		if diff := cmp.Diff(before, string(w.snapshot())); diff != "" {
			t.Errorf("down touched somebody else's account:\n%s", diff)
		}
	})
}

// An account that was deleted by hand leaves deleted: members behind.
func TestSweepOfTombstones(t *testing.T) {
	t.Parallel()
	for name, machine := range map[string]func(*world) *world{
		"with the journal": func(w *world) *world { return w },
		"without":          (*world).elsewhere,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				// Somebody else's, one with the form of ours, and one with a title that is not its run's.
				const on = "projects/acme-agents/secrets/api-key"
				run, other := grants.NewRunID(time.Now(), [5]byte{1}), grants.NewRunID(time.Now(), [5]byte{2})
				until := policy.UntilExpression(time.Now().Add(time.Hour))
				for id, c := range map[string]policy.Condition{
					"robots":                      {},
					grants.AccountID("like", run): {},
					grants.AccountID("near", run): {Title: grants.ConditionTitle(other), Expression: until},
				} {
					a := w.account(id, "")
					w.bind(on, a.Member(), c)
					w.remove(a.Email)
				}
				w.before = w.snapshot()
				if !strings.Contains(string(w.before), "deleted:serviceAccount:ti-like-") {
					t.Fatal("the emulator left no tombstone")
				}

				_, plan := w.up(byKey)
				w.remove(plan.Email)
				time.Sleep(longAfter)
				m := machine(w)
				m.swept(sweepOptions(), map[string]lifecycle.SweptState{plan.Email: lifecycle.SweptGone})
				m.asBefore()
			})
		})
	}
}

func TestSweepThatMayNotSearch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, plan := w.up(byKey)
		time.Sleep(longAfter)
		other := w.elsewhere()
		w.wire.step(noSearch, nil)
		got, err := other.sweep(sweepOptions())
		if !fault.Is(err, fault.Incomplete) || got[plan.Email] != lifecycle.SweptLeft {
			t.Fatalf("sweep: %v, %v", got, err)
		}
		if !strings.Contains(strings.Join(fault.Hints(err), "\n"), "--resource") {
			t.Errorf("hints: %q", fault.Hints(err))
		}
		a, err := w.engine().Cloud.Account(t.Context(), hosting, plan.Email)
		if err != nil || !a.Disabled {
			t.Fatalf("the account: %+v, %v; want it disabled and there", a, err)
		}
		o := sweepOptions()
		o.Resources = givenByKey(t)
		other.swept(o, map[string]lifecycle.SweptState{plan.Email: lifecycle.SweptGone})
		other.asBefore()
	})
}

func TestSweepsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for range 3 {
			w.up(byKey)
		}
		time.Sleep(longAfter)
		machines := []*world{w.elsewhere(), w.elsewhere(), w.elsewhere()}
		var wg sync.WaitGroup
		for _, m := range machines {
			wg.Go(func() {
				if _, err := m.engine().Sweep(t.Context(), sweepOptions()); err != nil {
					t.Errorf("sweep: %v", err)
				}
			})
		}
		wg.Wait()
		machines[0].asBefore()
	})
}

func TestDryRunWritesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, plan := w.up(byKey)
		_, dead := w.up(byKey)
		w.remove(dead.Email)
		time.Sleep(longAfter)
		for _, m := range []*world{w, w.elsewhere()} {
			before, files := string(w.snapshot()), m.files()
			w.wire.step(func(_ int, r *http.Request) (*http.Response, error) {
				read := r.Method == http.MethodGet || strings.HasSuffix(r.URL.Path, ":getIamPolicy") || strings.HasSuffix(r.URL.Path, ":getAncestry")
				if !read {
					t.Errorf("a dry run calls %s %s", r.Method, r.URL)
				}
				return nil, nil
			}, nil)
			o := sweepOptions()
			o.DryRun = true
			result, err := m.engine().Sweep(t.Context(), o)
			w.wire.step(nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string][]string{}
			for _, n := range givenByKey(t) {
				want[plan.Email] = append(want[plan.Email], n.String())
				want[dead.Email] = append(want[dead.Email], n.String())
			}
			got := map[string][]string{}
			for _, r := range result.Projects[0].Runs {
				if r.State != lifecycle.SweptFound {
					t.Errorf("%s is %q", r.Email, r.State)
				}
				got[r.Email] = r.Bound
			}
			if diff := cmp.Diff(want, got, cmp.Transformer("set", func(s []string) map[string]bool {
				out := map[string]bool{}
				for _, v := range s {
					out[v] = true
				}
				return out
			})); diff != "" {
				t.Errorf("what is bound (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, string(w.snapshot())); diff != "" {
				t.Errorf("a dry run changed something:\n%s", diff)
			}
			if diff := cmp.Diff(files, m.files()); diff != "" {
				t.Errorf("a dry run wrote:\n%s", diff)
			}
		}
	})
}

// files returns what is in the state folder.
func (w *world) files() map[string]string {
	w.t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(w.state, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		out[path] = string(b)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func TestSweepSkipsARunThatSomebodyIsAtWorkOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, plan := w.up(byKey)
		time.Sleep(longAfter)
		j, err := w.engine().Journals.Open(t.Context(), plan.Run, 0)
		if err != nil {
			t.Fatal(err)
		}
		w.swept(sweepOptions(), map[string]lifecycle.SweptState{plan.Email: lifecycle.SweptBusy})
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		w.swept(sweepOptions(), map[string]lifecycle.SweptState{plan.Email: lifecycle.SweptGone})
		w.asBefore()
	})
}

// One project that cannot be looked at does not keep the others from being swept.
func TestSweepOfSeveralProjects(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, plan := w.up(byKey)
		time.Sleep(longAfter)
		o := sweepOptions()
		o.Projects = []string{"no-such-project", hosting, "acme-data"}
		got, err := w.sweep(o)
		if !fault.Is(err, fault.Denied) || got[plan.Email] != lifecycle.SweptGone {
			t.Errorf("sweep: %v, %v", got, err)
		}
		w.asBefore()
	})
	if _, err := newWorld(t).engine().Sweep(t.Context(), lifecycle.SweepOptions{Projects: []string{"567890123456"}}); !fault.Is(err, fault.Usage) {
		t.Errorf("a project's number: %v", err)
	}
}

func TestDownAccount(t *testing.T) {
	t.Parallel()
	down := func(w *world, email string, more ...resource.Name) error {
		_, err := w.engine().DownAccount(w.t.Context(), hosting, email, more)
		return err
	}
	t.Run("from another machine", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.server.SetLag(emulator.Lag{Search: emulator.Delay{Min: 20 * time.Minute}})
			_, plan := w.up(byKey)
			other := w.elsewhere()
			// The search does not know the bindings of a minute ago.
			if err := down(other, plan.Email); !fault.Is(err, fault.Incomplete) {
				t.Fatalf("of a young run: %v", err)
			}
			a, err := w.engine().Cloud.Account(t.Context(), hosting, plan.Email)
			if err != nil || !a.Disabled {
				t.Fatalf("the account: %+v, %v; want it disabled and there", a, err)
			}
			time.Sleep(time.Hour)
			if err := down(other, plan.Email); err != nil {
				t.Fatal(err)
			}
			other.asBefore()
			if err := down(other, plan.Email); !fault.Is(err, fault.NotFound) {
				t.Errorf("again: %v", err)
			}
		})
	})
	t.Run("with resources", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		_, plan := w.up(byKey)
		other := w.elsewhere()
		ended, err := other.engine().DownAccount(t.Context(), hosting, plan.Email, givenByKey(t))
		if err != nil {
			t.Fatal(err)
		}
		other.asBefore()
		// Without a journal the run says as much as with one.
		run := ended.Run
		done := map[string]bool{}
		for _, s := range run.Steps {
			what, _, _ := strings.Cut(s.What, " roles/")
			done[what] = done[what] || s.Failure == ""
		}
		for _, what := range []string{"disable account", "unbind", "delete key", "delete account"} {
			if !done[what] {
				t.Errorf("no step %q in %+v", what, run.Steps)
			}
		}
		if run.State() != journal.Ended || run.ID() != plan.Run || !run.Expires().Equal(plan.Expires) || len(run.Bindings) == 0 {
			t.Errorf("the run is %s, %+v", run.State(), run)
		}
	})
	t.Run("with its journal", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		_, plan := w.up(byKey)
		if err := down(w, plan.Email); err != nil {
			t.Fatal(err)
		}
		w.asBefore()
		if run, err := w.engine().Journals.Read(plan.Run); err != nil || run.State() != journal.Ended {
			t.Errorf("the journal: %v, %v", run, err)
		}
	})
	t.Run("with a journal that is not understood", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		_, plan := w.up(byKey)
		w.tamper(plan.Run, func(b []byte) []byte { return append(b, "garbled\n"...) })
		_, err := w.engine().Down(t.Context(), plan.Run, 0)
		if hints := fault.Hints(err); len(hints) != 1 || hints[0] != "taskiam down --account "+plan.Email+" --project "+hosting {
			t.Errorf("down: %v, hints %q", err, hints)
		}
		if err := down(w, plan.Email); err != nil {
			t.Fatal(err)
		}
		w.safe = &safe{} // where the delivery is, nobody can know
		w.asBefore()
	})
	t.Run("of an account that was deleted", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			_, plan := w.up(byKey)
			w.remove(plan.Email)
			other := w.elsewhere()
			if err := down(other, plan.Email); !fault.Is(err, fault.Incomplete) {
				t.Errorf("down before the search can know all: %v", err)
			}
			time.Sleep(time.Hour)
			if err := down(other, plan.Email); err != nil {
				t.Fatal(err)
			}
			other.asBefore()
		})
	})
	t.Run("of an account that is deleted meanwhile", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.server.SetLag(emulator.Lag{Search: emulator.Delay{Min: 5 * time.Minute}})
			_, plan := w.up(byKey)
			other := w.elsewhere()
			looks := 0
			other.wire.step(func(_ int, r *http.Request) (*http.Response, error) {
				if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/serviceAccounts/"+plan.Email) {
					if looks++; looks == 2 {
						w.remove(plan.Email)
					}
				}
				return nil, nil
			}, nil)
			if err := down(other, plan.Email); !fault.Is(err, fault.Incomplete) || looks < 2 {
				t.Errorf("down: %v, after %d looks at the account", err, looks)
			}
			other.wire.step(nil, nil)
			time.Sleep(time.Hour)
			if err := down(other, plan.Email); err != nil {
				t.Fatal(err)
			}
			other.asBefore()
		})
	})
}

func TestUpWithoutWaiting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.engine()
	plan := w.plan(e, byKey)
	w.wire.step(func(_ int, r *http.Request) (*http.Response, error) {
		if r.Header.Get("Authorization") != "" && strings.HasSuffix(r.URL.Path, ":testIamPermissions") && strings.Contains(r.URL.Path, "secrets") {
			return nil, errors.New("somebody asks")
		}
		return nil, nil
	}, nil)
	o := w.options(plan)
	o.NoWait = true
	result, err := e.Up(t.Context(), plan, o)
	if err != nil {
		t.Fatal(err)
	}
	for i, g := range result.Grants {
		if g.State != journal.NotReady || g.Why != "not checked yet" {
			t.Errorf("grant %d: %q, %q", i, g.State, g.Why)
		}
	}
	if got := result.Run.State(); got != journal.RunningNotReady {
		t.Errorf("the run is %q", got)
	}
	w.wire.step(nil, nil)
	if _, err := w.engine().Down(t.Context(), plan.Run, 0); err != nil {
		t.Fatal(err)
	}
	w.asBefore()
}
