package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/view"
)

// newApp returns the command tree.
func newApp(e *Env) *cli.App {
	app := &cli.App{
		Name:  "taskiam",
		Usage: "gives each run of a task its own, short-lived identity in Google Cloud",
		UsageText: `taskiam init                              # write task.toml
taskiam plan task.toml                    # what would be created and bound
taskiam run task.toml -- ./my-agent       # run it with exactly that access

taskiam emulator &                        # try it without a Google account
eval "$(taskiam emulator env)"`,
		Description: `A task is work that you give to something unsupervised, such as a coding agent or
a CI job. Its manifest declares the access that it needs. Each run of the task gets
a new service account with exactly that access. When the run ends, the account and
its access are removed.`,
		ArgsUsage: "COMMAND",
		Writer:    e.Stdout.People(),
		ErrWriter: e.Stderr.People(),
		Commands: []*cli.Command{
			newInitCmd(e),
			newValidateCmd(e),
			newFmtCmd(e),
			newSchemaCmd(e),
			newDoctorCmd(e),
			newPlanCmd(e),
			newUpCmd(e),
			newRunCmd(e),
			newEnvCmd(e),
			newServeCmd(e),
			newTokenCmd(e),
			newStatusCmd(e),
			newRenewCmd(e),
			newDownCmd(e),
			newSweepCmd(e),
			newReceiptCmd(e),
			newResourcesCmd(e),
			newManifestCmd(e),
			newEmulatorCmd(e),
			newDemoCmd(e),
			newDemoAgentCmd(e),
			newIsolatedCmd(e),
			newVersionCmd(e),
			newCompletionCmd(e),
			newCompleteCmd(e),
			newHelpCmd(e),
		},
	}
	harden(e, app)
	addDebug(app.Commands, e)
	return app
}

// harden changes, for every command in one place, what urfave/cli does in ways that harm us:
//
//   - Its exit handler ends the process inside Run on anything with an ExitCode
//     method, which an *exec.ExitError of CMD's has, and skips our defers.
//   - A bad flag prints help to standard output, unless every single command has an
//     OnUsageError; the app's own is not inherited.
//   - Its help looks topics up among positional arguments, prints help for a group
//     without a command and exits with 0, and its help flag is a package variable
//     that two apps in one process race for. So help is a command of ours, and
//     [arrange] makes that of the flag.
//   - List values split at commas, which conditions contain.
func harden(e *Env, app *cli.App) {
	app.ExitErrHandler = func(*cli.Context, error) {}
	app.DisableSliceFlagSeparator = true
	app.HideHelp, app.HideHelpCommand, app.HideVersion = true, true, true
	app.OnUsageError = usageError
	app.Action = func(c *cli.Context) error {
		if c.Args().First() == "" {
			return e.showAppHelp(app)
		}
		return unknownCommand(c)
	}
	app.Setup() // names the commands

	var walk func(commands []*cli.Command)
	walk = func(commands []*cli.Command) {
		for _, cmd := range commands {
			cmd.HideHelp, cmd.HideHelpCommand = true, true
			if cmd.OnUsageError == nil {
				cmd.OnUsageError = usageError
			}
			for _, sub := range cmd.Subcommands {
				sub.HelpName = cmd.HelpName + " " + sub.Name
			}
			walk(cmd.Subcommands)
		}
	}
	walk(app.Commands)
}

// addDebug gives every command that people call the flag with which it tells of its calls.
func addDebug(commands []*cli.Command, e *Env) {
	for _, cmd := range visible(commands) {
		if !cmd.SkipFlagParsing {
			cmd.Flags = append(cmd.Flags, &cli.BoolFlag{
				Name:   flagDebug,
				Usage:  "print every call to Google: method, resource, status, time, and which try; never a secret",
				Action: func(*cli.Context, bool) error { e.debug = true; return nil },
			})
		}
		addDebug(cmd.Subcommands, e)
	}
}

// usage returns an error about the command line; its hint is how to show the help of the command.
func usage(c *cli.Context, format string, args ...any) error {
	return fault.WithHint(fault.New(fault.Usage, format, args...), helpLine(c))
}

func helpLine(c *cli.Context) string {
	name := c.App.Name
	if c.Command != nil && c.Command.HelpName != "" {
		name = c.Command.HelpName
	}
	return name + " --help"
}

// unknownCommand is the action of a command that has subcommands, if it was given no word
// or one that names none of them.
func unknownCommand(c *cli.Context) error {
	word := c.Args().First()
	if word == "" {
		return usage(c, "the command is missing")
	}
	commands := c.App.Commands
	if c.Command != nil && len(c.Command.Subcommands) > 0 {
		commands = c.Command.Subcommands
	}
	err := usage(c, "there is no command %q", word)
	if near := nearest(commands, word); near != "" {
		err = fault.WithHint(err, fmt.Sprintf("did you mean %q?", near))
	}
	return err
}

// nearest returns the command that was probably meant, "" if none is near.
func nearest(commands []*cli.Command, word string) string {
	_, after, _ := strings.Cut(cli.SuggestCommand(visible(commands), word), `"`)
	name, _, _ := strings.Cut(after, `"`)
	return name
}

func visible(commands []*cli.Command) []*cli.Command {
	var out []*cli.Command
	for _, c := range commands {
		if !c.Hidden {
			out = append(out, c)
		}
	}
	return out
}

// words returns the positional arguments. The "--" that ends the flags is not one
// of them.
func words(c *cli.Context) []string {
	args := c.Args().Slice()
	for i, a := range args {
		if a == "--" {
			return append(args[:i:i], args[i+1:]...)
		}
	}
	return args
}

// action returns the action of a command from its two halves: parse reads the command line,
// and run does the work.
func action[O any](parse func(*cli.Context) (O, error), run func(context.Context, O) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		options, err := parse(c)
		if err != nil {
			if len(fault.Hints(err)) == 0 {
				err = fault.WithHint(err, helpLine(c))
			}
			return err
		}
		return run(c.Context, options)
	}
}

// noArguments refuses positional arguments.
func noArguments(c *cli.Context) error {
	if w := words(c); len(w) > 0 {
		return usage(c, "%s takes no arguments, not %q", c.Command.HelpName, w[0])
	}
	return nil
}

// oneFile returns the only positional argument, the manifest.
func oneFile(c *cli.Context) (string, error) {
	switch w := words(c); {
	case len(w) == 0:
		return "", usage(c, "the manifest is missing")
	case len(w) > 1:
		return "", usage(c, "%s takes one manifest, not %d", c.Command.HelpName, len(w))
	case w[0] == "":
		return "", usage(c, "the manifest's name is empty")
	default:
		return w[0], nil
	}
}

// oneOf refuses a value that is not among the choices.
func oneOf(flag string, choices ...string) func(*cli.Context, string) error {
	return func(c *cli.Context, value string) error {
		for _, choice := range choices {
			if value == choice {
				return nil
			}
		}
		return usage(c, "--%s is %s, not %q", flag, view.OneOf(choices), value)
	}
}
