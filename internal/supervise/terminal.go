package supervise

import (
	"context"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/taskiam/taskiam/internal/isolate"
	"github.com/taskiam/taskiam/internal/wait"
)

// streams are the standard streams of an isolated command. None of ours gets into the
// sandbox: whoever has a file can open it anew by /proc/self/fd, to read or truncate it, and
// whoever has a terminal can change its settings, which takes Ctrl-C away. Where we have a
// terminal the command has one of the sandbox's own, and pipes for everything else.
type streams struct {
	Command
	// own has the numbers of the streams that are the sandbox's terminal.
	own string
	// keys is our terminal, if what is typed there is for the sandbox's; and screen is where
	// the output of that goes.
	keys      *os.File
	screen    io.Writer
	overheard overheard
}

// newStreams decides on the streams. What is typed goes to the sandbox's terminal only if the
// output of that is seen: else others may be using ours, such as a pager behind a pipe.
func newStreams(c Command) *streams {
	s := &streams{Command: c}
	if Interactive(c.Stdin, c.Stdout) {
		s.keys, s.own = terminalOf(c.Stdin), "0"
	}
	if terminalOf(c.Stdout) != nil {
		s.screen, s.own = c.Stdout, s.own+"1"
	}
	if terminalOf(c.Stderr) != nil {
		s.own += "2"
		if s.screen == nil {
			s.screen = c.Stderr
		}
	}
	return s
}

// Interactive reports whether a person uses a command with these streams by a terminal.
func Interactive(stdin io.Reader, stdout io.Writer) bool {
	return terminalOf(stdin) != nil && terminalOf(stdout) != nil
}

// terminalOf returns a stream of ours if it is a terminal, and nil if it is none.
func terminalOf(stream any) *os.File {
	if f, ok := stream.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return f
	}
	return nil
}

// piped hides a file, so that package exec makes a pipe for it.
type piped struct{ io.Writer }

// connect gives bubblewrap pipes, and returns what feeds its standard input until ctx is
// done. What bubblewrap itself says goes to our standard error in any case.
func (s *streams) connect(cmd *exec.Cmd) (feed func(ctx context.Context), err error) {
	cmd.Stderr = piped{s.overheard.on(s.Stderr)}
	switch {
	case terminalOf(s.Stdout) != nil:
	case same(s.Stdout, s.Stderr): // one pipe, so that what is written stays in order
		cmd.Stdout = cmd.Stderr
	default:
		cmd.Stdout = piped{s.overheard.on(s.Stdout)}
	}
	if s.keys != nil || s.Stdin == nil || isNull(s.Stdin) {
		return func(context.Context) {}, nil
	}
	in, err := cmd.StdinPipe()
	return func(ctx context.Context) {
		// An error means that the command reads no more.
		defer in.Close()
		if keys := terminalOf(s.Stdin); keys != nil {
			typed(ctx, keys, func() {}, in)
			return
		}
		_, _ = io.Copy(in, s.Stdin)
	}, err
}

// same reports whether two streams are one file.
func same(a, b any) bool {
	f, ok := a.(*os.File)
	g, ok2 := b.(*os.File)
	if !ok || !ok2 {
		return false
	}
	first, err := f.Stat()
	second, err2 := g.Stat()
	return err == nil && err2 == nil && os.SameFile(first, second)
}

func isNull(stream io.Reader) bool {
	null, err := os.Stat(os.DevNull)
	f, ok := stream.(*os.File)
	if !ok || err != nil {
		return false
	}
	info, err := f.Stat()
	return err == nil && os.SameFile(null, info)
}

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

// terminal connects our terminal with that of an isolated command.
type terminal struct {
	*streams
	box *isolate.Box
	// end receives when the person wants the command to end, whatever it does with its keys.
	end chan struct{}

	master *os.File        // set before ready is closed; nil is none
	ready  chan struct{}   // closed once the command was told to start
	copied chan struct{}   // closed once all output is copied
	ctx    context.Context // done after close
	cancel context.CancelFunc

	mu    sync.Mutex
	saved *term.State // of our terminal, while it is raw
}

