// Package inside is the command line of the small client that is put into sandboxes, where it is called taskiam as
// well: those commands of taskiam's that are of use to what runs there.
//
// It stays small: it knows nothing of Google, of manifests and of journals, and a test bounds what it imports and what
// it weighs.
package inside

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/command"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/relay"
	"github.com/taskiam/taskiam/internal/visible"
)

// Process is what the program has of its process.
type Process struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Environ        []string
}

// The exit codes are those of taskiam: docs/exit-codes.md.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
	exitConnect = 125
)

// exit ends the process with a code. Its err is said if it is not nil.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string {
	if e.err == nil {
		return "exit"
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

// Main runs the program with the arguments, its name first, and returns the code to exit with.
func Main(ctx context.Context, args []string, p Process) int {
	app := newApp(p)
	err := app.RunContext(ctx, command.Arrange(app, args))
	code, ended := exitFailure, (*exit)(nil)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &ended):
		if code, err = ended.code, ended.err; err == nil {
			return code
		}
	case fault.Is(err, fault.Usage):
		code = exitUsage
	}
	for _, part := range fault.Parts(err) {
		p.say("error: %v", part.Err)
		for _, hint := range part.Hints {
			p.say("hint: %s", hint)
		}
	}
	return code
}

// say writes a line to people. Nothing in it can begin another one.
func (p Process) say(format string, args ...any) {
	// An error has no other place to go to than standard error.
	_, _ = fmt.Fprintf(p.Stderr, "taskiam: %s\n", visible.Line(fmt.Sprintf(format, args...)))
}

func newApp(p Process) *cli.App {
	app := &cli.App{
		Name:      "taskiam",
		Usage:     "in a sandbox: what a task's command can do there",
		UsageText: "taskiam connect --listen 127.0.0.1:8080 /run/proxy.sock -- ./my-agent",
		ArgsUsage: "COMMAND",
		Description: `This is the small client for sandboxes. The whole program has more commands, and
these as well.`,
		Writer:    p.Stdout,
		ErrWriter: p.Stderr,
	}
	app.Commands = []*cli.Command{
		command.Connect(p.connect, connectFailed),
		command.Version(p.version),
		{
			Name: "help", Usage: "show the help of a command", UsageText: "taskiam help connect",
			ArgsUsage: "[COMMAND]",
			Action:    func(c *cli.Context) error { return p.help(app, command.Words(c)) },
		},
	}
	command.Harden(app, func() error { return p.help(app, nil) })
	return app
}

// connectFailed gives an error without an exit code one that is not the command's.
func connectFailed(err error) error {
	if ended := (*exit)(nil); err == nil || errors.As(err, &ended) {
		return err
	}
	return &exit{exitConnect, err}
}

func (p Process) connect(ctx context.Context, o relay.Order) error {
	ends := make(chan os.Signal, 8)
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT} {
		if !signal.Ignored(s) { // as nohup does
			signal.Notify(ends, s)
		}
	}
	defer signal.Stop(ends)
	if len(o.Command) == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		go func() {
			select {
			case <-ends:
				cancel()
			case <-ctx.Done():
			}
		}()
	}
	code, err := relay.Connect(ctx, o, relay.Process{
		Stdin: p.Stdin, Stdout: p.Stdout, Stderr: p.Stderr, Environ: p.Environ, Signals: ends, Warn: p.say,
		Listening: func(address string) error {
			_, err := fmt.Fprintln(p.Stdout, address)
			return err
		},
	})
	if code <= 0 && err != nil {
		return err
	}
	return &exit{code, err}
}

func (p Process) version(_ context.Context, asJSON bool) error {
	v := command.ReadBuild()
	if !asJSON {
		_, err := fmt.Fprintln(p.Stdout, visible.Line(v.String()))
		return err
	}
	enc := json.NewEncoder(p.Stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func (p Process) help(app *cli.App, path []string) error {
	var to page
	if len(path) == 0 {
		command.HelpOfProgram(&to, app, nil)
	} else {
		cmd, err := command.Find(app, path)
		if err != nil {
			return err
		}
		command.Help(&to, cmd)
	}
	_, err := io.WriteString(p.Stdout, to.String())
	return err
}
