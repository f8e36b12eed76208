package main

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The person's logins: Noah, by a token; the build farm's account, by a key. Both
// work on the emulator, so that whoever steps into a trap is in its request log.
const (
	noah      = "user:noah@acme.example"
	noahToken = "ya29.emulator-noah"
	farm      = "ci-runner@acme-agents.iam.gserviceaccount.com"
	refresh   = "1//0trap-refresh-token-of-a-person-0123456789"
)

// traps are a person's logins, in every place where a client looks for one.
type traps struct {
	vars map[string]string
	// words are what would give them away in what CMD has.
	words []string
}

// plant lays the traps: files under HOME and elsewhere, a metadata server, and the
// variables that name them.
func (s *stage) plant() traps {
	s.t.Helper()
	key := s.keyOf(farm)
	keyFile := s.write("traps/key.json", key)
	tokenFile := s.write("traps/token", noahToken)
	person := `{"type":"authorized_user","client_id":"c","client_secret":"s","account":"noah@acme.example","refresh_token":"` + refresh + `"}`
	s.write("home/.config/gcloud/application_default_credentials.json", person)
	s.write("home/.boto", "[Credentials]\ngs_oauth2_refresh_token = "+refresh+"\n")
	s.write("home/.bigqueryrc", "--service_account_credential_file="+keyFile+"\n")
	properties := "[core]\naccount = noah@acme.example\n[auth]\naccess_token_file = " + tokenFile + "\n"
	s.write("traps/gcloud/active_config", "default")
	s.write("traps/gcloud/configurations/config_default", properties)
	metadata := s.metadataServer()

	vars := map[string]string{
		"GOOGLE_APPLICATION_CREDENTIALS":            keyFile,
		"google_application_credentials":            keyFile,
		"GOOGLE_CREDENTIALS":                        key,
		"GOOGLE_BACKEND_CREDENTIALS":                keyFile,
		"GOOGLE_OAUTH_ACCESS_TOKEN":                 noahToken,
		"GOOGLE_IMPERSONATE_SERVICE_ACCOUNT":        farm,
		"CLOUDSDK_AUTH_ACCESS_TOKEN":                noahToken,
		"CLOUDSDK_AUTH_ACCESS_TOKEN_FILE":           tokenFile,
		"CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE":    keyFile,
		"CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT": farm,
		"CLOUDSDK_CORE_ACCOUNT":                     "noah@acme.example",
		"CLOUDSDK_AUTH_AUTHORIZATION_TOKEN_FILE":    tokenFile,
		"CLOUDSDK_CONFIG":                           s.path("traps", "gcloud"),
		"BOTO_CONFIG":                               s.path("home", ".boto"),
		"BIGQUERYRC":                                s.path("home", ".bigqueryrc"),
		"GCE_METADATA_HOST":                         metadata,
		"GCE_METADATA_IP":                           metadata,
		"GCE_METADATA_ROOT":                         metadata,
		// Under names that no list has, known by their form alone.
		"DEPLOY_AS":         noahToken,
		"DEPLOY_KEY":        key,
		"DEPLOY_AS_MYSELF":  person,
		"DEPLOY_AS_REFRESH": refresh,
	}
	for _, name := range []string{
		"ACTIONS_ID_TOKEN_REQUEST_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_RUNTIME_TOKEN", "GITHUB_TOKEN", "GH_TOKEN",
		"CI_JOB_TOKEN", "CI_JOB_JWT", "CI_JOB_JWT_V2", "CIRCLE_OIDC_TOKEN", "CIRCLE_OIDC_TOKEN_V2", "BUILDKITE_AGENT_ACCESS_TOKEN",
		"SYSTEM_ACCESSTOKEN", "BITBUCKET_STEP_OIDC_TOKEN", "FIREBASE_TOKEN",
	} {
		vars[name] = "trap-of-ci"
	}
	return traps{vars, []string{noahToken, refresh, "noah", farm, s.path("traps"), metadata, "trap-of-ci", "home/.boto", "home/.bigqueryrc",
		strings.Split(key, "\\n")[1]}} // the first line of the private key's data
}

// metadataServer stands for the machine's own, and hands out Noah's token.
func (s *stage) metadataServer() (address string) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Metadata-Flavor", "Google")
		switch path := r.URL.Path; {
		case strings.HasSuffix(path, "/token"):
			fmt.Fprintf(w, `{"access_token":%q,"expires_in":3600,"token_type":"Bearer"}`, noahToken)
		case strings.HasSuffix(path, "/email"):
			fmt.Fprint(w, "noah@acme.example")
		case strings.HasSuffix(path, "/universe-domain"):
			fmt.Fprint(w, "googleapis.com")
		}
	}))
	s.t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// with returns vars with more of them.
