package main

import (
	"bytes"
	"compress/zlib"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskiam/taskiam/tasks"
)

// The hooks in ci/, run as the systems run them, as far as that takes nothing that a
// machine may not have. `make ci-hooks` runs them under the systems' own runners.

// hooks returns a file of ci/, by its absolute path.
func hooks(t *testing.T, elem ...string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(append([]string{"..", "..", "ci"}, elem...)...))
	must(t, err)
	return path
}

// need returns where a program is; without it the test is skipped, and says so.
func need(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("there is no %s on this machine", program)
	}
	return path
}

const (
	ciPool     = "projects/567890123456/locations/global/workloadIdentityPools/builds"
	ciProvider = ciPool + "/providers/jobs"
	ciSubject  = "repo:acme/app:ref:refs/heads/main"
	ciMember   = "principal://iam.googleapis.com/" + ciPool + "/subject/" + ciSubject
)

// issuer is the identity provider of a CI system, which the company trusts.
type issuer struct {
	key *ecdsa.PrivateKey
	// revoked makes it refuse to make tokens: its job was cancelled.
	revoked atomic.Bool
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return &issuer{key: key}
}

// seed returns the company, which lets jobs of the issuer in as owners.
func (i *issuer) seed(t *testing.T) string {
	t.Helper()
	company, err := os.ReadFile("../../emulator/seed/acme.toml")
	must(t, err)
	const owner = "role    = \"roles/owner\"\nmembers = ["
	point, err := i.key.PublicKey.Bytes()
	must(t, err)
	number := base64.RawURLEncoding.EncodeToString
	keys, err := json.Marshal(map[string]any{"keys": []any{
		map[string]string{"kty": "EC", "crv": "P-256", "kid": "k", "x": number(point[1:33]), "y": number(point[33:])}}})
	must(t, err)
	return strings.ReplaceAll(string(company), owner, owner+`"`+ciMember+`", `) + `
[[pool]]
project = "acme-agents"
id = "builds"
[[pool.provider]]
id = "jobs"
issuer = "https://ci.example"
jwks = '` + string(keys) + `'
mapping = { "google.subject" = "assertion.sub" }
`
}

// token returns an identity token of a job for the provider.
func (i *issuer) token(t *testing.T) string {
	t.Helper()
	part := func(v any) string {
		raw, err := json.Marshal(v)
		must(t, err)
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	now := time.Now()
	text := part(map[string]string{"alg": "ES256", "kid": "k"}) + "." + part(map[string]any{
		"iss": "https://ci.example", "sub": ciSubject, "aud": "https://iam.googleapis.com/" + ciProvider,
		"iat": now.Unix(), "exp": now.Add(20 * time.Hour).Unix(),
	})
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, i.key, sum[:])
	must(t, err)
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// serve answers as GitHub's identity token endpoint does, and returns its address.
func (i *issuer) serve(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if i.revoked.Load() || r.Header.Get("Authorization") != "Bearer the-jobs-own" || r.FormValue("audience") != "https://iam.googleapis.com/"+ciProvider {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"value": i.token(t)})
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// newJobs starts an emulator that the issuer's jobs may log in to, and returns beside it
// the environment of one: production URLs through a proxy, and no variable of taskiam's.
func newJobs(t *testing.T, i *issuer) (*stage, map[string]string) {
	t.Helper()
	seed := filepath.Join(t.TempDir(), "seed.toml")
	must(t, os.WriteFile(seed, []byte(i.seed(t)), 0o600))
	s := newStage(t, "--seed", seed)
	job := map[string]string{
		"CI": "true", "HTTPS_PROXY": "http://" + s.host, "SSL_CERT_FILE": s.vars["TASKIAM_EMULATOR_CA"], "TMPDIR": s.folder("tmp"),
		"GIT_CONFIG_GLOBAL": os.DevNull, "GIT_CONFIG_NOSYSTEM": "1",
	}
	for _, name := range []string{"PATH", "HOME", "XDG_STATE_HOME", "GORACE"} {
		job[name] = s.vars[name]
	}
	return s, job
}

// repository makes one with the sample task as task.toml, and returns its folder and its commit.
func (s *stage) repository(name, deliver string) (dir, commit string) {
	s.t.Helper()
	dir = s.folder(name)
	b, err := os.ReadFile(s.manifest("demo.toml", deliver))
	must(s.t, err)
	s.write(name+"/task.toml", string(b))
	return dir, s.commit(dir)
}

// commit commits everything in a repository, which it makes if there is none.
func (s *stage) commit(dir string) string {
	s.t.Helper()
	return strings.TrimSpace(s.sh(dir, `git init -q -b main 2>/dev/null; git add -A && git -c user.name=a -c user.email=a@b.c commit -q -m c && git rev-parse HEAD`))
}

// sh runs a script of this test's own.
func (s *stage) sh(dir, script string) string {
	s.t.Helper()
	o := s.run(command{args: []string{"sh", "-c", script}, dir: dir})
	if o.code != 0 {
		s.t.Fatalf("%s: %d\n%s%s", script, o.code, o.stdout, o.stderr)
	}
	return o.stdout
}

// over returns a copy of an environment with others over it.
func over(vars map[string]string, more ...map[string]string) map[string]string {
	out := maps.Clone(vars)
	for _, m := range more {
		maps.Copy(out, m)
	}
	return out
}

// pairs reads a file of NAME=value lines.
func (s *stage) pairs(path string) map[string]string {
	s.t.Helper()
	out := map[string]string{}
	for line := range strings.Lines(s.read(path)) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		out[name] = value
	}
	return out
}

