package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// dial is a client for scripts: `dial NETWORK ADDRESS` connects, and `dial metadata
// HOST:PORT` asks whose the metadata server there is. It prints what it got, or "refused".
func dial() {
	network, address := os.Args[1], os.Args[2]
	if network != "metadata" {
		c, err := net.DialTimeout(network, address, waitLimit)
		if err != nil {
			fmt.Println("refused")
			os.Exit(1)
		}
		_ = c.Close()
		fmt.Println("connected")
		return
	}
	req, err := http.NewRequest("GET", "http://"+address+"/computeMetadata/v1/instance/service-accounts/default/email", nil)
	if err == nil {
		req.Header.Set("Metadata-Flavor", "Google")
		var resp *http.Response
		if resp, err = (&http.Client{Transport: &http.Transport{}, Timeout: waitLimit}).Do(req); err == nil {
			body, _ := io.ReadAll(resp.Body)
			fmt.Printf("%d %s\n", resp.StatusCode, body)
			return
		}
	}
	fmt.Println("refused")
	os.Exit(1)
}

// isolation is a stage on which commands are isolated: with a work tree for each, and
// the tests' own programs in the sandbox.
func isolation(t *testing.T, flags ...string) *stage {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("isolation takes Linux")
	}
	if out, err := exec.Command("bwrap", "--unshare-user", "--unshare-pid", "--ro-bind", "/", "/", "--proc", "/proc", "true").CombinedOutput(); err != nil {
		t.Skipf("bubblewrap makes no sandbox here: %v %s", err, out)
	}
	return newStage(t, flags...)
}

// isolated returns a command that taskiam isolates, in a work tree of its own.
func (s *stage) isolated(tree, how, manifest string, cmd ...string) command {
	s.t.Helper()
	path, err := exec.LookPath("dial")
	must(s.t, err)
	return command{
		args: slices.Concat([]string{"taskiam", "run", how, "--ro", filepath.Dir(path), "--env", "GORACE", manifest, "--"}, cmd),
		dir:  s.folder(tree),
	}
}

func TestIsolatedSeesWhatItIsGiven(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	s := isolation(t)
	s.vars["SECRET_OF_MINE"], s.vars["PASSED"], s.vars["SSH_AUTH_SOCK"] = "hunter2", "on", s.path("agent.sock")
	s.write("home/.ssh/id_ed25519", "the person's key")
	s.write("seen/by/ro.txt", "seen")
	s.write("seen/by/token", "ghp_"+strings.Repeat("x", 36)) // which it is meant to have
	s.write("work/mine.txt", "mine")
	const show = `
echo "cwd $PWD"; echo "home $HOME $(ls -A $HOME)"; echo "tree $(cat mine.txt)"; echo changed >mine.txt && echo "tree writable"
echo "ro $(cat "$1/ro.txt")"; touch "$1/x" 2>/dev/null && echo "ro writable"
touch "$TASKIAM_DELIVERY/x" 2>/dev/null && echo "delivery writable"
touch "$CLOUDSDK_CONFIG/x" && echo "gcloud writable"
touch /usr/x /etc/x /x 2>/dev/null && echo "system writable"
echo "processes" $(cat /proc/[0-9]*/comm | sort -u)
for f in "$2/home/.ssh" "$2/state" "$2/tasks" /etc/shadow /etc/ssl/private /var/log /run/user /root/.ssh /home/*/.ssh; do ls "$f" >/dev/null 2>&1 && echo "sees $f"; done
ls "$2/runtime/taskiam" | grep -v "^$TASKIAM_RUN$" && echo "sees other deliveries"
grep -E "^(CapEff|CapBnd|NoNewPrivs)" /proc/self/status
echo "descriptors:"; ls /proc/$$/fd; echo "these were all"
cat /proc/$$/environ | tr '\0' '\n' | sed 's/^/env /'
echo err >&2; exit 7`
	for _, how := range []string{"--isolate", "--isolate=nonet"} {
		s.write("work/mine.txt", "mine")
		c := s.isolated("work", how, s.manifest("demo.toml", "key"), "sh", "-c", show, "sh", s.path("seen", "by"), s.dir)
		at := slices.Index(c.args, "--env")
		c.args = slices.Insert(c.args, at, "--ro", s.path("seen", "by"), "--show-login", s.path("seen"), "--env", "PASSED")
		o := s.run(c)
		if o.code != 7 {
			t.Fatalf("%s: %d\n%s%s", how, o.code, o.stdout, o.stderr)
		}
		for prefix, want := range map[string]string{
			"cwd ": s.path("work"), "home ": s.path("home"), "tree ": "mine", "ro ": "seen",
			"env PASSED=": "on", "NoNewPrivs:": "1", "CapEff:": "0000000000000000", "CapBnd:": "0000000000000000",
		} {
			if got := line(o.stdout, prefix); got != want {
				t.Errorf("%s: %s%q, want %q", how, prefix, got, want)
			}
		}
		for _, want := range []string{"tree writable", "gcloud writable", "descriptors:\n0\n1\n2\nthese were all"} {
			if !strings.Contains(o.stdout, want+"\n") {
				t.Errorf("%s: not %s", how, want)
			}
		}
		for _, never := range []string{"ro writable", "delivery writable", "system writable", "sees ", "hunter2", "SSH_AUTH_SOCK", "TASKIAM_EMULATOR", s.operator} {
			if strings.Contains(o.stdout, never) {
				t.Errorf("%s: the command has %q:\n%s", how, never, o.stdout)
			}
		}
		for name := range strings.FieldsSeq(line(o.stdout, "processes ")) {
			if !slices.Contains([]string{"bwrap", "taskiam", "sh", "cat", "sort"}, name) {
				t.Errorf("%s: the command sees the process %s", how, name)
			}
		}
		if !strings.Contains(o.stderr, "err\n") || strings.Contains(o.stderr, "no sandbox") {
			t.Errorf("%s said\n%s", how, o.stderr)
		}
		if got := s.read(s.path("work", "mine.txt")); got != "changed\n" {
			t.Errorf("%s: the work tree has %q", how, got)
		}
	}
	// Without it, what is not kept from the command is said.
	o := s.taskiam("run", s.manifest("demo.toml", "key"), "--", "cat", s.path("home", ".ssh", "id_ed25519"))
	if o.code != 0 || o.stdout != "the person's key" || !strings.Contains(o.stderr, "not isolated") {
		t.Errorf("without isolation: %d\n%s%s", o.code, o.stdout, o.stderr)
	}
}

