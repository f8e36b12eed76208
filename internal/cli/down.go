package cli

import (
	"context"
	"errors"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/ci"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/view"
)

// downWait is how long another process that is at work on the run is waited for.
const downWait = 30 * time.Second

type downOptions struct {
	words       []string
	all         bool
	wait        time.Duration
	json, quiet bool

	// account is the email of a run's account in project; "" goes by the journals.
	account, project string
	resources        []resource.Name
	job              *ci.Job // whose run it is; nil goes by what was named
}

func newDownCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name:  "down",
		Usage: "take a run's access and account away, and check that nothing is left",
		UsageText: `taskiam down
taskiam down nightly-report
taskiam down --account EMAIL --project acme-agents    # from any machine`,
		ArgsUsage: "[RUN|TASK|FILE ...]",
		Description: `Without arguments, the only run that is up. It works from the journal: the manifest
may have been edited or deleted since. It can be repeated.

With --account it goes by the mark that the account itself carries, on a machine that
has no journal of the run, or one that cannot be read. It looks for what binds the
account as sweep does.`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "every run that is not down"},
			&cli.DurationFlag{Name: "wait", Usage: "`DURATION` to wait for another taskiam that is at work on the run", Value: downWait},
			&cli.StringFlag{Name: "account", Usage: "`EMAIL` of the account of the run"},
			&cli.StringFlag{Name: flagProject, Usage: "`PROJECT` that hosts the account"},
			newResourcesFlag(),
			newCIFlag("what up --ci brought up in this CI job, found by its label or by what was exported; a line says what came of it"),
			newJSONFlag(),
			newQuietFlag(),
		},
		Action: action(func(c *cli.Context) (downOptions, error) { return parseDown(c, e.Getenv) }, func(ctx context.Context, o downOptions) error { return runDown(ctx, e, o) }),
	}
}

func parseDown(c *cli.Context, getenv func(string) string) (downOptions, error) {
	o := downOptions{
		words: words(c), all: c.Bool("all"), wait: c.Duration("wait"), json: c.Bool(flagJSON), quiet: c.Bool(flagQuiet),
		account: c.String("account"), project: c.String(flagProject),
	}
	var err error
	if o.resources, err = parseResources(c); err != nil {
		return o, err
	}
	if o.job, err = parseCI(c, getenv); err != nil {
		return o, err
	}
	switch {
	case o.job != nil && (o.all || len(o.words) > 0 || o.account != "" || o.json):
		return o, usage(c, "--%s finds its run by itself, and says one line", flagCI)
	case (o.account == "") != (o.project == ""):
		return o, usage(c, "--account and --%s go together", flagProject)
	case o.account != "" && (o.all || len(o.words) > 0):
		return o, usage(c, "either --account, or the names of runs")
	case o.account == "" && o.job == nil && len(o.resources) > 0:
		return o, usage(c, "--%s goes with --account: a journal knows all that its run was bound on", flagResource)
	case o.all && len(o.words) > 0:
		return o, usage(c, "either --all, or the names of runs")
	case o.wait < 0:
		return o, usage(c, "--wait is negative")
	}
	return o, nil
}

func runDown(ctx context.Context, e *Env, o downOptions) error {
	switch {
	case o.job != nil:
		return runDownCI(ctx, e, o)
	case o.account != "":
		return runDownAccount(ctx, e, o)
	}
	dir, err := e.journals()
	if err != nil {
		return err
	}
	runs, unreadable := allRuns(dir)
	switch {
	case o.all:
		runs = live(runs)
	case len(o.words) > 0:
		if runs, err = choose(runs, o.words); err != nil {
			return errors.Join(err, unreadable)
		}
		unreadable = nil // somebody else's
	default:
		if runs = live(runs); len(runs) > 1 {
			return ambiguous(runs, "taskiam down")
		}
	}
	errs := []error{unreadable}
	if len(runs) == 0 && !o.json {
		e.say("no run is up")
		return unreadable
	}
	p := e.newProgress(o.quiet)
	var receipts []view.Receipt
	for _, run := range runs {
		receipt, err := e.down(ctx, run, o.wait, p)
		receipts, errs = append(receipts, receipt), append(errs, err)
	}
	return errors.Join(append(errs, e.print(view.NewReceipts(receipts...), o.json))...)
}

// runDownAccount takes the run of one account down.
func runDownAccount(ctx context.Context, e *Env, o downOptions) error {
	engine, err := e.engine(ctx, cloudOptions{progress: e.newProgress(o.quiet)})
	if err != nil {
		return err
	}
	e.interrupts.leaving(exitIncomplete, "the teardown goes on", "taskiam down --account "+o.account+" --project "+o.project)
	ctx, cancel := detached(ctx, downWithin)
	defer cancel()
	teardown, err := engine.DownAccount(ctx, o.project, o.account, o.resources)
	if teardown == nil {
		return err
	}
	return errors.Join(err, e.print(view.NewReceipts(view.NewTeardown(nil, teardown, err)), o.json))
}

// down takes one run down. It does not stop at the first signal: a teardown that is
// cut off leaves access behind.
func (e *Env) down(ctx context.Context, run *journal.Run, wait time.Duration, p *view.Progress) (view.Receipt, error) {
	if run.State() == journal.Ended {
		return view.NewReceipt(run), nil
	}
	engine, err := e.engine(ctx, cloudOptions{reason: run.Opened.Reason, progress: p})
	if err != nil {
		return view.NewTeardown(run, nil, err), err
	}
	e.interrupts.leaving(exitIncomplete, "the teardown goes on", "taskiam down "+string(run.ID()))
	ctx, cancel := detached(ctx, wait+downWithin)
	defer cancel()
	teardown, err := engine.Down(ctx, run.ID(), wait)
	return view.NewTeardown(run, teardown, err), err
}
