package isolate

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/internal/fault"
)

// mountsOf returns what bubblewrap is to mount, in order.
func mountsOf(args []string) []string {
	var out []string
	for i, a := range args {
		switch MountKind(a) {
		case BindReadOnly, BindWritable, Link:
			out = append(out, a+" "+args[i+1]+" "+args[i+2])
		case Empty, Processes, Devices:
			out = append(out, a+" "+args[i+1])
		}
		if a == "--" {
			break
		}
	}
	return out
}

func TestArgs(t *testing.T) {
	t.Parallel()
	s := Spec{
		Program: "/usr/bin/taskiam", Command: []string{"agent", "--tmpfs", "/x"},
		System: []Mount{{Link, "usr/bin", "/bin"}, {BindReadOnly, "/usr", "/usr"}},
		Home:   "/home/me", WorkTree: "/home/me/src/app",
		Delivery: "/run/user/1/taskiam/r", Private: []string{"/run/user/1/taskiam/r/gcloud"},
		ReadOnly: []string{"/home/me/bin"}, Writable: []string{"/tmp/cache"},
		Network: None, Forwards: []Forward{{"127.0.0.1:8790", "/run/user/1/taskiam/r/emulator.sock"}},
	}
	args := s.Args("--control")
	want := []string{
		"--symlink usr/bin /bin",
		"--ro-bind /usr /usr",
		"--proc /proc",
		"--dev /dev",
		"--tmpfs /tmp",
		"--tmpfs /run",
		"--tmpfs /var/tmp",
		"--tmpfs /home/me",
		"--bind /tmp/cache /tmp/cache",
		"--ro-bind /home/me/bin /home/me/bin",
		"--ro-bind /usr/bin/taskiam /run/taskiam/taskiam",
		"--ro-bind /run/user/1/taskiam/r/emulator.sock /run/taskiam/emulator.sock",
		"--bind /home/me/src/app /home/me/src/app",
		"--ro-bind /run/user/1/taskiam/r /run/user/1/taskiam/r",
		"--tmpfs /run/user/1/taskiam/r/gcloud",
	}
	if diff := cmp.Diff(want, mountsOf(args[:slices.Index(args, "--")])); diff != "" {
		t.Errorf("what is mounted (-want +got):\n%s", diff)
	}
	end := strings.Join(args[slices.Index(args, "--remount-ro"):], " ")
	if want := "--remount-ro / --chdir /home/me/src/app -- /run/taskiam/taskiam isolated --control" +
		" --forward 127.0.0.1:8790=/run/taskiam/emulator.sock -- agent --tmpfs /x"; end != want {
		t.Errorf("at the end: %s\nwant %s", end, want)
	}
	for _, flag := range []string{"--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-net", "--new-session", "--die-with-parent"} {
		if !slices.Contains(args, flag) {
			t.Errorf("there is no %s", flag)
		}
	}
	if at := slices.Index(args, "--seccomp"); at < 0 || args[at+1] != "3" {
		t.Errorf("bubblewrap gets no filter: %q", args)
	}
	s.Network = Shared
	if slices.Contains(s.Args(), "--unshare-net") {
		t.Error("a shared network is not shared")
	}

	// What is written is what is read.
	order, err := ParseInside(args[slices.Index(args, "isolated")+1:])
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Order{Control: true, Forwards: []Forward{{"127.0.0.1:8790", "/run/taskiam/emulator.sock"}}, Command: s.Command}, order); diff != "" {
		t.Errorf("inside (-want +got):\n%s", diff)
	}
}

