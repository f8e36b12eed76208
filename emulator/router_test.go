package emulator

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/emulator/internal/wire"
)

func TestRouter(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for _, tt := range []struct {
		request, host string
		id            string // "" for none
		vars          map[string]string
	}{
		{"GET /v1/projects/p", hostManager, "cloudresourcemanager.projects.get", map[string]string{"project": "p"}},
		{"GET /v1/projects/p", "", "cloudresourcemanager.projects.get", map[string]string{"project": "p"}},
		{"GET /v1/projects/p", hostIAM, "", nil},
		{"POST /v1/projects/example.com:p/serviceAccounts", hostIAM, "iam.projects.serviceAccounts.create", map[string]string{"project": "example.com:p"}},
		{"POST /v1/projects/p/serviceAccounts/a@b:disable", hostIAM, "iam.projects.serviceAccounts.disable", map[string]string{"project": "p", "account": "a@b"}},
		{"POST /v1/projects/p/serviceAccounts/a%40b:disable", hostIAM, "iam.projects.serviceAccounts.disable", map[string]string{"project": "p", "account": "a@b"}},
		{"POST /v1/projects/p/serviceAccounts/a@b:frobnicate", hostIAM, "", nil},
		{"GET /v1/projects/p/serviceAccounts/a@b:frobnicate", hostIAM, "", nil},
		{"POST /v1/projects/p/serviceAccounts/a@b/keys:upload", hostIAM, "iam.projects.serviceAccounts.keys.upload", map[string]string{"project": "p", "account": "a@b"}},
		{"GET /v1/roles/storage.objectViewer", hostIAM, "iam.roles.get", map[string]string{"role": "storage.objectViewer"}},
		{"POST /v1/roles:queryGrantableRoles", hostIAM, "iam.roles.queryGrantableRoles", map[string]string{}},
		{"GET /storage/v1/b/b/o/a%2Fb%20c", hostStorage, "storage.objects.get", map[string]string{"bucket": "b", "object": "a/b c"}},
		{"GET /storage/v1/b/b/o/a:b", hostStorage, "storage.objects.get", map[string]string{"bucket": "b", "object": "a:b"}},
		{"GET /storage/v1/b/b/o/a/b", hostStorage, "", nil},
		{"GET /v1/nonsense/x", "", "", nil},
		{"GET /v1/projects//serviceAccounts", hostIAM, "", nil},
		{"GET /v1/projects/%zz", hostManager, "", nil},
		{"GET /", "", "", nil},
		{"GET ", "", "", nil},
	} {
		verb, path, _ := strings.Cut(tt.request, " ")
		m, vars := l.wire.Router.Find(tt.host, verb, path)
		id := ""
		if m != nil && !strings.Contains(m.Pattern, "{object...}") {
			id = m.ID
		}
		if id != tt.id {
			t.Errorf("%s at %q: %q, want %q", tt.request, tt.host, id, tt.id)
			continue
		}
		if id != "" {
			if diff := cmp.Diff(tt.vars, vars); diff != "" {
				t.Errorf("%s: variables (-want +got):\n%s", tt.request, diff)
			}
		}
	}
}

func TestHosts(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for url, want := range map[string]int{
		"https://cloudresourcemanager.googleapis.com/v1/projects/acme-agents":      200,
		"https://cloudresourcemanager.googleapis.com:443/v1/projects/acme-agents":  200,
		"https://CloudResourceManager.googleapis.com/v1/projects/acme-agents":      200,
		"https://cloudresourcemanager.mtls.googleapis.com/v1/projects/acme-agents": 200,
		"http://127.0.0.1:8790/v1/projects/acme-agents":                            200,
		"http://localhost:8790/v1/projects/acme-agents":                            200,
		"http://[::1]:8790/v1/projects/acme-agents":                                200,
		"https://iam.googleapis.com/v1/projects/acme-agents":                       501,
		"https://compute.googleapis.com/compute/v1/projects/acme-agents":           501,
		"http://127.0.0.1:8790/v1/projects/acme-agents/things":                     501,
		"https://example.com/":                             403,
		"https://googleapis.com.evil.example/":             403,
		"http://169.254.169.254/computeMetadata/v1/":       403,
		"http://metadata.google.internal/computeMetadata/": 403,
		"http://10.0.0.1/v1/projects/acme-agents":          403,
	} {
		r := l.do(l.operator, "GET", url, "")
		if r.code != want {
			t.Errorf("%s: %d, want %d: %s", url, r.code, want, r.raw)
		}
		if want == 501 && (r.status() != "UNIMPLEMENTED" || !strings.Contains(r.raw, "GET "+strings.TrimPrefix(strings.TrimPrefix(url, "https://"), "http://"))) {
			t.Errorf("%s: the refusal does not name the method: %s", url, r.raw)
		}
	}
}

func TestErrorEnvelopes(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for url, legacy := range map[string]bool{
		accounts + "/gone":                                                          false,
		accounts + "/gone?alt=json":                                                 false,
		accounts + "/gone?alt=json&prettyPrint=false":                               true,
		accounts + "/gone?%24alt=json%3Benum-encoding%3Dint":                        false,
		"https://storage.googleapis.com/storage/v1/b/missing-bucket":                true,
		"https://bigquery.googleapis.com/bigquery/v2/projects/acme-data/datasets/x": true,
	} {
		r := l.do(l.operator, "GET", url, "")
		e, _ := r.body["error"].(map[string]any)
		if _, has := e["errors"]; has != legacy || e["code"] != float64(404) {
			t.Errorf("%s: errors[] is %v, want %v: %s", url, has, legacy, r.raw)
		}
	}
}

