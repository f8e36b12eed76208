package supervise

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/taskiam/taskiam/internal/child"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/isolate"
)

// Command is what a task runs.
type Command struct {
	Args    []string // the program's name first
	Environ []string
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
	// KillAfter is how long it may take to end after a signal.
	KillAfter time.Duration
}

// Child is a task's command while it runs.
type Child struct {
	cmd       *exec.Cmd
	box       *isolate.Box // the sandbox that it is in; nil is none
	terminal  *terminal    // what connects it with our streams, if it is in a sandbox or has a terminal of its own
	apart     bool         // it is in no sandbox, and leads a session of its own
	killAfter time.Duration
	ended     chan error
}

// Unknown is the exit code if it is not known how the command ended, or if it succeeded but its
// output could not be copied.
const Unknown = child.Unknown

// Start starts the command in the sandbox. Without bubblewrap, as our own user, it is in our process
// group, so that the terminal's job control works for it as usual.
func (s *Sandbox) Start(c Command) (*Child, error) {
	if s.Isolated {
		return s.startIsolated(c)
	}
	path, err := lookPath(c.Args[0])
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, c.Args[1:]...)
	cmd.Args[0] = c.Args[0] // as a shell would call it
	cmd.Env = c.Environ
	cmd.WaitDelay = c.KillAfter // for copying the output, if that is not a file
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Stdout, c.Stderr
	child := &Child{cmd: cmd, apart: s.user != nil, killAfter: c.KillAfter, ended: make(chan error, 1)}
	if s.user != nil {
		s.streams = newStreams(c)
		if child.terminal, err = s.streams.asAnother(cmd, s.user); err != nil {
			return nil, NotStarted(c.Args[0], err)
		}
	}
	if err := cmd.Start(); err != nil {
		child.terminal.close(0)
		return nil, NotStarted(c.Args[0], err)
	}
	child.terminal.started()
	go func() {
		err := cmd.Wait()
		child.terminal.close(leftSaying)
		child.ended <- err
	}()
	return child, nil
}

// leftSaying is how long it is waited for what a command's processes say that it has left behind.
const leftSaying = time.Second

// startIsolated starts the command in its bubblewrap sandbox.
func (s *Sandbox) startIsolated(c Command) (*Child, error) {
	streams := newStreams(c)
	s.spec.Environ = c.Environ
	box, err := s.spec.New(s.bwrap, streams.own)
	if err != nil {
		return nil, err
	}
	s.box, s.streams = box, streams
	close(s.started)
	cmd := box.Cmd
	cmd.WaitDelay = c.KillAfter // for copying the output
	s.user.become(cmd)
	feed, err := streams.connect(cmd)
	if err != nil {
		return nil, NotStarted(c.Args[0], errors.Join(err, box.Discard()))
	}
	if err := box.Start(); err != nil {
		return nil, NotStarted(c.Args[0], err)
	}
	child := &Child{
		cmd: cmd, box: box, terminal: streams.attach(box, feed), killAfter: c.KillAfter, ended: make(chan error, 1),
	}
	go func() {
		err := cmd.Wait()
		if cmd.ProcessState != nil && cmd.ProcessState.Success() && errors.Is(err, syscall.EPIPE) {
			err = nil // whoever read our output has seen enough
		}
		child.terminal.close(c.KillAfter)
		child.ended <- err
	}()
	return child, nil
}

// lookPath finds the program. The command has our PATH.
func lookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", NotStarted(name, err)
	}
	return path, nil
}

// StartError is a command that could not be started.
type StartError struct {
	// NotFound means that there is no such program; else there is one that cannot be run.
	NotFound bool
	err      error
}

// NotStarted returns the [StartError] for a command.
func NotStarted(name string, err error) error {
	return &StartError{
		NotFound: errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist),
		err:      fault.New(fault.Usage, "starting %s: %w", name, err),
	}
}

func (e *StartError) Error() string { return e.err.Error() }

// Unwrap returns the error without the distinction.
func (e *StartError) Unwrap() error { return e.err }

// SealDescriptors makes sure that the task's command inherits no descriptor but the standard
// three: none of ours, and none that we have inherited ourselves.
func SealDescriptors() error {
	entries, err := os.ReadDir("/dev/fd")
	if err != nil {
		return fmt.Errorf("listing open descriptors: %w", err)
	}
	for _, entry := range entries {
		if fd, err := strconv.Atoi(entry.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

// Wait passes signals on to the command until that has ended, and returns its exit code; for a
// command that a signal has ended, the code that a shell returns. After the first signal the
// command has the time of [Command.KillAfter] to end.
func (c *Child) Wait(signals <-chan os.Signal) int {
	var kill <-chan time.Time
	var end <-chan struct{}
	if c.terminal != nil {
		end = c.terminal.end
	}
	for {
		var s os.Signal
		select {
		case <-end:
			s = syscall.SIGTERM
		case s = <-signals:
		case <-kill:
			_ = c.cmd.Process.Kill()
			continue
		case err := <-c.ended:
			return child.Code(c.cmd.ProcessState, err)
		}
		if child.FromTerminal(s) {
			// The command has received it too, unless it is in another session. It may have
			// another use for it than to end.
			if c.box != nil || c.apart {
				c.signal(s, true)
			}
			continue
		}
		c.signal(s, false)
		if kill == nil {
			timer := time.NewTimer(c.killAfter)
			defer timer.Stop()
			kill = timer.C
		}
	}
}

// WithoutSandbox reports, after the end, whether bubblewrap ended before there was a sandbox.
func (c *Child) WithoutSandbox() bool { return c.box != nil && !c.box.Started() }

// WantedUserns returns what the command has printed, after its end, that programs print which could
// not make a user namespace; "" if it has not, or if it is in no sandbox that refuses them.
func (c *Child) WantedUserns() string {
	if c.box == nil {
		return ""
	}
	return c.terminal.overheard.has()
}

// signal sends a signal to the command, or to all of its group. If the command has just ended,
// there is nothing to do.
func (c *Child) signal(s os.Signal, group bool) {
	number, ok := s.(syscall.Signal)
	switch {
	case c.box != nil && ok:
		<-c.terminal.ready // what comes before the start reaches nobody
		c.box.Signal(number, group)
	case c.apart && group && ok:
		_ = syscall.Kill(-c.cmd.Process.Pid, number)
	case c.box == nil:
		_ = c.cmd.Process.Signal(s)
	}
}
