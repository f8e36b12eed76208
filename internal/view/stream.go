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
	people   *Writer
	document atomic.Bool // whether a JSON document was written
}

// NewStream returns the stream that writes to w.
func NewStream(w io.Writer) *Stream { return &Stream{raw: w, people: NewWriter(w)} }

// People returns a writer for lines that people read: it escapes what they could not see. An unfinished line is
// held back until it ends.
func (s *Stream) People() io.Writer { return s.people }

// Programs returns a writer for what a shell or a program reads, which cannot be escaped. It refuses what a
// terminal would act on, should a person look.
func (s *Stream) Programs() io.Writer { return programs{s.raw} }

// Child returns what is behind the stream, for a process that writes there itself: the command of a run.
func (s *Stream) Child() io.Writer { return s.raw }

// HasDocument reports whether a JSON document was written to the stream.
func (s *Stream) HasDocument() bool { return s.document.Load() }

// Flush writes the unfinished line that was held back.
func (s *Stream) Flush() error { return s.people.Flush() }

// say writes lines for people. They are cleaned by themselves: what came before cannot hide them.
func (s *Stream) say(text string) error {
	if text == "" {
		return nil
	}
	s.people.mu.Lock()
	defer s.people.mu.Unlock()
	_, err := io.WriteString(s.raw, visible.Text(strings.TrimSuffix(redact(text), "\n")+"\n"))
	return err
}

type programs struct{ to io.Writer }

func (p programs) Write(b []byte) (int, error) {
	if at := visible.First(string(b)); at >= 0 {
		r, _ := utf8.DecodeRune(b[at:])
		return 0, fmt.Errorf("text for a program cannot be escaped, and this holds %U, which a terminal may act on",
			r)
	}
	return p.to.Write(b)
}
