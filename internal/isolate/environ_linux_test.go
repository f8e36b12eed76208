package isolate

import (
	"io"
	"testing"
)

// TestBubblewrapHasNoVariables: what runs outside of the sandbox, and the first process in it, do not have the
// command's variables, which may name a library of the work tree's.
func TestBubblewrapHasNoVariables(t *testing.T) {
	t.Parallel()
	s := Spec{
		Program: "/usr/bin/taskiam", Command: []string{"agent"}, Home: "/home/me", WorkTree: "/w",
		Environ: []string{"LD_PRELOAD=/w/evil.so", "A=1\n2"},
	}
	b, err := s.New("/usr/bin/bwrap", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	if b.Cmd.Env == nil || len(b.Cmd.Env) > 0 {
		t.Errorf("bubblewrap has %q", b.Cmd.Env)
	}
	got, err := io.ReadAll(b.Cmd.ExtraFiles[environFd-3])
	if want := "LD_PRELOAD=/w/evil.so\x00A=1\n2"; string(got) != want || err != nil {
		t.Errorf("the command has %q, %v; want %q", got, err, want)
	}
}
