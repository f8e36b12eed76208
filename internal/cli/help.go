package cli

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/command"
	"github.com/taskiam/taskiam/internal/view"
)

// newHelpCmd declares `help [COMMAND]`, which is what people try first.
func newHelpCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name:      "help",
		Usage:     "show the help of a command",
		UsageText: "taskiam help run",
		ArgsUsage: "[COMMAND]",
		Action: func(c *cli.Context) error {
			return runHelp(c.Context, e, c.App, words(c))
		},
	}
}

func runHelp(_ context.Context, e *Env, app *cli.App, path []string) error {
	if len(path) == 0 {
		return e.showAppHelp(app)
	}
	cmd, err := command.Find(app, path)
	if err != nil {
		return err
	}
	var r view.Report
	command.Help(&r, cmd)
	return r.Print(e.Stdout)
}

// showAppHelp prints the help of taskiam itself.
func (e *Env) showAppHelp(app *cli.App) error {
	var r view.Report
	command.HelpOfProgram(&r, app, environment)
	return r.Print(e.Stdout)
}