// keyLines returns the lines of the private key in a delivery.
func (s *stage) keyLines(dir string) []string {
	s.t.Helper()
	var key struct {
		Lines string `json:"private_key"`
	}
	must(s.t, json.Unmarshal([]byte(s.read(filepath.Join(dir, "key.json"))), &key))
	return slices.DeleteFunc(strings.Split(key.Lines, "\n"), func(line string) bool { return len(line) < 12 || strings.HasPrefix(line, "-----") })
}

// githubJob is the environment of the Action in a job of GitHub's, and where its files are.
func githubJob(s *stage, job map[string]string, number int, workspace, commit, event string) map[string]string {
	dir := s.folder("runner", fmt.Sprint(number))
	vars := over(job, map[string]string{
		"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "acme/app", "GITHUB_RUN_ID": fmt.Sprint(number), "GITHUB_RUN_ATTEMPT": "1", "GITHUB_JOB": "build",
		"RUNNER_NAME": "r", "GITHUB_SERVER_URL": "https://github.example", "GITHUB_WORKSPACE": workspace, "GITHUB_SHA": commit, "RUNNER_TEMP": dir,
		"INPUT_MANIFEST": "task.toml", "INPUT_INDEX": "0", "INPUT_TASKIAM": "taskiam", "INPUT_IDENTITY-PROVIDER": ciProvider, "INPUT_OPERATOR-MEMBER": ciMember,
		"ACTIONS_ID_TOKEN_REQUEST_TOKEN": "the-jobs-own",
		"GITHUB_EVENT_PATH":              s.write(fmt.Sprintf("event%d.json", number), event),
	})
	for _, name := range []string{"ENV", "OUTPUT", "STATE"} {
		vars["GITHUB_"+name] = s.write(fmt.Sprintf("files%d/%s", number, name), "")
	}
	return vars
}

// post returns the environment of the Action's second half.
func (s *stage) post(job map[string]string) map[string]string {
	s.t.Helper()
	vars := over(job, s.pairs(job["GITHUB_ENV"]))
	for name, value := range s.pairs(job["GITHUB_STATE"]) {
		vars["STATE_"+name] = value
	}
	return vars
}

