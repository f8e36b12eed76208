package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What the filter of system calls answers.
const (
	forbidden  = "operation not permitted"
	notThere   = "function not implemented"
	noFamily   = "address family not supported by protocol"
	noTerminal = "inappropriate ioctl for device"
)

// sandboxed is a move that is of interest in a sandbox only.
func sandboxed(what, want string, try func(*burglar) string) move {
	return move{what: what, want: want, but: map[place]string{barehome: untried}, try: try}
}

// calls is a system call that a sandbox refuses.
func calls(what, want string, number uintptr, arguments ...uintptr) move {
	return sandboxed(what, want, func(*burglar) string { return rawCall(number, arguments...) })
}

func rawCall(number uintptr, arguments ...uintptr) string {
	var a [6]uintptr
	copy(a[:], arguments)
	if _, _, errno := unix.Syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5]); errno != 0 {
		return errno.Error()
	}
	return succeeded
}

// onAMD64 is what is expected there, and nothing elsewhere.
func onAMD64(want string) string {
	if runtime.GOARCH == "amd64" {
		return want
	}
	return untried
}

// setUID is a mode that would leave a set-uid program.
const setUID = unix.S_ISUID | 0o755

// kernelAttacks are those on what no namespace covers.
var kernelAttacks = []attackRow{
	{name: "take a key of the operator's from the kernel", moves: []move{
		{what: "by the number of its keyring", want: forbidden, but: map[place]string{barehome: succeeded}, try: func(t *burglar) string {
			runtime.LockOSThread() // a thread has its own session keyring
			defer runtime.UnlockOSThread()
			if _, err := unix.KeyctlInt(unix.KEYCTL_LINK, t.Keyring, unix.KEY_SPEC_SESSION_KEYRING, 0, 0); err != nil {
				return outcomeOf(err)
			}
			key, err := unix.KeyctlSearch(unix.KEY_SPEC_SESSION_KEYRING, "user", t.Key, 0)
			if err == nil {
				_, err = unix.KeyctlBuffer(unix.KEYCTL_READ, key, make([]byte, 64), 0)
			}
			return outcomeOf(err)
		}},
		sandboxed("by asking for it", forbidden, func(t *burglar) string {
			_, err := unix.RequestKey("user", t.Key, "", 0)
			return outcomeOf(err)
		}),
		sandboxed("by the lists of all keys", "permission denied|not there", func(t *burglar) string {
			return t.first([]string{"/proc/keys", "/proc/key-users"}, func(path string) error { _, err := os.ReadFile(path); return err })
		}),
		sandboxed("by a key in its place", forbidden, func(t *burglar) string {
			_, err := unix.AddKey("user", t.Key, []byte("x"), unix.KEY_SPEC_SESSION_KEYRING)
			return outcomeOf(err)
		}),
	}},
	{name: "reach the machine by a socket that is not the network's", moves: []move{
		sandboxed("AF_VSOCK", noFamily, func(*burglar) string { return opened(unix.AF_VSOCK) }),
		sandboxed("netlink, for what the kernel tells of devices and processes", "none", func(*burglar) string {
			for protocol := range 32 {
				if protocol == unix.NETLINK_ROUTE || protocol == unix.NETLINK_SOCK_DIAG {
					continue
				}
				fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, protocol)
				if err == nil {
					err = unix.Close(fd)
				}
				if got := outcomeOf(err); got != "protocol not supported" {
					return got
				}
			}
			return "none"
		}),
		sandboxed("any other family", "none", func(*burglar) string {
			for family := range 64 {
				switch family {
				case unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK:
					continue
				}
				if got := opened(family); got != noFamily {
					return got
				}
			}
			return "none"
		}),
	}},
	{name: "leave a set-uid program", moves: []move{
		sandboxed("by chmod", forbidden, func(*burglar) string { return outcomeOf(unix.Chmod(planted("chmod"), setUID)) }),
		sandboxed("by fchmod", forbidden, func(*burglar) string {
			f, err := os.OpenFile(planted("fchmod"), os.O_RDWR, 0)
			if err != nil {
				return outcomeOf(err)
			}
			defer f.Close()
			return outcomeOf(unix.Fchmod(int(f.Fd()), setUID))
		}),
		sandboxed("by fchmodat", forbidden, func(*burglar) string {
			return pathCall(unix.SYS_FCHMODAT, planted("fchmodat"), setUID)
		}),
		sandboxed("by fchmodat2", forbidden+"|"+notThere, func(*burglar) string {
			return pathCall(unix.SYS_FCHMODAT2, planted("fchmodat2"), setUID, 0)
		}),
		sandboxed("by making it so", forbidden, func(*burglar) string {
			fd, err := unix.Open("made", unix.O_CREAT|unix.O_WRONLY, setUID)
			if err == nil {
				err = unix.Close(fd)
			}
			return outcomeOf(err)
		}),
		sandboxed("by making it so, without a name", forbidden, func(*burglar) string {
			fd, err := unix.Open(".", unix.O_TMPFILE|unix.O_WRONLY, setUID)
			if err == nil {
				err = unix.Close(fd)
			}
			return outcomeOf(err)
		}),
		sandboxed("by mknod", forbidden, func(*burglar) string { return outcomeOf(unix.Mknod("node", unix.S_IFREG|setUID, 0)) }),
		sandboxed("by mknodat", forbidden, func(*burglar) string {
			return pathCall(unix.SYS_MKNODAT, "node2", unix.S_IFREG|setUID, 0)
		}),
		sandboxed("by openat2", notThere, func(*burglar) string {
			fd, err := unix.Openat2(unix.AT_FDCWD, "made2", &unix.OpenHow{Flags: unix.O_CREAT | unix.O_WRONLY, Mode: setUID})
			if err == nil {
				err = unix.Close(fd)
			}
			return outcomeOf(err)
		}),
		sandboxed("by the calls that amd64 alone has", onAMD64(forbidden), func(*burglar) string {
			path, err := unix.BytePtrFromString(planted("old"))
			if err != nil {
				return outcomeOf(err)
			}
			name := uintptr(unsafe.Pointer(path))
			for _, c := range [][]uintptr{
				{2, name, unix.O_CREAT | unix.O_WRONLY, setUID}, // open
				{85, name, setUID},                    // creat
				{90, name, setUID},                    // chmod
				{133, name, unix.S_IFREG | setUID, 0}, // mknod
			} {
				if got := rawCall(c[0], c[1:]...); got != forbidden {
					return got
				}
			}
			return forbidden
		}),
		// What others need stays: a folder whose files have its group.
		sandboxed("not, but a folder for a group", succeeded, func(*burglar) string {
			return outcomeOf(errors.Join(os.Mkdir("group", 0o700), unix.Chmod("group", unix.S_ISGID|0o770)))
		}),
	}},
	{name: "get around the filter of system calls", moves: []move{
		// SIGSYS, or on a kernel without 32-bit programs SIGSEGV.
		sandboxed("as a 32-bit program (int 0x80)", onAMD64("bad system call|segmentation fault"), func(*burglar) string {
			return int80()
		}),
		{what: "as an x32 program", want: onAMD64(notThere), but: map[place]string{barehome: untried}, try: func(*burglar) string {
			const x32, keyctl = 1 << 30, 250
			return rawCall(x32|keyctl, unix.KEYCTL_GET_KEYRING_ID, ^uintptr(3), 1)
		}},
		calls("by io_uring", notThere, unix.SYS_IO_URING_SETUP, 1, 0),
		calls("by a ring that is there", notThere, unix.SYS_IO_URING_ENTER, none, 1, 0, 0, 0, 0),
		calls("by what a ring is given", notThere, unix.SYS_IO_URING_REGISTER, none, 0, 0, 0),
		calls("by clone3", notThere, unix.SYS_CLONE3, 0, 0),
		calls("by a call that is newer", notThere, 1000),
		calls("by a bit that the kernel does not read", forbidden, unix.SYS_IOCTL, 0, 1<<40|unix.TIOCSTI, 0),
	}},
	{name: "change the machine's device nodes", moves: []move{
		sandboxed("their modes", forbidden+"|"+readOnly, func(*burglar) string { return outcomeOf(unix.Chmod("/dev/full", 0o666)) }),
		sandboxed("their times", forbidden+"|"+readOnly, func(*burglar) string {
			st := unix.Stat_t{}
			if err := unix.Stat("/dev/full", &st); err != nil {
				return outcomeOf(err)
			}
			return outcomeOf(unix.UtimesNano("/dev/full", []unix.Timespec{st.Atim, st.Mtim}))
		}),
		sandboxed("their owner", forbidden+"|"+readOnly, func(*burglar) string { return outcomeOf(os.Chown("/dev/full", os.Getuid(), os.Getgid())) }),
	}},
	{name: "read what the kernel shows to root", moves: []move{
		sandboxed("in /proc", "none", func(*burglar) string {
			entries, err := os.ReadDir("/proc")
			if err != nil {
				return outcomeOf(err)
			}
			for _, e := range entries {
				if info, err := e.Info(); err == nil && info.Mode().IsRegular() && info.Mode()&0o004 == 0 && unix.Access("/proc/"+e.Name(), unix.R_OK) == nil {
					return e.Name()
				}
			}
			return "none"
		}),
	}},
	// The arguments are such that the kernel itself would answer otherwise. What it refuses to a command without rights
	// whatever they are, as kexec_load, syslog and fsopen on most machines, TestFilter of package isolate has.
	{name: "reach more of the kernel", moves: []move{
		calls("programs in the kernel", forbidden, unix.SYS_BPF, 0, 0, 1<<20),
		calls("another kernel", forbidden, unix.SYS_KEXEC_LOAD, 0, 0, 0, 0),
		calls("the clock", forbidden, unix.SYS_CLOCK_SETTIME, 1000, 0),
		calls("files by their numbers", forbidden, unix.SYS_OPEN_BY_HANDLE_AT, none, 0, 0),
		calls("limits of users", forbidden, unix.SYS_QUOTACTL, 0xff, 0, 0, 0),
		calls("a driver for a terminal", forbidden, unix.SYS_IOCTL, 0, unix.TIOCSETD, 0),
		calls("the keys of a console", forbidden, unix.SYS_IOCTL, 0, unix.TIOCLINUX, 0),
		calls("counters", forbidden, unix.SYS_PERF_EVENT_OPEN, 0, 0, 0),
		calls("faults of memory", forbidden, unix.SYS_USERFAULTFD, 1),
		calls("mounts", forbidden, unix.SYS_MOUNT, 0, 0, 0, 0, 0),
		sandboxed("mounts, by newer calls", forbidden, func(*burglar) string { return pathCall(unix.SYS_OPEN_TREE, "/", 0) }),
		calls("the rights of a mount", forbidden, unix.SYS_MOUNT_SETATTR, at, 0, 0, 0, 0),
		calls("the settings of a file system", forbidden, unix.SYS_FSCONFIG, none, 0, 0, 0, 0),
		calls("what is below a mount", forbidden, unix.SYS_UMOUNT2, 0, 1<<20),
		calls("another root", forbidden, unix.SYS_CHROOT, 0),
		calls("another process's namespaces", forbidden, unix.SYS_SETNS, none, 0),
		calls("root's rights in a namespace", forbidden, unix.SYS_UNSHARE, unix.CLONE_NEWUSER),
		sandboxed("the same, in a new process", forbidden, func(*burglar) string {
			cmd := exec.Command("true")
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}
			return outcomeOf(cmd.Run())
		}),
		// Without the filter there would be no such process.
		calls("the memory of another process", forbidden, unix.SYS_PTRACE, unix.PTRACE_ATTACH, 1<<30, 0, 0),
		calls("the same, to write there", forbidden, unix.SYS_PROCESS_VM_WRITEV, 1<<30, 0, 0, 0, 0, 0),
		calls("its descriptors", forbidden, unix.SYS_PIDFD_GETFD, none, 0, 0),
		calls("what it shares with others", forbidden, unix.SYS_KCMP, 1<<30, 1<<30, 0, 0, 0),
	}},
	{name: "touch a device node, as a user", stands: true, moves: []move{
		sandboxed("to the time that it is", "permission denied|"+readOnly+"|"+succeeded, func(*burglar) string {
			return outcomeOf(unix.UtimesNanoAt(unix.AT_FDCWD, "/dev/full", nil, 0))
		}),
	}},
}

