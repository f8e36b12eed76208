package isolate

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The first versions of Landlock's interface that can allow moving files between folders
// (Linux 5.19) and that can forbid abstract sockets (Linux 6.12).
const (
	referSince  = 2
	scopedSince = 6
)

// confine drops, for this thread and what it starts, the rights that bubblewrap leaves:
//
//   - Abstract unix sockets of processes outside, such as an X server's: they belong to
//     the network, which a sandbox may share. Only newer kernels can forbid them.
//   - For root, mounting in new namespaces: file systems that can be mounted there, such
//     as the machine's control groups, treat root's user number as root. Other users keep
//     this right, because they may want to make a sandbox inside this one. Root cannot do
//     that anyway: it has no capability to map itself.
func confine() error {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return nil
	}
	// Older versions accept the later fields of the structure if they are zero.
	var rules struct{ fs, net, scoped uint64 }
	if version >= scopedSince {
		rules.scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
	}
	if version >= referSince && os.Geteuid() == 0 {
		// Any restriction on files forbids mounting as well. This one forbids making block
		// devices, which no command needs; moving files is allowed again below.
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

// hideFromCommand keeps the command from debugging this process, which holds the socket to
// the outside.
func hideFromCommand() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("keeping the command out of the first process: %w", err)
	}
	return nil
}

// restrict applies the rules to this thread.
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
