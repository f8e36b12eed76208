package cli

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/app"
	"github.com/taskiam/taskiam/internal/ci"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/view"
)

// downWait is how long to wait for another process that is working on the run.
const downWait = 30 * time.Second

type downOptions struct {
	words       []string
	all         bool
	wait        time.Duration
	json, quiet bool
	forget, yes bool

	// account is the email of a run's account in project; "" uses the journals.
	account, project string
	resources        []resource.Name
	job              *ci.Job // the job whose runs are meant; nil uses words
	// run is the run that is meant, of whatever job, and dotenv the file that may name one of
	// this job's. Both are for a job.
	run    grants.RunID
	dotenv string
}

func newDownCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name:  "down",
		Usage: "remove the access and the account of a run, and check that nothing is left",
		UsageText: `taskiam down
taskiam down nightly-report
taskiam down --account EMAIL --project acme-agents    # from any machine
taskiam down --forget RUN                 # its cloud is gone for good`,
		ArgsUsage: "[RUN|TASK|FILE ...]",
		Description: `Without arguments, it takes down the only run that is up. A task or a file is taken
down only if one run of it is up; of several it lists the runs: name them, or say
--all. The manifest is not needed; it may have been changed or deleted. The command
can be repeated.

With --account it needs no journal: it uses the mark in the description of the
account, and searches for its bindings as sweep does. This works on any machine.

With --forget it gives a run up whose cloud is gone for good: the project was deleted,
or nobody has access any more. It removes the delivery, stops the run's processes on
this machine and calls no service. It asks first (or --yes), and says what that leaves
and how to remove it with gcloud. The journal stays, for receipt; down RUN still works.

With --ci it takes down the run of this CI job, or with RUN that one. If several runs
of the job are up, it lists them and takes none: name one, or say --all.`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "take down every run that is not down"},
			&cli.DurationFlag{
				Name:  "wait",
				Usage: "`DURATION`: how long to wait for another taskiam that is working on the run",
				Value: downWait,
			},
			&cli.BoolFlag{Name: flagForget, Usage: "give RUN up without asking its cloud"},
			&cli.BoolFlag{Name: flagYes, Aliases: []string{"y"}, Usage: "with --" + flagForget + ", do not ask"},
			&cli.StringFlag{Name: "account", Usage: "`EMAIL`: account of the run"},
			&cli.StringFlag{Name: flagProject, Usage: "`PROJECT`: project of the account"},
			newResourcesFlag(),
			newCIFlag("take down what up --ci brought up in this CI job, and print one line for each run"),
			&cli.StringFlag{
				Name: flagDotenv,
				Usage: "`FILE`: with --" + flagCI + ", the file that up --" + flagDotenv +
					" wrote, if it did: the run in it " +
					"is the one that is meant",
				TakesFile: true,
			},
			newJSONFlag(),
			newQuietFlag(),
		},
		Action: action(
			func(c *cli.Context) (downOptions, error) { return parseDown(c, e.Getenv) },
			func(ctx context.Context, o downOptions) error { return runDown(ctx, e, o) }),
	}
}

func parseDown(c *cli.Context, getenv func(string) string) (downOptions, error) {
	o := downOptions{
		words: words(c), all: c.Bool("all"), wait: c.Duration("wait"), json: c.Bool(flagJSON), quiet: c.Bool(flagQuiet),
		forget: c.Bool(flagForget), yes: c.Bool(flagYes),
		account: c.String("account"), project: c.String(flagProject), dotenv: c.String(flagDotenv),
	}
	var err error
	if o.resources, err = parseResources(c); err != nil {
		return o, err
	}
	if err := checkForget(c, o); err != nil {
		return o, err
	}
	if o.job, err = parseCI(c, getenv); err != nil {
		return o, err
	}
	switch {
	case o.job != nil:
		return parseDownCI(c, o)
	case o.dotenv != "":
		return o, usage(c, "--%s needs --%s", flagDotenv, flagCI)
	case (o.account == "") != (o.project == ""):
		return o, usage(c, "--account and --%s need each other", flagProject)
	case o.account != "" && (o.all || len(o.words) > 0):
		return o, usage(c, "--account cannot be combined with --all or the names of runs")
	case o.account == "" && o.job == nil && len(o.resources) > 0:
		return o, usage(c, "--%s is for --account: a journal knows every resource of its run", flagResource)
	case o.all && len(o.words) > 0:
		return o, usage(c, "--all cannot be combined with the names of runs")
	case o.wait < 0:
		return o, usage(c, "--wait is negative")
	}
	return o, nil
}

