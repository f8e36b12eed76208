package metadata

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// maxConnections is how many connections are served at a time; more wait in the
	// listener's queue. Each takes about 20 KiB of memory.
	maxConnections = 256
	maxHeader      = 16 << 10
	// How long a client may take: for its header, for its whole request, and from then on
	// for receiving the answer. The last includes the time to make a token.
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	writeTimeout  = 60 * time.Second
	idleTimeout   = 30 * time.Second
	// graceTimeout is how long answers that are being written may still take when the
	// server ends. New requests are not answered.
	graceTimeout = time.Second
)

// Serve answers on the listener until the context ends, and returns nil at most two seconds
// later, whatever clients do. It closes the listener, and afterwards the server hands out
// no token ([Server.Revoke]).
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          log.New(io.Discard, "", 0), // clients that break off
		// OPTIONS * is refused as everything else is.
		DisableGeneralOptionsHandler: true,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(newLimited(l, maxConnections)) }()
	select {
	case err := <-served:
		s.Revoke()
		return errors.Join(err, server.Close())
	case <-ctx.Done():
	}
	s.Revoke()
	ended := make(chan error, 1)
	go func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), graceTimeout)
		defer cancel()
		err := server.Shutdown(grace)
		if errors.Is(err, context.DeadlineExceeded) {
			err = server.Close()
		}
		<-served
		ended <- err
	}()
	late := time.NewTimer(2 * graceTimeout)
	defer late.Stop()
	select {
	case err := <-ended:
		return err
	case <-late.C:
		// Over a unix socket, a client has sent files that take as long to close as it likes, such as a connection that
		// lingers (SO_LINGER). That is no reason to leave its access up.
		return nil
	}
}

// limited is a listener with a limit on open connections.
type limited struct {
	net.Listener
	free   chan struct{}
	closed chan struct{}
	once   sync.Once
}

func newLimited(l net.Listener, n int) *limited {
	return &limited{Listener: l, free: make(chan struct{}, n), closed: make(chan struct{})}
}

// Accept waits until another connection is allowed, and then for one.
func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.free <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.free
		return nil, err
	}
	return &counted{Conn: c, release: sync.OnceFunc(func() { <-l.free })}, nil
}

// Close closes the listener, and ends a waiting Accept.
func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type counted struct {
	net.Conn
	release func()
}

// Close closes the connection, which allows another one.
func (c *counted) Close() error {
	defer c.release()
	return c.Conn.Close()
}