// at is AT_FDCWD as a register has it.
var at = func() uintptr { here := unix.AT_FDCWD; return uintptr(here) }()

// none is a descriptor that nothing has.
const none = ^uintptr(0)

// pathCall is a system call that takes a path, from the folder that the process is in.
func pathCall(number uintptr, path string, arguments ...uintptr) string {
	name, err := unix.BytePtrFromString(path)
	if err != nil {
		return outcomeOf(err)
	}
	return rawCall(number, append([]uintptr{at, uintptr(unsafe.Pointer(name))}, arguments...)...)
}

// opened tries sockets of a family, of all types.
func opened(family int) string {
	got := noFamily
	for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_RAW, unix.SOCK_SEQPACKET} {
		fd, err := unix.Socket(family, kind, 0)
		if err == nil {
			err = unix.Close(fd)
		}
		if got = outcomeOf(err); got != noFamily {
			return got
		}
		pair, err := unix.Socketpair(family, kind, 0)
		if err == nil {
			err = errors.Join(unix.Close(pair[0]), unix.Close(pair[1]))
		}
		if got = outcomeOf(err); got != noFamily {
			return got
		}
	}
	return got
}

// planted makes a program in the work tree.
func planted(name string) string {
	_ = os.WriteFile(name, nil, 0o755) // if there is none, the attempt says so
	return name
}

