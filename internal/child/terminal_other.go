//go:build !unix

package child

import "os"

// FromTerminal reports whether the signal is one that the console has given to the command
// too: it gives Ctrl-C to all of its processes.
func FromTerminal(s os.Signal) bool { return s == os.Interrupt }
