package cli

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/command"
	"github.com/taskiam/taskiam/internal/relay"
	"github.com/taskiam/taskiam/internal/view"
)

func newConnectCmd(e *Env) *cli.Command {
	return command.Connect(func(ctx context.Context, o relay.Order) error { return runConnect(ctx, e, o) }, runFailed)
}

func runConnect(ctx context.Context, e *Env, o relay.Order) error {
	p := relay.Process{
		Stdin: e.Stdin, Environ: e.Environ(), Warn: e.say,
		Listening: func(address string) error { return view.Tell(e.Stdout, "%s", address) },
	}
	if len(o.Command) > 0 {
		signals, release := e.interrupts.pass()
		defer release()
		p.Signals, p.Stdout, p.Stderr = signals, e.Stdout.Child(), e.Stderr.Child()
	}
	code, err := relay.Connect(ctx, o, p)
	if code <= 0 && err != nil {
		return err
	}
	return &exitError{exitCode(code), err}
}
