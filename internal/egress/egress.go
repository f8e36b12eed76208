// Package egress is the one way out of a sandbox: an HTTP proxy that opens the TLS of the hosts it
// allows, judges every request, and adds the credentials that the sandbox does not have.
//
// To Google's hosts a request passes if the one identity that it carries is the placeholder, in
// whose place the run's token is put, and if every resource that it names lies in the run's grants
// or was added to them ([Config.Resources]). To any other host it passes as that host's [Host]
// says: by default for reading, without a login. Everything else is refused, and so is everything
// that the package cannot read.
//
// Its invariants: a credential is added only to a request whose destination the proxy itself has
// connected to and whose certificate it has verified; a request goes to the host that was named in
// its CONNECT and to no other; no credential of the sandbox's own passes a fence, and no answer
// that is one (the address of a resumable upload) comes back as it is. The package knows nothing
// of runs, journals and sandboxes: it serves a listener.
package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/secret"
)

// Config configures a [Proxy].
type Config struct {
	// Name is what clients are shown as the name of the proxy's CA.
	Name string
	// Resources are what requests to Google may name: those of the run's grants and others that
	// the operator has added. With a resource goes everything in it.
	Resources []resource.Name
	// Placeholder stands for the run's token in the sandbox. Token returns that token, and is
	// called for every request that carries the placeholder, from several goroutines.
	Placeholder string
	Token       func(context.Context) (secret.String, error)
	// Hosts are further hosts. Those of Google's APIs follow from Resources.
	Hosts []Host
	// MaxUpload is how many bytes may be sent in all; 0 is no limit.
	MaxUpload int64
	// Resolve returns the addresses of a name, and Dial connects to one of them. They are those
	// of package net if they are nil.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	Dial    func(ctx context.Context, to netip.AddrPort) (net.Conn, error)
	// Google connects to a host of Google's APIs where they are not reached by their names: at
	// an emulator. nil resolves and dials.
	Google func(ctx context.Context, host string) (net.Conn, error)
	// Roots are the authorities that vouch for hosts outside; nil is the system's.
	Roots *x509.CertPool
	// Now is the clock; nil is [time.Now].
	Now func() time.Time
	// Log is called for every request and every refusal, from several goroutines.
	Log func(Event)
}

// Event is one request that was passed on or refused. It never holds a credential, and nothing
// of a request's query. The client chooses what is in it freely: print it quoted.
type Event struct {
	Time time.Time
	// Method is CONNECT for a connection, and Path then is "".
	Method, Host, Path string
	// Names are the resources of Google's that it names, and Under those of Config.Resources in
	// which they lie, by their full names.
	Names, Under []string
	// Status is what the host answered, or what a refusal was answered with.
	Status int
	// Sent and Received are bytes of bodies.
	Sent, Received int64
	// Refused says why it was not passed on; "" if it was.
	Refused string
}

// Limits of what a client can take up.
const (
	maxConns       = 256
	maxReading     = 8 // bodies that are read at a time to find out what they name
	maxHeaderBytes = 64 << 10
	headerTimeout  = 10 * time.Second
	idleTimeout    = 2 * time.Minute
	dialTimeout    = 10 * time.Second
)

// Proxy is the way out of one sandbox.
type Proxy struct {
	cfg    Config
	reach  reach
	hosts  map[string]*rule
	ca     *authority
	outer  *http.Server // answers CONNECT
	inner  *http.Server // answers what comes through opened connections
	opened *handoff

	transport *http.Transport
	sessions  sessions
	sent      atomic.Int64
	reading   chan struct{}
	tunnels   sync.WaitGroup
	ctx       context.Context // ends with the proxy
	stop      context.CancelFunc
}

