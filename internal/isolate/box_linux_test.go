package isolate

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestBoxWithoutSandbox: if bubblewrap fails, that is an end like any other, after which the run is taken down.
func TestBoxWithoutSandbox(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bwrap := filepath.Join(dir, "bwrap")
	if err := os.WriteFile(bwrap, []byte("#!/bin/sh\nread line\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	box, err := (Spec{Program: "/none", WorkTree: dir, Home: dir, Command: []string{"true"}}).New(bwrap, "")
	if err != nil {
		t.Fatal(err)
	}
	in, err := box.Cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := box.Start(); err != nil {
		t.Fatal(err)
	}
	box.Begin() // nobody reads it, so that the connection does not just end: it is reset
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := box.Cmd.Wait(); err == nil || box.Started() || box.Terminal() != nil {
		t.Errorf("bubblewrap failed (%v), and there is a sandbox", err)
	}
	if err := box.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
}
