package main

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestProduction takes the way that a run on Google Cloud takes: nothing names an
// emulator, the operator logs in by application default credentials, and every call
// goes to a production URL. That the network leads to the emulator, by an HTTPS proxy
// and a CA as many companies have them, taskiam does not know.
func TestProduction(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	const operator = "deployer@acme-agents.iam.gserviceaccount.com"
	company, err := os.ReadFile("../../emulator/seed/acme.toml")
	must(t, err)
	// The company, and beside its owner a service account that may do the same.
	const owner = "role    = \"roles/owner\"\nmembers = ["
	text := strings.ReplaceAll(string(company), owner, owner+`"serviceAccount:`+operator+`", `) + `
[[service_account]]
project = "acme-agents"
id      = "deployer"
`
	seed := t.TempDir() + "/seed.toml"
	must(t, os.WriteFile(seed, []byte(text), 0o600))
	s := newStage(t, "--seed", seed)
	key := s.write("deployer.json", s.keyOf(operator))
	before, cloud := s.look(), s.snapshot()

	taskiam := maps.Clone(s.vars)
	for _, name := range []string{"TASKIAM_EMULATOR_HOST", "TASKIAM_EMULATOR_TOKEN_FILE", "TASKIAM_EMULATOR_CA"} {
		delete(s.vars, name)
	}
	s.vars["GOOGLE_APPLICATION_CREDENTIALS"] = key
	s.vars["HTTPS_PROXY"] = "http://" + s.host
	s.vars["SSL_CERT_FILE"] = taskiam["TASKIAM_EMULATOR_CA"]

	if out := s.ok("plan", "tasks/demo.toml"); line(out, "cloud ") != "google (googleapis.com)" || line(out, "operator ") != "serviceAccount:"+operator {
		t.Errorf("plan does not say as whom it would act, and where:\n%s", out)
	}
	for _, deliver := range []string{"key", "token", "metadata"} {
		manifest := s.manifest("demo.toml", deliver)
		calls := len(s.requests())
		out := s.ok("up", manifest)
		if line(out, "cloud ") != "google (googleapis.com)" || line(out, "operator ") != "serviceAccount:"+operator {
			t.Errorf("up does not say as whom it acts, and where:\n%s", out)
		}
		var run runDocument
		must(t, json.Unmarshal([]byte(s.ok("up", "--reuse", "--json", manifest)), &run))
		var first struct {
			Record struct{ Cloud, Endpoint, Operator string }
		}
		must(t, json.Unmarshal([]byte(strings.SplitAfter(s.read(s.journal(run.Run)), "\n")[0]), &first))
		if o := first.Record; o.Cloud != "google" || o.Endpoint != "googleapis.com" || o.Operator != "serviceAccount:"+operator {
			t.Errorf("the journal says %+v", o)
		}

		token := s.token(run)
		s.allow(token, readSecret)
		if a := s.call(token, request{"GET", secretsAPI + "/db-password/versions/latest:access", ""}); a.code != http.StatusForbidden {
			t.Errorf("another secret: %d %s", a.code, a.body)
		}

		// The run is not the emulator's: down at the emulator refuses it.
		if o := s.run(command{args: []string{"taskiam", "down"}, vars: taskiam}); o.code != 2 || !strings.Contains(o.stderr, "is on google") {
			t.Errorf("down at the emulator ended with %d\n%s", o.code, o.stderr)
		}
		if out := s.ok("down"); !strings.Contains(out, "nothing is left") {
			t.Errorf("down:\n%s", out)
		}

		// The network is the user's, and stays; the operator's login does not.
		o := s.taskiam("run", manifest, "--", "sh", "-c", `echo "account $CLOUDSDK_CORE_ACCOUNT"; adcprobe; echo "adcprobe ended with $?"; env`)
		account := line(o.stdout, "account ")
		want := map[string]string{"key": account, "token": "", "metadata": account}[deliver]
		if o.code != 0 || !strings.HasPrefix(account, "ti-nightly-rep-") || line(o.stdout, "acted as ") != want ||
			!strings.Contains(o.stdout, "HTTPS_PROXY="+s.vars["HTTPS_PROXY"]) || strings.Contains(o.stdout, key) || strings.Contains(o.stdout, "TASKIAM_EMULATOR") {
			t.Errorf("run with a %s: %d\n%s%s", deliver, o.code, o.stdout, o.stderr)
		}

		// Nobody but the operator and the two runs has called.
		for _, who := range principals(s.requests()[calls:]) {
			if who != "" && who != "serviceAccount:"+operator && !strings.HasPrefix(who, "serviceAccount:ti-nightly-rep-") {
				t.Errorf("%s called", who)
			}
		}
	}

	// The operator's own tokens last for an hour; then all is as before.
	s.vars = taskiam
	s.ok("emulator", "advance", "2h")
	s.sameCloud(cloud)
	if after := s.look(); !slices.Equal(before.delivered, after.delivered) || len(after.processes) > 0 {
		t.Errorf("left behind: %q, %q", after.delivered, after.processes)
	}
}
