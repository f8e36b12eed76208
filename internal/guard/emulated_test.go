package guard_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskiam/taskiam/emulator"
	"github.com/taskiam/taskiam/emulator/emulatortest"
	"github.com/taskiam/taskiam/internal/gcp"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/guard"
	"github.com/taskiam/taskiam/internal/manifest"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/racetest"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/secret"
)

var (
	widerSeed  = flag.Uint64("wider.seed", 0, "play only the pair of this `seed`")
	widerPairs = flag.Uint64("wider.pairs", pairs(), "how many pairs of manifests to play")
)

// pairs is fewer where looking for races makes each take long.
func pairs() uint64 {
	if racetest.Enabled() {
		return 20
	}
	return 80
}

// began is just before the hour that a condition of some manifests asks for.
var began = time.Date(2026, 3, 3, 18, 15, 0, 0, time.UTC)

// TestWiderByTheEmulator: whatever the emulator allows more under the second of two manifests is reported as wider.
// The two are bound for two accounts, as their plans say, and each account is asked what it may, at several times: by
// testIamPermissions and by calls that do it.
func TestWiderByTheEmulator(t *testing.T) {
	t.Parallel()
	w := newLittleWorld(t)
	seeds := []uint64{*widerSeed}
	if *widerSeed == 0 {
		seeds = nil
		for seed := range *widerPairs {
			seeds = append(seeds, seed+1)
		}
	}
	told, opened, refused := 0, 0, 0
	for _, seed := range seeds {
		r := rand.New(rand.NewPCG(seed, 3))
		was := randomDraft(r)
		now := was.edited(r)
		if r.IntN(6) == 0 {
			now = randomDraft(r)
		}
		first, ok := was.task()
		second, fine := now.task()
		if !ok || !fine {
			refused++ // a condition that is never true there
			continue
		}
		wider := guard.Wider(guard.ScopeOf(first), guard.ScopeOf(second))
		more := w.opensMore(first, second)
		if len(wider) > 0 {
			told++
		}
		if len(more) > 0 {
			opened++
		}
		for _, m := range more {
			if !slices.ContainsFunc(wider, func(w guard.Widening) bool { return m.accountedFor(w, second) }) {
				t.Fatalf("-wider.seed=%d: %s, %s after its beginning, is new, and not reported:\n%v\nof\n%s\nafter\n%s",
					seed, m.ability, m.later, wider, now, was)
			}
		}
	}
	played := len(seeds) - refused
	t.Logf("of %d pairs %d opened more, and %d were said to; %d were no manifests", played, opened, told, refused)
	if *widerSeed == 0 && (opened < played/4 || told > played*7/8 || refused > len(seeds)/2) {
		t.Error("these pairs say little")
	}
}

// addition is what one account may at some time and the other may not.
type addition struct {
	ability
	later time.Duration
}

// ability is something that an account may do.
type ability struct{ does, on string }

// accountedFor reports whether a widening is of what the addition is on, or above that; a longer ttl is of everything.
func (a addition) accountedFor(w guard.Widening, task grants.Task) bool {
	if w.Kind == guard.WiderTTL {
		return true
	}
	if w.Grant < 0 {
		return false
	}
	above := "projects/acme-agents"
	if strings.Contains(a.on, "://") || a.on == "projects/acme-data" {
		above = "projects/acme-data"
	}
	on := task.Grants[w.Grant].Resource.String()
	return on == a.on || on == above
}

// draft is a manifest that is being made.
type draft struct {
	ttl    time.Duration
	grants []draftGrant
}

type draftGrant struct {
	at        int // in places
	prefix    string
	role      string
	holds     []string
	condition string
}

// place is a resource of the little world, and what can be granted there.
type place struct {
	name      string
	unbounded bool
	roles     []string
	holds     []string
	prefixes  []string
}

