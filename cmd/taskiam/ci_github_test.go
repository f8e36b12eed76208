package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// runner plays GitHub's runner for one job: the files GITHUB_ENV, GITHUB_OUTPUT and GITHUB_STATE of each
// step, whatever came of it; what a step exports, each later one has; the second halves run in reverse, each with
// its own state alone. Under act, the same shapes are in ci/test/github.yml.
type runner struct {
	s        *stage
	node     string
	job, env map[string]string // what the runner gives each step, and what steps have exported
	posts    []*step
	temp     string
}

// step is one use of an Action.
type step struct {
	id      string
	vars    map[string]string // its inputs
	state   map[string]string
	outputs map[string]string
	post    func(vars map[string]string) outcome
}

var runners int

// newRunner returns one whose jobs are those of the stage. Jobs with the same index are one job.
func newRunner(s *stage, node string, job map[string]string, index string) *runner {
	s.t.Helper()
	runners++
	r := &runner{s: s, node: node, env: map[string]string{}, temp: s.folder("temp", fmt.Sprint(runners))}
	workspace := s.path("workspace")
	commit := strings.TrimSpace(s.sh(workspace, "git rev-parse HEAD"))
	r.job = over(githubJob(s, job, 100+runners, workspace, commit, `{"ref":"refs/heads/main"}`), map[string]string{
		"GITHUB_RUN_ID": "7", "INPUT_INDEX": index, "INPUT_REPOSITORY": workspace, "RUNNER_TEMP": r.temp,
		"XDG_STATE_HOME": s.path("state"),
	})
	return r
}

// environment returns that of a step.
func (r *runner) environment(st *step) map[string]string {
	r.s.t.Helper()
	vars := over(r.job, r.env, st.vars, map[string]string{"GITHUB_ACTION": st.id})
	for _, name := range []string{"ENV", "OUTPUT", "STATE"} {
		vars["GITHUB_"+name] = filepath.Join(r.temp, st.id+"."+name)
	}
	return vars
}

// took reads the files of a step.
func (r *runner) took(st *step, vars map[string]string) {
	r.s.t.Helper()
	for name, into := range map[string]*map[string]string{"ENV": &r.env, "OUTPUT": &st.outputs, "STATE": &st.state} {
		if _, err := os.Stat(vars["GITHUB_"+name]); err != nil {
			continue
		}
		if *into == nil {
			*into = map[string]string{}
		}
		maps.Copy(*into, r.s.pairs(vars["GITHUB_"+name]))
		must(r.s.t, os.Remove(vars["GITHUB_"+name]))
	}
}

// use uses the Action, with inputs NAME=VALUE over those of the job.
func (r *runner) use(id string, inputs ...string) (*step, outcome) {
	r.s.t.Helper()
	st := r.step(id, inputs...)
	vars := r.environment(st)
	o := r.half("main", vars)
	r.took(st, vars)
	return st, o
}

func (r *runner) step(id string, inputs ...string) *step {
	r.s.t.Helper()
	st := &step{id: id, vars: map[string]string{}}
	for _, input := range inputs {
		name, value, _ := strings.Cut(input, "=")
		st.vars["INPUT_"+strings.ToUpper(name)] = value
	}
	st.post = func(vars map[string]string) outcome { return r.half("post", vars) }
	r.posts = append(r.posts, st)
	return st
}

func (r *runner) half(name string, vars map[string]string) outcome {
	r.s.t.Helper()
	return r.s.run(command{args: []string{r.node, hooks(r.s.t, "github", name+".js")}, vars: vars, dir: r.s.path("workspace")})
}

// end runs the second halves, in reverse, and returns what came of them by the ids of their steps.
func (r *runner) end() map[string]outcome {
	r.s.t.Helper()
	out := map[string]outcome{}
	for _, st := range slices.Backward(r.posts) {
		vars := r.environment(st)
		for name, value := range st.state {
			vars["STATE_"+name] = value
		}
		out[st.id] = st.post(vars)
	}
	return out
}

