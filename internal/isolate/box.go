package isolate

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/taskiam/taskiam/internal/child"
	"github.com/taskiam/taskiam/internal/fault"
)

// What bubblewrap inherits beside the standard streams.
const (
	filterFd  = 3 // the filter of system calls, which it closes
	environFd = 4 // the command's environment, for the first process
	controlFd = 5 // the first process's end of the socket to the outside
)

// Box is a sandbox that can be started once.
type Box struct {
	// Cmd is bubblewrap, not started yet: its streams and credential are the command's.
	Cmd *exec.Cmd

	control *net.UnixConn
	theirs  []*os.File // what Cmd inherits

	known chan struct{} // closed once pids is set
	once  sync.Once
	pids  string // the sandbox's pid namespace; "" if the command did not start
	// master is the other end of the command's terminal, set with pids; nil is none.
	master  *os.File
	stopped chan struct{} // receives when the command has stopped

	ended chan struct{} // closed by Close
	end   sync.Once
}

// Find returns where bubblewrap is.
func Find() (string, error) {
	path, err := exec.LookPath("bwrap")
	if err != nil {
		return "", fault.WithHint(fault.New(fault.Usage, "isolating a command needs bubblewrap: %w", err),
			"sudo apt-get install bubblewrap   # or dnf, pacman, zypper, apk")
	}
	return path, nil
}

// Try makes the sandbox, without its command and its delivery, and removes it again, so
// that a fault in it shows before anything else is done. prepare may change the command
// line that starts it. If the sandbox does not have the command, or cannot run it, the
// error wraps [exec.ErrNotFound] or [os.ErrPermission].
func (s Spec) Try(bwrap string, prepare func(*exec.Cmd)) error {
	s.Delivery, s.Forwards = "", nil
	cmd, err := s.bubblewrap(bwrap, "--look")
	if err != nil {
		return err
	}
	var said bytes.Buffer
	cmd.Stderr = &said
	prepare(cmd)
	ended := make(chan struct{})
	defer close(ended)
	err = errors.Join(apart(cmd.Start, ended), closeAll(cmd.ExtraFiles))
	if err == nil {
		err = cmd.Wait()
	}
	exit, ran := errors.AsType[*exec.ExitError](err)
	if err == nil {
		return nil
	}
	switch {
	case ran && exit.ExitCode() == codeChanged && said.Len() == 0:
		return fault.New(fault.Conflict,
			"making a sandbox: the work tree, or what else it shows, was changed meanwhile")
	case ran && exit.ExitCode() == child.NotFound:
		return fmt.Errorf("in the sandbox: %w", exec.ErrNotFound)
	case ran && exit.ExitCode() == child.NoExec:
		return fmt.Errorf("in the sandbox: %w", os.ErrPermission)
	}
	if text := strings.TrimSpace(said.String()); text != "" {
		err = errors.New(text)
	}
	return fault.WithHint(fmt.Errorf("making a sandbox: %w", err), kernelHints(os.ReadFile)...)
}

// bubblewrap returns the command that makes the sandbox, in which the first process does what.
// It has no environment of its own. In the command's, a variable of the linker's such as
// LD_PRELOAD could name a library in the work tree, which bubblewrap, still outside of the
// sandbox, and the first process, which is believed, would run.
func (s Spec) bubblewrap(path string, what ...string) (*exec.Cmd, error) {
	filter, err := s.filter()
	if err != nil {
		return nil, err
	}
	environ, err := inMemory("the command's environment", []byte(strings.Join(s.Environ, "\x00")))
	if err != nil {
		return nil, errors.Join(err, filter.Close())
	}
	cmd := exec.Command(path, s.Args(what...)...)
	cmd.Env = []string{} // not nil, which is ours
	cmd.ExtraFiles = []*os.File{filterFd - 3: filter, environFd - 3: environ}
	return cmd, nil
}

func closeAll(files []*os.File) error {
	var err error
	for _, f := range files {
		err = errors.Join(err, f.Close())
	}
	return err
}

// kernelHints says what to do if the kernel does not let users make sandboxes.
func kernelHints(read func(string) ([]byte, error)) []string {
	var hints []string
	for _, t := range []struct{ file, refused, hint string }{
		{"/proc/sys/user/max_user_namespaces", "0", "sudo sysctl user.max_user_namespaces=10000"},
		{"/proc/sys/kernel/unprivileged_userns_clone", "0", "sudo sysctl kernel.unprivileged_userns_clone=1"},
		{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1",
			"give /usr/bin/bwrap an AppArmor profile that allows userns: " +
				"Ubuntu's package apparmor-profiles has one, bwrap-userns-restrict"},
	} {
		if value, err := read(t.file); err == nil && strings.TrimSpace(string(value)) == t.refused {
			hints = append(hints, t.hint)
		}
	}
	return hints
}

