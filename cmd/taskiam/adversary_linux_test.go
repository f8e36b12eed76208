package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// thiefTask is what the adversary was trusted with: grants that end by themselves and
// one that does not, by metadata, and an audience.
const thiefTask = `version = 1
[task]
name    = "thief"
project = "acme-agents"
ttl     = "1h"
[[grant]]
role      = "roles/secretmanager.secretAccessor"
resource  = "projects/acme-agents/secrets/api-key"
condition = '!resource.name.endsWith("/versions/1")'
[[grant]]
role     = "roles/storage.objectViewer"
resource = "gs://acme-reports/2026/"
[[grant]]
role      = "roles/pubsub.viewer"
resource  = "projects/acme-agents/topics/reports"
unbounded = "accept"
[credentials]
deliver   = "metadata"
audiences = ["` + reportsAudience + `"]
`

// entrusted is what the thief may do; the last of it whatever the time is, for that grant
// takes no condition.
var entrusted = []request{readSecret, readObject, {"GET", topicAPI, ""}}

// operatorsOutput is what is already in a file that the thief's errors go to.
const operatorsOutput = "what the operator has written here before"

// terminal is a terminal of the operator's. The test never reads what is typed.
func terminal(t *testing.T) *os.File {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	must(t, err)
	t.Cleanup(func() { _ = master.Close() })
	must(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	must(t, err)
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	must(t, err)
	t.Cleanup(func() { _ = slave.Close() })
	return slave
}

// thiefManifest is the thief's manifest in its work tree.
const thiefManifest = "conf/thief.toml"

// beside is another manifest in the same folder.
func beside(manifest string) string { return filepath.Join(filepath.Dir(manifest), "beside.toml") }

// trusting returns the command by which the operator runs a program of the adversary's.
func (s *stage) trusting(where place, tree string, cmd ...string) *exec.Cmd {
	s.t.Helper()
	manifest := s.write(tree+"/"+thiefManifest, thiefTask)
	s.write(tree+"/"+beside(thiefManifest), thiefTask)
	c := command{args: append([]string{"taskiam", "run", manifest, "--"}, cmd...), dir: s.folder(tree)}
	if where != barehome {
		c = s.isolated(tree, string(where), manifest, cmd...)
	}
	run := exec.Command(c.args[0], c.args[1:]...)
	run.Dir, run.Env = c.dir, s.environ()
	return run
}

// TestAdversary runs everything that docs/threats.md lists, from inside: what is said to
// be stopped must be, for the reason that is known, and what is said not to be is not.
func TestAdversary(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	for _, row := range everything() { // these need no sandbox
		for _, p := range row.played {
			t.Run(strings.ReplaceAll(row.name+" "+p.what, " ", "-"), p.test)
		}
	}
	s := isolation(t)
	abstract := fmt.Sprintf("@thief-%d-%s", os.Getpid(), filepath.Base(s.dir))
	l, err := net.Listen("unix", abstract)
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	s.write("home/keep/notes.txt", "what the operator keeps")

	for _, name := range []string{
		"AWS_SECRET_ACCESS_KEY", "VAULT_TOKEN", "SSH_AUTH_SOCK", "KUBECONFIG", "PGPASSWORD", "NPM_TOKEN", "DATABASE_URL", "MINE",
	} {
		s.vars[name] = operatorsOwn
	}
	neighbour, isolatedRun := s.holding("neighbour", "--isolate", "metadata")
	open := s.up(s.manifest("demo.toml", "metadata"))
	var env struct {
		Env map[string]string
	}
	must(t, json.Unmarshal([]byte(s.ok("env", "--format", "json", open.Run)), &env))
	known := targets{
		Operator: []string{
			s.vars["TASKIAM_EMULATOR_TOKEN_FILE"], filepath.Join(filepath.Dir(s.vars["TASKIAM_EMULATOR_TOKEN_FILE"]), "control"),
			filepath.Join(filepath.Dir(s.vars["TASKIAM_EMULATOR_TOKEN_FILE"]), "adc.json"),
		},
		Journals: s.path("state", "taskiam", "runs"), Keep: s.path("home", "keep"),
		Processes: []int{isolatedRun.Process.Pid, s.emulator, os.Getpid()},
		Emulator:  s.host, Abstract: abstract, Server: s.loopback(), Key: filepath.Base(s.dir) + strconv.Itoa(os.Getpid()),
	}
	known.Keyring = keyring(t, known.Key)
	for _, path := range known.Operator {
		s.read(path) // the thief is to look where there is something
	}
	known.Neighbour.Account = neighbour("CLOUDSDK_CORE_ACCOUNT=")
	known.Neighbour.Delivery, known.Neighbour.Metadata = neighbour("TASKIAM_DELIVERY="), neighbour("GCE_METADATA_HOST=")
	known.Open.Account, known.Open.Delivery, known.Open.Metadata = open.Account, open.Delivery, env.Env["GCE_METADATA_HOST"]

	before := s.snapshot()
	t.Run("places", func(t *testing.T) {
		for _, where := range []place{isolated, networkno, barehome} {
			t.Run(strings.ReplaceAll(strings.Trim(string(where), "-"), " ", "-"), func(t *testing.T) {
				t.Parallel()
				stage := *s
				stage.t = t
				stage.plays(where, known)
			})
		}
	})
	t.Run("refused", func(t *testing.T) {
		stage := *s
		stage.t = t
		stage.makesNone()
	})
	s.sameCloud(before)
	if got := tree(t, s.path("home", "keep")); len(got) != 2 || s.read(s.path("home", "keep", "notes.txt")) != "what the operator keeps" {
		t.Errorf("what the operator keeps is %q now", got)
	}
	s.ok("down", open.Run)
}

// TestAdversaryAsAUser plays the same with an operator who is not root.
func TestAdversaryAsAUser(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	isolation(t)
	said := asAUser(t, "TestAdversary")
	for line := range strings.Lines(said) {
		if strings.Contains(line, "--- SKIP: ") && !strings.Contains(line, "wait-for-the-next-run-as-the-same-user") &&
			!strings.Contains(line, "-as-another-user ") {
			t.Errorf("as a user, this is left out: %s", line)
		}
	}
}

// asAUser lets an ordinary user play tests, and returns what they said.
func asAUser(t *testing.T, names ...string) string {
	t.Helper()
	const user = 65532
	if os.Geteuid() != 0 {
		t.Skip("this is an ordinary user already")
	}
	place, err := os.MkdirTemp("", "taskiam-user-")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(place)) })
	must(t, os.Chmod(place, 0o711))
	programs(t, place, "tests")
	folder := filepath.Join(place, "own")
	must(t, os.Mkdir(folder, 0o700))
	must(t, os.Chown(folder, user, user))
	cmd := exec.Command(filepath.Join(place, "tests"), "-test.v", "-test.run", "^("+strings.Join(names, "|")+")$")
	cmd.Dir, cmd.Env = folder, append(os.Environ(), "TMPDIR="+folder, "HOME="+folder)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("as a user: %v\n%s", err, out)
	}
	for _, name := range names {
		if !strings.Contains(string(out), "--- PASS: "+name+" ") {
			t.Errorf("as a user: %s did not pass\n%s", name, out)
		}
	}
	return string(out)
}

