package metadata

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener in memory, whose connections live in virtual time.
type pipes struct {
	next   chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.next:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (*pipes) Addr() net.Addr { return &net.UnixAddr{} }

// timed tells when it is closed.
type timed struct {
	net.Conn
	closed func()
}

func (c *timed) Close() error {
	c.closed()
	return c.Conn.Close()
}

// TestSlowClients: whoever sends or reads slowly has one of the server's connections for a bounded time.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	const (
		get  = "GET " + tokenPath + " HTTP/1.1\r\nHost: 127.0.0.1:4711\r\nMetadata-Flavor: Google\r\n"
		post = "POST " + exchangePath + " HTTP/1.1\r\nHost: 127.0.0.1:4711\r\n"
	)
	for name, tt := range map[string]struct {
		sends  string // at once, and then a byte in each second
		silent bool   // but no such bytes
		deaf   bool   // it reads nothing
		want   time.Duration
		tokens int
	}{
		"nothing":                    {silent: true, want: headerTimeout},
		"a slow header":              {sends: get + "X: ", want: headerTimeout},
		"a slow body":                {sends: post + "Content-Length: 60000\r\n\r\n", want: readTimeout},
		"a body that comes not":      {sends: post + "Content-Length: 60000\r\n\r\n", silent: true, want: readTimeout},
		"a slow chunk":               {sends: post + "Transfer-Encoding: chunked\r\n\r\nffff\r\n", want: readTimeout},
		"a chunk of a slow size":     {sends: post + "Transfer-Encoding: chunked\r\n\r\n", want: readTimeout},
		"a slow body that is no use": {sends: get + "Content-Length: 60000\r\n\r\n", want: readTimeout, tokens: 1},
		"a slow next one":            {sends: get + "\r\nGET /", want: headerTimeout, tokens: 1},
		"no next one":                {sends: get + "\r\n", silent: true, want: idleTimeout, tokens: 1},
		"no ear":                     {sends: get + "\r\n", silent: true, deaf: true, want: writeTimeout, tokens: 1},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, m := newServer(t, nil)
				l := &pipes{next: make(chan net.Conn), closed: make(chan struct{})}
				ctx, cancel := context.WithCancel(t.Context())
				var running sync.WaitGroup
				running.Go(func() {
					if err := s.Serve(ctx, l); err != nil {
						t.Error(err)
					}
				})
				ours, theirs := net.Pipe()
				begun, closed := time.Now(), make(chan time.Duration, 2)
				l.next <- &timed{theirs, func() {
					select {
					case closed <- time.Since(begun):
					default:
					}
				}}
				if !tt.deaf {
					running.Go(func() { _, _ = io.Copy(io.Discard, ours) })
				}
				running.Go(func() {
					_, err := io.WriteString(ours, tt.sends)
					for err == nil && !tt.silent {
						time.Sleep(time.Second)
						_, err = io.WriteString(ours, "a")
					}
				})
				select {
				case after := <-closed:
					if after != tt.want {
						t.Errorf("it was closed after %s, want %s", after, tt.want)
					}
				case <-time.After(10 * time.Minute):
					t.Error("it has the connection for as long as it likes")
				}
				if len(m.asked) != tt.tokens {
					t.Errorf("%d tokens were made, want %d", len(m.asked), tt.tokens)
				}
				cancel()
				_ = ours.Close()
				running.Wait()
			})
		})
	}
}
