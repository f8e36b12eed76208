//go:build !linux

package supervise

import (
	"os"
	"syscall"
)

// Protect does nothing: outside of Linux a process needs privileges, or an
// entitlement, to read another one's memory.
func Protect() error { return nil }

// discardInput does nothing: sandboxes are for Linux, and what a command of another user's asks the terminal, our shell
// gets the answer to.
func discardInput(*os.File) {}

// refuseFiles does nothing: it is for sandboxes, which are for Linux.
func refuseFiles(string, string, syscall.RawConn) error { return nil }
