package supervise

import (
	"bytes"
	"context"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/taskiam/taskiam/internal/wait"
)

// glance is how often it is looked whether our terminal is ours again.
const glance = 200 * time.Millisecond

// typed copies what is typed, until ctx is done or there is no more. It reads only while we
// are the terminal's foreground group: in the background the system would stop us for it. It
// calls mine each time before it waits for keys.
func typed(ctx context.Context, keys *os.File, mine func(), to io.Writer) {
	b := make([]byte, 4096)
	ready := []unix.PollFd{{Fd: int32(keys.Fd()), Events: unix.POLLIN}}
	for ctx.Err() == nil {
		if !foreground(keys) {
			if wait.For(ctx, glance) != nil {
				return
			}
			continue
		}
		mine()
		// What is typed after the command's end is for the shell.
		if n, _ := unix.Poll(ready, int(glance.Milliseconds())); n < 1 || ctx.Err() != nil || !foreground(keys) {
			continue
		}
		n, err := keys.Read(b)
		if err == nil {
			_, err = to.Write(b[:n])
		}
		if err != nil {
			return
		}
	}
}

// foreground reports whether we may use the terminal. If it is not our session's, everybody
// may.
func foreground(f *os.File) bool {
	group, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCGPGRP)
	return err != nil || group == unix.Getpgrp()
}

// Foreground reports whether the terminal f is ours to draw on: this process is in its foreground, or no job control
// decides about that.
func Foreground(f *os.File) bool { return foreground(f) }

// enter types for the command what waits.
func (t *terminal) enter(waiting <-chan []byte) {
	for {
		select {
		case b := <-waiting:
			if _, err := t.master.Write(b); err != nil {
				return
			}
		case <-t.ctx.Done():
			return
		}
	}
}

// keysAhead is how much of what is typed waits for a command that does not read; more is lost, as in any terminal. It
// counts reads of ours, each of which may be a key or a page that was pasted.
const keysAhead = 1024

// endKeys looks for three times Ctrl-] within a second in what is typed, whatever is between them: our terminal may be
// typing as well, when it answers what the command asks it. It waits for nobody.
type endKeys struct {
	to     chan<- []byte
	end    chan<- struct{}
	before [2]time.Time // of the last two
}

// EndKeys is how a person ends a command that has taken Ctrl-C for itself.
const EndKeys = "Ctrl-] three times within a second"

func (k *endKeys) Write(b []byte) (int, error) {
	now := time.Now()
	for range bytes.Count(b, []byte{0x1d}) {
		if now.Sub(k.before[0]) <= time.Second {
			select {
			case k.end <- struct{}{}:
			default:
			}
		}
		k.before[0], k.before[1] = k.before[1], now
	}
	select {
	case k.to <- bytes.Clone(b):
	default:
	}
	return len(b), nil
}
