package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/app"
	"github.com/taskiam/taskiam/internal/credentials"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/view"
)

var (
	envFormats   = credentials.Formats
	unsetFormats = []string{"shell", "fish", "powershell"}
)

type envOptions struct {
	word   string // "" is the only run that is up
	format string
	unset  bool
}

func newEnvCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name:  "env",
		Usage: "print the environment with which clients act as the account of a run",
		UsageText: `eval "$(taskiam env)"
taskiam env --format fish | source
taskiam env --format powershell | Out-String | Invoke-Expression
taskiam env --format github >> "$GITHUB_ENV"
docker run --env-file <(taskiam env --format dotenv) ...`,
		ArgsUsage: "[RUN|TASK|FILE]",
		Description: `Without arguments, it is the only run that is up. The formats for shells and
direnv also unset the variables that would make a client act as somebody else; github
sets them to the empty string. github, dotenv and json have no secret: those stay in
their files.

To take a run down on Google Cloud, taskiam must act as you and not as the account:
use --unset first.`,
		Flags: []cli.Flag{
			&cli.BoolFlag{
				Name:  "unset",
				Usage: "print a command that removes the environment of a run from this shell",
			},
			&cli.StringFlag{
				Name:    flagFormat,
				Aliases: []string{"f"},
				Usage:   "`FORMAT`: " + view.OneOf(envFormats),
				Value:   envFormats[0],
				Action:  oneOf(flagFormat, envFormats...),
			},
		},
		Action: action(
			func(c *cli.Context) (envOptions, error) { return parseEnv(c, e.Getenv) },
			func(ctx context.Context, o envOptions) error { return runEnv(ctx, e, o) }),
	}
}

func parseEnv(c *cli.Context, getenv func(string) string) (envOptions, error) {
	o := envOptions{format: c.String(flagFormat), unset: c.Bool("unset")}
	var err error
	if o.word, err = oneRun(c); err != nil || !o.unset {
		return o, err
	}
	switch {
	case !slices.Contains(unsetFormats, o.format):
		return o, usage(c, "--unset is for shells: --%s is %s", flagFormat, view.OneOf(unsetFormats))
	case o.word == "" && getenv(app.EnvRun) == "":
		return o, usage(c, "this shell is not inside a run: $%s is not set", app.EnvRun)
	case o.word == "":
		o.word = getenv(app.EnvRun)
	}
	return o, nil
}

// oneRun returns the only positional argument, "" if there is none.
func oneRun(c *cli.Context) (string, error) {
	switch w := words(c); len(w) {
	case 0:
		return "", nil
	case 1:
		return w[0], nil
	default:
		return "", usage(c, "%s takes one run, not %d", c.Command.HelpName, len(w))
	}
}

func runEnv(_ context.Context, e *Env, o envOptions) error {
	if o.unset {
		return e.printUnset(o)
	}
	run, err := e.deliveredRun(o.word, "taskiam env", willing)
	if err != nil {
		return err
	}
	vars := e.app().Delivery(run).Environment()
	if o.format == "json" {
		doc := view.Environment{
			Schema: "taskiam.env/v1", Run: string(run.ID()), Task: run.Opened.Task, Account: run.Opened.Email,
			Project: run.Opened.Project, Expires: run.Expires().UTC(), Env: map[string]string{},
		}
		for _, v := range vars {
			if v.File == "" { // secrets stay in their files
				doc.Env[v.Name] = v.Value
			}
		}
		return view.JSON(e.Stdout, doc)
	}
	unset := e.app().Unset(run.Opened, o.format, e.Environ())
	text, err := credentials.Format(vars, o.format, unset...)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(e.Stdout.Programs(), text); err != nil {
		return fmt.Errorf("writing the environment: %w", err)
	}
	return nil
}

// printUnset prints a command that removes the variables of a run from a shell, whether the run
// is up or down.
func (e *Env) printUnset(o envOptions) error {
	run, err := e.anyRun(o.word, "taskiam env --unset", willing)
	if err != nil {
		return err
	}
	text, err := credentials.FormatUnset(e.app().Delivery(run).Environment(), o.format)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(e.Stdout.Programs(), text); err != nil {
		return fmt.Errorf("writing the environment: %w", err)
	}
	return nil
}

// anyRun returns the run that the word names, or the only one that is up.
func (e *Env) anyRun(word, command string, refuse refusal) (*journal.Run, error) {
	journals, err := e.app().Journals()
	if err != nil {
		return nil, err
	}
	runs, unreadable := app.RunsNamed(journals, word)
	run, err := theRun(runs, word, command, refuse)
	if err != nil {
		return nil, errors.Join(err, unreadable)
	}
	return run, nil
}

// deliveredRun returns the run that the word names, or the only one that the command could take. It refuses a
// run that is not up, one whose delivery is gone, and what the command refuses beside that.
func (e *Env) deliveredRun(word, command string, refuse refusal) (*journal.Run, error) {
	return e.anyRun(word, command, func(run *journal.Run) error {
		if err := e.undelivered(run); err != nil {
			return err
		}
		return refuse(run)
	})
}

// undelivered returns why a run has no delivery that could be used.
func (e *Env) undelivered(run *journal.Run) error {
	id := string(run.ID())
	switch state := run.State(); {
	case state != journal.Running && state != journal.RunningNotReady:
		return fault.WithHint(
			fault.New(fault.NotFound, "run %s of %s is not up, it is: %s", id, run.Opened.Task, state),
			"taskiam status "+id)
	case run.Expired(e.Now()):
		return fault.WithHint(
			fault.New(fault.NotFound, "run %s of %s has expired, at %s", id, run.Opened.Task,
				view.Moment(run.Expires())),
			"taskiam down "+id)
	}
	if _, err := os.Stat(run.Opened.DeliveryDir); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fault.New(fault.NotFound, "the delivery of run %s is gone from %s", id, run.Opened.DeliveryDir)
		}
		return fault.WithHint(err, "taskiam down "+id)
	}
	return nil
}
