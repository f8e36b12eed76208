package supervise

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// processesOf returns the processes that are a user's in any way: by the real, the effective, the
// saved number or the one for files. What has ended and was not waited for is left out.
func processesOf(uid int) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("looking for the processes of user %d: %w", uid, err)
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		text, err := os.ReadFile(filepath.Join("/proc", e.Name(), "status"))
		if err != nil {
			continue // it has ended
		}
		if isOf(string(text), uid) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// isOf reports whether a status of /proc is that of a live process of the user.
func isOf(status string, uid int) bool {
	is := false
	for line := range strings.Lines(status) {
		name, rest, _ := strings.Cut(line, ":")
		switch fields := strings.Fields(rest); {
		case name == "State" && len(fields) > 0 && (fields[0] == "Z" || fields[0] == "X"):
			return false
		case name == "Uid":
			is = slices.Contains(fields, strconv.Itoa(uid))
		}
	}
	return is
}

// stranger is a number that is no user's.
const stranger = 1<<32 - 3

// killUser ends all processes of a user at once. The kernel does that in one step, so that none
// can start another one meanwhile.
//
// It is done by a thread that may signal only this user's processes. kill(2) asks for the sender's
// real or effective number to be the other's real or saved one. So the thread is the user by its
// effective number alone: the user has none of the other two in common with it, and cannot signal
// the thread. As long as that is not certain, nothing is signalled: -1 means everybody whom the
// thread may signal.
func killUser(uid int) error {
	// If the thread does not become again what it was, it is never unlocked, and nothing else
	// runs on it. That takes a goroutine of its own.
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		r, e, s := unix.Getresuid()
		err := setresuid(stranger, uint32(uid), uint32(e))
		if err == nil {
			err = onlyMaySignal(uid)
		}
		if err == nil {
			_, _, errno := unix.RawSyscall(unix.SYS_KILL, ^uintptr(0), uintptr(unix.SIGKILL), 0)
			if errno != 0 && errno != unix.ESRCH {
				err = fmt.Errorf("ending the processes of user %d: %w", uid, errno)
			}
		}
		back := setresuid(uint32(r), uint32(e), uint32(s))
		if back == nil {
			runtime.UnlockOSThread()
		}
		done <- errors.Join(err, back)
	}()
	return <-done
}

// setresuid sets the numbers of this thread alone: that of package unix sets those of all threads.
func setresuid(real, effective, saved uint32) error {
	_, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(real), uintptr(effective), uintptr(saved))
	if errno != 0 {
		return fmt.Errorf("becoming user %d: %w", effective, errno)
	}
	r, e, s := unix.Getresuid()
	if uint32(r) != real || uint32(e) != effective || uint32(s) != saved {
		return fmt.Errorf("becoming user %d: the numbers are %d, %d and %d", effective, r, e, s)
	}
	return nil
}

// onlyMaySignal returns an error unless this thread may signal processes of this user and of no
// other.
func onlyMaySignal(uid int) error {
	real, effective, _ := unix.Getresuid()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("reading the capabilities: %w", err)
	}
	capable := data[0].Effective&(1<<unix.CAP_KILL) != 0
	if uint32(real) != stranger || effective != uid || uid == 0 || capable {
		return errors.New("becoming the user: this thread could signal others")
	}
	return nil
}

// killOf ends one process if it is still the user's.
func killOf(pid, uid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		if errors.Is(err, unix.ESRCH) {
			return nil
		}
		return fmt.Errorf("ending process %d: %w", pid, err)
	}
	defer unix.Close(fd)
	// The descriptor is of the process that this is about, whoever has the number later.
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil || !isOf(string(text), uid) {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("ending process %d: %w", pid, err)
	}
	return nil
}
