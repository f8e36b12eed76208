package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// `make install` puts the program where it is told to, and replaces the one that is there. It is built elsewhere: make
// is told that it is.
func TestMakeInstall(t *testing.T) {
	t.Parallel()
	tool, err := exec.LookPath("make")
	if err != nil {
		t.Skip("make is not installed")
	}
	dir := t.TempDir()
	built, root := filepath.Join(dir, "built"), filepath.Join(dir, "a root")
	for _, text := range []string{"#!/bin/sh\necho first\n", "#!/bin/sh\necho second\n"} {
		must(t, os.WriteFile(built, []byte(text), 0o600))
		install := exec.Command(tool, "-s", "--no-print-directory", "-C", "../..", "-o", "build", "install", "BIN="+built, "DESTDIR="+root, "PREFIX=/opt/x")
		if out, err := install.CombinedOutput(); err != nil || len(out) > 0 {
			t.Fatalf("make install: %v\n%s", err, out)
		}
		at := filepath.Join(root, "opt", "x", "bin", "taskiam")
		info, err := os.Stat(at)
		must(t, err)
		got, err := os.ReadFile(at)
		must(t, err)
		if info.Mode().Perm() != 0o755 || string(got) != text {
			t.Errorf("it has installed %s with mode %o: %q", at, info.Mode(), got)
		}
	}
}
