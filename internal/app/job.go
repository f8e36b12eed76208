package app

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

	"github.com/taskiam/taskiam/internal/ci"
	"github.com/taskiam/taskiam/internal/credentials"
	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/paths"
	"github.com/taskiam/taskiam/internal/secret"
)

// Job is a CI job. It knows which runs belong to the job, and tells the later steps of them.
type Job struct {
	ci.Job
	app *App
	// out is the job's log. If the CI system has no file for variables, the job's shell evals
	// what is written to out.
	out io.Writer
	// returned means that no step has chosen another login than the job's and those of its runs.
	returned bool
}

// Job returns the job; what it prints goes to out.
func (a *App) Job(job ci.Job, out io.Writer) *Job { return &Job{Job: job, app: a, out: out} }

// maxReason is how many bytes of a reason Google keeps; manifests have the same limit.
const maxReason = 256

// reason returns the reason that is sent with the job's calls: the address of the job, and
// what the manifest says if there is room for both.
func (j *Job) reason(manifest string) string {
	switch both := manifest + " (" + j.URL + ")"; {
	case j.URL == "" || len(j.URL) > maxReason:
		return manifest
	case manifest == "" || len(both) > maxReason:
		return j.URL
	default:
		return both
	}
}

// mask returns a function that hides secrets in the job's log, before they are used. A secret
// that cannot be masked is not delivered.
func (j *Job) mask(ctx context.Context) func(...secret.String) error {
	return func(secrets ...secret.String) error {
		m, err := j.System.Mask(secrets...)
		if err != nil {
			return err
		}
		if _, err := io.WriteString(j.out, m.Print); err != nil {
			return fmt.Errorf("masking the credential in the log: %w", err)
		}
		if m.Command == nil {
			return nil
		}
		cmd := exec.CommandContext(ctx, m.Command[0], m.Command[1:]...)
		cmd.Stdin = strings.NewReader(m.Input)
		if out, err := cmd.CombinedOutput(); err != nil {
			said := strings.TrimSpace(string(out))
			return fault.WithHint(
				fmt.Errorf("masking the credential in the log with %s: %w: %s", m.Command[0], err, said),
				"it takes a buildkite-agent of version 3.66 or later; without masking: --ci="+string(ci.Generic))
		}
		return nil
	}
}