func with(vars map[string]string, more ...map[string]string) map[string]string {
	out := maps.Clone(vars)
	for _, m := range more {
		maps.Copy(out, m)
	}
	return out
}

// gcloud reports whether gcloud can be tried, and says so if it cannot.
func gcloud(t *testing.T) bool {
	t.Helper()
	if _, err := exec.LookPath("gcloud"); err != nil {
		t.Log("gcloud is not tried: it is not installed")
		return false
	}
	return true
}

// principals returns who made calls, each once; "" stands for the endpoints that ask
// for no login.
func principals(log []logged) []string {
	var out []string
	for _, l := range log {
		out = append(out, l.Principal)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func TestNeverThePerson(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	s := newStage(t)
	planted := s.plant()
	sdk := gcloud(t)
	if sdk {
		// gcloud's own store, the way it comes to be.
		o := s.run(command{args: []string{"gcloud", "auth", "activate-service-account", "--key-file", s.path("traps", "key.json")}, vars: with(s.client(), map[string]string{"HOME": s.path("home")})})
		if _, err := os.Stat(s.path("home", ".config", "gcloud", "credentials.db")); o.code != 0 || err != nil {
			t.Fatalf("planting a login of gcloud's: %d, %v\n%s", o.code, err, o.stderr)
		}
	}

	// Without taskiam every trap springs, or this test would show nothing.
	only := func(names ...string) map[string]string {
		out := map[string]string{}
		for _, name := range names {
			out[name] = planted.vars[name]
		}
		return out
	}
	home := map[string]string{"HOME": s.path("home")}
	cat := []string{"gcloud", "storage", "cat", "gs://acme-reports/2026/01.csv"}
	for _, control := range []struct {
		name string
		args []string
		vars map[string]string
		want logged
	}{
		{"a key file", []string{"adcprobe"}, only("GOOGLE_APPLICATION_CREDENTIALS"), logged{Principal: "serviceAccount:" + farm}},
		// The emulator does not know this refresh token, but sees it tried.
		{"a login under HOME", []string{"adcprobe"}, home, logged{Method: "oauth2.token"}},
		{"a metadata server", []string{"adcprobe"}, only("GCE_METADATA_HOST"), logged{Principal: noah}},
		{"gcloud's login under HOME", cat, home, logged{Principal: "serviceAccount:" + farm}},
		{"gcloud's settings elsewhere", cat, only("CLOUDSDK_CONFIG"), logged{Principal: noah}},
	} {
		if control.args[0] == "gcloud" && !sdk {
			continue
		}
		before := len(s.requests())
		s.run(command{args: control.args, vars: with(s.client(), control.vars)})
		log := s.requests()[before:]
		if !slices.ContainsFunc(log, func(l logged) bool {
			return l.Principal == control.want.Principal && (control.want.Method == "" || l.Method == control.want.Method)
		}) {
			t.Errorf("%s did not spring: %+v", control.name, log)
		}
	}

	const cmd = `
wc -l <requests.jsonl >from
echo "account $CLOUDSDK_CORE_ACCOUNT"
adcprobe; echo "adcprobe ended with $?"
wc -l <requests.jsonl >between
if [ "$1" = true ]; then gcloud storage cat gs://acme-reports/2026/01.csv; echo "gcloud ended with $?"; fi
wc -l <requests.jsonl >to`
	operator := with(s.vars, planted.vars)
	for _, deliver := range []string{"key", "token", "metadata"} {
		o := s.run(command{args: []string{"taskiam", "run", s.manifest("demo.toml", deliver), "--", "sh", "-c", cmd, "sh", strconv.FormatBool(sdk)}, vars: operator})
		if o.code != 0 {
			t.Fatalf("with a %s: %d\n%s%s", deliver, o.code, o.stdout, o.stderr)
		}
		account := line(o.stdout, "account ")
		if !strings.HasPrefix(account, "ti-nightly-rep-") {
			t.Fatalf("with a %s: the account is %q", deliver, account)
		}
		// Who calls: the run's account; nobody, who exchanges its key or asks whose token
		// it has; and taskiam, as the operator, where it is the metadata server.
		var want []string
		if deliver != "token" {
			want = []string{"", "serviceAccount:" + account}
			if deliver == "metadata" {
				want = append(want, "user:olivia@acme.example")
			}
			if line(o.stdout, "acted as ") != account || line(o.stdout, "adcprobe ended with ") != "0" {
				t.Errorf("with a %s the Go client did not act as the run:\n%s%s", deliver, o.stdout, o.stderr)
			}
		} else {
			if sdk {
				want = []string{"serviceAccount:" + account}
			}
			if line(o.stdout, "acted as ") != "" || line(o.stdout, "adcprobe ended with ") != "1" ||
				strings.Count(o.stderr, "no application default credentials") < 2 {
				t.Errorf("with a token the Go client did not fail closed:\n%s%s", o.stdout, o.stderr)
			}
		}
		if sdk && (line(o.stdout, "gcloud ended with ") != "0" || !strings.Contains(o.stdout, "2026-01-01,12")) {
			t.Errorf("with a %s gcloud did not act as the run:\n%s%s", deliver, o.stdout, o.stderr)
		}
		log := s.requests()[s.number("from"):s.number("to")]
		if got := principals(log); !slices.Equal(got, want) {
			t.Errorf("with a %s these called while CMD was at work: %q, want %q", deliver, got, want)
		}
		// A refresh token would show as one that the token endpoint refuses. (gcloud asks
		// that endpoint for an identity token too, which the emulator does not make.)
		for _, l := range s.requests()[s.number("from"):s.number("between")] {
			if l.Code >= http.StatusBadRequest {
				t.Errorf("with a %s a call of the Go client was refused: %+v", deliver, l)
			}
		}
	}
}

// line returns the rest of the line that begins so; "" if there is none.
func line(text, prefix string) string {
	for l := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(l, prefix); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

// number reads a file of the stage with a number in it.
func (s *stage) number(name string) int {
	s.t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(s.read(s.path(name))))
	must(s.t, err)
	return n
}

// TestNoTraceOfTheOperator lets CMD show all that it was given: its environment,
// arguments and descriptors, and every file of its delivery.
func TestNoTraceOfTheOperator(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	if runtime.GOOS != "linux" {
		t.Skip("what a process has been given is looked up in Linux's /proc")
	}
	s := newStage(t)
	planted := s.plant()
	// sh reads and lists for itself, so that what is shown is what CMD was started with.
	const show = `cat /proc/$$/environ; echo; echo; cat /proc/$$/cmdline; echo; echo; ls -l /proc/$$/fd; echo
find "$TASKIAM_DELIVERY" -printf "%y %m %P\n"; echo
find "$TASKIAM_DELIVERY" -type f -exec cat {} +`
	words := append(slices.Clone(planted.words), s.operator, "olivia", s.vars["TASKIAM_EMULATOR_TOKEN_FILE"], "emulator/adc.json", "TASKIAM_EMULATOR", "runs/")

	// The control: these words are what an operator's process has.
	before := s.run(command{args: []string{"cat", "/proc/self/environ"}, vars: with(s.vars, planted.vars)}).stdout
	for _, word := range []string{noahToken, "trap-of-ci", s.vars["TASKIAM_EMULATOR_TOKEN_FILE"]} {
		if !strings.Contains(before, word) {
			t.Fatalf("the operator's own environment has no %q", word)
		}
	}

	for _, deliver := range []string{"key", "token", "metadata"} {
		open, err := os.Open(s.vars["TASKIAM_EMULATOR_TOKEN_FILE"])
		must(t, err)
		o := s.run(command{
			args:  []string{"taskiam", "run", "-q", s.manifest("demo.toml", deliver), "--", "sh", "-c", show},
			vars:  with(s.vars, planted.vars),
			files: []*os.File{open, open},
		})
		must(t, open.Close())
		if o.code != 0 || o.stderr != "" {
			t.Fatalf("with a %s: %d\n%s%s", deliver, o.code, o.stdout, o.stderr)
		}
		parts := strings.SplitN(o.stdout, "\n\n", 5)
		if len(parts) != 5 {
			t.Fatalf("with a %s CMD showed\n%s", deliver, o.stdout)
		}
		for _, word := range words {
			if strings.Contains(o.stdout, word) {
				t.Errorf("with a %s CMD has %q", deliver, word)
			}
		}
		for l := range strings.Lines(parts[2]) {
			fields := strings.Fields(l)
			if at := slices.Index(fields, "->"); at > 0 {
				if n, err := strconv.Atoi(fields[at-1]); err != nil || n > 2 {
					t.Errorf("with a %s CMD has the descriptor %s", deliver, l)
				}
			}
		}
		for l := range strings.Lines(parts[3] + "\n") {
			kind, rest, _ := strings.Cut(strings.TrimSpace(l), " ")
			mode, name, _ := strings.Cut(rest, " ")
			if want := map[string]string{"d": "700", "f": "600"}[kind]; mode != want {
				t.Errorf("with a %s the delivery's %q has the type %s and the mode %s", deliver, name, kind, mode)
			}
		}
		if !strings.Contains(parts[4], filepath.Join("runtime", "taskiam")) {
			t.Errorf("with a %s the delivery's files were not shown:\n%s", deliver, parts[4])
		}
	}
}