// auth plays google-github-actions/auth: it leaves a login in the workspace, exports its path under three
// names, and its second half removes what one of them names.
func (r *runner) auth(login string) string {
	r.s.t.Helper()
	file := r.s.write("workspace/gha-creds-0123456789abcdef.json", login)
	for _, name := range []string{"CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE", "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_GHA_CREDS_PATH"} {
		r.env[name] = file
	}
	for _, name := range []string{"CLOUDSDK_CORE_PROJECT", "CLOUDSDK_PROJECT", "GCLOUD_PROJECT", "GCP_PROJECT", "GOOGLE_CLOUD_PROJECT"} {
		r.env[name] = "acme-prod"
	}
	st := r.step("auth")
	st.post = func(vars map[string]string) outcome {
		if vars["GOOGLE_GHA_CREDS_PATH"] == "" {
			return outcome{}
		}
		must(r.s.t, os.Remove(vars["GOOGLE_GHA_CREDS_PATH"]))
		return outcome{}
	}
	return file
}

// identities returns, by client, as whom a later step of the job acts; "" stands for nobody.
func (r *runner) identities() map[string]string {
	t := r.s.t
	t.Helper()
	vars := over(r.job, r.env)
	ca := vars["SSL_CERT_FILE"]
	maps.Copy(vars, map[string]string{"REQUESTS_CA_BUNDLE": ca, "HTTPLIB2_CA_CERTS": ca, "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE": ca, "NODE_EXTRA_CA_CERTS": ca})
	who := map[string]string{"Go": line(r.s.run(command{args: []string{"adcprobe"}, vars: vars}).stdout, "acted as ")}
	owner := func(o outcome) string {
		token := strings.TrimSpace(o.stdout)
		r.s.said.Truncate(r.s.said.Len() - len(o.stdout) - len(o.stderr))
		if o.code != 0 || token == "" {
			return ""
		}
		a := r.s.call("", request{"POST", "https://oauth2.googleapis.com/tokeninfo", "grant_type=x&" + url.Values{"access_token": {token}}.Encode()})
		var info struct{ Email, Sub string }
		must(t, json.Unmarshal([]byte(a.body), &info))
		if info.Email == "" {
			return "nobody known: " + a.body
		}
		return info.Email
	}
	if path, err := exec.LookPath("gcloud"); err == nil {
		path, err = filepath.EvalSymlinks(path)
		must(t, err)
		who["gcloud"] = owner(r.s.run(command{args: []string{"gcloud", "auth", "print-access-token", "--quiet"}, vars: vars}))
		lib := filepath.Join(filepath.Dir(filepath.Dir(path)), "lib", "third_party")
		who["Python"] = owner(r.s.run(command{vars: over(vars, map[string]string{"PYTHONPATH": lib, "PYTHONDONTWRITEBYTECODE": "1"}), args: []string{"python3", "-c", `
import google.auth, google.auth.transport.requests
login, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/userinfo.email"])
login.refresh(google.auth.transport.requests.Request())
print(login.token)`}}))
	} else {
		t.Log("gcloud and Python's google-auth are not tried: gcloud, which brings both, is not installed")
	}
	if fetched := os.Getenv(nodeVariable); fetched != "" {
		who["Node"] = owner(r.s.run(command{vars: over(vars, map[string]string{"NODE_PATH": filepath.Join(fetched, "node_modules")}), args: []string{r.node, "-e", `
const { GoogleAuth } = require('google-auth-library');
new GoogleAuth({ scopes: ['https://www.googleapis.com/auth/cloud-platform', 'https://www.googleapis.com/auth/userinfo.email'] }).getAccessToken()
  .then(console.log, () => { process.exitCode = 1; });`}}))
	} else {
		t.Log("Node's google-auth-library is not tried: " + nodeVariable + " does not name a folder with it (make clients)")
	}
	return who
}