var (
	ofObjects = []string{"storage.objects.create", "storage.objects.delete", "storage.objects.get", "storage.objects.list"}
	ofSecrets = []string{"secretmanager.secrets.get", "secretmanager.versions.access", "secretmanager.versions.get"}

	storageRoles = []string{
		"roles/storage.objectViewer", "roles/storage.objectCreator", "roles/storage.objectUser", "roles/storage.admin",
	}
	secretRoles = []string{"roles/secretmanager.secretAccessor", "roles/secretmanager.viewer", "roles/secretmanager.admin"}
)

var places = []place{
	{name: "gs://acme-reports", roles: storageRoles, holds: ofObjects, prefixes: []string{"", "", "20", "2025/", "2026/", "2026/0"}},
	{name: "gs://acme-drop", roles: storageRoles, holds: ofObjects},
	{name: "projects/acme-agents/secrets/api-key", roles: secretRoles, holds: ofSecrets},
	{name: "projects/acme-agents/secrets/db-password", roles: secretRoles, holds: ofSecrets},
	{name: "projects/acme-agents", roles: append(slices.Clone(secretRoles), "roles/pubsub.publisher"), holds: ofSecrets},
	{name: "projects/acme-data", roles: append(slices.Clone(storageRoles), "roles/bigquery.dataViewer"), holds: ofObjects},
	{name: "projects/acme-agents", unbounded: true, roles: []string{"roles/viewer", "roles/editor"}},
	{name: "projects/acme-agents/topics/reports", unbounded: true, roles: []string{"roles/pubsub.publisher", "roles/pubsub.viewer"}},
	{name: "bq://acme-data.sales", roles: []string{"roles/bigquery.dataViewer", "roles/bigquery.dataEditor"}},
}

// Conditions, by where they can be true.
var (
	anywhere = []string{
		"", "",
		`request.time.getHours("Europe/Berlin") < 20`,
		`request.time < timestamp("2026-03-03T18:30:00Z")`,
	}
	ofReports = []string{
		`resource.name.startsWith("projects/_/buckets/acme-reports/objects/2026/")`,
		`!resource.name.endsWith(".csv") || resource.name.extract("objects/{year}/") == "2026"`,
	}
	ofVersions = []string{
		`resource.name.endsWith("/versions/1")`,
		`resource.type == "secretmanager.googleapis.com/SecretVersion"`,
	}
)

// condition chooses a condition for a grant.
func (p place) condition(r *rand.Rand) string {
	if p.unbounded {
		return ""
	}
	can := anywhere
	switch {
	case p.name == "gs://acme-reports":
		can = slices.Concat(can, ofReports)
	case strings.HasPrefix(p.name, "projects/acme-agents"):
		can = slices.Concat(can, ofVersions)
	}
	return oneOf(r, can)
}