// holding starts an isolated run that stays until its work tree's named pipe "end" is written
// to, and returns once it is at work. It is ended with the test. A pipe costs nothing while it
// is waited for: such a run lives as long as all that is tried beside it.
func (s *stage) holding(tree, how, deliver string) (lines func(string) string, cmd *exec.Cmd) {
	s.t.Helper()
	c := s.isolated(tree, how, s.manifest("demo.toml", deliver), "sh", "-c", `
env >env.txt; dial metadata "$GCE_METADATA_HOST" >own.txt; echo "pid:$(readlink /proc/self/ns/pid)" >up.txt
read -r _ <end`)
	must(s.t, syscall.Mkfifo(filepath.Join(c.dir, "end"), 0o600))
	end, err := os.OpenFile(filepath.Join(c.dir, "end"), os.O_RDWR, 0)
	must(s.t, err)
	out, err := os.Create(s.path(tree + ".log"))
	must(s.t, err)
	cmd = exec.Command(c.args[0], c.args[1:]...)
	cmd.Dir, cmd.Env, cmd.Stderr = c.dir, s.environ(), out
	must(s.t, cmd.Start())
	s.t.Cleanup(func() {
		if _, err := end.WriteString("\n"); err != nil {
			s.t.Error(err)
		}
		if err := errors.Join(cmd.Wait(), out.Close(), end.Close()); err != nil {
			s.t.Errorf("the run in %s: %v\n%s", tree, err, s.read(out.Name()))
		}
	})
	s.await(tree + "/up.txt")
	return func(prefix string) string { return line(s.read(s.path(tree, "env.txt")), prefix) }, cmd
}

// await waits for a file of the stage that has something in it.
func (s *stage) await(name string) {
	s.t.Helper()
	s.awaitPath(s.path(filepath.FromSlash(name)))
}

func (s *stage) awaitPath(name string) {
	s.t.Helper()
	deadline, tick := time.After(waitLimit), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for {
		if info, err := os.Stat(name); err == nil && info.Size() > 0 {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("%s did not come", name)
		}
	}
}

