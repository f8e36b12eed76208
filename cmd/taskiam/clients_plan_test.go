package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// byHand is what a task of TestPlanByGcloud is granted: a few quickly, and with
// -clients.all one on every kind of resource that gcloud has commands for here, and on two
// that it has none for.
var byHand = []struct {
	quick bool
	grant string
}{
	{true, "role = 'roles/browser'\nresource = 'projects/acme-agents'"},
	{true, "role = 'roles/storage.objectViewer'\nresource = 'gs://acme-reports/2026/'"},
	{true, "permissions = ['secretmanager.versions.add']\nresource = 'projects/acme-agents/secrets/api-key'"},
	{true, "role = 'roles/run.invoker'\nresource = '//run.googleapis.com/projects/acme-data/locations/europe-west3/services/web'"},
	{false, "role = 'roles/secretmanager.secretAccessor'\nresource = 'projects/acme-agents/secrets/db-password'\ncondition = '''\nresource.type != \"a, | b\"\n  && true'''"},
	{false, "role = 'roles/pubsub.publisher'\nresource = 'projects/acme-agents/topics/reports'\nunbounded = 'accept'"},
	{false, "role = 'roles/pubsub.viewer'\nresource = 'projects/acme-agents/subscriptions/reports-audit'\nunbounded = 'accept'"},
	{false, "role = 'roles/iam.serviceAccountUser'\nresource = 'projects/acme-data/serviceAccounts/report-writer@acme-data.iam.gserviceaccount.com'\naccept = { runs-code-as = 'deploys as it', acts-as = 'deploys as it' }"},
	{false, "role = 'roles/resourcemanager.folderViewer'\nresource = 'folders/345678901234'"},
	{false, "role = 'roles/cloudkms.cryptoKeyEncrypterDecrypter'\nresource = 'gcp-kms://projects/acme-data/locations/europe-west3/keyRings/acme/cryptoKeys/release'"},
	{false, "role = 'roles/cloudkms.viewer'\nresource = 'projects/acme-data/locations/europe-west3/keyRings/acme'"},
	{false, "role = 'roles/compute.osLogin'\nresource = 'projects/acme-data/zones/europe-west3-a/instances/vm'"},
	{false, "role = 'roles/spanner.databaseReader'\nresource = 'projects/acme-data/instances/main/databases/orders'"},
	{false, "role = 'roles/artifactregistry.reader'\nresource = 'europe-docker.pkg.dev/acme-data/images'\nunbounded = 'accept'"},
	{false, "role = 'roles/storage.objectViewer'\nresource = 'projects/_/buckets/acme-reports/managedFolders/2026/'"},
	{false, "role = 'roles/cloudtasks.enqueuer'\nresource = 'projects/acme-data/locations/europe-west3/queues/mails'\nunbounded = 'accept'"},
	{false, "role = 'roles/bigquery.dataViewer'\nresource = 'bq://acme-data.sales.orders'\nunbounded = 'accept'"},
	// By curl and jq, in comments.
	{false, "role = 'roles/run.invoker'\nresource = '//run.googleapis.com/projects/acme-data/locations/europe-west3/jobs/nightly'"},
	{false, "role = 'roles/bigquery.dataViewer'\nresource = 'bq://acme-data.hr'"},
}

