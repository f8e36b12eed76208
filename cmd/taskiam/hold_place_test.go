package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// deliverySwapped: whatever is put in the place of a delivery, down removes no other folder, and does not
// say that nothing is left while the delivery is there.
func deliverySwapped(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	before := s.snapshot()
	up := func(out string) runDocument {
		t.Helper()
		return s.up("tasks/demo.toml", "--out", s.path(out))
	}
	there := func(path string, want bool) {
		t.Helper()
		if _, err := os.Lstat(s.path(path)); (err == nil) != want {
			t.Errorf("%s: %v; it is to be there: %t", path, err, want)
		}
	}

	// A link above it, which leads elsewhere later.
	must(t, os.MkdirAll(s.path("link", "a"), 0o700))
	must(t, os.MkdirAll(s.path("link", "b", "d"), 0o700))
	must(t, os.Symlink("a", s.path("link", "out")))
	run := up("link/out/d")
	if want := s.path("link", "a", "d"); run.Delivery != want {
		t.Errorf("the delivery is in %s, want %s", run.Delivery, want)
	}
	must(t, os.Remove(s.path("link", "out")))
	must(t, os.Symlink("b", s.path("link", "out")))
	if out := s.ok("down", run.Run); !strings.Contains(out, "checked: nothing is left\n") {
		t.Errorf("down through the other link:\n%s", out)
	}
	there("link/a/d", false)
	there("link/b/d", true)

	// The folder above becomes a link, to an empty folder of the operator's.
	must(t, os.MkdirAll(s.path("swap", "b", "d"), 0o700))
	run = up("swap/a/d")
	must(t, os.Rename(s.path("swap", "a"), s.path("swap", "kept")))
	must(t, os.Symlink("b", s.path("swap", "a")))
	o := s.taskiam("down", run.Run)
	if o.code != 5 || strings.Contains(o.stdout, "nothing is left") || !strings.Contains(o.stderr, "a is a symbolic link") {
		t.Errorf("down of a folder that was swapped ended with %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	there("swap/b/d", true)
	there("swap/kept/d/key.json", true)
	must(t, os.Remove(s.path("swap", "a")))
	must(t, os.Rename(s.path("swap", "kept"), s.path("swap", "a")))
	s.ok("down", run.Run)
	there("swap/a/d", false)

	// It was moved away, and only the cloud can be vouched for.
	run = up("moved/d")
	must(t, os.Rename(s.path("moved", "d"), s.path("moved", "kept")))
	out := s.ok("down", run.Run)
	if strings.Contains(out, "nothing is left\n") || !strings.Contains(out, "the delivery was not in "+s.path("moved", "d")) {
		t.Errorf("down without the delivery:\n%s", out)
	}
	there("moved/kept", true)

	// run has kept the folder open, and finds it wherever CMD has put it.
	must(t, os.MkdirAll(s.path("run", "b", "d"), 0o700))
	o = s.taskiam("run", "--out", s.path("run", "a", "d"), "tasks/demo.toml", "--", "sh", "-c",
		`cd "$0" && mv a kept && rm -f kept/d/env.json kept/d/README.txt && ln -s b a`, s.path("run"))
	if o.code != 0 || !strings.Contains(o.stderr, "checked: nothing is left") {
		t.Errorf("run whose delivery was swapped ended with %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	there("run/b/d", true)
	there("run/kept/d", false)
	if left, err := filepath.Glob(s.path("run", "*", "*", "*")); err != nil || len(left) > 0 {
		t.Errorf("there is still %v, %v", left, err)
	}
	s.sameCloud(before)
}