// New returns a proxy with a CA of its own.
func New(cfg Config) (*Proxy, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Resolve == nil {
		cfg.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if cfg.Dial == nil {
		cfg.Dial = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
			return (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", to.String())
		}
	}
	if cfg.Log == nil {
		cfg.Log = func(Event) {}
	}
	if len(cfg.Placeholder) < 20 || cfg.Token == nil {
		return nil, errors.New("making the proxy: it has no placeholder, or no token to put in its place")
	}
	hosts, err := hostTable(cfg.Hosts)
	if err != nil {
		return nil, err
	}
	ca, err := newAuthority(cfg.Name, cfg.Now(), openedDomains(hosts))
	if err != nil {
		return nil, err
	}
	p := &Proxy{
		cfg: cfg, reach: newReach(cfg.Resources), hosts: hosts, ca: ca,
		opened:  &handoff{conns: make(chan net.Conn), done: make(chan struct{})},
		reading: make(chan struct{}, maxReading),
	}
	p.sessions.open = map[string]*session{}
	p.ctx, p.stop = context.WithCancel(context.Background())
	silent := log.New(io.Discard, "", 0) // the client chose what would be in it
	p.outer = &http.Server{
		Handler: http.HandlerFunc(p.connect), ErrorLog: silent,
		ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	p.inner = &http.Server{
		Handler: http.HandlerFunc(p.serve), ErrorLog: silent, ConnContext: withTarget,
		ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		TLSConfig: &tls.Config{NextProtos: []string{"h2", "http/1.1"}, MinVersion: tls.VersionTLS12},
	}
	p.transport = &http.Transport{
		DialContext:         p.dialOut,
		TLSClientConfig:     &tls.Config{RootCAs: cfg.Roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: dialTimeout,
		ForceAttemptHTTP2:   true,
		DisableCompression:  true,
		MaxIdleConnsPerHost: 16,
		IdleConnTimeout:     idleTimeout,
	}
	return p, nil
}

// CA returns the certificate that clients have to trust, in PEM. Nobody has its key.
func (p *Proxy) CA() []byte { return p.ca.pem() }

// Serve answers the connections that arrive on l until ctx is done. What is open then is cut off.
func (p *Proxy) Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, p.cutOff)
	defer stop()
	var inner sync.WaitGroup
	inner.Go(func() { _ = p.inner.Serve(p.opened) })
	err := p.outer.Serve(&limited{Listener: l, slots: make(chan struct{}, maxConns)})
	p.cutOff()
	inner.Wait()
	p.tunnels.Wait()
	if ctx.Err() != nil || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serving the proxy on %s: %w", l.Addr(), err)
}

func (p *Proxy) cutOff() {
	p.stop()
	_ = p.outer.Close()
	_ = p.opened.Close()
	_ = p.inner.Close()
}

// Close cancels the resumable uploads that were begun and not finished: whoever learned their
// addresses could go on with them for days. Call it after the end of Serve.
func (p *Proxy) Close(ctx context.Context) error {
	err := p.cancelSessions(ctx)
	p.transport.CloseIdleConnections()
	return err
}

// handoff is the listener of the inner server: each opened connection is one.
type handoff struct {
	conns chan net.Conn
	done  chan struct{}
	end   sync.Once
}

// Accept returns the next opened connection.
func (h *handoff) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

// Close ends the handing over.
func (h *handoff) Close() error {
	h.end.Do(func() { close(h.done) })
	return nil
}

// Addr is of no use: the connections arrive elsewhere.
func (h *handoff) Addr() net.Addr { return &net.UnixAddr{Name: "taskiam", Net: "unix"} }

// limited accepts so many connections at a time. Others wait in the kernel's queue.
type limited struct {
	net.Listener
	slots chan struct{}
}

// Accept waits until there is room for a connection, and returns the next.
func (l *limited) Accept() (net.Conn, error) {
	l.slots <- struct{}{}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &counted{Conn: c, free: sync.OnceFunc(func() { <-l.slots })}, nil
}

type counted struct {
	net.Conn
	free func()
}

// Close closes the connection and makes room for another.
func (c *counted) Close() error {
	defer c.free()
	return c.Conn.Close()
}
