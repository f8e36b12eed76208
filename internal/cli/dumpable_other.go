//go:build !linux

package cli

// protect does nothing: outside of Linux a process needs privileges, or an
// entitlement, to read another one's memory.
func protect() error { return nil }
