// Package emulator is a Google Cloud on this machine that enforces IAM.
//
// It answers the APIs of IAM, Resource Manager, IAM Credentials, OAuth 2.0,
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
// the token endpoints, and, to every authenticated caller, the predefined roles. What
// the emulator does not know it refuses with 501; it never connects anywhere.
//
// It is an independent second opinion on what taskiam does, and so knows nothing
// of manifests, grants or runs, and shares no policy code with the rest.
package emulator

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/grpcapi"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

// Config is how to set up an emulator. The zero value is one in memory with the
// built-in company.
type Config struct {
	// Seed is TOML that describes the company; nil means the built-in one.
	Seed []byte
	// DataFile keeps the state, 0600; it is written after each change. If it exists,
	// the seed is not read. Empty means in memory only.
	DataFile string
	// RTT is waited for before each call, without a lock.
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

	// Lag, Quotas and Faults apply from the start. What the seed describes is seen at once.
	Lag    Lag
	Quotas Quotas
	Faults []Fault
	// Kill is called by FaultKill; nil ends the process at once, as SIGKILL would.
	Kill func()
	// AllowRemote serves requests for any IP address or name that is not one of Google's,
	// by path, instead of those for this machine alone. Then only the tokens
	// protect the company from who reaches the emulator.
	AllowRemote bool
}

//go:embed seed/acme.toml
var acme []byte

// Server is an emulator. It is safe for concurrent use.
type Server struct {
	cfg   Config
	wire  *wire.Server
	grpc  *grpcapi.Server
	ca    *authority
	proxy *proxy
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
	if cfg.Seed == nil {
		cfg.Seed = acme
	}
	w, seeded, err := wire.New(wire.Config{
		Services: services(), Seed: cfg.Seed, DataFile: cfg.DataFile, RTT: cfg.RTT, Log: cfg.Log, Now: cfg.Now,
		NewKey: cfg.NewKey, Kill: cfg.Kill, AllowRemote: cfg.AllowRemote,
	})
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, wire: w, grpc: grpcapi.New(w)}
	if cfg.Doubts != nil {
		w.State().Doubts = *cfg.Doubts
	}
	if err := s.openDir(); err != nil {
		return nil, err
	}
	s.proxy = newProxy(s)
	w.SetLag(cfg.Lag)
	w.SettleSeed()
	w.SetQuotas(cfg.Quotas)
	for _, f := range cfg.Faults {
		if _, err := w.AddFault(f); err != nil {
			return nil, err
		}
	}
	if seeded {
		if err := w.Save(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Operator returns who runs taskiam in the seeded company, of whatever kind that principal is, and a bearer token of
// that principal that does not expire.
func (s *Server) Operator() (member, token string) {
	s.wire.View(func(st *wire.State) { member, token = st.Operator, st.OperatorToken.Reveal() })
	return member, token
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
		ConnContext:       grpcapi.WithConn,
		Protocols:         protocols(),
		// Clients that hang up in the middle of a handshake are no news.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	stop := context.AfterFunc(ctx, func() {
		s.wire.RemoveFault("") // what they hold is let go
		s.grpc.EndStreams()
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
	return s.wire.Save()
}

// Handler returns the whole emulator as one handler, which tells services apart by
// the Host header. It needs no sockets, except for CONNECT.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodConnect {
			s.wire.Recovering(w, r, s.proxy.connect)
			return
		}
		if grpcapi.Serves(r) {
			s.grpc.ServeHTTP(w, r)
			return
		}
		s.wire.ServeHTTP(w, r)
	})
}

// protocols are those of a listener without TLS: gRPC clients speak HTTP/2 there from the first byte.
func protocols() *http.Protocols {
	p := &http.Protocols{}
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	return p
}

// killProcess ends the process without another instruction of its own.
func killProcess() {
	if p, err := os.FindProcess(os.Getpid()); err == nil && p.Kill() == nil {
		select {} // the signal is on its way
	}
}
