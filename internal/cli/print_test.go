package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/manifest"
)

func TestSpan(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0s", 1500 * time.Microsecond: "2ms", 850 * time.Millisecond: "850ms", 2440 * time.Millisecond: "2.4s",
		59 * time.Second: "59s", 61 * time.Second: "1m1s", 2 * time.Minute: "2m", 30 * time.Minute: "30m",
		90 * time.Minute: "1h30m", 2 * time.Hour: "2h", 7199 * time.Second: "2h", 12 * time.Hour: "12h", -3 * time.Second: "-3s",
	} {
		if got := span(d); got != want {
			t.Errorf("span(%d) = %q, want %q", d, got, want)
		}
	}
}

func TestQuoteShell(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"": "''", "task.toml": "task.toml", "a b": "'a b'", "it's": `'it'\''s'`, "$HOME": "'$HOME'", "a/b-c_d.e": "a/b-c_d.e",
	} {
		if got := quoteShell(s); got != want {
			t.Errorf("quoteShell(%q) = %s, want %s", s, got, want)
		}
	}
}

func TestSayError(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"plain", errors.New("reading x: no"), "taskiam: error: reading x: no\n"},
		{"hints", fault.WithHint(fault.WithHint(errors.New("x"), "inner"), "outer", "inner"), "taskiam: error: x\ntaskiam: hint: outer\ntaskiam: hint: inner\n"},
		{"joined", errors.Join(errors.New("a"), errors.Join(nil, fault.WithHint(errors.New("b"), "h"))), "taskiam: error: a\ntaskiam: error: b\ntaskiam: hint: h\n"},
		{"joined, under a hint and a code", &exitError{exitRunFailed, fault.WithHint(errors.Join(errors.New("a"), errors.New("b")), "h")}, "taskiam: error: a\ntaskiam: error: b\ntaskiam: hint: h\n"},
		{"joined twice", errors.Join(errors.New("a"), errors.New("a"), errors.New("b")), "taskiam: error: a\ntaskiam: error: b\n"},
		{"several lines", errors.New("a\nb"), "taskiam: error: a\ntaskiam: b\n"},
		{"a manifest", fmt.Errorf("x: %w", &fault.Error{Kind: fault.Usage, Err: manifest.Problems{
			{File: "t.toml", Line: 1, Column: 2, Message: "m", Fix: "f"}, {File: "t.toml", Line: 3, Column: 4, Message: "n"},
		}}), "taskiam: error: t.toml:1:2: m\ntaskiam: hint: f\ntaskiam: error: t.toml:3:4: n\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e, stdout, stderr := testEnv(nil)
			e.sayError(c.err)
			if stderr.String() != c.want || stdout.Len() > 0 {
				t.Errorf("got %q, want %q", stderr, c.want)
			}
		})
	}
}

func TestReportAligns(t *testing.T) {
	t.Parallel()
	r := newReport()
	r.row("A", "LONG", "C")
	r.row("aaa", "b", "")
	r.line("")
	r.row("x", "y")
	want := "A    LONG  C\naaa  b\n\nx  y\n"
	if got := r.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestProgressSpeaksOfWhatTakesLong: steps of a round trip are not worth a line.
func TestProgressSpeaksOfWhatTakesLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var said []string
		p := &progress{steps: map[string]*runningStep{}, say: func(format string, args ...any) {
			mu.Lock()
			defer mu.Unlock()
			said = append(said, fmt.Sprintf(format, args...))
		}}
		event := func(step string, state lifecycle.EventState, err error) {
			p.step(lifecycle.Event{Time: time.Now(), Step: step, On: "x", State: state, Err: err})
		}
		event("quick", lifecycle.Started, nil)
		event("slow", lifecycle.Started, nil)
		event("waits", lifecycle.Started, nil)
		time.Sleep(patience / 2)
		event("quick", lifecycle.Done, nil)
		event("waits", lifecycle.Waiting, errors.New("not yet"))
		event("waits", lifecycle.Waiting, errors.New("not yet"))
		time.Sleep(patience)
		event("slow", lifecycle.Done, nil)
		event("waits", lifecycle.Failed, errors.New("not yet"))
		time.Sleep(2 * patience)
		synctest.Wait()
		mu.Lock()
		want := "waits on x: waiting: not yet\nslow on x: at work\nslow on x: done after 3s"
		if got := strings.Join(said, "\n"); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		said = nil
		mu.Unlock()
		var silent *progress
		silent.step(lifecycle.Event{}) // nobody hears it

		// What must not be missed is said by a quiet one too, and once.
		p.quiet = true
		for _, state := range []lifecycle.EventState{lifecycle.Known, lifecycle.Started, lifecycle.Waiting, lifecycle.Warned, lifecycle.Warned, lifecycle.Failed} {
			p.step(lifecycle.Event{Time: time.Now(), Step: "the clock is wrong", State: state, Err: errors.New("not yet")})
		}
		if want := []string{"warning: the clock is wrong"}; !slices.Equal(said, want) {
			t.Errorf("a quiet one said %q, want %q", said, want)
		}
	})
}

// TestBrokenPipeIsNotSpokenOf: whoever read us is gone, as with `taskiam status | head`.
func TestBrokenPipeIsNotSpokenOf(t *testing.T) {
	t.Parallel()
	e, _, stderr := testEnv(nil)
	e.Stdout = brokenPipe{}
	if code := Main(t.Context(), []string{"taskiam", "version"}, e); code != int(exitFailure) {
		t.Errorf("exit code %d", code)
	}
	if stderr.Len() > 0 {
		t.Errorf("said %q", stderr)
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) {
	return 0, &os.PathError{Op: "write", Path: "|1", Err: syscall.EPIPE}
}

var _ io.Writer = brokenPipe{}