// No request makes the emulator panic, and none is served without an answer.
func FuzzHandler(f *testing.F) {
	for _, seed := range [][4]string{
		{"GET", "iam.googleapis.com", "/v1/projects/acme-agents/serviceAccounts?pageSize=3&pageToken=eA", ""},
		{"POST", "iam.googleapis.com", "/v1/projects/acme-agents/serviceAccounts", `{"accountId":"ti-fuzz-x"}`},
		{"PATCH", "", "/v1/projects/-/serviceAccounts/ci-runner@acme-agents.iam.gserviceaccount.com", `{"updateMask":"x"}`},
		{"POST", "cloudresourcemanager.googleapis.com", "/v1/projects/acme-data:setIamPolicy", `{"policy":{"version":3,"bindings":[{"role":"roles/browser","members":["user:a@b"],"condition":{"title":"t","expression":"request.time < timestamp('x')"}}],"etag":"//"}}`},
		{"POST", "cloudresourcemanager.googleapis.com", "/v3/organizations/123456789012:testIamPermissions", `{"permissions":["a.b.c"]}`},
		{"POST", "iamcredentials.googleapis.com", "/v1/projects/-/serviceAccounts/x:generateAccessToken", `{"scope":["a"],"lifetime":"1s","delegates":["/"]}`},
		{"POST", "oauth2.googleapis.com", "/token", "grant_type=" + grantJWT + "&assertion=e30.e30.e30"},
		{"GET", "oauth2.googleapis.com", "/tokeninfo?access_token=x", ""},
		{"GET", "storage.googleapis.com", "/storage/v1/b/acme-reports/o/2026%2F01.csv?alt=media", ""},
		{"GET", "storage.googleapis.com", "/acme-reports/2026/01.csv", ""},
		{"POST", "storage.googleapis.com", "/upload/storage/v1/b/acme-drop/o?uploadType=media&name=x", "content"},
		{"PUT", "storage.googleapis.com", "/storage/v1/b/acme-drop/iam", `{"bindings":[],"version":3}`},
		{"POST", "pubsub.googleapis.com", "/v1/projects/acme-agents/topics/reports:publish", `{"messages":[{"data":"aGk="}]}`},
		{"GET", "secretmanager.googleapis.com", "/v1/projects/acme-agents/secrets/api-key/versions/latest:access", ""},
		{"PATCH", "bigquery.googleapis.com", "/bigquery/v2/projects/acme-data/datasets/sales", `{"access":[{"role":"READER","iamMember":"allUsers"}]}`},
		{"POST", "127.0.0.1", "/_emulator/clock", `{"advance":"1h"}`},
		{"CONNECT", "storage.googleapis.com:443", "", ""},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3])
	}
	log := &lockedBuffer{}
	s, err := New(Config{NewKey: pooledKey, Log: log, Quotas: wire.GoogleQuotas,
		Lag: wire.Lag{Seed: 1, AccountRead: wire.Delay{Max: time.Millisecond}, AccountBind: wire.Delay{Max: time.Millisecond}, Grant: wire.Delay{Max: time.Millisecond}}})
	if err != nil {
		f.Fatal(err)
	}
	_, token := s.Operator()
	// Every method that there is, with names that fit its pattern and a body of most shapes.
	for _, r := range s.wire.Router.Routes {
		_, path, _ := strings.Cut(r.Method.Pattern, " ")
		for name, value := range map[string]string{
			"{project}": "acme-data", "{bucket}": "acme-reports", "{object}": "2026%2F01.csv", "{object...}": "2026/01.csv",
			"{dataset}": "sales", "{account}": "ci-runner@acme-agents.iam.gserviceaccount.com", "{organization}": "123456789012",
		} {
			path = strings.ReplaceAll(path, name, value)
		}
		path = strings.NewReplacer("{", "", "}", "", "...", "").Replace(path)
		f.Add(r.Verb, r.Method.Host, path, `{"policy":{"version":3,"bindings":[{"role":"roles/browser","members":["user:a@b.example"]}]},`+
			`"permissions":["resourcemanager.projects.get"],"name":"x","access":[{"role":"READER","specialGroup":"projectReaders"}],`+
			`"bindings":[{"role":"roles/storage.admin","members":["allUsers"]}],"updateMask":"*","policy_version":3}`)
		f.Add(r.Verb, "127.0.0.1", path, "")
	}
	for _, t := range []string{"lag", "faults", "quotas", "snapshots/x", "diff?from=x", "clock", "release"} {
		for _, verb := range []string{"GET", "POST", "PUT", "DELETE"} {
			f.Add(verb, "localhost", "/_emulator/"+t, `{"set":"2030-01-01T00:00:00Z","grant":"1s..2s","iam_writes":1}`)
		}
	}
	f.Fuzz(func(t *testing.T, verb, host, target, body string) {
		r, err := http.NewRequestWithContext(t.Context(), verb, "https://h.example", strings.NewReader(body))
		if err != nil {
			return // not a request
		}
		u, err := r.URL.Parse(target)
		if err != nil {
			return
		}
		r.URL, r.Host = u, host
		r.Header.Set("Authorization", "Bearer "+token)
		if strings.HasPrefix(u.Path, "/_emulator/") && !strings.Contains(body, "do") { // a fault would hold the fuzzer up
			r.Header.Set("Authorization", "Bearer "+s.ControlToken())
		}
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if w.Code < 200 || w.Code > 599 || w.Code == http.StatusInternalServerError {
			t.Errorf("%s %s%s: %d %s\n%s", verb, host, target, w.Code, w.Body, log)
		}
		log.reset()
		if verb == http.MethodGet {
			return
		}
		if _, err := s.Snapshot(); err != nil {
			t.Error(err)
		}
	})
}
