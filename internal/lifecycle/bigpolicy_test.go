package lifecycle_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/resource"
)

// manyRoles can be bound on a project.
var manyRoles = []string{
	"roles/browser", "roles/pubsub.viewer", "roles/pubsub.publisher", "roles/pubsub.subscriber", "roles/storage.objectViewer",
	"roles/secretmanager.viewer", "roles/secretmanager.secretAccessor", "roles/bigquery.dataViewer", "roles/bigquery.jobUser", "roles/logging.viewer",
}

// A policy that is nearly as full as Google allows, of 1,500 principals and "a few 10s of
// KB", and twenty grants on it and on others: nothing of it is lost.
func TestPolicyThatIsNearlyFull(t *testing.T) {
	t.Parallel()
	const foreigners, size = 1400, 60 << 10
	synctest.Test(t, func(t *testing.T) {
		var seed strings.Builder
		for _, s := range specials {
			seed.WriteString(s.seed)
		}
		w := newSeededWorld(t, seed.String())
		name, _, err := resource.Parse("projects/acme-agents")
		if err != nil {
			t.Fatal(err)
		}
		p := w.policy(name)
		bindings, _ := p["bindings"].([]any)
		for i, role := range manyRoles { // half of them in a binding of a condition
			var members []any
			for n := range foreigners / len(manyRoles) {
				members = append(members, fmt.Sprintf("user:somebody.else.%02d.%04d@a-long-name.acme.example", i, n))
			}
			bindings = append(bindings,
				object{"role": role, "members": members[:len(members)/2]},
				object{"role": role, "members": members[len(members)/2:], "condition": object{"title": "theirs", "expression": "true"}})
		}
		p["bindings"] = bindings
		w.setPolicy(name, p)
		text, err := json.Marshal(w.policy(name))
		if err != nil || len(text) < size || strings.Count(string(text), "somebody.else") != foreigners {
			t.Fatalf("the policy has %d bytes, want %d at least (%v)", len(text), size, err)
		}
		before := foreign(t, w.policy(name), "")
		w.before = w.snapshot()

		many := append([]special(nil), specials...)
		for _, role := range manyRoles {
			many = append(many, special{name: "projects/acme-agents", role: role})
		}
		_, plan := w.up(neighboursManifest(t, many))
		if diff := cmp.Diff(before, foreign(t, w.policy(name), plan.Email)); diff != "" {
			t.Errorf("while the run is up, it is not as others left it:\n%s", diff)
		}
		if doc, err := w.engine().Cloud.ReadPolicy(t.Context(), name); err != nil || len(doc.Account(plan.Email, "")) != len(manyRoles) {
			t.Errorf("%d bindings of the run, %v, want %d", len(doc.Account(plan.Email, "")), err, len(manyRoles))
		}
		if _, err := w.engine().Down(t.Context(), plan.Run, 0); err != nil {
			t.Fatal(err)
		}
		w.asBefore()
	})
}

// Another run takes the last place in a policy between the look at it and the write. The loser is
// told at once, with what takes the room, and nothing of it is left.
func TestLastPlaceIsTaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		name, _, err := resource.Parse("projects/acme-agents/secrets/api-key")
		if err != nil {
			t.Fatal(err)
		}
		fill := func(from, to int) {
			p := w.policy(name)
			bindings, _ := p["bindings"].([]any)
			var members []any
			for n := range to - from {
				members = append(members, fmt.Sprintf("deleted:user:gone%d@acme.example?uid=%021d", from+n, from+n))
			}
			p["bindings"] = append(bindings, object{"role": "roles/secretmanager.viewer", "members": members})
			w.setPolicy(name, p)
		}
		fill(0, 1498) // beside the one that is there
		var once sync.Once
		w.wire.step(func(_ int, r *http.Request) (*http.Response, error) {
			if strings.HasSuffix(r.URL.Path, "/secrets/api-key:setIamPolicy") {
				once.Do(func() {
					w.wire.step(nil, nil)
					fill(1498, 1499)
				})
			}
			return nil, nil
		}, nil)
		e := w.engine()
		plan := w.plan(e, byShort)
		begun := time.Now()
		_, err = e.Up(t.Context(), plan, w.options(plan))
		took := time.Since(begun)
		if err == nil || !fault.Is(err, fault.Precondition) || !strings.Contains(err.Error(), "1499 of its members are deleted") {
			t.Errorf("up: %v", err)
		}
		if hints := strings.Join(fault.Hints(err), "\n"); !strings.Contains(hints, "gcloud secrets set-iam-policy api-key") {
			t.Errorf("hints:\n%s", hints)
		}
		if took > 10*time.Second {
			t.Errorf("that took %s", took)
		}
		if strings.Contains(string(w.snapshot()), plan.Email) {
			t.Error("something of the run is left")
		}
	})
}
