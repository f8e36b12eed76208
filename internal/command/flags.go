package command

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/spelling"
)

// UsageError turns a complaint of package flag, of which there is no more than the text, into one of ours.
func UsageError(c *cli.Context, err error, _ bool) error {
	flags := c.App.Flags
	if c.Command != nil {
		flags = c.Command.Flags
	}
	text := err.Error()
	if name, ok := strings.CutPrefix(text, "flag provided but not defined: -"); ok {
		name = strings.TrimLeft(name, "-") // the library drops one of two dashes
		err := Usage(c, "there is no flag %s", dashed(name))
		if near := nearestFlag(flags, name); near != "" {
			err = fault.WithHint(err, fmt.Sprintf("did you mean %s?", dashed(near)))
		}
		return err
	}
	if name, ok := strings.CutPrefix(text, "flag needs an argument: -"); ok {
		name = strings.TrimLeft(name, "-")
		return Usage(c, "%s needs a value: %s %s", dashed(name), dashed(name), valueName(flags, name))
	}
	if value, name, why, ok := invalid(text); ok {
		return Usage(c, "%s", refusedValue(flags, name, value, why))
	}
	word, _ := strings.CutPrefix(text, "bad flag syntax: ")
	return Usage(c, "%q is not a flag", word)
}

// dashed returns a flag as it is written.
func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// invalid takes apart what package flag says of a value: invalid value "V" for flag -NAME: WHY, and
// the same of boolean values.
func invalid(text string) (value, name, why string, ok bool) {
	_, rest, ok := strings.Cut(text, `value "`)
	if !ok {
		return "", "", "", false
	}
	if value, rest, ok = strings.Cut(rest, `" for `); !ok {
		return "", "", "", false
	}
	name, why, _ = strings.Cut(strings.TrimPrefix(rest, "flag "), ": ")
	return value, strings.TrimLeft(name, "-"), why, true
}

// refusedValue says what a flag takes in the place of the value.
func refusedValue(flags []cli.Flag, name, value, why string) string {
	at := slices.IndexFunc(flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) })
	if at < 0 {
		return fmt.Sprintf("%s does not take %q", dashed(name), value)
	}
	switch flags[at].(type) {
	case *cli.DurationFlag:
		return fmt.Sprintf("%s is a duration such as 90s, 15m or 2h, not %q", dashed(name), value)
	case *cli.BoolFlag:
		return fmt.Sprintf("%s takes no value, not %q", dashed(name), value)
	case *cli.GenericFlag:
		return why // its own Set says it
	default:
		return fmt.Sprintf("%s does not take %q", dashed(name), value)
	}
}

// valueName returns what the help calls the value of a flag.
func valueName(flags []cli.Flag, name string) string {
	for _, f := range flags {
		doc, ok := f.(cli.DocGenerationFlag)
		if ok && slices.Contains(f.Names(), name) {
			if parts := strings.SplitN(doc.GetUsage(), "`", 3); len(parts) == 3 {
				return parts[1]
			}
		}
	}
	return "VALUE"
}

// nearestFlag returns the flag that was probably meant, "" if none is near.
func nearestFlag(flags []cli.Flag, word string) string {
	var names []string
	for _, f := range flags {
		if shown, ok := f.(cli.VisibleFlag); ok && !shown.IsVisible() {
			continue
		}
		names = append(names, slices.DeleteFunc(slices.Clone(f.Names()), func(n string) bool { return len(n) == 1 })...)
	}
	return spelling.Nearest(word, names)
}
