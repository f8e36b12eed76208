package cli

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/command"
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
			newTrustCmd(e),
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
			newConnectCmd(e),
			newDemoCmd(e),
			newDemoAgentCmd(e),
			newIsolatedCmd(e),
			newVersionCmd(e),
			newCompletionCmd(e),
			newCompleteCmd(e),
			newHelpCmd(e),
		},
	}
	command.Harden(app, func() error { return e.showAppHelp(app) })
	addDebug(app.Commands, e)
	return app
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

// What both command lines have, by the names that it has here.

func usage(c *cli.Context, format string, args ...any) error {
	return command.Usage(c, format, args...)
}

func unknownCommand(c *cli.Context) error { return command.UnknownCommand(c) }

func visible(commands []*cli.Command) []*cli.Command { return command.Visible(commands) }

func words(c *cli.Context) []string { return command.Words(c) }

func noArguments(c *cli.Context) error { return command.NoArguments(c) }

func action[O any](parse func(*cli.Context) (O, error), run func(context.Context, O) error) cli.ActionFunc {
	return command.Action(parse, run)
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
