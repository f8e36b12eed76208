package supervise

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/taskiam/taskiam/internal/grants"
)

// A log is held by one process, and it is removed when nobody has written to it for long. A
// log that is held stays, and so does what is no log.
func TestTokenLogs(t *testing.T) {
	t.Parallel()
	began := time.Now()
	logs := TokenLogs{Dir: filepath.Join(t.TempDir(), "runs"), Now: func() time.Time { return began }}
	run := func(n byte) grants.RunID { return grants.NewRunID(began, [5]byte{n}) }
	open := func(n byte) *os.File {
		f, err := logs.Open(run(n))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	if held, err := logs.Held(run(1)); held || err != nil {
		t.Errorf("a log that is not there is held: %v, %v", held, err)
	}
	first, journal := open(1), filepath.Join(logs.Dir, string(run(1))+".jsonl")
	open(2)
	if err := os.WriteFile(journal, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := HoldTokenLog(first); err != nil {
		t.Fatal(err)
	}
	if held, err := logs.Held(run(1)); !held || err != nil {
		t.Errorf("a log that is locked is not held: %v, %v", held, err)
	}
	again := open(1)
	if err := HoldTokenLog(again); err == nil {
		t.Error("two hold one log")
	}

	left := func(want ...string) {
		t.Helper()
		got, err := filepath.Glob(filepath.Join(logs.Dir, "*"))
		if err != nil || len(got) != len(want) {
			t.Errorf("the folder has %q, %v; want %q", got, err, want)
		}
		for _, file := range want {
			if _, err := os.Stat(file); err != nil {
				t.Error(err)
			}
		}
	}
	logs.Now = func() time.Time { return began.Add(tokenLogsKept - time.Hour) }
	open(3)
	left(journal, logs.path(run(1)), logs.path(run(2)), logs.path(run(3)))
	logs.Now = func() time.Time { return began.Add(tokenLogsKept + time.Hour) }
	open(4)
	left(journal, logs.path(run(1)), logs.path(run(4)))
}

// TestTokenLogThatIsAPipe: a command that is not isolated can put a pipe in the place of a log.
func TestTokenLogThatIsAPipe(t *testing.T) {
	t.Parallel()
	logs := TokenLogs{Dir: t.TempDir(), Now: time.Now}
	run := grants.RunID("1lguhv4k2itf0v0")
	if err := syscall.Mkfifo(logs.path(run), 0o600); err != nil {
		t.Fatal(err)
	}
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		_, _ = logs.Held(run)
		if log, err := logs.Open(run); err == nil {
			_ = log.Close()
		}
	}()
	select {
	case <-answered:
	case <-time.After(10 * time.Second):
		t.Error("it is waited for somebody at the other end of the pipe")
	}
}
