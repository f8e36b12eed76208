package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/emulator"
	"github.com/taskiam/taskiam/tasks"
)

// stage is an emulator in a process of its own, and beside it the shell of its
// operator. Whatever a stage is used for lies in one folder, so that stages can stand
// side by side.
type stage struct {
	t    *testing.T
	dir  string
	host string
	// vars is the environment of what is run. It begins as an operator's whose calls
	// go to the emulator.
	vars     map[string]string
	operator string // the operator's token
	emulator int    // its process
	flags    []string
	end      func() error // ends the emulator
	// said is all that the commands have printed so far.
	said bytes.Buffer
}

// newStage starts an emulator with these flags, which ends with the test.
func newStage(t *testing.T, flags ...string) *stage {
	t.Helper()
	s := &stage{t: t, dir: t.TempDir()}
	s.vars = map[string]string{
		"PATH":            os.Getenv("PATH"),
		"HOME":            s.folder("home"),
		"XDG_STATE_HOME":  s.folder("state"),
		"XDG_RUNTIME_DIR": s.folder("runtime"),
		"GORACE":          raceOptions,
	}
	must(t, os.CopyFS(s.path("tasks"), tasks.Files))

	s.flags = flags
	s.startEmulator("127.0.0.1:0")
	t.Cleanup(func() {
		if err := s.end(); err != nil {
			said, _ := os.ReadFile(s.path("emulator.log"))
			t.Errorf("ending the emulator: %v\n%s", err, said)
		}
	})
	for line := range strings.Lines(s.ok("emulator", "env", "--wait", waitLimit.String())) {
		if variable, ok := strings.CutPrefix(strings.TrimSpace(line), "export "); ok {
			name, value, _ := strings.Cut(variable, "=")
			s.vars[name] = strings.Trim(value, "'")
		}
	}
	s.host = s.vars["TASKIAM_EMULATOR_HOST"]
	s.operator = strings.TrimSpace(s.read(s.vars["TASKIAM_EMULATOR_TOKEN_FILE"]))
	return s
}