// plays lets the thief try everything from a place, and then what it has carried off.
func (s *stage) plays(where place, known targets) {
	t := s.t
	t.Helper()
	tree := "thief-" + strings.ReplaceAll(string(where), " ", "-")
	known.Place = where
	known.Marker, known.Manifest = s.path(tree, "left-behind"), s.path(tree, thiefManifest)
	b, err := json.Marshal(known)
	must(t, err)
	s.write(tree+"/"+targetsFile, string(b))
	cmd := s.trusting(where, tree, "thief")
	var stdout bytes.Buffer
	log, err := os.OpenFile(s.write(tree+".log", operatorsOutput+"\n"), os.O_RDWR|os.O_APPEND, 0)
	must(t, err)
	defer log.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal(t), &stdout, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	err = cmd.Run()
	stderr := s.read(log.Name())
	if err != nil {
		t.Fatalf("%v\n%s%s", err, stdout.Bytes(), stderr)
	}
	if !strings.HasPrefix(stderr, operatorsOutput+"\n") || !strings.Contains(stderr, "nothing is left") {
		t.Errorf("the run ended with\n%s", stderr)
	}

	var came []attempt
	for line := range strings.Lines(stdout.String()) {
		var a attempt
		must(t, json.Unmarshal([]byte(line), &a))
		came = append(came, a)
	}
	for _, row := range everything() {
		for _, m := range row.moves {
			want := m.expected(where)
			if row.name == "reach an abstract socket" && where == isolated && !scoped() {
				want = succeeded
			}
			if m.what == rootOnly && os.Geteuid() != 0 {
				want = untried
			}
			if len(came) == 0 || came[0].Attack != row.name || came[0].What != m.what {
				t.Fatalf("%s, %s was not tried:\n%s", row.name, m.what, stderr)
			}
			if got := came[0].Got; want != untried && !slices.Contains(strings.Split(want, "|"), got) {
				t.Errorf("%s, %s: %q, want %q", row.name, m.what, got, want)
			}
			came = came[1:]
		}
	}

	left := processes(func(p process) bool { return strings.Contains(p.command, known.Marker) })
	if where == barehome {
		if len(left) != 1 {
			t.Errorf("without isolation, what the command leaves behind stays; there is %q", left)
		}
		kill(t, known.Marker)
	} else if len(left) > 0 {
		t.Errorf("it has left %q", left)
	}
	if left := setUIDs(s.path(tree)); left != "" {
		t.Errorf("it has left set-uid programs: %s", left)
	}
	s.copied(where, s.loot(tree))
}

