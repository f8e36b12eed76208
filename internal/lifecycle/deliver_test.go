package lifecycle_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
)

// delivered is a task that is content with these kinds, the first one above all.
func delivered(kinds ...string) string {
	return strings.Replace(byKey, `deliver = "key"`, `deliver = ["`+strings.Join(kinds, `", "`)+`"]`, 1)
}

// forbidKeys has the cloud refuse keys as an organization policy does.
func (w *world) forbidKeys() {
	w.wire.step(func(_ int, r *http.Request) (*http.Response, error) {
		if strings.HasSuffix(r.URL.Path, "/keys:upload") {
			return answer(r, 400, `{"error":{"code":400,"status":"FAILED_PRECONDITION","message":"Key upload is not allowed on this service account.",
				"details":[{"@type":"type.googleapis.com/google.rpc.PreconditionFailure","violations":[{"type":"constraints/iam.disableServiceAccountKeyUpload"}]}]}}`), nil
		}
		return nil, nil
	}, nil)
}

// denyPermissions has the operator lack permissions on the host project.
func (w *world) denyPermissions(denied ...string) {
	w.wire.step(nil, func(_ int, r *http.Request, a *http.Response) (*http.Response, error) {
		if !strings.HasSuffix(r.URL.Path, "/projects/acme-agents:testIamPermissions") {
			return a, nil
		}
		said, err := io.ReadAll(a.Body)
		if err != nil {
			return nil, err
		}
		have := decode(w.t, said)["permissions"].([]any)
		have = slices.DeleteFunc(have, func(p any) bool { return slices.Contains(denied, p.(string)) })
		return answer(r, 200, `{"permissions":[`+quoted(have)+`]}`), nil
	})
}

func quoted(words []any) string {
	var out []string
	for _, w := range words {
		out = append(out, `"`+w.(string)+`"`)
	}
	return strings.Join(out, ",")
}

func TestTheFirstKindThatIsAllowedIsDelivered(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		kinds  []string
		change func(*world)
		want   grants.DeliveryKind
	}{
		"the first":                  {[]string{"token", "key"}, func(*world) {}, delivery.Token},
		"keys are forbidden":         {[]string{"key", "metadata"}, (*world).forbidKeys, delivery.Metadata},
		"the operator makes no keys": {[]string{"key", "token"}, func(w *world) { w.denyPermissions("iam.serviceAccountKeys.create") }, delivery.Token},
		"nor lets itself mint":       {[]string{"metadata", "key"}, func(w *world) { w.denyPermissions("iam.serviceAccounts.setIamPolicy") }, delivery.Key},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			e := w.engine()
			plan := w.plan(e, delivered(tt.kinds...))
			o := w.options(plan)
			o.Metadata = "127.0.0.1:4711"
			tt.change(w)
			result, err := e.Up(t.Context(), plan, o)
			if err != nil {
				t.Fatal(err)
			}
			d := w.safe.get(o.Dir)
			if d.Kind != tt.want || result.Run.Kind != tt.want {
				t.Errorf("delivered %q, and the journal says %q, want %q", d.Kind, result.Run.Kind, tt.want)
			}
			got := []bool{!d.Key.IsZero(), !d.Token.Value.IsZero(), d.Metadata != ""}
			want := []bool{tt.want == delivery.Key, tt.want == delivery.Token, tt.want == delivery.Metadata}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("key, token, metadata:\n%s", diff)
			}
			w.wire.step(nil, nil)
			if _, err := w.engine().Down(t.Context(), plan.Run, 0); err != nil {
				t.Error(err)
			}
			w.asBefore()
		})
	}
}

func TestNoKindIsAllowed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.engine()
	plan := w.plan(e, delivered("key", "token"))
	w.denyPermissions("iam.serviceAccountKeys.create", "iam.serviceAccounts.setIamPolicy")
	_, err := e.Up(t.Context(), plan, w.options(plan))
	if !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "lacks iam.serviceAccountKeys.create on project acme-agents") {
		t.Errorf("up: %v", err)
	}
	w.asBefore()
}

// processes are those that engines start and stop.
type processes struct {
	running map[int]string // PID: start
	stop    error          // what stopping ends with
}

func (p *processes) keep(pid int) func(context.Context, grants.RunID, func(journal.ProcessStarted) error) error {
	return func(_ context.Context, _ grants.RunID, record func(journal.ProcessStarted) error) error {
		if err := record(journal.ProcessStarted{Role: journal.RoleServer, PID: pid, Start: "boot 1"}); err != nil {
			return err
		}
		p.running[pid] = "boot 1"
		return nil
	}
}

