package supervise

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/taskiam/taskiam/internal/grants"
)

// tokenLogsKept is for how long a log is kept after it was last written to.
const tokenLogsKept = 90 * 24 * time.Hour

const tokenLogSuffix = ".tokens.log"

// TokenLogs is the folder of this machine with a log for each run whose delivery is kept good
// here. The log tells when tokens were given out. It is apart from the journals, which may be
// kept elsewhere: only a process of this machine keeps a delivery good.
type TokenLogs struct {
	// Dir is made when it is needed.
	Dir string
	Now func() time.Time
}

func (l TokenLogs) path(run grants.RunID) string {
	return filepath.Join(l.Dir, string(run)+tokenLogSuffix)
}

// Open opens the log of the run's tokens. It also removes old logs.
func (l TokenLogs) Open(run grants.RunID) (*os.File, error) {
	if err := os.MkdirAll(l.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder for the log of tokens: %w", err)
	}
	l.prune()
	f, err := os.OpenFile(l.path(run), os.O_CREATE|os.O_APPEND|os.O_WRONLY|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the log of tokens: %w", err)
	}
	return f, nil
}

// prune removes old logs. What cannot be removed is tried again the next time.
func (l TokenLogs) prune() {
	entries, _ := os.ReadDir(l.Dir)
	for _, entry := range entries {
		run, err := grants.ParseRunID(strings.TrimSuffix(entry.Name(), tokenLogSuffix))
		if err != nil || !strings.HasSuffix(entry.Name(), tokenLogSuffix) {
			continue
		}
		if info, err := entry.Info(); err != nil || l.Now().Sub(info.ModTime()) < tokenLogsKept {
			continue
		}
		if held, err := l.Held(run); err == nil && !held {
			_ = os.Remove(l.path(run))
		}
	}
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

// Held reports whether a process has locked the log of a run.
func (l TokenLogs) Held(run grants.RunID) (bool, error) {
	log, err := os.OpenFile(l.path(run), os.O_RDONLY|unix.O_NONBLOCK, 0) // a pipe is not waited for
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
