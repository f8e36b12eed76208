package view

import (
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"github.com/taskiam/taskiam/internal/visible"
)

// Stream is a standard stream as commands have it. It is no io.Writer, so that nothing can be printed on it by
// accident: reports, messages and documents go through the functions of this package, which make everything safe
// that others may have written, and the rest is one of its three writers.
type Stream struct {
	raw      io.Writer
	form     Form
	screen   *screen
	people   *Writer
	document atomic.Bool // whether a JSON document was written
}

// NewStream returns the stream that writes to w, which is no terminal.
func NewStream(w io.Writer) *Stream { return newStream(w, Form{}, &screen{}) }

// Streams returns the standard streams of a process, each in the form that formOf finds for it. While something is
// waited for, the line that says so is shown below the output of both, on standard error.
func Streams(stdout, stderr io.Writer, formOf func(io.Writer) Form) (out, errs *Stream) {
	form := formOf(stderr)
	s := &screen{to: stderr, form: form}
	return newStream(stdout, formOf(stdout), s), newStream(stderr, form, s)
}

func newStream(w io.Writer, f Form, s *screen) *Stream {
	out := &Stream{raw: w, form: f, screen: s}
	out.people = NewWriter(out.beside())
	return out
}

// safe is text on which no terminal acts: [show] has made it of whatever others wrote.
type safe string

// show makes text safe to look at, without the secrets that are in it.
func show(text string) safe { return safe(visible.Text(redact(text))) }

// showLine is like [show] for text that stays on one line.
func showLine(text string) safe { return safe(visible.Line(redact(text))) }

// People returns a writer for lines that people read: it escapes what they could not see. An unfinished line is
// held back until it ends.
func (s *Stream) People() io.Writer { return s.people }

// Programs returns a writer for what a shell or a program reads, which cannot be escaped. It refuses what a
// terminal would act on, should a person look.
func (s *Stream) Programs() io.Writer { return programs{s.beside()} }

// Child returns what is behind the stream, for a process that writes there itself, such as the command of a run.
// Nothing is waited for in view until [Stream.Back].
func (s *Stream) Child() io.Writer {
	s.screen.leave()
	return s.raw
}

// Back says that the process which had the stream has ended.
func (s *Stream) Back() { s.screen.back() }

// IsTerminal reports whether the stream is one.
func (s *Stream) IsTerminal() bool { return s.form.Columns != nil }

// HasDocument reports whether a JSON document was written to the stream.
func (s *Stream) HasDocument() bool { return s.document.Load() }

// Close writes the unfinished line that was held back. From then on nothing is shown in place: the process ends.
func (s *Stream) Close() error {
	s.screen.close()
	return s.people.Flush()
}

// say writes lines for people. They are cleaned by themselves: what came before cannot hide them.
func (s *Stream) say(text string) error {
	if text == "" {
		return nil
	}
	s.people.mu.Lock()
	defer s.people.mu.Unlock()
	clean := show(strings.TrimSuffix(redact(text), "\n") + "\n")
	if s.form.Colour != nil && s.form.Colour() {
		clean = paint(clean)
	}
	_, err := io.WriteString(s.beside(), string(clean))
	return err
}

// beside returns the writer before which the line that is shown in place gives way.
func (s *Stream) beside() io.Writer { return besideLine{s} }

type besideLine struct{ *Stream }

func (b besideLine) Write(p []byte) (int, error) { return b.screen.write(b.raw, p) }

type programs struct{ to io.Writer }

func (p programs) Write(b []byte) (int, error) {
	if at := visible.First(string(b)); at >= 0 {
		r, _ := utf8.DecodeRune(b[at:])
		return 0, fmt.Errorf("text for a program cannot be escaped, and this holds %U, which a terminal may act on",
			r)
	}
	return p.to.Write(b)
}
