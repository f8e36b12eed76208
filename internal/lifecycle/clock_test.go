package lifecycle_test

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/policy"
)

// The clock of the machine may be wrong: a run ends by the cloud's all the same, it is
// said, and nothing more is asked for it.
func TestWrongClock(t *testing.T) {
	t.Parallel()
	calls := map[string]int{}
	for _, tt := range []struct {
		ahead time.Duration // of the cloud
		kind  string
		says  string // what is warned of; "" if nothing is
		fails bool
	}{
		{ahead: 0, kind: "key"},
		{ahead: 0, kind: "token"},
		{ahead: 30 * time.Second, kind: "key"},
		{ahead: 10 * time.Minute, kind: "key", says: "this machine's clock is 10m0s behind that of the cloud"},
		{ahead: 10 * time.Minute, kind: "token", says: "this machine's clock is 10m0s behind that of the cloud"},
		{ahead: -10 * time.Minute, kind: "token", says: "this machine's clock is 10m0s ahead of that of the cloud"},
		{ahead: 24 * time.Hour, kind: "token", says: "this machine's clock is 24h0m0s behind that of the cloud"},
		{ahead: -24 * time.Hour, kind: "token", says: "this machine's clock is 24h0m0s ahead of that of the cloud"},
		{ahead: -10 * time.Minute, kind: "key", says: "10m0s ahead of that of the cloud", fails: true},
		{ahead: 24 * time.Hour, kind: "key", says: "24h0m0s behind that of the cloud", fails: true},
		{ahead: -24 * time.Hour, kind: "key", says: "24h0m0s ahead of that of the cloud", fails: true},
	} {
		name := fmt.Sprint(tt.ahead, " ", tt.kind)
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.server.SetTime(time.Now().Add(tt.ahead))
			e := w.engine()
			warned := warnings(e)
			plan := w.plan(e, map[string]string{"key": byKey, "token": byToken}[tt.kind])
			writes := 0
			w.wire.step(locked(func(_ int, r *http.Request) (*http.Response, error) {
				if setsPolicy(r) || strings.HasSuffix(r.URL.Path, "/serviceAccounts") && r.Method == http.MethodPost {
					writes++
				}
				return nil, nil
			}), nil)
			result, err := e.Up(t.Context(), plan, w.options(plan))
			if tt.fails {
				if !fault.Is(err, fault.Precondition) || !strings.Contains(err.Error(), tt.says) || len(fault.Hints(err)) != 2 {
					t.Errorf("%s: up: %v (hints %q)", name, err, fault.Hints(err))
				}
				if writes > 0 {
					t.Errorf("%s: %d writes before it was refused", name, writes)
				}
				w.asBefore()
				return
			}
			if err != nil {
				t.Fatalf("%s: up: %v", name, err)
			}
			calls[name] = w.wire.calls
			w.wire.step(nil, nil)
			if got := strings.Join(warned(), "\n"); !strings.Contains(got, tt.says) || (got == "") != (tt.says == "") {
				t.Errorf("%s: it was warned: %q", name, got)
			}

			// The end, wherever it stands, is the cloud's.
			want := w.server.Now().Add(plan.Task.TTL)
			if off := result.Plan.Expires.Sub(want).Abs(); off > time.Minute {
				t.Errorf("%s: the run ends at %s, want %s", name, result.Plan.Expires, want)
			}
			if tt.says != "" && result.Plan.Expires.Sub(want).Abs() > 2*time.Second {
				t.Errorf("%s: the run ends at %s, want %s", name, result.Plan.Expires, want)
			}
			if got := result.Run.Opened.Expires; !got.Equal(result.Plan.Expires) {
				t.Errorf("%s: the journal says that the run ends at %s", name, got)
			}
			account, err := e.Cloud.Account(t.Context(), plan.Task.Project, plan.Email)
			mark, ok := grants.ParseMark(account.Description)
			if err != nil || !ok || !mark.Expires.Equal(result.Plan.Expires) || mark.Started().Sub(w.server.Now()).Abs() > time.Minute {
				t.Errorf("%s: the mark is %+v (%v)", name, mark, err)
			}
			until := policy.UntilExpression(result.Plan.Expires)
			if n := strings.Count(string(w.snapshot()), strings.ReplaceAll(until, `"`, `\"`)); n < 3 {
				t.Errorf("%s: %d conditions end at %s, want 3 at least", name, n, until)
			}
			delivery := w.safe.get(result.Dir)
			if token := delivery.Token; !token.Value.IsZero() && token.Expires.After(result.Plan.Expires) {
				t.Errorf("%s: the token ends at %s, after the run", name, token.Expires)
			}

			if _, err := w.engine().Down(t.Context(), plan.Run, 0); err != nil {
				t.Errorf("%s: down: %v", name, err)
			}
			w.asBefore()
		})
	}
	for _, kind := range []string{"key", "token"} {
		if wrong, right := calls["10m0s "+kind], calls["0s "+kind]; wrong != right || right == 0 {
			t.Errorf("by %s it takes %d calls with a wrong clock, and %d with a right one", kind, wrong, right)
		}
	}
}

