package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fetch METHOD URL [LOGIN [BODY]] is a client that knows nothing but the usual variables. With the
// login "run" it asks the metadata server for a token; "" is none, and others are sent as they are.
func fetch() {
	args := append(os.Args[1:], "", "", "", "")
	r, err := http.NewRequest(args[0], args[1], strings.NewReader(args[3]))
	if err == nil && args[2] == "run" {
		args[2], err = metadataToken()
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(2)
	}
	if args[2] != "" {
		r.Header.Set("Authorization", "Bearer "+args[2])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	fmt.Println(resp.StatusCode, strings.TrimSpace(string(b)), err)
}

// metadataToken returns what the metadata server hands out.
func metadataToken() (string, error) {
	r, err := http.NewRequest("GET", "http://"+os.Getenv("GCE_METADATA_HOST")+
		"/computeMetadata/v1/instance/service-accounts/default/token", nil)
	if err != nil {
		return "", err
	}
	r.Header.Set("Metadata-Flavor", "Google")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	_, after, _ := strings.Cut(string(b), `"access_token":"`)
	token, _, _ := strings.Cut(after, `"`)
	return token, err
}

// In a closed network, the one way out leads to what was granted, and nothing inside is of use elsewhere.
func TestIsolatedClosed(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	s := isolation(t)
	const script = `
say() { echo "$1: $(shift; "$@" 2>&1)"; }
say granted fetch GET https://storage.googleapis.com/storage/v1/b/acme-reports/o/2026%2F01.csv?alt=media run
say by-path fetch GET https://storage.googleapis.com/acme-reports/2026/01.csv run
say secret fetch GET https://secretmanager.googleapis.com/v1/projects/acme-agents/secrets/api-key/versions/latest:access run
say decided-by-iam fetch GET https://storage.googleapis.com/storage/v1/b/acme-reports/o/2025%2F12.csv?alt=media run
say other-bucket fetch POST "https://storage.googleapis.com/upload/storage/v1/b/acme-drop/o?uploadType=media&name=x" run data
say other-login fetch GET https://storage.googleapis.com/storage/v1/b/acme-reports/o/2026%2F01.csv?alt=media ya29.emulator-noah
say no-login fetch POST https://pubsub.googleapis.com/v1/projects/acme-agents/topics/reports:publish "" '{}'
say mints fetch POST https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/$CLOUDSDK_CORE_ACCOUNT:generateAccessToken run '{}'
say thief fetch GET https://thief.example/
say internet dial tcp 8.8.8.8:443
say emulator dial tcp "$1"
say cloud dial tcp 169.254.169.254:80
say file fetch POST https://sts.googleapis.com/v1/token "" '{}'
say token fetch GET http://$GCE_METADATA_HOST/computeMetadata/v1/instance/service-accounts/default/token
cp -rL "$TASKIAM_DELIVERY" loot 2>/dev/null; cat /proc/self/environ | tr '\0' '\n' >loot/environ; ls loot >/dev/null
`
	c := s.isolated("work", "--isolate=closed", s.manifest("demo.toml", "proxy"), "sh", "-c", script, "sh", s.host)
	o := s.run(c)
	if o.code != 0 {
		t.Fatalf("%d\n%s%s", o.code, o.stdout, o.stderr)
	}
	for what, want := range map[string]string{
		"granted": "200 day,orders", "by-path": "200 day,orders", "secret": "200 ", "decided-by-iam": "403",
		"other-bucket": "gs://acme-drop is neither granted", "other-login": "carry the run's identity alone",
		"no-login": "401", "mints": "hands out tokens", "thief": "thief.example is not in [network] allow",
		"internet": "refused", "emulator": "refused", "cloud": "refused", "file": "hands out tokens", "token": "403",
	} {
		if got := line(o.stdout, what+": "); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %q", what, got, want)
		}
	}
	if got := line(o.stdout, "decided-by-iam: "); strings.Contains(got, "taskiam") {
		t.Errorf("what IAM decides was refused here: %s", got)
	}
	// The loot: nothing in it is a credential.
	must(t, filepath.WalkDir(s.path("work", "loot"), func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if strings.Contains(string(b), "ya29.") || strings.Contains(string(b), "PRIVATE KEY") {
			t.Errorf("%s has a credential in it", path)
		}
		return err
	}))
	s.seesWhatWasUsed()
	requests := s.read(s.path("requests.jsonl"))
	for _, never := range []string{"taskiam-placeholder", "acme-drop/o?", "ya29.emulator-noah"} {
		if strings.Contains(requests, never) {
			t.Errorf("%q left the sandbox", never)
		}
	}
}

