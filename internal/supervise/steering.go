package supervise

import (
	"io"
	"slices"
	"sync/atomic"
)

// steering notices whether what is written can do more to a terminal than be shown there.
type steering struct {
	io.Writer
	steered *atomic.Bool
}

func (s *steering) Write(b []byte) (int, error) {
	if slices.ContainsFunc(b, steers) {
		s.steered.Store(true)
	}
	return s.Writer.Write(b)
}

// steers reports whether a terminal may take a byte for something to do, or to answer: ENQ, SO, ESC and C1. The last
// of these are in many letters' UTF-8 as well.
func steers(c byte) bool { return c == 0x05 || c == 0x0e || c == 0x1b || c >= 0x80 && c < 0xa0 }

// settled ends what a command can have begun on a terminal so that what is printed next is not seen: a sequence or a
// string without an end, another character set, hidden letters, margins, lines that are cut off, output to a printer,
// and VT52's and Tektronix's languages.
const settled = "\x18\x1b\\\x1b<\x1b\x03" + "\x1b[4i\x1b[!p\x1b[m\x1b(B\x0f" + "\x1b7\x1b[r\x1b8\x1b[?7h\x1b[?25h"

// settle makes our terminal show again what it is sent.
func (t *terminal) settle() {
	if t.steered.Load() {
		_, _ = io.WriteString(t.screen, settled)
	}
}

// dropAnswers throws away what came from our terminal since the command's end: answers to what the command has
// printed, which our shell would take for typed.
func (s *streams) dropAnswers() {
	if !s.steered.Load() {
		return
	}
	if screen := terminalOf(s.screen); screen != nil && foreground(screen) {
		discardInput(screen)
	}
}