// parseDownCI reads what is meant in a CI job.
func parseDownCI(c *cli.Context, o downOptions) (downOptions, error) {
	switch {
	case o.account != "" || o.project != "" || o.json:
		return o, usage(c, "--%s finds the account itself: it takes no --account, --%s or --json", flagCI, flagProject)
	case len(o.words) > 1, len(o.words) == 1 && (o.all || o.dotenv != ""), o.all && o.dotenv != "":
		return o, usage(c, "--%s takes one run, or --all, or --%s", flagCI, flagDotenv)
	case o.wait < 0:
		return o, usage(c, "--wait is negative")
	case len(o.words) == 1:
		var err error
		if o.run, err = grants.ParseRunID(o.words[0]); err != nil {
			return o, usage(c, "--%s takes the id of a run: %v", flagCI, err)
		}
	}
	return o, nil
}

func runDown(ctx context.Context, e *Env, o downOptions) error {
	switch {
	case o.job != nil:
		return runDownCI(ctx, e, o)
	case o.account != "":
		return runDownAccount(ctx, e, o)
	case o.forget:
		return runForget(ctx, e, o)
	}
	journals, err := e.app().Journals()
	if err != nil {
		return err
	}
	var runs []*journal.Run
	var unreadable error
	if o.all {
		runs, unreadable = app.Runs(journals, perhapsLive(e.Now()))
		// What says of itself that a person gave it up is believed if taskiam has written it.
		runs = slices.DeleteFunc(runs, func(r *journal.Run) bool { return r.State() == journal.GivenUp && r.Verified })
	} else {
		runs, unreadable = app.RunsNamed(journals, o.words...)
	}
	switch {
	case o.all:
	case len(o.words) > 0:
		if runs, err = eachOne(runs, o.words, "taskiam down", e.onThisCloud); err != nil {
			return errors.Join(err, unreadable)
		}
		unreadable = nil // somebody else's
	default:
		run, err := theRun(runs, "", "taskiam down", e.onThisCloud)
		switch {
		case err == nil:
			runs = []*journal.Run{run}
		case fault.Is(err, fault.NotFound):
			runs = nil
		default:
			return errors.Join(err, unreadable)
		}
	}
	errs := []error{unreadable}
	p := e.newProgress(o.quiet)
	var receipts []view.Receipt
	for _, run := range runs {
		receipt, err := e.down(ctx, run, o.wait, p)
		if errs = append(errs, err); !o.all || !receipt.Already {
			receipts = append(receipts, receipt)
		}
	}
	if len(receipts) == 0 && !o.json {
		e.say("no run is up")
		return errors.Join(errs...)
	}
	return errors.Join(append(errs, e.showDown(o.json, receipts...))...)
}

// runDownAccount takes the run of one account down.
func runDownAccount(ctx context.Context, e *Env, o downOptions) error {
	engine, err := e.app().Engine(ctx, app.Options{Progress: e.newProgress(o.quiet)})
	if err != nil {
		return err
	}
	again := "taskiam down --account " + o.account + " --project " + o.project
	e.interrupts.leaving(exitIncomplete, "the teardown continues", again)
	ctx, cancel := detached(ctx, downWithin)
	defer cancel()
	teardown, err := engine.DownAccount(ctx, o.project, o.account, o.resources)
	if teardown == nil {
		return err
	}
	return errors.Join(err, e.showDown(o.json, view.NewTeardown(nil, teardown, err)))
}

// showDown reports teardowns.
func (e *Env) showDown(asJSON bool, receipts ...view.Receipt) error {
	err := e.print(view.NewReceipts(receipts...), asJSON)
	var done []string
	for _, r := range receipts {
		if !r.Already {
			done = append(done, r.Outcome())
		}
	}
	if len(done) == 0 {
		return err
	}
	return untold(strings.Join(done, "; "), err)
}

// down takes one run down. The first signal does not stop it: a teardown that is cut off
// leaves access behind.
func (e *Env) down(ctx context.Context, run *journal.Run, wait time.Duration, p *view.Progress) (view.Receipt, error) {
	engine, err := e.app().Engine(ctx, app.Options{Reason: run.Opened.Reason, Progress: p})
	if err != nil {
		return view.NewTeardown(run, nil, err), err
	}
	e.interrupts.leaving(exitIncomplete, "the teardown continues", "taskiam down "+string(run.ID()))
	ctx, cancel := detached(ctx, wait+downWithin)
	defer cancel()
	teardown, err := engine.Down(ctx, run.ID(), wait)
	return view.NewTeardown(run, teardown, err), err
}
