package supervise

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/journal"
)

// Where a server listens is told to clients before there is a server, and is the same
// whoever opens it: this process, one that inherits the port, or one that comes later.
func TestEndpointOfAPort(t *testing.T) {
	t.Parallel()
	var reserved Endpoint
	if err := reserved.Reserve(t.Context()); err != nil {
		t.Fatal(err)
	}
	file, err := reserved.file()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	l, err := reserved.Open(t.Context())
	if err != nil || l.Addr().String() != reserved.Listen {
		t.Fatalf("opened %v, %v; reserved was %s", l, err, reserved.Listen)
	}
	reserved.Close()
	inherited, err := net.FileListener(file)
	if err != nil || inherited.Addr().String() != reserved.Listen {
		t.Fatalf("inherited %v, %v; reserved was %s", inherited, err, reserved.Listen)
	}
	again := Endpoint{Listen: reserved.Listen}
	if l, err := again.Open(t.Context()); err == nil {
		t.Errorf("%s was opened twice", l.Addr())
	}
	if err := inherited.Close(); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	// Another process may have taken the port by now.
	if l, err = (Endpoint{Listen: "127.0.0.1:0"}).Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestEndpointOfASocket(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 30)) // longer than a socket's path may be
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	run := &journal.Run{
		Opened: journal.Opened{Metadata: "127.0.0.1:1", Socket: true, DeliveryDir: dir}, Kind: delivery.Metadata,
	}
	at := EndpointOf(run)
	if err := at.Reserve(t.Context()); err != nil || at.Inherit != nil {
		t.Errorf("a socket reserves %v, %v", at.Inherit, err)
	}
	for range 2 { // the second server replaces the socket of the first
		l, err := at.Open(t.Context())
		if err != nil {
			t.Skipf("no socket with a path of this length: %v", err)
		}
		info, err := os.Stat(socketPath(dir))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the socket has mode %v, %v", info.Mode(), err)
		}
		go func() {
			if c, err := l.Accept(); err == nil {
				_, _ = io.WriteString(c, "here")
				_ = c.Close()
			}
		}()
	}
}

func TestEndpointOfARunWithoutServer(t *testing.T) {
	t.Parallel()
	at := EndpointOf(&journal.Run{Opened: journal.Opened{Metadata: "127.0.0.1:1"}, Kind: delivery.Token})
	if l, err := at.Open(t.Context()); l != nil || err != nil {
		t.Errorf("it opens %v, %v", l, err)
	}
	at.Close()
}
