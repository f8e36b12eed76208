package credentials

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/shell"
)

// Formats are the forms that [Format] writes.
var Formats = []string{"shell", "dotenv", "json"}

// Format writes the variables in one of [Formats]:
//
//   - shell, for eval in sh, bash, dash and zsh. It unsets [Competing] variables, and
//     reads a variable that is a secret from its file.
//   - dotenv, one NAME=value a line, for docker run --env-file and the like. Variables
//     that are secrets are left out, because CI systems store such files.
//   - json, one object of names and values, without secrets as well.
//
// A value that cannot be written in the format is a [fault.Usage].
func Format(vars []delivery.Var, format string) (string, error) {
	for _, v := range vars {
		if !namePattern.MatchString(v.Name) {
			return "", fmt.Errorf("%q is not the name of a variable", v.Name)
		}
		if strings.ContainsRune(v.Value+v.File, 0) {
			return "", fault.New(fault.Usage, "the value of %s has a NUL byte in it", v.Name)
		}
	}
	switch format {
	case "shell":
		return formatShell(vars), nil
	case "dotenv":
		return formatDotenv(vars)
	case "json":
		return formatJSON(vars)
	default:
		return "", fault.New(fault.Usage, "there is no format %q; there are %s", format, strings.Join(Formats, ", "))
	}
}

var namePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func formatShell(vars []delivery.Var) string {
	var b strings.Builder
	var unset []string
	for _, name := range Competing() {
		if !slices.ContainsFunc(vars, func(v delivery.Var) bool { return v.Name == name }) {
			unset = append(unset, name)
		}
	}
	b.WriteString("unset " + strings.Join(unset, " ") + "\n")
	for _, v := range vars {
		if v.File != "" {
			fmt.Fprintf(&b, "export %s=\"$(cat %s)\"\n", v.Name, shell.Quote(v.File))
		} else {
			fmt.Fprintf(&b, "export %s=%s\n", v.Name, shell.Quote(v.Value))
		}
	}
	return b.String()
}

// plain matches values that every reader of dotenv files understands without quotes.
var plain = regexp.MustCompile(`^[A-Za-z0-9_./:@%+,=-]*$`)

func formatDotenv(vars []delivery.Var) (string, error) {
	var b strings.Builder
	for _, v := range vars {
		switch {
		case v.File != "":
			continue
		case plain.MatchString(v.Value):
			b.WriteString(v.Name + "=" + v.Value + "\n")
		case strings.ContainsAny(v.Value, "'\r\n"):
			// Readers know different escapes; in single quotes, none of them knows any.
			return "", fault.New(fault.Usage, "the value of %s cannot be written to a dotenv file: %q", v.Name, v.Value)
		default:
			b.WriteString(v.Name + "='" + v.Value + "'\n")
		}
	}
	return b.String(), nil
}

func formatJSON(vars []delivery.Var) (string, error) {
	m := map[string]string{}
	for _, v := range vars {
		if v.File == "" {
			m[v.Name] = v.Value
		}
	}
	b, err := json.MarshalIndent(m, "", "  ")
	return string(b) + "\n", err
}
