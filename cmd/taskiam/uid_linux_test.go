package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Users who need not be anybody: those whom the commands of runs are, from one on, and one more.
const (
	theirsFrom = 65100
	stranger   = 65533
)

// programs puts the tests' own programs where every user can run them.
func programs(t *testing.T, place string, names ...string) {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	from, err := os.Open(self)
	must(t, err)
	defer from.Close()
	first := filepath.Join(place, names[0])
	to, err := os.OpenFile(first, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	must(t, err)
	_, err = io.Copy(to, from)
	must(t, errors.Join(err, to.Chmod(0o755), to.Close()))
	for _, name := range names[1:] {
		must(t, os.Link(first, filepath.Join(place, name)))
	}
}

// as runs a shell script as a user, with nothing of the operator's, and returns what it said.
func as(t *testing.T, uid uint32, place, script string, args ...string) string {
	t.Helper()
	cmd := exec.Command("sh", append([]string{"-c", script, "sh"}, args...)...)
	cmd.Dir, cmd.Env = "/", []string{"PATH=" + place + ":/usr/bin:/bin", "GORACE=" + raceOptions}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	out, err := cmd.Output()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatal(err)
	}
	return string(out)
}

// TestAnotherUser runs commands as another user than the operator, who is root. Theirs is
// what they were given and nothing more; a third user gets none of it, but for a metadata
// server on loopback, which answers everybody unless its run is isolated.
func TestAnotherUser(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	if os.Geteuid() != 0 {
		t.Skip("only root runs a command as another user")
	}
	for i, tt := range []struct {
		kind, flag string
		strangers  string // what the metadata server says to others
	}{
		{"key", "", ""},
		{"token", "", ""},
		{"metadata", "", "200"},
		{"metadata", "--socket", ""},
		{"key", "--isolate", ""},
		{"key", "--isolate=nonet", ""},
	} {
		t.Run(tt.kind+tt.flag, func(t *testing.T) {
			t.Parallel()
			theirs := theirsFrom + i // a user with processes gets no other run
			stage := newStage
			if strings.HasPrefix(tt.flag, "--isolate") {
				stage = isolation
			}
			s := stage(t)
			place, err := os.MkdirTemp("", "taskiam-uid-")
			must(t, err)
			t.Cleanup(func() { must(t, os.RemoveAll(place)) })
			must(t, os.Chmod(place, 0o711))
			programs(t, place, "taskiam", "ask", "dial")
			tree := filepath.Join(place, "tree")
			must(t, os.Mkdir(tree, 0o700))
			must(t, os.Chown(tree, theirs, theirs))
			before := s.look()
			other := s.up(s.manifest("demo.toml", "token")) // the operator's, of whom they are to have nothing

			// What it sees, it says in the work tree.
			script := `exec >said 2>/dev/null
echo "is $(id -u) $(id -g) $(sed -n 's/^Groups:[[:space:]]*//p' /proc/self/status)"
f=$TASKIAM_DELIVERY/key.json; [ -e "$f" ] || f=$TASKIAM_DELIVERY/token; [ -e "$f" ] || f=$TASKIAM_DELIVERY/credentials.json
[ -s "$f" ] && cat "$f" >/dev/null && echo "reads its own"
touch "$CLOUDSDK_CONFIG/x" && echo "has a folder for gcloud"
touch "$TASKIAM_DELIVERY/x" && echo "writes to the delivery"
(: >>"$TASKIAM_DELIVERY/env") && echo "can change its files"
mv "$f" "$f.old" && echo "replaces its credential"
rm -rf "$TASKIAM_DELIVERY" ; [ -s "$f" ] || echo "removes its credential"
ls -d /run/taskiam/*/ | grep -v "^$TASKIAM_DELIVERY/$" && echo "sees other deliveries"
for x in "$@"; do cat "$x" >/dev/null && echo "reads $x"; ls "$x" >/dev/null && echo "lists $x"; done
cat /proc/$PPID/environ | grep -q XDG_STATE_HOME && echo "reads its environment"
env | grep -q ya29.emulator && echo "has a login"
echo "$TASKIAM_DELIVERY $GCE_METADATA_HOST $$" >up.new; mv up.new up; read line`
			closed := []string{
				s.vars["TASKIAM_EMULATOR_TOKEN_FILE"], s.path("state", "taskiam"), s.path("state", "taskiam", "runs"), s.journal(other.Run),
				other.Delivery, filepath.Join(other.Delivery, "token"), filepath.Join(other.Delivery, "env"), "/run/taskiam", s.path("home"),
			}
			args := []string{"run", "--quiet", "--uid", fmt.Sprint(theirs)}
			if tt.flag != "" {
				args = append(args, tt.flag)
			}
			// What the sandbox is made with is taskiam too, and made by them.
			cmd := exec.Command(filepath.Join(place, "taskiam"), append(append(args, s.manifest("demo.toml", tt.kind), "--", "sh", "-c", script, "sh"), closed...)...)
			cmd.Dir, cmd.Env = tree, s.environ()
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			end, err := cmd.StdinPipe()
			must(t, err)
			must(t, cmd.Start())
			t.Cleanup(func() {
				if t.Failed() {
					_, _ = cmd.Process.Kill(), cmd.Wait()
					t.Logf("taskiam says\n%s", stderr.Bytes())
				}
			})
			s.awaitPath(filepath.Join(tree, "up"))
			want := fmt.Sprintf("is %d %d \nreads its own\nhas a folder for gcloud\n", theirs, theirs)
			if strings.HasPrefix(tt.flag, "--isolate") { // there, of deliveries, it has its own alone
				want += "lists /run/taskiam\n"
			} else { // they are the user's own files
				want = strings.Replace(want, "for gcloud\n", "for gcloud\ncan change its files\n", 1)
			}
			if got := s.read(filepath.Join(tree, "said")); got != want {
				t.Errorf("the command says\n%s, want\n%s\n%s", got, want, stderr.Bytes())
			}
			up := strings.Fields(s.read(filepath.Join(tree, "up")))
			delivery := up[0]
			if filepath.Dir(delivery) != "/run/taskiam" {
				t.Errorf("the delivery is in %s", delivery)
			}

			const peek = `for x in "$1" "$1/gcloud" /run/taskiam; do ls "$x" >/dev/null 2>&1 && echo "lists $x"; done
for x in key.json token credentials.json env env.json boto README.txt gcloud/x; do cat "$1/$x" >/dev/null 2>&1 && echo "reads $x"; done
touch "$1/x" 2>/dev/null && echo "writes"
exit 0`
			if got := as(t, stranger, place, peek, delivery); got != "" {
				t.Errorf("a third user %s", got)
			}
			if tt.kind == "metadata" {
				const email = "/computeMetadata/v1/instance/service-accounts/default/email"
				asks := func(uid uint32) string {
					if tt.flag == "--socket" {
						got := as(t, uid, place, `GCE_METADATA_HOST=$1 ask -socket "$2" "$3"`, up[1], filepath.Join(delivery, "metadata.sock"), email)
						code, _, _ := strings.Cut(got, " ")
						if strings.Contains(got, "permission denied") {
							return ""
						}
						return code
					}
					code, _, _ := strings.Cut(strings.TrimSpace(as(t, uid, place, `dial metadata "$1"`, up[1])), " ")
					return code
				}
				if got := asks(stranger); got != tt.strangers {
					t.Errorf("the metadata server says %q to a third user, want %q", got, tt.strangers)
				}
				if got := asks(uint32(theirs)); got != "200" {
					t.Errorf("the metadata server says %q to the user whose it is", got)
				}
			}
			must(t, end.Close())
			_ = cmd.Wait() // with what read ends with
			if cmd.ProcessState.ExitCode() != 1 {
				t.Errorf("the run ended with %d\n%s", cmd.ProcessState.ExitCode(), stderr.Bytes())
			}
			if _, err := os.Lstat(delivery); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the delivery is left: %v", err)
			}
			s.ok("down", other.Run)
			s.asBefore(before)
		})
	}
}

