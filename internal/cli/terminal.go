package cli

import (
	"bufio"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/term"

	"github.com/taskiam/taskiam/internal/supervise"
	"github.com/taskiam/taskiam/internal/view"
)

// Variables with which people and programs say how output is to look: no-color.org, bixense.com/clicolors and POSIX.
const (
	envNoColour    = "NO_COLOR"
	envForceColour = "CLICOLOR_FORCE"
	envTerminal    = "TERM"
	envColumns     = "COLUMNS"
)

// Settings of colour.
const (
	colourAuto   = "auto" // on a terminal
	colourAlways = "always"
	colourNever  = "never"
)

// formOf returns how a stream is shown: what the environment says, and else what is found of the stream. colour is the
// setting of the configuration; "" is auto.
func (e *Env) formOf(colour string) func(io.Writer) view.Form {
	return func(w io.Writer) view.Form {
		var form view.Form
		f, ok := w.(*os.File)
		terminal := ok && term.IsTerminal(int(f.Fd()))
		form.Colour = func() bool { return !e.json && wantsColour(e.Getenv, terminal, colour) }
		if n, err := strconv.Atoi(e.Getenv(envColumns)); err == nil && n > 0 {
			form.Width = n
		}
		if terminal {
			form.Columns = func() int {
				if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
					return columns
				}
				return fallbackColumns
			}
			form.Live = func() bool { return !e.json && rewrites(e.Getenv) && supervise.Foreground(f) }
		}
		return form
	}
}

// fallbackColumns is for a terminal that does not say how wide it is.
const fallbackColumns = 80

// rewrites reports whether the terminal takes the sequences that rewrite a line.
func rewrites(getenv func(string) string) bool {
	name := getenv(envTerminal)
	return name != "" && name != "dumb"
}

// wantsColour reports whether a stream is coloured: what the environment says goes before the setting, and by default
// a terminal is that can show it.
func wantsColour(getenv func(string) string, terminal bool, setting string) bool {
	switch force := getenv(envForceColour); {
	case getenv(envNoColour) != "":
		return false
	case force != "" && force != "0":
		return true
	}
	switch setting {
	case colourAlways:
		return true
	case colourNever:
		return false
	default:
		return terminal && rewrites(getenv)
	}
}

// asks reports whether somebody can be asked: whether standard input is a terminal.
func (e *Env) asks() bool {
	f, ok := e.Stdin.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// agreed asks a question, and reports whether the answer is yes.
func (e *Env) agreed(question string) bool {
	e.say("%s (yes or no)", question)
	answer, err := bufio.NewReader(e.Stdin).ReadString('\n')
	return err == nil && strings.TrimSpace(answer) == "yes"
}
