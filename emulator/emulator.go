// Package emulator is a Google Cloud in a box, of which one thing is real: IAM.
//
// It answers the REST APIs of IAM, Resource Manager, IAM Credentials, OAuth 2.0,
// Cloud Storage, Pub/Sub, Secret Manager, BigQuery and Cloud KMS, as far as taskiam
// needs them, at their production names: by the Host header, by path on a loopback
// address, and as an HTTPS proxy. Of every other resource type that has an allow
// policy it has that policy, by a table made from Google's discovery documents. The
// services are small; what decides who may call them is complete for what it covers.
//
// Its invariant: nothing of the company is shown or changed without a decision of
// IAM. Every caller is authenticated, every permission is decided by the union of
// the allow policies from the resource up to the organization, testIamPermissions
// included, and a condition that cannot be evaluated grants nothing. Public are only
// the token endpoints, and, to whoever is authenticated, the predefined roles. What
// the emulator does not know it refuses with 501; it never connects anywhere.
//
// It is an independent second opinion on what taskiam does, and so knows nothing
// of manifests, grants or runs, and shares no policy code with the rest.
package emulator

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/taskiam/taskiam/internal/secret"
)

// Config is how to set up an emulator. The zero value is one in memory with the
// built-in company.
type Config struct {
	// Seed is TOML that describes the company; nil means the built-in one.
	Seed []byte
	// DataFile keeps the state, 0600; it is written after each change. If it exists,
	// the seed is not read. Empty means in memory only.
	DataFile string
	// RTT is waited out before each call, outside of any lock.
	RTT time.Duration
	// Log receives the request log, a JSON object a line; nil means none. It never
	// receives a credential.
	Log io.Writer
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Dir keeps the operator's token (token) and login (adc.json), the token of the
	// control API (control), the certificate and key of the proxy's CA (ca.pem, ca.key),
	// all 0600, and is created 0700. Empty means in memory only.
	Dir string
	// Doubts, unless nil, answer what Google's documents leave open, in place of the seed.
	Doubts *Doubts
	// NewKey makes RSA keys; nil means 2048 fresh bits.
	NewKey func() (*rsa.PrivateKey, error)

	// Lag, Quotas and Faults are trouble from the start. Those of the seed's company are
	// not affected by lag: all of it has settled.
	Lag    Lag
	Quotas Quotas
	Faults []Fault
	// Kill is called by FaultKill; nil ends the process at once, as SIGKILL would.
	Kill func()
	// AllowRemote serves requests for any IP address or name that is not one of Google's,
	// by path, instead of those for this machine alone. Whoever reaches the emulator
	// then has only the tokens between themselves and the company.
	AllowRemote bool
}

// Server is an emulator. It is safe for concurrent use.
type Server struct {
	cfg     Config
	router  router
	ca      *authority
	token   secret.String // the operator's
	refresh secret.String // of the operator's login; zero without Config.Dir
	proxy   *proxy
	clock   clock
	alarm   alarm
	lags    lags
	faults  faults
	quotas  quotas
	// controlToken opens the control API.
	controlToken secret.String
	snapshots    namedSnapshots

	mu    sync.RWMutex // guards state
	state state

	logMu sync.Mutex // guards cfg.Log
}

// New sets up an emulator: from cfg.DataFile if that exists, else from the seed.
// A seed that is malformed, or that IAM would not accept, is an error with its line.
func New(cfg Config) (*Server, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.NewKey == nil {
		cfg.NewKey = func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) }
	}
	if cfg.Kill == nil {
		cfg.Kill = killProcess
	}
	s := &Server{cfg: cfg, router: router{hosts: map[string]bool{}, roots: map[string]bool{}, remote: cfg.AllowRemote}}
	s.clock.source = cfg.Now
	s.register(iamMethods()...)
	s.register(roleMethods()...)
	s.register(customRoleMethods()...)
	s.register(resourceManagerMethods()...)
	s.register(credentialsMethods()...)
	s.register(oauthMethods()...)
	s.register(stsMethods()...)
	s.register(certificateMethods()...)
	s.register(storageMethods()...)
	s.register(pubsubMethods()...)
	s.register(secretmanagerMethods()...)
	s.register(bigqueryMethods()...)
	s.register(kmsMethods()...)
	s.register(assetMethods()...)
	s.register(serviceUsageMethods()...)
	s.register(orgPolicyMethods()...)

	loaded, err := s.load()
	if err != nil {
		return nil, err
	}
	if !loaded {
		if err := s.seedFrom(cfg.Seed); err != nil {
			return nil, err
		}
	}
	if cfg.Doubts != nil {
		s.state.Doubts = *cfg.Doubts
	}
	if err := s.openDir(); err != nil {
		return nil, err
	}
	s.proxy = newProxy(s)
	if err := s.setTrouble(); err != nil {
		return nil, err
	}
	if !loaded {
		if err := s.save(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// register adds methods to the API.
func (s *Server) register(ms ...method) {
	for _, m := range ms {
		s.router.add(&m)
	}
}

// Operator returns who runs taskiam in the seeded company, and a bearer token of
// that principal that does not expire.
func (s *Server) Operator() (member, token string) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return "user:" + s.state.Operator, s.token.Reveal()
}

// CACertificate returns the certificate of the proxy's CA, in PEM.
func (s *Server) CACertificate() []byte { return s.ca.certificatePEM() }

// Serve answers on l until ctx is done, then lets the calls at work finish. It
// returns nil after an orderly end. It closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
		// Clients that hang up in the middle of a handshake are none of our news.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	stop := context.AfterFunc(ctx, func() {
		s.RemoveFault("") // what they hold is let go
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if srv.Shutdown(grace) != nil {
			_ = srv.Close() // what did not finish in time is cut off
		}
	})
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving on %s: %w", l.Addr(), err)
	}
	return nil
}