// seesWhatWasUsed looks at the receipt of the run of TestIsolatedClosed.
func (s *stage) seesWhatWasUsed() {
	s.t.Helper()
	receipt := s.taskiam("receipt", "--json", "nightly-report")
	var got struct {
		Runs []struct {
			Used []struct {
				Method, Host, Refused         string
				Resources                     []string
				Calls, Failed, Sent, Received int
			}
			Unused []struct{ Role, Resource string }
		}
	}
	must(s.t, json.Unmarshal([]byte(receipt.stdout), &got))
	if len(got.Runs) != 1 {
		s.t.Fatalf("%d receipts\n%s", len(got.Runs), receipt.stderr)
	}
	run := got.Runs[0]
	// Of three reads of the bucket the last is refused by IAM: it is under another prefix.
	for _, u := range run.Used {
		if u.Method == "GET" && slices.Equal(u.Resources, []string{"gs://acme-reports"}) && u.Refused == "" &&
			(u.Host != "storage.googleapis.com" || u.Calls != 3 || u.Failed != 1 || u.Received == 0) {
			s.t.Errorf("reads of the bucket: %+v", u)
		}
	}
	for _, want := range []string{"gs://acme-reports", "projects/acme-agents/secrets/api-key", "thief.example is not in"} {
		if !strings.Contains(fmt.Sprint(run.Used), want) {
			s.t.Errorf("not in what was used: %s\n%+v", want, run.Used)
		}
	}
	if fmt.Sprint(run.Unused) != "[{roles/pubsub.publisher projects/acme-agents/topics/reports}]" {
		s.t.Errorf("unused: %+v", run.Unused)
	}
	if text := s.taskiam("receipt", "nightly-report").stdout; !strings.Contains(text, "used, through the proxy:") ||
		!strings.Contains(text, "never used, and could be left out: roles/pubsub.publisher on projects/acme-agents/topics/reports") {
		s.t.Error(text)
	}
}

// What the metadata server of a closed network hands out is of no use outside.
func TestIsolatedClosedHasAPlaceholder(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	s := isolation(t)
	manifest := s.manifest("demo.toml", "proxy")
	const script = `
cat "$TASKIAM_DELIVERY"/* >/dev/null 2>&1
exec fetch GET "http://$GCE_METADATA_HOST/computeMetadata/v1/instance/service-accounts/default/?recursive=true"`
	o := s.run(s.isolated("work", "--isolate=closed", manifest, "sh", "-c", script))
	if o.code != 0 {
		t.Fatalf("%d\n%s%s", o.code, o.stdout, o.stderr)
	}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"run", "--isolate=closed", s.manifest("demo.toml", "metadata"), "--", "true"}, "nothing leaves"},
		{[]string{"run", "--isolate", manifest, "--", "true"}, "--isolate=closed"},
		{[]string{"run", manifest, "--", "true"}, "--isolate=closed"},
		{[]string{"up", manifest}, "taskiam run --isolate=closed"},
	} {
		requests := len(s.read(s.path("requests.jsonl")))
		if o := s.taskiam(tt.args...); o.code == 0 || !strings.Contains(o.stderr, tt.want) {
			t.Errorf("%q: %d\n%s", tt.args, o.code, o.stderr)
		} else if made := s.read(s.path("requests.jsonl"))[requests:]; strings.Contains(made, "POST") &&
			strings.Contains(made, "/serviceAccounts\"") {
			t.Errorf("%q: it made an account first:\n%s", tt.args, made)
		}
	}
}
