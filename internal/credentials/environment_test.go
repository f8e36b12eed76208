package credentials_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	auth "cloud.google.com/go/auth/credentials"
	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/internal/credentials"
	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/fault"
)

func environment(t *testing.T, d delivery.Delivery) map[string]string {
	t.Helper()
	list, err := credentials.Environ(d.Environment())
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]string{}
	for _, v := range list {
		name, value, _ := strings.Cut(v, "=")
		m[name] = value
	}
	return m
}

func TestEnvironmentNamesTheRunsAccessAlone(t *testing.T) {
	t.Parallel()
	common := func(dir string) map[string]string {
		return map[string]string{
			"TASKIAM_RUN": string(run), "TASKIAM_TASK": "nightly-report", "TASKIAM_DELIVERY": dir,
			"GOOGLE_CLOUD_PROJECT": "acme-agents", "GCLOUD_PROJECT": "acme-agents", "CLOUDSDK_CORE_PROJECT": "acme-agents",
			"CLOUDSDK_CONFIG": dir + "/gcloud", "CLOUDSDK_CORE_ACCOUNT": account.Email, "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
			"CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true", "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "true",
			"CLOUDSDK_CORE_DISABLE_FILE_LOGGING": "true", "BOTO_CONFIG": dir + "/boto", "BIGQUERYRC": "/dev/null",
			"GCE_METADATA_HOST": "127.0.0.1:1", "GCE_METADATA_ROOT": "127.0.0.1:1", "GCE_METADATA_IP": "127.0.0.1:1",
			"CLOUDSDK_CORE_CHECK_GCE_METADATA": "false", "NO_GCE_CHECK": "true", "METADATA_SERVER_DETECTION": "none",
		}
	}
	key := deliver(t, filepath.Join(t.TempDir(), "d"), delivery.Key)
	want := common(key.Dir)
	want["CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE"] = key.Dir + "/key.json"
	want["GOOGLE_APPLICATION_CREDENTIALS"] = key.Dir + "/key.json"
	if diff := cmp.Diff(want, environment(t, key)); diff != "" {
		t.Errorf("with a key:\n%s", diff)
	}

	token := deliver(t, filepath.Join(t.TempDir(), "d"), delivery.Token)
	token.More = []delivery.Var{{Name: "NO_PROXY", Value: "127.0.0.1"}, {Name: "TASKIAM_TASK", Value: "later wins"}}
	want = common(token.Dir)
	want["CLOUDSDK_AUTH_ACCESS_TOKEN_FILE"] = token.Dir + "/token"
	want["GOOGLE_OAUTH_ACCESS_TOKEN"] = "ya29.the-runs-token"
	want["GOOGLE_APPLICATION_CREDENTIALS"] = token.Dir + "/no-credentials.json"
	want["NO_PROXY"], want["TASKIAM_TASK"] = "127.0.0.1", "later wins"
	if diff := cmp.Diff(want, environment(t, token)); diff != "" {
		t.Errorf("with a token:\n%s", diff)
	}

	metadata := deliver(t, filepath.Join(t.TempDir(), "d"), delivery.Metadata)
	want = common(metadata.Dir)
	delete(want, "NO_GCE_CHECK")
	for _, name := range []string{"GCE_METADATA_HOST", "GCE_METADATA_ROOT", "GCE_METADATA_IP"} {
		want[name] = metadata.Metadata
	}
	want["CLOUDSDK_CORE_CHECK_GCE_METADATA"], want["METADATA_SERVER_DETECTION"] = "true", "assume-present"
	want["GOOGLE_APPLICATION_CREDENTIALS"] = metadata.Dir + "/credentials.json"
	if diff := cmp.Diff(want, environment(t, metadata)); diff != "" {
		t.Errorf("with a metadata server:\n%s", diff)
	}
	// Where there is no login under HOME nothing stands between clients and the server; a kind without a server is no
	// other there.
	metadata.EmptyHome, key.EmptyHome, token.EmptyHome = true, true, true
	delete(want, "GOOGLE_APPLICATION_CREDENTIALS")
	if diff := cmp.Diff(want, environment(t, metadata)); diff != "" {
		t.Errorf("with a metadata server and an empty HOME:\n%s", diff)
	}
	for _, d := range []delivery.Delivery{key, token} {
		if environment(t, d)["GOOGLE_APPLICATION_CREDENTIALS"] == "" {
			t.Errorf("%s: with an empty HOME there are no application default credentials", d.Kind)
		}
	}

	must(t, os.Remove(delivery.TokenPath(token.Dir)))
	if _, err := credentials.Environ(token.Environment()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without the token's file: %v", err)
	}
}

