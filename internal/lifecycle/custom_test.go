package lifecycle_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskiam/taskiam/emulator"
	"github.com/taskiam/taskiam/internal/customrole"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/gcp"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
)

const byPermissions = `
version = 1
[task]
name    = "lister"
project = "acme-agents"
[[grant]]
permissions = ["storage.objects.get", "storage.objects.list"]
resource    = "gs://acme-reports"
`

// theRole is the custom role that byPermissions comes to.
var theRole = grants.CustomRole("acme-data", []string{"storage.objects.get", "storage.objects.list"}, 0)

// meddle has somebody else do something at the nth call of one sort.
func (w *world) meddle(method, path string, nth int, do func()) {
	var seen atomic.Int64
	w.wire.step(func(_ int, r *http.Request) (*http.Response, error) {
		if r.Method == method && strings.HasSuffix(r.URL.Path, path) && seen.Add(1) == int64(nth) {
			w.wire.step(nil, nil)
			do()
		}
		return nil, nil
	}, nil)
}

// other is the cloud as somebody else at another machine has it.
func (w *world) other() *gcp.Client { return w.engine().Cloud }

// patchRole changes a custom role as nobody does through taskiam.
func (w *world) patchRole(name, body string) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodPatch, "https://iam.googleapis.com/v1/"+name, strings.NewReader(body))
	must(w.t, err)
	_, token := w.server.Operator()
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := w.wire.RoundTrip(r)
	must(w.t, err)
	if answer.StatusCode != http.StatusOK {
		w.t.Fatalf("changing %s: %s", name, answer.Status)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) tryUp(source string) (*lifecycle.Result, error) {
	e := w.engine()
	plan := w.plan(e, source)
	return e.Up(w.t.Context(), plan, w.options(plan))
}