// New returns the sandbox, ready to be started. streams has the numbers of the standard streams
// that are to be a terminal of the sandbox's own; the others are those of [Box.Cmd].
func (s Spec) New(bwrap, streams string) (*Box, error) {
	what := []string{"--control"}
	if streams != "" {
		what = append(what, "--terminal", streams)
	}
	cmd, err := s.bubblewrap(bwrap, what...)
	if err != nil {
		return nil, err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connecting with the sandbox: %w", err), closeAll(cmd.ExtraFiles))
	}
	for _, fd := range pair {
		unix.CloseOnExec(fd)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "control"), os.NewFile(uintptr(pair[1]), "control")
	conn, err := net.FileConn(ours)
	if err = errors.Join(err, ours.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("connecting with the sandbox: %w", err), theirs.Close(),
			closeAll(cmd.ExtraFiles))
	}
	cmd.ExtraFiles = append(cmd.ExtraFiles, theirs) // controlFd
	return &Box{
		Cmd: cmd, control: conn.(*net.UnixConn), theirs: cmd.ExtraFiles,
		known: make(chan struct{}), stopped: make(chan struct{}, 1), ended: make(chan struct{}),
	}, nil
}

// Start starts the sandbox, whose command waits for [Box.Begin].
func (b *Box) Start() error {
	err := errors.Join(apart(b.Cmd.Start, b.ended), closeAll(b.theirs))
	if err != nil {
		b.Close()
		return err
	}
	go b.listen()
	return nil
}

// Discard closes what a sandbox holds that will not be started.
func (b *Box) Discard() error { return errors.Join(closeAll(b.theirs), b.Close()) }

// listen takes what the first process says.
func (b *Box) listen() {
	// The first message is sent before the command starts.
	line, rights := make([]byte, 64), make([]byte, unix.CmsgSpace(4))
	n, rightsLen, _, _, err := b.control.ReadMsgUnix(line, rights)
	if err != nil { // bubblewrap has failed, and there is no message
		n, rightsLen = 0, 0
	}
	master := received(rights[:rightsLen])
	b.once.Do(func() { b.pids, b.master = string(line[:n]), master; close(b.known) })
	for {
		if _, err := b.control.Read(line[:1]); err != nil {
			return
		}
		if line[0] == stopped {
			select {
			case b.stopped <- struct{}{}:
			default: // it is known already
			}
		}
	}
}

// received returns the terminal that came with a message, if nothing else came; nil is none. What is not wanted is
// closed.
func received(rights []byte) *os.File {
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil {
		return nil
	}
	var came []int
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil { // it is of another kind, without descriptors
			continue
		}
		came = append(came, fds...)
	}
	if len(came) == 1 {
		return os.NewFile(uintptr(came[0]), "terminal")
	}
	for _, fd := range came {
		_ = unix.Close(fd)
	}
	return nil
}

// Terminal returns the other end of the command's terminal, once there is one; nil is none.
func (b *Box) Terminal() *os.File {
	<-b.known
	return b.master
}

// Stopped receives when the command has stopped, as it does on Ctrl-Z. SIGCONT to its group
// continues it.
func (b *Box) Stopped() <-chan struct{} { return b.stopped }

// Begin starts the command.
func (b *Box) Begin() {
	// An error means that the sandbox has ended.
	_, _ = b.control.Write([]byte{begin})
}

// Signal sends a signal to the command, or to its whole process group, as a terminal
// does. If the command has ended, nothing happens.
func (b *Box) Signal(s syscall.Signal, group bool) {
	word := byte(s)
	if group {
		word |= toGroup
	}
	// An error means that the command has ended.
	_, _ = b.control.Write([]byte{word})
}

// Started reports whether the sandbox ever had a process; false means that bubblewrap
// failed, and has said why. Call it after the end.
func (b *Box) Started() bool {
	<-b.known
	return b.pids != ""
}

// Close closes the connection with the sandbox. Call it after the end.
func (b *Box) Close() error {
	err := b.control.Close()
	b.end.Do(func() { close(b.ended) })
	b.once.Do(func() { close(b.known) })
	return err
}