func oneOf[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

func randomDraft(r *rand.Rand) draft {
	d := draft{ttl: oneOf(r, []time.Duration{30 * time.Minute, time.Hour, 2 * time.Hour})}
	for range 1 + r.IntN(3) {
		d.grants = append(d.grants, randomGrant(r))
	}
	return d
}

func randomGrant(r *rand.Rand) draftGrant {
	g := draftGrant{at: r.IntN(len(places))}
	p := places[g.at]
	g.gives(r)
	g.condition = p.condition(r)
	if len(p.prefixes) > 0 {
		g.prefix = oneOf(r, p.prefixes)
	}
	return g
}

// gives chooses a role or some permissions.
func (g *draftGrant) gives(r *rand.Rand) {
	p := places[g.at]
	g.role, g.holds = oneOf(r, p.roles), nil
	if len(p.holds) > 0 && r.IntN(3) == 0 {
		g.role = ""
		for _, one := range p.holds {
			if r.IntN(2) == 0 {
				g.holds = append(g.holds, one)
			}
		}
		if len(g.holds) == 0 {
			g.holds = p.holds[:1]
		}
	}
}

// edited returns the draft after some edits, of which one in two narrows it.
func (d draft) edited(r *rand.Rand) draft {
	d.grants = slices.Clone(d.grants)
	for range 1 + r.IntN(2) {
		i := r.IntN(len(d.grants))
		g := &d.grants[i]
		switch r.IntN(9) {
		case 0:
			d.ttl = oneOf(r, []time.Duration{30 * time.Minute, time.Hour, 2 * time.Hour})
		case 1:
			if len(d.grants) > 1 {
				d.grants = slices.Delete(d.grants, i, i+1)
			}
		case 2:
			d.grants = append(d.grants, randomGrant(r))
		case 3:
			g.gives(r)
		case 4:
			if p := places[g.at]; len(p.prefixes) > 0 {
				g.prefix = oneOf(r, p.prefixes)
			}
		case 5:
			g.condition = places[g.at].condition(r)
		case 6:
			g.holds = slices.Clone(g.holds[:max(len(g.holds)-1, min(len(g.holds), 1))])
		case 7: // from a project to a secret in it
			if places[g.at].name == "projects/acme-agents" && strings.Contains(g.role+strings.Join(g.holds, " "), "secretmanager") {
				g.at = 2 + r.IntN(2)
			}
		case 8: // one list in two grants
			if len(g.holds) > 1 {
				second := *g
				second.holds = g.holds[1:]
				g.holds = g.holds[:1]
				d.grants = append(d.grants, second)
			}
		}
	}
	return d
}

// String returns the manifest. A grant that is covered by another one is left out, since a manifest refuses it.
func (d draft) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "version = 1\n[task]\nname = \"t\"\nproject = \"acme-agents\"\nttl = %q\n", d.ttl)
	seen := map[string]bool{}
	for _, g := range d.grants {
		seen[fmt.Sprint(g.at, g.role, g.holds, "", "")] = seen[fmt.Sprint(g.at, g.role, g.holds, "", "")] ||
			g.prefix == "" && g.condition == ""
	}
	done := map[string]bool{}
	for _, g := range d.grants {
		key := fmt.Sprint(g.at, g.role, g.holds, g.prefix, g.condition)
		whole := seen[fmt.Sprint(g.at, g.role, g.holds, "", "")] && (g.prefix != "" || g.condition != "")
		if done[key] || whole {
			continue
		}
		done[key] = true
		p := places[g.at]
		name := p.name
		if g.prefix != "" {
			name += "/" + g.prefix
		}
		fmt.Fprintf(&b, "[[grant]]\nresource = %q\n", name)
		if g.role != "" {
			fmt.Fprintf(&b, "role = %q\n", g.role)
		} else {
			fmt.Fprintf(&b, "permissions = [\"%s\"]\n", strings.Join(g.holds, `", "`))
		}
		if g.condition != "" {
			fmt.Fprintf(&b, "condition = '%s'\n", g.condition)
		}
		if p.unbounded {
			b.WriteString("unbounded = \"accept\"\n")
		}
		if grants.Basic(g.role) {
			b.WriteString("allow_basic = true\n")
		}
	}
	return b.String()
}

func (d draft) task() (task grants.Task, ok bool) {
	task, err := manifest.Parse("task.toml", []byte(d.String()), manifest.Limits{})
	return task, err == nil
}

// littleWorld is the company of the emulator, with an account for each of two manifests.
type littleWorld struct {
	t        *testing.T
	operator *gcp.Client
	accounts [2]*gcp.Client
	now      time.Time
	roles    map[string]bool // custom ones that were made
	objects  int             // that were written
}

const littleAccounts = `
[[service_account]]
project = "acme-agents"
id      = "was-account"
token   = "the-account-of-before"

[[service_account]]
project = "acme-agents"
id      = "now-account"
token   = "the-account-of-now"
`

func newLittleWorld(t *testing.T) *littleWorld {
	t.Helper()
	seed, err := os.ReadFile("../../emulator/seed/acme.toml")
	if err != nil {
		t.Fatal(err)
	}
	w := &littleWorld{t: t, now: began, roles: map[string]bool{}}
	server := emulatortest.Start(t, emulator.Config{
		Seed: []byte(string(seed) + littleAccounts), Now: func() time.Time { return w.now },
	})
	_, token := server.Operator()
	if w.operator, err = gcp.New(gcp.Config{
		Transport: server.Transport(), EmulatorHost: "emulator.test:80", UserAgent: "taskiam/test",
		Credential: gcp.EmulatorLogin(secret.New(token)),
	}); err != nil {
		t.Fatal(err)
	}
	w.accounts[0] = w.operator.As(gcp.StaticToken(secret.New("the-account-of-before")))
	w.accounts[1] = w.operator.As(gcp.StaticToken(secret.New("the-account-of-now")))
	return w
}