// personsLogin plants a person's login where Google's clients look for it.
func personsLogin(t *testing.T) (home string) {
	t.Helper()
	home = t.TempDir()
	must(t,
		os.MkdirAll(filepath.Join(home, ".config", "gcloud"), 0o700),
		os.WriteFile(filepath.Join(home, ".config", "gcloud", "application_default_credentials.json"),
			[]byte(`{"type":"authorized_user","client_id":"c","client_secret":"s","refresh_token":"1//0person"}`), 0o600),
		os.WriteFile(filepath.Join(home, ".boto"), []byte("[Credentials]\ngs_oauth2_refresh_token = 1//0person\n"), 0o600))
	return home
}

// TestClientsFailClosedWithoutACredential: with a token alone, application default
// credentials fail with a reason, and do not go on to the person's.
func TestClientsFailClosedWithoutACredential(t *testing.T) {
	// Not parallel: the clients read the process's environment.
	d := deliver(t, filepath.Join(t.TempDir(), "d"), delivery.Token)
	t.Setenv("HOME", personsLogin(t))
	detect := &auth.DetectOptions{Scopes: []string{"https://www.googleapis.com/auth/cloud-platform"}}

	// The trap is one: without us the person's login is found.
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
	creds, err := auth.DetectDefault(detect)
	if err != nil || !strings.Contains(string(creds.JSON()), "1//0person") {
		t.Fatalf("the planted login was not found: %v", err)
	}

	for name, value := range environment(t, d) {
		t.Setenv(name, value)
	}
	const reason = "this run has an access token (CLOUDSDK_AUTH_ACCESS_TOKEN_FILE) and no application default credentials"
	creds, err = auth.DetectDefault(detect)
	if err == nil {
		if strings.Contains(string(creds.JSON()), "person") {
			t.Error("Go found the person's login")
		}
		_, err = creds.Token(t.Context())
	}
	if err == nil || !strings.Contains(err.Error(), reason) {
		t.Errorf("Go: %v", err)
	}

	python := "/usr/lib/google-cloud-sdk/platform/bundledpythonunix/bin/python3"
	if !exists(python) {
		t.Skip("Python's client not tried: there is no Google Cloud SDK with a Python in /usr/lib/google-cloud-sdk")
	}
	cmd := exec.CommandContext(t.Context(), python, "-c", `
import sys; sys.path[:0] = ["/usr/lib/google-cloud-sdk/lib/third_party", "/usr/lib/google-cloud-sdk/lib"]
import google.auth
from google.auth.transport import requests
creds, project = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
print(project)
creds.refresh(requests.Request())`)
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.HasPrefix(string(out), "acme-agents\n") || !strings.Contains(string(out), reason) {
		t.Errorf("Python: %v\n%s", err, out)
	}
}

