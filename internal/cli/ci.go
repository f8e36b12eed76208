package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/app"
	"github.com/taskiam/taskiam/internal/ci"
	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/view"
)

// ciValue is the value of --ci: the name of a system, or [ciDetect] if the flag has no value.
type ciValue string

const (
	ciNot    ciValue = ""
	ciDetect ciValue = "auto"
)

func ciNames() []string {
	names := []string{string(ciDetect)}
	for _, s := range ci.Systems {
		names = append(names, string(s))
	}
	return names
}

// Set reads the value; package flag says "true" for a flag without a value.
func (v *ciValue) Set(text string) error {
	switch {
	case text == "true":
		*v = ciDetect
	case text == "false":
		*v = ciNot
	case v.Follows(text):
		*v = ciValue(text)
	default:
		return fmt.Errorf("--%s is %s, not %q", flagCI, view.OneOf(ciNames()), text)
	}
	return nil
}

func (v *ciValue) String() string { return string(*v) }

// IsBoolFlag tells package flag that the value is optional.
func (*ciValue) IsBoolFlag() bool { return true }

// Follows reports whether the word after the flag is its value and not an argument.
func (*ciValue) Follows(word string) bool { return slices.Contains(ciNames(), word) }

func newCIFlag(usage string) cli.Flag {
	none := ciNot
	return &cli.GenericFlag{
		Name:        flagCI,
		Value:       &none,
		DefaultText: "off",
		Usage:       usage + "; the CI system is detected, or `SYSTEM` is " + view.OneOf(ciNames()[1:]),
	}
}

// parseCI reads the flag of newCIFlag. It returns nil without it.
func parseCI(c *cli.Context, getenv func(string) string) (*ci.Job, error) {
	v, ok := c.Generic(flagCI).(*ciValue)
	if !ok || *v == ciNot {
		return nil, nil
	}
	system := ci.System(*v)
	if *v == ciDetect {
		if system, ok = ci.Detect(getenv); !ok {
			return nil, usage(c, "the CI system was not recognised; name it: --%s=%s", flagCI, ci.Generic)
		}
	}
	job, err := ci.JobOf(system, getenv)
	if err != nil {
		return nil, err
	}
	return &job, nil
}

// showUpCI reports a run that is up, after exporting it.
func (e *Env) showUpCI(job *ci.Job, run *journal.Run, elapsed time.Duration, quiet bool) error {
	if err := e.job(job).Export(run); err != nil {
		// Later steps do not know of the run now. Only its label leads down --ci to it.
		return unreported(run, err)
	}
	if !job.System.CanMask() && delivery.Of(run.Kind).Secret() {
		e.say("the credential is not masked in the log of this job: do not print what is in %s", run.Opened.DeliveryDir)
	}
	if quiet {
		return nil
	}
	var r view.Report
	e.viewRun(run).Show(&r)
	r.Line("")
	r.Line("up after %s; later steps of the job act as the account", view.Span(elapsed))
	if job.File == "" { // standard output is for the shell to eval
		r.Say(e.Stderr)
		return nil
	}
	return unreported(run, r.Print(e.Stdout))
}

// failShell makes the shell fail that evals what up prints: a shell ignores the exit code of
// a command substitution.
func (e *Env) failShell(job *ci.Job, err error) error {
	if job.File == "" && err != nil {
		_, printErr := fmt.Fprintf(e.Stdout.Programs(), "(exit %d)\n", codeOf(err))
		return errors.Join(err, printErr)
	}
	return err
}

