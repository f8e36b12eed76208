package isolate

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"golang.org/x/sys/unix"
)

// hiding is set, to its stage, in a process that stands for the first one in a sandbox.
const hiding = "TASKIAM_TEST_HIDING"

func TestMain(m *testing.M) {
	switch os.Getenv(hiding) {
	case "rights":
		fmt.Fprintln(os.Stderr, withoutRights())
	case "inside":
		fmt.Fprintln(os.Stderr, insideWithoutLandlock())
	default:
		os.Exit(m.Run())
	}
	os.Exit(99)
}

// withoutRights starts this program again without any right of root's: bubblewrap leaves none to the first process.
func withoutRights() error {
	runtime.LockOSThread()
	for right := range uintptr(unix.CAP_LAST_CAP + 1) {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, right, 0, 0, 0); err != nil && os.Geteuid() == 0 {
			return err
		}
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return syscall.Exec(self, os.Args, []string{hiding + "=inside"})
}

// insideWithoutLandlock is the first process on a kernel without Landlock.
func insideWithoutLandlock() error {
	err := seccomp.LoadFilter(seccomp.Filter{
		NoNewPrivs: true, Flag: seccomp.FilterFlagTSync,
		Policy: seccomp.Policy{DefaultAction: seccomp.ActionAllow, Syscalls: []seccomp.SyscallGroup{
			{Action: seccomp.ActionErrno, Names: []string{"landlock_create_ruleset"}},
		}},
	})
	if err != nil {
		return err
	}
	order := Order{Command: []string{"sh", "-c", "for f in environ mem; do head -c 1 /proc/$PPID/$f; done 2>&1; " +
		"readlink -v /proc/$PPID/fd/0 2>&1; head -c 1 /proc/self/environ >/dev/null && echo its own"}}
	code, err := Inside(context.Background(), order, os.Stdin, os.Stdout, os.Stderr)
	if err == nil {
		os.Exit(code)
	}
	return err
}

// TestHiddenWithoutLandlock: Landlock keeps the command from debugging the first process, and where there is none, that
// the process is not dumpable does.
func TestHiddenWithoutLandlock(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	environ, err := inMemory("the command's environment", []byte("PATH=/usr/bin:/bin"))
	if err != nil {
		t.Fatal(err)
	}
	defer environ.Close()
	cmd := exec.Command(self)
	cmd.Env = []string{hiding + "=rights"}
	cmd.ExtraFiles = []*os.File{environFd - 3: environ}
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), "ermission denied") != 3 || !strings.HasSuffix(string(out), "\nits own\n") {
		t.Errorf("the command sees of the first process (%v):\n%s", err, out)
	}
}
