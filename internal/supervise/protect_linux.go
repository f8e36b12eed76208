package supervise

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Protect keeps other processes of the same user, CMD among them, from reading this
// process's memory, environment and descriptors, which hold the operator's login.
// Programs that it starts are as readable as ever.
func Protect() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("keeping other processes out of this one's memory: %w", err)
	}
	return nil
}
