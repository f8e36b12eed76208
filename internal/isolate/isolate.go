// Package isolate puts a command into a sandbox that bubblewrap makes: the system
// read-only, a HOME of its own, the work tree, the delivery of its run, and nothing
// else of the user's files or processes.
//
// It has two halves. Outside, a [Spec] becomes bubblewrap's arguments, [Box] starts
// it and speaks to what is in it, [Relay] carries connections out of a sandbox
// without a network, and [OnlyFrom] keeps a server on loopback for one sandbox.
// Inside, [Inside] is the first process: it gives up what bubblewrap cannot take
// away, starts the command and hands signals on.
//
// Its invariants: what is not named is not there, and no value of a variable, which
// may be a secret, is ever part of an argument. It knows nothing of runs, clouds and
// credentials: a delivery is a folder to it.
package isolate

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"
)

// Network is how much of the network a sandbox has.
type Network int

const (
	// Shared is the machine's own network, with every server on its loopback.
	Shared Network = iota
	// None is a loopback of the sandbox's own, on which only [Spec.Forwards] listen.
	None
)

// Where this program and the sockets lie in the sandbox. The folder is the sandbox's
// own: nothing of the machine's /run is in it.
const (
	ownFolder   = "/run/taskiam"
	programName = ownFolder + "/taskiam"
)

// Forward makes an address on the loopback of a sandbox without a network lead to a
// unix socket outside, on which [Relay] listens.
type Forward struct {
	Address string // HOST:PORT, inside
	Socket  string // path, outside
}

// inside is where the socket lies in the sandbox.
func (f Forward) inside() string { return filepath.Join(ownFolder, filepath.Base(f.Socket)) }

// Spec describes a sandbox. All paths are absolute and without symbolic links, and
// are the same inside as outside.
type Spec struct {
	// Program is this program, which is the first process in the sandbox. It
	// understands "isolated" and what [ParseInside] reads.
	Program string
	// Command is what runs in it, looked up there.
	Command []string
	// System is the machine's own software, as [System] finds it.
	System []Mount
	// Home is a folder that is empty at first and gone at the end.
	Home string
	// WorkTree is writable, and where the command starts.
	WorkTree string
	// Delivery is read-only, but for the folders in it that Private names, which are
	// empty at first and gone at the end. "" is none.
	Delivery string
	Private  []string
	// ReadOnly and Writable are further files and folders.
	ReadOnly, Writable []string
	Network            Network
	Forwards           []Forward
}

// Mount is one thing that is to be seen in a sandbox.
type Mount struct {
	Kind MountKind
	// Source is the path outside, or what a link says. An empty folder has none.
	Source string
	Dest   string
}

// MountKind is how it is to be seen.
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

// mounts returns everything that is seen, parents before what is mounted in them. Of
// two at one place the later one counts.
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
	bind(BindReadOnly, s.ReadOnly...)
	bind(BindWritable, s.Writable...)
	bind(BindWritable, s.WorkTree)
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

func depth(path string) int { return strings.Count(path, "/") }

// Args returns bubblewrap's arguments, for a sandbox in which the first process does
// what.
//
//   - A session of its own: a command that shared the terminal's could type into the
//     operator's shell (TIOCSTI), which kernels before 6.2 always allow and later ones
//     may. The price is that the terminal's signals have to be handed on, and that
//     Ctrl-Z stops taskiam alone.
//   - A user namespace always, so that root in the sandbox is not root's equal.
//   - The environment is bubblewrap's own: --setenv would show it to everybody who
//     lists processes.
func (s Spec) Args(what ...string) []string {
	args := []string{
		"--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try",
		"--cap-drop", "ALL", "--new-session", "--die-with-parent", "--hostname", "taskiam",
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
	// What bubblewrap made on the way to the mounts is no place to keep things in.
	args = append(args, "--remount-ro", "/", "--chdir", s.WorkTree, "--", programName, "isolated")
	args = append(args, what...)
	for _, f := range s.Forwards {
		args = append(args, "--forward", f.Address+"="+f.inside())
	}
	return slices.Concat(args, []string{"--"}, s.Command)
}