// startEmulator starts the emulator's process at an address.
func (s *stage) startEmulator(addr string) {
	s.t.Helper()
	log, err := os.OpenFile(s.path("emulator.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(s.t, err)
	cmd := exec.Command("taskiam", append([]string{"emulator", "--addr", addr, "--log", s.path("requests.jsonl")}, s.flags...)...)
	cmd.Env, cmd.Dir, cmd.Stderr = s.environ(), s.dir, log
	must(s.t, cmd.Start())
	s.emulator = cmd.Process.Pid
	s.end = func() error { return errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait(), log.Close()) }
}

// restart ends the emulator and starts it again where it was, with the state that a flag has it keep.
func (s *stage) restart() {
	s.t.Helper()
	must(s.t, s.end())
	s.startEmulator(s.host)
	s.ok("emulator", "env", "--wait", waitLimit.String())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s *stage) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

// folder makes a folder of the stage.
func (s *stage) folder(elem ...string) string {
	s.t.Helper()
	path := s.path(elem...)
	must(s.t, os.MkdirAll(path, 0o700))
	return path
}

// write makes a file of the stage and returns its path.
func (s *stage) write(name, text string) string {
	s.t.Helper()
	path := s.path(filepath.FromSlash(name))
	must(s.t, os.MkdirAll(filepath.Dir(path), 0o700))
	must(s.t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func (s *stage) read(path string) string {
	s.t.Helper()
	b, err := os.ReadFile(path)
	must(s.t, err)
	return string(b)
}

// manifest writes a sample manifest with another delivery, and returns its path.
func (s *stage) manifest(name, deliver string) string {
	s.t.Helper()
	b, err := tasks.Files.ReadFile(name)
	must(s.t, err)
	text, _, found := strings.Cut(string(b), "deliver = ")
	if !found {
		s.t.Fatalf("tasks/%s does not end with its delivery", name)
	}
	return s.write(deliver+"/"+name, text+fmt.Sprintf("deliver = %q\n", deliver))
}

func (s *stage) environ() []string { return environ(s.vars) }

func environ(vars map[string]string) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		out = append(out, name+"="+vars[name])
	}
	return out
}

// client returns an environment that points Google's clients at the emulator and has
// no login and no taskiam in it.
func (s *stage) client() map[string]string {
	vars := map[string]string{"PATH": s.vars["PATH"], "HOME": s.folder("nobody"), "GORACE": raceOptions}
	for _, v := range emulator.ClientEnv(s.host, s.vars["TASKIAM_EMULATOR_CA"]) {
		name, value, _ := strings.Cut(v, "=")
		vars[name] = value
	}
	return vars
}

// outcome is what came of a command.
type outcome struct {
	stdout, stderr string
	code           int
}

// command is one that the stage runs.
type command struct {
	args  []string
	vars  map[string]string // nil is the operator's
	files []*os.File        // descriptors 3 and on
	dir   string            // where it runs; "" is the stage's folder
}

// run runs a command to its end. Nothing of it may be left then: it gets a process
// group of its own, in which nobody may stay.
func (s *stage) run(c command) outcome {
	s.t.Helper()
	if c.vars == nil {
		c.vars = s.vars
	}
	if c.dir == "" {
		c.dir = s.dir
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), 3*waitLimit) // taskiam has bounds of its own, which say more
	defer cancel()
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	cmd.Dir, cmd.Env, cmd.ExtraFiles = c.dir, environ(c.vars), c.files
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	s.said.Write(stdout.Bytes())
	s.said.Write(stderr.Bytes())
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited || ctx.Err() != nil {
		s.t.Fatalf("%q: %v, %v\n%s", c.args, err, ctx.Err(), stderr.Bytes())
	}
	if left := processes(func(p process) bool { return p.group == cmd.Process.Pid }); len(left) > 0 {
		s.t.Errorf("%q has left %q", c.args, left)
	}
	return outcome{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

func (s *stage) taskiam(args ...string) outcome {
	s.t.Helper()
	return s.run(command{args: append([]string{"taskiam"}, args...)})
}

// ok runs taskiam, which must end with 0, and returns its standard output.
func (s *stage) ok(args ...string) string {
	s.t.Helper()
	o := s.taskiam(args...)
	if o.code != 0 {
		s.t.Fatalf("taskiam %q ended with %d\n%s%s", args, o.code, o.stdout, o.stderr)
	}
	return o.stdout
}

// up brings a task up and returns what `up --json` says of it.
func (s *stage) up(manifest string, flags ...string) runDocument {
	s.t.Helper()
	var doc runDocument
	must(s.t, json.Unmarshal([]byte(s.ok(append(append([]string{"up", "--json"}, flags...), manifest)...)), &doc))
	return doc
}

// runDocument is what these tests read of `up --json`.
type runDocument struct {
	Run      string `json:"run"`
	Cloud    string `json:"cloud"`
	Operator string `json:"operator"`
	Account  string `json:"account"`
	Delivery string `json:"delivery"`
}

// token returns a token of the run: the delivered one, or one from the delivered key.
func (s *stage) token(run runDocument) string {
	s.t.Helper()
	if b, err := os.ReadFile(filepath.Join(run.Delivery, "token")); err == nil {
		return string(b)
	}
	o := s.run(command{args: []string{"taskiam", "token", run.Run}})
	s.said.Truncate(s.said.Len() - len(o.stdout) - len(o.stderr)) // a token is what was asked for
	if o.code != 0 {
		s.t.Fatalf("no token for run %s: %s", run.Run, o.stderr)
	}
	return strings.TrimSpace(o.stdout)
}

func (s *stage) journal(run string) string { return s.path("state", "taskiam", "runs", run+".jsonl") }

// request is one call of Google's API, at its production URL.
type request struct{ method, url, body string }

// answer is what the emulator says: its code, the most precise reason that it gives,
// and all of it.
type answer struct {
	code   int
	reason string
	body   string
}

// call makes a call with a token, which may be "".
func (s *stage) call(token string, r request) answer {
	s.t.Helper()
	u, err := url.Parse(r.url)
	must(s.t, err)
	host := u.Host
	u.Scheme, u.Host = "http", s.host
	req, err := http.NewRequestWithContext(s.t.Context(), r.method, u.String(), strings.NewReader(r.body))
	must(s.t, err)
	req.Host = host
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	kind := "application/json"
	if strings.HasPrefix(r.body, "grant_type=") {
		kind = "application/x-www-form-urlencoded"
	}
	req.Header.Set("Content-Type", kind)
	resp, err := http.DefaultClient.Do(req)
	must(s.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(s.t, err)
	return answer{resp.StatusCode, reason(body), string(body)}
}

// reason returns the reason of an error in one of Google's three shapes; "" if it has none.
func reason(body []byte) string {
	var e struct {
		Error struct {
			Status  string
			Details []struct{ Reason string }
			Errors  []struct{ Reason string }
		}
	}
	if json.Unmarshal(body, &e) != nil {
		var oauth struct{ Error string }
		if json.Unmarshal(body, &oauth) != nil {
			return ""
		}
		return oauth.Error
	}
	for _, d := range slices.Concat(e.Error.Details, e.Error.Errors) {
		if d.Reason != "" {
			return d.Reason
		}
	}
	return e.Error.Status
}

// asOperator makes a call that must succeed, and returns its answer.
func (s *stage) asOperator(r request) string {
	s.t.Helper()
	a := s.call(s.operator, r)
	if a.code != http.StatusOK {
		s.t.Fatalf("%s %s as the operator: %d %s", r.method, r.url, a.code, a.body)
	}
	return a.body
}

func (s *stage) snapshot() string {
	s.t.Helper()
	return s.asOperator(request{"GET", "http://" + s.host + "/_emulator/snapshot", ""})
}

// sameCloud fails the test if the emulator's state is not the one of the snapshot.
func (s *stage) sameCloud(before string) {
	s.t.Helper()
	if diff := cmp.Diff(before, s.snapshot()); diff != "" {
		s.t.Errorf("the cloud is not as before:\n%s", diff)
	}
}

// keyOf makes a key of a service account, as its owner could, and returns the key file.
func (s *stage) keyOf(account string) string {
	s.t.Helper()
	var key struct{ PrivateKeyData []byte }
	must(s.t, json.Unmarshal([]byte(s.asOperator(request{"POST", "https://iam.googleapis.com/v1/projects/-/serviceAccounts/" + account + "/keys", "{}"})), &key))
	return string(key.PrivateKeyData)
}

// logged is one line of the emulator's request log.
type logged struct {
	Principal, Method, HTTP, Decision string
	Code                              int
}

// requests returns the request log.
func (s *stage) requests() []logged {
	s.t.Helper()
	var out []logged
	for line := range strings.Lines(s.read(s.path("requests.jsonl"))) {
		var l logged
		must(s.t, json.Unmarshal([]byte(line), &l))
		out = append(out, l)
	}
	return out
}

// tree returns the names of everything below a folder.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	must(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		out = append(out, path)
		return err
	}))
	return out
}

// process is one at work on this machine.
type process struct {
	pid, group int
	command    string
}

// processes returns the command lines of the processes that match, zombies left out.
// It finds none where there is no /proc.
func processes(match func(process) bool) []string {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	var out []string
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has just ended
		}
		var p process
		var state string
		var parent int
		// The name, in parentheses, can have anything in it.
		if _, err := fmt.Sscan(string(stat[bytes.LastIndexByte(stat, ')')+1:]), &state, &parent, &p.group); err != nil || state == "Z" {
			continue
		}
		if _, err := fmt.Sscan(string(stat), &p.pid); err != nil {
			continue
		}
		line, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
		p.command = string(bytes.ReplaceAll(line, []byte{0}, []byte{' '}))
		if match(p) {
			out = append(out, p.command)
		}
	}
	return out
}