// temp returns the folder for deliveries. It is private, and never in a workspace: a job may
// publish what is there.
func (j *Job) temp() (string, error) {
	dir := j.Temp
	if dir == "" {
		if runtime := j.app.Getenv(EnvRuntimeDir); filepath.IsAbs(runtime) {
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
	for _, workspace := range j.Workspaces {
		if paths.Within(paths.Real(workspace), paths.Real(dir)) {
			return "", fault.WithHint(
				fault.New(fault.Usage,
					"the folder for temporary files, %s, is inside the job's workspace %s, which may be published",
					dir, workspace),
				"--out with a folder elsewhere, or another TMPDIR")
		}
	}
	return dir, nil
}

// LoginFile returns the credential file that the job logs in with, as an absolute path;
// "" if it logs in without one.
func (j *Job) LoginFile() string {
	path := j.app.Getenv(EnvCredentials)
	if path == "" {
		return ""
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	return abs
}

// Leave removes from this process what runs have exported to it, and goes back to the login of the
// run whose delivery the environment names; if it names none, to that of the last run. It has to be
// given all of the job's runs, the oldest first: a later one may have exported over an earlier one.
// A variable that was changed since is left alone.
func (j *Job) Leave(runs []*journal.Run) error {
	var last *journal.Run
	at := j.app.Getenv(EnvCredentials)
	for _, run := range runs {
		for _, v := range j.app.Delivery(run).Environment() {
			if v.File != "" || j.app.Getenv(v.Name) != v.Value {
				continue
			}
			if err := j.app.Setenv(v.Name, ""); err != nil {
				return fmt.Errorf("leaving the environment of run %s: %w", run.ID(), err)
			}
			if v.Name == EnvCredentials {
				last = run
			}
		}
		if at == "" && run.Opened.Login != "" {
			last = run
		}
	}
	j.returned = j.app.Getenv(EnvCredentials) == ""
	if last == nil {
		return nil
	}
	return j.LogInAs(last)
}

// LogInAs logs in with what a run was brought up with, unless a step has chosen a login since.
func (j *Job) LogInAs(run *journal.Run) error {
	if !j.returned {
		return nil
	}
	if err := j.app.Setenv(EnvCredentials, run.Opened.Login); err != nil {
		return fmt.Errorf("going back to the job's login: %w", err)
	}
	return nil
}

// Next prepares for the next run of the job: it leaves the environment of the earlier ones, and
// returns where the delivery goes.
func (j *Job) Next(to Place) (Place, error) {
	if err := j.Named(); err != nil {
		return to, err
	}
	journals, err := j.app.Journals()
	if err != nil {
		return to, err
	}
	runs, _ := Runs(journals, j.Owns) // down reports a journal that cannot be read
	if err := j.Leave(runs); err != nil {
		return to, err
	}
	if to.Dir == "" && to.Owner == 0 {
		to.Parent, err = j.temp()
	}
	return to, err
}

// Owns reports whether a run has the job's label. No other is taken for the job's: what a step may
// have put into the environment or into a file only chooses among them.
func (j *Job) Owns(s journal.Summary) bool { return j.Label != "" && s.Job == j.Label }

// ids are the variables by which a run of the job is found again.
func ids(o journal.Opened) []delivery.Var {
	return []delivery.Var{
		{Name: envCIRun, Value: string(o.Run)},
		{Name: EnvCIAccount, Value: o.Email},
		{Name: EnvCIProject, Value: o.Project},
	}
}

// Announcing returns the journals that tell, before a run is begun, which one it is: the state of a step
// on GitHub, and with dotenv, a file, other jobs. Whatever ends the process then, it is known what to
// take down.
func (j *Job) Announcing(journals journal.Store, dotenv string) journal.Store {
	return announcing{journals, j, dotenv}
}

// announcing are journals whose runs are told of before they are begun.
type announcing struct {
	journal.Store
	job    *Job
	dotenv string
}

func (a announcing) Create(open journal.Opened, announced ...journal.Record) (journal.Journal, error) {
	if err := a.job.announce(open, a.dotenv); err != nil {
		return nil, err
	}
	return a.Store.Create(open, announced...)
}

func (j *Job) announce(o journal.Opened, dotenv string) error {
	if j.System == ci.GitHub {
		state := []string{"run=" + string(o.Run), "account=" + o.Email, "project=" + o.Project}
		if err := j.writePairs("GITHUB_STATE", state); err != nil {
			return err
		}
	}
	if dotenv == "" {
		return nil
	}
	// CI systems keep such a file and show it to people: only ids and paths may be in it.
	text, err := credentials.Format(append(ids(o), delivery.Var{Name: EnvDelivery, Value: o.DeliveryDir}), "dotenv")
	if err == nil {
		err = os.WriteFile(dotenv, []byte(text), 0o600)
	}
	if err != nil {
		return fmt.Errorf("writing the dotenv file: %w", err)
	}
	return nil
}

// Export exports a run to the later steps of the job.
func (j *Job) Export(run *journal.Run) error {
	if err := j.exportVars(run.Opened, append(j.app.Delivery(run).Environment(), ids(run.Opened)...)); err != nil {
		return err
	}
	if j.System == ci.GitHub {
		return j.writeOutputs(run)
	}
	return nil
}

// writeOutputs writes the outputs that later steps on GitHub can read.
func (j *Job) writeOutputs(run *journal.Run) error {
	o := run.Opened
	return j.writePairs("GITHUB_OUTPUT", []string{
		"run=" + string(o.Run),
		"task=" + o.Task,
		"account=" + o.Email,
		"project=" + o.Project,
		"delivery=" + o.DeliveryDir,
		"expires=" + run.Expires().UTC().Format(time.RFC3339),
	})
}

// writePairs appends to the file that a variable of GitHub's names, if it names one.
func (j *Job) writePairs(name string, vars []string) error {
	text, err := ci.Pairs(vars)
	if path := j.app.Getenv(name); err == nil && path != "" {
		err = appendTo(path, text)
	}
	if err != nil {
		return fmt.Errorf("writing to $%s: %w", name, err)
	}
	return nil
}

// Unset returns which variables of an environment compete with those of a run, and are to be unset, or on
// GitHub made empty, by what [credentials.Format] writes.
func (a *App) Unset(o journal.Opened, format string, environ []string) []string {
	names := credentials.CompetingIn(environ)
	if format == string(ci.GitHub) {
		names = credentials.Blanks(environ)
	}
	if !o.OnEmulator() {
		return names
	}
	// There, what only a pattern matches may be what leads to it.
	return slices.DeleteFunc(names, func(name string) bool { return !slices.Contains(credentials.Competing(), name) })
}

// exportVars exports variables to the later steps. They have the environment that this process was started
// with, whatever [Job.Leave] has taken out of it here.
func (j *Job) exportVars(o journal.Opened, vars []delivery.Var) error {
	if j.System != ci.GitHub {
		text, err := credentials.Format(vars, "shell", j.app.Unset(o, "shell", j.app.Started)...)
		switch {
		case err != nil:
		case j.File != "":
			err = appendTo(j.File, text)
		default:
			_, err = io.WriteString(j.out, text)
		}
		if err != nil {
			return fmt.Errorf("exporting the environment: %w", err)
		}
		return nil
	}
	text, err := credentials.Format(vars, string(ci.GitHub), j.app.Unset(o, string(ci.GitHub), j.app.Started)...)
	if err == nil {
		err = appendTo(j.File, text)
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

// Named returns why the job's runs could not be told from those of other jobs; nil if they can.
func (j *Job) Named() error {
	if j.Label != "" {
		return nil
	}
	return fault.WithHint(
		fault.New(fault.Usage, "the environment does not say which job of %s this is, so that its runs cannot be told "+
			"from those of other jobs", j.System),
		"export "+ci.EnvJob+"=NAME, with a name that no other job has, and --ci="+string(ci.Generic))
}

// Exported returns the run that an earlier step of the job has exported, and where it says so:
// in the file that [Job.Announcing] had written, if there is one, else in the environment. Both are "" if
// none did.
func (j *Job) Exported(dotenv string) (run grants.RunID, where string, err error) {
	word, where := j.app.Getenv(envCIRun), "$"+envCIRun
	if dotenv != "" {
		switch text, err := os.ReadFile(dotenv); {
		case err == nil:
			word, where = "", dotenv
			for line := range strings.Lines(string(text)) {
				if value, ok := strings.CutPrefix(strings.TrimSpace(line), envCIRun+"="); ok {
					word = value
				}
			}
		case !errors.Is(err, fs.ErrNotExist): // without the file, up did not get that far
			return "", "", fmt.Errorf("reading which run is meant: %w", err)
		}
	}
	if word == "" {
		return "", "", nil
	}
	if run, err = grants.ParseRunID(word); err != nil {
		return "", "", fault.New(fault.Usage, "reading %s: %w", where, err)
	}
	return run, where, nil
}
