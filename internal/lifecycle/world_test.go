package lifecycle_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/emulator"
	"github.com/taskiam/taskiam/internal/credentials"
	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/gcp"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/manifest"
	"github.com/taskiam/taskiam/internal/secret"
)

// The whole story in one process: the engine, the real client, and the emulator
// behind an in-memory transport.

// world is an emulator and an engine that works on it.
type world struct {
	t      *testing.T
	server *emulator.Server
	wire   *wire
	state  string
	safe   *safe
	before []byte
}

// worldOn returns a machine on which nothing is known of any run of this cloud.
func worldOn(t *testing.T, server *emulator.Server) *world {
	return &world{t: t, server: server, wire: &wire{handler: server.Handler()}, state: t.TempDir(), safe: &safe{}}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	server, err := emulator.New(emulator.Config{NewKey: func() (*rsa.PrivateKey, error) { return testKey(), nil }})
	if err != nil {
		t.Fatal(err)
	}
	w := worldOn(t, server)
	w.before = w.snapshot()
	return w
}

// testKey is made once: under -race a key costs more than a whole run does.
var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// engine returns an engine as a process that was started now would have.
func (w *world) engine() *lifecycle.Engine {
	w.t.Helper()
	_, token := w.server.Operator()
	client, err := gcp.New(gcp.Config{
		Transport: w.wire, EmulatorHost: "emulator.test:80",
		Credential: gcp.EmulatorLogin(secret.New(token)), UserAgent: "taskiam/test",
	})
	if err != nil {
		w.t.Fatal(err)
	}
	journals, err := journal.OpenDir(w.state, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return &lifecycle.Engine{
		Cloud: client, Roles: client, Credentials: w.safe, Journals: journals, Turns: journals,
		Now: time.Now, Random: rand.Reader,
	}
}

func (w *world) snapshot() []byte {
	w.t.Helper()
	b, err := w.server.Snapshot()
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// asBefore fails unless nothing is left of any run.
func (w *world) asBefore() {
	w.t.Helper()
	if diff := cmp.Diff(string(w.before), string(w.snapshot())); diff != "" {
		w.t.Errorf("the state is not as before (-before +now):\n%s", diff)
	}
	if n := w.safe.count(); n != 0 {
		w.t.Errorf("%d deliveries are left", n)
	}
}

// plan plans a run of the manifest.
func (w *world) plan(e *lifecycle.Engine, source string) grants.Plan {
	w.t.Helper()
	task, err := manifest.Parse("task.toml", []byte(source), manifest.Limits{})
	if err != nil {
		w.t.Fatal(err)
	}
	plan, err := e.NewPlan(task)
	if err != nil {
		w.t.Fatal(err)
	}
	return plan
}

func (w *world) options(plan grants.Plan) lifecycle.UpOptions {
	return lifecycle.UpOptions{
		ManifestPath: "/tasks/task.toml", ManifestSHA256: "00",
		Dir: filepath.Join(w.state, "delivery", string(plan.Run)), ReadyTimeout: 10 * time.Minute,
	}
}

// up brings a run up, which has to work.
func (w *world) up(source string) (*lifecycle.Result, grants.Plan) {
	w.t.Helper()
	e := w.engine()
	plan := w.plan(e, source)
	result, err := e.Up(w.t.Context(), plan, w.options(plan))
	if err != nil {
		w.t.Fatal(err)
	}
	return result, plan
}

// journalFile returns the name of the run's journal.
func (w *world) journalFile(run grants.RunID) string {
	return filepath.Join(w.state, "runs", string(run)+".jsonl")
}

// tamper rewrites the journal's lines.
func (w *world) tamper(run grants.RunID, change func([]byte) []byte) {
	w.t.Helper()
	b, err := os.ReadFile(w.journalFile(run))
	if err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(w.journalFile(run), change(b), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// wire carries calls to the emulator, and lets a test step in.
type wire struct {
	handler http.Handler
	mu      sync.Mutex
	calls   int
	// before sees the nth call, from 1, and may answer it or fail it instead.
	before func(n int, r *http.Request) (*http.Response, error)
	// after sees the answer of the nth call, and may replace it.
	after func(n int, r *http.Request, answer *http.Response) (*http.Response, error)
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	w.calls++
	n, before, after := w.calls, w.before, w.after
	w.mu.Unlock()
	if before != nil {
		if answer, err := before(n, r); answer != nil || err != nil {
			return answer, err
		}
	}
	in := r.Clone(r.Context())
	if in.Body == nil {
		in.Body = http.NoBody
	}
	in.RequestURI, in.RemoteAddr = r.URL.RequestURI(), "192.0.2.1:1234"
	if in.Host == "" {
		in.Host = r.URL.Host
	}
	in.URL.Scheme, in.URL.Host = "", ""
	recorder := httptest.NewRecorder()
	w.handler.ServeHTTP(recorder, in)
	if after != nil {
		return after(n, r, recorder.Result())
	}
	return recorder.Result(), nil
}

// step lets the test step in from now on; the count of calls begins again.
func (w *wire) step(before func(n int, r *http.Request) (*http.Response, error), after func(n int, r *http.Request, answer *http.Response) (*http.Response, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls, w.before, w.after = 0, before, after
}

// safe keeps deliveries in memory; its keys are real ones.
type safe struct {
	mu         sync.Mutex
	deliveries map[string]delivery.Delivery
}

var _ lifecycle.Credentials = (*safe)(nil)

func (s *safe) NewKeyPair() (lifecycle.KeyPair, error) {
	return credentials.NewKeyPair(func(int) (*rsa.PrivateKey, error) { return testKey(), nil })
}

func (s *safe) Deliver(d delivery.Delivery) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.deliveries == nil {
		s.deliveries = map[string]delivery.Delivery{}
	}
	s.deliveries[d.Dir] = d
	return "the folder of " + string(d.Run), nil
}

func (s *safe) Remove(dir string, run grants.RunID, folder string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, found := s.deliveries[dir]
	if found && (d.Run != run || folder != "" && folder != "the folder of "+string(run)) {
		return true, errors.New("another run's delivery")
	}
	delete(s.deliveries, dir)
	return found, nil
}

func (s *safe) Key(run *journal.Run) (secret.String, error) {
	return s.get(run.Opened.DeliveryDir).Key, nil
}

func (s *safe) Renew(run *journal.Run, expires time.Time, key secret.String) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.deliveries[run.Opened.DeliveryDir]
	if !ok {
		return errors.New("there is no delivery")
	}
	d.Expires = expires
	if !key.IsZero() {
		d.Key = key
	}
	s.deliveries[run.Opened.DeliveryDir] = d
	return nil
}

func (s *safe) get(dir string) delivery.Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.deliveries[dir]
}

func (s *safe) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.deliveries)
}

// decode reads an answer or a request as loose JSON.
func decode(t *testing.T, b []byte) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	return m
}
