package emulator

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/taskiam/taskiam/internal/secret"
)

// wireConfig is how to set up a server. Every field but DataFile, RTT, Log and AllowRemote is needed.
type wireConfig struct {
	Services []*service
	// Seed is TOML that describes the company; it is read unless there is a data file.
	Seed []byte
	// DataFile keeps the state; it is written after each change. Empty means in memory only.
	DataFile string
	// RTT is waited for before each call, without a lock.
	RTT time.Duration
	// Log receives the request log; nil means none.
	Log io.Writer
	// Now is the machine's clock.
	Now func() time.Time
	// NewKey makes RSA keys.
	NewKey func() (*rsa.PrivateKey, error)
	// Kill is called by FaultKill.
	Kill func()
	// AllowRemote serves requests for any IP address or name that is not one of Google's.
	AllowRemote bool
	// ControlToken opens the control API.
	ControlToken secret.String
}

// wireServer serves the APIs. It is safe for concurrent use.
type wireServer struct {
	cfg       wireConfig
	router    router
	clock     clock
	alarm     alarm
	lags      lags
	faults    faults
	quotas    quotas
	snapshots namedSnapshots

	mu    sync.RWMutex // guards state
	state *state

	logMu sync.Mutex // guards cfg.Log
}

// newServer sets up a server: from cfg.DataFile if that exists, else from the seed. It
// reports whether it was the seed.
func newServer(cfg wireConfig) (s *wireServer, seeded bool, err error) {
	s = &wireServer{cfg: cfg, router: router{hosts: map[string]bool{}, roots: map[string]bool{}, remote: cfg.AllowRemote}}
	s.clock.source = cfg.Now
	for _, sv := range cfg.Services {
		s.register(sv.Methods...)
	}
	if s.state, err = newState(cfg.Services); err != nil {
		return nil, false, err
	}
	loaded, err := s.load()
	if err != nil {
		return nil, false, err
	}
	if !loaded {
		if err := s.seed(cfg.Seed); err != nil {
			return nil, false, err
		}
	}
	return s, !loaded, nil
}

// SettleSeed makes the delays of changes count from now on: all of the seed has been seen.
func (s *wireServer) SettleSeed() { s.state.Delays = &s.lags }

// State returns the state. The caller sees to it that no call is served meanwhile.
func (s *wireServer) State() *state { return s.state }

// View calls f with the state, which does not change meanwhile.
func (s *wireServer) View(f func(*state)) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	f(s.state)
}

// Save writes the data file, if there is one.
func (s *wireServer) Save() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.save()
}

// register adds methods to the API.
func (s *wireServer) register(ms ...method) {
	for _, m := range ms {
		s.router.add(&m)
	}
}

// Host returns the host of the service that serves requests for a host and port: "" for
// an address that all services share. It is false for what is no part of the emulator.
func (s *wireServer) Host(hostport string) (host string, known bool) {
	return s.router.service(hostport)
}

// Refuse answers a request with an error, as the service at host would.
func (s *wireServer) Refuse(w http.ResponseWriter, r *http.Request, host string, err error) {
	s.answerError(w, r, host, err)
}

// Snapshot returns the state in a canonical form.
func (s *wireServer) Snapshot() ([]byte, error) {
	s.catchUp()
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.state.snapshot(s.now())
}

// maxBody is the longest request body that is read.
const maxBody = 64 << 20

// ServeHTTP serves every API, and tells them apart by the Host header.
func (s *wireServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer s.recovery(w, r)
	if r.Body == nil { // a client's request, handed over in memory
		r = r.WithContext(r.Context())
		r.Body = http.NoBody
	}
	host, known := s.router.service(requestHost(r))
	if !known {
		s.answerError(w, r, host, fail(http.StatusForbidden, "PERMISSION_DENIED", "forbidden",
			"The emulator connects nowhere: %s is not part of it.", host))
		return
	}
	if host == "" && s.control(w, r) {
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		s.answerError(w, r, host, invalid("Reading the request body: %v", err))
		return
	}
	if !s.roundTrip(r.Context()) {
		return // the client has gone
	}
	m, vars := s.find(r, host)
	c := &call{server: s, method: m, r: r, body: body, vars: vars, now: s.now()}
	s.record(c, s.respond(w, c))
}

