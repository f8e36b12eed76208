// Package cli is the command line: flags, options and exit codes.
//
// It is the only package that writes to the standard streams, the only one that knows
// exit codes, and the only one that reads the process's environment. One command is one
// file: a function that declares it, a struct of options that is parsed and checked
// without any input or output, and a function that runs it. What a command does beyond
// that is done by package app and what app connects, and package view shows the result:
// cli opens no socket, starts no process and calls no system function.
package cli

import (
	"context"
	"errors"
	"slices"
	"syscall"

	"github.com/taskiam/taskiam/internal/command"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/supervise"
	"github.com/taskiam/taskiam/internal/view"
)

// Main runs taskiam with the arguments, the program's name first, and returns the
// code to exit with.
func Main(ctx context.Context, args []string, e *Env) int {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer e.Stderr.Close()
	if err := supervise.Protect(); err != nil { // every command may have the operator's login
		return int(e.finish(err))
	}
	e.interrupts = newInterrupts(e, cancel)
	defer e.interrupts.watch()()

	app := newApp(e)
	done := make(chan error, 1)
	args = command.Arrange(app, args)
	e.json = wantsJSON(args)
	go func() { done <- app.RunContext(ctx, args) }()
	select {
	case err := <-done:
		return int(e.finish(err))
	case <-e.interrupts.abandoned:
		// The command has not finished. The process ends all the same, because the person
		// asked twice.
		return int(e.finish(e.interrupts.abandonment()))
	}
}

// finish says what went wrong and returns the code for it.
func (e *Env) finish(err error) exitCode {
	code := codeOf(err)
	var exit *exitError
	switch {
	case err == nil, errors.As(err, &exit) && exit.err == nil:
	case errors.Is(err, syscall.EPIPE) && fault.Is(err, fault.Other):
		// The reader of our output is gone and cannot read a message about it either.
	default:
		view.Error(e.Stderr, err)
		if e.json && !e.Stdout.HasDocument() {
			// A stream that takes no document has been told of above.
			_ = view.JSON(e.Stdout, view.NewFailure(err, int(code)))
		}
	}
	return code
}

// wantsJSON reports whether the flags, which [command.Arrange] has put first, ask for a document.
func wantsJSON(args []string) bool {
	flags := args
	if at := slices.Index(args, "--"); at >= 0 {
		flags = args[:at]
	}
	return slices.ContainsFunc([]string{"--json", "-json", "--json=true"}, func(form string) bool {
		return slices.Contains(flags, form)
	})
}
