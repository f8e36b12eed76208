package supervise

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestProtectedProcessIsNotDumpable(t *testing.T) {
	t.Parallel()
	if err := Protect(); err != nil {
		t.Fatal(err)
	}
	got, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	if err != nil || got != 0 {
		t.Errorf("PR_GET_DUMPABLE = %d, %v; want 0", got, err)
	}
}
