// Package relay carries connections from one listener to another: from a loopback port to a socket, which is the way
// out of a sandbox without a network, and from a socket to a port. It knows nothing of what is said on them.
package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// connections is how many connections a relay carries at a time; others wait. A sandbox
// must not be able to use up the descriptors of the process outside, which still needs
// some to take the run down.
const connections = 128

// Relay connects everything that arrives on l with what dial returns, in both directions,
// until ctx is done; then it closes l. If dial fails, the connection is closed.
func Relay(ctx context.Context, l net.Listener, dial func(context.Context) (net.Conn, error)) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	var carried sync.WaitGroup
	defer carried.Wait()
	slots := make(chan struct{}, connections)
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		in, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return fmt.Errorf("relaying from %s: %w", l.Addr(), err)
		}
		carried.Go(func() {
			defer func() { <-slots }()
			defer in.Close()
			out, err := dial(ctx)
			if err != nil {
				return
			}
			defer out.Close()
			defer context.AfterFunc(ctx, func() { _ = in.Close(); _ = out.Close() })()
			carry(in, out)
		})
	}
}

// carry copies until both directions have ended.
func carry(a, b net.Conn) {
	var both sync.WaitGroup
	copy := func(to, from net.Conn) {
		_, err := io.Copy(to, from)
		half, ok := to.(interface{ CloseWrite() error })
		if err != nil || !ok || half.CloseWrite() != nil {
			_ = to.Close()
			_ = from.Close()
		}
	}
	both.Go(func() { copy(a, b) })
	both.Go(func() { copy(b, a) })
	both.Wait()
}