func TestIsolatedSideBySide(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	s := isolation(t)
	abstract := "@" + filepath.Base(s.dir) + strconv.Itoa(os.Getpid())
	l, err := net.Listen("unix", abstract)
	must(t, err)
	defer l.Close()

	first, _ := s.holding("first", "--isolate", "metadata")
	second, _ := s.holding("second", "--isolate", "token")
	third, _ := s.holding("third", "--isolate=nonet", "metadata")
	address := first("GCE_METADATA_HOST=")
	if got, want := strings.TrimSpace(s.read(s.path("first", "own.txt"))), "200 ti-nightly-rep-"+first("TASKIAM_RUN=")+"@acme-agents.iam.gserviceaccount.com"; got != want {
		t.Fatalf("the first run's own server says %q, want %q", got, want)
	}
	if got := strings.TrimSpace(s.read(s.path("third", "own.txt"))); !strings.HasPrefix(got, "200 ti-nightly-rep-"+third("TASKIAM_RUN=")) {
		t.Fatalf("the third run's own server, behind a socket, says %q", got)
	}

	// No value of a variable is an argument of a process that everybody sees.
	token := second("GOOGLE_OAUTH_ACCESS_TOKEN=")
	if !strings.HasPrefix(token, "ya29.") {
		t.Fatalf("the second run's token is %q", token)
	}
	for _, p := range processes(func(process) bool { return true }) {
		if strings.Contains(p, token) {
			t.Errorf("the token is an argument of %s", p)
		}
	}

	// The operator, too, is a stranger to an isolated run's server.
	if o := s.run(command{args: []string{"dial", "metadata", address}}); o.stdout != "refused\n" {
		t.Errorf("from outside, the first run's server says %q", o.stdout)
	}
	const probe = `
echo "own $(dial metadata "$GCE_METADATA_HOST")"
echo "other $(dial metadata "$1")"; echo "unlisted $(dial tcp "$4")"; echo "abstract $(dial unix "$2")"
for f in "$3"/runtime/taskiam/*; do [ "$f" = "$TASKIAM_DELIVERY" ] || echo "sees $f"; done
ls "$3/first" "$3/state" >/dev/null 2>&1 && echo "sees more"
cat /proc/[0-9]*/environ 2>/dev/null | grep -q "$5" && echo "sees its environment"
exit 0`
	for how, want := range map[string]map[string]string{
		"--isolate":       {"other ": "refused", "unlisted ": "connected"},
		"--isolate=nonet": {"other ": "refused", "unlisted ": "refused"},
	} {
		c := s.isolated("probe", how, s.manifest("demo.toml", "metadata"), "sh", "-c", probe, "sh", address, abstract, s.dir, s.loopback(), first("TASKIAM_RUN="))
		o := s.run(c)
		if o.code != 0 || !strings.HasPrefix(line(o.stdout, "own "), "200 ti-nightly-rep-") || strings.Contains(o.stdout, "sees ") {
			t.Errorf("%s: %d\n%s%s", how, o.code, o.stdout, o.stderr)
		}
		for prefix, answer := range want {
			if got := line(o.stdout, prefix); got != answer {
				t.Errorf("%s: %s%q, want %q", how, prefix, got, answer)
			}
		}
		if got := line(o.stdout, "abstract "); got != "refused" && (how != "--isolate" || scoped()) {
			t.Errorf("%s: an abstract socket of the operator's: %q", how, got)
		}
	}
}

// scoped reports whether the kernel can keep abstract sockets from a sandbox that
// shares the network.
func scoped() bool {
	const landlockCreateRuleset, versionOnly = 444, 1
	version, _, errno := syscall.Syscall(landlockCreateRuleset, 0, 0, versionOnly)
	return errno == 0 && version >= 6
}

// loopback returns the address of a server of the operator's, which is there as long as
// the test is.
func (s *stage) loopback() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(s.t, err)
	s.t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

