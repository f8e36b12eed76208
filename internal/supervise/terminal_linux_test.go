package supervise

import (
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// openTerminal returns a terminal and what a person has of it.
func openTerminal(t *testing.T) (person, terminal *os.File) {
	t.Helper()
	person, terminal, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = person.Close(), terminal.Close() })
	return person, terminal
}

// TestEndKeys: three times Ctrl-] end a command that reads nothing, although its person's terminal types as well.
func TestEndKeys(t *testing.T) {
	t.Parallel()
	const answer = "\x1b[?62;22c" // to what a command prints
	for typed, want := range map[string]bool{
		"\x1d\x1d\x1d": true,
		"\x1d" + answer + "\x1d" + answer + "\x1d":      true,
		strings.Repeat(answer, 50_000) + "\x1d\x1d\x1d": true,
		"\x1d\x1d": false,
		answer + "\x1d" + strings.Repeat(answer, 50) + "\x1d": false,
	} {
		end := make(chan struct{}, 1)
		k := &endKeys{to: make(chan []byte, 1), end: end} // nobody reads
		written := make(chan struct{})
		go func() {
			defer close(written)
			for piece := range slices.Chunk([]byte(typed), 1000) {
				_, _ = k.Write(piece) // it never fails
			}
		}()
		select {
		case <-written:
		case <-time.After(20 * time.Second):
			t.Fatal("it waits for the command to read")
		}
		if got := len(end) == 1; got != want {
			t.Errorf("after %d bytes that end in %q: %t, want %t", len(typed), typed[max(0, len(typed)-30):], got, want)
		}
	}
}

// TestDropAnswers: what a terminal answers to a command is not typed for the shell; what a person types ahead is.
func TestDropAnswers(t *testing.T) {
	t.Parallel()
	for printed, want := range map[string]int{
		"plain text\r\n\ttab\n": len("typed\n"),
		"\x1b[31mred\x1b[m":     0,
		"\x1b]52;c;aGk=\x07":    0,
		"what are you?\x05":     0,
		"\x9b6n":                0,
	} {
		person, screen := openTerminal(t)
		s := &streams{screen: screen}
		if _, err := io.WriteString(&steering{Writer: io.Discard, steered: &s.steered}, printed); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(person, "typed\n"); err != nil {
			t.Fatal(err)
		}
		awaitInput(t, screen)
		s.dropAnswers()
		if got, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCINQ); err != nil || got != want {
			t.Errorf("after %q, %d bytes of what was typed are left (%v), want %d", printed, got, err, want)
		}
	}
}

// awaitInput waits until there is something to read.
func awaitInput(t *testing.T, f *os.File) {
	t.Helper()
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLIN}}, 60_000); n != 1 {
		t.Fatal("what was typed does not arrive:", err)
	}
}
