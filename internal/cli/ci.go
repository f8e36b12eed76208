package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/ci"
	"github.com/taskiam/taskiam/internal/credentials"
	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/secret"
	"github.com/taskiam/taskiam/internal/view"
)

// ciValue is the value of --ci: the name of a system, or [ciDetect] if it stands alone.
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

// Set reads the value; package flag says "true" for a flag that stands alone.
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

// IsBoolFlag tells package flag that the value can be left out.
func (*ciValue) IsBoolFlag() bool { return true }

// Follows reports whether the word behind the flag is its value, and no argument.
func (*ciValue) Follows(word string) bool { return slices.Contains(ciNames(), word) }

func newCIFlag(usage string) cli.Flag {
	none := ciNot
	return &cli.GenericFlag{Name: flagCI, Value: &none, DefaultText: "off", Usage: usage + "; the CI system is detected, or `SYSTEM` is " + view.OneOf(ciNames()[1:])}
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

// Variables that `up --ci` exports beside those of the run, for `down --ci`.
const (
	envCIRun     = "TASKIAM_CI_RUN"
	envCIAccount = "TASKIAM_CI_ACCOUNT"
	envCIProject = "TASKIAM_CI_PROJECT"
)

// maxReason is how much of a reason Google keeps (the manifest has the same limit).
const maxReason = 256

// reasonOf returns what Google is told as the reason of a job's calls: where people see
// the job, and what the manifest says, if there is room for both.
func reasonOf(job *ci.Job, manifest string) string {
	switch both := manifest + " (" + job.URL + ")"; {
	case job.URL == "" || len(job.URL) > maxReason:
		return manifest
	case manifest == "" || len(both) > maxReason:
		return job.URL
	default:
		return both
	}
}

// maskFor returns what keeps secrets out of the log of a job, before anybody can have
// seen them. What cannot be masked is not delivered.
func (e *Env) maskFor(ctx context.Context, job *ci.Job) func(...secret.String) error {
	return func(secrets ...secret.String) error {
		m, err := job.System.Mask(secrets...)
		if err != nil {
			return err
		}
		if _, err := io.WriteString(e.Stdout, m.Print); err != nil {
			return fmt.Errorf("masking the credential in the log: %w", err)
		}
		if m.Command == nil {
			return nil
		}
		cmd := exec.CommandContext(ctx, m.Command[0], m.Command[1:]...)
		cmd.Stdin = strings.NewReader(m.Input)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fault.WithHint(
				fmt.Errorf("masking the credential in the log with %s: %w: %s", m.Command[0], err, strings.TrimSpace(string(out))),
				"it takes a buildkite-agent of version 3.66 or later; without masking: --"+flagCI+"="+string(ci.Generic))
		}
		return nil
	}
}

