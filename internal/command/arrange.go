package command

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// Arrange moves flags before positional arguments, so that they may stand on
// either side: `up task.toml --json`. The library stops at the first positional
// argument and would take what follows for more of them, silently.
//
// A --help anywhere among the flags shows the help of the command, and nothing else is
// done. What comes after "--" is never changed. A "--" is put between the flags and the
// rest; one that the person wrote stays, and the command sees it. A value after a flag
// whose value is optional is joined to the flag: `--ci github`.
func Arrange(app *cli.App, args []string) []string {
	if len(args) == 0 {
		return args
	}
	var cmd *cli.Command
	commands, at := app.Commands, 1
	for at < len(args) {
		i := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.HasName(args[at]) })
		if i < 0 {
			break
		}
		cmd = commands[i]
		commands = cmd.Subcommands
		at++
	}
	if cmd == nil {
		return withoutCommand(args)
	}
	if cmd.SkipFlagParsing {
		return args
	}

	var flags, rest []string
	for i := at; i < len(args); i++ {
		a := args[i]
		if a == "--" {
			rest = append(rest, args[i:]...)
			break
		}
		if len(a) < 2 || a[0] != '-' {
			rest = append(rest, a)
			continue
		}
		if isHelp(a) {
			return append([]string{args[0], "help"}, args[1:at]...)
		}
		if i+1 < len(args) && follows(cmd, a, args[i+1]) {
			i++
			a += "=" + args[i]
		}
		flags = append(flags, a)
		if TakesValue(cmd, a) {
			if i++; i == len(args) || args[i] == "--" {
				// Its value is missing. What comes after the flags must not be taken for it.
				return slices.Concat(args[:at], flags)
			}
			flags = append(flags, args[i])
		}
	}
	if len(rest) == 0 {
		return append(slices.Clone(args[:at]), flags...)
	}
	return slices.Concat(args[:at], flags, []string{"--"}, rest)
}

// withoutCommand makes of the flags that taskiam itself has the commands that they stand for.
func withoutCommand(args []string) []string {
	switch {
	case len(args) > 1 && isHelp(args[1]):
		return []string{args[0], "help"}
	case len(args) > 1 && args[1] == "--version":
		return slices.Concat([]string{args[0], "version"}, args[2:])
	}
	return args
}

func isHelp(word string) bool { return word == "--help" || word == "-help" || word == "-h" }

// TakesValue reports whether the word is a flag of cmd whose value is the next word.
func TakesValue(cmd *cli.Command, word string) bool {
	name := strings.TrimLeft(word, "-")
	if strings.Contains(name, "=") {
		return false
	}
	for _, f := range cmd.Flags {
		if slices.Contains(f.Names(), name) {
			switch f := f.(type) {
			case *cli.BoolFlag:
				return false
			case *cli.GenericFlag:
				// As in package flag, the value of such a flag is optional.
				optional, ok := f.Value.(interface{ IsBoolFlag() bool })
				return !ok || !optional.IsBoolFlag()
			}
			return true
		}
	}
	return false
}

// follows reports whether the word after a flag whose value is optional is that value.
func follows(cmd *cli.Command, flag, word string) bool {
	name := strings.TrimLeft(flag, "-")
	for _, f := range cmd.Flags {
		if g, ok := f.(*cli.GenericFlag); ok && slices.Contains(f.Names(), name) {
			value, ok := g.Value.(interface{ Follows(string) bool })
			return ok && value.Follows(word)
		}
	}
	return false
}
