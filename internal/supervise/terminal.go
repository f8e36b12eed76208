package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/creack/pty"
	"golang.org/x/term"

	"github.com/taskiam/taskiam/internal/isolate"
)

// streams are the standard streams of a command that is in a sandbox or another user's. None of ours gets into the
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
	// steered is whether the screen was sent what does more than be shown.
	steered atomic.Bool
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

// terminal connects our terminal with that of an isolated command.
type terminal struct {
	*streams
	box *isolate.Box // nil is none
	// end receives when the person wants the command to end, whatever it does with its keys.
	end chan struct{}

	slave  *os.File        // the command's, if that is in no sandbox, until it has started
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
	t := s.newTerminal()
	t.box = box
	go func() {
		defer close(t.ready)
		defer box.Begin()
		if s.own != "" {
			t.master = box.Terminal()
		}
		t.connect(feed)
	}()
	return t
}

// asAnother gives a command that is to run as another user, outside of a sandbox, a terminal of its own for those of
// its streams that are ours. It leads a session of its own, so that nothing in ours is in its reach. Start it next; nil
// means that none of its streams is a terminal.
func (s *streams) asAnother(cmd *exec.Cmd, u *User) (*terminal, error) {
	u.become(cmd)
	feed := func(context.Context) {}
	if keys := terminalOf(s.Stdin); keys != nil && s.keys == nil {
		in, err := cmd.StdinPipe()
		if err != nil {
			return nil, err
		}
		feed = func(ctx context.Context) {
			defer in.Close()
			typed(ctx, keys, func() {}, in)
		}
	} else if s.own == "" {
		return nil, nil
	}
	t := s.newTerminal()
	if s.own != "" {
		var err error
		if t.master, t.slave, err = pty.Open(); err != nil {
			return nil, fmt.Errorf("making a terminal: %w", err)
		}
		if err := t.slave.Chown(int(u.uid), -1); err != nil {
			return nil, errors.Join(fmt.Errorf("giving a terminal away: %w", err), t.master.Close(), t.slave.Close())
		}
		if strings.Contains(s.own, "0") {
			cmd.Stdin = t.slave
		}
		if strings.Contains(s.own, "1") {
			cmd.Stdout = t.slave
		}
		if strings.Contains(s.own, "2") {
			cmd.Stderr = t.slave
		}
		cmd.SysProcAttr.Setctty, cmd.SysProcAttr.Ctty = true, int(s.own[0]-'0')
	}
	t.connect(feed)
	close(t.ready)
	return t, nil
}

// started lets go of what the command has now.
func (t *terminal) started() {
	if t != nil && t.slave != nil {
		_ = t.slave.Close()
	}
}

func (s *streams) newTerminal() *terminal {
	t := &terminal{
		streams: s, end: make(chan struct{}, 1), ready: make(chan struct{}), copied: make(chan struct{}),
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	return t
}

// connect makes the command's terminal like ours, and both go on as one. feed is for a standard input that is a pipe.
func (t *terminal) connect(feed func(context.Context)) {
	go feed(t.ctx)
	if t.master == nil {
		close(t.copied)
		return
	}
	if t.keys != nil {
		if state, err := term.GetState(int(t.keys.Fd())); err == nil {
			_ = term.Restore(int(t.master.Fd()), state)
		}
		t.raw() // before the command can print: our terminal would change its line ends
		// The command may read nothing, and have our terminal type at the same time, by asking it something. That must
		// not keep us from reading.
		waiting := make(chan []byte, keysAhead)
		go t.enter(waiting)
		go typed(t.ctx, t.keys, t.raw, &endKeys{to: waiting, end: t.end})
	}
	t.resize()
	go t.follow()
	go func() {
		defer close(t.copied)
		// Until nobody has the other end any more.
		_, _ = io.Copy(&steering{Writer: t.overheard.on(t.screen), steered: &t.steered}, t.master)
	}()
}

// close ends the connection after the command's end, once its last output is written or
// within has passed. It leaves our terminal as it was.
func (t *terminal) close(within time.Duration) {
	if t == nil {
		return
	}
	t.started()
	<-t.ready
	late := time.NewTimer(max(within, glance))
	defer late.Stop()
	select {
	case <-t.copied:
	case <-late.C:
	}
	t.cancel()
	t.settle()
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
		case <-t.stopped():
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
		if t.box != nil {
			t.box.Signal(syscall.SIGCONT, true)
		}
	}
}

// stopped receives when the command has stopped. Outside of a sandbox it does not: what leads a session cannot be
// stopped by Ctrl-Z.
func (t *terminal) stopped() <-chan struct{} {
	if t.box == nil {
		return nil
	}
	return t.box.Stopped()
}
