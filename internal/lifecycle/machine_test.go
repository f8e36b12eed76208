package lifecycle_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskiam/taskiam/emulator"
	"github.com/taskiam/taskiam/internal/credentials"
	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/gcp"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/journal/journaltest"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/manifest"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/secret"
)

// machine is the operator's computer, with an emulator in reach: one process at a time
// works on it, and can be killed, as can the power. It is used in one synctest bubble.
type machine struct {
	t      *testing.T
	server *emulator.Server
	wire   http.RoundTripper
	token  string // the operator's
	disk   *journaltest.Disk
	safe   *safe
	key    func() *rsa.PrivateKey // of each key pair
	random io.Reader              // of run ids
	before []byte

	mu      sync.Mutex
	ahead   time.Duration // by how much its clock is ahead of everybody's
	dead    bool          // the process gets nothing done any more
	expired bool          // the operator's login is no good any more
	// recording says that every call is wanted, those for what is known too.
	recording bool
	calls     []point
	counts    map[string]int
	// onCall is called at the call at, before it is sent; it may end the process
	// down there, or return what is to happen after the call was applied.
	at      point
	onCall  func(r *http.Request) (after func())
	reached bool
	// each is called at every call of all, which are counted from 1.
	each func(n int, r *http.Request) (after func())
	// undeliverable is why nothing can be delivered; nil if it can.
	undeliverable func() error
	// undone is how many calls there were when the delivery failed.
	undone int

	// servers are the processes that work for a run in the background, by their PIDs.
	servers map[int]grants.RunID
	started int // how many were ever started

	// lost are the runs whose journals are not on this machine.
	lost []grants.Plan
	// given is where the user says that runs were bound.
	given []resource.Name
	// unsearchable says that policies cannot be searched.
	unsearchable bool
}

// point is one call of a flow: what it asks, and the how-manieth to ask that.
type point struct {
	call string
	nth  int
}

func (p point) String() string { return fmt.Sprintf("%s #%d", p.call, p.nth) }

// errDead is what a process sees that was killed. It is of no kind that is tried again.
var errDead = fault.New(fault.Other, "the process was killed")

// newMachine returns a machine, and an emulator that writes its log to log; that may be nil.
func newMachine(t *testing.T, log io.Writer) *machine {
	t.Helper()
	server, err := emulator.New(emulator.Config{
		NewKey: func() (*rsa.PrivateKey, error) { return testKey(), nil }, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	_, token := server.Operator()
	m := &machine{t: t, server: server, wire: server.Transport(), token: token, safe: &safe{}, key: testKey, random: rand.Reader}
	m.clear()
	m.bindNeighbours()
	m.before = m.snapshot()
	m.clear()
	return m
}

// conditioned has how the policies are written in which a neighbour has something under a condition, and what.
var conditioned = []struct {
	write, resource, role string
}{
	{"/secrets/api-key:setIamPolicy", "projects/acme-agents/secrets/api-key", "roles/secretmanager.secretAccessor"},
	{"/b/acme-reports/iam", "gs://acme-reports", "roles/storage.objectViewer"},
	{"/datasets/sales", "bq://acme-data.sales", "roles/bigquery.dataViewer"},
}

// bindNeighbours binds them.
func (m *machine) bindNeighbours() {
	m.t.Helper()
	cloud := m.engine().Cloud
	for _, c := range conditioned {
		name, _, err := resource.Parse(c.resource)
		if err != nil {
			m.t.Fatal(err)
		}
		doc, err := cloud.ReadPolicy(m.t.Context(), name)
		if err != nil {
			m.t.Fatal(err)
		}
		doc.Add(policy.Binding{Role: c.role, Member: hours.Member, Condition: hours.Condition})
		if _, err := cloud.WritePolicy(m.t.Context(), name, doc); err != nil {
			m.t.Fatal(err)
		}
	}
}

// elsewhere returns another machine of the same operator, on which nothing is known of
// any run.
func (m *machine) elsewhere() *machine {
	other := &machine{
		t: m.t, server: m.server, wire: m.wire, token: m.token, safe: &safe{}, key: m.key, random: m.random, before: m.before,
	}
	other.clear()
	return other
}

// now is the time on the machine's clock.
func (m *machine) now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Now().Add(m.ahead)
}

// clear gives the machine an empty disk and no trouble.
func (m *machine) clear() {
	m.disk = m.newDisk()
	m.safe.deliveries = nil
	m.undeliverable = nil
	m.servers = nil
	m.lost, m.given, m.unsearchable = nil, nil, false
	m.lift()
	m.watch(point{}, nil)
}

// newDisk returns an empty disk, on which nothing is written by a process that is dead.
func (m *machine) newDisk() *journaltest.Disk {
	return &journaltest.Disk{Before: func(journaltest.Op) error {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.dead {
			return journaltest.ErrPower
		}
		return nil
	}}
}

// lift ends whatever trouble there is.
func (m *machine) lift() {
	m.server.RemoveFault("")
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expired = false
}

// watch begins to count calls, and has onCall called at one of them.
func (m *machine) watch(at point, onCall func(*http.Request) func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls, m.counts = nil, map[string]int{}
	m.at, m.onCall, m.reached, m.each = at, onCall, false, nil
}

// die is SIGKILL: from now on the process gets nothing done.
func (m *machine) die() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead = true
}