// keyring puts a key into the operator's own keyring, and returns the number of that.
func keyring(t *testing.T, name string) int {
	t.Helper()
	ring, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_USER_KEYRING, true)
	must(t, err)
	key, err := unix.AddKey("user", name, []byte("secret"), unix.KEY_SPEC_USER_KEYRING)
	must(t, err)
	t.Cleanup(func() {
		_, err := unix.KeyctlInt(unix.KEYCTL_UNLINK, key, unix.KEY_SPEC_USER_KEYRING, 0, 0)
		must(t, err)
	})
	return ring
}

// loot reads what the thief in that work tree has carried off.
func (s *stage) loot(tree string) loot {
	s.t.Helper()
	var l loot
	must(s.t, json.Unmarshal([]byte(s.read(s.path(tree, lootFile))), &l))
	if l.Token == "" || !strings.HasPrefix(l.Identity, "eyJ") || l.Subject == "" {
		s.t.Fatalf("the thief has carried off only %+v", l)
	}
	return l
}

// copied tries what was carried off after the run is down.
func (s *stage) copied(where place, l loot) {
	s.t.Helper()
	for _, r := range entrusted {
		if a := s.call(l.Token, r); a.code != 401 {
			s.t.Errorf("a copied token after down: %d %s", a.code, a.body)
		}
	}
	// Nobody serves what the subject token is good for; at nonet's address nobody ever did.
	if got := dialled("tcp", l.Metadata); got != noConnection {
		s.t.Errorf("the metadata server after down: %s", got)
	}
	// Whoever checks an identity token asks nobody, and it lasts for its hour.
	part, err := base64.RawURLEncoding.DecodeString(strings.Split(l.Identity, ".")[1])
	must(s.t, err)
	var claims struct {
		Aud string
		Exp int64
	}
	must(s.t, json.Unmarshal(part, &claims))
	if claims.Aud != reportsAudience || !time.Unix(claims.Exp, 0).After(s.now().Add(50*time.Minute)) {
		s.t.Errorf("the identity token is good for %q until %s; docs/threats.md says more", claims.Aud, time.Unix(claims.Exp, 0))
	}
	// However much it asks for, it cannot fill the disk with the log of that.
	info, err := os.Stat(s.path("state", "taskiam", "runs", strings.TrimPrefix(strings.Split(l.Account, "@")[0], "ti-thief-")+".tokens.log"))
	must(s.t, err)
	if info.Size() == 0 || info.Size() > 256<<10 {
		s.t.Errorf("%s: the log of tokens has %d bytes", where, info.Size())
	}
}

// kill ends the processes with this in their command line.
func kill(t *testing.T, marker string) {
	t.Helper()
	entries, err := filepath.Glob("/proc/[0-9]*/cmdline")
	must(t, err)
	for _, path := range entries {
		line, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(line, []byte(marker)) {
			continue
		}
		var pid int
		if _, err := fmt.Sscanf(path, "/proc/%d/", &pid); err == nil {
			must(t, syscall.Kill(pid, syscall.SIGKILL))
		}
	}
}