// find returns the method for a request, and its path variables.
func (s *wireServer) find(r *http.Request, host string) (*method, map[string]string) {
	m, vars := s.router.find(host, r.Method, r.URL.EscapedPath())
	if m != nil && !m.catchAll() {
		return m, vars
	}
	for _, sv := range s.state.services {
		if sv.Find == nil {
			continue
		}
		if found, v := sv.Find(host, r.Method, r.URL.EscapedPath(), m); found != nil {
			return found, v
		}
	}
	if m == nil {
		m = &method{id: "unknown", host: host, public: true, serve: unknownMethod}
	}
	return m, vars
}

// respond serves a call, with the faults that apply before and after, and answers it. It
// returns 0 if the client has gone without an answer.
func (s *wireServer) respond(w http.ResponseWriter, c *call) (code int) {
	rules := s.faults.applying(c.method, c.r)
	fault, waits := s.applyFaults(c, rules, false)
	if fault == nil && waits {
		v, err := s.run(c)
		if fault, waits = s.applyFaults(c, rules, true); fault == nil && waits {
			return s.answer(w, c, v, err)
		}
	}
	switch {
	case !waits:
		return 0
	case c.method.refuse != nil:
		v, err := c.method.refuse(fault)
		return s.answer(w, c, v, err)
	}
	return s.answerError(w, c.r, c.method.host, fault)
}

// unknownMethod refuses what the emulator does not have.
func unknownMethod(c *call) (any, error) {
	return nil, fail(http.StatusNotImplemented, "UNIMPLEMENTED", "notImplemented",
		"The emulator does not know %s %s%s.", c.r.Method, requestHost(c.r), c.r.URL.Path)
}

// roundTrip waits as long as a network would. It reports false if the client did
// not wait.
func (s *wireServer) roundTrip(ctx context.Context) bool {
	if s.cfg.RTT <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(s.cfg.RTT)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// run authenticates and serves a call under the lock.
func (s *wireServer) run(c *call) (v any, err error) {
	s.catchUp()
	if c.method.writes {
		s.mu.Lock()
		defer s.mu.Unlock()
	} else {
		s.mu.RLock()
		defer s.mu.RUnlock()
	}
	c.now = s.now()
	if !c.method.public {
		if c.caller, err = s.authenticate(c); err != nil {
			return nil, err
		}
		if err := c.enabled(); err != nil {
			return nil, err
		}
	}
	if err := s.spend(c); err != nil {
		return nil, err
	}
	v, err = c.method.serve(c)
	if err == nil && c.method.writes {
		err = s.save()
	}
	return v, err
}

// answer writes what a method returned, head and body in one piece.
func (s *wireServer) answer(w http.ResponseWriter, c *call, v any, err error) int {
	if err != nil {
		return s.answerError(w, c.r, c.method.host, err)
	}
	if raw, ok := v.(*rawAnswer); ok {
		code := raw.code
		if code == 0 {
			code = http.StatusOK
		}
		s.write(w, code, raw.header, raw.body)
		return code
	}
	body, err := json.Marshal(v)
	if err != nil {
		return s.answerError(w, c.r, c.method.host, fmt.Errorf("encoding the answer of %s: %w", c.method.id, err))
	}
	s.write(w, http.StatusOK, jsonHeader(), body)
	return http.StatusOK
}

func jsonHeader() http.Header {
	return http.Header{"Content-Type": {"application/json; charset=UTF-8"}}
}

func (s *wireServer) answerError(w http.ResponseWriter, r *http.Request, host string, err error) int {
	e := errorOf(err)
	body, err := json.Marshal(e.envelope(s.state.errorForm(host), r))
	if err != nil {
		body = []byte("{}")
	}
	h := jsonHeader()
	for k, v := range e.header {
		h[k] = v
	}
	s.write(w, e.code, h, body)
	return e.code
}

func (s *wireServer) write(w http.ResponseWriter, code int, header http.Header, body []byte) {
	h := w.Header()
	for k, v := range header {
		h[k] = v
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Date", s.now().UTC().Format(http.TimeFormat))
	w.WriteHeader(code)
	_, _ = w.Write(body) // a client that has gone does not want the rest
}