// tempFor returns the folder for a job's delivery: private, and never where the job's
// code is, which it may publish.
func (e *Env) tempFor(job *ci.Job) (string, error) {
	dir := job.Temp
	if dir == "" {
		if runtime := e.Getenv(envRuntimeDir); filepath.IsAbs(runtime) {
			if info, err := os.Stat(runtime); err == nil && info.IsDir() {
				dir = runtime
			}
		}
	}
	if dir == "" {
		dir = os.TempDir()
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for _, workspace := range job.Workspaces {
		if inside(dir, workspace) {
			return "", fault.WithHint(
				fault.New(fault.Usage, "the folder for temporary files, %s, is inside the job's workspace %s, which may be published", dir, workspace),
				"--"+flagOut+" with a folder elsewhere, or another TMPDIR")
		}
	}
	return dir, nil
}

// inside reports whether dir is folder or below it, symbolic links followed.
func inside(dir, folder string) bool {
	for _, path := range []*string{&dir, &folder} {
		if real, err := filepath.EvalSymlinks(*path); err == nil {
			*path = real
		}
	}
	rel, err := filepath.Rel(folder, dir)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// loginFile returns the credential file that the job logs in with, as an absolute path;
// "" if it logs in without one.
func (e *Env) loginFile() string {
	path := e.Getenv(envCredentials)
	if path == "" {
		return ""
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	return abs
}

// leave makes this process the job's again where the environment is that of runs: what
// they exported is taken out, and what the job had logged in with is put back. Only what
// a run set and nobody changed since is touched.
func (e *Env) leave(runs []*journal.Run) error {
	for _, run := range runs {
		for _, v := range e.delivery(run).Environment() {
			if v.File == "" && e.Getenv(v.Name) == v.Value {
				if err := e.Setenv(v.Name, ""); err != nil {
					return fmt.Errorf("leaving the environment of run %s: %w", run.ID(), err)
				}
			}
		}
	}
	for _, run := range runs {
		if e.Getenv(envCredentials) == "" && run.Opened.Login != "" {
			if err := e.Setenv(envCredentials, run.Opened.Login); err != nil {
				return fmt.Errorf("going back to the job's login: %w", err)
			}
		}
	}
	return nil
}

// enterJob leaves the environment of the runs that the job has brought up before, and
// returns where the delivery of the next one goes.
func (e *Env) enterJob(job *ci.Job, out string, owner int) (deliverTo, error) {
	to := deliverTo{dir: out, owner: owner}
	dir, err := e.journals()
	if err != nil {
		return to, err
	}
	named, err := e.namedRun()
	if err != nil {
		return to, err
	}
	runs, _ := allRuns(dir) // what cannot be read is said by what takes it down
	runs = slices.DeleteFunc(runs, func(r *journal.Run) bool { return !ofJob(r, job, named) })
	if err := e.leave(runs); err != nil {
		return to, err
	}
	if out == "" && owner == 0 {
		to.parent, err = e.tempFor(job)
	}
	return to, err
}

// ofJob reports whether a run is the job's: by its label, or by what was exported.
func ofJob(r *journal.Run, job *ci.Job, named grants.RunID) bool {
	return named != "" && r.ID() == named || job.Label != "" && r.Opened.Job == job.Label
}

// export hands the run over to later steps of the job.
func (e *Env) export(job *ci.Job, run *journal.Run, dotenv string) error {
	vars := e.delivery(run).Environment()
	o := run.Opened
	ids := []delivery.Var{
		{Name: envCIRun, Value: string(o.Run)}, {Name: envCIAccount, Value: o.Email}, {Name: envCIProject, Value: o.Project},
	}
	if err := e.exportVars(job, append(vars, ids...)); err != nil {
		return err
	}
	if job.System == ci.GitHub {
		outputs := []ci.Var{
			{Name: "run", Value: string(o.Run)}, {Name: "task", Value: o.Task}, {Name: "account", Value: o.Email}, {Name: "project", Value: o.Project},
			{Name: "delivery", Value: o.DeliveryDir}, {Name: "expires", Value: run.Expires().UTC().Format(time.RFC3339)},
		}
		for name, vars := range map[string][]ci.Var{"GITHUB_OUTPUT": outputs, "GITHUB_STATE": outputs[:1]} {
			text, err := ci.Pairs(vars)
			if path := e.Getenv(name); err == nil && path != "" {
				err = appendTo(path, text)
			}
			if err != nil {
				return fmt.Errorf("writing to $%s: %w", name, err)
			}
		}
	}
	if dotenv == "" {
		return nil
	}
	// Systems keep such files, and show them to people: ids and paths alone.
	text, err := credentials.Format(append(ids, delivery.Var{Name: envDelivery, Value: o.DeliveryDir}), "dotenv")
	if err == nil {
		err = os.WriteFile(dotenv, []byte(text), 0o600)
	}
	if err != nil {
		return fmt.Errorf("writing the dotenv file: %w", err)
	}
	return nil
}

func (e *Env) exportVars(job *ci.Job, vars []delivery.Var) error {
	if job.System != ci.GitHub {
		text, err := credentials.Format(vars, "shell")
		switch {
		case err != nil:
		case job.File != "":
			err = appendTo(job.File, text)
		default:
			_, err = io.WriteString(e.Stdout, text)
		}
		if err != nil {
			return fmt.Errorf("exporting the environment: %w", err)
		}
		return nil
	}
	// What has to be unset can only be emptied. A secret stays in its file.
	var pairs []ci.Var
	for _, name := range credentials.Competing() {
		if e.Getenv(name) != "" {
			pairs = append(pairs, ci.Var{Name: name})
		}
	}
	for _, v := range vars {
		if v.File == "" {
			pairs = append(pairs, ci.Var{Name: v.Name, Value: v.Value})
		}
	}
	text, err := ci.Pairs(pairs)
	if err == nil {
		err = appendTo(job.File, text)
	}
	if err != nil {
		return fmt.Errorf("exporting the environment: %w", err)
	}
	return nil
}

func appendTo(path, text string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, text)
	return errors.Join(err, f.Close())
}

// showUpCI reports a run that is up, after exporting it.
func (e *Env) showUpCI(job *ci.Job, run *journal.Run, elapsed time.Duration, dotenv string, quiet bool) error {
	if err := e.export(job, run, dotenv); err != nil {
		// What nobody can find is of no use to anybody, and down --ci finds it by its label.
		return fault.WithHint(err, "taskiam down "+string(run.ID()))
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
		e.say("%s", r.String())
		return nil
	}
	return r.Print(e.Stdout)
}

// failShell makes a shell that evals what up prints fail as up did: the code of a
// command substitution gets lost otherwise.
func (e *Env) failShell(job *ci.Job, err error) error {
	if job.File == "" && err != nil {
		_, printErr := fmt.Fprintf(e.Stdout, "(exit %d)\n", codeOf(err))
		return errors.Join(err, printErr)
	}
	return err
}

// runDownCI takes down what the job brought up, and says in a line for each run what
// came of it.
func runDownCI(ctx context.Context, e *Env, o downOptions) error {
	dir, err := e.journals()
	if err != nil {
		return err
	}
	runs, unreadable := allRuns(dir)
	named, err := e.namedRun()
	if err != nil {
		return err
	}
	// A journal that cannot be read is this job's business only if it could be its own.
	known := named == "" || slices.ContainsFunc(runs, func(r *journal.Run) bool { return r.ID() == named })
	runs = slices.DeleteFunc(runs, func(r *journal.Run) bool { return !ofJob(r, o.job, named) })
	if err := e.leave(runs); err != nil {
		return err
	}
	p := e.newProgress(true) // of what goes as it should, one line is enough
	var errs []error
	for _, run := range runs {
		errs = append(errs, e.downCI(ctx, run, o.wait, p))
	}
	switch {
	case !known:
		errs = append(errs, e.downElsewhere(ctx, named, o, p), unreadable)
	case len(runs) == 0 && unreadable != nil:
		errs = append(errs, fault.New(fault.Incomplete, "no run of this job was found here, but some journals could not be read"), unreadable)
	case len(runs) == 0:
		errs = append(errs, e.tell("no run of this job%s is here: there is nothing to take down", labelled(o.job)))
	}
	return errors.Join(errs...)
}

func labelled(job *ci.Job) string {
	if job.Label == "" {
		return ""
	}
	return " (" + job.Label + ")"
}

// namedRun returns the run that an earlier step exported; "" if none did.
func (e *Env) namedRun() (grants.RunID, error) {
	word := e.Getenv(envCIRun)
	if word == "" {
		return "", nil
	}
	run, err := grants.ParseRunID(word)
	if err != nil {
		return "", fault.New(fault.Usage, "reading $%s: %w", envCIRun, err)
	}
	return run, nil
}

// tell prints a line that was asked for.
func (e *Env) tell(format string, args ...any) error {
	return view.Tell(e.Stdout, format, args...)
}

// downCI takes one run of the job down.
func (e *Env) downCI(ctx context.Context, run *journal.Run, wait time.Duration, p *view.Progress) error {
	name := fmt.Sprintf("run %s of %s", run.ID(), run.Opened.Task)
	if run.State() == journal.Ended {
		return e.tell("%s is already down", name)
	}
	engine, err := e.engine(ctx, cloudOptions{reason: run.Opened.Reason, progress: p, anyway: true})
	if err != nil {
		return err
	}
	e.interrupts.leaving(exitIncomplete, "the teardown continues", "taskiam down "+string(run.ID()))
	ctx, cancel := detached(ctx, wait+downWithin)
	defer cancel()
	teardown, err := engine.Down(ctx, run.ID(), wait)
	switch {
	case teardown != nil && loggedOut(err):
		return errors.Join(e.tell("%s", e.localOnly(run)), err)
	default:
		return errors.Join(e.tell("%s", view.NewTeardown(run, teardown, err).Outcome()), err)
	}
}

// localOnly says what is left of a run whose job has lost its login: all that is not
// on this machine.
func (e *Env) localOnly(run *journal.Run) string {
	o := run.Opened
	here := "the delivery is gone from " + o.DeliveryDir
	if _, err := os.Lstat(o.DeliveryDir); !errors.Is(err, fs.ErrNotExist) {
		here = "the delivery is still in " + o.DeliveryDir
	}
	v := e.viewRun(run)
	ends := "its access expires at " + view.Moment(v.Expires)
	if v.Unbounded() > 0 {
		ends += fmt.Sprintf(", that of %d of its %d grants by %s", v.Unbounded(), len(v.Grants), view.Moment(v.Expires.Add(grants.TokenLifetime)))
	}
	return fmt.Sprintf("run %s of %s: the login of the job does not work any more: %s; %s; after that, remove the rest: taskiam sweep --project %s",
		o.Run, o.Task, here, ends, o.Project)
}

// downElsewhere takes a run down that was brought up on another machine, by the mark of
// its account.
func (e *Env) downElsewhere(ctx context.Context, run grants.RunID, o downOptions, p *view.Progress) error {
	account, project := e.Getenv(envCIAccount), e.Getenv(envCIProject)
	if account == "" || project == "" {
		return errors.Join(e.tell("run %s: not taken down: its journal is not here", run), fault.WithHint(
			fault.New(fault.Incomplete, "run %s has no journal here, and $%s and $%s do not say which account it has", run, envCIAccount, envCIProject),
			"taskiam sweep --project PROJECT"))
	}
	engine, err := e.engine(ctx, cloudOptions{progress: p, anyway: true})
	if err != nil {
		return err
	}
	engine.Delivered = func(id grants.RunID) string {
		if dir := e.Getenv(envDelivery); dir != "" && id == run {
			return dir
		}
		return e.delivered(id)
	}
	again := "taskiam down --account " + account + " --project " + project
	e.interrupts.leaving(exitIncomplete, "the teardown continues", again)
	ctx, cancel := detached(ctx, downWithin)
	defer cancel()
	teardown, err := engine.DownAccount(ctx, project, account, o.resources)
	switch {
	case fault.Is(err, fault.NotFound):
		return e.tell("run %s: the account %s does not exist any more, and no policy that was read names it", run, account)
	case teardown == nil:
		return errors.Join(e.tell("run %s: not taken down", run), fault.WithHint(&exitError{exitIncomplete, err}, again))
	case teardown.Run.ID() != run:
		return errors.Join(err, e.tell("run %s: the account %s belongs to run %s, which was taken down", run, account, teardown.Run.ID()))
	default:
		return errors.Join(e.tell("%s", view.NewTeardown(nil, teardown, err).Outcome()), err)
	}
}

// loggedOut reports whether a login that does not work is among what err joins.
func loggedOut(err error) bool {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return slices.ContainsFunc(joined.Unwrap(), loggedOut)
	}
	return fault.Is(err, fault.Unauthenticated)
}
