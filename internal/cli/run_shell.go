package cli

import (
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/shell"
	"github.com/taskiam/taskiam/internal/supervise"
)

// checkShell refuses a run without CMD where no person could use the shell in its place. No code can be CMD's
// there, so the exit code is that of any command line.
func (e *Env) checkShell(o runOptions) error {
	if len(o.command) > 0 || supervise.Interactive(e.Stdin, e.Stdout.Child()) {
		return nil
	}
	return &exitError{exitUsage, fault.WithHint(
		fault.New(fault.Usage, "the command is missing, and a shell in its place needs a terminal"),
		"taskiam run "+shell.Quote(o.file)+" -- CMD")}
}

// setShell makes the person's shell the command, if there is none.
func (o *runOptions) setShell(getenv func(string) string, task string) {
	if len(o.command) == 0 {
		o.command, o.prompt = supervise.Shell(getenv("SHELL"), "taskiam "+task)
	}
}
