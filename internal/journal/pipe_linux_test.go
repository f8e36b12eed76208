package journal_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/taskiam/taskiam/internal/journal"
)

// TestLockThatIsAPipe: a command that is not isolated can put a pipe in the place of a lock, and hold it. Whoever asks
// who has the lock does not wait for what nobody writes.
func TestLockThatIsAPipe(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	holder, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(holder.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	lock, err := journal.RealDisk.OpenLock(path)
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan int, 1)
	go func() {
		if taken, err := lock.Try(); taken || err != nil {
			t.Errorf("the lock: %v %v", taken, err)
		}
		answered <- lock.Holder()
	}()
	select {
	case pid := <-answered:
		if pid != 0 {
			t.Errorf("process %d has it", pid)
		}
	case <-time.After(10 * time.Second):
		t.Error("it is waited for what the pipe has")
	}
	if err := holder.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestHugeFile: a file can be made larger than memory without writing anything.
func TestHugeFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "journal")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for size, read := range map[int64]bool{64 << 20: true, 64<<20 + 1: false} {
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		if _, err := journal.RealDisk.Read(path); (err == nil) != read {
			t.Errorf("reading %d bytes: %v", size, err)
		}
	}
}