// warnings has the engine's warnings kept, and returns how to see them.
func warnings(e *lifecycle.Engine) func() []string {
	var out []string
	turn := make(chan struct{}, 1)
	e.Progress = func(ev lifecycle.Event) {
		turn <- struct{}{}
		defer func() { <-turn }()
		if ev.State == lifecycle.Warned {
			out = append(out, ev.Step)
		}
	}
	return func() []string { return out }
}

// A key that no client here could use gives way to a token, if the task takes one.
func TestWrongClockTakesTheToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.server.SetTime(time.Now().Add(24 * time.Hour))
		result, _ := w.up(strings.Replace(byKey, `deliver = "key"`, `deliver = ["key", "token"]`, 1))
		if d := w.safe.get(result.Dir); d.Token.Value.IsZero() || !d.Key.IsZero() {
			t.Errorf("delivered was %q", d.Kind)
		}
	})
}

// A teardown does not wait longer for an account that is gone than for a new one that is
// not seen yet, even if a clock was set meanwhile.
func TestClockSetAfterUp(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{24 * time.Hour, -24 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.server.SetTime(time.Now().Add(ahead))
			_, plan := w.up(byToken)
			w.tamper(plan.Run, func(b []byte) []byte { // as if no read had shown the account
				return slices.Concat(slices.DeleteFunc(bytes.SplitAfter(b, []byte("\n")),
					func(line []byte) bool { return bytes.Contains(line, []byte(`"account seen"`)) })...)
			})
			e := w.engine()
			if err := e.Cloud.DeleteAccount(t.Context(), plan.Task.Project, plan.Email); err != nil {
				t.Fatal(err)
			}
			w.server.SetTime(time.Now())
			begun := time.Now()
			if _, err := e.Down(t.Context(), plan.Run, 0); err != nil {
				t.Errorf("%s: down: %v", ahead, err)
			}
			if took := time.Since(begun); took > 5*time.Minute {
				t.Errorf("%s: down took %s", ahead, took)
			}
			w.asBefore()
		})
	}
}

// A run that is a minute old is young, whatever its id says: the search does not know its
// bindings yet, and to delete its account would leave it in every policy.
func TestYoungByTheCloudsClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.server.SetTime(time.Now().Add(24 * time.Hour))
		_, plan := w.up(byToken)
		time.Sleep(time.Minute)
		w.state = t.TempDir() // on another machine
		e := w.engine()
		_, err := e.DownAccount(t.Context(), plan.Task.Project, plan.Email, nil)
		if !fault.Is(err, fault.Incomplete) {
			t.Errorf("down --account: %v", err)
		}
		if account, err := e.Cloud.Account(t.Context(), plan.Task.Project, plan.Email); err != nil || !account.Disabled {
			t.Errorf("the account is %+v, %v", account, err)
		}
	})
}
