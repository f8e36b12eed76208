package lifecycle_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/taskiam/taskiam/internal/gcp"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/secret"
)

// What a neighbour writes into a policy after taskiam has read it, and before it writes,
// is there afterwards: for every policy of a run, while it comes up and while it goes.
func TestNeighbourBetweenReadAndWrite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, token := w.server.Operator()
		neighbour, err := gcp.New(gcp.Config{
			Transport: w.server.Transport(), EmulatorHost: "emulator.test:80", Credential: gcp.EmulatorLogin(secret.New(token)), UserAgent: "neighbour",
		})
		if err != nil {
			t.Fatal(err)
		}
		e := w.engine()
		plan := w.plan(e, byKey)
		// change adds the neighbour's binding, or takes it away.
		change := func(name resource.Name, add bool) {
			doc, err := neighbour.ReadPolicy(t.Context(), name)
			if err != nil {
				t.Error(err)
				return
			}
			b := policy.Binding{Role: roleFor(plan, name), Member: "user:ana@acme.example"}
			if add != doc.Has(b) {
				if add {
					doc.Add(b)
				} else {
					doc.Remove(b)
				}
				if _, err = neighbour.WritePolicy(t.Context(), name, doc); err != nil {
					t.Error(err)
				}
			}
		}
		between := func(add bool) map[string]bool {
			met := map[string]bool{}
			w.wire.step(locked(func(_ int, r *http.Request) (*http.Response, error) {
				if !setsPolicy(r) || met[r.URL.Path] {
					return nil, nil
				}
				met[r.URL.Path] = true
				for _, edit := range plan.Edits {
					if strings.Contains(r.URL.Path, "/"+lastPart(edit.Resource.Full())) {
						change(edit.Resource, add)
					}
				}
				return nil, nil
			}), nil)
			return met
		}
		met := between(true)
		if _, err := e.Up(t.Context(), plan, w.options(plan)); err != nil {
			t.Fatal(err)
		}
		if len(met) != len(plan.Edits) {
			t.Errorf("%d policies were written, want %d", len(met), len(plan.Edits))
		}
		for _, edit := range plan.Edits {
			doc, err := neighbour.ReadPolicy(t.Context(), edit.Resource)
			if err != nil {
				t.Fatal(err)
			}
			if !doc.Has(policy.Binding{Role: roleFor(plan, edit.Resource), Member: "user:ana@acme.example"}) {
				t.Errorf("%s: what the neighbour wrote meanwhile is gone", edit.Resource)
			}
			for _, b := range edit.Bindings {
				if !doc.Has(b) {
					t.Errorf("%s: %s is not bound", edit.Resource, b.Role)
				}
			}
		}
		between(false)
		if _, err := w.engine().Down(t.Context(), plan.Run, 0); err != nil {
			t.Fatal(err)
		}
		w.asBefore()
	})
}

// roleFor returns a role that the plan binds on a resource.
func roleFor(plan grants.Plan, name resource.Name) string {
	for _, edit := range plan.Edits {
		if edit.Resource == name {
			return edit.Bindings[0].Role
		}
	}
	return ""
}
