//go:build !linux

package supervise

import (
	"os"
	"syscall"
)

// Protect does nothing: outside of Linux a process needs privileges, or an
// entitlement, to read another one's memory.
func Protect() error { return nil }

// discardInput does nothing: a command that could make the terminal answer runs in a sandbox, which is for Linux.
func discardInput(*os.File) {}

// refuseFiles does nothing: it is for sandboxes, which are for Linux.
func refuseFiles(string, string, syscall.RawConn) error { return nil }
