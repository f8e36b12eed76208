package cli

import (
	"context"
	"errors"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/app"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/manifest"
	"github.com/taskiam/taskiam/internal/view"
)

type renewOptions struct {
	word        string // "" is the only run that is up
	ttl, maxTTL time.Duration
	wait        time.Duration
	json, quiet bool
}

func newRenewCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name:  "renew",
		Usage: "extend a run that is up",
		UsageText: `taskiam renew --ttl 2h
taskiam renew nightly-report --ttl 30m`,
		ArgsUsage: "[RUN|TASK|FILE]",
		Description: `The run then expires --ttl from now, and with it its credential and every grant that
can expire. A key cannot be extended: a new key replaces the old one in the delivery,
and a command that has read the old key must read the file again. The manifest is
not needed; it may have been changed or deleted.`,
		Flags: []cli.Flag{
			&cli.DurationFlag{Name: flagTTL, Usage: "`DURATION`: time from now until the run expires"},
			&cli.DurationFlag{
				Name: flagMaxTTL,
				Usage: "`TTL`: longest time from the start of the run until it expires (default " +
					"$" + envMaxTTL + ", or 12h)",
			},
			&cli.DurationFlag{
				Name:  "wait",
				Usage: "`DURATION`: how long to wait for another taskiam that is working on the run",
				Value: downWait,
			},
			newJSONFlag(),
			newQuietFlag(),
		},
		Action: action(
			func(c *cli.Context) (renewOptions, error) { return parseRenew(c, e.Getenv) },
			func(ctx context.Context, o renewOptions) error { return runRenew(ctx, e, o) }),
	}
}

func parseRenew(c *cli.Context, getenv func(string) string) (renewOptions, error) {
	o := renewOptions{
		ttl: c.Duration(flagTTL), wait: c.Duration("wait"), json: c.Bool(flagJSON), quiet: c.Bool(flagQuiet),
	}
	var err error
	if o.word, err = oneRun(c); err != nil {
		return o, err
	}
	if o.maxTTL, err = parseMaxTTL(c, getenv); err != nil {
		return o, err
	}
	if o.maxTTL == 0 {
		o.maxTTL = manifest.DefaultMaxTTL
	}
	switch {
	case !c.IsSet(flagTTL):
		return o, usage(c, "--%s is missing: the time from now until the run expires", flagTTL)
	case o.ttl < manifest.MinTTL:
		return o, usage(c, "--%s is %s: the shortest is %s", flagTTL, o.ttl, manifest.MinTTL)
	case o.wait < 0:
		return o, usage(c, "--wait is negative")
	}
	return o, nil
}

func runRenew(ctx context.Context, e *Env, o renewOptions) error {
	run, err := e.deliveredRun(o.word, "taskiam renew --ttl "+o.ttl.String(), e.onThisCloud)
	if err != nil {
		return err
	}
	engine, err := e.app().Engine(ctx, app.Options{Reason: run.Opened.Reason, Progress: e.newProgress(o.quiet)})
	if err != nil {
		return err
	}
	again := "taskiam renew " + string(run.ID()) + " --ttl " + o.ttl.String()
	e.interrupts.leaving(exitIncomplete, "undoing what was done", again, "taskiam down "+string(run.ID()))
	renewal, err := engine.Renew(ctx, run.ID(), lifecycle.RenewOptions{
		TTL: o.ttl, MaxTTL: o.maxTTL, Wait: o.wait, Keep: e.app().KeepServer,
	})
	if renewal == nil {
		return err
	}
	doc := view.NewRenewal(e.viewRun(renewal.Run), renewal.Was, renewal.Elapsed)
	done := "run " + string(run.ID()) + " of " + run.Opened.Task + " was renewed, and expires at " +
		view.Moment(renewal.Run.Expires())
	return errors.Join(err, untold(done, e.print(doc, o.json)))
}
