package lifecycle_test

import (
	"bytes"
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/emulator"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/gcp"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/manifest"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/racetest"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/review"
	"github.com/taskiam/taskiam/internal/secret"
)

const (
	freshMember = "user:fresh@acme.example"
	freshToken  = "ya29.emulator-fresh"
)

// everyKind is a task with a grant on each kind of resource that takes to the fence in a
// way of its own, one of them by a custom role.
const everyKind = `
version = 1
[task]
name = "every-kind"
project = "acme-agents"
ttl = "1h"
[[grant]]
role = "roles/storage.objectViewer"
resource = "gs://acme-reports/2026/"
[[grant]]
role = "roles/storage.objectCreator"
resource = "gs://acme-drop"
[[grant]]
role = "roles/bigquery.dataViewer"
resource = "bq://acme-data.sales"
[[grant]]
role = "roles/secretmanager.secretAccessor"
resource = "projects/acme-agents/secrets/api-key"
[[grant]]
role = "roles/pubsub.publisher"
resource = "projects/acme-agents/topics/reports"
unbounded = "accept"
[[grant]]
role = "roles/pubsub.subscriber"
resource = "projects/acme-agents/subscriptions/reports-audit"
unbounded = "accept"
[[grant]]
role = "projects/acme-agents/roles/namesOfSecrets"
resource = "projects/acme-agents"
[[grant]]
permissions = ["storage.objects.list"]
resource = "gs://acme-reports"
[[grant]]
role = "roles/iam.serviceAccountViewer"
resource = "projects/acme-agents/serviceAccounts/ci-runner@acme-agents.iam.gserviceaccount.com"
[credentials]
deliver = %s
`

// newFreshWorld is the company with somebody in it who has no access at all.
func newFreshWorld(t *testing.T, log io.Writer) *world {
	t.Helper()
	acme, err := os.ReadFile(filepath.Join("..", "..", "emulator", "seed", "acme.toml"))
	if err != nil {
		t.Fatal(err)
	}
	seed := string(acme) + `
[[principal]]
member = "` + freshMember + `"
token = "` + freshToken + `"
[[role]]
parent = "projects/acme-agents"
id = "namesOfSecrets"
title = "Names of secrets"
stage = "GA"
permissions = ["secretmanager.secrets.list"]
`
	server, err := emulator.New(emulator.Config{Seed: []byte(seed), Log: log, NewKey: func() (*rsa.PrivateKey, error) { return testKey(), nil }})
	if err != nil {
		t.Fatal(err)
	}
	return worldOn(t, server)
}

// engineOf returns an engine as somebody else than the company's operator has.
func (w *world) engineOf(token string) *lifecycle.Engine {
	w.t.Helper()
	e := w.engine()
	client, err := gcp.New(gcp.Config{Transport: w.wire, EmulatorHost: "emulator.test:80", Credential: gcp.EmulatorLogin(secret.New(token))})
	if err != nil {
		w.t.Fatal(err)
	}
	e.Cloud, e.Roles = client, client
	return e
}