// TestKilledRun kills taskiam in the middle of a run with a thief in it. Once the life of
// the last token is over, nothing of it is of use to anybody; and what is left, down
// takes away, or sweep, if the journal is gone too.
func TestKilledRun(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	for _, tt := range []struct {
		name  string
		where place
		sweep bool
	}{
		{"isolated, and then down", isolated, false},
		{"isolated without a network, and then sweep", networkno, true},
		{"not isolated, and then sweep", barehome, true},
	} {
		t.Run(strings.ReplaceAll(strings.ReplaceAll(tt.name, ",", ""), " ", "-"), func(t *testing.T) {
			t.Parallel()
			s := isolation(t)
			before := s.look()
			cmd := s.trusting(tt.where, "thief", "thief", "loot")
			log, err := os.Create(s.path("run.log"))
			must(t, err)
			cmd.Stderr = log
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			must(t, cmd.Start())
			s.await("thief/" + lootFile)
			l := s.loot("thief")
			for _, r := range entrusted {
				s.allow(l.Token, r)
			}
			must(t, cmd.Process.Kill())
			_ = cmd.Wait() // it was killed
			must(t, log.Close())

			// What is in a sandbox ends with it. What is in none goes on, and gets no more tokens.
			at := process{group: cmd.Process.Pid}
			if tt.where == barehome {
				if len(processes(func(p process) bool { return p.group == at.group })) == 0 {
					t.Error("the command has ended, of which docs/threats.md says that it goes on")
				}
			} else {
				s.gone(func(p process) bool { return strings.Contains(p.command, s.path("thief")) || p.group == at.group })
			}
			if got := dialled("tcp", l.Metadata); got != noConnection {
				t.Errorf("the metadata server after the end of taskiam: %s", got)
			}
			s.past(15 * time.Minute)
			for _, r := range entrusted {
				if a := s.call(l.Token, r); a.code != 401 {
					t.Errorf("%s after the token's life: %d %s", r.url, a.code, a.reason)
				}
			}
			if a := s.call(l.Token, request{"POST", credentialsAPI + l.Account + ":generateAccessToken", anyScope}); a.code != 401 {
				t.Errorf("another token after the token's life: %d %s", a.code, a.reason)
			}
			if tt.where == barehome {
				if err := syscall.Kill(-at.group, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
					t.Error(err)
				}
				s.gone(func(p process) bool { return p.group == at.group })
			}

			if tt.sweep {
				// The machine is lost, with its journal; its delivery has no secret in it.
				must(t, os.RemoveAll(s.path("state", "taskiam", "runs")))
				must(t, os.RemoveAll(s.path("runtime", "taskiam")))
				s.ok("emulator", "advance", longAfter.String())
				s.ok("sweep", "--project", "acme-agents")
			} else {
				s.ok("down")
			}
			if diff := cmp.Diff(before, s.look(), cmp.AllowUnexported(look{})); diff != "" {
				t.Errorf("it is not as before:\n%s", diff)
			}
		})
	}
}

// gone waits until no such process is left.
func (s *stage) gone(match func(process) bool) {
	s.t.Helper()
	tick, deadline := time.NewTicker(10*time.Millisecond), time.After(waitLimit)
	defer tick.Stop()
	for len(processes(match)) > 0 {
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("these do not end: %q", processes(match))
		}
	}
}

// TestThreatsAreTried keeps docs/threats.md and what is tried in step.
func TestThreatsAreTried(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../docs/threats.md")
	must(t, err)
	tests, err := filepath.Glob("*_test.go")
	must(t, err)
	inside, err := filepath.Glob("../../internal/*/*_test.go")
	must(t, err)
	ofEmulator, err := filepath.Glob("../../emulator/*_test.go")
	must(t, err)
	var source strings.Builder
	for _, name := range slices.Concat(tests, inside, ofEmulator) {
		text, err := os.ReadFile(name)
		must(t, err)
		source.Write(text)
	}
	var got, want [2][]string // stopped, and not
	at := 0
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "## What is not stopped") {
			at = 1
		}
		cells := strings.Split(line, "|")
		if len(cells) != 5 || strings.HasPrefix(line, "|--") || strings.HasPrefix(line, "| attack ") {
			continue
		}
		by := strings.TrimSpace(cells[3])
		if strings.HasPrefix(by, "`TestAdversary`") && !strings.Contains(by, "loot") {
			got[at] = append(got[at], strings.TrimSpace(cells[1]))
		}
		names := testName.FindAllStringSubmatch(by, -1)
		if len(names) == 0 && !strings.HasPrefix(by, "not tried") {
			t.Errorf("nobody tests %s", cells[1])
		}
		for _, name := range names {
			if !strings.Contains(source.String(), "\nfunc "+name[1]+"(t *testing.T)") {
				t.Errorf("there is no %s", name[1])
			}
		}
	}
	for _, row := range everything()[1:] { // the first is the control
		at := 0
		if row.stands {
			at = 1
		}
		want[at] = append(want[at], row.name)
	}
	for i := range want {
		slices.Sort(got[i])
		slices.Sort(want[i])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what is tried, and what docs/threats.md has (-want +got):\n%s", diff)
	}
}

var testName = regexp.MustCompile("`(Test[A-Za-z]+)`")