// TestGcloudActsAsTheRun has gcloud say whose token it would use, among traps.
func TestGcloudActsAsTheRun(t *testing.T) {
	t.Parallel()
	gcloud, err := exec.LookPath("gcloud")
	if err != nil {
		t.Skip("gcloud is not installed")
	}
	d := deliver(t, filepath.Join(t.TempDir(), "d"), delivery.Token)
	ours, err := credentials.Environ(d.Environment())
	must(t, err)
	traps := append(os.Environ(), "HOME="+personsLogin(t), "CLOUDSDK_AUTH_ACCESS_TOKEN=ya29.person",
		"CLOUDSDK_CONFIG="+t.TempDir(), "CLOUDSDK_CORE_ACCOUNT=person@example.com", "CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT=x@y")
	cmd := exec.CommandContext(t.Context(), gcloud, "auth", "print-access-token")
	cmd.Env = append(credentials.Scrub(traps), ours...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || strings.TrimSpace(string(out)) != "ya29.the-runs-token" {
		t.Errorf("gcloud printed %q, %v\n%s", out, err, &stderr)
	}
	must(t, removed(d.Dir, run)) // with what gcloud wrote into it
}

// hard are values that a careless writer would break or run.
var hard = []delivery.Var{
	{Name: "PLAIN", Value: "/run/user/1000/d"},
	{Name: "EMPTY", Value: ""},
	{Name: "SPACES", Value: " a  b "},
	{Name: "HASH", Value: "a #b"},
	{Name: "DOLLAR", Value: "$HOME ${HOME} $(id) `id`"},
	{Name: "DOUBLE", Value: `say "hi" \n \`},
	{Name: "STAR", Value: "*;&|<>!~"},
	{Name: "UNICODE", Value: "größe"},
}

func TestShellFormatIsTakenByShells(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), `it's a "$(touch x)" folder`)
	must(t, os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, "token"), []byte("ya29.x"), 0o600))
	vars := append(slices.Clone(hard),
		delivery.Var{Name: "QUOTE", Value: `it's '\''`},
		delivery.Var{Name: "TWO_LINES", Value: "a\nb"},
		delivery.Var{Name: "SECRET", File: filepath.Join(dir, "token")})
	// eval and source are how it is used; -eu makes every small mistake an error.
	posix := []string{"-euc", `eval "$1"; env -0`, "x"}
	for _, c := range []struct {
		shell, format string
		args          []string
	}{
		{"sh", "shell", posix}, {"bash", "shell", posix}, {"dash", "shell", posix}, {"zsh", "shell", posix},
		{"fish", "fish", []string{"--no-config", "-c", `printf %s $argv[1] | source; env -0`}},
		{"bash", "direnv", []string{"-euc", `watch_file() { :; }; eval "$1"; env -0`, "x"}},
		{"pwsh", "powershell", []string{"-NoProfile", "-Command", `& { param($t) Invoke-Expression $t; env -0 }`}},
	} {
		shell := c.shell
		text, err := credentials.Format(vars, c.format)
		must(t, err)
		if strings.Contains(text, "ya29") {
			t.Errorf("%s: the secret is in the text", c.format)
		}
		path, err := exec.LookPath(shell)
		if err != nil {
			t.Logf("%s is not installed: the format %s was not tried with it", shell, c.format)
			continue
		}
		cmd := exec.CommandContext(t.Context(), path, append(c.args, text)...)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "GOOGLE_CREDENTIALS=person", "CLOUDSDK_AUTH_ACCESS_TOKEN=person"}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", shell, err, out)
			continue
		}
		got := map[string]string{}
		for entry := range strings.SplitSeq(string(out), "\x00") {
			name, value, _ := strings.Cut(entry, "=")
			got[name] = value
		}
		for _, v := range vars {
			want := v.Value
			if v.File != "" {
				want = "ya29.x"
			}
			if got[v.Name] != want {
				t.Errorf("%s: %s is %q, want %q", shell, v.Name, got[v.Name], want)
			}
		}
		for name, value := range got {
			if value == "person" {
				t.Errorf("%s: %s still competes", shell, name)
			}
		}
	}
}