// Close ends the connections of the proxy and saves the state.
func (s *Server) Close() error {
	s.proxy.close()
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.save()
}

// Handler returns the whole emulator as one handler, which tells services apart by
// the Host header. It needs no sockets, save for CONNECT.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serveHTTP) }

// maxBody is the longest request body that is read.
const maxBody = 64 << 20

func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	defer s.recovery(w, r)
	if r.Body == nil { // a client's request, handed over in memory
		r = r.WithContext(r.Context())
		r.Body = http.NoBody
	}
	if r.Method == http.MethodConnect {
		s.proxy.connect(w, r)
		return
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
	m, vars := s.router.find(host, r.Method, r.URL.EscapedPath())
	if m == nil || m.catchAll() {
		// What no service of its own serves may be of a type that has a policy at least.
		if typed, v := findTyped(host, r.Method, r.URL.EscapedPath()); typed != nil {
			m, vars = typed, v
		}
	}
	if m == nil {
		m, vars = findNamedGet(host, r.Method, r.URL.EscapedPath())
	}
	if m == nil {
		m = &method{id: "unknown", host: host, public: true, serve: unknownMethod}
	}
	c := &call{server: s, method: m, r: r, body: body, vars: vars, now: s.now()}
	s.record(c, s.respond(w, c))
}

// respond serves a call, with whatever trouble is due before and after, and answers it.
// It returns 0 if the client has gone without an answer.
func (s *Server) respond(w http.ResponseWriter, c *call) (code int) {
	strikes := s.faults.strikes(c.method, c.r)
	trouble, waits := s.suffer(c, strikes, false)
	if trouble == nil && waits {
		v, err := s.run(c)
		if trouble, waits = s.suffer(c, strikes, true); trouble == nil && waits {
			return s.answer(w, c, v, err)
		}
	}
	switch {
	case !waits:
		return 0
	case c.method.host == storageHost && c.method.catchAll():
		v, err := xmlRefusal(trouble)
		return s.answer(w, c, v, err)
	}
	return s.answerError(w, c.r, c.method.host, trouble)
}

// unknownMethod refuses what the emulator does not have.
func unknownMethod(c *call) (any, error) {
	return nil, fail(http.StatusNotImplemented, "UNIMPLEMENTED", "notImplemented",
		"The emulator does not know %s %s%s.", c.r.Method, requestHost(c.r), c.r.URL.Path)
}

// roundTrip waits as long as a network would. It reports false if the client did
// not wait.
func (s *Server) roundTrip(ctx context.Context) bool {
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
func (s *Server) run(c *call) (v any, err error) {
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
func (s *Server) answer(w http.ResponseWriter, c *call, v any, err error) int {
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

func (s *Server) answerError(w http.ResponseWriter, r *http.Request, host string, err error) int {
	e, ok := errors.AsType[*apiError](err)
	if !ok {
		e = fail(http.StatusInternalServerError, "INTERNAL", "backendError", "%v", err)
	}
	body, err := json.Marshal(e.envelope(host, r))
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

func (s *Server) write(w http.ResponseWriter, code int, header http.Header, body []byte) {
	h := w.Header()
	for k, v := range header {
		h[k] = v
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Date", s.now().UTC().Format(http.TimeFormat))
	w.WriteHeader(code)
	_, _ = w.Write(body) // a client that has gone does not want the rest
}
