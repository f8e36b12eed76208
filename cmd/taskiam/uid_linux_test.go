package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Users who need not be anybody: the one whom a run's command is, and one more.
const (
	theirs   = 65534
	stranger = 65533
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
	for _, tt := range []struct {
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
			want := "is 65534 65534 \nreads its own\nhas a folder for gcloud\n"
			if strings.HasPrefix(tt.flag, "--isolate") { // there, of deliveries, it has its own alone
				want += "lists /run/taskiam\n"
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
				if got := asks(theirs); got != "200" {
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