// newGitHub starts an emulator with a repository whose task.toml is the sample, and beside it the same task with other deliveries.
func newGitHub(t *testing.T) (s *stage, job map[string]string, before string) {
	t.Helper()
	i := newIssuer(t)
	s, job = newJobs(t, i)
	job["ACTIONS_ID_TOKEN_REQUEST_URL"] = i.serve(t) + "/?v=1"
	s.repository("workspace", "key")
	for _, deliver := range []string{"token", "metadata"} {
		s.write("workspace/"+deliver+".toml", s.read(s.manifest("demo.toml", deliver)))
	}
	s.commit(s.path("workspace"))
	return s, job, s.snapshot()
}

// asBeforeJob fails the test if something of a run is left: in the cloud, of the delivery, or of the job's folders.
func (s *stage) asBeforeJob(before string) {
	s.t.Helper()
	s.ok("emulator", "advance", "2h") // the job's own tokens end
	s.sameCloud(before)
	if left := slices.DeleteFunc(tree(s.t, s.path("temp")), func(path string) bool { return !strings.Contains(path, "taskiam-") }); len(left) > 0 {
		s.t.Errorf("left behind: %q", left)
	}
}

// nodes are the versions of node that the Action is said to run on; the first is that of PATH.
func nodes(t *testing.T) []string {
	t.Helper()
	out := []string{need(t, "node")}
	for dir := range strings.SplitSeq(os.Getenv("TASKIAM_TEST_NODES"), string(os.PathListSeparator)) {
		if dir != "" {
			out = append(out, filepath.Join(dir, "node"))
		}
	}
	return out
}

// TestCIGitHubNodes says which versions of node ran both halves, and runs them with each.
func TestCIGitHubNodes(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	need(t, "git")
	s, job, before := newGitHub(t)
	tried := map[string]bool{}
	for at, node := range nodes(t) {
		version := strings.TrimSpace(s.sh(s.dir, node+" --version"))
		major, _, _ := strings.Cut(version, ".")
		if tried[major] {
			continue
		}
		tried[major] = true
		t.Log("tried with node", version)
		r := newRunner(s, node, job, fmt.Sprint(at))
		_, o := r.use("taskiam")
		if o.code != 0 {
			t.Errorf("node %s: main ended with %d\n%s%s", version, o.code, o.stdout, o.stderr)
		}
		if o := r.end()["taskiam"]; o.code != 0 || !strings.Contains(o.stdout, "checked: nothing is left") || o.stderr != "" {
			t.Errorf("node %s: post ended with %d\n%s%s", version, o.code, o.stdout, o.stderr)
		}
	}
	s.asBeforeJob(before)
	for _, major := range []string{"v20", "v24"} {
		if !tried[major] {
			t.Logf("node %s is not tried: it is not in PATH, and TASKIAM_TEST_NODES names no folder with it (make ci-hooks fetches it)", major)
		}
	}
}