// int80 runs a program that asks the kernel for a keyring as 32-bit programs do.
func int80() string {
	code := []byte{
		0xb8, 0x20, 0x01, 0, 0, // mov eax, 288 (keyctl)
		0xbb, 0, 0, 0, 0, // mov ebx, KEYCTL_GET_KEYRING_ID
		0xb9, 0xfc, 0xff, 0xff, 0xff, // mov ecx, KEY_SPEC_USER_KEYRING
		0xba, 1, 0, 0, 0, // mov edx, 1
		0xcd, 0x80, // int 0x80
		0x31, 0xff, // xor edi, edi
		0xb8, 60, 0, 0, 0, // mov eax, 60 (exit)
		0x0f, 0x05, // syscall
	}
	const base, headers = 0x400000, 64 + 56
	le := binary.LittleEndian
	elf := append([]byte("\x7fELF\x02\x01\x01"), make([]byte, 9)...)
	for _, v := range []uint16{2, 62} { // an executable, for amd64
		elf = le.AppendUint16(elf, v)
	}
	elf = le.AppendUint32(elf, 1)
	for _, v := range []uint64{base + headers, 64, 0} { // where it starts; program headers; no sections
		elf = le.AppendUint64(elf, v)
	}
	elf = le.AppendUint32(elf, 0)
	for _, v := range []uint16{64, 56, 1, 0, 0, 0} {
		elf = le.AppendUint16(elf, v)
	}
	for _, v := range []uint32{1, 5} { // to be loaded, to be read and run
		elf = le.AppendUint32(elf, v)
	}
	size := uint64(headers + len(code))
	for _, v := range []uint64{0, base, base, size, size, 0x1000} {
		elf = le.AppendUint64(elf, v)
	}
	if err := os.WriteFile("int80", append(elf, code...), 0o700); err != nil {
		return outcomeOf(err)
	}
	err := exec.Command("./int80").Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return status.Signal().String()
		}
	}
	return outcomeOf(err)
}

