package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/fault"
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
	var cmd *cli.Command
	commands := app.Commands
	for _, word := range path {
		found := false
		for _, c := range commands {
			if c.HasName(word) {
				cmd, commands, found = c, c.Subcommands, true
				break
			}
		}
		if !found {
			return fault.WithHint(fault.New(fault.Usage, "there is no command %q", strings.Join(path, " ")),
				"taskiam --help")
		}
	}
	return e.showHelp(cmd)
}

// showAppHelp prints the help of taskiam itself.
func (e *Env) showAppHelp(app *cli.App) error {
	var r view.Report
	r.Prose(app.Name + " " + app.Usage)
	r.Line("")
	r.Text("Example:\n" + indented(app.UsageText) + "\n")
	r.Line("Usage: %s %s\n", app.Name, app.ArgsUsage)
	r.Prose(app.Description)
	r.Line("")
	r.Line("Commands:")
	helpCommands(&r, app.Commands)
	r.Line("\nFor the help of one command: %s COMMAND --help", app.Name)
	r.Line("\nEnvironment:")
	r.Terms(environment)
	return r.Print(e.Stdout)
}

// showHelp prints the help of one command, its example first.
func (e *Env) showHelp(cmd *cli.Command) error {
	var r view.Report
	r.Prose(cmd.HelpName + ": " + cmd.Usage)
	r.Line("")
	if cmd.UsageText != "" {
		r.Text("Example:\n" + indented(cmd.UsageText) + "\n")
	}
	r.Line("Usage: %s", strings.TrimSpace(cmd.HelpName+" [flags] "+cmd.ArgsUsage))
	if len(cmd.Aliases) > 0 {
		r.Line("Also: %s", strings.Join(cmd.Aliases, ", "))
	}
	if cmd.Description != "" {
		r.Line("")
		r.Prose(cmd.Description)
	}
	if len(cmd.Subcommands) > 0 {
		r.Line("\nCommands:")
		helpCommands(&r, cmd.Subcommands)
	}
	r.Line("\nFlags:")
	helpFlags(&r, cmd.Flags)
	return r.Print(e.Stdout)
}

func helpCommands(r *view.Report, commands []*cli.Command) {
	var terms [][2]string
	for _, c := range visible(commands) {
		terms = append(terms, [2]string{strings.Join(c.Names(), ", "), c.Usage})
	}
	r.Terms(terms)
}

// helpFlags explains each flag.
func helpFlags(r *view.Report, flags []cli.Flag) {
	r.Terms(flagTerms(flags))
}

// flagTerms returns each flag with what it is for. Values are called what the usage text has in
// backticks, as in package flag. A usage text "`NAME`: what it is" is shown without the name.
func flagTerms(flags []cli.Flag) [][2]string {
	var terms [][2]string
	for _, f := range flags {
		doc, ok := f.(cli.DocGenerationFlag)
		if !ok {
			continue
		}
		var names []string
		for _, n := range f.Names() {
			if len(n) == 1 {
				names = append(names, "-"+n)
			} else {
				names = append(names, "--"+n)
			}
		}
		value, usage := "", doc.GetUsage()
		if before, rest, ok := strings.Cut(usage, "`"); ok {
			name, after, _ := strings.Cut(rest, "`")
			value, usage = " "+name, strings.TrimPrefix(before+name+after, name+": ")
		} else if doc.TakesValue() {
			value = " VALUE"
		}
		if text := doc.GetDefaultText(); doc.TakesValue() && text != "" && text != "0s" {
			usage += fmt.Sprintf(" (default %s)", text)
		}
		terms = append(terms, [2]string{strings.Join(names, ", ") + value, usage})
	}
	return append(terms, [2]string{"--help, -h", "show this help"})
}

func indented(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ")
}
