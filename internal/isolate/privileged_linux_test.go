package isolate

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPrivileged(t *testing.T) {
	t.Parallel()
	tree, elsewhere := t.TempDir(), t.TempDir()
	began := time.Now()
	for path, mode := range map[string]fs.FileMode{
		filepath.Join(tree, "a", "setuid"):       0o755 | fs.ModeSetuid,
		filepath.Join(tree, "a", "both"):         0o750 | fs.ModeSetuid | fs.ModeSetgid,
		filepath.Join(tree, "setgid"):            0o755 | fs.ModeSetgid,
		filepath.Join(tree, "plain"):             0o755,
		filepath.Join(elsewhere, "not in there"): 0o755 | fs.ModeSetuid,
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	// A folder for a group is no program, and a link is followed nowhere.
	if err := os.Chmod(filepath.Join(tree, "a"), 0o755|fs.ModeSetgid); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, filepath.Join(tree, "link")); err != nil {
		t.Fatal(err)
	}

	s := Spec{WorkTree: filepath.Join(tree, "a"), Writable: []string{filepath.Join(tree, "setgid"), filepath.Join(tree, "link")}}
	if got, err := s.Privileged(t.Context(), began.Add(time.Hour)); err != nil || len(got) > 0 {
		t.Errorf("of what was there before: %v, %v", got, err)
	}
	givenUp, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := s.Privileged(givenUp, began); !errors.Is(err, context.Canceled) || len(got) > 0 {
		t.Errorf("of a search that was given up: %v, %v", got, err)
	}
	got, err := s.Privileged(t.Context(), began)
	want := []Privileged{
		{filepath.Join(tree, "a", "both"), true, true}, {filepath.Join(tree, "a", "setuid"), true, true},
		{filepath.Join(tree, "setgid"), false, false},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("found (-want +got):\n%s, %v", diff, err)
	}
	for path, want := range map[string]fs.FileMode{
		"a/setuid": 0o755, "a/both": 0o750 | fs.ModeSetgid, "setgid": 0o755 | fs.ModeSetgid,
	} {
		if info, err := os.Stat(filepath.Join(tree, path)); err != nil || info.Mode() != want {
			t.Errorf("%s has %v now, %v", path, info.Mode(), err)
		}
	}
	if info, err := os.Stat(filepath.Join(elsewhere, "not in there")); err != nil || info.Mode()&fs.ModeSetuid == 0 {
		t.Errorf("a file outside was changed: %v, %v", info, err)
	}
}