// TestCIGitHubTwice uses the Action several times in one job, after google-github-actions/auth: whoever acts in
// a step acts as the last run or as nobody, each run is taken down by the step that brought it up, with the login with
// which it was brought up, and what is the other action's is left to it.
func TestCIGitHubTwice(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	need(t, "git")
	s, job, before := newGitHub(t)
	job["INPUT_IDENTITY-PROVIDER"] = "" // the login is the one that auth has left
	login := fmt.Sprintf(`{"type":"external_account","audience":"//iam.googleapis.com/%s",
"subject_token_type":"urn:ietf:params:oauth:token-type:jwt","token_url":"https://sts.googleapis.com/v1/token","credential_source":{
"url":"%s&audience=https%%3A%%2F%%2Fiam.googleapis.com%%2F%s","headers":{"Authorization":"Bearer the-jobs-own"},
"format":{"type":"json","subject_token_field_name":"value"}}}`, ciProvider, job["ACTIONS_ID_TOKEN_REQUEST_URL"], url.QueryEscape(ciProvider))
	r := newRunner(s, nodes(t)[0], job, "0")
	r.env["GOOGLE_API_USE_CLIENT_CERTIFICATE"] = "true" // with "" Python's clients do not start
	file := r.auth(login)
	var operator string
	var runs []string
	for _, deliver := range []string{"task", "token", "metadata", "task"} {
		st, o := r.use(fmt.Sprint(len(runs)), "manifest="+deliver+".toml")
		if o.code != 0 {
			t.Fatalf("%s: main ended with %d\n%s%s", deliver, o.code, o.stdout, o.stderr)
		}
		if operator == "" {
			operator = line(o.stdout, "operator ")
		}
		if got := line(o.stdout, "operator "); got != operator || strings.Contains(got, "ti-nightly") {
			t.Errorf("%s: the operator is %s, and was %s", deliver, got, operator)
		}
		account := st.outputs["account"]
		for client, who := range r.identities() {
			// Without a file of its own, no client but gcloud takes a token from a file.
			if nobody := deliver == "token" && client != "gcloud"; nobody && who != "" || !nobody && who != account {
				t.Errorf("after a run with %s, %s acts as %q, want %s", deliver, client, who, account)
			}
		}
		if r.env["GOOGLE_GHA_CREDS_PATH"] != file || r.env["GOOGLE_API_USE_CLIENT_CERTIFICATE"] != "false" {
			t.Errorf("later steps have %q", r.env)
		}
		runs = append(runs, st.outputs["run"])
	}
	// What a step names is not taken for a run of another.
	maps.Copy(r.env, map[string]string{"TASKIAM_CI_RUN": runs[0], "TASKIAM_CI_ACCOUNT": "x"})
	for id, o := range r.end() {
		if id == "auth" {
			continue
		}
		var at int
		_, err := fmt.Sscan(id, &at)
		must(t, err)
		if o.code != 0 || !strings.HasPrefix(o.stdout, "run "+runs[at]+" of nightly-report is down after ") || !strings.HasSuffix(o.stdout, "checked: nothing is left\n") || o.stderr != "" {
			t.Errorf("post of %s (run %s) ended with %d\n%s%s", id, runs[at], o.code, o.stdout, o.stderr)
		}
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("the other action's file is still there: %v", err)
	}
	s.asBeforeJob(before)
}

