package isolate

import (
	"net"
	"sync"

	"github.com/taskiam/taskiam/internal/fault"
)

// OnlyFrom returns the listener without the connections of strangers: belongs says
// whether the process that made one may. It is for TCP on loopback, where an address is all that a client
// needs, and whose address every process of the machine can find out.
//
// Who is at the other end is looked up when the first bytes are read, in whatever
// goroutine reads them; a stranger's connection ends with an error there. If nobody can
// be found, because the client is gone or belongs to another user, it is a stranger's.
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
			err = fault.New(fault.Denied, "the connection from %s is not the sandbox's", c.RemoteAddr())
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
