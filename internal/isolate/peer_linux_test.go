package isolate

import (
	"fmt"
	"io"
	"net"
	"os"
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