// TestCIGitHubShapes runs jobs beside each other, and steps of which one is for another job.
func TestCIGitHubShapes(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	need(t, "git")
	s, job, before := newGitHub(t)
	node := nodes(t)[0]
	ends := func(what string, o outcome, run string) {
		t.Helper()
		if o.code != 0 || !strings.HasPrefix(o.stdout, "run "+run+" of nightly-report is down after ") || !strings.HasSuffix(o.stdout, "checked: nothing is left\n") {
			t.Errorf("%s ended with %d\n%s%s", what, o.code, o.stdout, o.stderr)
		}
	}
	up := func(r *runner, id string, inputs ...string) *step {
		t.Helper()
		st, o := r.use(id, inputs...)
		if o.code != 0 || st.outputs["run"] == "" {
			t.Fatalf("%s ended with %d\n%s%s", id, o.code, o.stdout, o.stderr)
		}
		return st
	}
	works := func(what string, r *runner, account string) {
		t.Helper()
		if who := r.identities()["Go"]; who != account {
			t.Errorf("%s: a step acts as %q, want %s", what, who, account)
		}
	}

	// A matrix of two on one manifest and one runner: the end of one is not the other's.
	one, two := newRunner(s, node, job, "0"), newRunner(s, node, job, "1")
	first, second := up(one, "taskiam"), up(two, "taskiam")
	ends("the first of a matrix", one.end()["taskiam"], first.outputs["run"])
	works("the second of a matrix", two, second.outputs["account"])
	ends("the second of a matrix", two.end()["taskiam"], second.outputs["run"])

	// A run that is handed over, and one for the steps that follow.
	r := newRunner(s, node, job, "2")
	handed := up(r, "handed", "command=hand-over", "out="+s.path("temp", "handed"))
	own := up(r, "own")
	works("after hand-over and up", r, own.outputs["account"])
	posts := r.end()
	ends("up after hand-over", posts["own"], own.outputs["run"])
	if o := posts["handed"]; o.code != 0 || o.stdout != "" || !strings.Contains(s.snapshot(), handed.outputs["account"]) {
		t.Errorf("the post of hand-over: %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	last := newRunner(s, node, job, "3")
	_, o := last.use("down", "command=down", "run-id="+handed.outputs["run"], "account="+handed.outputs["account"], "project="+handed.outputs["project"])
	ends("down of another job", o, handed.outputs["run"])
	last.end()

	// A script in a sandbox, beside a run for the other steps: its post does not take that one.
	if _, err := exec.LookPath("bwrap"); err == nil {
		r = newRunner(s, node, job, "4")
		own = up(r, "own")
		if _, o := r.use("script", "command=run", `run=echo "as $CLOUDSDK_CORE_ACCOUNT"`); o.code != 0 || strings.Contains(o.stdout, own.outputs["account"]) || !strings.Contains(o.stdout, "as ti-nightly-rep-") {
			t.Errorf("a script in a sandbox: %d\n%s%s", o.code, o.stdout, o.stderr)
		}
		posts = r.end()
		ends("up before a script", posts["own"], own.outputs["run"])
		if o := posts["script"]; o.code != 0 || !strings.HasSuffix(o.stdout, " is already down\n") || strings.Contains(o.stdout, own.outputs["run"]) {
			t.Errorf("the post of a script: %d\n%s%s", o.code, o.stdout, o.stderr)
		}
	} else {
		t.Log("command: run is not tried: there is no bwrap")
	}

	// A step has moved where journals are looked for.
	r = newRunner(s, node, job, "5")
	own = up(r, "own")
	r.env["XDG_STATE_HOME"] = s.folder("moved")
	r.env["HOME"] = s.folder("moved")
	ends("the post with other journals", r.end()["own"], own.outputs["run"])
	s.asBeforeJob(before)
}

// TestCIGitHubLostState: a second half that was told nothing is red, and says which run is up and how to end it; it takes down
// none, and runs no program.
func TestCIGitHubLostState(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	need(t, "git")
	s, job, before := newGitHub(t)
	r := newRunner(s, nodes(t)[0], job, "0")
	_, o := r.use("other")
	if o.code != 0 {
		t.Fatalf("main ended with %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	st, o := r.use("lost")
	if o.code != 0 {
		t.Fatalf("main ended with %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	other := r.posts[0].outputs["run"]
	st.state = nil
	s.write("bin/taskiam", "#!/bin/sh\ntouch "+s.path("ran")+"\n")
	must(t, os.Chmod(s.path("bin", "taskiam"), 0o700))
	r.env["PATH"], r.env["TASKIAM_CI_RUN"] = s.path("bin")+":"+job["PATH"], other
	posts := r.end()
	o = posts["lost"]
	if o.code != 5 || !strings.Contains(o.stdout, "::error title=taskiam::the state of this step is lost") || !strings.Contains(o.stdout, "taskiam down "+st.outputs["run"]+"\n") || strings.Contains(o.stdout, other) {
		t.Errorf("post ended with %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	if o := posts["other"]; o.code != 0 || !strings.Contains(o.stdout, "run "+other+" of nightly-report is down after ") {
		t.Errorf("the other post ended with %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	if _, err := os.Stat(s.path("ran")); !os.IsNotExist(err) {
		t.Error("post ran what a step has put into PATH")
	}
	// What it says is what ends it.
	words := strings.Fields(regexp.MustCompile(`taskiam down [0-9a-v]{15}`).FindString(o.stdout))
	if o := s.run(command{args: words, vars: over(s.vars, map[string]string{"XDG_STATE_HOME": job["XDG_STATE_HOME"], "TASKIAM_EMULATOR_HOST": ""}, throughProxy(s, job))}); o.code != 0 {
		t.Errorf("%q ended with %d\n%s%s", words, o.code, o.stdout, o.stderr)
	}

	// Also of a step that brought nothing up, since that is not known; not of those that bring up nothing.
	for command, code := range map[string]int{"up": 5, "run": 5, "": 5, "hand-over": 0, "down": 0, "sweep": 0} {
		r := newRunner(s, nodes(t)[0], job, "1")
		r.step("lost", "command="+command)
		if o := r.end()["lost"]; o.code != code || strings.Contains(o.stdout, "taskiam sweep --project") != (code != 0) {
			t.Errorf("command %s: post ended with %d\n%s%s", command, o.code, o.stdout, o.stderr)
		}
	}
	// A runner that keeps no state gets no run.
	r = newRunner(s, nodes(t)[0], job, "2")
	vars := r.environment(r.step("none"))
	vars["GITHUB_STATE"] = ""
	if o := r.half("main", vars); o.code == 0 || !strings.Contains(o.stdout, "GITHUB_STATE is not set") {
		t.Errorf("main ended with %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	s.asBeforeJob(before)
}

// throughProxy returns what lets a person log in through the proxy as the emulator's operator.
func throughProxy(s *stage, job map[string]string) map[string]string {
	return map[string]string{
		"HTTPS_PROXY": job["HTTPS_PROXY"], "SSL_CERT_FILE": job["SSL_CERT_FILE"],
		"GOOGLE_APPLICATION_CREDENTIALS": filepath.Join(filepath.Dir(s.vars["TASKIAM_EMULATOR_TOKEN_FILE"]), "adc.json"),
	}
}

// TestCIGitHubUpKilled kills the program, or the Action itself, at work on the run: it is taken down all the same, and that of a step before is not.
func TestCIGitHubUpKilled(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	need(t, "git")
	s, job, before := newGitHub(t)
	for _, whom := range []string{"taskiam", "node"} {
		r := newRunner(s, nodes(t)[0], job, whom)
		first, o := r.use("first")
		if o.code != 0 {
			t.Fatalf("main ended with %d\n%s%s", o.code, o.stdout, o.stderr)
		}
		firstRun := first.outputs["run"]
		st := r.step("killed")
		vars := r.environment(st)
		pid := s.path(whom + ".pid")
		vars["INPUT_TASKIAM"] = s.write(whom+"/taskiam", "#!/bin/sh\n[ \"$1\" = up ] || exec taskiam \"$@\"\necho $$ >"+pid+"\nexec taskiam \"$@\"\n")
		must(t, os.Chmod(vars["INPUT_TASKIAM"], 0o700))
		st.vars["INPUT_TASKIAM"] = vars["INPUT_TASKIAM"]
		cmd := exec.CommandContext(t.Context(), r.node, hooks(t, "github", "main.js"))
		log, err := os.Create(s.path(whom + ".log"))
		must(t, err)
		cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = environ(vars), s.path("workspace"), log, log
		must(t, cmd.Start())
		var killed string
		for deadline := time.Now().Add(waitLimit); killed == ""; {
			if time.Now().After(deadline) {
				t.Fatalf("there is no second run: %s", s.read(log.Name()))
			}
			journals, err := filepath.Glob(s.journal("*"))
			must(t, err)
			for _, path := range journals {
				name := strings.TrimSuffix(filepath.Base(path), ".jsonl")
				if text := s.read(path); name != firstRun && strings.Contains(text, fmt.Sprintf(":%s+", whom)) && strings.Count(text, "\n") > 3 {
					killed = name
				}
			}
		}
		target := cmd.Process.Pid
		if whom == "taskiam" {
			_, err := fmt.Sscan(s.read(pid), &target)
			must(t, err)
		}
		must(t, syscall.Kill(target, syscall.SIGKILL))
		if err := cmd.Wait(); err == nil {
			t.Errorf("%s: it ended well", whom)
		}
		must(t, log.Close())
		r.took(st, vars)
		posts := r.end()
		if o := posts["killed"]; o.code != 0 || !strings.HasPrefix(o.stdout, "run "+killed+" of nightly-report is down after ") || !strings.HasSuffix(o.stdout, "checked: nothing is left\n") {
			t.Errorf("%s killed: post ended with %d\n%s%s%s", whom, o.code, o.stdout, o.stderr, s.read(log.Name()))
		}
		if o := posts["first"]; o.code != 0 || !strings.HasPrefix(o.stdout, "run "+firstRun+" of nightly-report is down after ") {
			t.Errorf("%s killed: the first post ended with %d\n%s%s", whom, o.code, o.stdout, o.stderr)
		}
	}
	s.asBeforeJob(before)
}