// TestPlanByGcloud has gcloud run what plan --gcloud prints, and then has up do it: the
// policies are the same, but for whose they are and when they end. What the script says in
// comments takes it away again, and all is as before.
func TestPlanByGcloud(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	if !gcloud(t) || runAlone(t) {
		return
	}
	company, err := os.ReadFile(filepath.Join("..", "..", "emulator", "seed", "acme.toml"))
	must(t, err)
	extra, err := os.ReadFile(filepath.Join("testdata", "plans", "types.extra"))
	must(t, err)
	company = bytes.Replace(company, []byte("roles/resourcemanager.folderViewer"), []byte("roles/resourcemanager.folderAdmin"), 1)
	seed := filepath.Join(t.TempDir(), "company.toml")
	must(t, os.WriteFile(seed, append(company, extra...), 0o600))
	s := newStage(t, "--seed", seed)

	text := "version = 1\n[task]\nname = \"by-hand\"\nproject = \"acme-agents\"\n[credentials]\ndeliver = \"key\"\n"
	for _, g := range byHand {
		if g.quick || *tableAll {
			text += "[[grant]]\n" + g.grant + "\n"
		}
	}
	manifest := s.write("by-hand.toml", text)
	sdk := s.pointed("gcloud")
	before := s.policies("")
	script := s.ok("plan", "--quiet", "--gcloud", manifest)
	email := regexp.MustCompile(`ti-by-hand-\w+@acme-agents\.iam\.gserviceaccount\.com`).FindString(script)

	o := s.run(command{args: []string{"sh", "-c", script}, vars: sdk})
	if want := map[bool]int{true: 1}[*tableAll]; o.code != want { // 1 is for what is in comments
		t.Fatalf("the script ended with %d\n%s\n%s", o.code, script, o.stderr)
	}
	made, rest, found := strings.Cut(script, "# To remove it again")
	if !found {
		t.Fatalf("the script does not say how it is undone:\n%s", script)
	}
	if *tableAll {
		for _, tool := range []string{"curl", "jq"} {
			if _, err := exec.LookPath(tool); err != nil {
				t.Skipf("%s is not installed", tool)
			}
		}
		s.gcloudScript(sdk, comments(regexp.MustCompile(`(?s)# A credential.*`).ReplaceAllString(made, "")))
	}
	byScript := s.policies(email)
	if cmp.Equal(before, byScript) {
		t.Fatal("the script has changed nothing")
	}
	if *tableAll {
		s.gcloudScript(sdk, comments(rest))
		if diff := cmp.Diff(before, s.policies("")); diff != "" {
			t.Errorf("the undo leaves (-before +after):\n%s", diff)
		}
	}
	// The same company, without what the script has made.
	other := newStage(t, "--seed", seed)
	run := other.up(manifest)
	if diff := cmp.Diff(byScript, other.policies(run.Account)); diff != "" {
		t.Errorf("gcloud and up differ (-gcloud +up):\n%s", diff)
	}
	t.Logf("%d grants", strings.Count(text, "[[grant]]"))
}

// pointed returns the environment of a client that taskiam emulator env points at the
// emulator, as the operator.
func (s *stage) pointed(client string) map[string]string {
	s.t.Helper()
	o := s.run(command{args: []string{"sh", "-c", `eval "$(taskiam emulator env --for "$1")" && env -0`, "sh", client}})
	if o.code != 0 {
		s.t.Fatal(o.stderr)
	}
	return variables(o.stdout)
}

// comments returns the commands that stand in comments of a script.
func comments(script string) string {
	var b strings.Builder
	for line := range strings.Lines(script) {
		if text, ok := strings.CutPrefix(line, "#   "); ok {
			b.WriteString(text)
		}
	}
	return b.String()
}

// gcloudScript runs a script as a shell of the SDK would. Curl takes the way to the emulator that
// gcloud takes.
func (s *stage) gcloudScript(vars map[string]string, script string) {
	s.t.Helper()
	vars = maps.Clone(vars)
	vars["HTTPS_PROXY"], vars["CURL_CA_BUNDLE"] = "http://"+s.host, s.vars["TASKIAM_EMULATOR_CA"]
	vars["NO_PROXY"] = "127.0.0.1"
	if o := s.run(command{args: []string{"sh", "-euc", script}, vars: vars}); o.code != 0 {
		s.t.Fatalf("this ended with %d\n%s\n%s", o.code, script, o.stderr)
	}
}

// policies returns every policy and access list of the company, as canonical JSON by where
// it is in the snapshot. An account of a run's, and when it ends, have names that are the
// same for all runs.
func (s *stage) policies(account string) map[string]string {
	s.t.Helper()
	text := s.snapshot()
	if account != "" {
		text = strings.ReplaceAll(text, account, "ACCOUNT")
		id := strings.TrimPrefix(strings.SplitN(account, "@", 2)[0], "ti-by-hand-")
		text = strings.ReplaceAll(text, "taskiam "+id, "taskiam RUN")
	}
	text = regexp.MustCompile(`timestamp\(\\"[^"]*\\"\)`).ReplaceAllString(text, "timestamp(END)")
	var all any
	must(s.t, json.Unmarshal([]byte(text), &all))
	out := map[string]string{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for _, k := range slices.Sorted(maps.Keys(v)) {
				if account, ok := v[k].(map[string]any); ok && account["uniqueId"] == k {
					walk(fmt.Sprintf("%s.%v", path, account["email"]), account) // its id is another each time
					continue
				}
				if k == "policy" || k == "access" {
					b, err := json.MarshalIndent(v[k], "", " ")
					must(s.t, err)
					out[path+"."+k] = string(b)
				} else {
					walk(path+"."+k, v[k])
				}
			}
		case []any:
			for _, x := range v {
				walk(path+"[]", x)
			}
		}
	}
	walk("", all)
	return out
}
