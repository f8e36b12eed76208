package cli

import (
	"context"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/app"
	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/supervise"
)

type serveOptions struct {
	word    string // "" is the only run that is up
	refresh bool
	spawned bool
	quiet   bool
}

func newServeCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name:  "serve",
		Usage: "serve metadata for a run that is up, or keep its token fresh",
		UsageText: `taskiam serve                    # after the server of a run has crashed
taskiam serve --refresh RUN      # for a run that is delivered as a token`,
		ArgsUsage: "[RUN|TASK|FILE]",
		Description: `"taskiam up" starts it in the background if the delivery needs it, and "taskiam
down" stops it. It also stops when the run has expired or its account is gone. In
the foreground it prints a line for each token that it gives out, but no token.`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "refresh", Usage: "replace the token in the delivery each time before it expires"},
			&cli.BoolFlag{
				Name:   app.FlagSpawned,
				Hidden: true,
				Usage:  "for taskiam itself: be the server that up has started",
			},
			newQuietFlag(),
		},
		Action: action(parseServe, func(ctx context.Context, o serveOptions) error { return runServe(ctx, e, o) }),
	}
}

func parseServe(c *cli.Context) (serveOptions, error) {
	word, err := oneRun(c)
	return serveOptions{
		word: word, refresh: c.Bool("refresh"), spawned: c.Bool(app.FlagSpawned), quiet: c.Bool(flagQuiet),
	}, err
}

func runServe(ctx context.Context, e *Env, o serveOptions) error {
	if o.spawned {
		return e.serveSpawned(ctx, grants.RunID(o.word))
	}
	run, err := e.deliveredRun(o.word, "taskiam serve", func(r *journal.Run) error {
		if err := e.onThisCloud(r); err != nil {
			return err
		}
		return mayServe(r, o.refresh)
	})
	if err != nil {
		return err
	}
	logs, err := e.app().TokenLogs()
	if err != nil {
		return err
	}
	if held, err := logs.Held(run.ID()); err != nil {
		return err
	} else if held {
		return fault.New(fault.Locked, "run %s was started by \"taskiam run\", which serves it itself", run.ID())
	}
	log := e.Stderr.People()
	if o.quiet {
		log = io.Discard
	}
	keeper, err := e.app().TokenKeeper(ctx, run, log)
	if err != nil {
		return err
	}
	return keeper.Serve(ctx, supervise.EndpointOf(run))
}

// mayServe returns why there is nothing to serve for a run, or which process does already.
func mayServe(run *journal.Run, refresh bool) error {
	id, kind := run.ID(), delivery.Of(run.Kind)
	switch {
	case kind.Upkeep == delivery.NoUpkeep:
		return fault.New(fault.Usage, "run %s is delivered by %s: there is nothing to serve", id, kind.Name)
	case kind.Upkeep == delivery.Refresh && !refresh:
		return fault.WithHint(
			fault.New(fault.Usage, "run %s is delivered by %s, and has no metadata server", id, kind.Name),
			kind.ServeCommand(id))
	case kind.Upkeep == delivery.Serve && refresh:
		return fault.WithHint(
			fault.New(fault.Usage, "run %s is delivered by %s, and has no token to renew", id, kind.Name),
			kind.ServeCommand(id))
	}
	if p, at := supervise.AtWork(run, journal.RoleServer); at {
		return fault.New(fault.Locked, "process %d already serves run %s", p.PID, id)
	}
	return nil
}

// serveSpawned is the server that was started in the background.
func (e *Env) serveSpawned(ctx context.Context, id grants.RunID) error {
	handover, err := supervise.AwaitHandover()
	if err != nil {
		return err
	}
	journals, err := e.app().Journals()
	if err != nil {
		return err
	}
	run, err := journals.Read(id)
	if err != nil {
		return err
	}
	keeper, err := e.app().TokenKeeper(ctx, run, e.Stderr.People())
	if err != nil {
		return err
	}
	return keeper.ServeHandedOver(ctx, handover)
}
