package credentials_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/taskiam/taskiam/internal/delivery"
)

// TestRemoveGoesIntoClosedFolders needs a user whom modes stop, and so drops root's
// rights in this one thread, which ends with the test.
func TestRemoveGoesIntoClosedFolders(t *testing.T) {
	t.Parallel()
	parent, err := os.MkdirTemp("", "taskiam-closed-") // t.TempDir is root's alone
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(parent) })
	done := make(chan error)
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread dies with the goroutine
		if os.Geteuid() == 0 {
			if err := os.Chown(parent, 65534, 65534); err != nil {
				done <- err
				return
			}
			// The package's own Setresuid would change every thread.
			if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, ^uintptr(0), 65534, ^uintptr(0)); errno != 0 {
				done <- errno
				return
			}
		}
		d := newDelivery(t, filepath.Join(parent, "d"), delivery.Token)
		closed := filepath.Join(d.Dir, "gcloud", "cache", "mod")
		done <- errors.Join(
			delivered(d),
			os.MkdirAll(closed, 0o700),
			os.WriteFile(filepath.Join(closed, "file"), nil, 0o400),
			os.Chmod(closed, 0o500),
			os.Chmod(filepath.Dir(closed), 0),
			removed(d.Dir, run),
		)
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if exists(filepath.Join(parent, "d")) {
		t.Error("it is still there")
	}
}
