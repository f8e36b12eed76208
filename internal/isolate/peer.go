package isolate

import (
	"net"
	"sync"

	"github.com/taskiam/taskiam/internal/fault"
)

// OnlyFrom returns the listener with a check: only connections from processes that belong
// are usable. It is for TCP on loopback, where any process of the machine can find the
// address and connect.
//
// The process at the other end is looked up when the first bytes are read or written; the
// connection of a process that does not belong then ends with an error. The same happens
// if the process cannot be found, because it has ended or belongs to another user.
func OnlyFrom(l net.Listener, belongs func(Process) bool) net.Listener {
	return &guarded{l, belongs}
}

type guarded struct {
	net.Listener
	belongs func(Process) bool
}

func (g *guarded) Accept() (net.Conn, error) {
	c, err := g.Listener.Accept()
	if err != nil {
		return nil, err
	}
	check := sync.OnceValue(func() error {
		held, err := heldBy(c.RemoteAddr(), c.LocalAddr(), g.belongs)
		if err == nil && !held {
			err = fault.New(fault.Denied, "the connection from %s does not come from the sandbox", c.RemoteAddr())
		}
		return err
	})
	return &checked{c, check}, nil
}

type checked struct {
	net.Conn
	check func() error
}

func (c *checked) Read(b []byte) (int, error) {
	if err := c.check(); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

func (c *checked) Write(b []byte) (int, error) {
	if err := c.check(); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}
