package emulator

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/grpcapi"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

// proxy answers CONNECT: it takes the place of the host that the client asked for,
// with a certificate of the emulator's own CA. It never connects anywhere.
type proxy struct {
	emulator *Server
	server   *http.Server
	conns    chan net.Conn
	done     chan struct{}
	start    sync.Once
	end      sync.Once
}

func newProxy(s *Server) *proxy {
	p := &proxy{emulator: s, conns: make(chan net.Conn), done: make(chan struct{})}
	p.server = &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: 10 * time.Second,
		ConnContext:       grpcapi.WithConn,
		TLSConfig:         &tls.Config{NextProtos: []string{"h2", "http/1.1"}},
		ErrorLog:          log.New(io.Discard, "", 0), // clients that do not trust the CA say so themselves
	}
	return p
}

// Accept, Close and Addr make the proxy the listener of its own server: each
// CONNECT is one connection.
func (p *proxy) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *proxy) Close() error {
	p.end.Do(func() { close(p.done) })
	return nil
}

func (p *proxy) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

func (p *proxy) close() {
	_ = p.Close()
	_ = p.server.Close() // its connections are hijacked ones: nothing is left to say to them
}

// connect answers one CONNECT.
func (p *proxy) connect(w http.ResponseWriter, r *http.Request) {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	service, known := p.emulator.wire.Host(host)
	if !known || service == "" && host != "www.googleapis.com" {
		p.emulator.wire.Refuse(w, r, host, wire.Fail(http.StatusForbidden, "PERMISSION_DENIED", "forbidden",
			"The emulator's proxy connects nowhere: %s is not part of it.", r.Host))
		return
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		p.emulator.wire.Refuse(w, r, host, wire.Fail(http.StatusNotImplemented, "UNIMPLEMENTED", "notImplemented",
			"CONNECT needs a connection of its own: %v", err))
		return
	}
	handed := false
	defer func() {
		if !handed { // nobody else closes it, also after a panic
			_ = conn.Close()
		}
	}()
	if _, err := io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	p.start.Do(func() { go func() { _ = p.server.Serve(p) }() })
	tunnel := tls.Server(&bufferedConn{Conn: conn, r: buffered.Reader}, &tls.Config{
		NextProtos: []string{"h2", "http/1.1"},
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return p.emulator.ca.leaf(host)
		},
	})
	select {
	case p.conns <- tunnel:
		handed = true
	case <-p.done:
	}
}

// bufferedConn reads first what the client sent right behind its CONNECT.
type bufferedConn struct {
	net.Conn
	r io.Reader
}

func (c *bufferedConn) Read(b []byte) (int, error) { return c.r.Read(b) }
