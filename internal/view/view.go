// Package view is what people and programs read: messages, tables, reports and JSON documents.
//
// It takes values and a stream. It touches no file, network, environment or clock, and it decides
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
//   - Tables are plain ASCII. Colour never says more than the word that has it.
//   - Text that others wrote (a policy, Google, a manifest, a journal) is never printed raw. A [Stream] sees to
//     that: it is no io.Writer, so that nothing reaches it but what this package has made safe.
package view

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/manifest"
	"github.com/taskiam/taskiam/internal/visible"
)

// Document is what a command reports: marshalled as JSON for programs, or shown to people.
type Document interface {
	// Show adds the document to a report for people.
	Show(r *Report)
}

// Write writes a document in the form that was asked for.
func Write(to *Stream, d Document, asJSON bool) error {
	if asJSON {
		return JSON(to, d)
	}
	var r Report
	d.Show(&r)
	return r.Print(to)
}

// JSON writes a value as a document for programs. In JSON a character that could change what a terminal shows
// can only stand inside a string, where the escape means the same.
func JSON(to *Stream, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	if err == nil {
		err = RawJSON(to, b.Bytes())
	}
	if err != nil {
		return fmt.Errorf("writing the JSON document: %w", err)
	}
	return nil
}

// RawJSON writes a document that is JSON already, escaped like those of [JSON].
func RawJSON(to *Stream, document []byte) error {
	to.document.Store(true)
	_, err := to.beside().Write(escapeJSON(document))
	return err
}

func escapeJSON(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		if r == '\n' || r == '\t' || visible.Rune(r) {
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

// Say writes one message to people, every line of it with the prefix. An argument cannot begin another line.
func Say(to *Stream, format string, args ...any) {
	var r Report
	r.Text(strings.TrimRight(fmt.Sprintf(format, inline(args)...), "\n"))
	r.Say(to)
}

func say(to *Stream, text string) {
	var b strings.Builder
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		b.WriteString(strings.TrimRight(prefix+line, " ") + "\n")
	}
	// An error has no other place to go to than standard error.
	_ = to.say(b.String())
}

// Error says what went wrong, and after each error what to do about it. Of a manifest it says everything that is wrong.
func Error(to *Stream, err error) {
	if problems, ok := errors.AsType[manifest.Problems](err); ok {
		for _, p := range problems {
			sayLines(to, "error: ", p.String())
			for _, hint := range []string{p.Fix, p.Or} {
				if hint != "" {
					sayLines(to, "hint: ", hint)
				}
			}
		}
		return
	}
	parts := fault.Parts(err)
	for i, part := range parts {
		sayLines(to, "error: ", part.Err.Error())
		if i+1 < len(parts) && slices.Equal(part.Hints, parts[i+1].Hints) {
			continue // what helps against several is said after the last of them
		}
		for _, hint := range part.Hints {
			sayLines(to, "hint: ", hint)
		}
	}
}

// sayLines says a text that may have several lines. All but the first are indented: no line of somebody else's can
// pass for an error or a hint of ours.
func sayLines(to *Stream, word, text string) {
	first, more, _ := strings.Cut(redact(text), "\n")
	Say(to, "%s%s", word, first)
	for line := range strings.Lines(more) {
		Say(to, "  %s", strings.TrimSuffix(line, "\n"))
	}
}

// Tell writes one line of a command's own output.
func Tell(to *Stream, format string, args ...any) error {
	var r Report
	r.Line(format, args...)
	return r.Print(to)
}

// message returns what an error says; "" for none.
func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
