package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/app"
	"github.com/taskiam/taskiam/internal/command"
	"github.com/taskiam/taskiam/internal/credentials"
	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/supervise"
	"github.com/taskiam/taskiam/internal/view"
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
	socket       bool
	killAfter    time.Duration
	quiet        bool
	renew        bool
	isolate      isolateOptions
	command      []string // CMD and its arguments; none is a shell on the terminal
	prompt       []string // variables of that shell
}

func newRunCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name:  "run",
		Usage: "bring a task up, run a command with its access, and take it down in any case",
		UsageText: `taskiam run task.toml -- ./my-agent --fast
taskiam run task.toml -- gcloud storage cat gs://acme-reports/q1.csv
taskiam run task.toml                      # a shell`,
		ArgsUsage: "FILE [-- CMD [ARG ...]]",
		Description: `CMD gets the access of the run. Of your environment it gets a list of variables:
PATH, HOME, language, terminal, proxy and CA files, and what --env names.
Without --isolate this is not a sandbox: CMD runs as you and can read your files
and logins. With --isolate it has its own HOME, the folder in which it is started,
and none of your other files and processes, except for --ro and --rw.
Even so it has this machine's network: every server on loopback, and the metadata
server of a cloud machine (169.254.169.254), which hands out that machine's own
login. --isolate=nonet closes both.

Without CMD it is your shell ($SHELL), with the name of the task in its prompt; that
needs a terminal.

With --renew the run does not expire while CMD works: in good time before its end,
it is renewed by the manifest's ttl, as "taskiam renew" does, up to --max-ttl in all.

Signals go to CMD. When CMD ends, for whatever reason, the run is taken down; a
second signal during the teardown stops it, and "taskiam down" does the rest.
Signals within a second count as one: timeout, npm and make send several.
The exit code is that of CMD, or 125 if taskiam failed.`,
		Flags: slices.Concat([]cli.Flag{
			&cli.StringFlag{
				Name:      flagOut,
				Usage:     "`DIR`: new or empty folder for the delivery (default: a folder outside of the work tree)",
				TakesFile: true,
			},
			newReadyTimeoutFlag(),
			&cli.BoolFlag{
				Name:  "start-unready",
				Usage: "start CMD after --" + flagReadyTimeout + " even if some access does not work yet",
			},
			&cli.DurationFlag{
				Name:  "kill-after",
				Usage: "`DURATION`: how long CMD may take to end after a signal",
				Value: defaultKillAfter,
			},
			&cli.BoolFlag{
				Name:  flagRenew,
				Usage: "renew the run while CMD works, by the manifest's ttl each time, up to --" + flagMaxTTL,
			},
			newSocketFlag(),
			newCIFlag("for a CI job: mask the credential in the log, and label the run so that " +
				"down --ci finds it if the job is killed"),
			newTrustedFlag(),
			newQuietFlag(),
		}, newIsolateFlags(), newTaskFlags()),
		OnUsageError: func(c *cli.Context, err error, sub bool) error {
			return runFailed(command.UsageError(c, err, sub))
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

func parseRun(c *cli.Context, getenv func(string) string) (runOptions, error) {
	o := runOptions{
		out: c.String(flagOut), readyTimeout: c.Duration(flagReadyTimeout), startUnready: c.Bool("start-unready"),
		socket: c.Bool(flagSocket), killAfter: c.Duration("kill-after"), quiet: c.Bool(flagQuiet),
		renew: c.Bool(flagRenew),
	}
	var err error
	if o.taskOptions, err = parseTask(c, getenv); err != nil {
		return o, err
	}
	if o.isolate, err = parseIsolate(c, getenv); err != nil {
		return o, err
	}
	args := c.Args().Slice()
	dashes := slices.Index(args, "--")
	switch {
	case dashes < 0 && len(args) > 1:
		return o, usage(c, "the command goes after --: taskiam run FILE -- CMD")
	case len(args) == 0:
		return o, usage(c, "the manifest is missing")
	case dashes == 0:
		return o, usage(c, "the manifest is missing; it goes before --: taskiam run FILE -- CMD")
	case dashes > 1:
		return o, usage(c, "run takes one manifest, not %d", dashes)
	case args[0] == "":
		return o, usage(c, "the manifest's name is empty")
	case dashes > 0 && (len(args) == dashes+1 || args[dashes+1] == ""):
		return o, usage(c, "there is no command after --")
	case o.readyTimeout < 0:
		return o, usage(c, "--%s is negative", flagReadyTimeout)
	case o.killAfter < 0:
		return o, usage(c, "--kill-after is negative")
	case o.socket && o.isolate.how == isolateNet:
		// Any process could listen at the address first, and would be taken for the run's server.
		return o, usage(c, "--%s is for a sandbox without network (--%s=%s); "+
			"in this one only CMD can reach the port of its server", flagSocket, flagIsolate, isolateNoNet)
	}
	o.file = args[0]
	if dashes > 0 {
		o.command = args[dashes+1:]
	}
	if o.job, err = parseCI(c, getenv); err != nil || o.job != nil {
		return o, err // a job may have runs for its other steps, which it leaves first
	}
	return o, refuseInside(getenv)
}

// refuseInside returns why a shell that is inside a run starts no other one; nil in any other shell.
func refuseInside(getenv func(string) string) error {
	run := getenv(app.EnvRun)
	if run == "" {
		return nil
	}
	return fault.WithHint(
		fault.New(fault.Usage, "this shell is inside run %s, and a run cannot start another run", run),
		"start it from a shell outside of the run; if this is one: unset "+app.EnvRun)
}

func runRun(ctx context.Context, e *Env, o runOptions) error {
	if err := supervise.SealDescriptors(); err != nil {
		return err
	}
	if err := e.checkShell(o); err != nil {
		return err
	}
	own, err := o.isolate.user.take(e.Random)
	if err != nil {
		return err
	}
	defer func() { _ = own.Free() }()
	o.owner, o.vacant = o.isolate.user.uid, o.isolate.user.vacant
	to := app.Place{Dir: o.out, Owner: o.owner}
	if o.job != nil {
		if to, err = e.job(o.job).Next(to); err != nil {
			return err
		}
		if err := refuseInside(e.Getenv); err != nil {
			return err
		}
	}
	o.isolate.warnOfUserns(e)
	p := e.newProgress(o.quiet)
	src, engine, err := e.prepare(ctx, o.taskOptions, p)
	if err != nil {
		return err
	}
	wayOut, err := e.wayOut(o.isolate.how, engine, &src.Task)
	if err != nil {
		return err
	}
	o.setShell(e.Getenv, src.Task.Name)
	sandbox, err := e.app().Sandbox(o.isolate.sandbox(o.out, src, o.command), o.isolate.shown)
	if err != nil {
		return err
	}
	if o.renew {
		if src.Task.Deliver, err = renewable(src.Task, o.most()); err != nil {
			return err
		}
	}
	// A sandbox without network has its own loopback: it can reach a socket, but no port of ours.
	o.socket = o.socket || o.isolate.how.ownNetwork() && delivery.NeedsServer(src.Task)
	at, err := reserve(ctx, src.Task, o.socket)
	if err != nil {
		return err
	}
	defer at.Close()
	up := lifecycle.UpOptions{
		ReadyTimeout: o.readyTimeout, Metadata: at.Listen, Socket: o.socket, Apart: !sandbox.Bare(),
		OwnUser: journal.OwnUser(own),
	}
	if o.job != nil {
		job := e.job(o.job)
		up.Job, up.Login = o.job.Label, job.LoginFile()
		engine.Journals = job.Announcing(engine.Journals, "")
	}
	result, err := e.up(ctx, engine, src, to, up, exitRunFailed)
	if result == nil {
		return err
	}
	own = supervise.OwnUser{} // down gives it back
	e.interrupts.leaving(exitRunFailed, "the teardown continues", "taskiam down "+string(result.Plan.Run))
	c := commandRun{Env: e, runOptions: o, task: src.Task, run: result.Run, at: at, sandbox: sandbox,
		wayOut: wayOut}
	code, err := c.carryOut(ctx, err)
	downErr := e.downAfter(ctx, engine, result.Run, o.quiet)
	c.sayAfter(ctx, code)
	if downErr != nil {
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

// commandRun is CMD in a run that is up.
type commandRun struct {
	*Env
	runOptions
	task    grants.Task
	run     *journal.Run
	at      supervise.Endpoint // the port that was reserved for the run's server
	sandbox *supervise.Sandbox
	wayOut  *supervise.WayOut // of a closed network; nil is another
	// wantedUserns is what CMD printed for want of user namespaces; "" for nothing.
	wantedUserns string
}

// searchWithin is how long the work tree is searched for what CMD left there.
const searchWithin = time.Minute

// carryOut runs CMD and returns its exit code, unless up has failed. An up whose access does
// not all work yet has failed too, unless CMD may start without it.
func (c *commandRun) carryOut(ctx context.Context, up error) (exitCode, error) {
	switch {
	case up != nil && !(c.startUnready && fault.Is(up, fault.NotReady)):
		return 0, up
	case up != nil:
		c.say("warning: %v", up)
	}
	if !c.quiet {
		c.sayWhere()
		c.sayWaysOut()
		o := c.run.Opened
		c.say("run %s is up on %s as %s; it expires at %s", o.Run, o.Cloud, o.Email, view.Moment(c.run.Expires()))
	}
	if delivery.Of(c.run.Kind).Upkeep == delivery.NoUpkeep {
		return c.runChild(ctx)
	}
	return c.runKept(ctx)
}

// runChild runs CMD and returns its exit code. Meanwhile signals are for CMD.
func (c *commandRun) runChild(ctx context.Context) (exitCode, error) {
	given := c.app().Delivery(c.run)
	given.EmptyHome = c.sandbox.EmptyHome()
	vars, err := credentials.Environ(given.Environment())
	if err != nil {
		return 0, err
	}
	environ := slices.Concat(c.sandbox.Environment(), vars, c.prompt)
	leave, err := c.sandbox.Enter(ctx, c.run)
	if err != nil {
		return 0, err
	}
	defer leave()

	signals, release := c.interrupts.pass()
	defer release()
	if ctx.Err() != nil { // a signal came just before up ended
		return 0, fmt.Errorf("starting %s: %w", c.command[0], context.Cause(ctx))
	}
	if err := c.vacant(); err != nil { // the delivery has been there since before the access worked
		return 0, err
	}
	c.sayBefore()
	child, err := c.sandbox.Start(supervise.Command{
		Args: c.command, Environ: environ, KillAfter: c.killAfter,
		Stdin: c.Stdin, Stdout: c.Stdout.Child(), Stderr: c.Stderr.Child(),
	})
	if err != nil {
		return 0, err
	}
	watched := c.watchEnd(ctx)
	code := child.Wait(signals)
	watched()
	c.wantedUserns = child.WantedUserns()
	if code == supervise.Unknown {
		code = int(exitRunFailed)
	}
	if left := c.sandbox.UserHas(); left != "" && !c.isolate.user.own {
		c.say("warning: user %d still has processes, and they can read what a later run delivers to that user "+
			"(use --%s %s): %s", c.isolate.user.uid, flagUID, userNew, left)
	}
	if child.WithoutSandbox() {
		return 0, fmt.Errorf("starting %s: bubblewrap ended with %d and without a sandbox", c.command[0], code)
	}
	return exitCode(code), nil
}