// opensMore binds two tasks, and returns what the second account may at some time and the first may not.
func (w *littleWorld) opensMore(was, now grants.Task) []addition {
	w.t.Helper()
	w.now = began
	a := w.bind(was, "was-account@acme-agents.iam.gserviceaccount.com")
	b := w.bind(now, "now-account@acme-agents.iam.gserviceaccount.com")
	var more []addition
	for _, later := range []time.Duration{10 * time.Minute, 25 * time.Minute, 55 * time.Minute, 90 * time.Minute, 3 * time.Hour} {
		w.now = began.Add(later)
		before := w.may(0)
		for _, what := range w.may(1) {
			if !slices.Contains(before, what) {
				more = append(more, addition{what, later})
			}
		}
	}
	a()
	b()
	return more
}

// bind makes the bindings of a plan for an account. The function that it returns removes them.
func (w *littleWorld) bind(task grants.Task, email string) (remove func()) {
	w.t.Helper()
	plan := grants.NewPlan(task, grants.NewRunID(began, [5]byte{}))
	done := map[resource.Name][]policy.Binding{}
	for _, edit := range plan.Edits {
		for i, b := range edit.Bindings {
			b.Member = policy.Member(email)
			if held := task.Grants[edit.Grants[i]].Permissions; len(held) > 0 {
				b.Role = w.customRole(edit.Resource, held)
			}
			done[edit.Resource] = append(done[edit.Resource], b)
		}
		w.edit(edit.Resource, func(doc policy.Document) {
			for _, b := range done[edit.Resource] {
				doc.Add(b)
			}
		})
	}
	return func() {
		for name, bindings := range done {
			w.edit(name, func(doc policy.Document) {
				for _, b := range bindings {
					doc.Remove(b)
				}
			})
		}
	}
}

