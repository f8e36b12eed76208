package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"sync/atomic"
	"time"

	"github.com/taskiam/taskiam/internal/child"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/wait"
)

// EnvAddress is the variable in which a command finds the address that leads to the socket.
const EnvAddress = "TASKIAM_CONNECT"

// Order is what [Connect] is to connect.
type Order struct {
	Listen netip.AddrPort // on loopback; port 0 is any that is free
	Socket string         // a path, which is looked up for each connection
	// Command runs beside it. Without one it lasts until its context ends, or the process that started this one.
	Command []string
}

// Process is what of this process [Connect] and the command use.
type Process struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Environ        []string
	Signals        <-chan os.Signal // for the command
	// Listening is told the address, if there is no command.
	Listening func(address string) error
	// Warn says what goes wrong with a connection.
	Warn func(format string, args ...any)
}

// maxSocketPath is how long the path of a socket may be on Linux. Other systems allow a few less.
const maxSocketPath = 107

// check reports what is wrong with the socket before anything is listened to.
func (o Order) check() error {
	if len(o.Socket) > maxSocketPath {
		return fault.New(fault.Usage, "the path of a socket has at most %d bytes, and this one %d: %s",
			maxSocketPath, len(o.Socket), o.Socket)
	}
	info, err := os.Stat(o.Socket)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fault.New(fault.NotFound, "there is no socket %s", o.Socket)
	case err != nil:
		return fmt.Errorf("looking for the socket: %w", err)
	case info.Mode()&fs.ModeSocket == 0:
		return fault.New(fault.Usage, "%s is not a socket", o.Socket)
	}
	return nil
}

// Connect lets a port on loopback lead to a socket, and returns the exit code: that of the command, or 0 without one.
func Connect(ctx context.Context, o Order, p Process) (int, error) {
	parent := os.Getppid() // before anybody is told that it listens, and may end for that
	if err := o.check(); err != nil {
		return 0, err
	}
	l, err := net.Listen("tcp", o.Listen.String())
	if err != nil {
		return 0, fmt.Errorf("listening: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var failed error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if failed = Relay(ctx, l, o.dialer(p.Warn)); failed != nil && len(o.Command) > 0 {
			p.Warn("warning: nothing leads to the socket any more: %v", failed)
		}
	}()
	defer func() { cancel(); <-ended }()
	if len(o.Command) == 0 {
		if err := p.Listening(l.Addr().String()); err != nil {
			return 0, err
		}
		go func() { defer cancel(); untilOrphaned(ctx, parent, os.Getppid) }()
		<-ended
		return 0, failed
	}
	cmd := exec.Command(o.Command[0], o.Command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.Stdin, p.Stdout, p.Stderr
	cmd.Env = append(p.Environ[:len(p.Environ):len(p.Environ)], EnvAddress+"="+l.Addr().String())
	return child.Run(cmd, p.Signals)
}

// dialer connects with the socket. Of failures in a row it tells once: whoever connects in vain may do that often.
func (o Order) dialer(warn func(format string, args ...any)) func(context.Context) (net.Conn, error) {
	var failed atomic.Bool
	return func(ctx context.Context) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, "unix", o.Socket)
		if err == nil {
			failed.Store(false)
		} else if ctx.Err() == nil && !failed.Swap(true) {
			warn("warning: nobody answers at the socket: %v", err)
		}
		return c, err
	}
}

// orphaned is how often it is looked whether the process that started this one is still there.
const orphaned = time.Second

// untilOrphaned returns when first is not the parent of this process any more, or the context ends.
func untilOrphaned(ctx context.Context, first int, parent func() int) {
	for wait.For(ctx, orphaned) == nil && parent() == first {
	}
}
