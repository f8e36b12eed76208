// Package wire serves Google's APIs over HTTP, for services that it does not know.
//
// A [Service] names its methods, its state, and how it words its errors. For each request
// the [Server] finds the method, authenticates the caller, applies the faults, quotas and
// delays that were asked for, and locks the state while the method runs. The method gets a
// [Call] and asks IAM by it.
//
// It knows what IAM is, by package iam, and no service by name.
package wire

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

// Config is how to set up a server. Every field but DataFile, RTT, Log and AllowRemote is needed.
type Config struct {
	Services []*Service
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

// Server serves the APIs. It is safe for concurrent use.
type Server struct {
	cfg       Config
	Router    router
	clock     clock
	alarm     alarm
	lags      Lags
	faults    faults
	quotas    Usage
	snapshots namedSnapshots
	changes   changes

	mu    sync.RWMutex // guards state
	state *State

	logMu sync.Mutex // guards cfg.Log
}

// New sets up a server: from cfg.DataFile if that exists, else from the seed. It
// reports whether it was the seed.
func New(cfg Config) (s *Server, seeded bool, err error) {
	s = &Server{cfg: cfg, Router: router{hosts: map[string]bool{}, roots: map[string]bool{}, remote: cfg.AllowRemote}}
	s.clock.source = cfg.Now
	for _, sv := range cfg.Services {
		s.Register(sv.Methods...)
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
func (s *Server) SettleSeed() { s.state.Delays = &s.lags }

// State returns the state. The caller sees to it that no call is served meanwhile.
func (s *Server) State() *State { return s.state }

// View calls f with the state, which does not change meanwhile.
func (s *Server) View(f func(*State)) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	f(s.state)
}

// Save writes the data file, if there is one.
func (s *Server) Save() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.save()
}

// Register adds methods to the API.
func (s *Server) Register(ms ...Method) {
	for _, m := range ms {
		s.Router.add(&m)
	}
}

// Host returns the host of the service that serves requests for a host and port: "" for
// an address that all services share. It is false for what is no part of the emulator.
func (s *Server) Host(hostport string) (host string, known bool) {
	return s.Router.service(hostport)
}

// Refuse answers a request with an error, as the service at host would.
func (s *Server) Refuse(w http.ResponseWriter, r *http.Request, host string, err error) {
	s.answerError(w, r, host, err)
}

// Snapshot returns the state in a canonical form.
func (s *Server) Snapshot() ([]byte, error) {
	s.catchUp()
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.state.snapshot(s.Now())
}

const (
	maxBody    = 64 << 20 // the longest request body that is read
	maxContent = 5 << 40  // the longest that has content, as long as an object may be (storage/quotas)
)

// ServeHTTP serves every API, and tells them apart by the Host header.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer s.recovery(w, r)
	if r.Body == nil { // a client's request, handed over in memory
		r = r.WithContext(r.Context())
		r.Body = http.NoBody
	}
	host, known := s.Router.service(requestHost(r))
	if !known {
		s.answerError(w, r, host, Fail(http.StatusForbidden, "PERMISSION_DENIED", "forbidden",
			"The emulator connects nowhere: %s is not part of it.", host))
		return
	}
	if host == "" && s.control(w, r) || s.batch(w, r, host) {
		return
	}
	m, vars := s.find(r, host)
	c := &Call{server: s, Method: m, Request: r, Vars: vars, Now: s.Now()}
	if err := c.read(w); err != nil {
		s.answerError(w, r, host, Invalid("Reading the request body: %v", err))
		return
	}
	if !s.roundTrip(r.Context()) {
		return // the client has gone
	}
	s.record(c, s.respond(w, c))
}

// read reads the body of the request, before any lock.
func (c *Call) read(w http.ResponseWriter) (err error) {
	r := c.Request
	switch shared, ok := r.Body.(*contentBody); {
	case c.Method.Large && ok:
		c.Content = shared.Content
	case c.Method.Large:
		c.Content, err = ReadContent(http.MaxBytesReader(w, r.Body, maxContent), r.ContentLength)
	default:
		c.Body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	}
	return err
}

// unknownID is what stands in the request log for a method that there is not.
const unknownID = "unknown"

