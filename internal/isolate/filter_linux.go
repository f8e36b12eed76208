package isolate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// refusal is a set of system calls that the filter answers with an error.
type refusal struct {
	answer unix.Errno
	// calls are names. An architecture may lack some of them: arm64 has no chmod, only fchmodat.
	calls []string
	// when has to hold for the arguments; all of it, and nothing is always.
	when []test
}

// test looks at the lower half of an argument, which is all that the kernel reads of those
// that are tested here. With a test of the upper half, a bit there would get a call through.
type test struct {
	argument uint32
	// anyBit holds if one of these bits is set. If it is 0, the test is whether the argument
	// is one of the values, or if others is set, whether it is none of them.
	anyBit uint32
	values []uint32
	others bool
}

const setUID = unix.S_ISUID

// makesFile are the flags of open with which it has a mode. Without them that argument is
// whatever was in the register.
const makesFile = unix.O_CREAT | 0o20000000 // __O_TMPFILE

// families are the socket families that a command may use. All others are ways past the
// namespaces (AF_VSOCK has the machine's ports even without a network) or into rarely used
// parts of the kernel.
var families = []uint32{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK}

// protocols are what a command may ask of the kernel by AF_NETLINK: addresses and routes, and lists
// of sockets. Others tell of the whole machine, such as which devices are plugged in (uevents) and,
// from Linux 6.6 on, which processes begin and end (the connector).
var protocols = []uint32{unix.NETLINK_ROUTE, unix.NETLINK_SOCK_DIAG}

// always is refused in every sandbox. What has no namespace belongs to the whole machine.
var always = []refusal{
	// Programs take "no such call" for an older kernel and use another call, which the filter
	// understands: these have their flags and modes in memory, where it cannot look.
	{answer: unix.ENOSYS, calls: []string{"openat2", "clone3", "io_uring_setup", "io_uring_enter", "io_uring_register"}},
	// Keyrings: those of the operator are found by number, whoever asks.
	{answer: unix.EPERM, calls: []string{"add_key", "request_key", "keyctl"}},
	// The kernel itself: its programs, modules, log, clock and counters.
	{answer: unix.EPERM, calls: []string{
		"bpf", "perf_event_open", "userfaultfd", "kexec_load", "kexec_file_load", "init_module", "finit_module",
		"delete_module", "reboot", "swapon", "swapoff", "acct", "quotactl", "quotactl_fd", "syslog", "settimeofday",
		"clock_settime", "iopl", "ioperm", "lookup_dcookie", "open_by_handle_at", "nfsservctl", "uselib", "vhangup",
	}},
	{answer: unix.EAFNOSUPPORT, calls: []string{"socket", "socketpair"}, when: []test{{argument: 0, values: families, others: true}}},
	{answer: unix.EPROTONOSUPPORT, calls: []string{"socket"}, when: []test{
		{argument: 0, values: []uint32{unix.AF_NETLINK}}, {argument: 2, values: protocols, others: true},
	}},
	// Typing into a terminal, and having the kernel load a driver for one.
	{answer: unix.EPERM, calls: []string{"ioctl"}, when: []test{
		{argument: 1, values: []uint32{unix.TIOCSTI, unix.TIOCLINUX, unix.TIOCSETD}},
	}},
	// Set-uid programs would outlive the sandbox, in the work tree. Set-gid is allowed, because
	// git and others need it for folders, and the call does not say what the path is.
	{answer: unix.EPERM, calls: []string{"chmod", "fchmod", "mknod", "creat"}, when: []test{{argument: 1, anyBit: setUID}}},
	{answer: unix.EPERM, calls: []string{"fchmodat", "fchmodat2", "mknodat"}, when: []test{{argument: 2, anyBit: setUID}}},
	{answer: unix.EPERM, calls: []string{"open"}, when: []test{{argument: 1, anyBit: makesFile}, {argument: 2, anyBit: setUID}}},
	{answer: unix.EPERM, calls: []string{"openat"}, when: []test{{argument: 2, anyBit: makesFile}, {argument: 3, anyBit: setUID}}},
}

// debugging is how a process gets at the memory and the descriptors of another one.
var debugging = []refusal{
	{answer: unix.EPERM, calls: []string{"ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp"}},
}

// namespaces is how a process becomes root of namespaces of its own, and what it could do
// there. It makes much more of the kernel reachable.
var namespaces = []refusal{
	{answer: unix.EPERM, calls: []string{"clone", "unshare"}, when: []test{{argument: 0, anyBit: unix.CLONE_NEWUSER}}},
	{answer: unix.EPERM, calls: []string{
		"setns", "chroot", "pivot_root", "mount", "umount2", "open_tree", "open_tree_attr", "move_mount", "fsopen", "fsconfig",
		"fsmount", "fspick", "mount_setattr",
	}},
}

// refusals returns what the sandbox's filter refuses.
func (s Spec) refusals() []refusal {
	all := slices.Clone(always)
	if !s.AllowPtrace {
		all = append(all, debugging...)
	}
	if !s.AllowUserns {
		all = append(all, namespaces...)
	}
	return all
}