// attach waits for the command's terminal, makes it like ours, and lets the command start.
func (s *streams) attach(box *isolate.Box, feed func(context.Context)) *terminal {
	t := &terminal{
		streams: s, box: box, end: make(chan struct{}, 1), ready: make(chan struct{}), copied: make(chan struct{}),
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	go func() {
		defer close(t.ready)
		defer box.Begin()
		if s.own != "" {
			t.master = box.Terminal()
		}
		go feed(t.ctx)
		if t.master == nil {
			close(t.copied)
			return
		}
		if s.keys != nil {
			if state, err := term.GetState(int(s.keys.Fd())); err == nil {
				_ = term.Restore(int(t.master.Fd()), state)
			}
			t.raw() // before the command can print: our terminal would change its line ends
			go typed(t.ctx, s.keys, t.raw, &endKeys{to: t.master, end: t.end})
		}
		t.resize()
		go t.follow()
		go func() {
			defer close(t.copied)
			_, _ = io.Copy(t.overheard.on(t.screen), t.master) // until nobody has the other end any more
		}()
	}()
	return t
}

// close ends the connection after the command's end, once its last output is written or
// within has passed. It leaves our terminal as it was.
func (t *terminal) close(within time.Duration) {
	<-t.ready
	late := time.NewTimer(max(within, glance))
	defer late.Stop()
	select {
	case <-t.copied:
	case <-late.C:
	}
	t.cancel()
	t.cooked()
	if t.master != nil {
		_ = t.master.Close()
	}
}

// raw makes our terminal pass everything on, if it is not in the background.
func (t *terminal) raw() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ctx.Err() == nil && t.saved == nil && foreground(t.keys) {
		t.saved, _ = term.MakeRaw(int(t.keys.Fd()))
	}
}

// cooked undoes raw. In the background the shell has the terminal, and has undone it.
func (t *terminal) cooked() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.saved != nil && foreground(t.keys) {
		_ = term.Restore(int(t.keys.Fd()), t.saved)
	}
	t.saved = nil
}

// resize gives the command's terminal the size of ours, of which the system tells it.
func (t *terminal) resize() {
	if screen := terminalOf(t.screen); screen != nil {
		if size, err := pty.GetsizeFull(screen); err == nil {
			_ = pty.Setsize(t.master, size)
		}
	}
}

// follow hands on what happens to our terminal and to our process group, and back: when the
// command stops, as by Ctrl-Z, we stop as well, and when we go on, so does it.
func (t *terminal) follow() {
	resized, resumed := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGWINCH)
	signal.Notify(resumed, syscall.SIGCONT)
	defer signal.Stop(resized)
	defer signal.Stop(resumed)
	for {
		select {
		case <-resized:
			t.resize()
			continue
		case <-t.ctx.Done():
			return
		case <-resumed:
		case <-t.box.Stopped():
			if t.keys == nil {
				continue
			}
			t.cooked()
			// The shell stops waiting for our group. Where no shell could continue it, the
			// system does not stop it.
			_ = syscall.Kill(0, syscall.SIGTSTP)
			late := time.NewTimer(time.Second)
			select {
			case <-resumed:
			case <-late.C:
			}
			late.Stop()
		}
		if t.keys != nil {
			t.cooked() // the shell may have changed it since
			t.raw()
			t.resize()
		}
		t.box.Signal(syscall.SIGCONT, true)
	}
}

// endKeys looks for three times Ctrl-] within a second in what is typed.
type endKeys struct {
	to    io.Writer
	end   chan<- struct{}
	count int
	first time.Time
}

// EndKeys is how a person ends a command that has taken Ctrl-C for itself.
const EndKeys = "Ctrl-] three times within a second"

func (k *endKeys) Write(b []byte) (int, error) {
	for _, key := range b {
		switch {
		case key != 0x1d:
			k.count = 0
			continue
		case k.count == 0 || time.Since(k.first) > time.Second:
			k.count, k.first = 0, time.Now()
		}
		if k.count++; k.count == 3 {
			select {
			case k.end <- struct{}{}:
			default:
			}
		}
	}
	return k.to.Write(b)
}
