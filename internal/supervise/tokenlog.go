package supervise

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
)

// OpenTokenLog opens the log of the run's tokens. It is removed together with the journal.
func OpenTokenLog(journals *journal.Dir, run grants.RunID) (*os.File, error) {
	f, err := os.OpenFile(journals.TokenLogPath(run), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the log of tokens: %w", err)
	}
	return f, nil
}

// HoldTokenLog locks the log: this process keeps the delivery of the run good. It is for the
// process that runs the task's command, which is not in the journal because a teardown would
// stop it. The lock ends with the process, however that ends.
func HoldTokenLog(log *os.File) error {
	if err := unix.Flock(int(log.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("locking the log of tokens: %w", err)
	}
	return nil
}

// TokenLogHeld reports whether a process has locked the log.
func TokenLogHeld(journals *journal.Dir, run grants.RunID) (bool, error) {
	log, err := os.Open(journals.TokenLogPath(run))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("opening the log of tokens: %w", err)
	}
	defer log.Close()
	switch err := unix.Flock(int(log.Fd()), unix.LOCK_SH|unix.LOCK_NB); {
	case errors.Is(err, unix.EWOULDBLOCK):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("locking the log of tokens: %w", err)
	}
	return false, nil
}
