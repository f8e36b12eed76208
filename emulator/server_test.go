package emulator

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/internal/fault"
)

func TestControl(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	const at = "http://127.0.0.1:8790/_emulator/"
	l.must("", "GET", at+"health", "")
	for _, token := range []string{"", "garbage", noah} {
		for _, request := range []string{"GET snapshot", "POST clock", "GET nonsense"} {
			verb, name, _ := strings.Cut(request, " ")
			l.want(l.do(token, verb, at+name, `{"advance":"1h"}`), 401, "UNAUTHENTICATED")
		}
	}
	if got := l.must(l.operator, "GET", at+"snapshot", "").raw; got != l.snapshot() {
		t.Errorf("the snapshot over HTTP is another one: %s", got)
	}
	r := l.must(l.operator, "POST", at+"clock", `{"advance":"2h"}`)
	if want := "2026-03-03T13:00:00Z"; r.str("now") != want {
		t.Errorf("the clock says %s, want %s", r.str("now"), want)
	}
	for _, body := range []string{"", "{}", `{"advance":"-1h"}`, `{"advance":"soon"}`} {
		l.want(l.do(l.operator, "POST", at+"clock", body), 400, "INVALID_ARGUMENT")
	}
	l.want(l.do(l.operator, "GET", at+"nonsense", ""), 401, "UNAUTHENTICATED")
	l.want(l.do(l.ControlToken(), "GET", at+"nonsense", ""), 404, "NOT_FOUND")
	// The services' hosts have no such endpoints.
	l.want(l.do(l.operator, "GET", "https://iam.googleapis.com/_emulator/health", ""), 501, "UNIMPLEMENTED")
}

func TestRequestLog(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	email := l.account("ti-logged")
	token := l.mint(email)
	l.do(token, "GET", dataPolicy, "")
	l.do(token, "GET", "https://oauth2.googleapis.com/tokeninfo?access_token="+token, "")
	l.do("", "GET", dataPolicy, "")
	l.do(l.operator, "GET", "https://compute.googleapis.com/compute/v1/projects", "")

	log := l.log.String()
	for _, s := range []string{token, l.operator, noah} {
		if strings.Contains(log, s) {
			t.Errorf("the log holds a credential: %s", log)
		}
	}
	var got []map[string]any
	for scan := bufio.NewScanner(strings.NewReader(log)); scan.Scan(); {
		var line map[string]any
		if err := json.Unmarshal(scan.Bytes(), &line); err != nil {
			t.Fatalf("%q: %v", scan.Text(), err)
		}
		got = append(got, line)
	}
	const agents = "//cloudresourcemanager.googleapis.com/projects/acme-agents"
	const time = "2026-03-03T11:00:00Z"
	want := []map[string]any{
		{"time": time, "principal": "user:olivia@acme.example", "method": "iam.projects.serviceAccounts.create", "http": "POST /v1/projects/acme-agents/serviceAccounts",
			"resource": agents, "permission": "iam.serviceAccounts.create", "decision": "allowed",
			"by": "roles/owner to user:olivia@acme.example on " + agents, "code": 200.0},
		{"time": time, "principal": "user:noah@acme.example", "method": "iamcredentials.projects.serviceAccounts.generateAccessToken",
			"http":     "POST /v1/projects/-/serviceAccounts/" + email + ":generateAccessToken",
			"resource": "//iam.googleapis.com/projects/acme-agents/serviceAccounts/" + email, "permission": "iam.serviceAccounts.getAccessToken",
			"decision": "allowed", "by": "roles/iam.serviceAccountTokenCreator to user:noah@acme.example on " + agents, "code": 200.0},
		{"time": time, "principal": "serviceAccount:" + email, "method": "cloudresourcemanager.projects.get", "http": "GET /v1/projects/acme-data",
			"resource": "//cloudresourcemanager.googleapis.com/projects/acme-data", "permission": "resourcemanager.projects.get", "decision": "denied", "code": 403.0},
		{"time": time, "method": "oauth2.tokeninfo", "http": "GET /tokeninfo", "decision": "none", "code": 200.0},
		{"time": time, "method": "cloudresourcemanager.projects.get", "http": "GET /v1/projects/acme-data", "decision": "none", "code": 401.0},
		{"time": time, "method": "unknown", "http": "GET /compute/v1/projects", "decision": "none", "code": 501.0},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the log (-want +got):\n%s", diff)
	}
}

func TestDataFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "data.json")
	dir := filepath.Join(t.TempDir(), "emulator")
	configure := func(c *Config) { c.DataFile, c.Dir = file, dir }
	first := newLab(t, configure)
	email := first.account("ti-kept-x")
	token := first.mint(email)
	w := first.getPolicy(3)
	w.Version = 3
	w.Bindings = append(w.Bindings, iam.Binding{Role: "roles/browser", Members: []string{"serviceAccount:" + email}, Condition: until("2026-04-01T00:00:00Z")})
	if r := first.setPolicy(w); r.code != 200 {
		t.Fatal(r.raw)
	}
	before, etag := first.snapshot(), first.getPolicy(3).Etag

	// The file is complete after each write, without an orderly end.
	second := newLab(t, configure)
	if diff := cmp.Diff(before, second.snapshot()); diff != "" {
		t.Errorf("the state after a restart (-before +after):\n%s", diff)
	}
	if got := second.getPolicy(3).Etag; got != etag {
		t.Errorf("the etag after a restart is %s, was %s", got, etag)
	}
	second.must(token, "GET", dataPolicy, "")
	if second.operator != first.operator || !bytes.Equal(second.CACertificate(), first.CACertificate()) {
		t.Error("the operator's token or the CA changed over a restart")
	}
	for path, want := range map[string]os.FileMode{
		file: 0o600, dir: 0o700, filepath.Join(dir, "token"): 0o600, filepath.Join(dir, "ca.pem"): 0o600, filepath.Join(dir, "ca.key"): 0o600,
	} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", path, got, want)
		}
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{token, first.operator} {
		if bytes.Contains(raw, []byte(secret)) {
			t.Error("the data file holds a token")
		}
	}

	for name, content := range map[string]string{"garbage": "{", "a later version": `{"version":99}`} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := New(Config{DataFile: file}); err == nil {
			t.Errorf("%s in the data file was accepted", name)
		}
	}
}

func TestSeedErrors(t *testing.T) {
	t.Parallel()
	const operator = "[operator]\nmember = \"user:o@acme.example\"\n"
	const project = "[[project]]\nid = \"p-one\"\nnumber = \"1\"\n"
	for name, tt := range map[string]struct{ seed, want string }{
		"an unknown key":                 {operator + "nonsense = 1\n", "3:1: unknown key operator.nonsense"},
		"an unknown table":               {operator + "[[robot]]\nname = \"x\"\n", "unknown key robot"},
		"no TOML":                        {operator + "x = = 1\n", "3:5: "},
		"a wrong type":                   {operator + "[[project]]\nid = 7\n", "4:6: "},
		"no operator":                    {project, "is not of the form user:EMAIL"},
		"an operator that no account is": {strings.Replace(operator, "user:o@acme.example", "serviceAccount:x@p-one.iam.gserviceaccount.com", 1) + project, "operator: there is no serviceAccount:x@"},
		"an operator of no pool":         {strings.Replace(operator, "user:o@acme.example", "principal://iam.googleapis.com/locations/global/workforcePools/acme-staff/subject/x", 1) + project, "no subject of a pool"},
		"a set as an operator":           {strings.Replace(operator, "user:o@acme.example", "principalSet://iam.googleapis.com/locations/global/workforcePools/acme-staff/*", 1) + project, "is not of the form"},
		"a workforce pool in a project":  {operator + project + "[[workforce_pool]]\nproject = \"p-one\"\nid = \"acme-staff\"\n", "in no project"},
		"a workforce pool twice":         {operator + strings.Repeat("[[workforce_pool]]\nid = \"acme-staff\"\n", 2), "there twice"},
		"no project number":              {operator + "[[project]]\nid = \"p\"\n", "needs an id and a number"},
		"a project twice":                {operator + project + project, "needs an id and a number"},
		"no parent":                      {operator + project + "parent = \"folders/9\"\n", "does not exist"},
		"a folder's parent":              {operator + "[[folder]]\nnumber = \"1\"\nparent = \"folders/9\"\n", "does not exist"},
		"an account's id":                {operator + project + "[[service_account]]\nproject = \"p-one\"\nid = \"X\"\n", "invalid id"},
		"an account twice":               {operator + project + strings.Repeat("[[service_account]]\nproject = \"p-one\"\nid = \"twin-x\"\n", 2), "there twice"},
		"a dead member":                  {operator + project + "[[project.binding]]\nrole = \"roles/browser\"\nmembers = [\"serviceAccount:x@p-one.iam.gserviceaccount.com\"]\n", "does not exist"},
		"an unknown role":                {operator + project + "[[project.binding]]\nrole = \"roles/x\"\nmembers = [\"user:a@b.example\"]\n", "not supported"},
		"a broken condition":             {operator + project + "[[project.binding]]\nrole = \"roles/browser\"\nmembers = [\"user:a@b.example\"]\ncondition = {title = \"t\", expression = \"nonsense\"}\n", "compilation failed"},
	} {
		_, err := New(Config{Seed: []byte(tt.seed)})
		if err == nil || !strings.Contains(err.Error(), tt.want) || fault.KindOf(err) != fault.Usage {
			t.Errorf("%s: %v, want %q in it, of kind usage", name, err, tt.want)
		}
	}
}