// userOfARun runs commands as users who exist for one run alone, and as one who is used twice.
func userOfARun(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root runs a command as another user")
	}
	s := newStage(t)
	place, err := os.MkdirTemp("", "taskiam-uid-")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(place)) })
	must(t, os.Chmod(place, 0o711))
	manifest := s.manifest("demo.toml", "key")
	s.vars["AWS_SECRET_ACCESS_KEY"], s.vars["VAULT_TOKEN"], s.vars["DATABASE_URL"] = operatorsOwn, operatorsOwn, operatorsOwn
	run := func(flags ...string) outcome {
		t.Helper()
		out, err := os.MkdirTemp(place, "")
		must(t, errors.Join(err, os.Remove(out)))
		args := append(append([]string{"taskiam", "run", "--out", out}, flags...), manifest, "--")
		script := `id -u; cat "$GOOGLE_APPLICATION_CREDENTIALS" >/dev/null || exit 9
env | grep "` + operatorsOwn + `" && exit 10
setsid sh -c "sleep 600" left-by-"$1" >/dev/null 2>&1 </dev/null &
`
		if slices.Contains(flags, "new") { // what it leaves behind starts another one all the time
			script += `f() { (trap "" TERM; sleep 0.05; f) & }; (f) >/dev/null 2>&1 </dev/null
`
		}
		return s.run(command{dir: "/", args: append(args, "sh", "-c", script+"exit 7", "sh", filepath.Base(place))})
	}
	left := func() []string {
		return processes(func(p process) bool { return strings.Contains(p.command, "left-by-"+filepath.Base(place)) })
	}

	before := s.look()
	var uids []string
	for range 2 {
		o := run("--uid", "new")
		if o.code != 7 || !strings.Contains(o.stderr, "nothing is left") || strings.Contains(o.stderr, "still has processes") {
			t.Fatalf("as a user of its own: %d\n%s%s", o.code, o.stdout, o.stderr)
		}
		uids = append(uids, strings.TrimSpace(o.stdout))
		if l := left(); len(l) > 0 {
			t.Errorf("user %s has left %q", o.stdout, l)
		}
	}
	if uids[0] == "0" || uids[0] == strconv.Itoa(stranger) {
		t.Errorf("it ran as %q", uids)
	}

	// The user of up has processes that taskiam did not start. Another state folder's run has
	// another user, although it knows nothing of this one.
	up := s.up(manifest, "--uid", "new", "--out", filepath.Join(place, "up"))
	info, err := os.Stat(filepath.Join(up.Delivery, "key.json"))
	must(t, err)
	uid := info.Sys().(*syscall.Stat_t).Uid
	cmd := exec.Command("sleep", "600")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	if o := run("--uid", strconv.Itoa(int(uid))); o.code != 125 || !strings.Contains(o.stderr, "already has processes") {
		t.Errorf("as the user of another run: %d\n%s", o.code, o.stderr)
	}
	s.ok("down", up.Run)
	defer time.AfterFunc(waitLimit, func() { _ = cmd.Process.Signal(syscall.SIGTERM) }).Stop()
	_ = cmd.Wait() // it was killed, or the wait is over
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGKILL {
		t.Errorf("a process of the run's user ended with %v", status)
	}

	// Used twice, a number hands the second run's access to what the first has left.
	const twice = "65190"
	o := run("--uid", twice)
	if o.code != 7 || !strings.Contains(o.stderr, "warning: user 65190 still has processes") || len(left()) == 0 {
		t.Errorf("the first time: %d\n%s", o.code, o.stderr)
	}
	if o := run("--uid", twice); o.code != 125 || !strings.Contains(o.stderr, "already has processes") || strings.Contains(o.stderr, " is up ") {
		t.Errorf("the second time: %d\n%s", o.code, o.stderr)
	}
	if o := run("--uid", twice, "--share-uid"); o.code != 7 {
		t.Errorf("if that is meant: %d\n%s", o.code, o.stderr)
	}
	s.endAll(65190, place)

	// A process may come while the run is brought up: the program that masks the credential starts one.
	agent := s.write("bin/buildkite-agent", "#!/bin/sh\ncat >/dev/null\n"+
		"exec chroot --userspec=65191:65191 / setsid sh -c 'sleep 600 >/dev/null 2>&1 &'\n")
	must(t, os.Chmod(agent, 0o700))
	for name, value := range map[string]string{
		"PATH": s.path("bin") + ":" + s.vars["PATH"], "BUILDKITE": "true", "BUILDKITE_ORGANIZATION_SLUG": "acme",
		"BUILDKITE_PIPELINE_SLUG": "app", "BUILDKITE_BUILD_NUMBER": "9", "BUILDKITE_JOB_ID": "0190-abcd",
	} {
		s.vars[name] = value
	}
	o = run("--uid", "65191", "--ci=buildkite")
	if o.code != 125 || !strings.Contains(o.stderr, "already has processes") || strings.Contains(o.stderr, " is up ") {
		t.Errorf("who got a process meanwhile: %d\n%s", o.code, o.stderr)
	}
	s.endAll(65191, place)
	s.asBefore(before)
}

