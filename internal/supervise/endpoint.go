package supervise

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
)

// Endpoint is where the server of a run listens: on a port of this machine's loopback, or
// on a socket. The zero Endpoint is that of a run without a server.
type Endpoint struct {
	// Listen is the address that clients are told, HOST:PORT.
	Listen string
	// Inherit already listens there; nil if nothing does yet. Clients are told the port before
	// there is a server, and no other program may take it meanwhile.
	Inherit net.Listener
	// Path is the unix socket on which the server listens instead; "" for a port. Then Listen
	// is an address in the sandbox, and connections to it are passed on to the socket.
	Path string
}

// DeliveryOf returns what the journal knows of a run's delivery.
func DeliveryOf(run *journal.Run) delivery.Delivery {
	o := run.Opened
	return delivery.Delivery{
		Dir: o.DeliveryDir, Folder: run.Folder, Run: o.Run, Task: o.Task,
		Account: grants.Account{Email: o.Email, UniqueID: run.Account.UniqueID, Project: o.Project},
		Expires: run.Expires(), Kind: run.Kind, Metadata: o.Metadata,
	}
}

// EndpointOf returns where the server of a run listens, by its journal.
func EndpointOf(run *journal.Run) Endpoint {
	o := run.Opened
	switch {
	case delivery.Of(run.Kind).Upkeep != delivery.Serve:
		return Endpoint{}
	case o.Socket:
		return Endpoint{Listen: o.Metadata, Path: socketPath(o.DeliveryDir)}
	default:
		return Endpoint{Listen: o.Metadata}
	}
}

// Reserve opens the port, for a server that is started later and inherits it. If Listen is
// empty, it takes any free port of the loopback. For a socket it does nothing.
func (e *Endpoint) Reserve(ctx context.Context) error {
	if e.Path != "" {
		return nil
	}
	address := e.Listen
	if address == "" {
		address = "127.0.0.1:0"
	}
	l, err := plainTCP().Listen(ctx, "tcp4", address)
	if err != nil {
		return fmt.Errorf("listening for the metadata server: %w", err)
	}
	e.Inherit, e.Listen = l, l.Addr().String()
	return nil
}

// Open returns the listener of the server; nil for a run without a server.
func (e Endpoint) Open(ctx context.Context) (net.Listener, error) {
	switch {
	case e.Path != "":
		return listenSocket(e.Path)
	case e.Inherit != nil:
		return e.Inherit, nil
	case e.Listen == "":
		return nil, nil
	}
	l, err := plainTCP().Listen(ctx, "tcp", e.Listen)
	if err != nil {
		return nil, fmt.Errorf("listening for the metadata server: %w", err)
	}
	return l, nil
}

// Close closes the reserved port in this process. It may be called again.
func (e Endpoint) Close() {
	if e.Inherit != nil {
		_ = e.Inherit.Close()
	}
}

// plainTCP listens without MPTCP: who a client is, is looked up among the TCP connections of
// the system.
func plainTCP() *net.ListenConfig {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	return &lc
}

// file returns the descriptor of the reserved port, for another process; nil if there is none.
func (e Endpoint) file() (*os.File, error) {
	if e.Inherit == nil {
		return nil, nil
	}
	l, ok := e.Inherit.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, fault.New(fault.Other, "listening for the metadata server: %T has no descriptor to hand over",
			e.Inherit)
	}
	return l.File()
}

// socketPath returns the name of the metadata server's socket in a delivery.
func socketPath(dir string) string { return filepath.Join(dir, "metadata.sock") }

// listenSocket makes the socket, for this user alone. It replaces a socket that an earlier
// server left behind.
func listenSocket(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("making the socket %s: %w", path, err)
	}
	l, err := listenUnix(path, 0)
	if err != nil {
		return nil, fmt.Errorf("making the socket %s: %w", path, err)
	}
	return l, nil
}

// maxSocketPath is how long the path of a socket may be on every system.
const maxSocketPath = 103

// listenUnix listens on a unix socket that only the user with this number may use; 0 is this
// user. Its path may be longer than the system allows for sockets.
func listenUnix(path string, uid int) (net.Listener, error) {
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("listening for the sandbox: %w", err)
	}
	defer folder.Close()
	address := path
	if len(path) > maxSocketPath {
		address = fmt.Sprintf("/proc/self/fd/%d/%s", folder.Fd(), filepath.Base(path)) // Linux only
	}
	l, err := (&net.ListenConfig{Control: refuseFiles}).Listen(context.Background(), "unix", address)
	if err != nil {
		return nil, fmt.Errorf("listening for the sandbox: %w", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // it goes with the delivery
	err = os.Chmod(path, 0o600)
	if err == nil && uid != 0 {
		err = os.Chown(path, uid, -1)
	}
	if err != nil {
		return nil, fmt.Errorf("listening for the sandbox: %w", errors.Join(err, l.Close()))
	}
	return l, nil
}
