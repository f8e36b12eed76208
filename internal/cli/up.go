package cli

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/app"
	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/supervise"
	"github.com/taskiam/taskiam/internal/view"
)

const defaultReadyTimeout = 10 * time.Minute

type upOptions struct {
	taskOptions
	out          string // "" is the default place
	reuse        bool
	readyTimeout time.Duration
	noWait       bool
	socket       bool
	json, quiet  bool
	dotenv       string // "" writes none
	user         userOptions
}

func newUpCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name:  "up",
		Usage: "give a task an account of its own with the access that its manifest declares",
		UsageText: `taskiam up task.toml
(eval "$(taskiam env)"; ./my-agent)
taskiam down`,
		ArgsUsage: "FILE",
		Description: `Creates a service account, binds what the manifest declares, delivers a credential,
and waits until the access works. If a step fails, everything is undone.`,
		Flags: append([]cli.Flag{
			&cli.StringFlag{
				Name:      flagOut,
				Usage:     "`DIR`: new or empty folder for the delivery (default: a folder outside of the work tree)",
				TakesFile: true,
			},
			&cli.BoolFlag{
				Name:  "reuse",
				Usage: "if a run is up for exactly this manifest, return it and start no other",
			},
			newReadyTimeoutFlag(),
			&cli.BoolFlag{
				Name:  "no-wait",
				Usage: "return when everything is bound and delivered; do not wait until the access works",
			},
			newSocketFlag(),
			newCIFlag("for a CI job: mask the credential in the log, export the environment to later " +
				"steps, and label the run so that down --ci finds it"),
			&cli.StringFlag{
				Name: flagDotenv,
				Usage: "`FILE`: with --" + flagCI + ", write ids and paths for other jobs there; it " +
					"holds no secret",
				TakesFile: true,
			},
			newTrustedFlag(),
			newJSONFlag(),
			newQuietFlag(),
		}, append(newUserFlags("`NUMBER`: id of the user who gets the delivery"), newTaskFlags()...)...),
		Action: action(
			func(c *cli.Context) (upOptions, error) { return parseUp(c, e.Getenv) },
			func(ctx context.Context, o upOptions) error { return runUp(ctx, e, o) }),
	}
}

func newReadyTimeoutFlag() cli.Flag {
	return &cli.DurationFlag{
		Name:  flagReadyTimeout,
		Usage: "`DURATION`: how long to wait until all access works",
		Value: defaultReadyTimeout,
	}
}

func newSocketFlag() cli.Flag {
	return &cli.BoolFlag{
		Name: flagSocket,
		Usage: "serve metadata on a socket in the delivery (metadata.sock) and not on a port: for " +
			"sandboxes without network",
	}
}

func parseUp(c *cli.Context, getenv func(string) string) (upOptions, error) {
	o := upOptions{
		out: c.String(flagOut), reuse: c.Bool("reuse"), readyTimeout: c.Duration(flagReadyTimeout),
		noWait: c.Bool("no-wait"), socket: c.Bool(flagSocket),
		json: c.Bool(flagJSON), quiet: c.Bool(flagQuiet), dotenv: c.String(flagDotenv),
	}
	var err error
	if o.taskOptions, err = parseTask(c, getenv); err != nil {
		return o, err
	}
	if o.user, err = parseUser(c); err != nil {
		return o, err
	}
	if o.file, err = oneFile(c); err != nil {
		return o, err
	}
	switch {
	case o.readyTimeout < 0:
		return o, usage(c, "--%s is negative", flagReadyTimeout)
	case o.noWait && c.IsSet(flagReadyTimeout):
		return o, usage(c, "--no-wait and --%s exclude each other", flagReadyTimeout)
	case o.dotenv != "" && c.Generic(flagCI).(*ciValue).String() == "":
		return o, usage(c, "--%s needs --%s", flagDotenv, flagCI)
	}
	if o.job, err = parseCI(c, getenv); err != nil || o.job == nil {
		return o, err
	}
	if err := o.job.CanExport(); err != nil {
		return o, err
	}
	switch {
	case o.json:
		return o, usage(c, "--%s and --%s exclude each other: standard output belongs to the job", flagCI, flagJSON)
	case o.reuse:
		return o, usage(c, "--%s and --reuse exclude each other: a run that is up belongs to another job", flagCI)
	}
	return o, nil
}

func runUp(ctx context.Context, e *Env, o upOptions) error {
	err := bringUp(ctx, e, o)
	if o.job != nil {
		return e.failShell(o.job, err)
	}
	return err
}

