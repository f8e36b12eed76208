package cli

import (
	"context"
	"errors"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/manifest"
	"github.com/taskiam/taskiam/internal/supervise"
	"github.com/taskiam/taskiam/internal/view"
)

const flagTTL = "ttl"

type renewOptions struct {
	word        string // "" is the only run that is up
	ttl, maxTTL time.Duration
	wait        time.Duration
	json, quiet bool
}

func newRenewCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name:  "renew",
		Usage: "let a run that is up last longer",
		UsageText: `taskiam renew --ttl 2h
taskiam renew nightly-report --ttl 30m`,
		ArgsUsage: "[RUN|TASK|FILE]",
		Description: `Moves the end of the run to --ttl from now: that of every grant that ends by itself, and
of the credential. A key cannot be extended, so that there is a new one in the place of
the old one in the delivery; a command that has read the old one has to read it again.
It works from the journal: the manifest may have been edited or deleted since.`,
		Flags: []cli.Flag{
			&cli.DurationFlag{Name: flagTTL, Usage: "`DURATION` from now to the new end"},
			&cli.DurationFlag{Name: flagMaxTTL, Usage: "longest `TTL` from the beginning of the run to its end; 12h, or what $" + envMaxTTL + " says"},
			&cli.DurationFlag{Name: "wait", Usage: "`DURATION` to wait for another taskiam that is at work on the run", Value: downWait},
			newJSONFlag(),
			newQuietFlag(),
		},
		Action: action(
			func(c *cli.Context) (renewOptions, error) { return parseRenew(c, e.Getenv) },
			func(ctx context.Context, o renewOptions) error { return runRenew(ctx, e, o) }),
	}
}

func parseRenew(c *cli.Context, getenv func(string) string) (renewOptions, error) {
	o := renewOptions{ttl: c.Duration(flagTTL), wait: c.Duration("wait"), json: c.Bool(flagJSON), quiet: c.Bool(flagQuiet)}
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
		return o, usage(c, "how long is the run to last from now on? Say --%s DURATION", flagTTL)
	case o.ttl < manifest.MinTTL:
		return o, usage(c, "--%s is %s: the shortest is %s", flagTTL, o.ttl, manifest.MinTTL)
	case o.wait < 0:
		return o, usage(c, "--wait is negative")
	}
	return o, nil
}

func runRenew(ctx context.Context, e *Env, o renewOptions) error {
	if err := supervise.Protect(); err != nil {
		return err
	}
	run, err := e.deliveredRun(o.word, "taskiam renew --ttl "+o.ttl.String())
	if err != nil {
		return err
	}
	engine, err := e.engine(ctx, cloudOptions{reason: run.Opened.Reason, progress: e.newProgress(o.quiet)})
	if err != nil {
		return err
	}
	e.interrupts.leaving(exitIncomplete, "undoing what was done", "taskiam renew "+string(run.ID())+" --ttl "+o.ttl.String(), "taskiam down "+string(run.ID()))
	renewal, err := engine.Renew(ctx, run.ID(), lifecycle.RenewOptions{TTL: o.ttl, MaxTTL: o.maxTTL, Wait: o.wait, Keep: e.startServerAgain})
	if renewal == nil {
		return err
	}
	return errors.Join(err, e.print(view.NewRenewal(e.viewRun(renewal.Run), renewal.Was, renewal.Elapsed), o.json))
}
