package supervise

import (
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
)

// startAs starts a shell script as a user; it is ended with the test.
func startAs(t *testing.T, uid uint32, script string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sh", "-c", "echo up; "+script)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func TestOwnUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root has users of its own for a run")
	}
	first, err := TakeUser(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = first.Free() })
	// The same number is not taken twice, nor is one with processes, claimed or not.
	u, err := claim(first.UID, "other")
	if u.UID != 0 || err != nil {
		t.Errorf("a number that is taken was taken again: %+v, %v", u, err)
	}
	cmd := startAs(t, uint32(first.UID), "exec sleep 60")
	if err := first.Free(); err != nil {
		t.Fatal(err)
	}
	if u, err := claim(first.UID, "other"); u.UID != 0 || err != nil {
		t.Errorf("a number with processes was taken: %+v, %v", u, err)
	}
	if pids, err := processesOf(first.UID); !slices.Equal(pids, []int{cmd.Process.Pid}) || err != nil {
		t.Errorf("the user has %v, %v", pids, err)
	}
	if err := Vacant(first.UID); !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), "already has processes") {
		t.Errorf("a user with processes: %v", err)
	}
	// Given back, and taken by another: giving back again changes nothing.
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if err := Vacant(first.UID); err != nil {
		t.Errorf("a user without processes: %v", err)
	}
	other, err := claim(first.UID, "other")
	if other.UID == 0 || err != nil {
		t.Fatalf("a free number: %v", err)
	}
	if err := first.Free(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(claimOf(first.UID)); err != nil {
		t.Errorf("another's number was given back: %v", err)
	}
	if err := other.Free(); err != nil {
		t.Fatal(err)
	}
}

// TestEndUser ends a user who starts processes all the time, and nobody else.
func TestEndUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root has users of its own for a run")
	}
	u, err := TakeUser(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = u.Free() })
	beside, err := TakeUser(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = beside.Free() })
	spared := []*exec.Cmd{startAs(t, 0, "exec sleep 60"), startAs(t, uint32(beside.UID), "exec sleep 60")}
	// Each starts the next one and ends; and one ends all whom it may, ourselves if we were among them.
	startAs(t, uint32(u.UID), `f() { (trap "" TERM; sleep 0.01; f) & }; f; f; while :; do kill -TERM -1; sleep 0.01; done`)
	if err := EndUser(t.Context(), u.UID, u.Claim); err != nil {
		t.Fatal(err)
	}
	if pids, err := processesOf(u.UID); len(pids) > 0 || err != nil {
		t.Errorf("the user still has %v, %v", pids, err)
	}
	if _, err := os.Lstat(claimOf(u.UID)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the number was not given back: %v", err)
	}
	for _, cmd := range spared {
		if start, err := startOf(cmd.Process.Pid); start == "" || err != nil {
			t.Errorf("%s was ended too: %v", cmd, err)
		}
	}
	// One by one does, too, where it cannot be done at once.
	alone := startAs(t, uint32(u.UID), "exec sleep 60")
	if err := killOf(alone.Process.Pid, beside.UID); err != nil {
		t.Fatal(err)
	}
	if pids, err := processesOf(u.UID); len(pids) != 1 || err != nil {
		t.Errorf("a process of another user was ended: %v, %v", pids, err)
	}
	if err := killOf(alone.Process.Pid, u.UID); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- alone.Wait() }()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("it does not end")
	}
	// Whoever has the number later is not ended by a journal that has it too.
	later := startAs(t, uint32(u.UID), "exec sleep 60")
	if _, err := claim(u.UID, "later"); err != nil {
		t.Fatal(err)
	}
	for _, other := range []OwnUser{{u.UID, u.Claim}, {u.UID, ""}, {0, ""}, {1000, "later"}} {
		if err := EndUser(t.Context(), other.UID, other.Claim); err != nil {
			t.Errorf("%+v: %v", other, err)
		}
	}
	if start, err := startOf(later.Process.Pid); start == "" || err != nil {
		t.Errorf("a later user of the number was ended: %v", err)
	}
}

func TestOnlyMaySignal(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("it is about root")
	}
	t.Parallel()
	if err := onlyMaySignal(0); err == nil {
		t.Error("root is taken for somebody who may signal nobody else")
	}
	if err := onlyMaySignal(firstOwn); err == nil {
		t.Error("root is taken for a user of a run")
	}
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread ends with this function
		if err := setresuid(0, firstOwn, 0); err != nil {
			failed <- err
			return
		}
		err := onlyMaySignal(firstOwn)
		if err == nil {
			failed <- errors.New("a thread that is root by its real number may signal root's processes, too")
			return
		}
		failed <- nil
	}()
	if err := <-failed; err != nil {
		t.Error(err)
	}
}

func TestVacant(t *testing.T) {
	t.Parallel()
	err := Vacant(os.Geteuid())
	if !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), "already has processes") {
		t.Errorf("the user of this test: %v", err)
	}
	const nobody = 1<<31 - 7
	if err := Vacant(nobody); err != nil {
		t.Errorf("a user who is nobody: %v", err)
	}
	const status = "Name:\tsh\nState:\tS (sleeping)\nUid:\t1\t2\t3\t4\nGid:\t9\t9\t9\t9\n"
	for _, uid := range []int{1, 2, 3, 4} {
		if !isOf(status, uid) {
			t.Errorf("%d is not seen in\n%s", uid, status)
		}
	}
	if isOf(status, 9) || isOf(strings.Replace(status, "S (sleeping)", "Z (zombie)", 1), 1) {
		t.Error("a group, or what has ended, is taken for a process of the user")
	}
}