// runDownCI takes down what the job brought up, and prints one line for each run.
func runDownCI(ctx context.Context, e *Env, o downOptions) error {
	journals, err := e.app().Journals()
	if err != nil {
		return err
	}
	p := e.newProgress(true) // one line is enough for a run that goes down as it should
	job := e.job(o.job)
	// Of all the job's runs, the environment may be that of any.
	all, unreadable := app.Runs(journals, func(s journal.Summary) bool { return s.Run == o.run || job.Owns(s) })
	if err := job.Leave(all); err != nil {
		return err
	}
	if o.run != "" {
		all = slices.DeleteFunc(all, func(r *journal.Run) bool { return r.ID() != o.run })
	}
	if o.run != "" && len(all) == 0 {
		return errors.Join(e.downElsewhere(ctx, o, p), unreadable)
	}
	runs, rest, err := e.choose(journals, job, all, o)
	if err != nil {
		return errors.Join(err, unreadable)
	}
	var errs []error
	for _, run := range runs {
		if err := job.LogInAs(run); err != nil {
			return err
		}
		errs = append(errs, e.downCI(ctx, run, o.wait, p))
	}
	// A journal that cannot be read matters to this job only if it could be the job's own.
	if len(runs) == 0 && unreadable != nil {
		errs = append(errs, fault.New(fault.Incomplete,
			"no run of this job was found here, but some journals could not be read"), unreadable)
	} else if len(runs) == 0 {
		errs = append(errs, e.tell("no run of this job%s is here: there is nothing to take down", labelled(o.job)))
	}
	return errors.Join(append(errs, rest)...)
}

// choose returns those of the job's own runs that are to be taken down, or if all are down, those that
// were. The run that was named comes first, then the one that an earlier step has exported, then
// the only one with the job's label. rest is what has to be said of the job's other runs.
func (e *Env) choose(
	journals journal.Store, job *app.Job, own []*journal.Run, o downOptions,
) (out []*journal.Run, rest, err error) {
	is := func(id grants.RunID) func(*journal.Run) bool {
		return func(r *journal.Run) bool { return r.ID() == id }
	}
	if o.run != "" {
		return own, nil, nil
	}
	if err := job.Named(); err != nil {
		return nil, nil, fault.WithHint(err, "taskiam down --"+flagCI+" RUN")
	}
	exported, where, err := job.Exported(o.dotenv)
	if err != nil {
		return nil, nil, err
	}
	up := live(own)
	switch at := slices.IndexFunc(own, is(exported)); {
	case o.all && len(up) > 0:
		return up, nil, nil
	case exported != "" && at >= 0:
		if others := slices.DeleteFunc(up, is(exported)); len(others) > 0 {
			rest = several(others, "other runs")
		}
		return own[at : at+1], rest, nil
	case exported != "" && len(own) == 0:
		return nil, nil, e.foreign(journals, exported, where, o.job)
	case exported != "":
		e.say("warning: %v; it is left alone", e.foreign(journals, exported, where, o.job))
	}
	if len(up) > 1 {
		return nil, nil, several(up, fmt.Sprintf("%d runs", len(up)))
	}
	if len(up) == 0 {
		up = own
	}
	return up, nil, nil
}

// several lists runs that only the job's label leads to, so that they may be another job's.
// what says which runs they are.
func several(runs []*journal.Run, what string) error {
	const again = "taskiam down --" + flagCI + " "
	var lines, hints []string
	for _, r := range runs {
		lines = append(lines, string(r.ID())+" of "+r.Opened.Task)
		hints = append(hints, again+string(r.ID()))
	}
	return fault.WithHint(fault.New(fault.Usage, "%s of this job are up and stay up: %s", what,
		strings.Join(lines, ", ")),
		append(hints, again+"--all")...)
}

// foreign says that a run which an earlier step has exported is not known to be the job's.
func (e *Env) foreign(journals journal.Store, run grants.RunID, where string, job *ci.Job) error {
	err := fault.New(fault.Incomplete, "%s names run %s, which has no journal here, so that it is not known whether "+
		"it is "+
		"of this job%s", where, run, labelled(job))
	if _, known := journals.Read(run); known == nil {
		err = fault.New(fault.Usage, "%s names run %s, which is not of this job%s", where, run, labelled(job))
	}
	return fault.WithHint(err, "taskiam down --"+flagCI+" "+string(run)+" # if it is to go")
}

func labelled(job *ci.Job) string {
	if job.Label == "" {
		return ""
	}
	return " (" + job.Label + ")"
}

// tell prints a line that was asked for.
func (e *Env) tell(format string, args ...any) error {
	return view.Tell(e.Stdout, format, args...)
}

// tellDone prints a line about something that was done.
func (e *Env) tellDone(what string) error { return untold(what, e.tell("%s", what)) }

