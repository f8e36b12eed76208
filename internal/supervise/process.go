package supervise

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"
)

const (
	// stopWithin is how long a process has to end after it was told to, and then after
	// it was killed.
	stopWithin = 3 * time.Second
	// lookAgain is how soon a process that was told to end is looked for again. That of
	// a grandchild is told to nobody.
	lookAgain = 5 * time.Millisecond
)

// isGone reports whether an error says that there is no such process.
func isGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) || errors.Is(err, os.ErrProcessDone)
}

// Stop ends the process with this number that was started then, and returns once
// it is gone. If there is none, or another one has the number by now, there is nothing
// to do.
func Stop(ctx context.Context, pid int, start string) error {
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		is, err := StartOf(pid)
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

// waitGone waits as long as a process has to end.
func waitGone(ctx context.Context, pid int, start string) (bool, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		if is, err := StartOf(pid); err != nil || is != start {
			return err == nil, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false, nil
		}
	}
}

// Running reports whether the process with this number is the one that was started then.
func Running(pid int, start string) bool {
	is, err := StartOf(pid)
	return err == nil && is == start
}