func (w *littleWorld) edit(name resource.Name, change func(policy.Document)) {
	w.t.Helper()
	doc, err := w.operator.ReadPolicy(w.t.Context(), name)
	if err == nil {
		change(doc)
		_, err = w.operator.WritePolicy(w.t.Context(), name, doc)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// customRole returns a role with these permissions, in the project of the resource.
func (w *littleWorld) customRole(name resource.Name, permissions []string) string {
	w.t.Helper()
	project := name.Project()
	if _, bucket := name.Bucket(); bucket {
		project = "acme-data"
	}
	role := grants.CustomRole(project, permissions, 0)
	if !w.roles[role.Name] {
		if _, err := w.operator.CreateRole(w.t.Context(), role); err != nil {
			w.t.Fatal(err)
		}
		w.roles[role.Name] = true
	}
	return role.Name
}

// asked are the permissions that are asked about, by the resource.
var asked = []struct {
	name        string
	permissions []string
}{
	{"gs://acme-reports", append([]string{"storage.buckets.get", "storage.buckets.delete"}, ofObjects...)},
	{"gs://acme-drop", append([]string{"storage.buckets.get", "storage.buckets.delete"}, ofObjects...)},
	{"projects/acme-agents/secrets/api-key", append([]string{"secretmanager.secrets.delete"}, ofSecrets...)},
	{"projects/acme-agents/secrets/db-password", append([]string{"secretmanager.secrets.delete"}, ofSecrets...)},
	{"projects/acme-agents/topics/reports", []string{"pubsub.topics.publish", "pubsub.topics.get", "pubsub.topics.delete"}},
	{"projects/acme-agents", append([]string{"resourcemanager.projects.get", "pubsub.topics.create"}, ofSecrets...)},
	{"projects/acme-data", append([]string{"resourcemanager.projects.get", "bigquery.tables.getData"}, ofObjects...)},
}

// may returns what an account may do.
func (w *littleWorld) may(account int) []ability {
	w.t.Helper()
	client, ctx := w.accounts[account], w.t.Context()
	var out []ability
	for _, a := range asked {
		name, _, err := resource.Parse(a.name)
		if err != nil {
			w.t.Fatal(err)
		}
		held, err := client.TestPermissions(ctx, name, a.permissions)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, p := range held {
			out = append(out, ability{p, a.name})
		}
	}
	w.objects++
	fresh := fmt.Sprintf("fresh-%d", w.objects) // what is there takes another permission to be written
	const (
		storage = "https://storage.googleapis.com/storage/v1/b/"
		upload  = "https://storage.googleapis.com/upload/storage/v1/b/"
		secrets = "https://secretmanager.googleapis.com/v1/projects/acme-agents/secrets/"
		pubsub  = "https://pubsub.googleapis.com/v1/projects/acme-agents/topics/reports"
		sales   = "https://bigquery.googleapis.com/bigquery/v2/projects/acme-data/datasets/sales"
	)
	const (
		reports  = "gs://acme-reports"
		drop     = "gs://acme-drop"
		key      = "projects/acme-agents/secrets/api-key"
		password = "projects/acme-agents/secrets/db-password"
		topic    = "projects/acme-agents/topics/reports"
		dataset  = "bq://acme-data.sales"
	)
	for _, c := range []struct{ on, does, method, url, body string }{
		{reports, "read 2026/01.csv", "GET", storage + "acme-reports/o/2026%2F01.csv?alt=media", ""},
		{reports, "read 2025/12.csv", "GET", storage + "acme-reports/o/2025%2F12.csv?alt=media", ""},
		{reports, "list the reports", "GET", storage + "acme-reports/o", ""},
		{reports, "write to 2026", "POST", upload + "acme-reports/o?uploadType=media&name=2026%2F" + fresh, "x"},
		{reports, "write to 2025", "POST", upload + "acme-reports/o?uploadType=media&name=2025%2F" + fresh, "x"},
		{drop, "write to the drop", "POST", upload + "acme-drop/o?uploadType=media&name=" + fresh, "x"},
		{reports, "delete in 2026", "DELETE", storage + "acme-reports/o/2026%2Fnone", ""},
		{reports, "delete in 2025", "DELETE", storage + "acme-reports/o/2025%2Fnone", ""},
		{key, "read the first key", "GET", secrets + "api-key/versions/1:access", ""},
		{key, "read the second key", "GET", secrets + "api-key/versions/2:access", ""},
		{password, "read the password", "GET", secrets + "db-password/versions/1:access", ""},
		{key, "see the key", "GET", secrets + "api-key", ""},
		{topic, "publish", "POST", pubsub + ":publish", `{"messages":[{"data":"eA=="}]}`},
		{topic, "see the topic", "GET", pubsub, ""},
		{dataset, "see the table", "GET", sales + "/tables/orders", ""},
		{dataset, "read the table", "GET", sales + "/tables/orders/data", ""},
	} {
		if w.allows(ctx, client, c.method, c.url, c.body) {
			out = append(out, ability{c.does, c.on})
		}
	}
	return out
}

// allows makes a call, and reports whether it was allowed: what is not there could have been had.
func (w *littleWorld) allows(ctx context.Context, client *gcp.Client, method, url, body string) bool {
	w.t.Helper()
	header := http.Header{}
	if body != "" {
		header.Set("Content-Type", "application/json")
	}
	answer, err := client.Exchange(ctx, method, url, header, []byte(body))
	if err != nil {
		w.t.Fatal(err)
	}
	switch answer.Status {
	case http.StatusOK, http.StatusNoContent, http.StatusNotFound:
		return true
	case http.StatusForbidden:
		return false
	default:
		w.t.Fatalf("%s %s: %d %s", method, url, answer.Status, answer.Body)
		return false
	}
}
