package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/manifest"
)

// How taskiam talks:
//
//   - Standard output carries the data that was asked for, or nothing.
//   - Everything else goes to standard error, each line with a "taskiam: " prefix.
//   - Messages begin with a lower-case letter and end without a full stop.
//   - An error is one "error:" line and its "hint:" lines. A hint is a next step,
//     and where it can be a command, one that can be pasted.
//   - Tables are plain ASCII. There is no colour, so there is none to turn off.

const talkPrefix = "taskiam: "

// say writes one message to standard error, every line of it with the prefix.
func (e *Env) say(format string, args ...any) {
	text := strings.TrimRight(fmt.Sprintf(format, args...), "\n")
	var b strings.Builder
	for line := range strings.SplitSeq(text, "\n") {
		b.WriteString(talkPrefix + line + "\n")
	}
	// There is nobody left to tell if standard error is gone.
	_, _ = io.WriteString(e.talk, b.String())
}

// sayError writes err and its hints. Of a manifest it tells everything that is wrong.
func (e *Env) sayError(err error) {
	if problems, ok := errors.AsType[manifest.Problems](err); ok {
		for _, p := range problems {
			e.say("error: %s", p)
			if p.Fix != "" {
				e.say("hint: %s", p.Fix)
			}
			if p.Or != "" {
				e.say("hint: %s", p.Or)
			}
		}
		return
	}
	for _, line := range messages(err) {
		e.say("error: %s", line)
	}
	for _, hint := range fault.Hints(err) {
		e.say("hint: %s", hint)
	}
}

// messages returns the message of every error that err joins, each once, or its only
// one.
func messages(err error) []string {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		// Hints and exit codes wrap an error without a word of their own.
		if inner := errors.Unwrap(err); inner != nil && inner.Error() == err.Error() {
			return messages(inner)
		}
		return []string{err.Error()}
	}
	var out []string
	for _, e := range joined.Unwrap() {
		for _, m := range messages(e) {
			if !slices.Contains(out, m) {
				out = append(out, m)
			}
		}
	}
	return out
}

// printJSON writes one document to standard output.
func (e *Env) printJSON(document any) error {
	enc := json.NewEncoder(e.Stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(document); err != nil {
		return fmt.Errorf("writing the JSON document: %w", err)
	}
	return nil
}

// report gathers what a command prints for people, columns aligned.
type report struct {
	text strings.Builder
	tab  *tabwriter.Writer
}

func newReport() *report {
	r := &report{}
	r.tab = tabwriter.NewWriter(&r.text, 0, 0, 2, ' ', 0)
	return r
}

// row adds one line of cells, aligned with the rows around it.
func (r *report) row(cells ...string) {
	_, _ = fmt.Fprintln(r.tab, strings.Join(cells, "\t")) // a strings.Builder takes everything
}

// line adds one line as it is, and ends the table before it.
func (r *report) line(format string, args ...any) {
	_ = r.tab.Flush()
	fmt.Fprintf(&r.text, format+"\n", args...)
}

// String returns the text, without spaces at the ends of lines.
func (r *report) String() string {
	_ = r.tab.Flush()
	var b strings.Builder
	for line := range strings.Lines(r.text.String()) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return b.String()
}

// print writes the report to standard output.
func (e *Env) print(r *report) error {
	if _, err := io.WriteString(e.Stdout, r.String()); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

// span writes a length of time as people say it: 850ms, 2.4s, 1h30m.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + span(-d)
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	text := d.Round(time.Second).String()
	if d >= 10*time.Minute {
		text = d.Round(time.Minute).String()
	}
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// moment writes a point in time.
func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