func TestParseInsideRefuses(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"--"}, {"--look"}, {"--forward"}, {"--forward", "x", "--", "c"}, {"--pin"}, {"--pin", "1:2", "--", "c"}, {"c"}, {"--what", "--", "c"}} {
		if order, err := ParseInside(args); err == nil {
			t.Errorf("%q is taken for %+v", args, order)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	limits := Limits{
		Closed: []Place{{Path: "/home/me/.local/state/taskiam", What: "journals"}, {Path: "/srv/out/r1", What: "a delivery"}},
		Look: func(path string) error {
			if path == "/srv/login" {
				return fault.New(fault.Usage, "a login")
			}
			return nil
		},
		Relied: []Place{{Path: "/home/me/.cache/taskiam", What: "roles"}, {Path: "/opt/tool/bin/bwrap", What: "a program"}},
	}
	for _, tt := range []struct {
		name string
		spec Spec
		want string // "" is fine
	}{
		{"a folder under HOME", Spec{WorkTree: "/home/me/src"}, ""},
		{"a folder elsewhere", Spec{WorkTree: "/usr/src/app", ReadOnly: []string{"/srv/data"}}, ""},
		{"a folder in /tmp", Spec{WorkTree: "/tmp/x"}, ""},
		{"a neighbour by name", Spec{WorkTree: "/home/me2"}, ""},
		{"/", Spec{WorkTree: "/"}, "everything"},
		{"HOME", Spec{WorkTree: "/home/me"}, "logins"},
		{"around HOME", Spec{WorkTree: "/home"}, "logins"},
		{"/tmp", Spec{WorkTree: "/tmp"}, "all users of this machine share"},
		{"around /var/tmp", Spec{WorkTree: "/var"}, "all users of this machine share"},
		{"/proc", Spec{WorkTree: "/srv/a", ReadOnly: []string{"/proc/1"}}, "not a folder of files"},
		{"around the journals", Spec{WorkTree: "/home/me/.local"}, "journals"},
		{"in the journals", Spec{WorkTree: "/srv/a", Writable: []string{"/home/me/.local/state/taskiam/runs"}}, "journals"},
		{"around another delivery", Spec{WorkTree: "/srv/out"}, "a delivery"},
		{"around its own delivery", Spec{WorkTree: "/srv/a", Delivery: "/srv/a/b"}, "outside"},
		{"beside its own delivery", Spec{WorkTree: "/srv/a", Delivery: "/srv/ab"}, ""},
		{"around what is relied on", Spec{WorkTree: "/opt/tool"}, "a program"},
		{"in what is relied on", Spec{WorkTree: "/srv/a", Writable: []string{"/home/me/.cache/taskiam/roles"}}, "roles"},
		{"what is relied on itself", Spec{WorkTree: "/srv/a", Writable: []string{"/opt/tool/bin/bwrap"}}, "a program"},
		{"beside what is relied on", Spec{WorkTree: "/srv/a", Writable: []string{"/home/me/.cache/go-build"}}, ""},
		{"to read what is relied on", Spec{WorkTree: "/srv/a", ReadOnly: []string{"/opt/tool"}}, ""},
		{"with a login in it", Spec{WorkTree: "/srv/a", ReadOnly: []string{"/srv/login"}}, "--ro is /srv/login: a login"},
		{"a manifest in it", Spec{WorkTree: "/srv/a", Fixed: []string{"/srv/a/task.toml"}}, ""},
		{"a writable manifest", Spec{WorkTree: "/srv/a", Writable: []string{"/srv/a/task.toml"}, Fixed: []string{"/srv/a/task.toml"}}, "manifest"},
	} {
		tt.spec.Home = "/home/me"
		err := tt.spec.Check(limits)
		if tt.want == "" && err != nil || tt.want != "" && (!fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
		if err != nil && tt.want != "outside" && !strings.Contains(err.Error(), "a login") && len(fault.Hints(err)) == 0 {
			t.Errorf("%s: nothing says what to do about it: %v", tt.name, err)
		}
	}
}

func TestSystemIsWhatIsThere(t *testing.T) {
	t.Parallel()
	there := map[string]bool{"/usr": true, "/lib64": true, "/etc/passwd": true, "/etc/shadow": true, "/etc/ssl/certs": true, "/etc/ssl/private": true, "/proc/sys": true}
	got := system(
		func(path string) (os.FileInfo, error) {
			if there[path] {
				return nil, nil
			}
			return nil, os.ErrNotExist
		},
		func(path string) (string, error) {
			if path == "/bin" {
				return "usr/bin", nil
			}
			return "", errors.New("no link")
		},
		func(string) ([]string, error) { return []string{"/etc/java-17-openjdk"}, nil },
		func(string) ([]os.DirEntry, error) {
			return fs.ReadDir(fstest.MapFS{
				"keys": {Mode: 0o444}, "kcore": {Mode: 0o400}, "cpuinfo": {Mode: 0o444}, "self": {Mode: fs.ModeSymlink | 0o777},
				"sysrq-trigger": {Mode: 0o200}, "1": {Mode: fs.ModeDir | 0o500},
			}, ".")
		},
	)
	want := []Mount{
		{Link, "usr/bin", "/bin"}, {BindReadOnly, "/lib64", "/lib64"}, {BindReadOnly, "/usr", "/usr"},
		{BindReadOnly, "/etc/passwd", "/etc/passwd"}, {BindReadOnly, "/etc/ssl/certs", "/etc/ssl/certs"},
		{BindReadOnly, "/etc/java-17-openjdk", "/etc/java-17-openjdk"}, {BindReadOnly, "/proc/sys", "/proc/sys"},
		{BindReadOnly, "/dev/null", "/proc/kcore"}, {BindReadOnly, "/dev/null", "/proc/keys"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the system (-want +got):\n%s", diff)
	}
}

func TestTroubleNamesTheSetting(t *testing.T) {
	t.Parallel()
	read := func(refused string) func(string) ([]byte, error) {
		return func(path string) ([]byte, error) {
			if strings.HasSuffix(path, refused) {
				return []byte(map[bool]string{true: "1\n", false: "0\n"}[strings.Contains(path, "restrict")]), nil
			}
			return nil, os.ErrNotExist
		}
	}
	for refused, want := range map[string]string{
		"max_user_namespaces": "user.max_user_namespaces", "unprivileged_userns_clone": "kernel.unprivileged_userns_clone=1",
		"apparmor_restrict_unprivileged_userns": "AppArmor",
	} {
		if hints := kernelHints(read(refused)); len(hints) != 1 || !strings.Contains(hints[0], want) {
			t.Errorf("%s: %q", refused, hints)
		}
	}
	if hints := kernelHints(read("nothing")); len(hints) > 0 {
		t.Errorf("without trouble: %q", hints)
	}
}

func TestFixed(t *testing.T) {
	t.Parallel()
	s := Spec{
		Program: "/usr/bin/taskiam", Command: []string{"agent"}, Home: "/home/me", WorkTree: "/w",
		ReadOnly: []string{"/w/r"}, Writable: []string{"/x"},
		Fixed: []string{"/w/task.toml", "/w/a/b/task.toml", "/w/r/task.toml", "/x/task.toml", "/elsewhere/task.toml"},
	}
	got := slices.DeleteFunc(mountsOf(s.Args()), func(m string) bool { return !strings.Contains(m, "bind /") || strings.Contains(m, "taskiam") })
	want := []string{
		"--bind /x /x", "--bind /w /w", "--bind /w/a /w/a", "--ro-bind /w/r /w/r", "--ro-bind /w/task.toml /w/task.toml",
		"--ro-bind /x/task.toml /x/task.toml", "--bind /w/a/b /w/a/b", "--ro-bind /w/a/b/task.toml /w/a/b/task.toml",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what is mounted (-want +got):\n%s", diff)
	}
}

// TestFixedInNestedFolders: no folder above a fixed file can be renamed, whichever writable folder shows it, and
// none that is read-only becomes writable by that.
func TestFixedInNestedFolders(t *testing.T) {
	t.Parallel()
	s := Spec{
		Program: "/usr/bin/taskiam", Command: []string{"agent"}, Home: "/home/me", WorkTree: "/p/sub/tree",
		Writable: []string{"/p"}, ReadOnly: []string{"/p/a/r"},
		Fixed: []string{"/p/sub/tree/task.toml", "/p/a/r/b/task.toml"},
	}
	got := slices.DeleteFunc(mountsOf(s.Args()), func(m string) bool { return !strings.Contains(m, "bind /") || strings.Contains(m, "taskiam") })
	want := []string{
		"--bind /p /p", "--bind /p/sub /p/sub", "--bind /p/a /p/a", "--ro-bind /p/a/r /p/a/r",
		"--bind /p/sub/tree /p/sub/tree", "--ro-bind /p/sub/tree/task.toml /p/sub/tree/task.toml",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what is mounted (-want +got):\n%s", diff)
	}
}
