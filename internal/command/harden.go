// Package command is what the command lines of our programs have in common: what is changed in urfave/cli, where flags
// may stand, how a mistake is told, what help has, and the commands that more than one program has.
//
// It prints nothing and knows no exit code.
package command

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/fault"
)

// Harden changes, for every command in one place, what urfave/cli does in ways that harm us:
//
//   - Its exit handler ends the process inside Run on anything with an ExitCode
//     method, which an *exec.ExitError of CMD's has, and skips our defers.
//   - A bad flag prints help to standard output, unless every single command has an
//     OnUsageError; the app's own is not inherited.
//   - Its help looks topics up among positional arguments, prints help for a group
//     without a command and exits with 0, and its help flag is a package variable
//     that two apps in one process race for. So help is a command of ours, and
//     [Arrange] makes that of the flag.
//   - List values split at commas, which conditions contain.
//
// help shows the help of the program itself.
func Harden(app *cli.App, help func() error) {
	app.ExitErrHandler = func(*cli.Context, error) {}
	app.DisableSliceFlagSeparator = true
	app.HideHelp, app.HideHelpCommand, app.HideVersion = true, true, true
	app.OnUsageError = UsageError
	app.Action = func(c *cli.Context) error {
		if c.Args().First() == "" {
			return help()
		}
		return UnknownCommand(c)
	}
	app.Setup() // names the commands

	var walk func(commands []*cli.Command)
	walk = func(commands []*cli.Command) {
		for _, cmd := range commands {
			cmd.HideHelp, cmd.HideHelpCommand = true, true
			if cmd.OnUsageError == nil {
				cmd.OnUsageError = UsageError
			}
			for _, sub := range cmd.Subcommands {
				sub.HelpName = cmd.HelpName + " " + sub.Name
			}
			walk(cmd.Subcommands)
		}
	}
	walk(app.Commands)
}

// Usage returns an error about the command line; its hint is how to show the help of the command.
func Usage(c *cli.Context, format string, args ...any) error {
	return fault.WithHint(fault.New(fault.Usage, format, args...), helpLine(c))
}

func helpLine(c *cli.Context) string {
	name := c.App.Name
	if c.Command != nil && c.Command.HelpName != "" {
		name = c.Command.HelpName
	}
	return name + " --help"
}

// UnknownCommand is the action of a command that has subcommands, if it was given no word
// or one that names none of them.
func UnknownCommand(c *cli.Context) error {
	word := c.Args().First()
	if word == "" {
		return Usage(c, "the command is missing")
	}
	commands := c.App.Commands
	if c.Command != nil && len(c.Command.Subcommands) > 0 {
		commands = c.Command.Subcommands
	}
	err := Usage(c, "there is no command %q", word)
	if near := nearest(commands, word); near != "" {
		err = fault.WithHint(err, fmt.Sprintf("did you mean %q?", near))
	}
	return err
}

// nearest returns the command that was probably meant, "" if none is near.
func nearest(commands []*cli.Command, word string) string {
	_, after, _ := strings.Cut(cli.SuggestCommand(Visible(commands), word), `"`)
	name, _, _ := strings.Cut(after, `"`)
	return name
}

// Visible returns the commands that people call.
func Visible(commands []*cli.Command) []*cli.Command {
	var out []*cli.Command
	for _, c := range commands {
		if !c.Hidden {
			out = append(out, c)
		}
	}
	return out
}

// Words returns the positional arguments. The "--" that ends the flags is not one
// of them.
func Words(c *cli.Context) []string {
	args := c.Args().Slice()
	for i, a := range args {
		if a == "--" {
			return append(args[:i:i], args[i+1:]...)
		}
	}
	return args
}

// Action returns the action of a command from its two halves: parse reads the command line,
// and run does the work.
func Action[O any](parse func(*cli.Context) (O, error), run func(context.Context, O) error) cli.ActionFunc {
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

// NoArguments refuses positional arguments.
func NoArguments(c *cli.Context) error {
	if w := Words(c); len(w) > 0 {
		return Usage(c, "%s takes no arguments, not %q", c.Command.HelpName, w[0])
	}
	return nil
}
