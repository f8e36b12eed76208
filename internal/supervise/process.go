package supervise

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/taskiam/taskiam/internal/wait"
)

const (
	// stopWithin is how long a process may take to end after SIGTERM, and again after SIGKILL.
	stopWithin = 3 * time.Second
	// StopsWithin is how long [Stop] takes at most.
	StopsWithin = 2 * stopWithin
	// lookAgain is how often to look whether the process has ended. Only a parent is told of
	// the end of a process.
	lookAgain = 5 * time.Millisecond
)

// isGone reports whether an error says that there is no such process.
func isGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) || errors.Is(err, os.ErrProcessDone)
}

// Stop ends the process with this number and this start, and returns when it is gone. If there
// is none, or another process has the number now, there is nothing to do.
func Stop(ctx context.Context, pid int, start string) error {
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		is, err := startOf(pid)
		if err != nil {
			return err
		}
		if is != start {
			return nil
		}
		if err := syscall.Kill(pid, s); err != nil && !isGone(err) {
			return fmt.Errorf("stopping process %d: %w", pid, err)
		}
		if gone, err := waitGone(ctx, pid, start); gone || err != nil {
			return err
		}
	}
	return fmt.Errorf("stopping process %d: it does not end", pid)
}

// waitGone reports whether the process has ended within stopWithin.
func waitGone(ctx context.Context, pid int, start string) (bool, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	for {
		if is, err := startOf(pid); err != nil || is != start {
			return err == nil, err
		}
		if wait.For(ctx, lookAgain) != nil {
			return false, nil
		}
	}
}

// Self returns the number and the start of this process, for [Stop].
func Self() (pid int, start string, err error) {
	start, err = startOf(os.Getpid())
	return os.Getpid(), start, err
}

// Running reports whether there is a process with this number and this start.
func Running(pid int, start string) bool {
	is, err := startOf(pid)
	return err == nil && is == start
}