// A round trip is waited out before the call, outside of every lock: calls side by
// side take one, and a client that goes away is let go.
func TestRoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, func(c *Config) { c.RTT = 50 * time.Millisecond; c.Now = nil })
		start := time.Now()
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if r := l.do(l.operator, "POST", dataPolicy+":getIamPolicy", ""); r.code != 200 {
					t.Error(r.raw)
				}
			})
		}
		wg.Wait()
		if got := time.Since(start); got != 50*time.Millisecond {
			t.Errorf("20 calls side by side took %v, want one round trip", got)
		}
		l.must(l.operator, "GET", dataPolicy, "")
		if got := time.Since(start); got != 100*time.Millisecond {
			t.Errorf("one more took until %v", got)
		}
	})
}

func TestConcurrentWriters(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	before := l.snapshot()
	stale := l.getPolicy(3)
	var won, lost int
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			r := l.setPolicy(stale)
			mu.Lock()
			defer mu.Unlock()
			switch r.code {
			case 200:
				won++
			case 409:
				lost++
			}
		})
	}
	wg.Wait()
	if won != 1 || lost != 7 {
		t.Errorf("of 8 writers with one etag %d won and %d lost", won, lost)
	}
	if l.snapshot() != before {
		t.Error("writing back what was read changed the state")
	}
}

func TestClientEnv(t *testing.T) {
	t.Parallel()
	got := map[string]string{}
	for _, v := range ClientEnv("127.0.0.1:8790", "/d/ca.pem") {
		name, value, _ := strings.Cut(v, "=")
		got[name] = value
		if strings.HasPrefix(name, "CLOUDSDK_API_ENDPOINT_OVERRIDES_") && value != "http://127.0.0.1:8790/" {
			t.Errorf("%s is %s", name, value)
		}
	}
	for name, want := range map[string]string{
		"HTTPS_PROXY": "http://127.0.0.1:8790", "https_proxy": "http://127.0.0.1:8790", "NO_PROXY": "127.0.0.1,localhost",
		"SSL_CERT_FILE": "/d/ca.pem", "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE": "/d/ca.pem", "NODE_EXTRA_CA_CERTS": "/d/ca.pem",
		"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": "/d/ca.pem",
		"CLOUDSDK_AUTH_TOKEN_HOST":         "http://127.0.0.1:8790/token", "CLOUDSDK_API_ENDPOINT_OVERRIDES_IAM": "http://127.0.0.1:8790/",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	// With it, Node's client of Pub/Sub sends no login.
	if value, set := got["CLOUDSDK_API_ENDPOINT_OVERRIDES_PUBSUB"]; set {
		t.Errorf("gcloud's override for Pub/Sub is set, to %s", value)
	}
	for name := range got {
		if strings.Contains(name, "TOKEN_FILE") || strings.Contains(name, "CREDENTIAL") && !strings.Contains(name, "OVERRIDES") || strings.Contains(name, "ACCOUNT") {
			t.Errorf("%s is an identity", name)
		}
	}
}
