// Package isolate puts a command into a sandbox that bubblewrap makes: the system
// read-only, a HOME of its own, the work tree, the delivery of its run, and nothing
// else of the user's files or processes.
//
// It has two halves. Outside, a [Spec] becomes bubblewrap's arguments, [Box] starts
// bubblewrap and sends signals to the command, package relay carries connections out of a
// sandbox without a network, and [OnlyFrom] limits a server on loopback to one sandbox.
// Inside, [Inside] is the first process: it drops the rights that bubblewrap leaves,
// starts the command and forwards signals to it.
//
// Its invariants: the sandbox sees only what the Spec names, and no value of an
// environment variable, which may be a secret, is ever part of an argument. The package
// knows nothing of runs, clouds and credentials: a delivery is just a folder.
package isolate

import (
	"cmp"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/taskiam/taskiam/internal/paths"
)

// Network is how much of the network a sandbox has.
type Network int

const (
	// Shared is the machine's own network, with every server on its loopback.
	Shared Network = iota
	// None is a loopback of the sandbox's own, on which only [Spec.Forwards] listen.
	None
)

// Where this program and the sockets are in the sandbox. The folder is the sandbox's own:
// it shows nothing of the machine's /run.
const (
	ownFolder   = "/run/taskiam"
	programName = ownFolder + "/taskiam"
)

// Forward connects an address on the loopback of a sandbox without a network with a unix
// socket outside, on which [relay.Relay] listens.
type Forward struct {
	Address string // HOST:PORT, inside
	Socket  string // path, outside
}

// inside is the path of the socket in the sandbox.
func (f Forward) inside() string { return filepath.Join(ownFolder, filepath.Base(f.Socket)) }

// Spec describes a sandbox. All paths are absolute and without symbolic links, and
// are the same inside as outside.
type Spec struct {
	// Program is this program, which is the first process in the sandbox. It
	// understands "isolated" and what [ParseInside] reads.
	Program string
	// Command is what runs in it, looked up there, and Environ are its variables. No other
	// process gets these.
	Command, Environ []string
	// System is the machine's own software, as [System] finds it.
	System []Mount
	// Home is a folder that is empty at first and removed at the end.
	Home string
	// WorkTree is where the command starts: writable, unless KeepTree says that it is not.
	WorkTree string
	KeepTree bool
	// Delivery is read-only, except for the folders in it that Private names, which are
	// empty at first and removed at the end. "" is none.
	Delivery string
	Private  []string
	// ReadOnly and Writable are further files and folders.
	ReadOnly, Writable []string
	// Fixed are files that stay as they are where a writable folder shows them. Others are
	// not shown for it.
	Fixed    []string
	Network  Network
	Forwards []Forward
	// AllowUserns lets the command make namespaces, as sandboxes inside this one do, and
	// AllowPtrace lets it debug its processes.
	AllowUserns, AllowPtrace bool

	pins []Pinned
}

// Mount is a file, a folder or a file system that a sandbox shows.
type Mount struct {
	Kind MountKind
	// Source is the path outside, or the target of a link. An empty folder has none.
	Source string
	Dest   string
}

// MountKind is the way in which a mount is shown.
type MountKind string

// The kinds, as bubblewrap names them.
const (
	BindReadOnly MountKind = "--ro-bind"
	BindWritable MountKind = "--bind"
	Link         MountKind = "--symlink"
	Empty        MountKind = "--tmpfs"
	Processes    MountKind = "--proc"
	Devices      MountKind = "--dev"
)

