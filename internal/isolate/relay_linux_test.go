package isolate

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
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

func TestOnlyFrom(t *testing.T) {
	t.Parallel()
	front := listen(t, "tcp4", "127.0.0.1:0")
	address := front.Addr().(*net.TCPAddr)
	for _, client := range []struct {
		name string
		dial func(*net.TCPAddr) (net.Conn, error)
	}{
		{"over IPv4", func(a *net.TCPAddr) (net.Conn, error) { return net.Dial("tcp4", a.String()) }},
		{"over IPv6", dialMapped}, // as Java does
	} {
		for _, mine := range []bool{true, false} {
			guarded := OnlyFrom(front, func(p Process) bool { return mine && p.Self() })
			go func() {
				c, err := guarded.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				b := make([]byte, 1)
				if _, err := io.ReadFull(c, b); err == nil {
					_, _ = c.Write(b)
				}
			}()
			c, err := client.dial(address)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprint(c, "x")
			got, _ := io.ReadAll(c) // a stranger's connection may be reset
			if err := c.Close(); err != nil || (string(got) == "x") != mine {
				t.Errorf("%s: a client that belongs: %t, and it got %q, %v", client.name, mine, got, err)
			}
		}
	}
}

// dialMapped connects to an IPv4 address through a socket for IPv6.
func dialMapped(a *net.TCPAddr) (net.Conn, error) {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	to := &unix.SockaddrInet6{Port: a.Port}
	copy(to.Addr[:], a.IP.To16())
	if err := unix.Connect(fd, to); err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "client")
	defer f.Close()
	return net.FileConn(f)
}
