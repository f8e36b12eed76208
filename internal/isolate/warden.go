package isolate

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/taskiam/taskiam/internal/child"
)

// What is said over the control socket: the outside begins the command with begin, sends
// signals as their numbers, with toGroup for the whole foreground group; the inside says
// that the command has stopped, as Ctrl-Z makes it do.
const (
	begin   = 0
	toGroup = 0x80
	stopped = 'Z'
)

// warden is the first process, as what stands between the command and the outside.
type warden struct {
	command *exec.Cmd
	control *os.File
	// terminal is the command's; nil if none of its streams is one.
	terminal *os.File
}

// meet tells the outside which processes are the sandbox's, those of its pid namespace, and
// hands over the other end of the command's terminal, for the streams that are to be one.
// It returns when the outside is ready.
func (w *warden) meet(streams string) error {
	unix.CloseOnExec(controlFd)
	w.control = os.NewFile(controlFd, "control")
	name, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return fmt.Errorf("speaking to the outside: %w", err)
	}
	var rights []byte
	if streams != "" {
		master, err := w.openTerminal(streams)
		if err != nil {
			return fmt.Errorf("making a terminal in the sandbox: %w", err)
		}
		defer master.Close()
		rights = unix.UnixRights(int(master.Fd()))
	}
	if err := unix.Sendmsg(controlFd, []byte(name), rights, nil, 0); err != nil {
		return fmt.Errorf("speaking to the outside: %w", err)
	}
	word := make([]byte, 1) // begin
	if _, err := io.ReadFull(w.control, word); err != nil {
		return fmt.Errorf("waiting for the outside: %w", err)
	}
	return nil
}

// openTerminal makes a terminal in the sandbox, for a new session. The command gets
// a process group in it as a shell would give it one, so that Ctrl-Z can stop it.
func (w *warden) openTerminal(streams string) (master *os.File, err error) {
	if master, w.terminal, err = pty.Open(); err != nil {
		return nil, err
	}
	// The session that bubblewrap has made is led by its own process.
	_, err = unix.Setsid()
	if err == nil {
		err = unix.IoctlSetInt(int(w.terminal.Fd()), unix.TIOCSCTTY, 0)
	}
	if err != nil {
		_ = master.Close()
		return nil, err
	}
	if strings.Contains(streams, "0") {
		w.command.Stdin = w.terminal
	}
	if strings.Contains(streams, "1") {
		w.command.Stdout = w.terminal
	}
	if strings.Contains(streams, "2") {
		w.command.Stderr = w.terminal
	}
	w.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Foreground: true, Ctty: int(w.terminal.Fd())}
	return master, nil
}

// obey sends the command the signals that arrive from the outside.
func (w *warden) obey() {
	word := make([]byte, 1)
	for {
		if _, err := io.ReadFull(w.control, word); err != nil {
			return
		}
		s := syscall.Signal(word[0] &^ toGroup)
		switch {
		case word[0]&toGroup == 0:
			// An error means that the command has just ended.
			_ = w.command.Process.Signal(s)
		case w.terminal == nil:
			// This process is in the group too; it ignores the signals of a terminal.
			_ = syscall.Kill(0, s)
		case s == syscall.SIGCONT:
			_ = syscall.Kill(-w.command.Process.Pid, s)
		default:
			group, err := unix.IoctlGetInt(int(w.terminal.Fd()), unix.TIOCGPGRP)
			if err == nil && group > 0 {
				_ = syscall.Kill(-group, s)
			}
		}
	}
}

// wait returns the command's exit code, and tells the outside meanwhile when it stops.
func (w *warden) wait() (int, error) {
	for {
		var status unix.WaitStatus
		_, err := unix.Wait4(w.command.Process.Pid, &status, unix.WUNTRACED, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return child.NoExec, fmt.Errorf("waiting for %s: %w", w.command.Args[0], err)
		case status.Stopped():
			if w.terminal != nil {
				_, _ = w.control.Write([]byte{stopped})
			}
		case status.Signaled():
			return 128 + int(status.Signal()), nil
		default:
			return status.ExitStatus(), nil
		}
	}
}
