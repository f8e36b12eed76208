package cli

import (
	"context"
	"errors"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/ci"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/resource"
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

// receiptDocument is what `down --json` prints.
type receiptDocument struct {
	Schema string        `json:"schema"` // taskiam.receipt/v1
	Runs   []receiptView `json:"runs"`
}

// receiptView is what came of one teardown.
type receiptView struct {
	Run     string   `json:"run"`
	Task    string   `json:"task"`
	Account string   `json:"account"`
	Already bool     `json:"already"` // it was down before
	Clean   bool     `json:"clean"`   // checked: nothing is left
	Left    []string `json:"left"`
	// Dropped is what this teardown's writes left out of others' deleted members.
	Dropped []droppedView `json:"dropped"`
	Steps   []stepView    `json:"steps"`
	Elapsed int64         `json:"elapsed_ms"`
	Error   string        `json:"error"` // "" for none
}

// stepView is one step of a teardown.
type stepView struct {
	Step    string `json:"step"`
	On      string `json:"on"`
	Error   string `json:"error"` // "" for none
	Elapsed int64  `json:"elapsed_ms"`
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
	doc := receiptDocument{Schema: "taskiam.receipt/v1", Runs: []receiptView{}}
	errs := []error{unreadable}
	if len(runs) == 0 && !o.json {
		e.say("no run is up")
		return unreadable
	}
	p := e.newProgress(o.quiet)
	for _, run := range runs {
		receipt, err := e.down(ctx, run, o.wait, p)
		errs = append(errs, err)
		if receipt == nil {
			receipt = &lifecycle.Receipt{Run: run.ID(), Task: run.Opened.Task, Email: run.Opened.Email}
		}
		doc.Runs = append(doc.Runs, viewReceipt(receipt, err))
	}
	if o.json {
		errs = append(errs, e.printJSON(doc))
	} else {
		errs = append(errs, e.showReceipts(doc.Runs))
	}
	return errors.Join(errs...)
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
	receipt, err := engine.DownAccount(ctx, o.project, o.account, o.resources)
	if receipt == nil {
		return err
	}
	doc := receiptDocument{Schema: "taskiam.receipt/v1", Runs: []receiptView{viewReceipt(receipt, err)}}
	if o.json {
		return errors.Join(err, e.printJSON(doc))
	}
	return errors.Join(err, e.showReceipts(doc.Runs))
}

// down takes one run down. It does not stop at the first signal: a teardown that is
// cut off leaves access behind.
func (e *Env) down(ctx context.Context, run *journal.Run, wait time.Duration, p *progress) (*lifecycle.Receipt, error) {
	if run.State() == journal.Ended {
		return &lifecycle.Receipt{Run: run.ID(), Task: run.Opened.Task, Email: run.Opened.Email, Already: true}, nil
	}
	engine, err := e.engine(ctx, cloudOptions{reason: run.Opened.Reason, progress: p})
	if err != nil {
		return nil, err
	}
	e.interrupts.leaving(exitIncomplete, "the teardown goes on", "taskiam down "+string(run.ID()))
	ctx, cancel := detached(ctx, wait+downWithin)
	defer cancel()
	return engine.Down(ctx, run.ID(), wait)
}

func viewReceipt(r *lifecycle.Receipt, err error) receiptView {
	return receiptView{
		Run: string(r.Run), Task: r.Task, Account: r.Email, Already: r.Already, Clean: err == nil && len(r.Left) == 0,
		Left: append([]string{}, r.Left...), Dropped: viewDropped(r), Steps: viewSteps(r.Steps), Elapsed: r.Elapsed.Milliseconds(), Error: message(err),
	}
}

func viewSteps(steps []lifecycle.Step) []stepView {
	out := []stepView{}
	for _, s := range steps {
		out = append(out, stepView{Step: s.Name, On: shortName(s.On), Error: s.Err, Elapsed: s.Took.Milliseconds()})
	}
	return out
}

func (e *Env) showReceipts(views []receiptView) error {
	r := newReport()
	for i, v := range views {
		if i > 0 {
			r.line("")
		}
		v.show(r)
	}
	return e.print(r)
}

// name says which run it is; nothing may be left that knows its task.
func (v receiptView) name() string {
	if v.Task == "" {
		return "run " + v.Run
	}
	return "run " + v.Run + " of " + v.Task
}

func (v receiptView) show(r *report) {
	if v.Already {
		r.line("%s is already down", v.name())
		return
	}
	if v.Error != "" && len(v.Steps) == 0 {
		r.line("%s: not taken down", v.name())
		return
	}
	r.line("%s", v.name())
	for _, s := range v.Steps {
		outcome := "done"
		if s.Error != "" {
			outcome = "failed"
		}
		r.row("  "+s.Step, s.On, outcome, span(time.Duration(s.Elapsed)*time.Millisecond))
	}
	r.line("")
	showDrops(r, v.Dropped)
	for _, what := range v.Left {
		r.line("left: %s", what)
	}
	if v.Clean {
		r.line("down after %s; checked: nothing is left", span(time.Duration(v.Elapsed)*time.Millisecond))
	}
}