// restart is the machine after its process was killed, or after the power went: then
// what was not fsynced is lost. The process that died must have returned.
func (m *machine) restart(power bool) {
	if power {
		m.disk.LosePower(nil)
		m.servers = nil
	} else {
		m.disk.Crash()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead = false
}

// RoundTrip carries a call of the process to the emulator.
func (m *machine) RoundTrip(r *http.Request) (*http.Response, error) {
	name := callName(r)
	m.mu.Lock()
	m.counts[name]++
	p := point{name, m.counts[name]}
	if !m.dead {
		m.calls = append(m.calls, p)
	}
	onCall := m.onCall
	if m.dead || onCall == nil || p != m.at {
		onCall = nil
	} else {
		m.reached = true
	}
	if n, each := len(m.calls), m.each; each != nil && !m.dead {
		onCall = func(r *http.Request) func() { return each(n, r) }
	}
	m.mu.Unlock()

	after := func() {}
	if onCall != nil {
		after = onCall(r)
	}
	m.mu.Lock()
	dead, expired := m.dead, m.expired
	m.mu.Unlock()
	if dead {
		return nil, errDead
	}
	if expired {
		r = m.withoutLogin(r)
	}
	if m.unsearchable && r.Host == "cloudasset.googleapis.com" {
		return answer(r, http.StatusForbidden, searchDisabled), nil
	}
	got, err := m.wire.RoundTrip(r)
	after()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return nil, errDead
	}
	return got, err
}

// withoutLogin replaces the operator's token in a request, wherever it is, by one that
// has expired.
func (m *machine) withoutLogin(r *http.Request) *http.Request {
	const expired = "ya29.expired"
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), m.token, expired, 1))
	if r.Body != nil && strings.HasSuffix(r.URL.Path, "/tokeninfo") {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			m.t.Error(err)
		}
		body = bytes.ReplaceAll(body, []byte(url.QueryEscape(m.token)), []byte(expired))
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	return r
}

// What is another one in each run, in the paths of its calls.
var (
	runAccount = regexp.MustCompile(`ti-[a-z0-9-]+@`)
	runUID     = regexp.MustCompile(`/serviceAccounts/[0-9]{21}`)
	runKey     = regexp.MustCompile(`/keys/[0-9a-f]{40}`)
)

// callName is what a call asks, the same for each run.
func callName(r *http.Request) string {
	path := runAccount.ReplaceAllString(r.URL.Path, "{account}@")
	path = runUID.ReplaceAllString(path, "/serviceAccounts/{uid}")
	return r.Method + " " + runKey.ReplaceAllString(path, "/keys/{key}")
}

// logged learns from the emulator's log of which method each call is.
type logged struct {
	mu      sync.Mutex
	methods map[string]string // by callName
}

func (l *logged) Write(b []byte) (int, error) {
	var line struct{ Method, HTTP string }
	if err := json.Unmarshal(b, &line); err != nil {
		return 0, err
	}
	verb, path, _ := strings.Cut(line.HTTP, " ")
	l.mu.Lock()
	defer l.mu.Unlock()
	l.methods[callName(&http.Request{Method: verb, URL: &url.URL{Path: path}})] = line.Method
	return len(b), nil
}

func (l *logged) method(call string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.methods[call]
}

// engine is that of a process which starts now.
func (m *machine) engine() *lifecycle.Engine {
	m.t.Helper()
	client, err := gcp.New(gcp.Config{
		Transport: m, EmulatorHost: "emulator.test:80",
		Credential: gcp.EmulatorLogin(secret.New(m.token)), UserAgent: "taskiam/test",
	})
	if err != nil {
		m.t.Fatal(err)
	}
	journals, err := journal.OpenDir("/state", m.disk)
	if err != nil {
		m.t.Fatal(err)
	}
	journals.Now = m.now
	return &lifecycle.Engine{
		Cloud: client, Roles: remembering{client, m}, Credentials: mortal{m}, Journals: journals, Turns: journals,
		Stop: m.stop, Now: m.now, Random: m.random,
	}
}

// remembering is a client that asks but once what roles there are, which nothing here
// changes: their answers are the greater part of what an up costs. It does ask if it
// is these calls that are to go wrong.
type remembering struct {
	*gcp.Client
	m *machine
}

var (
	knownRoles     sync.Map // name: grants.Role
	knownGrantable sync.Map // full resource name: map[string]bool
)

func (r remembering) asks() bool {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	return r.m.recording || r.m.dead || strings.Contains(r.m.at.call, " /v1/roles")
}

func (r remembering) Role(ctx context.Context, name string) (grants.Role, error) {
	custom := !strings.HasPrefix(name, "roles/") // which a run may make
	return remember(&knownRoles, name, custom || r.asks(), func() (grants.Role, error) { return r.Client.Role(ctx, name) })
}

