package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/credentials"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/lifecycle"
)

const (
	// defaultKillAfter is how long CMD has to end after it was told to.
	defaultKillAfter = 10 * time.Second
	// downWithin bounds the teardown after CMD.
	downWithin = 5 * time.Minute
)

type runOptions struct {
	taskOptions
	out          string
	readyTimeout time.Duration
	startUnready bool
	killAfter    time.Duration
	quiet        bool
	command      []string // CMD and its arguments
}

func newRunCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name:  "run",
		Usage: "up, run a command with that access, and down whatever happened",
		UsageText: `taskiam run task.toml -- ./my-agent --fast
taskiam run task.toml -- sh -c 'gcloud storage cat gs://acme-reports/2026/q1.csv'`,
		ArgsUsage: "FILE -- CMD [ARG ...]",
		Description: `CMD's environment holds the run's access and nothing of yours. It is no sandbox: CMD
runs as you and can read your files.

Signals are handed on to CMD. The run is taken down when CMD has ended, however it
ended; a second signal during that leaves the rest to taskiam down. The exit code is
CMD's own, or 125 if taskiam failed.`,
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: flagOut, Usage: "new or empty `DIR` for the delivery; outside of the work tree if it is not given", TakesFile: true},
			newReadyTimeoutFlag(),
			&cli.BoolFlag{Name: "start-unready", Usage: "start CMD even if not all of the access is usable after --" + flagReadyTimeout},
			&cli.DurationFlag{Name: "kill-after", Usage: "`DURATION` that CMD has to end after it was signalled", Value: defaultKillAfter},
			newQuietFlag(),
		}, newTaskFlags()...),
		OnUsageError: func(c *cli.Context, err error, sub bool) error {
			return runFailed(usageError(c, err, sub))
		},
		Action: func(c *cli.Context) error {
			o, err := parseRun(c, e.Getenv)
			if err == nil {
				err = runRun(c.Context, e, o)
			}
			return runFailed(err)
		},
	}
}

// runFailed makes an error that has no exit code of its own one of taskiam's under
// run: every code below 125 is CMD's.
func runFailed(err error) error {
	var exit *exitError
	if err == nil || errors.As(err, &exit) {
		return err
	}
	return &exitError{exitRunFailed, err}
}

func parseRun(c *cli.Context, getenv func(string) string) (runOptions, error) {
	o := runOptions{
		out: c.String(flagOut), readyTimeout: c.Duration(flagReadyTimeout), startUnready: c.Bool("start-unready"),
		killAfter: c.Duration("kill-after"), quiet: c.Bool(flagQuiet),
	}
	var err error
	if o.taskOptions, err = parseTask(c, getenv); err != nil {
		return o, err
	}
	args := c.Args().Slice()
	dashes := slices.Index(args, "--")
	switch {
	case dashes < 0:
		return o, usage(c, "what is to be run? Put it behind --: taskiam run FILE -- CMD")
	case dashes == 0:
		return o, usage(c, "which manifest? It goes before --: taskiam run FILE -- CMD")
	case dashes > 1:
		return o, usage(c, "run takes one manifest, not %d", dashes)
	case args[0] == "":
		return o, usage(c, "the manifest's name is empty")
	case len(args) == dashes+1 || args[dashes+1] == "":
		return o, usage(c, "there is no command behind --")
	case o.readyTimeout < 0:
		return o, usage(c, "--%s is negative", flagReadyTimeout)
	case o.killAfter < 0:
		return o, usage(c, "--kill-after is negative")
	}
	o.file, o.command = args[0], args[dashes+1:]
	if run := getenv(envRun); run != "" {
		return o, fault.WithHint(
			fault.New(fault.Usage, "this is inside run %s already; a run cannot start another", run),
			"start both from outside; if you are: unset "+envRun)
	}
	return o, nil
}

func runRun(ctx context.Context, e *Env, o runOptions) error {
	if err := errors.Join(protect(), sealDescriptors()); err != nil {
		return err
	}
	p := e.newProgress(o.quiet)
	src, engine, err := e.prepare(ctx, o.taskOptions, p)
	if err != nil {
		return err
	}
	// Better to know now than after an account was made.
	if _, err := lookPath(o.command[0]); err != nil {
		return err
	}
	result, err := e.up(ctx, engine, src, o.out, waiting{timeout: o.readyTimeout}, exitRunFailed)
	if result == nil {
		return err
	}
	e.interrupts.leaving(exitRunFailed, "the teardown goes on", "taskiam down "+string(result.Plan.Run))
	var code exitCode
	if err == nil || o.startUnready && fault.Is(err, fault.NotReady) {
		if err != nil {
			e.say("warning: %v", err)
		}
		if !o.quiet {
			e.say("run %s is up on %s as %s; it ends by %s", result.Plan.Run, result.Run.Opened.Cloud, result.Plan.Email, moment(result.Plan.Expires))
		}
		code, err = e.runChild(ctx, result.Run, o)
	}
	if downErr := e.downAfter(ctx, engine, result.Run, o.quiet); downErr != nil {
		if err == nil {
			e.say("%s ended with %d", o.command[0], code)
		}
		return &exitError{exitRunFailed, errors.Join(err, downErr)}
	}
	if err != nil {
		return runFailed(err)
	}
	return &exitError{code: code}
}

// runChild runs CMD and returns its exit code. Meanwhile signals are CMD's.
func (e *Env) runChild(ctx context.Context, run *journal.Run, o runOptions) (exitCode, error) {
	vars, err := credentials.Environ(credentials.Environment(e.delivery(run)))
	if err != nil {
		return 0, err
	}
	environ := append(credentials.Scrub(e.Environ()), vars...)

	signals := make(chan os.Signal, 8)
	release := e.interrupts.handle(func(s os.Signal) {
		select {
		case signals <- s:
		default: // CMD has enough of them to read
		}
	})
	defer release()
	if ctx.Err() != nil { // it came while up was at its end
		return 0, fmt.Errorf("starting %s: %w", o.command[0], context.Cause(ctx))
	}
	c, err := e.startChild(o.command, environ, o.killAfter)
	if err != nil {
		return 0, err
	}
	return c.wait(signals), nil
}

// downAfter takes the run down after CMD.
func (e *Env) downAfter(ctx context.Context, engine *lifecycle.Engine, run *journal.Run, quiet bool) error {
	ctx, cancel := detached(ctx, downWithin)
	defer cancel()
	receipt, err := engine.Down(ctx, run.ID(), downWait)
	if err != nil {
		if receipt != nil {
			for _, what := range receipt.Left {
				e.say("left: %s", what)
			}
		}
		return fault.WithHint(err, "taskiam down "+string(run.ID()))
	}
	if !quiet {
		e.say("run %s is down after %s; checked: nothing is left", run.ID(), span(receipt.Elapsed))
	}
	return nil
}
