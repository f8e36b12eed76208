package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/isolate"
)

// child is CMD at work.
type child struct {
	cmd       *exec.Cmd
	box       *isolate.Box // the sandbox that it is in; nil is none
	killAfter time.Duration
	ended     chan error
}

// startChild starts CMD in its place with this environment, on our own standard
// streams. Outside of a sandbox it shares our process group, so that the terminal's job
// control reaches it as it would without us.
func (e *Env) startChild(command, environ []string, p *site, killAfter time.Duration) (*child, error) {
	var cmd *exec.Cmd
	start := func() error { return cmd.Start() }
	if p.box != nil {
		cmd, start = p.box.Cmd, p.box.Start
	} else {
		path, err := lookPath(command[0])
		if err != nil {
			return nil, err
		}
		cmd = exec.Command(path, command[1:]...)
		cmd.Args[0] = command[0] // as a shell would call it
	}
	cmd.Env = environ
	cmd.WaitDelay = killAfter // for the copying of output, where it is not a file
	cmd.Stdin, cmd.Stdout, cmd.Stderr = e.Stdin, e.Stdout, e.Stderr
	p.login.become(cmd)
	if err := start(); err != nil {
		return nil, notStarted(command[0], err)
	}
	c := &child{cmd: cmd, box: p.box, killAfter: killAfter, ended: make(chan error, 1)}
	go func() { c.ended <- cmd.Wait() }()
	return c, nil
}

// lookPath finds the program. CMD's PATH is ours.
func lookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", notStarted(name, err)
	}
	return path, nil
}

// notStarted tells a program that is not there from one that cannot be run.
func notStarted(name string, err error) error {
	code := exitNoExec
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		code = exitNotFound
	}
	return &exitError{code, fault.New(fault.Usage, "starting %s: %w", name, err)}
}

// sealDescriptors keeps every descriptor but the standard three from CMD: ours, and
// those that we were started with ourselves.
func sealDescriptors() error {
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

// wait hands signals on to CMD until that has ended, and returns its exit code, or
// what a shell would say of the signal that ended it. Once CMD was told to end, it
// has as long as killAfter says to do so.
func (c *child) wait(signals <-chan os.Signal) exitCode {
	var kill <-chan time.Time
	for {
		select {
		case s := <-signals:
			if fromTerminal(s) {
				// CMD has it already, unless its session is not the terminal's, and may take it
				// for something else than the end.
				if c.box != nil {
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
		case <-kill:
			_ = c.cmd.Process.Kill()
		case err := <-c.ended:
			return childCode(c.cmd.ProcessState, err)
		}
	}
}

// signal gives CMD a signal, or all of its group. A CMD that has just ended, which Wait
// is about to say, has no use for it.
func (c *child) signal(s os.Signal, group bool) {
	number, ok := s.(syscall.Signal)
	switch {
	case c.box != nil && ok:
		c.box.Signal(number, group)
	case c.box == nil:
		_ = c.cmd.Process.Signal(s)
	}
}

// childCode returns what a shell's $? would be.
func childCode(state *os.ProcessState, err error) exitCode {
	if state == nil {
		return exitRunFailed
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return exitCode(128 + int(status.Signal()))
	}
	if code := state.ExitCode(); code != 0 || err == nil {
		return exitCode(code)
	}
	return exitRunFailed // it ended well, and its output could not be passed on
}

// fromTerminal reports whether the signal is one that the terminal has given to
// CMD too, because we and CMD are its foreground group.
func fromTerminal(s os.Signal) bool {
	if s != syscall.SIGINT && s != syscall.SIGQUIT {
		return false
	}
	tty, err := os.OpenFile("/dev/tty", os.O_RDONLY|syscall.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	defer tty.Close()
	foreground, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && foreground == unix.Getpgrp()
}

// detached returns a context for a teardown: what cancels ctx does not reach it, and
// it ends in its own time.
func detached(ctx context.Context, bound time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), bound)
}