// bringUp brings a task up, and says so.
func bringUp(ctx context.Context, e *Env, o upOptions) error {
	own, err := o.user.take(e.Random)
	if err != nil {
		return err
	}
	defer func() { _ = own.Free() }()
	o.owner, o.vacant = o.user.uid, o.user.vacant
	to := app.Place{Dir: o.out, Owner: o.owner}
	if o.job != nil {
		if to, err = e.job(o.job).Next(to); err != nil {
			return err
		}
	}
	src, engine, err := e.prepare(ctx, o.taskOptions, e.newProgress(o.quiet))
	if err != nil {
		return err
	}
	if o.reuse {
		run, found, err := engine.Reusable(src.Path, src.SHA256, src.Task)
		if err != nil {
			return err
		}
		if found {
			return e.showUp(run, 0, true, o.json)
		}
	}
	if err := isolateNot.fits(src.Task); err != nil {
		return err
	}
	at, err := reserve(ctx, src.Task, o.socket)
	if err != nil {
		return err
	}
	defer at.Close()
	up := lifecycle.UpOptions{
		ReadyTimeout: o.readyTimeout, NoWait: o.noWait,
		Metadata: at.Listen, Socket: o.socket, Apart: o.owner != 0 && o.owner != os.Geteuid(),
		OwnUser: journal.OwnUser(own),
		Keep: func(ctx context.Context, run grants.RunID, record func(journal.ProcessStarted) error) error {
			return e.app().StartServer(ctx, run, at, record)
		},
	}
	if o.job != nil {
		job := e.job(o.job)
		up.Job, up.Login = o.job.Label, job.LoginFile()
		engine.Journals = job.Announcing(engine.Journals, o.dotenv)
	}
	result, err := e.up(ctx, engine, src, to, up, exitIncomplete)
	if result == nil {
		return err
	}
	if own.UID != 0 {
		e.say("the delivery is for user %d, whose processes end with the run", own.UID)
		own = supervise.OwnUser{} // down gives it back
	}
	if o.noWait {
		e.say("it was not checked whether the access works; Google may need some minutes")
	}
	if o.job != nil {
		return errors.Join(e.showUpCI(o.job, result.Run, result.Elapsed, o.quiet), err)
	}
	return errors.Join(e.showUp(result.Run, result.Elapsed, false, o.json), err)
}

// reserve finds the port of the metadata server that a task will have. With socket, the port
// is only a number for the sandbox's own loopback. A task that is not delivered by metadata
// has no server.
func reserve(ctx context.Context, task grants.Task, socket bool) (supervise.Endpoint, error) {
	var at supervise.Endpoint
	if !delivery.NeedsServer(task) {
		if socket {
			return at, fault.WithHint(
				fault.New(fault.Usage, "--%s is for a metadata server, and the manifest asks for none", flagSocket),
				`put deliver = "metadata" under [credentials]`)
		}
		return at, nil
	}
	if err := at.Reserve(ctx); err != nil {
		return at, err
	}
	if socket {
		at.Close()
		at.Inherit = nil
	}
	return at, nil
}

// up plans a run and brings it up. It adds the manifest and the place of the delivery to the
// options. abandoned is the exit code if a second signal ends the process.
func (e *Env) up(
	ctx context.Context, engine *lifecycle.Engine, src app.Source, to app.Place,
	o lifecycle.UpOptions, abandoned exitCode,
) (*lifecycle.Result, error) {
	plan, err := engine.NewPlan(src.Task)
	if err != nil {
		return nil, err
	}
	dir, err := e.app().PlaceOf(plan.Run, to)
	if err != nil {
		return nil, err
	}
	e.interrupts.leaving(abandoned, "undoing what was done", "taskiam down "+string(plan.Run))
	o.ManifestPath, o.ManifestSHA256, o.Dir = src.Path, src.SHA256, dir
	result, err := engine.Up(ctx, plan, o)
	if result != nil {
		e.remember(ctx, src, o.Job != "")
	}
	return result, err
}

// showUp reports a run that is up.
func (e *Env) showUp(run *journal.Run, elapsed time.Duration, reused, asJSON bool) error {
	return unreported(run, e.print(view.NewUp(e.viewRun(run), elapsed, reused), asJSON))
}

// unreported returns the error of a run that is up, of which whoever started it was not told. It names the run: it
// has to be taken down, and nothing else says so.
func unreported(run *journal.Run, err error) error {
	id := string(run.ID())
	return fault.WithHint(untold("run "+id+" of "+run.Opened.Task+" is up", err), "taskiam down "+id)
}

// untold returns the error of something that was done, of which whoever asked for it was not told. It says what was
// done: nothing else does, and it cannot be asked for again.
func untold(done string, err error) error {
	if err == nil {
		return nil
	}
	return fault.New(fault.NotReady, "%s, but this was not reported: %w", done, err)
}
