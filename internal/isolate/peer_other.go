//go:build !linux

package isolate

import (
	"fmt"
	"net"
)

// Process is one process of this machine.
type Process struct{}

// Self reports whether it is this process.
func (Process) Self() bool { return false }

// Belongs is false: there are no sandboxes without Linux.
func (*Box) Belongs(Process) bool { return false }

func heldBy(client, _ net.Addr, _ func(Process) bool) (bool, error) {
	return false, fmt.Errorf("looking up who is at %s: that takes Linux", client)
}