func (p *processes) end(_ context.Context, pid int, start string) error {
	if p.stop != nil {
		return p.stop
	}
	if p.running[pid] == start {
		delete(p.running, pid)
	}
	return nil
}

func TestTheServerIsRecordedBeforeItBegins(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := &processes{running: map[int]string{}}
	e := w.engine()
	e.Stop = p.end
	plan := w.plan(e, delivered("metadata"))
	o := w.options(plan)
	o.Metadata, o.Keep = "127.0.0.1:4711", p.keep(42)
	result, err := e.Up(t.Context(), plan, o)
	if err != nil {
		t.Fatal(err)
	}
	want := []journal.Process{{Role: journal.RoleServer, PID: 42, Start: "boot 1", Effect: journal.Done}}
	if diff := cmp.Diff(want, result.Run.Processes); diff != "" {
		t.Error(diff)
	}

	// One that cannot be stopped is named, and everything else goes nevertheless.
	p.stop = errors.New("it does not end")
	receipt, err := e.Down(t.Context(), plan.Run, 0)
	if !fault.Is(err, fault.Incomplete) || !slices.Equal(receipt.Run.Left(), []string{"the process 42"}) {
		t.Errorf("down: %v, left %q", err, receipt.Run.Left())
	}
	p.stop = nil
	receipt, err = e.Down(t.Context(), plan.Run, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := stopped(receipt.Run); !slices.Equal(got, []string{"42", "42"}) || len(p.running) != 0 {
		t.Errorf("stopped were %q, and at work is %v", got, p.running)
	}
	w.asBefore()
}

// stopped returns the processes that the teardowns of a run stopped, or tried to, in order.
func stopped(run *journal.Run) []string {
	var on []string
	for _, s := range run.Steps {
		if s.What == "stop process" {
			on = append(on, s.On)
		}
	}
	return on
}

// A run may have several processes: each is stopped, whatever its role is.
func TestEveryProcessIsStopped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := &processes{running: map[int]string{42: "boot 1", 43: "boot 1"}}
	e := w.engine()
	e.Stop = p.end
	plan := w.plan(e, delivered("metadata"))
	o := w.options(plan)
	o.Metadata, o.Keep = "127.0.0.1:4711", func(_ context.Context, _ grants.RunID, record func(journal.ProcessStarted) error) error {
		return errors.Join(record(journal.ProcessStarted{Role: journal.RoleServer, PID: 42, Start: "boot 1"}),
			record(journal.ProcessStarted{Role: "proxy", PID: 43, Start: "boot 1"}))
	}
	if _, err := e.Up(t.Context(), plan, o); err != nil {
		t.Fatal(err)
	}
	down, err := e.Down(t.Context(), plan.Run, 0)
	if err != nil || len(p.running) != 0 {
		t.Fatalf("down: %v; still running: %v", err, p.running)
	}
	if got := stopped(down.Run); !slices.Equal(got, []string{"42", "43 (proxy)"}) {
		t.Errorf("stopped were %q", got)
	}
	w.asBefore()
}

func TestAServerThatDoesNotBeginIsUndone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.engine()
	plan := w.plan(e, delivered("metadata"))
	o := w.options(plan)
	cause := errors.New("it did not start to work")
	o.Metadata, o.Keep = "127.0.0.1:4711", func(context.Context, grants.RunID, func(journal.ProcessStarted) error) error { return cause }
	if _, err := e.Up(t.Context(), plan, o); !errors.Is(err, cause) {
		t.Errorf("up: %v", err)
	}
	w.asBefore()
}

// A token that ends before its run needs somebody to renew it.
func TestOnlyATokenThatEndsEarlyIsKept(t *testing.T) {
	t.Parallel()
	for ttl, want := range map[string]int{"1h": 0, "61m": 0, "90m": 1} {
		t.Run(ttl, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			e := w.engine()
			p := &processes{running: map[int]string{}}
			e.Stop = p.end
			plan := w.plan(e, strings.Replace(delivered("token"), `"2h"`, `"`+ttl+`"`, 1))
			o := w.options(plan)
			o.Keep = p.keep(42)
			if _, err := e.Up(t.Context(), plan, o); err != nil {
				t.Fatal(err)
			}
			if len(p.running) != want {
				t.Errorf("%d processes are at work, want %d", len(p.running), want)
			}
			if _, err := e.Down(t.Context(), plan.Run, 0); err != nil {
				t.Error(err)
			}
			w.asBefore()
		})
	}
}