// filter returns the system call filter as a file that bubblewrap reads.
func (s Spec) filter() (*os.File, error) {
	program, err := assemble(s.refusals(), runtime.GOARCH)
	if err != nil {
		return nil, fmt.Errorf("making the filter of system calls: %w", err)
	}
	raw, err := bpf.Assemble(program)
	if err != nil {
		return nil, fmt.Errorf("making the filter of system calls: %w", err)
	}
	var b []byte // an array of struct sock_filter
	for _, i := range raw {
		b = binary.NativeEndian.AppendUint16(b, i.Op)
		b = append(b, i.Jt, i.Jf)
		b = binary.NativeEndian.AppendUint32(b, i.K)
	}
	return inMemory("the filter of system calls", b)
}

// inMemory returns a file that is in no folder, to be read from its beginning.
func inMemory(what string, b []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making a file for %s: %w", what, err)
	}
	f := os.NewFile(uintptr(fd), what)
	_, err = f.Write(b)
	if err == nil {
		_, err = f.Seek(0, 0)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("writing %s: %w", what, err), f.Close())
	}
	return f, nil
}

// Where a filter finds the number of the call and the architecture in struct seccomp_data.
const (
	numberAt       = 0
	architectureAt = 4
	wordSize       = 4
)

// assemble returns the filter for an architecture, by Go's name for it.
//
// Its frame is ours and not the library's, which allows everything to programs of another
// architecture, such as 32-bit calls (int 0x80) on amd64: here these end the process. Calls
// that the library's table does not have do not exist, be they newer than it or in its gaps,
// and neither do those of x32, whose numbers are higher.
func assemble(refusals []refusal, goarch string) ([]bpf.Instruction, error) {
	// Others have calls that the rules do not know: on 386, socketcall takes the family of a socket in memory.
	if goarch != "amd64" && goarch != "arm64" {
		return nil, fmt.Errorf("there is none for %s, only for amd64 and arm64", goarch)
	}
	machine, err := arch.GetInfo(goarch)
	if err != nil {
		return nil, err
	}
	p := seccomp.NewProgram()
	reply := func(e unix.Errno) { p.Ret(seccomp.ActionErrno | seccomp.Action(e)) }

	for _, g := range gaps(machine.SyscallNumbers) {
		known := p.NewLabel()
		p.JmpIfTrue(bpf.JumpLessThan, g.first, known)
		p.JmpIfTrue(bpf.JumpGreaterThan, g.last, known)
		reply(unix.ENOSYS)
		p.SetLabel(known)
	}
	names, rules := byCall(refusals)
	for _, name := range names {
		number, has := machine.SyscallNames[name]
		if !has {
			continue
		}
		other := p.NewLabel()
		p.JmpIfTrue(bpf.JumpNotEqual, uint32(number), other)
		always := false
		for _, r := range rules[name] {
			if always {
				return nil, fmt.Errorf("%s has a rule after one that always holds", name)
			}
			if always = len(r.when) == 0; always {
				reply(r.answer)
				continue
			}
			next := p.NewLabel()
			for _, t := range r.when {
				t.assemble(&p, next)
			}
			reply(r.answer)
			p.SetLabel(next)
		}
		if !always {
			p.Ret(seccomp.ActionAllow)
		}
		p.SetLabel(other)
	}
	p.Ret(seccomp.ActionAllow)
	decide, err := p.Assemble()
	if err != nil {
		return nil, err
	}
	return slices.Concat([]bpf.Instruction{
		bpf.LoadAbsolute{Off: architectureAt, Size: wordSize},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(machine.ID), SkipTrue: 1},
		bpf.RetConstant{Val: uint32(seccomp.ActionKillProcess)},
		bpf.LoadAbsolute{Off: numberAt, Size: wordSize},
	}, decide), nil
}

// gap is a range of numbers of which no call is known.
type gap struct{ first, last uint32 }

// gaps returns the numbers that a table does not have, the highest first: what is newer than the table.
func gaps(table map[int]string) []gap {
	var out []gap
	last := uint32(1<<32 - 1)
	for _, number := range slices.Backward(slices.Sorted(maps.Keys(table))) {
		if first := uint32(number) + 1; first <= last {
			out = append(out, gap{first, last})
		}
		last = uint32(number) - 1
	}
	return out
}

// byCall returns the names of all calls that have rules, and the rules of each, in their order.
func byCall(refusals []refusal) (names []string, rules map[string][]refusal) {
	rules = map[string][]refusal{}
	for _, r := range refusals {
		for _, name := range r.calls {
			if rules[name] == nil {
				names = append(names, name)
			}
			rules[name] = append(rules[name], r)
		}
	}
	return names, rules
}

// assemble goes on if the test holds, and to failed if it does not.
func (t test) assemble(p *seccomp.Program, failed seccomp.Label) {
	holds := p.NewLabel()
	p.LdLo(t.argument)
	if t.anyBit != 0 {
		p.JmpIf(bpf.JumpBitsSet, t.anyBit, holds, failed)
		p.SetLabel(holds)
		return
	}
	found, missing := holds, failed
	if t.others {
		found, missing = failed, holds
	}
	for i, value := range t.values {
		if i == len(t.values)-1 {
			p.JmpIf(bpf.JumpEqual, value, found, missing)
			break
		}
		p.JmpIfTrue(bpf.JumpEqual, value, found)
	}
	p.SetLabel(holds)
}