// TestCIGitHub runs the Action's two halves as a runner does. It logs in by workload
// identity federation.
func TestCIGitHub(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	node := need(t, "node")
	need(t, "git")
	i := newIssuer(t)
	s, job := newJobs(t, i)
	job["ACTIONS_ID_TOKEN_REQUEST_URL"] = i.serve(t) + "/?v=1"
	cloud := s.snapshot()
	workspace, base := s.repository("workspace", "key")
	// The pull request gives itself more, in its own commit and in the workspace.
	greedy := strings.ReplaceAll(s.read(filepath.Join(workspace, "task.toml")), "secrets/api-key", "secrets/db-password")
	s.write("workspace/task.toml", greedy)
	head := s.commit(workspace)
	s.sh(workspace, "git clone -q --bare --no-hardlinks . ../origin.git")
	spoil(s, workspace, base, greedy)
	// Git gets none of what the job can log in with.
	s.write("bin/git", "#!/bin/sh\nenv >>"+s.path("git-environment")+"\nexec "+need(t, "git")+" \"$@\"\n")
	must(t, os.Chmod(s.path("bin", "git"), 0o700))
	job["PATH"] = s.path("bin") + ":" + job["PATH"]
	job["INPUT_REPOSITORY"], job["INPUT_TOKEN"] = s.path("origin.git"), "the-token-that-fetches"
	half := func(name string, vars map[string]string) outcome {
		return s.run(command{args: []string{node, hooks(t, "github", name+".js")}, vars: vars, dir: workspace})
	}
	pull := fmt.Sprintf(`{"pull_request":{"base":{"sha":%q},"head":{"sha":%q}}}`, base, head)

	vars := githubJob(s, job, 1, workspace, head, pull)
	o := half("main", vars)
	if o.code != 0 || line(o.stdout, "operator ") != ciMember || line(o.stdout, "cloud ") != "google (googleapis.com)" {
		t.Fatalf("main ended with %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	out := s.pairs(vars["GITHUB_OUTPUT"])
	if journal := s.read(s.journal(out["run"])); strings.Contains(journal, "db-password") || !strings.Contains(journal, "secrets/api-key") ||
		!strings.Contains(journal, `"job":"github:acme/app:1.1:build@r:0+`) || !strings.Contains(journal, "https://github.example/acme/app/actions/runs/1/attempts/1") {
		t.Errorf("the run is not the base branch's, or not this job's: %s", journal)
	}
	// Every line of the key is masked before it is anywhere else, and is nowhere else.
	masks, rest, _ := strings.Cut(o.stdout, "\nrun ")
	for _, secret := range s.keyLines(out["delivery"]) {
		if !strings.Contains(masks+"\n", "::add-mask::"+secret+"\n") || strings.Contains(rest+o.stderr, secret) ||
			strings.Contains(s.read(vars["GITHUB_ENV"])+s.read(vars["GITHUB_OUTPUT"])+s.read(vars["GITHUB_STATE"]), secret) {
			t.Errorf("a line of the key is not masked, or is not only in the delivery: %s", secret)
		}
	}
	step := over(vars, s.pairs(vars["GITHUB_ENV"]))
	if a := s.run(command{args: []string{"adcprobe"}, vars: step}); line(a.stdout, "acted as ") != out["account"] {
		t.Errorf("a later step does not act as the account: %s%s", a.stdout, a.stderr)
	}
	if o := half("post", s.post(vars)); o.code != 0 || o.stdout != "run "+out["run"]+" of nightly-report is down after "+between(o.stdout, "after ", ";")+"; checked: nothing is left\n" || o.stderr != "" {
		t.Errorf("post ended with %d\n%s%s", o.code, o.stdout, o.stderr)
	}

	environment := s.read(s.path("git-environment"))
	for _, secret := range []string{"the-jobs-own", "the-token-that-fetches", "ACTIONS_", "INPUT_"} {
		if strings.Contains(environment, secret) {
			t.Errorf("git has %s in its environment: %s", secret, environment)
		}
	}
	if _, err := os.Stat(filepath.Join(workspace, "ran")); !os.IsNotExist(err) || !strings.Contains(environment, "GIT_CONFIG_SYSTEM=") {
		t.Errorf("the workspace's configuration ran a program, or git did not run: %v", err)
	}

	// An up that fails leaves nothing to take down, which is no failure.
	vars = githubJob(s, job, 2, workspace, head, pull)
	vars["INPUT_MANIFEST"] = "nothing.toml"
	if o := half("main", vars); o.code == 0 || !strings.Contains(o.stdout, "::error title=taskiam::reading the manifest: taskiam: error: there is no nothing.toml in commit "+base) {
		t.Errorf("main ended with %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	if o := half("post", s.post(vars)); o.code != 0 || !strings.Contains(o.stdout, "there is nothing to take down") {
		t.Errorf("post ended with %d\n%s%s", o.code, o.stdout, o.stderr)
	}

	// A pull request of which it is not known what it is based on is refused.
	vars = githubJob(s, job, 3, workspace, head, `{}`)
	vars["GITHUB_BASE_REF"] = "main"
	if o := half("main", vars); o.code == 0 || !strings.Contains(o.stdout, "does not say from which commit") {
		t.Errorf("main ended with %d\n%s%s", o.code, o.stdout, o.stderr)
	}

	if o := half("post", s.post(vars)); o.code != 0 || o.stdout != "no run was begun here: there is nothing to take down\n" {
		t.Errorf("post ended with %d\n%s%s", o.code, o.stdout, o.stderr)
	}

	// A job whose login is dead removes what is here, says so, and is red.
	vars = githubJob(s, job, 4, workspace, base, `{"ref":"refs/heads/main"}`)
	if o := half("main", vars); o.code != 0 {
		t.Fatalf("main ended with %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	out = s.pairs(vars["GITHUB_OUTPUT"])
	i.revoked.Store(true)
	if o := half("post", s.post(vars)); o.code != 5 || strings.Count(o.stdout, "\n") != 1 || !strings.Contains(o.stdout, "the login of the job does not work any more: the delivery is gone") {
		t.Errorf("post ended with %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	i.revoked.Store(false)
	if _, err := os.Stat(out["delivery"]); !os.IsNotExist(err) {
		t.Errorf("the delivery is still in %s: %v", out["delivery"], err)
	}

	// The nightly sweep, of another machine.
	s.ok("emulator", "advance", "4h")
	vars = githubJob(s, job, 5, workspace, base, `{}`)
	maps.Copy(vars, map[string]string{"INPUT_COMMAND": "sweep", "XDG_STATE_HOME": s.folder("sweeper")})
	if o := half("main", vars); o.code != 0 || !strings.Contains(o.stdout, out["account"]) {
		t.Errorf("the sweep ended with %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	s.ok("emulator", "advance", "2h") // the job's own tokens end
	s.sameCloud(cloud)
	if left := slices.DeleteFunc(tree(t, s.path("runner")), func(path string) bool {
		return !strings.Contains(path, "taskiam-") || strings.Contains(path, "runner/5")
	}); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// spoil does to the workspace's repository what a step could that ran before: the manifest
// of a commit becomes another one, under the name of the old, and a fetch runs a program.
func spoil(s *stage, workspace, commit, manifest string) {
	s.t.Helper()
	blob := strings.TrimSpace(s.sh(workspace, "git rev-parse "+commit+":task.toml"))
	var loose bytes.Buffer
	z := zlib.NewWriter(&loose)
	fmt.Fprintf(z, "blob %d\x00%s", len(manifest), manifest)
	must(s.t, z.Close())
	path := filepath.Join(workspace, ".git", "objects", blob[:2], blob[2:])
	must(s.t, os.Chmod(path, 0o600))
	must(s.t, os.WriteFile(path, loose.Bytes(), 0o600))
	if got := s.sh(workspace, "git cat-file blob "+commit+":task.toml"); got != manifest {
		s.t.Fatalf("the planted object is not read: %s", got)
	}
	s.sh(workspace, `git config remote.origin.url ../origin.git
git config remote.origin.uploadpack "touch $PWD/ran; git-upload-pack"
git config protocol.ext.allow always
git config "url.ext::sh -c touch% $PWD/ran .insteadOf" "$(cd .. && pwd)/origin.git"`)
}

// between returns what stands between two texts, the first time.
func between(s, before, after string) string {
	_, rest, _ := strings.Cut(s, before)
	inside, _, _ := strings.Cut(rest, after)
	return inside
}

// TestCIBuildkite runs the plugin's hooks as an agent does.
func TestCIBuildkite(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	bash := need(t, "bash")
	need(t, "git")
	i := newIssuer(t)
	s, job := newJobs(t, i)
	cloud := s.snapshot()
	repository, _ := s.repository("repository", "key")
	s.write("bin/id-token", i.token(t))
	s.write("bin/buildkite-agent", `#!/bin/sh
case "$1 $2" in
"oidc request-token") cat "${0%/*}/id-token";;
"redactor add") cat >>"${0%/*}/redacted"; grep -q TASKIAM_0 "${0%/*}/redacted";;
*) exit 9;;
esac
`)
	must(t, os.Chmod(s.path("bin", "buildkite-agent"), 0o700))
	job = over(job, map[string]string{
		"PATH": s.path("bin") + ":" + job["PATH"], "BUILDKITE": "true", "BUILDKITE_ORGANIZATION_SLUG": "acme", "BUILDKITE_PIPELINE_SLUG": "app", "BUILDKITE_BUILD_NUMBER": "9",
		"BUILDKITE_JOB_ID": "0190-abcd", "BUILDKITE_BUILD_URL": "https://buildkite.example/acme/app/builds/9", "BUILDKITE_REPO": repository, "BUILDKITE_PULL_REQUEST_BASE_BRANCH": "main",
		"BUILDKITE_PLUGIN_TASKIAM_MANIFEST": "task.toml", "BUILDKITE_PLUGIN_TASKIAM_IDENTITY_PROVIDER": ciProvider, "BUILDKITE_PLUGIN_TASKIAM_OPERATOR_MEMBER": ciMember,
	})

	// The command fails; what its hooks exported, the last one has.
	o := s.run(command{vars: job, args: []string{bash, "-c", `
. "$0/environment" && adcprobe && cat "$GOOGLE_APPLICATION_CREDENTIALS" >"$TMPDIR/key.json" && env -0 >"$TMPDIR/env"`, hooks(t, "buildkite", "hooks")}})
	if o.code != 0 || !strings.HasPrefix(line(o.stdout, "acted as "), "ti-nightly-rep-") {
		t.Fatalf("the environment hook ended with %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	after := map[string]string{}
	for _, v := range strings.Split(strings.TrimSuffix(s.read(s.path("tmp", "env")), "\x00"), "\x00") {
		name, value, _ := strings.Cut(v, "=")
		after[name] = value
	}
	for _, secret := range s.keyLines(s.path("tmp")) {
		if !strings.Contains(s.read(s.path("bin", "redacted")), secret) || strings.Contains(o.stdout+o.stderr, secret) {
			t.Errorf("a line of the key is not redacted: %s", secret)
		}
	}
	o = s.run(command{vars: after, args: []string{bash, hooks(t, "buildkite", "hooks", "pre-exit")}})
	if o.code != 0 || !strings.Contains(o.stdout, "checked: nothing is left") || strings.Count(o.stdout, "\n") != 1 {
		t.Errorf("pre-exit ended with %d\n%s%s", o.code, o.stdout, o.stderr)
	}

	// A job that has lost what it kept is red.
	o = s.run(command{vars: after, args: []string{bash, hooks(t, "buildkite", "hooks", "pre-exit")}})
	if o.code != 5 || !strings.Contains(o.stderr, "taskiam down "+after["TASKIAM_CI_RUN"]+";") {
		t.Errorf("pre-exit ended with %d\n%s%s", o.code, o.stdout, o.stderr)
	}

	// What cannot be masked is not delivered, and nothing stays of it.
	s.write("bin/buildkite-agent", "#!/bin/sh\n[ \"$1\" = oidc ] && exec cat \"${0%/*}/id-token\"\necho 'no such command' >&2; exit 1\n")
	o = s.run(command{vars: job, args: []string{bash, hooks(t, "buildkite", "hooks", "environment")}})
	if o.code == 0 || !strings.Contains(o.stderr, "masking the credential in the log with buildkite-agent: exit status 1: no such command") {
		t.Errorf("an agent that cannot mask: %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	o = s.run(command{vars: job, args: []string{bash, hooks(t, "buildkite", "hooks", "pre-exit")}})
	if o.code != 0 || !strings.Contains(o.stdout, "already down") {
		t.Errorf("pre-exit ended with %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	s.ok("emulator", "advance", "2h") // the job's own tokens end
	s.sameCloud(cloud)
	if left := tree(t, s.path("tmp")); len(left) != 3 { // the folder, key.json and env
		t.Errorf("left behind: %q", left)
	}
}

// TestCIShell ends a script in every way that it can end.
func TestCIShell(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	s := newStage(t)
	manifest := s.write("task.toml", mustRead(t, "demo.toml"))
	before := s.look()
	script := func(ending string) outcome {
		return s.run(command{args: []string{"sh", "-c", `. "$0"; taskiam_up "$1"; echo "as $CLOUDSDK_CORE_ACCOUNT"; ` + ending, hooks(t, "shell", "taskiam.sh"), manifest},
			vars: over(s.vars, map[string]string{"CI": "true"})})
	}
	for _, c := range []struct {
		ending string
		code   int
	}{
		{"true", 0}, {"exit 7", 7}, {"set -e; false; echo not here", 1}, {"kill -TERM $$; echo not here", 143}, {"kill -INT $$; exit 1", 130},
	} {
		if o := script(c.ending); o.code != c.code || !strings.Contains(o.stdout, "as ti-nightly-rep-") || !strings.Contains(o.stdout, "nothing is left\n") {
			t.Errorf("%s: %d, want %d\n%s%s", c.ending, o.code, c.code, o.stdout, o.stderr)
		}
	}
	if o := s.run(command{args: []string{"sh", "-c", `. "$0"; taskiam_up "$1"; first=$CLOUDSDK_CORE_ACCOUNT; taskiam_up "$1"; [ "$CLOUDSDK_CORE_ACCOUNT" != "$first" ]`, hooks(t, "shell", "taskiam.sh"), manifest},
		vars: over(s.vars, map[string]string{"CI": "true"})}); o.code != 0 || strings.Count(o.stdout, "nothing is left\n") != 2 {
		t.Errorf("two runs of a script: %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	s.asBefore(before)

	// An up that fails ends the script, and leaves nothing.
	s.write("task.toml", "version = 1\n")
	if o := script("echo not here"); o.code != 2 || strings.Contains(o.stdout, "not here") || !strings.Contains(o.stdout, "there is nothing to take down\n") {
		t.Errorf("an up that fails: %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	s.asBefore(before)
}

func mustRead(t *testing.T, name string) string {
	t.Helper()
	b, err := tasks.Files.ReadFile(name)
	must(t, err)
	return string(b)
}

// TestCITwoRunsOfAJob: a label is not enough to take down more than one run.
func TestCITwoRunsOfAJob(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	s := newStage(t)
	s.vars["TASKIAM_CI_JOB"] = "two"
	for range 2 {
		s.ok("up", "--ci=generic", "tasks/demo.toml")
	}
	if o := s.taskiam("down", "--ci=generic"); o.code != 2 || !strings.Contains(o.stderr, "2 runs of this job are up and stay up") {
		t.Errorf("down ended with %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	s.ok("down", "--ci=generic", "--all")
}

// TestCIRunnerKilled kills a runner for good, and takes its disk away. What it brought up
// ends by itself, and the nightly sweep, on another machine, takes it away.
func TestCIRunnerKilled(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	s := newStage(t)
	manifest := s.write("task.toml", mustRead(t, "demo.toml"))
	before := s.look()
	o := s.run(command{args: []string{"sh", "-c", `. "$0"; taskiam_up "$1"; kill -KILL $$`, hooks(t, "shell", "taskiam.sh"), manifest},
		vars: over(s.vars, map[string]string{"CI": "true", "TASKIAM_CI_JOB": "nightly-12"})})
	if o.code != -1 || !strings.Contains(s.snapshot(), "generic:nightly-12") {
		t.Fatalf("the runner ended with %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	must(t, os.RemoveAll(s.path("state", "taskiam", "runs")))
	must(t, os.RemoveAll(s.vars["XDG_RUNTIME_DIR"]))
	s.folder("runtime")

	night := over(s.vars, map[string]string{"XDG_STATE_HOME": s.folder("other-machine")})
	sweep := command{args: []string{"taskiam", "sweep", "--project", "acme-agents"}, vars: night}
	if o := s.run(sweep); o.code != 0 || !strings.Contains(s.snapshot(), "generic:nightly-12") {
		t.Errorf("a sweep took away what is not over: %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	s.ok("emulator", "advance", "4h") // its ttl of 2h, and an hour for what has no end of its own
	if o := s.run(sweep); o.code != 0 || !strings.Contains(o.stdout, "runs found: 1") || !strings.Contains(o.stdout, "gone") {
		t.Errorf("the sweep ended with %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	s.asBefore(before)
}
