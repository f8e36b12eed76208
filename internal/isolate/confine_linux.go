package isolate

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The versions of Landlock's interface from which on it can let files be moved between
// folders (Linux 5.19), and keep a process from abstract sockets (Linux 6.12).
const (
	referSince  = 2
	scopedSince = 6
)

// confine gives up, for this thread and what it starts, what bubblewrap leaves:
//
//   - The session keyring, which is inherited whatever the namespaces are.
//   - Abstract unix sockets of processes outside, such as an X server's: they belong
//     to the network, and a sandbox may share that. Only newer kernels can do this.
//   - For root, mounting in namespaces of its own: what can be mounted there, such as the
//     machine's control groups, takes root's number for root. Others keep it, for they
//     may want to make a sandbox in this one, which root cannot: it has no capability to
//     map itself.
func confine() error {
	_, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0)
	if err != nil && !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("leaving the session's keyring: %w", err)
	}
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return nil
	}
	// An older version takes the rest of the structure if there is nothing in it.
	var rules struct{ fs, net, scoped uint64 }
	if version >= scopedSince {
		rules.scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
	}
	if version >= referSince && os.Geteuid() == 0 {
		// Whoever is restricted in whatever way as to files cannot mount. Making block
		// devices is what nobody will miss; moving files is allowed again below.
		rules.fs = unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK | unix.LANDLOCK_ACCESS_FS_REFER
	}
	if rules.fs == 0 && rules.scoped == 0 {
		return nil
	}
	if err := restrict(unsafe.Pointer(&rules), unsafe.Sizeof(rules), rules.fs != 0); err != nil {
		return fmt.Errorf("confining the command: %w", err)
	}
	return nil
}

// restrict puts this thread under the rules.
func restrict(rules unsafe.Pointer, size uintptr, files bool) error {
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(rules), size, 0)
	if errno != 0 {
		return errno
	}
	defer unix.Close(int(fd))
	if files {
		root, err := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(root)
		everywhere := unix.LandlockPathBeneathAttr{
			Allowed_access: unix.LANDLOCK_ACCESS_FS_REFER, Parent_fd: int32(root),
		}
		_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, fd, unix.LANDLOCK_RULE_PATH_BENEATH,
			uintptr(unsafe.Pointer(&everywhere)), 0, 0, 0)
		if errno != 0 {
			return errno
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 {
		return errno
	}
	return nil
}
