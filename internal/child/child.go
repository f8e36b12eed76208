// Package child runs a command in the place of this process: with its streams, the signals that it gets, and an exit
// code as a shell has it.
package child

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
)

// Unknown is the exit code if it is not known how a command ended, or if it succeeded but its
// output could not be copied.
const Unknown = -1

// The exit codes that shells have for a command that cannot be run, and for one that does not exist.
const (
	NoExec   = 126
	NotFound = 127
)

// Run starts the command, passes signals on to it until it has ended, and returns its exit code. A command that could
// not be started is an error, and the code that a shell has for it.
func Run(cmd *exec.Cmd, signals <-chan os.Signal) (int, error) {
	if err := cmd.Start(); err != nil {
		return CodeOfStart(err), fmt.Errorf("starting %s: %w", cmd.Args[0], err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			if !FromTerminal(s) {
				_ = cmd.Process.Signal(s) // if it has just ended, there is nothing to do
			}
		case err := <-ended:
			code := Code(cmd.ProcessState, err)
			if code == Unknown {
				return code, fmt.Errorf("running %s: %w", cmd.Args[0], err)
			}
			return code, nil
		}
	}
}

// CodeOfStart returns the code that a shell has for a command that could not be started.
func CodeOfStart(err error) int {
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return NotFound
	}
	return NoExec
}

// Code returns what a shell's $? would be after a command that Wait returned err for, or [Unknown].
func Code(state *os.ProcessState, err error) int {
	if state == nil {
		return Unknown
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	if code := state.ExitCode(); code != 0 || err == nil {
		return code
	}
	return Unknown
}
