// Package view is what people and programs read: messages, tables, reports and JSON documents.
//
// It takes values and a writer. It touches no file, network, environment or clock, and it decides
// nothing: what is true of a run comes from packages journal and lifecycle, and which stream and which
// form a person asked for is known to package cli.
//
// How taskiam talks:
//
//   - Standard output carries the data that was asked for, or nothing.
//   - Everything else goes to standard error, each line with a "taskiam: " prefix.
//   - Messages begin with a lower-case letter and end without a full stop.
//   - An error is one "error:" line and its "hint:" lines. A hint is a next step,
//     and where possible a command that can be pasted.
//   - Tables are plain ASCII. There is no colour, so there is none to turn off.
//   - Text that others wrote (a policy, Google, a manifest, a journal) is never printed raw: every
//     message and report passes a [Writer], and every JSON document is escaped by [JSON].
package view

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/manifest"
)

// Document is what a command reports: marshalled as JSON for programs, or shown to people.
type Document interface {
	// Show adds the document to a report for people.
	Show(r *Report)
}

// Write writes a document in the form that was asked for.
func Write(w io.Writer, d Document, asJSON bool) error {
	if asJSON {
		return JSON(w, d)
	}
	var r Report
	d.Show(&r)
	return r.Print(w)
}

// JSON writes a value as a document for programs. In JSON a character that could change what a terminal shows
// can only stand inside a string, where the escape means the same.
func JSON(w io.Writer, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	if err == nil {
		_, err = w.Write(escapeJSON(b.Bytes()))
	}
	if err != nil {
		return fmt.Errorf("writing the JSON document: %w", err)
	}
	return nil
}

func escapeJSON(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		if r == '\n' || unicode.IsPrint(r) {
			out = append(out, b[:size]...)
		} else {
			for _, unit := range utf16.AppendRune(nil, r) {
				out = fmt.Appendf(out, `\u%04x`, unit)
			}
		}
		b = b[size:]
	}
	return out
}

const prefix = "taskiam: "

// Say writes one message to people, every line of it with the prefix.
func Say(w io.Writer, format string, args ...any) {
	text := strings.TrimRight(fmt.Sprintf(format, args...), "\n")
	var b strings.Builder
	for line := range strings.SplitSeq(text, "\n") {
		b.WriteString(strings.TrimRight(prefix+line, " ") + "\n")
	}
	// An error has no other place to go to than standard error.
	_, _ = io.WriteString(w, b.String())
}

// Error says what went wrong and what to do next. Of a manifest it says everything that is wrong.
func Error(w io.Writer, err error) {
	if problems, ok := errors.AsType[manifest.Problems](err); ok {
		for _, p := range problems {
			Say(w, "error: %s", p)
			for _, hint := range []string{p.Fix, p.Or} {
				if hint != "" {
					Say(w, "hint: %s", hint)
				}
			}
		}
		return
	}
	for _, line := range messages(err) {
		Say(w, "error: %s", line)
	}
	for _, hint := range fault.Hints(err) {
		Say(w, "hint: %s", hint)
	}
}

// Tell writes one line of a command's own output.
func Tell(w io.Writer, format string, args ...any) error {
	var r Report
	r.Line(format, args...)
	return r.Print(w)
}

// messages returns the message of every error that err joins, each once, or its only one.
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

// message returns what an error says; "" for none.
func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
