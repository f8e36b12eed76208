package credentials

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/lazy"
	"github.com/taskiam/taskiam/internal/shell"
)

// Formats are the forms that [Format] writes.
var Formats = []string{"shell", "fish", "powershell", "direnv", "github", "dotenv", "json"}

// Format writes the variables in one of [Formats]:
//
//   - shell, for eval in sh, bash, dash and zsh. It unsets [Competing] variables and those in
//     unset, and reads a variable that is a secret from its file.
//   - fish and powershell, the same for these shells: see [formatFish] and [formatPowerShell].
//   - direnv, for an .envrc: the shell's, and direnv reads it anew when the delivery changes.
//   - github, for the file that $GITHUB_ENV names: NAME=value lines. It can unset nothing, only
//     set what is in unset, which [Blanks] returns, to a value that means nothing. Variables that
//     are secrets are left out.
//   - dotenv, one NAME=value a line, for docker run --env-file and the like. Variables
//     that are secrets are left out, because CI systems store such files.
//   - json, one object of names and values, without secrets as well.
//
// A value that cannot be written in the format is a [fault.Usage].
func Format(vars []delivery.Var, format string, unset ...string) (string, error) {
	for _, v := range vars {
		if !namePattern().MatchString(v.Name) {
			return "", fmt.Errorf("%q is not the name of a variable", v.Name)
		}
		if strings.ContainsRune(v.Value+v.File, 0) {
			return "", fault.New(fault.Usage, "the value of %s has a NUL byte in it", v.Name)
		}
	}
	switch format {
	case "shell":
		return formatShell(vars, unset), nil
	case "fish":
		return formatFish(vars, unset), nil
	case "powershell":
		return formatPowerShell(vars, unset), nil
	case "direnv":
		return formatDirenv(vars, unset), nil
	case "github":
		return formatGitHub(vars, unset)
	case "dotenv":
		return formatDotenv(vars)
	case "json":
		return formatJSON(vars)
	default:
		return "", fault.New(fault.Usage, "there is no format %q; there are %s", format, strings.Join(Formats, ", "))
	}
}

var namePattern = lazy.Regexp(`^[A-Za-z_][A-Za-z0-9_]*$`)

func formatShell(vars []delivery.Var, unset []string) string {
	var b strings.Builder
	b.WriteString("unset " + strings.Join(competingWith(vars, unset), " ") + "\n")
	for _, v := range vars {
		if v.File != "" {
			fmt.Fprintf(&b, "export %s=\"$(cat %s)\"\n", v.Name, shell.Quote(v.File))
		} else {
			fmt.Fprintf(&b, "export %s=%s\n", v.Name, shell.Quote(v.Value))
		}
	}
	return b.String()
}

// competingWith returns the names of [Competing], and more, that are none of the variables.
func competingWith(vars []delivery.Var, more []string) []string {
	return slices.DeleteFunc(append(Competing(), more...), func(name string) bool {
		return slices.ContainsFunc(vars, func(v delivery.Var) bool { return v.Name == name })
	})
}

// formatFish writes for fish, whose single quotes know two escapes: of a quote and of a backslash.
func formatFish(vars []delivery.Var, unset []string) string {
	quote := func(s string) string { return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'" }
	var b strings.Builder
	b.WriteString("set -e " + strings.Join(competingWith(vars, unset), " ") + "\n")
	for _, v := range vars {
		if v.File != "" {
			fmt.Fprintf(&b, "set -gx %s (cat %s)\n", v.Name, quote(v.File))
		} else {
			fmt.Fprintf(&b, "set -gx %s %s\n", v.Name, quote(v.Value))
		}
	}
	return b.String()
}

// formatPowerShell writes for PowerShell, whose single quotes know one escape: a quote twice. It takes typographic
// quotes for the plain one.
func formatPowerShell(vars []delivery.Var, unset []string) string {
	quote := func(s string) string {
		return "'" + quotesOfPowerShell().ReplaceAllString(s, "$0$0") + "'"
	}
	var b strings.Builder
	for _, name := range competingWith(vars, unset) {
		fmt.Fprintf(&b, "Remove-Item -ErrorAction Ignore Env:%s\n", name)
	}
	for _, v := range vars {
		if v.File != "" {
			fmt.Fprintf(&b, "$env:%s = (Get-Content -Raw -LiteralPath %s).TrimEnd()\n", v.Name, quote(v.File))
		} else {
			fmt.Fprintf(&b, "$env:%s = %s\n", v.Name, quote(v.Value))
		}
	}
	return b.String()
}

var quotesOfPowerShell = lazy.Regexp("['\u2018\u2019\u201a\u201b]")

// formatDirenv writes for an .envrc, which bash reads. direnv itself takes the variables back when the folder is left.
func formatDirenv(vars []delivery.Var, unset []string) string {
	var watch string
	for _, v := range vars {
		if v.File != "" {
			watch += "watch_file " + shell.Quote(v.File) + "\n"
		}
	}
	return watch + formatShell(vars, unset)
}

// formatGitHub writes for $GITHUB_ENV.
func formatGitHub(vars []delivery.Var, blank []string) (string, error) {
	exported := func(name string) bool {
		return slices.ContainsFunc(vars, func(v delivery.Var) bool { return v.Name == name && v.File == "" })
	}
	var b strings.Builder
	for _, name := range blank {
		if !exported(name) {
			b.WriteString(name + "=" + neutral[name] + "\n")
		}
	}
	for _, v := range vars {
		switch {
		case v.File != "":
		case strings.ContainsAny(v.Value, "\r\n"):
			// It could be read as further variables.
			return "", fault.New(fault.Usage, "the value of %s has more than one line: %q", v.Name, v.Value)
		default:
			b.WriteString(v.Name + "=" + v.Value + "\n")
		}
	}
	return b.String(), nil
}

// FormatUnset writes what takes variables away, for the shells among [Formats].
func FormatUnset(vars []delivery.Var, format string) (string, error) {
	var names []string
	for _, v := range vars {
		names = append(names, v.Name)
	}
	switch format {
	case "shell":
		return "unset " + strings.Join(names, " ") + "\n", nil
	case "fish":
		return "set -e " + strings.Join(names, " ") + "\n", nil
	case "powershell":
		return "Remove-Item -ErrorAction Ignore Env:" + strings.Join(names, ",Env:") + "\n", nil
	}
	return "", fault.New(fault.Usage, "nothing is unset in the format %s: it is for shell, fish and powershell", format)
}

// plain matches values that every reader of dotenv files understands without quotes.
var plain = lazy.Regexp(`^[A-Za-z0-9_./:@%+,=-]*$`)

func formatDotenv(vars []delivery.Var) (string, error) {
	var b strings.Builder
	for _, v := range vars {
		switch {
		case v.File != "":
			continue
		case plain().MatchString(v.Value):
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
