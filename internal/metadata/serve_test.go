package metadata

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// start serves on a socket until the returned function is called, which returns what
// Serve did.
func start(t *testing.T, s *Server, network, address string) (net.Addr, func() error) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	stop := func() error {
		cancel()
		select {
		case err := <-served:
			served <- err
			return err
		case <-time.After(10 * time.Second):
			t.Fatal("Serve does not end")
			return nil
		}
	}
	t.Cleanup(func() { _ = stop() })
	return l.Addr(), stop
}

// serve starts a server that knows its own port.
func serve(t *testing.T) (s *Server, m *minter, address string, stop func() error) {
	t.Helper()
	s, m = newServer(t, nil)
	s.cfg.Now = time.Now
	s.Extend(time.Time{})
	m.life = time.Until(now) + 24*365*time.Hour
	s.cfg.Hosts = []string{"127.0.0.1"}
	at, stop := start(t, s, "tcp", "127.0.0.1:0")
	return s, m, at.String(), stop
}

func get(t *testing.T, client *http.Client, url string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Metadata-Flavor", "Google")
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(b)
}

const tokenPath = "/computeMetadata/v1/instance/service-accounts/default/token"

func TestServe(t *testing.T) {
	t.Parallel()
	s, _, address, stop := serve(t)
	if code, body := get(t, http.DefaultClient, "http://"+address+tokenPath); code != 200 || !strings.Contains(body, "ya29.test") {
		t.Errorf("answered %d %s", code, body)
	}
	if err := stop(); err != nil {
		t.Errorf("Serve returned %v", err)
	}
	if s.over() == nil {
		t.Error("after its end the server hands out tokens")
	}
	if c, err := new(net.Dialer).DialContext(t.Context(), "tcp", address); err == nil {
		_ = c.Close()
		t.Error("after its end somebody listens")
	}
}

func TestServeOnASocket(t *testing.T) {
	t.Parallel()
	s, m := newServer(t, nil)
	s.cfg.Now = time.Now
	s.Extend(time.Time{})
	m.life = time.Until(now) + 24*365*time.Hour
	path := filepath.Join(t.TempDir(), "s")
	start(t, s, "unix", path)
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	defer client.CloseIdleConnections()
	if code, body := get(t, client, "http://localhost:4711"+tokenPath); code != 200 || !strings.Contains(body, "ya29.test") {
		t.Errorf("answered %d %s", code, body)
	}
	if code, _ := get(t, client, "http://elsewhere:4711"+tokenPath); code != 403 {
		t.Errorf("under another name: answered %d", code)
	}
}

// A sandbox holds as many connections as it can get, each in the middle of a request. It
// gets no more than there are, and the end does not wait for it.
func TestServeEndsWhateverClientsDo(t *testing.T) {
	t.Parallel()
	_, m, address, stop := serve(t)
	hang := make(chan struct{})
	defer close(hang)
	minting := make(chan struct{}, 1)
	m.during = func() {
		select {
		case minting <- struct{}{}:
		default:
		}
		<-hang
	}
	var answered int
	var waits net.Conn
	begun := time.Now()
	for i := range maxConnections + 20 {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		request := "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "
		switch {
		case i == 0: // it waits for a token that does not come
			request = "GET " + tokenPath + " HTTP/1.1\r\nHost: 127.0.0.1\r\nMetadata-Flavor: Google\r\n\r\n"
		case i%2 == 0: // it keeps an answered connection
			request = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
		}
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			<-minting
			waits = c
		}
		if i > 0 && i%2 == 0 {
			wait := 10 * time.Second
			if i >= maxConnections {
				wait = 50 * time.Millisecond
			}
			if err := c.SetReadDeadline(time.Now().Add(wait)); err != nil {
				t.Fatal(err)
			}
			if _, err := http.ReadResponse(bufio.NewReader(c), nil); err == nil {
				answered++
			}
		}
	}
	// Who has not sent its header for so long gives its place away.
	if most := maxConnections/2 - 1; answered != most && time.Since(begun) < headerTimeout {
		t.Errorf("%d of them were answered, want the %d within the limit", answered, most)
	}
	begun = time.Now()
	if err := stop(); err != nil {
		t.Errorf("Serve returned %v", err)
	}
	if took := time.Since(begun); took > graceTimeout+3*time.Second {
		t.Errorf("the end took %s", took)
	}
	if err := waits.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := waits.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("who waits for a token is left waiting: %v", err)
	}
}

// TestServeEndsWhateverClientsSend: over a unix socket come files too, and whoever receives one closes it. Closing a
// connection that lingers takes as long as its maker says.
func TestServeEndsWhateverClientsSend(t *testing.T) {
	t.Parallel()
	s, _ := newServer(t, nil)
	path := filepath.Join(t.TempDir(), "s")
	_, stop := start(t, s, "unix", path)
	for range 3 {
		c, err := new(net.Dialer).DialContext(t.Context(), "unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		near, far := lingering(t, time.Minute)
		rights := syscall.UnixRights(int(near.Fd()), int(far.Fd()))
		if _, _, err := c.(*net.UnixConn).WriteMsgUnix([]byte("GET / HTTP/1.1\r\nHost: 127.0.0.1:4711\r\n\r\n"), rights, nil); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(near.Close(), far.Close()); err != nil {
			t.Fatal(err)
		}
		// The answer comes or not: the server may be closing what it has received.
		_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		_, _ = c.Read(make([]byte, 1))
	}
	begun := time.Now()
	if err := stop(); err != nil {
		t.Errorf("Serve returned %v", err)
	}
	if took := time.Since(begun); took > 2*graceTimeout+3*time.Second {
		t.Errorf("the end took %s", took)
	}
}

// lingering returns the ends of a connection whose near end takes so long to close as long as the far end is open.
func lingering(t *testing.T, long time.Duration) (near, far *os.File) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	d, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for err == nil { // until nothing more is taken
		if err = c.SetWriteDeadline(time.Now().Add(50 * time.Millisecond)); err == nil {
			_, err = c.Write(make([]byte, 1<<20))
		}
	}
	if err := c.(*net.TCPConn).SetLinger(int(long / time.Second)); err != nil {
		t.Fatal(err)
	}
	if near, err = c.(*net.TCPConn).File(); err == nil {
		far, err = d.(*net.TCPConn).File()
	}
	if err != nil {
		t.Fatal(err)
	}
	return near, far
}

func TestServeLetsTheNextOneIn(t *testing.T) {
	t.Parallel()
	_, _, address, _ := serve(t)
	for range maxConnections + 50 { // one after the other
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		if code, body := get(t, client, "http://"+address+tokenPath); code != 200 {
			t.Fatalf("answered %d %s", code, body)
		}
	}
}

func TestServeLimitsHeaders(t *testing.T) {
	t.Parallel()
	_, _, address, _ := serve(t)
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: %s\r\n\r\n", strings.Repeat("x", 2*maxHeader))
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("answered %s", answer.Status)
	}
}

func TestServeReportsAListenerThatFails(t *testing.T) {
	t.Parallel()
	s, _ := newServer(t, nil)
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(t.Context(), l); err == nil {
		t.Error("Serve on a closed listener succeeded")
	}
}