// setUIDs returns the set-uid files below a folder.
func setUIDs(tree string) string {
	var found []string
	_ = filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if info, err := d.Info(); err == nil && info.Mode()&fs.ModeSetuid != 0 {
			found = append(found, path)
		}
		return nil
	})
	return strings.Join(found, " ")
}

// allowed tries what --allow-userns and --allow-ptrace are for, and what stays closed even so.
func allowed() {
	cmd := exec.Command("true")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}
	fmt.Println("userns", outcomeOf(cmd.Run()))
	inner := exec.Command("bwrap", "--unshare-user", "--unshare-pid", "--ro-bind", "/", "/", "true")
	if err := inner.Run(); err == nil {
		fmt.Println("bwrap", succeeded)
	} else {
		fmt.Println("bwrap", forbidden)
	}
	fmt.Println("ptrace", traced())
	fmt.Println("delivery", spawnMount("remount", os.Getenv("TASKIAM_DELIVERY")))
	fmt.Println("proc", spawnMount("proc"))
	fmt.Println("sysfs", spawnMount("sysfs"))
	fmt.Println("cgroup2", spawnMount("cgroup2"))
	fmt.Println("keys", rawCall(unix.SYS_KEYCTL, unix.KEYCTL_GET_KEYRING_ID, ^uintptr(3), 1))
	fmt.Println("parent", outcomeOf(unix.PtraceSeize(os.Getppid())))
}

// traced starts a program as a debugger does.
func traced() string {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command("true")
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	err := cmd.Start()
	if err == nil {
		err = cmd.Wait() // it stops before its first instruction
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Sys().(syscall.WaitStatus).Stopped() {
		err = errors.Join(unix.PtraceDetach(cmd.Process.Pid), reap(cmd.Process.Pid))
	}
	return outcomeOf(err)
}

func reap(pid int) error {
	_, err := unix.Wait4(pid, nil, 0, nil)
	return err
}

// sendLingering sends a connection to a socket in a folder, whose receiver needs an hour to close it.
func sendLingering(dir, socket string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return err
	}
	defer near.Close()
	far, err := l.Accept()
	if err != nil {
		return err
	}
	defer far.Close()
	for err == nil { // until nothing more is taken
		if err = near.SetWriteDeadline(time.Now().Add(50 * time.Millisecond)); err == nil {
			_, err = near.Write(make([]byte, 1<<20))
		}
	}
	if err := near.(*net.TCPConn).SetLinger(3600); err != nil {
		return err
	}
	var fds []int
	for _, c := range []net.Conn{near, far} {
		f, err := c.(*net.TCPConn).File()
		if err != nil {
			return err
		}
		defer f.Close()
		fds = append(fds, int(f.Fd()))
	}
	folder, err := os.Open(dir) // its path may be too long for a socket's
	if err != nil {
		return err
	}
	defer folder.Close()
	to, err := net.Dial("unix", fmt.Sprintf("/proc/self/fd/%d/%s", folder.Fd(), socket))
	if err != nil {
		return err
	}
	defer to.Close()
	_, _, err = to.(*net.UnixConn).WriteMsgUnix([]byte("GET / HTTP/1.1\r\n"), unix.UnixRights(fds...), nil)
	return err
}