// find returns the method for a request, and its path variables.
func (s *Server) find(r *http.Request, host string) (*Method, map[string]string) {
	m, vars := s.Router.Find(host, r.Method, r.URL.EscapedPath())
	if m != nil && m.OverGRPC && grpcMethodOf(r) == "" {
		m = nil
	}
	if m != nil && !m.CatchAll() {
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
		m = &Method{ID: unknownID, Host: host, Public: true, Serve: unknownMethod}
	}
	return m, vars
}

// respond serves a call, with the faults that apply before and after, and answers it. It
// returns 0 if the client has gone without an answer.
func (s *Server) respond(w http.ResponseWriter, c *Call) (code int) {
	rules := s.faults.applying(c.Method, c.Request)
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
	case c.Method.Refuse != nil:
		v, err := c.Method.Refuse(fault)
		return s.answer(w, c, v, err)
	}
	return s.answerError(w, c.Request, c.Method.Host, fault)
}

// unknownMethod refuses what the emulator does not have.
func unknownMethod(c *Call) (any, error) {
	return nil, Fail(http.StatusNotImplemented, "UNIMPLEMENTED", "notImplemented",
		"The emulator does not know %s %s%s.", c.Request.Method, requestHost(c.Request), c.Request.URL.Path)
}

// roundTrip waits as long as a network would. It reports false if the client did
// not wait.
func (s *Server) roundTrip(ctx context.Context) bool {
	if s.cfg.RTT <= 0 {
		return ctx.Err() == nil
	}
	return waited(ctx, s.cfg.RTT)
}

// waited waits for d. It reports false if ctx ends first.
func waited(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// run authenticates and serves a call under the lock.
func (s *Server) run(c *Call) (v any, err error) {
	s.catchUp()
	if c.Method.Writes || c.Method.Alone {
		s.mu.Lock()
		defer s.mu.Unlock()
	} else {
		s.mu.RLock()
		defer s.mu.RUnlock()
	}
	c.Now = s.Now()
	if err := s.admit(c); err != nil && c.Method.Refuse != nil {
		return c.Method.Refuse(ErrorOf(err))
	} else if err != nil {
		return nil, err
	}
	v, err = c.Method.Serve(c)
	if err == nil && c.Method.Writes && !c.idle {
		s.tellChange()
	}
	if err == nil && (c.Method.Writes || c.Method.Alone) && !c.idle {
		err = s.save()
	}
	return v, err
}

// admit refuses a call that no method is to see.
func (s *Server) admit(c *Call) (err error) {
	if !c.Method.Public {
		if c.Caller, err = s.authenticate(c); err != nil {
			return err
		}
		if err := c.enabled(); err != nil {
			return err
		}
	}
	return s.spend(c)
}

// answer writes what a method returned, head and body in one piece.
func (s *Server) answer(w http.ResponseWriter, c *Call, v any, err error) int {
	if err != nil {
		return s.answerError(w, c.Request, c.Method.Host, err)
	}
	if raw, ok := v.(*Raw); ok {
		code := raw.Code
		if code == 0 {
			code = http.StatusOK
		}
		s.write(w, code, raw.Header, raw.Body, raw.Content)
		return code
	}
	body, err := json.Marshal(v)
	if err != nil {
		return s.answerError(w, c.Request, c.Method.Host, fmt.Errorf("encoding the answer of %s: %w", c.Method.ID, err))
	}
	s.write(w, http.StatusOK, jsonHeader(), body)
	return http.StatusOK
}

func jsonHeader() http.Header {
	return http.Header{"Content-Type": {"application/json; charset=UTF-8"}}
}

func (s *Server) answerError(w http.ResponseWriter, r *http.Request, host string, err error) int {
	e := ErrorOf(err)
	body, err := json.Marshal(e.envelope(s.errorForm(host, r), r))
	if err != nil {
		body = []byte("{}")
	}
	h := jsonHeader()
	for k, v := range e.Header {
		h[k] = v
	}
	s.write(w, e.Code, h, body)
	return e.Code
}

func (s *Server) write(w http.ResponseWriter, code int, header http.Header, body []byte, content ...Content) {
	h := w.Header()
	for k, v := range header {
		h[k] = v
	}
	length := len(body)
	for _, c := range content {
		length += c.Len()
	}
	h.Set("Content-Length", strconv.Itoa(length))
	h.Set("Date", s.Now().UTC().Format(http.TimeFormat))
	w.WriteHeader(code)
	_, err := w.Write(body)
	for _, c := range content {
		if err != nil {
			return // a client that has gone does not want the rest
		}
		_, err = c.WriteTo(w)
	}
}
