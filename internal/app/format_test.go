package app

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/taskiam/taskiam/internal/fault"
)

// A file is formatted whole or not at all: what somebody has written meanwhile stays, and so do its mode and a link.
func TestReplace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, link := filepath.Join(dir, "task.toml"), filepath.Join(dir, "link.toml")
	write(t, file, "old")
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("task.toml", link); err != nil {
		t.Fatal(err)
	}
	is := func(when, want string) {
		t.Helper()
		b, err := os.ReadFile(file)
		info, statErr := os.Lstat(file)
		if err != nil || statErr != nil || string(b) != want || info.Mode() != 0o640 {
			t.Errorf("%s: %q, %v (%v, %v)", when, b, info.Mode(), err, statErr)
		}
		if to, err := os.Readlink(link); err != nil || to != "task.toml" {
			t.Errorf("%s: the link leads to %q: %v", when, to, err)
		}
	}
	if err := replace(link, []byte("older"), []byte("new")); !fault.Is(err, fault.Conflict) {
		t.Errorf("a file that has changed: %v", err)
	}
	is("a file that has changed", "old")
	if err := replace(link, []byte("old"), []byte("new")); err != nil {
		t.Error(err)
	}
	is("formatted", "new")
	if err := os.Link(file, filepath.Join(dir, "second")); err != nil {
		t.Fatal(err)
	}
	if err := replace(file, []byte("new"), []byte("newer")); !fault.Is(err, fault.Usage) {
		t.Errorf("a file with a second name: %v", err)
	}
	is("a file with a second name", "new")
	if names, err := os.ReadDir(dir); err != nil || len(names) != 3 {
		t.Errorf("the folder has %v: %v", names, err)
	}
}