func TestPowerShellQuotes(t *testing.T) {
	t.Parallel()
	got, err := credentials.Format([]delivery.Var{
		{Name: "A", Value: "it's \u2019q\u2018 $HOME `x`"}, {Name: "B", File: "/d/it's/token"},
	}, "powershell")
	must(t, err)
	for _, want := range []string{
		"\n$env:A = 'it''s \u2019\u2019q\u2018\u2018 $HOME `x`'\n",
		"\n$env:B = (Get-Content -Raw -LiteralPath '/d/it''s/token').TrimEnd()\n",
		"Remove-Item -ErrorAction Ignore Env:GOOGLE_CREDENTIALS\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
}

func TestGitHubFormat(t *testing.T) {
	t.Parallel()
	got, err := credentials.Format([]delivery.Var{
		{Name: "A", Value: `a "b" <<EOF`}, {Name: "SECRET", File: "/d/token"},
		{Name: "GOOGLE_APPLICATION_CREDENTIALS", Value: "/d/key.json"}, {Name: "GOOGLE_OAUTH_ACCESS_TOKEN", File: "/d/token"},
	}, "github", credentials.Blanks([]string{
		"GOOGLE_CREDENTIALS=x", "GOOGLE_APPLICATION_CREDENTIALS=/x", "GOOGLE_OAUTH_ACCESS_TOKEN=x", "google_application_credentials=/x",
		"GOOGLE_API_KEY=", "GOOGLE_API_USE_CLIENT_CERTIFICATE=true", "GOOGLE_CLOUD_UNIVERSE_DOMAIN=x", "GOOGLE_GHA_CREDS_PATH=/x",
		"CLOUDSDK_AUTH_TOKEN_HOST=x", "CLOUDSDK_CORE_MAX_LOG_DAYS=1", "CLOUDSDK_PYTHON=python3", "PATH=/bin",
	})...)
	must(t, err)
	// Of what is set, and no more: clients may not start with an empty value, and of what is another action's
	// its post step has need.
	want := `CLOUDSDK_AUTH_TOKEN_HOST=
GOOGLE_API_USE_CLIENT_CERTIFICATE=false
GOOGLE_CLOUD_UNIVERSE_DOMAIN=googleapis.com
GOOGLE_CREDENTIALS=
GOOGLE_OAUTH_ACCESS_TOKEN=
google_application_credentials=
A=a "b" <<EOF
GOOGLE_APPLICATION_CREDENTIALS=/d/key.json
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestFormatUnset(t *testing.T) {
	t.Parallel()
	vars := []delivery.Var{{Name: "A"}, {Name: "B"}}
	for format, want := range map[string]string{
		"shell": "unset A B\n", "fish": "set -e A B\n", "powershell": "Remove-Item -ErrorAction Ignore Env:A,Env:B\n",
	} {
		if got, err := credentials.FormatUnset(vars, format); got != want || err != nil {
			t.Errorf("%s: %q, %v", format, got, err)
		}
	}
	if text, err := credentials.FormatUnset(vars, "github"); !fault.Is(err, fault.Usage) {
		t.Errorf("github: %q, %v", text, err)
	}
}

func TestDotenvAndJSON(t *testing.T) {
	t.Parallel()
	vars := append(slices.Clone(hard), delivery.Var{Name: "SECRET", File: "/d/token"})
	got, err := credentials.Format(vars, "dotenv")
	must(t, err)
	want := `PLAIN=/run/user/1000/d
EMPTY=
SPACES=' a  b '
HASH='a #b'
DOLLAR='$HOME ${HOME} $(id) ` + "`id`" + `'
DOUBLE='say "hi" \n \'
STAR='*;&|<>!~'
UNICODE='größe'
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	got, err = credentials.Format(vars, "json")
	must(t, err)
	var object map[string]string
	must(t, json.Unmarshal([]byte(got), &object))
	plain := map[string]string{}
	for _, v := range hard {
		plain[v.Name] = v.Value
	}
	if diff := cmp.Diff(plain, object); diff != "" {
		t.Error(diff)
	}

	for _, bad := range []struct {
		format string
		v      delivery.Var
	}{
		{"dotenv", delivery.Var{Name: "A", Value: "it's"}},
		{"dotenv", delivery.Var{Name: "A", Value: "a\nB=c"}},
		{"github", delivery.Var{Name: "A", Value: "a\nB=c"}},
		{"shell", delivery.Var{Name: "A", Value: "a\x00"}},
		{"yaml", delivery.Var{Name: "A"}},
	} {
		if text, err := credentials.Format([]delivery.Var{bad.v}, bad.format); !fault.Is(err, fault.Usage) {
			t.Errorf("%s of %q: %q, %v", bad.format, bad.v.Value, text, err)
		}
	}
	for _, name := range []string{"", "1A", "A B", "A;id", "A="} {
		if _, err := credentials.Format([]delivery.Var{{Name: name}}, "shell"); err == nil {
			t.Errorf("the name %q was taken", name)
		}
	}
}

func TestScrub(t *testing.T) {
	t.Parallel()
	const serviceAccount = `{"type":"service_account","private_key":"x"}`
	// eyJ… with an audience of Google's, as an id_token of GitLab's under a name of the user's own.
	const forGoogle = "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJodHRwczovL2lhbS5nb29nbGVhcGlzLmNvbS9wcm9qZWN0cy8xIn0.c2ln"
	const forOthers = "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJodHRwczovL2V4YW1wbGUuY29tIn0.c2ln"
	gone := []string{
		"GOOGLE_APPLICATION_CREDENTIALS=/home/p/key.json", "google_application_credentials=/home/p/key.json",
		"GOOGLE_CREDENTIALS=x", "GOOGLE_BACKEND_CREDENTIALS=x", "GOOGLE_CLOUD_KEYFILE_JSON=x", "GCLOUD_KEYFILE_JSON=x",
		"GOOGLE_OAUTH_ACCESS_TOKEN=x", "GOOGLE_IMPERSONATE_SERVICE_ACCOUNT=x", "GOOGLE_GHA_CREDS_PATH=x",
		"GOOGLE_API_KEY=x", "GEMINI_API_KEY=x", "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1", "GOOGLE_EXTERNAL_ACCOUNT_ANYTHING=1",
		"CLOUDSDK_AUTH_ACCESS_TOKEN=x", "CLOUDSDK_CONFIG=/home/p", "CLOUDSDK_API_ENDPOINT_OVERRIDES_IAM=http://x/", "CLOUDSDK_NEW_SETTING=1",
		"BOTO_CONFIG=x", "BOTO_PATH=x", "BIGQUERYRC=x", "DEVSHELL_CLIENT_PORT=1", "FIREBASE_TOKEN=x",
		"GCE_METADATA_HOST=x", "GCE_METADATA_IP=x", "GCE_METADATA_ROOT=x", "GCE_METADATA_TIMEOUT=1",
		"GOOGLE_CLOUD_PROJECT=x", "GCLOUD_PROJECT=x", "gcloud_project=x", "GCP_PROJECT=x", "GOOGLE_CLOUD_QUOTA_PROJECT=x",
		"GOOGLE_STORAGE_CUSTOM_ENDPOINT=http://x", "STORAGE_EMULATOR_HOST=x", "PUBSUB_EMULATOR_HOST=x",
		"ACTIONS_ID_TOKEN_REQUEST_TOKEN=x", "ACTIONS_ID_TOKEN_REQUEST_URL=x", "ACTIONS_RUNTIME_TOKEN=x", "GITHUB_TOKEN=x", "GH_TOKEN=x",
		"CI_JOB_TOKEN=x", "CI_JOB_JWT=x", "CI_JOB_JWT_V2=x", "CI_REPOSITORY_URL=https://gitlab-ci-token:x@h/r",
		"CIRCLE_OIDC_TOKEN=x", "CIRCLE_OIDC_TOKEN_V2=x", "BUILDKITE_AGENT_ACCESS_TOKEN=x", "SYSTEM_ACCESSTOKEN=x", "BITBUCKET_STEP_OIDC_TOKEN=x",
		"TASKIAM_EMULATOR_HOST=x", "TASKIAM_EMULATOR_TOKEN_FILE=x", "TASKIAM_RUN=outer",
		// By their values, whatever they are called:
		"DEPLOY=ya29.a0Af", "MY_REFRESH=1//0gAbCdEfGhIjKlMnOpQrStUvWxYz0123456789ABCDEF", "GCP_SA_KEY=" + serviceAccount,
		"SA_B64=eyJ0eXBlIjoic2VydmljZV9hY2NvdW50In0=", "GOOGLE_ID_TOKEN=" + forGoogle,
	}
	stays := []string{
		"PATH=/usr/bin", "HOME=/home/p", "HTTPS_PROXY=http://u:p@proxy:3128", "https_proxy=http://proxy", "NO_PROXY=localhost", "SSL_CERT_FILE=/ca.pem",
		"CLOUDSDK_PYTHON=/usr/bin/python3", "CLOUDSDK_PROXY_TYPE=http", "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE=/ca.pem",
		"GOOGLE_CHROME=x", "GITHUB_SHA=x", "CI=true", "GITHUB_OUTPUT=/tmp/out", "CI_JOB_ID=1", "AWS_REGION=x", "MY_EMULATOR_HOST=x", "TASK=iam",
		"JSON={\"type\":\"module\"}", "JWT=" + forOthers, "EMPTY=", "NOVALUE", "B64=aGVsbG8=", "PATHLIKE=1//2",
	}
	environ := append(slices.Clone(gone), stays...)
	before := slices.Clone(environ)
	if diff := cmp.Diff(stays, credentials.Scrub(environ)); diff != "" {
		t.Errorf("left in the environment:\n%s", diff)
	}
	if diff := cmp.Diff(before, environ); diff != "" {
		t.Errorf("the caller's slice was changed:\n%s", diff)
	}
}

func TestEveryRuleWorksAndSaysWhy(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, r := range credentials.Rules() {
		if r.Why == "" || len(r.Names) == 0 {
			t.Errorf("%+v is not complete", r)
		}
		for _, name := range r.Names {
			if seen[name] {
				t.Errorf("%s is in the table twice", name)
			}
			seen[name] = true
			example := strings.ReplaceAll(name, "*", "X")
			if left := credentials.Scrub([]string{example + "=x"}); len(left) != 0 {
				t.Errorf("%s, which %s matches, was left", example, name)
			}
		}
	}
	for _, name := range credentials.Kept().Names {
		example := strings.ReplaceAll(name, "*", "X") + "=x"
		if left := credentials.Scrub([]string{example}); len(left) != 1 {
			t.Errorf("%s was not left", example)
		}
	}
	// What the sandbox is told competes with what the operator had set: each name of
	// a client's setting is one that Scrub takes away, so that no process has both.
	for _, kind := range kinds {
		d := deliver(t, filepath.Join(t.TempDir(), "d"), kind)
		for _, name := range slices.Sorted(maps.Keys(environment(t, d))) {
			if left := credentials.Scrub([]string{name + "=x"}); len(left) != 0 {
				t.Errorf("%s is set for a %s, and not scrubbed before", name, kind)
			}
		}
	}
}

// A shell that evaluates the environment loses what competes with it, also if only a pattern says so. What is no name
// for a shell is not given to one.
func TestPatternsAreUnset(t *testing.T) {
	t.Parallel()
	environ := []string{"CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE=http://x/", "GOOGLE_STORAGE_CUSTOM_ENDPOINT=x", "CLOUDSDK_PYTHON=python3",
		"CLOUDSDK_PROXY_TYPE=http", "CLOUDSDK_CONFIG=/x", "CLOUDSDK_CORE_ACCOUNT=a@b", "PATH=/bin", "CLOUDSDK_X;rm=1", "VAULT_TOKEN=x"}
	names := credentials.CompetingIn(environ)
	if want := []string{"CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE", "CLOUDSDK_CONFIG", "GOOGLE_STORAGE_CUSTOM_ENDPOINT"}; !slices.Equal(names, want) {
		t.Errorf("to be unset: %q, want %q", names, want)
	}
	vars := []delivery.Var{{Name: "CLOUDSDK_CONFIG", Value: "/d"}}
	for format, command := range map[string]string{"shell": "unset ", "direnv": "unset ", "fish": "set -e ", "powershell": "Remove-Item -ErrorAction Ignore Env:CLOUDSDK_API"} {
		text, err := credentials.Format(vars, format, names...)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, command) && strings.Contains(line, "CLOUDSDK_CONFIG") {
				t.Errorf("%s: what is set is unset: %s", format, line)
			}
		}
		if !strings.Contains(text, command) || !strings.Contains(text, "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE") {
			t.Errorf("%s: not unset:\n%s", format, text)
		}
	}
}

