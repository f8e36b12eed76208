package command

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/fault"
)

// Page is what help is written on.
type Page interface {
	Line(format string, args ...any)
	Text(text string)
	Prose(text string)
	// Terms adds names and what they mean in two columns.
	Terms(terms [][2]string)
}

// Find returns the command that the words name: the one of the first, a command of that, and so on.
func Find(app *cli.App, path []string) (*cli.Command, error) {
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
			return nil, fault.WithHint(fault.New(fault.Usage, "there is no command %q", strings.Join(path, " ")),
				"taskiam --help")
		}
	}
	return cmd, nil
}

// HelpOfProgram writes the help of the program itself, with the variables that it reads.
func HelpOfProgram(r Page, app *cli.App, environment [][2]string) {
	r.Prose(app.Name + " " + app.Usage)
	r.Line("")
	r.Text("Example:\n" + indented(app.UsageText) + "\n")
	r.Line("Usage: %s %s\n", app.Name, app.ArgsUsage)
	r.Prose(app.Description)
	r.Line("")
	r.Line("Commands:")
	helpCommands(r, app.Commands)
	r.Line("\nFor the help of one command: %s COMMAND --help", app.Name)
	if len(environment) > 0 {
		r.Line("\nEnvironment:")
		r.Terms(environment)
	}
}

// Help writes the help of one command, its example first.
func Help(r Page, cmd *cli.Command) {
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
		helpCommands(r, cmd.Subcommands)
	}
	r.Line("\nFlags:")
	r.Terms(FlagTerms(cmd.Flags))
}

func helpCommands(r Page, commands []*cli.Command) {
	var terms [][2]string
	for _, c := range Visible(commands) {
		terms = append(terms, [2]string{strings.Join(c.Names(), ", "), c.Usage})
	}
	r.Terms(terms)
}

// FlagTerms returns each flag with what it is for. Values are called what the usage text has in
// backticks, as in package flag. A usage text "`NAME`: what it is" is shown without the name.
func FlagTerms(flags []cli.Flag) [][2]string {
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