func TestIsolatedEnds(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	s := isolation(t)
	key := s.manifest("demo.toml", "key")
	before := s.snapshot()
	for _, tt := range []struct {
		name, cmd string
		signal    syscall.Signal
		flags     []string
		want      int
	}{
		{name: "expires", cmd: "echo >up.txt; exit 3", want: 3},
		{name: "of a signal of its own", cmd: "echo >up.txt; kill -KILL $$", want: 137},
		{name: "of killing all it can", cmd: "echo >up.txt; kill -KILL -1", want: 137},
		{name: "leaving others", cmd: "echo >up.txt; sleep 1000 & exit 0", want: 0},
		{name: "when told", cmd: `trap "exit 9" TERM; echo >up.txt; while :; do sleep 0.05; done`, signal: syscall.SIGTERM, want: 9},
		{name: "when killed", cmd: `trap "" TERM; echo >up.txt; while :; do sleep 0.05; done`, signal: syscall.SIGTERM, flags: []string{"--kill-after", "100ms"}, want: 137},
	} {
		tree := strings.ReplaceAll(tt.name, " ", "-")
		c := s.isolated(tree, "--isolate", key, "sh", "-c", tt.cmd)
		cmd := exec.Command(c.args[0], slices.Concat([]string{"run"}, tt.flags, c.args[2:])...)
		log, err := os.Create(s.path(tree + ".log"))
		must(t, err)
		cmd.Dir, cmd.Env, cmd.Stderr = c.dir, s.environ(), log
		must(t, cmd.Start())
		if tt.signal != 0 {
			s.await(tree + "/up.txt")
			must(t, cmd.Process.Signal(tt.signal))
		}
		_ = cmd.Wait() // the code says it
		must(t, log.Close())
		if got := cmd.ProcessState.ExitCode(); got != tt.want || !strings.Contains(s.read(log.Name()), "nothing is left") {
			t.Errorf("%s: %d, want %d\n%s", tt.name, got, tt.want, s.read(log.Name()))
		}
		if left := processes(func(p process) bool { return strings.Contains(p.command, c.dir) || strings.Contains(p.command, tt.cmd) }); len(left) > 0 {
			t.Errorf("%s: it has left %q", tt.name, left)
		}
	}
	s.sameCloud(before)
}

func TestIsolatedIsRefused(t *testing.T) {
	t.Parallel()
	s := isolation(t)
	key := s.manifest("demo.toml", "key")
	s.write("home/tool", "#!/bin/sh\n")
	must(t, os.Chmod(s.path("home", "tool"), 0o700))
	s.vars["PATH"] = s.path("home") + ":" + s.vars["PATH"]
	s.vars["GITHUB_TOKEN"] = "ghp_x"
	before := s.snapshot()
	requests := len(s.requests())
	for _, tt := range []struct {
		name, dir string
		args      []string
		want      string
		code      int
	}{
		{"HOME", "home", []string{"--isolate", key, "--", "true"}, "your logins included", 125},
		{"around HOME", "", []string{"--isolate", key, "--", "true"}, "your logins included", 125},
		{"the state", "state", []string{"--isolate", key, "--", "true"}, "taskiam's journals", 125},
		{"more of HOME", "w", []string{"--isolate", "--ro", s.path("home"), key, "--", "true"}, "--ro is " + s.path("home"), 125},
		{"everything", "w", []string{"--isolate", "--rw", "/", key, "--", "true"}, "--rw is /", 125},
		{"the operator's token", "w", []string{"--isolate", "--ro", s.vars["TASKIAM_EMULATOR_TOKEN_FILE"], key, "--", "true"}, "taskiam's journals", 125},
		{"a delivery in the work tree", "w", []string{"--isolate", "--out", "creds", key, "--", "true"}, "must lie outside of the work tree", 125},
		{"a command that is not there", "w", []string{"--isolate", key, "--", "nosuch"}, "starting nosuch", 127},
		{"a command that is hidden", "w", []string{"--isolate", key, "--", "tool"}, "hint: --ro " + s.path("home", "tool"), 127},
		{"a value that is none", "w", []string{"--isolate=most", key, "--", "true"}, "--isolate=nonet", 125},
		{"an identity", "w", []string{"--isolate", "--env", "GITHUB_TOKEN", key, "--", "true"}, "never gets", 125},
		{"a variable that is not set", "w", []string{"--isolate", "--env", "NOT_SET", key, "--", "true"}, "is not set", 125},
		{"a socket beside a network", "w", []string{"--isolate", "--socket", key, "--", "true"}, "--isolate=nonet", 125},
		{"--ro alone", "w", []string{"--ro", "/srv", key, "--", "true"}, "with --isolate only", 125},
	} {
		o := s.run(command{args: append([]string{"taskiam", "run"}, tt.args...), dir: s.folder(tt.dir)})
		if o.code != tt.code || !strings.Contains(o.stderr, tt.want) {
			t.Errorf("%s: %d, want %d and %q\n%s", tt.name, o.code, tt.code, tt.want, o.stderr)
		}
	}
	s.sameCloud(before)
	for _, l := range s.requests()[requests:] {
		if strings.Contains(l.Method, "create") || strings.Contains(l.Method, "setIamPolicy") {
			t.Errorf("something that was refused made a call: %+v", l)
		}
	}
}

