package app

import (
	"io/fs"
	"os"
	"testing"
)

// Who has a delivery has to get to it: of the groups of a user nothing is known.
func TestMayPass(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, tt := range []struct {
		mode fs.FileMode
		uid  int
		want bool
	}{
		{0o711, 4711, true}, {0o710, 4711, false}, {0o754, 4711, false}, {0o700, os.Geteuid(), true}, {0o611, os.Geteuid(), false},
	} {
		if err := os.Chmod(dir, tt.mode); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		if got := mayPass(info, tt.uid); got != tt.want {
			t.Errorf("user %d into %v: %v", tt.uid, tt.mode, got)
		}
	}
}
