package supervise

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Protect prevents other processes of the same user, the task's command among them, from
// reading the memory, the environment and the descriptors of this process, which contain the
// operator's login. It does not protect the programs that this process starts.
func Protect() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("keeping other processes out of this one's memory: %w", err)
	}
	return nil
}
