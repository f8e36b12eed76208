package isolate

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// call is a system call as a filter sees it.
type call struct {
	architecture arch.AuditArch
	number       uint32
	arguments    [6]uint64
}

// answer lets a filter decide: "allowed", "killed" or the error.
func answer(t *testing.T, program []bpf.Instruction, c call) string {
	t.Helper()
	vm, err := bpf.NewVM(program)
	if err != nil {
		t.Fatal(err)
	}
	// struct seccomp_data of a machine with the lower half of a word first. The machine of
	// package bpf reads each half as a network does.
	data := make([]byte, 64)
	put := func(at int, word uint32) { binary.BigEndian.PutUint32(data[at:], word) }
	put(numberAt, c.number)
	put(architectureAt, uint32(c.architecture))
	for i, argument := range c.arguments {
		put(16+8*i, uint32(argument))
		put(20+8*i, uint32(argument>>32))
	}
	result, err := vm.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	switch action := uint32(result); {
	case action == uint32(seccomp.ActionAllow):
		return "allowed"
	case action == uint32(seccomp.ActionKillProcess):
		return "killed"
	case action&0xffff0000 == uint32(seccomp.ActionErrno):
		return unix.ErrnoName(unix.Errno(action & 0xffff))
	default:
		return fmt.Sprintf("%#x", action)
	}
}