// downCI takes one run of the job down.
func (e *Env) downCI(ctx context.Context, run *journal.Run, wait time.Duration, p *view.Progress) error {
	engine, err := e.app().Engine(ctx, app.Options{Reason: run.Opened.Reason, Progress: p, AllowLoggedOut: true})
	if err != nil {
		return err
	}
	e.interrupts.leaving(exitIncomplete, "the teardown continues", "taskiam down "+string(run.ID()))
	ctx, cancel := detached(ctx, wait+downWithin)
	defer cancel()
	teardown, err := engine.Down(ctx, run.ID(), wait)
	switch {
	case teardown != nil && !teardown.Already && loggedOut(err):
		return errors.Join(err, e.tellDone(e.localOnly(run)))
	default:
		return errors.Join(err, e.tellDone(view.NewTeardown(run, teardown, err).Outcome()))
	}
}

// localOnly says what is left of a run whose job cannot log in any more: everything that is
// not on this machine.
func (e *Env) localOnly(run *journal.Run) string {
	o := run.Opened
	here := "the delivery is gone from " + o.DeliveryDir
	if _, err := os.Lstat(o.DeliveryDir); !errors.Is(err, fs.ErrNotExist) {
		here = "the delivery is still in " + o.DeliveryDir
	}
	v := e.viewRun(run)
	ends := "its access expires at " + view.Moment(v.Expires)
	if v.Unbounded() > 0 {
		ends += fmt.Sprintf(", that of %d of its %d grants by %s", v.Unbounded(), len(v.Grants),
			view.Moment(v.Expires.Add(grants.TokenLifetime)))
	}
	return fmt.Sprintf("run %s of %s: the login of the job does not work any more: %s; %s; after that, remove the "+
		"rest: taskiam sweep --project %s",
		o.Run, o.Task, here, ends, o.Project)
}

// downElsewhere takes a run down that was brought up on another machine. It finds the account
// by what was exported, and knows it by its mark.
func (e *Env) downElsewhere(ctx context.Context, o downOptions, p *view.Progress) error {
	run, account, project := o.run, e.Getenv(app.EnvCIAccount), e.Getenv(app.EnvCIProject)
	if account == "" || project == "" {
		return errors.Join(e.tell("run %s: not taken down: its journal is not here", run), fault.WithHint(
			fault.New(fault.Incomplete, "run %s has no journal here, and $%s and $%s do not say which account it has",
				run, app.EnvCIAccount, app.EnvCIProject),
			"taskiam sweep --project PROJECT"))
	}
	if of, ours := grants.RunOf(account, project); !ours || of != run {
		return errors.Join(e.tell("run %s: not taken down: its journal is not here", run), fault.New(fault.Incomplete,
			"$%s is %s in project %s, which is not the account of run %s", app.EnvCIAccount, account, project, run))
	}
	engine, err := e.app().Engine(ctx, app.Options{Progress: p, AllowLoggedOut: true})
	if err != nil {
		return err
	}
	engine.Delivered = func(id grants.RunID) string {
		if dir := e.Getenv(app.EnvDelivery); dir != "" && id == run {
			return dir
		}
		return e.app().Delivered(id)
	}
	again := "taskiam down --account " + account + " --project " + project
	e.interrupts.leaving(exitIncomplete, "the teardown continues", again)
	ctx, cancel := detached(ctx, downWithin)
	defer cancel()
	teardown, err := engine.DownAccount(ctx, project, account, o.resources)
	switch {
	case fault.Is(err, fault.NotFound):
		return e.tell("run %s: the account %s does not exist any more, and no policy that was read names it", run,
			account)
	case teardown == nil:
		return errors.Join(e.tell("run %s: not taken down", run),
			fault.WithHint(&exitError{exitIncomplete, err}, again))
	default:
		return errors.Join(err, e.tellDone(view.NewTeardown(nil, teardown, err).Outcome()))
	}
}

// loggedOut reports whether a login that does not work is among what err joins.
func loggedOut(err error) bool {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return slices.ContainsFunc(joined.Unwrap(), loggedOut)
	}
	return fault.Is(err, fault.Unauthenticated)
}
