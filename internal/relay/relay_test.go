package relay

import (
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

func listen(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// echo answers with all that it was sent, once the sender has said that it is all.
func echo(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			b, err := io.ReadAll(c)
			if err == nil {
				_, _ = c.Write(b)
			}
		}()
	}
}

func TestRelayCarriesBothWays(t *testing.T) {
	t.Parallel()
	server := listen(t, "tcp", "127.0.0.1:0")
	go echo(server)
	socket := listen(t, "unix", filepath.Join(t.TempDir(), "s"))
	front := listen(t, "tcp", "127.0.0.1:0")
	ctx, cancel := context.WithCancel(t.Context())
	var relays sync.WaitGroup
	start := func(l net.Listener, network, address string) {
		relays.Go(func() {
			if err := Relay(ctx, l, func(ctx context.Context) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, address)
			}); err != nil {
				t.Error(err)
			}
		})
	}
	// As in use: loopback inside, a socket, loopback outside.
	start(socket, "tcp", server.Addr().String())
	start(front, "unix", socket.Addr().String())

	// More at a time than a relay carries, each larger than any buffer on the way.
	var clients sync.WaitGroup
	for i := range connections + 20 {
		clients.Go(func() {
			c, err := net.Dial("tcp", front.Addr().String())
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(30 * time.Second)) // if the end does not arrive, nothing does
			size := 1 << 16
			sent := make([]byte, size)
			for j := range sent {
				sent[j] = byte(i)
			}
			go func() {
				_, _ = c.Write(sent)
				_ = c.(*net.TCPConn).CloseWrite()
			}()
			got, err := io.ReadAll(c)
			if err != nil || string(got) != string(sent) {
				t.Errorf("client %d got %d bytes and %v", i, len(got), err)
			}
		})
	}
	clients.Wait()

	// A connection that nobody ends does not keep a relay that is to end.
	idle, err := net.Dial("tcp", front.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	fmt.Fprint(idle, "x")
	cancel()
	relays.Wait()
}