func TestFilter(t *testing.T) {
	t.Parallel()
	const high = 1 << 40 // a bit that the kernel does not read
	type row struct {
		name string
		args [6]uint64
		want string
	}
	rows := []row{
		{"read", [6]uint64{}, "allowed"}, {"execve", [6]uint64{}, "allowed"}, {"seccomp", [6]uint64{}, "allowed"},
		{"futex_waitv", [6]uint64{}, "allowed"},
		{"clone", [6]uint64{unix.CLONE_VM | unix.CLONE_THREAD}, "allowed"},
		{"unshare", [6]uint64{unix.CLONE_FS}, "allowed"},
		{"ioctl", [6]uint64{0, unix.TCGETS}, "allowed"}, {"ioctl", [6]uint64{0, unix.TIOCSTI}, "EPERM"},
		{"ioctl", [6]uint64{0, high | unix.TIOCSTI}, "EPERM"}, {"ioctl", [6]uint64{0, high | unix.TIOCLINUX}, "EPERM"},
		{"ioctl", [6]uint64{0, unix.TIOCSETD}, "EPERM"},
		{"fchmod", [6]uint64{3, 0o755}, "allowed"}, {"fchmod", [6]uint64{3, 0o2755}, "allowed"},
		{"fchmod", [6]uint64{3, 0o4755}, "EPERM"}, {"fchmod", [6]uint64{3, high | 0o6755}, "EPERM"},
		{"fchmodat", [6]uint64{3, 0, 0o2755}, "allowed"}, {"fchmodat", [6]uint64{3, 0, 0o4000}, "EPERM"},
		{"fchmodat2", [6]uint64{3, 0, 0o2755}, "allowed"}, {"fchmodat2", [6]uint64{3, 0, 0o4755}, "EPERM"},
		{"mknodat", [6]uint64{3, 0, unix.S_IFREG | 0o4755}, "EPERM"}, {"mknodat", [6]uint64{3, 0, unix.S_IFIFO | 0o600}, "allowed"},
		{"openat", [6]uint64{3, 0, unix.O_CREAT | unix.O_WRONLY, 0o644}, "allowed"},
		{"openat", [6]uint64{3, 0, unix.O_CREAT | unix.O_WRONLY, 0o4755}, "EPERM"},
		{"openat", [6]uint64{3, 0, unix.O_TMPFILE | unix.O_RDWR, 0o4755}, "EPERM"},
		{"openat", [6]uint64{3, 0, high | unix.O_CREAT, high | 0o4755}, "EPERM"},
		// There is no mode without one of these flags; the register may hold anything.
		{"openat", [6]uint64{3, 0, unix.O_RDONLY | unix.O_CLOEXEC, 0xffffffff}, "allowed"},
	}
	for answer, names := range map[string]string{
		"ENOSYS": "openat2 clone3 io_uring_setup io_uring_enter io_uring_register",
		"EPERM": `keyctl add_key request_key bpf perf_event_open userfaultfd kexec_load kexec_file_load init_module
			finit_module delete_module reboot swapon swapoff acct quotactl quotactl_fd syslog settimeofday clock_settime
			lookup_dcookie open_by_handle_at nfsservctl vhangup`,
	} {
		for name := range strings.FieldsSeq(names) {
			rows = append(rows, row{name, [6]uint64{}, answer})
		}
	}
	for _, name := range []string{"socket", "socketpair"} {
		for family := range uint64(64) {
			want := "EAFNOSUPPORT"
			switch family {
			case unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK:
				want = "allowed"
			}
			rows = append(rows, row{name, [6]uint64{family}, want}, row{name, [6]uint64{high | family}, want})
		}
	}
	for protocol := range uint64(32) {
		want := "EPROTONOSUPPORT"
		if protocol == unix.NETLINK_ROUTE || protocol == unix.NETLINK_SOCK_DIAG {
			want = "allowed"
		}
		for _, bit := range []uint64{0, high} {
			rows = append(rows,
				row{"socket", [6]uint64{bit | unix.AF_NETLINK, unix.SOCK_RAW, bit | protocol}, want},
				row{"socket", [6]uint64{unix.AF_INET, unix.SOCK_RAW, protocol}, "allowed"})
		}
	}
	widens := map[bool]string{true: "allowed", false: "EPERM"}
	for _, machine := range []struct {
		goarch string
		own    *arch.Info
		others []*arch.Info
	}{
		{"amd64", arch.X86_64, []*arch.Info{arch.I386, arch.AARCH64}},
		{"arm64", arch.AARCH64, []*arch.Info{arch.ARM, arch.X86_64}},
	} {
		for _, s := range []Spec{{}, {AllowUserns: true}, {AllowPtrace: true}, {AllowUserns: true, AllowPtrace: true}} {
			program, err := assemble(s.refusals(), machine.goarch)
			if err != nil {
				t.Fatal(err)
			}
			if raw, err := bpf.Assemble(program); err != nil || len(raw) > 4096 {
				t.Fatalf("%s: %d instructions, %v", machine.goarch, len(raw), err)
			}
			number := func(name string) uint32 {
				n, has := machine.own.SyscallNames[name]
				if !has {
					t.Fatalf("%s has no %s", machine.goarch, name)
				}
				return uint32(n)
			}
			all := rows
			for _, name := range []string{"ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp"} {
				all = append(all, row{name, [6]uint64{}, widens[s.AllowPtrace]})
			}
			for _, name := range []string{
				"setns", "chroot", "pivot_root", "mount", "umount2", "open_tree", "open_tree_attr", "move_mount", "fsopen",
				"fsconfig", "fsmount", "fspick", "mount_setattr",
			} {
				all = append(all, row{name, [6]uint64{}, widens[s.AllowUserns]})
			}
			for _, name := range []string{"clone", "unshare"} {
				for _, flags := range []uint64{unix.CLONE_NEWUSER, unix.CLONE_NEWUSER | unix.CLONE_NEWNS, high | unix.CLONE_NEWUSER} {
					all = append(all, row{name, [6]uint64{flags}, widens[s.AllowUserns]})
				}
			}
			if machine.goarch == "amd64" {
				all = append(all,
					row{"open", [6]uint64{0, unix.O_CREAT, 0o4755}, "EPERM"}, row{"open", [6]uint64{0, unix.O_CREAT, 0o755}, "allowed"},
					row{"open", [6]uint64{0, unix.O_RDONLY, 0o4755}, "allowed"}, row{"chmod", [6]uint64{0, 0o4755}, "EPERM"},
					row{"chmod", [6]uint64{0, 0o2755}, "allowed"}, row{"creat", [6]uint64{0, 0o4755}, "EPERM"},
					row{"mknod", [6]uint64{0, unix.S_IFREG | 0o4755}, "EPERM"}, row{"ioperm", [6]uint64{}, "EPERM"},
					row{"iopl", [6]uint64{}, "EPERM"}, row{"uselib", [6]uint64{}, "EPERM"})
			}
			refused := map[string]bool{}
			for _, r := range all {
				refused[r.name+" "+r.want] = true
				c := call{machine.own.ID, number(r.name), r.args}
				if got := answer(t, program, c); got != r.want {
					t.Errorf("%s, userns %t, ptrace %t: %s%#x is %s, want %s",
						machine.goarch, s.AllowUserns, s.AllowPtrace, r.name, r.args, got, r.want)
				}
				// Another architecture's programs call by other numbers, so none is let through.
				for _, other := range machine.others {
					if got := answer(t, program, call{other.ID, c.number, c.arguments}); got != "killed" {
						t.Errorf("%s: %s from %s is %s", machine.goarch, r.name, other.Name, got)
					}
				}
			}
			// No call is refused that has no row here: taking it out of the filter is noticed.
			for _, r := range s.refusals() {
				for _, name := range r.calls {
					if _, has := machine.own.SyscallNames[name]; has && !refused[name+" "+unix.ErrnoName(r.answer)] {
						t.Errorf("%s: no row has %s refused with %s", machine.goarch, name, unix.ErrnoName(r.answer))
					}
				}
			}
			// What is newer than the table or in one of its gaps, and what x32 calls, does not exist.
			unknown := []uint32{1000, 1 << 30, 1<<30 | number("keyctl"), 1<<32 - 1}
			for n := range 600 {
				if _, has := machine.own.SyscallNumbers[n]; !has {
					unknown = append(unknown, uint32(n))
				}
			}
			for _, n := range unknown {
				if got := answer(t, program, call{machine.own.ID, n, [6]uint64{}}); got != "ENOSYS" {
					t.Errorf("%s: call %#x is %s", machine.goarch, n, got)
				}
			}
		}
	}
	for _, other := range []string{"386", "arm", "riscv64"} {
		if _, err := assemble(always, other); err == nil {
			t.Errorf("there is a filter for %s, whose calls the rules do not know", other)
		}
	}
}

// TestFilterKnowsItsCalls keeps a misspelt name from being a call that no architecture has.
func TestFilterKnowsItsCalls(t *testing.T) {
	t.Parallel()
	for _, r := range (Spec{}).refusals() {
		for _, name := range r.calls {
			_, amd := arch.X86_64.SyscallNames[name]
			_, arm := arch.AARCH64.SyscallNames[name]
			if !amd && !arm {
				t.Errorf("no architecture has %s", name)
			}
		}
	}
}