func parseTask(t *testing.T, source string) grants.Task {
	t.Helper()
	task, err := manifest.Parse("task.toml", []byte(source), manifest.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return task
}

// empower makes the roles and binds them, as the company's operator, but for one
// permission of one role.
func (w *world) empower(a review.OperatorAccess, role, without string) {
	w.t.Helper()
	e := w.engine()
	_, token := w.server.Operator()
	for _, r := range a.Roles {
		permissions := slices.DeleteFunc(slices.Clone(r.Permissions), func(p string) bool { return r.Name() == role && p == without })
		body, err := json.Marshal(map[string]any{"roleId": r.ID, "role": map[string]any{"title": r.Title, "stage": "GA", "includedPermissions": permissions}})
		if err != nil {
			w.t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, "https://iam.googleapis.com/v1/"+r.Parent+"/roles", strings.NewReader(string(body)))
		if err != nil {
			w.t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		answer, err := w.wire.RoundTrip(req)
		if err != nil || answer.StatusCode != http.StatusOK {
			w.t.Fatalf("making %s: %v %v", r.Name(), answer, err)
		}
		_ = answer.Body.Close()
	}
	for _, b := range a.Bindings {
		if err := bind(w.t.Context(), e.Cloud, b.Resource, b.Binding); err != nil {
			w.t.Fatalf("binding %s on %s: %v", b.Role, b.Resource, err)
		}
	}
	w.before = w.snapshot()
}

// bind adds a binding to a policy.
func bind(ctx context.Context, cloud *gcp.Client, on resource.Name, b policy.Binding) error {
	doc, err := cloud.ReadPolicy(ctx, on)
	if err != nil {
		return err
	}
	doc.Add(b)
	_, err = cloud.WritePolicy(ctx, on, doc)
	return err
}

// tryRun brings a run up and down as somebody, and says what was short of what is to be;
// "" if nothing was.
func (w *world) tryRun(e *lifecycle.Engine, source string, want []journal.Readiness) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	plan := w.plan(e, source)
	o := w.options(plan)
	o.Metadata = "127.0.0.1:1"
	result, err := e.Up(ctx, plan, o)
	if err != nil {
		return "up: " + err.Error()
	}
	var got []journal.Readiness
	for _, g := range result.Grants {
		got = append(got, g.State)
	}
	short := ""
	if d := cmp.Diff(want, got); d != "" {
		short = "not as ready (-want +got):\n" + d
	}
	receipt, err := e.Down(ctx, plan.Run, 0)
	if err != nil || len(receipt.Run.Left()) > 0 {
		return fmt.Sprintf("%sdown: %v", short, err)
	}
	if d := cmp.Diff(string(w.before), string(w.snapshot())); d != "" {
		return short + "not as before:\n" + d
	}
	return short
}

// retire deletes the custom role of everyKind's list of permissions, for the next up to
// take back.
func (w *world) retire() {
	w.t.Helper()
	cloud := w.engine().Cloud
	name := grants.CustomRole("acme-data", []string{"storage.objects.list"}, 0).Name
	r, err := cloud.Role(w.t.Context(), name)
	if err == nil {
		err = cloud.DeleteRole(w.t.Context(), name, r.Etag)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// inEveryWay are the manifests of the three deliveries.
func inEveryWay() []string {
	var out []string
	for _, kind := range []string{`"key"`, `"token"`, `"metadata"`} {
		out = append(out, fmt.Sprintf(everyKind, kind))
	}
	return out
}

// readiness is what everyKind comes to: a dataset cannot be asked, a prefix is not true of
// the bucket itself.
var readiness = []journal.Readiness{
	journal.NotProvable, journal.Proved, journal.NotProvable, journal.Proved, journal.Proved, journal.Proved, journal.Proved, journal.Proved,
	journal.Proved,
}

// TestLeastRole: with the roles that doctor --role prints and nothing else, somebody
// brings up and down what the manifests declare, in every way of delivery; and there is
// no permission in them without which all of that works.
func TestLeastRole(t *testing.T) {
	t.Parallel()
	var tasks []grants.Task
	for _, source := range inEveryWay() {
		tasks = append(tasks, parseTask(t, source))
	}
	access := func(w *world) review.OperatorAccess {
		return w.engine().OperatorAccess(t.Context(), tasks, freshMember)
	}
	var log bytes.Buffer
	w := newFreshWorld(t, &log)
	all := access(w)
	w.empower(all, "", "")
	log.Reset()
	for i, source := range inEveryWay() {
		if i == 0 { // and where an answer is lost, which the operator then has to look for
			if _, err := w.server.AddFault(emulator.Fault{Method: "iam.projects.serviceAccounts.keys.upload", Do: emulator.FaultAnswer, Code: 503, After: true, Count: 1}); err != nil {
				t.Fatal(err)
			}
		}
		if short := w.tryRun(w.engineOf(freshToken), source, readiness); short != "" {
			t.Fatalf("%s\nwith the roles %+v", short, all.Roles)
		}
		w.retire()
	}
	used := usedBy(t, &log, freshMember)
	for _, r := range all.Roles {
		for _, p := range r.Permissions {
			if !used[p] {
				t.Errorf("no call of these runs is decided by %s", p)
			}
		}
	}
	n := 0
	for _, r := range all.Roles {
		for _, p := range r.Permissions {
			n++
			if racetest.Enabled() && n%4 != 0 { // under the race detector some will do: go test leaves out each
				continue
			}
			t.Run(r.ID+" without "+p, func(t *testing.T) {
				t.Parallel()
				w := newFreshWorld(t, nil)
				w.empower(access(w), r.Name(), p)
				for _, source := range inEveryWay() {
					if short := w.tryRun(w.engineOf(freshToken), source, readiness); short != "" {
						t.Log(short)
						return
					}
					w.retire()
				}
				t.Error("everything works without it: it is not needed")
			})
		}
	}
	if n < 20 {
		t.Errorf("the roles have %d permissions in all", n)
	}
}

// usedBy returns the permissions that decided what a member called, questions about them
// left aside.
func usedBy(t *testing.T, log io.Reader, member string) map[string]bool {
	t.Helper()
	used := map[string]bool{}
	for dec := json.NewDecoder(log); ; {
		var line struct{ Principal, Method, Permission, Decision string }
		if err := dec.Decode(&line); errors.Is(err, io.EOF) {
			return used
		} else if err != nil {
			t.Fatal(err)
		}
		if line.Principal == member && line.Decision == "allowed" && !strings.HasSuffix(strings.ToLower(line.Method), "testiampermissions") {
			used[line.Permission] = true
		}
	}
}

// TestFence: who has the roles cannot bind others where the fence holds, and can where it
// is said that it does not. And a fence where it is refused would refuse the tasks' own.
func TestFence(t *testing.T) {
	t.Parallel()
	task := parseTask(t, fmt.Sprintf(everyKind, `"key"`))
	w := newFreshWorld(t, nil)
	a := w.engine().OperatorAccess(t.Context(), []grants.Task{task}, freshMember)
	w.empower(a, "", "")
	fresh := w.engineOf(freshToken)
	others := map[string]string{
		"bucket": "roles/storage.admin", "dataset": "roles/bigquery.dataOwner", "secret": "roles/secretmanager.admin", "topic": "roles/pubsub.admin",
		"subscription": "roles/pubsub.admin", "project": "roles/resourcemanager.projectIamAdmin", "service account": "roles/iam.serviceAccountTokenCreator",
	}
	seen := map[review.Fence]int{}
	for _, b := range a.Bindings {
		if b.Fence == review.FenceNotNeeded {
			continue
		}
		seen[b.Fence]++
		role := others[b.Resource.Type().Kind]
		err := bind(t.Context(), fresh.Cloud, b.Resource, policy.Binding{Role: role, Member: freshMember})
		if refused := fault.Is(err, fault.Denied); refused != (b.Fence == review.FenceHolds) || err != nil && !refused {
			t.Errorf("the fence on %s %s, and binding %s: %v", b.Resource, b.Fence, role, err)
		}
		if b.Fence != review.FenceRefused {
			continue
		}
		// The same role on the project above, with a fence: the topic would be out of reach.
		w := newFreshWorld(t, nil)
		w.empower(review.OperatorAccess{Roles: a.Roles}, "", "")
		above, _, err := resource.Parse("projects/" + b.Resource.Project())
		if err != nil {
			t.Fatal(err)
		}
		fenced := b.Binding
		fenced.Condition = policy.Condition{Title: review.FenceTitle, Expression: review.FenceExpression([]string{"roles/pubsub.publisher", "roles/pubsub.subscriber"})}
		if err := bind(t.Context(), w.engine().Cloud, above, fenced); err != nil {
			t.Fatal(err)
		}
		err = bind(t.Context(), w.engineOf(freshToken).Cloud, b.Resource, policy.Binding{Role: "roles/pubsub.publisher", Member: freshMember})
		if !fault.Is(err, fault.Denied) {
			t.Errorf("a fence on %s is not refused: %v", b.Resource, err)
		}
	}
	if want := map[review.Fence]int{review.FenceHolds: 5, review.FenceIgnored: 1, review.FenceRefused: 2}; !cmp.Equal(seen, want) {
		t.Errorf("fences: %v, want %v", seen, want)
	}
}
