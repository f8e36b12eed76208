package credentials

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestClearingADeepTree: its path is longer than any call takes.
func TestClearingADeepTree(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	nest(t, dir, strings.Repeat("n", 200), 1_500)
	if err := cleared(t, dir, maxSteps); err != nil {
		t.Fatal(err)
	}
	if left := namesOf(t, dir); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// nest makes folders, one in the other.
func nest(t *testing.T, dir, name string, depth int) {
	t.Helper()
	at, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	for range depth {
		if err != nil {
			t.Fatal(err)
		}
		next := -1
		if err = unix.Mkdirat(at, name, 0o700); err == nil {
			next, err = unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		}
		err = errors.Join(err, unix.Close(at))
		at = next
	}
	if err := errors.Join(err, unix.Close(at)); err != nil {
		t.Fatal(err)
	}
}

// TestClearingEndsWithItsSteps: however much somebody puts there meanwhile.
func TestClearingEndsWithItsSteps(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	nest(t, dir, "n", 50)
	if err := cleared(t, dir, 40); !errors.Is(err, errTooMany) {
		t.Errorf("with 40 steps: %v", err)
	}
	if err := cleared(t, dir, maxSteps); err != nil || len(namesOf(t, dir)) > 0 {
		t.Errorf("the next try: %v, left: %q", err, namesOf(t, dir))
	}
}

// TestClearingEntersNoMountPoint: what is mounted in the folder is not the run's. The mounts are made by one thread in
// a namespace of its own, which ends with the test.
func TestClearingEntersNoMountPoint(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount")
	}
	dir, others := t.TempDir(), t.TempDir()
	for _, f := range []string{filepath.Join(dir, "a", "mounted"), filepath.Join(dir, "b"), filepath.Join(others, "in")} {
		if err := os.MkdirAll(f, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error)
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread dies with the goroutine
		done <- errors.Join(
			syscall.Unshare(syscall.CLONE_NEWNS|syscall.CLONE_FS),
			syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""),
			syscall.Mount(others, filepath.Join(dir, "a", "mounted"), "", syscall.MS_BIND, ""),
		)
		done <- cleared(t, dir, maxSteps)
	}()
	if err := <-done; err != nil {
		t.Skip("nothing can be mounted here:", err)
	}
	if err := <-done; err == nil || !strings.Contains(err.Error(), `"mounted" stays: it is in use, or something is mounted`) {
		t.Errorf("clearing: %v", err)
	}
	if left := namesOf(t, others); len(left) != 1 {
		t.Errorf("what was mounted was removed: %q", left)
	}
	if left := namesOf(t, dir); len(left) != 1 || left[0] != "a" {
		t.Errorf("left: %q, want a alone", left)
	}
}

// TestClearingFollowsNoLink and leaves the name that is to stay.
func TestClearingFollowsNoLink(t *testing.T) {
	t.Parallel()
	dir, others := t.TempDir(), t.TempDir()
	for _, err := range []error{
		os.WriteFile(filepath.Join(others, "file"), nil, 0o600),
		os.Symlink(others, filepath.Join(dir, "link")),
		os.Mkdir(filepath.Join(dir, "closed"), 0),
		os.WriteFile(filepath.Join(dir, "stays"), nil, 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	at, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close()
	if err := clearFolder(at, "stays"); err != nil {
		t.Error(err)
	}
	if left := namesOf(t, dir); len(left) != 1 || left[0] != "stays" {
		t.Errorf("left: %q", left)
	}
	if left := namesOf(t, others); len(left) != 1 {
		t.Errorf("the link was followed: %q", left)
	}
}

func cleared(t *testing.T, dir string, steps int) error {
	t.Helper()
	at, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer at.Close()
	return clearWithin(steps, at, "")
}

func namesOf(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Error(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}
