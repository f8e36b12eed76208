package view

import (
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/clipperhouse/displaywidth"
)

// Form is how a stream is shown to people. The zero value is that of a file or a pipe.
type Form struct {
	// Columns returns how many columns the terminal has now; nil where there is no terminal.
	Columns func() int
	// Width is how wide lines are to be if that was asked for; 0 is as wide as the terminal, and 80 without one.
	Width int
	// Colour reports whether findings and states are coloured; nil is never.
	Colour func() bool
	// Live reports whether the last line of the terminal may be rewritten in place now; nil is never.
	Live func() bool
}

// screen is what the standard streams of a process share: the one line below their output that is rewritten in
// place while something is waited for. Whoever writes takes the line away first and puts it back after, so that
// output never mixes with it.
type screen struct {
	to   io.Writer // where the line is drawn; nil is nowhere
	form Form

	mu    sync.Mutex
	line  safe // what is to be seen below the output; "" is nothing
	drawn int  // the width of what is on the terminal now; 0 is nothing
	// apart says that another process has the terminal, open that our output has not ended its line, and closed
	// that the process ends: nothing is drawn then.
	apart, open, closed bool
}

// The sequences that are sent to a terminal for the line. What the line says has passed [show].
const (
	lineStart = "\r"
	eraseRest = "\x1b[K"
	eraseDown = "\x1b[J"
	lineUp    = "\x1b[%A"
)

// roomBehind is what stays free behind the line: a terminal shows ^C there, which must not begin a new line.
const roomBehind = 4

// show puts the line below the output, in the place of the one before; "" takes it away.
func (s *screen) show(line safe) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.line = line
	s.draw()
}

// live reports whether a line can be shown now.
func (s *screen) live() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.may()
}

func (s *screen) may() bool {
	return s.to != nil && s.form.Live != nil && s.form.Live() && !s.apart && !s.closed
}

// draw makes the terminal show the line, with one write, so that it does not flicker.
func (s *screen) draw() {
	if s.line == "" || s.open || !s.may() {
		s.send(s.erasure())
		return
	}
	text := string(s.line)
	if columns := s.form.columns(); displaywidth.String(text) > columns-roomBehind {
		text = displaywidth.TruncateString(text, max(columns-roomBehind, 1), "...")
	}
	begin := lineStart
	if s.drawn > s.form.columns() {
		begin = s.erasure()
	}
	s.send(begin + text + eraseRest)
	s.drawn = displaywidth.String(text)
}

// erasure returns what takes the drawn line away. A terminal that became narrower shows it in several lines.
func (s *screen) erasure() string {
	if s.drawn == 0 {
		return ""
	}
	above := (s.drawn - 1) / max(s.form.columns(), 1)
	s.drawn = 0
	if above == 0 {
		return lineStart + eraseRest
	}
	return lineStart + strings.ReplaceAll(lineUp, "%", strconv.Itoa(above)) + eraseDown
}

func (s *screen) send(sequence string) {
	if sequence != "" && s.to != nil {
		_, _ = io.WriteString(s.to, sequence) // a terminal that is gone shows nothing
	}
}

// write writes output of a stream, with the line out of its way.
func (s *screen) write(to io.Writer, p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.send(s.erasure())
	n, err := to.Write(p)
	s.open = n > 0 && p[n-1] != '\n'
	s.draw()
	return n, err
}

// leave takes the line away while another process has the terminal, and back allows it again.
func (s *screen) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.apart = true
	s.draw()
}

func (s *screen) back() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.apart, s.open = false, false
	s.draw()
}

// ended reports whether the process ends.
func (s *screen) ended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// close takes the line away for good.
func (s *screen) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.draw()
}

// columns returns how many columns there are: 80 where there is no terminal.
func (f Form) columns() int {
	if f.Columns == nil {
		return plainWidth
	}
	return f.Columns()
}

// fold returns the width to which lines are broken; 0 for none, where there is no terminal and nobody asked for one:
// a line of a file or a pipe is read by programs too.
func (f Form) fold() int {
	if f.Width == 0 && f.Columns == nil {
		return 0
	}
	return f.width()
}

// width returns how wide lines are to be. Very long ones are hard to read, and very short ones are no lines.
func (f Form) width() int {
	if f.Width > 0 {
		return min(max(f.Width, narrowest), widest)
	}
	return min(max(f.columns(), narrowest), widest)
}

const (
	// plainWidth is how wide lines are where there is no terminal.
	plainWidth = 80
	// Lines are no narrower and no wider than this, whatever the terminal is.
	narrowest, widest = 20, 200
)