func (r remembering) GrantableRoles(ctx context.Context, name resource.Name) (map[string]bool, error) {
	return remember(&knownGrantable, name.Full(), r.asks(), func() (map[string]bool, error) { return r.Client.GrantableRoles(ctx, name) })
}

func remember[T any](known *sync.Map, key string, again bool, ask func() (T, error)) (T, error) {
	if v, ok := known.Load(key); ok && !again {
		return v.(T), nil
	}
	v, err := ask()
	if err == nil {
		known.Store(key, v)
	}
	return v, err
}

// plan plans a run of the manifest that begins now.
func (m *machine) plan(e *lifecycle.Engine, source string) grants.Plan {
	m.t.Helper()
	task, err := manifest.Parse("task.toml", []byte(source), manifest.Limits{})
	if err != nil {
		m.t.Fatal(err)
	}
	plan, err := e.NewPlan(task)
	if err != nil {
		m.t.Fatal(err)
	}
	return plan
}

func (m *machine) options(plan grants.Plan) lifecycle.UpOptions {
	return lifecycle.UpOptions{
		ManifestPath: "/tasks/task.toml", ManifestSHA256: "00",
		Dir: "/delivery/" + string(plan.Run), ReadyTimeout: 10 * time.Minute,
		Metadata: "127.0.0.1:4711", Keep: m.keep,
	}
}

func (m *machine) snapshot() []byte {
	m.t.Helper()
	b, err := m.server.Snapshot()
	if err != nil {
		m.t.Fatal(err)
	}
	return b
}

// live returns the runs that are not down.
func (m *machine) live() []*journal.Run {
	m.t.Helper()
	journals := m.engine().Journals
	ids, err := journals.List()
	if err != nil {
		m.t.Fatal(err)
	}
	var out []*journal.Run
	for _, id := range ids {
		run, err := journals.Read(id)
		if fault.Is(err, fault.NotFound) {
			continue // it ended before its first call
		}
		if err != nil {
			m.t.Fatal(err)
		}
		if run.Live() {
			out = append(out, run)
		}
	}
	return out
}

// changed returns what is not as before, a line for each: in the cloud, of the
// deliveries, and in the state folder.
func (m *machine) changed() []string {
	m.t.Helper()
	var out []string
	if now := m.snapshot(); !bytes.Equal(m.before, now) {
		out = strings.Split(strings.TrimSpace(emulator.Diff(m.before, now)), "\n")
	}
	m.safe.mu.Lock()
	defer m.safe.mu.Unlock()
	for dir := range m.safe.deliveries {
		out = append(out, "the delivery in "+dir)
	}
	for _, pid := range slices.Sorted(maps.Keys(m.servers)) {
		out = append(out, fmt.Sprintf("process %d of run %s", pid, m.servers[pid]))
	}
	for _, run := range m.live() {
		out = append(out, fmt.Sprintf("run %s is %s", run.ID(), run.State()))
	}
	return out
}

// keep starts a process that works for a run in the background. It begins once it is
// recorded, and outlives the one that has started it.
func (m *machine) keep(_ context.Context, run grants.RunID, record func(journal.ProcessStarted) error) error {
	m.mu.Lock()
	m.started++
	pid := 4000 + m.started
	m.mu.Unlock()
	if err := record(journal.ProcessStarted{Role: journal.RoleServer, PID: pid, Start: startOf(pid)}); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return errDead // before it was let go
	}
	if m.servers == nil {
		m.servers = map[int]grants.RunID{}
	}
	m.servers[pid] = run
	return nil
}

// stop ends such a process.
func (m *machine) stop(_ context.Context, pid int, start string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return errDead
	}
	if start != startOf(pid) {
		return fmt.Errorf("process %d was not started at %s", pid, start)
	}
	delete(m.servers, pid)
	return nil
}

func startOf(pid int) string { return fmt.Sprint("boot ", pid) }

// mortal are the credentials of a process that may have been killed.
type mortal struct{ m *machine }

var _ lifecycle.Credentials = mortal{}

func (c mortal) alive() error {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	if c.m.dead {
		return errDead
	}
	return nil
}

func (c mortal) NewKeyPair() (lifecycle.KeyPair, error) {
	return credentials.NewKeyPair(func(int) (*rsa.PrivateKey, error) { return c.m.key(), nil })
}

func (c mortal) Deliver(d delivery.Delivery) (string, error) {
	if err := c.alive(); err != nil {
		return "", err
	}
	if c.m.undeliverable != nil {
		if err := c.m.undeliverable(); err != nil {
			return "", err
		}
	}
	return c.m.safe.Deliver(d)
}

func (c mortal) Key(run *journal.Run) (secret.String, error) {
	if err := c.alive(); err != nil {
		return secret.String{}, err
	}
	return c.m.safe.Key(run)
}

func (c mortal) Renew(run *journal.Run, expires time.Time, key secret.String) error {
	if err := c.alive(); err != nil {
		return err
	}
	return c.m.safe.Renew(run, expires, key)
}

func (c mortal) Remove(dir string, run grants.RunID, folder string) (bool, error) {
	if err := c.alive(); err != nil {
		return false, err
	}
	return c.m.safe.Remove(dir, run, folder)
}