// TestIsolatedEndsWithTaskiam kills taskiam, which can then end nothing itself.
func TestIsolatedEndsWithTaskiam(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	s := isolation(t)
	c := s.isolated("killed", "--isolate", s.manifest("demo.toml", "token"), "sh", "-c", "env >env.txt; echo >up.txt; while :; do sleep 0.05; done")
	cmd := exec.Command(c.args[0], c.args[1:]...)
	cmd.Dir, cmd.Env = c.dir, s.environ()
	must(t, cmd.Start())
	s.await("killed/up.txt")
	run := line(s.read(s.path("killed", "env.txt")), "TASKIAM_RUN=")
	must(t, cmd.Process.Kill())
	_ = cmd.Wait() // it was killed
	tick, deadline := time.NewTicker(10*time.Millisecond), time.After(waitLimit)
	defer tick.Stop()
	for len(processes(func(p process) bool { return strings.Contains(p.command, c.dir) })) > 0 {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("the sandbox outlives taskiam")
		}
	}
	s.ok("down", run)
}

// TestIsolatedGcloud lets gcloud work without a network, by the emulator's socket alone.
func TestIsolatedGcloud(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	s := isolation(t)
	if !gcloud(t) {
		t.Skip("gcloud is not installed")
	}
	c := s.isolated("work", "--isolate=nonet", s.manifest("demo.toml", "key"), "gcloud", "storage", "cat", "gs://acme-reports/2026/01.csv")
	if o := s.run(c); o.code != 0 || !strings.Contains(o.stdout, "2026-01-01,12") {
		t.Errorf("gcloud without a network: %d\n%s%s", o.code, o.stdout, o.stderr)
	}
}

func TestAnotherUsersDelivery(t *testing.T) {
	t.Parallel()
	const nobody = "65191"
	if os.Geteuid() != 0 {
		s := newStage(t)
		if o := s.taskiam("run", "--uid", nobody, s.manifest("demo.toml", "key"), "--", "true"); o.code != 125 || !strings.Contains(o.stderr, "only root") {
			t.Errorf("by a user: %d\n%s", o.code, o.stderr)
		}
		t.Skip("only root gives a delivery to another user")
	}
	s := newStage(t)
	const show = `id -u; cat "$GOOGLE_APPLICATION_CREDENTIALS" | grep -c private_key_id; touch "$CLOUDSDK_CONFIG/x" && echo writable
touch "$TASKIAM_DELIVERY/x" 2>/dev/null && echo "delivery writable"; cat "$1" 2>/dev/null; exit 0`
	// A folder of its own in a place that everybody can pass.
	place, err := os.MkdirTemp("", "taskiam-uid-")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(place)) })
	must(t, os.Chmod(place, 0o711))
	o := s.run(command{
		args: []string{"taskiam", "run", "--uid", nobody, "--out", filepath.Join(place, "d"), s.manifest("demo.toml", "key"), "--", "sh", "-c", show, "sh", s.vars["TASKIAM_EMULATOR_TOKEN_FILE"]},
		dir:  "/",
	})
	if want := "65191\n1\nwritable\n"; o.code != 0 || o.stdout != want || strings.Contains(o.stderr, "no sandbox") {
		t.Errorf("as another user: %d\n%s%s, want %q", o.code, o.stdout, o.stderr, want)
	}
	if left := tree(t, place); len(left) != 1 {
		t.Errorf("it has left %q", left)
	}
	// A place that they cannot get to is refused before anything is made.
	o = s.taskiam("run", "--uid", nobody, "--out", s.path("home", "d"), s.manifest("demo.toml", "key"), "--", "true")
	if o.code != 125 || !strings.Contains(o.stderr, "cannot reach the delivery") {
		t.Errorf("in a closed place: %d\n%s", o.code, o.stderr)
	}
}
