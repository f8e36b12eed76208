package isolate

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// newBox returns a sandbox that is not started.
func newBox(t *testing.T) *Box {
	t.Helper()
	dir := t.TempDir()
	box, err := (Spec{Program: "/none", WorkTree: dir, Home: dir, Command: []string{"true"}}).New("/none", "")
	if err != nil {
		t.Fatal(err)
	}
	return box
}

// within fails if f does not return.
func within(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s does not return", what)
	}
}

// TestBoxThatIsDiscarded holds nothing any more, and nobody waits for it.
func TestBoxThatIsDiscarded(t *testing.T) {
	t.Parallel()
	box := newBox(t)
	if len(box.theirs) != controlFd-2 {
		t.Fatalf("the sandbox would inherit %d files", len(box.theirs))
	}
	if err := box.Discard(); err != nil {
		t.Error(err)
	}
	for _, f := range box.theirs {
		if _, err := f.Stat(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s is open: %v", f.Name(), err)
		}
	}
	if _, err := box.control.Write([]byte{begin}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the connection with the sandbox is open: %v", err)
	}
	within(t, "asking for its terminal", func() {
		if box.Started() || box.Terminal() != nil || box.Belongs(Process{}) {
			t.Error("it has started")
		}
		<-box.ended
	})
}

// TestWhatASandboxSays over its connection: whatever comes, nobody waits for more, only the name of its processes makes
// it a sandbox, and of descriptors nothing stays open but one terminal.
func TestWhatASandboxSays(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, line  string
		descriptors int
		started     bool
		terminal    bool
	}{
		{name: "nothing"},
		{name: "its processes", line: "pid:[4026531836]", started: true},
		{name: "and a terminal", line: "pid:[4026531836]", descriptors: 1, started: true, terminal: true},
		{name: "and two", line: "pid:[4026531836]", descriptors: 2, started: true},
		{name: "and more than there is room for", line: "pid:[4026531836]", descriptors: 100, started: true},
		{name: "too much", line: "pid:[" + strings.Repeat("4", 1<<10), started: true},
	} {
		box := newBox(t)
		theirs, err := unix.FcntlInt(box.theirs[controlFd-3].Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		read, written, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		if tt.line != "" {
			var fds []int
			for range tt.descriptors {
				fds = append(fds, int(written.Fd()))
			}
			var rights []byte
			if fds != nil {
				rights = unix.UnixRights(fds...)
			}
			if err := unix.Sendmsg(theirs, []byte(tt.line), rights, nil, 0); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(unix.Close(theirs), closeAll(box.theirs), written.Close()); err != nil { // its end
			t.Fatal(err)
		}
		within(t, tt.name+": listening", box.listen)
		within(t, tt.name+": asking for its terminal", func() {
			if box.Started() != tt.started || (box.Terminal() != nil) != tt.terminal {
				t.Errorf("%s: started %t, terminal %v", tt.name, box.Started(), box.Terminal())
			}
		})
		if box.Belongs(Process{dir: -1}) {
			t.Errorf("%s: a process that does not exist belongs to it", tt.name)
		}
		if tt.terminal {
			if err := box.Terminal().Close(); err != nil {
				t.Error(err)
			}
		}
		// The pipe ends once all of its writers are closed.
		if err := read.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := read.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("%s: a descriptor that came stays open: %v", tt.name, err)
		}
		if err := errors.Join(read.Close(), box.Close()); err != nil {
			t.Error(err)
		}
	}
}
