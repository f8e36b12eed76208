//go:build !linux

package supervise

// Protect does nothing: outside of Linux a process needs privileges, or an
// entitlement, to read another one's memory.
func Protect() error { return nil }