// Settings with which gcloud does not start are named.
func TestBreaks(t *testing.T) {
	t.Parallel()
	for environ, want := range map[string]string{
		"": "",
		"CLOUDSDK_PROXY_TYPE=http CLOUDSDK_PROXY_ADDRESS=p CLOUDSDK_PROXY_PORT=3128":  "",
		"CLOUDSDK_PROXY_TYPE=https CLOUDSDK_PROXY_ADDRESS=p CLOUDSDK_PROXY_PORT=3128": `CLOUDSDK_PROXY_TYPE is "https"`,
		"CLOUDSDK_PROXY_TYPE=http":                               "CLOUDSDK_PROXY_TYPE is set and CLOUDSDK_PROXY_ADDRESS and CLOUDSDK_PROXY_PORT is not",
		"CLOUDSDK_PROXY_ADDRESS=p CLOUDSDK_PROXY_TYPE=http":      "CLOUDSDK_PROXY_PORT is not",
		"CLOUDSDK_PROXY_TYPE= CLOUDSDK_PROXY_ADDRESS= PROXY_X=1": "",
		"CLOUDSDK_PYTHON=/no/python3":                            `CLOUDSDK_PYTHON is "/no/python3", which does not exist: gcloud does not start`,
		"CLOUDSDK_PYTHON=sh CLOUDSDK_BQ_PYTHON=":                 "",
		"REQUESTS_CA_BUNDLE=/no/ca.pem":                          `REQUESTS_CA_BUNDLE is "/no/ca.pem", which does not exist: gcloud and Python's clients cannot connect`,
		"SSL_CERT_FILE=/dev/null HTTPLIB2_CA_CERTS=/dev/null":    "",
		"CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE=/no/ca.pem":          "gcloud does not start",
	} {
		got := strings.Join(credentials.Breaks(strings.Fields(environ)), "\n")
		if !strings.Contains(got, want) || (want == "") != (got == "") {
			t.Errorf("%s: %q, want %q", environ, got, want)
		}
	}
}
