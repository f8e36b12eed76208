package cli

import (
	"syscall"
	"testing"
)

// TestEveryCommandIsProtected: no other process of the user reads the memory of taskiam, whatever it was started for.
// The test is alone: others start commands too.
func TestEveryCommandIsProtected(t *testing.T) {
	const get, set, yes = 3, 4, 1 // PR_GET_DUMPABLE, PR_SET_DUMPABLE
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, set, yes, 0); errno != 0 {
		t.Fatal(errno)
	}
	e, _, stderr := testEnv(nil)
	if code := Main(t.Context(), []string{"taskiam", "version"}, e); code != 0 {
		t.Fatalf("version ended with %d\n%s", code, stderr)
	}
	if got, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, get, 0, 0); got != 0 || errno != 0 {
		t.Errorf("others can read what this process has: %d, %v", got, errno)
	}
}