// Whatever others do to a custom role while a run comes up, the run has what it declares or
// nothing at all.
func TestCustomRoleInOtherHands(t *testing.T) {
	t.Parallel()
	roles, at := "/v1/projects/acme-data/roles", "/v1/projects/acme-data/roles/"+strings.TrimPrefix(theRole.Name, "projects/acme-data/roles/")
	const policy = "/storage/v1/b/acme-reports/iam"
	create := func(w *world) {
		_, err := w.other().CreateRole(t.Context(), theRole)
		must(t, err)
	}
	retire := func(w *world) {
		r, err := w.other().Role(t.Context(), theRole.Name)
		must(t, err)
		must(t, w.other().DeleteRole(t.Context(), r.Name, r.Etag))
	}
	widen := func(w *world) {
		w.patchRole(theRole.Name, `{"includedPermissions":["storage.objects.get","storage.objects.list","storage.objects.delete"]}`)
	}
	for name, tt := range map[string]struct {
		before       func(*world)
		method, path string
		nth          int
		meddle       func(*world)
		origin       journal.RoleOrigin // "" where up fails
	}{
		"undisturbed":                {nil, "GET", "/none", 1, nil, journal.RoleMade},
		"made by another run":        {nil, "POST", roles, 1, create, journal.RoleMade},
		"retired before it is bound": {create, "PUT", policy, 1, retire, journal.RoleFound},
		"retired once it is bound":   {create, "GET", at, 2, retire, journal.RoleFound},
		"retired while it is taken back": {func(w *world) { create(w); retire(w) }, "POST", at + ":undelete", 1, func(w *world) {
			r, err := w.other().Role(t.Context(), theRole.Name)
			must(t, err)
			_, err = w.other().UndeleteRole(t.Context(), r.Name, r.Etag)
			must(t, err)
		}, journal.RoleUndeleted},
		"widened before it is bound": {create, "PUT", policy, 1, widen, ""},
		"widened once it is bound":   {create, "GET", at, 2, widen, ""},
		"widened while it is proved": {create, "GET", at, 3, widen, ""},
		"made wider by another":      {nil, "POST", roles, 1, func(w *world) { create(w); widen(w) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if tt.before != nil {
				tt.before(w)
			}
			var met atomic.Bool
			w.meddle(tt.method, tt.path, tt.nth, func() {
				met.Store(true)
				tt.meddle(w)
			})
			result, err := w.tryUp(byPermissions)
			if met.Load() != (tt.meddle != nil) {
				t.Fatalf("the call came: %v; %v", met.Load(), err)
			}
			w.wire.step(nil, nil)
			if tt.origin == "" {
				if !fault.Is(err, fault.Precondition) || !strings.Contains(err.Error(), "storage.objects.delete") {
					t.Errorf("up ended with %v", err)
				}
				w.asBefore()
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := result.Run.Roles; len(got) != 1 || got[0].Name != theRole.Name || got[0].Origin != tt.origin {
				t.Errorf("the run's roles are %+v", got)
			}
			if got := result.Grants[0].State; got != journal.Proved {
				t.Errorf("the grant is %s", got)
			}
			if r, err := w.other().Role(t.Context(), theRole.Name); err != nil || r.Deleted || !r.Ours() {
				t.Errorf("the role is %+v, %v", r, err)
			}
			if _, err := w.engine().Down(t.Context(), result.Run.ID(), 0); err != nil {
				t.Error(err)
			}
			w.asBefore()
		})
	}
}

// An up that is cut off around the making of the role leaves the shared role at most, once it is down; the
// next one uses that.
func TestCustomRoleOfAnUpThatWasCutOff(t *testing.T) {
	t.Parallel()
	// The role and the account are made side by side; the third write is that of the key or
	// of the policy.
	for n := 1; n <= 3; n++ {
		synctest.Test(t, func(t *testing.T) {
			if !cutOff(t, n) {
				t.Errorf("an up has %d writes", n-1)
			}
		})
	}
}

// cutOff lets none through of the writes of an up from the nth on, and reports whether
// there are as many.
func cutOff(t *testing.T, n int) bool {
	w := newWorld(t)
	var writes atomic.Int64
	w.wire.step(func(_ int, r *http.Request) (*http.Response, error) {
		reads := r.Method == http.MethodGet || strings.HasSuffix(r.URL.Path, ":queryTestablePermissions") ||
			strings.HasSuffix(r.URL.Path, ":testIamPermissions") || strings.HasSuffix(r.URL.Path, ":getAncestry") || r.URL.Path == "/token"
		if !reads && writes.Add(1) >= int64(n) {
			return &http.Response{StatusCode: http.StatusForbidden, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
		}
		return nil, nil
	}, nil)
	result, err := w.tryUp(byPermissions)
	w.wire.step(nil, nil)
	if err == nil {
		_, err := w.engine().Down(t.Context(), result.Run.ID(), 0)
		must(t, err)
		return false
	}
	e := w.engine()
	ids, err := e.Journals.List()
	must(t, err)
	for _, id := range ids {
		if _, err := e.Down(t.Context(), id, 0); err != nil {
			t.Errorf("cut off at write %d: %v", n, err)
		}
	}
	w.asBefore()
	again, _ := w.up(byPermissions)
	_, err = w.engine().Down(t.Context(), again.Run.ID(), 0)
	must(t, err)
	w.asBefore()
	return true
}

func TestNoRoomForACustomRole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range grants.MaxCustomRoles {
		_, err := w.other().CreateRole(t.Context(), grants.Role{Name: fmt.Sprintf("projects/acme-data/roles/other%03d", i), Permissions: []string{"storage.objects.get"}})
		must(t, err)
	}
	_, err := w.tryUp(byPermissions)
	if !fault.Is(err, fault.Precondition) || !slices.Contains(fault.Hints(err), "delete those that no run needs: taskiam sweep --roles --project acme-data") {
		t.Errorf("up ended with %v, %v", err, fault.Hints(err))
	}
	w.asBefore()
}

// While it retires a role, a sweep is overtaken by a run; and where nothing can be
// searched, it retires nothing.
func TestSweepRoles(t *testing.T) {
	t.Parallel()
	policy := func(w *world, role string) {
		on, _, err := resource.Parse("projects/acme-data")
		must(t, err)
		doc, err := w.other().ReadPolicy(t.Context(), on)
		must(t, err)
		doc.Add(policy.Binding{Role: role, Member: "user:mara@acme.example"})
		_, err = w.other().WritePolicy(t.Context(), on, doc)
		must(t, err)
	}
	options := lifecycle.SweepOptions{Projects: []string{"acme-data"}, OlderThan: time.Hour}
	for name, tt := range map[string]struct {
		before  func(*world)
		meddle  func(*world)
		want    customrole.SweptState
		kind    fault.Kind
		deleted bool
	}{
		"nothing binds it":        {nil, nil, customrole.Retired, fault.Other, true},
		"something does":          {func(w *world) { policy(w, theRole.Name) }, nil, customrole.InUse, fault.Other, false},
		"bound as it is judged":   {nil, func(w *world) { policy(w, theRole.Name) }, customrole.InUse, fault.Other, false},
		"changed as it is judged": {nil, func(w *world) { w.patchRole(theRole.Name, `{"title":"x"}`) }, customrole.InUse, fault.Other, false},
		"deleted as it is judged": {nil, func(w *world) {
			r, err := w.other().Role(t.Context(), theRole.Name)
			must(t, err)
			must(t, w.other().DeleteRole(t.Context(), r.Name, r.Etag))
		}, customrole.Gone, fault.Other, true},
		"an answer that is lost": {func(w *world) {
			_, err := w.server.AddFault(emulator.Fault{Method: "iam.projects.roles.delete", Do: emulator.FaultAnswer, Code: 503, Count: 1, After: true})
			must(t, err)
		}, nil, customrole.Retired, fault.Other, true},
		"nothing can be searched": {func(w *world) {
			_, err := w.server.AddFault(emulator.Fault{Method: "cloudasset.searchAllIamPolicies", Do: emulator.FaultAnswer, Code: 403})
			must(t, err)
		}, nil, customrole.Left, fault.Incomplete, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			_, err := w.other().CreateRole(t.Context(), theRole)
			must(t, err)
			if tt.before != nil {
				tt.before(w)
			}
			if tt.meddle != nil { // right before the role is deleted
				w.meddle("DELETE", theRole.Name, 1, func() { tt.meddle(w) })
			}
			got, err := w.engine().SweepRoles(t.Context(), options)
			if (err == nil) != (tt.kind == fault.Other) || err != nil && !fault.Is(err, tt.kind) {
				t.Errorf("the sweep ended with %v", err)
			}
			if roles := got.Projects[0].Roles; len(roles) != 1 || roles[0].State != tt.want {
				t.Errorf("the sweep found %+v", roles)
			}
			if r, err := w.other().Role(t.Context(), theRole.Name); err != nil || r.Deleted != tt.deleted {
				t.Errorf("the role is %+v, %v", r, err)
			}
		})
	}
}