// mounts returns every mount, each after those that contain it. If two have the same
// place, the later one counts.
func (s Spec) mounts() []Mount {
	all := slices.Concat(s.System, []Mount{
		{Processes, "", "/proc"},
		{Devices, "", "/dev"},
		{Empty, "", "/tmp"},
		{Empty, "", "/var/tmp"},
		{Empty, "", "/run"},
		{Empty, "", s.Home},
	})
	bind := func(kind MountKind, paths ...string) {
		for _, path := range paths {
			all = append(all, Mount{kind, path, path})
		}
	}
	for _, path := range s.Fixed {
		bind(BindWritable, s.above(path)...)
	}
	bind(BindReadOnly, s.ReadOnly...)
	bind(BindWritable, s.Writable...)
	tree := BindWritable
	if s.KeepTree {
		tree = BindReadOnly
	}
	bind(tree, s.WorkTree)
	for _, path := range s.Fixed {
		if s.writable(path) != "" {
			bind(BindReadOnly, path)
		}
	}
	if s.Delivery != "" {
		bind(BindReadOnly, s.Delivery)
		for _, path := range s.Private {
			all = append(all, Mount{Empty, "", path})
		}
	}
	all = append(all, Mount{BindReadOnly, s.Program, programName})
	for _, f := range s.Forwards {
		all = append(all, Mount{BindReadOnly, f.Socket, f.inside()})
	}

	last := map[string]int{}
	for i, m := range all {
		last[m.Dest] = i
	}
	var out []Mount
	for i, m := range all {
		if last[m.Dest] == i {
			out = append(out, m)
		}
	}
	slices.SortStableFunc(out, func(a, b Mount) int { return cmp.Compare(depth(a.Dest), depth(b.Dest)) })
	return out
}

// writable returns the writable folder that shows a path; "" if none does.
func (s Spec) writable(path string) string {
	innermost := ownPath{}
	for _, o := range s.own() {
		if paths.Within(o.path, path) && len(o.path) > len(innermost.path) {
			innermost = o
		}
	}
	if !innermost.writable {
		return ""
	}
	return innermost.path
}

// above returns the writable folders between a fixed file and the outermost writable one that
// has it. Each becomes a mount of its own, because a folder that is one cannot be renamed: with
// another folder in its place, another file would have the path of the fixed one.
func (s Spec) above(path string) []string {
	top := ""
	for _, o := range s.own() {
		if o.writable && paths.Within(o.path, path) && (top == "" || len(o.path) < len(top)) {
			top = o.path
		}
	}
	var out []string
	for dir := filepath.Dir(path); top != "" && dir != top && paths.Within(top, dir); dir = filepath.Dir(dir) {
		if s.writable(dir) != "" {
			out = append(out, dir)
		}
	}
	return out
}

func depth(path string) int { return strings.Count(path, "/") }

// Args returns bubblewrap's arguments, for a sandbox in which the first process does
// what.
//
//   - The command gets its own session. In the terminal's session it could type into the
//     operator's shell (TIOCSTI), which kernels before 6.2 always allow and later ones
//     may. In return, the terminal's signals have to be forwarded, and Ctrl-Z stops
//     taskiam alone.
//   - There is always a user namespace, so that root in the sandbox has none of root's
//     rights outside.
//   - The filter of system calls is a file of its own, [filterFd].
//   - The command's environment is a file too, [environFd]: --setenv would show it to
//     everybody who lists processes.
func (s Spec) Args(what ...string) []string {
	args := []string{
		"--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try",
		"--cap-drop", "ALL", "--new-session", "--die-with-parent", "--hostname", "taskiam",
		"--seccomp", strconv.Itoa(filterFd),
	}
	if s.Network == None {
		args = append(args, "--unshare-net")
	}
	for _, m := range s.mounts() {
		args = append(args, string(m.Kind))
		if m.Source != "" {
			args = append(args, m.Source)
		}
		args = append(args, m.Dest)
	}
	// The folders above the mounts, which bubblewrap makes, are not for storing files.
	args = append(args, "--remount-ro", "/", "--chdir", s.WorkTree, "--", programName, "isolated")
	args = append(args, what...)
	for _, f := range s.Forwards {
		args = append(args, "--forward", f.Address+"="+f.inside())
	}
	for _, p := range s.pins {
		args = append(args, "--pin", p.argument())
	}
	return slices.Concat(args, []string{"--"}, s.Command)
}