// endAll ends all processes of a user, and waits until they are gone.
func (s *stage) endAll(uid uint32, place string) {
	s.t.Helper()
	as(s.t, uid, place, `kill -KILL -1`)
	s.gone(func(p process) bool {
		info, err := os.Stat(fmt.Sprintf("/proc/%d", p.pid))
		return err == nil && info.Sys().(*syscall.Stat_t).Uid == uid
	})
}

// typesAsAnother: whoever is in the session of a terminal can type there, and root's shell would read it. Another
// user's command is in none, and still hears Ctrl-C.
func typesAsAnother(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root runs a command as another user")
	}
	s := newStage(t)
	place, err := os.MkdirTemp("", "taskiam-uid-")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(place)) })
	must(t, os.Chmod(place, 0o711))
	for _, uid := range []string{"new", strconv.Itoa(theirsFrom + 90)} {
		p := newPerson(t)
		cmd := p.starts(command{dir: "/", args: []string{
			"taskiam", "run", "--uid", uid, "--out", filepath.Join(place, uid), s.manifest("demo.toml", "key"), "--", "sh", "-c",
			`trap "exit 3" INT; readlink /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2; (: </dev/tty) && stty size && echo up
stty -isig; read line; while [ "$(stty size)" = "40 100" ]; do sleep 0.05; done; echo "line=$line"; stty isig; stty size; while :; do sleep 0.05; done`,
		}}, s.environ())
		if said := p.sees("\r\n40 100\r\nup\r\n"); strings.Contains(said, p.screen.Name()+"\r\n") || strings.Count(said, "/dev/pts/") < 3 {
			t.Errorf("the command of user %s has the operator's terminal: %q", uid, said)
		}
		if p.settings().Lflag&unix.ICANON != 0 {
			t.Errorf("as user %s: what is typed does not go to the command's terminal as it is", uid)
		}
		p.size(25, 80)
		p.types("hello\n")
		p.sees("line=hello\r\n25 80\r\n")
		p.types("\x03")
		p.sees("nothing is left")
		_ = cmd.Wait() // the code says it
		if got := cmd.ProcessState.ExitCode(); got != 3 {
			t.Errorf("after Ctrl-C, as user %s: %d", uid, got)
		}
	}
}
