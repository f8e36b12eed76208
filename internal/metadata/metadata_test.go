package metadata

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/secret"
)

const (
	email     = "ti-report-0123456789abcde@acme-agents.iam.gserviceaccount.com"
	userEmail = scopePrefix + "userinfo.email"
	readOnly  = scopePrefix + "devstorage.read_only"
	drive     = scopePrefix + "drive"
	wanted    = "https://reports.example"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 500e6, time.UTC)

// minter hands out the same tokens always, or an error, and remembers what for.
type minter struct {
	mu     sync.Mutex
	life   time.Duration
	err    error
	asked  []string
	during func()
}

func (m *minter) get(name, for_ string) (grants.Token, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.during != nil {
		m.during()
	}
	m.asked = append(m.asked, for_)
	if m.err != nil {
		return grants.Token{}, m.err
	}
	return grants.Token{Value: secret.New(name), Expires: now.Add(m.life)}, nil
}

func (m *minter) AccessToken(_ context.Context, scopes []string) (grants.Token, error) {
	return m.get("ya29.test", strings.Join(scopes, " "))
}

func (m *minter) IDToken(_ context.Context, audience string) (grants.Token, error) {
	return m.get("eyJ.test.jwt", audience)
}

func config(m *minter) Config {
	return Config{
		Run:           "0123456789abcde",
		Account:       grants.Account{Email: email, UniqueID: "123456789012345678901", Project: "acme-agents"},
		ProjectNumber: "100000000001",
		Audiences:     []string{wanted},
		Hosts:         Hosts(4711),
		Tokens:        m,
		Expires:       now.Add(2 * time.Hour),
		Now:           func() time.Time { return now },
	}
}

func newServer(t *testing.T, change func(*Config)) (*Server, *minter) {
	t.Helper()
	m := &minter{life: 15 * time.Minute}
	cfg := config(m)
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s, m
}

// request is what the tests send; the zero value of a field is what clients send.
type request struct {
	method, path, host string
	header             http.Header
	body               string
}

func (r request) to(s http.Handler) *httptest.ResponseRecorder {
	method, host, header := r.method, r.host, r.header
	if method == "" {
		method = http.MethodGet
	}
	if host == "" {
		host = "127.0.0.1:4711"
	}
	if header == nil {
		header = http.Header{"Metadata-Flavor": {"Google"}}
	}
	req := httptest.NewRequest(method, "http://x"+r.path, strings.NewReader(r.body))
	req.Host, req.Header = host, header
	w := httptest.NewRecorder()
	s.ServeHTTP(w, req)
	return w
}

func TestPaths(t *testing.T) {
	t.Parallel()
	const (
		text    = "application/text"
		inJSON  = "application/json"
		plain   = "text/plain; charset=utf-8"
		account = `{"aliases":["default"],"email":"` + email + `","scopes":["` + cloudPlatform + `"]}`
		project = `{"numericProjectId":100000000001,"projectId":"acme-agents"}`
		all     = `{"instance":{"serviceAccounts":{"default":` + account + `,"` + email + `":` + account + `}},` +
			`"project":` + project + `,"universe":{"universeDomain":"googleapis.com"}}`
		token  = `{"access_token":"ya29.test","expires_in":120,"token_type":"Bearer"}`
		names  = "aliases\nemail\nidentity\nscopes\ntoken\n"
		absent = "there is no such metadata\n"
		self   = "/computeMetadata/v1/instance/service-accounts/"
	)
	for _, test := range []struct {
		path, kind, want string
		code             int
	}{
		{"/", text, "computeMetadata/\n", 200},
		{"/computeMetadata", text, "v1/\n", 200},
		{"/computeMetadata/", text, "v1/\n", 200},
		{"/computeMetadata/?recursive=true", inJSON, `{"v1":` + all + `}`, 200},
		{"/computeMetadata/v1/", text, "instance/\nproject/\nuniverse/\n", 200},
		{"/computeMetadata/v1/?recursive=true", inJSON, all, 200},
		{"/computeMetadata/v1/?recursive=TRUE&alt=json", inJSON, all, 200},
		{"/computeMetadata/v1/instance", text, "service-accounts/\n", 200}, // Node
		{"/computeMetadata/v1/instance/", text, "service-accounts/\n", 200},
		{"/computeMetadata/v1/instance/id", plain, absent, 404},
		{"/computeMetadata/v1/instance/zone", plain, absent, 404},
		{"/computeMetadata/v1/instance/attributes/cluster-name", plain, absent, 404},
		{"/computeMetadata/v1/project/", text, "numeric-project-id\nproject-id\n", 200},
		{"/computeMetadata/v1/project/?recursive=true&alt=text", text, "numeric-project-id 100000000001\nproject-id acme-agents\n", 200},
		{"/computeMetadata/v1/project/project-id", text, "acme-agents", 200},
		{"/computeMetadata/v1/project/project-id?alt=json", inJSON, `"acme-agents"`, 200},
		{"/computeMetadata/v1/project/project-id?alt=xml", plain, "alt must be json or text\n", 400},
		{"/computeMetadata/v1/project/project-id?%zz", plain, "the query cannot be read\n", 400},
		{"/computeMetadata/v1/project/project-id?wait_for_change=true", plain, "wait_for_change is not served: nothing here changes\n", 400},
		{"/computeMetadata/v1/project/project-id/", plain, absent, 404},
		{"/computeMetadata/v1/project/numeric-project-id", text, "100000000001", 200},
		{"/computeMetadata/v1/project/attributes/", plain, absent, 404},
		{"/computeMetadata/v1/universe/", text, "universe-domain\n", 200},
		{"/computeMetadata/v1/universe/universe-domain", text, "googleapis.com", 200},
		{"/computeMetadata/v1/universe/universe_domain", plain, absent, 404},
		{self, text, "default/\n" + email + "/\n", 200},
		{self + "?recursive=true", inJSON, `{"default":` + account + `,"` + email + `":` + account + `}`, 200}, // Java
		{self + "default/", text, names, 200},
		{self + email, text, names, 200},
		{self + strings.ReplaceAll(email, "@", "%40") + "/", text, names, 200},
		{self + "default/?recursive=true", inJSON, account, 200},
		{self + email + "/?recursive=true", inJSON, account, 200},
		{self + "default/?recursive=true&alt=text", text, "aliases default\nemail " + email + "\nscopes " + cloudPlatform + "\n", 200},
		{self + "default/aliases", text, "default\n", 200},
		{self + "default/email", text, email, 200},
		{self + email + "/email", text, email, 200},
		{self + "default/scopes", text, cloudPlatform + "\n", 200},
		{self + "default/scopes?alt=json", inJSON, `["` + cloudPlatform + `"]`, 200},
		{self + "other@acme-agents.iam.gserviceaccount.com/token", plain, absent, 404},
		{self + "default/token", inJSON, token, 200},
		{self + "default/token?alt=json", inJSON, token, 200},
		{self + email + "/token", inJSON, token, 200},
		{self + "default/token?scopes=" + readOnly, inJSON, token, 200},
		{self + "default/token?scopes=" + drive, plain, "the run's tokens do not have the scopes that are asked for\n", 403},
		{self + "default/token/", plain, absent, 404},
		{self + "default/identity?audience=" + wanted + "&format=full", text, "eyJ.test.jwt", 200},
		{self + email + "/identity?audience=" + wanted, text, "eyJ.test.jwt", 200},
		{self + "default/identity", plain, "non-empty audience parameter required\n", 400},
		{self + "default/identity?audience=https://other.example", plain, "the run has no identity tokens for this audience\n", 404},
		{"/taskiam/", plain, absent, 404},
		{"/computeMetadata/v1/../v1/project/project-id", plain, absent, 404},
		{"/computeMetadata/v1beta1/", plain, absent, 404},
		{"/metadata/v1/", plain, absent, 404},
	} {
		t.Run(test.path, func(t *testing.T) {
			t.Parallel()
			s, _ := newServer(t, nil)
			got := request{path: test.path}.to(s)
			if got.Code != test.code || got.Body.String() != test.want {
				t.Errorf("answered %d %q, want %d %q", got.Code, got.Body, test.code, test.want)
			}
			for name, want := range map[string]string{"Content-Type": test.kind, "Metadata-Flavor": "Google", "Server": "Metadata Server for VM"} {
				if got := got.Header().Get(name); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
			if strings.Contains(got.Body.String(), "test") && got.Header().Get("Cache-Control") != "no-store" {
				t.Error("a token may be stored")
			}
		})
	}
}

// Nothing of this gets a token, nor has one made.
func TestRefusals(t *testing.T) {
	t.Parallel()
	const token = "/computeMetadata/v1/instance/service-accounts/default/token"
	with := func(pairs ...string) http.Header {
		h := http.Header{"Metadata-Flavor": {"Google"}}
		for i := 0; i < len(pairs); i += 2 {
			h.Set(pairs[i], pairs[i+1])
		}
		return h
	}
	for name, test := range map[string]struct {
		request
		code int
		text string
	}{
		"no header":                  {request{path: token, header: http.Header{}}, 403, `Missing required header "Metadata-Flavor": "Google"`},
		"another flavor":             {request{path: token, header: http.Header{"Metadata-Flavor": {"google"}}}, 403, "Missing required"},
		"the header of before":       {request{path: token, header: http.Header{"X-Google-Metadata-Request": {"True"}}}, 403, "Missing required"},
		"no header, no such path":    {request{path: "/x", header: http.Header{}}, 403, "Missing required"},
		"no header, subject":         {request{path: subjectPath, header: http.Header{}}, 403, "Missing required"},
		"forwarded":                  {request{path: token, header: with("X-Forwarded-For", "10.0.0.1")}, 403, "forwarded"},
		"forwarded, by an empty one": {request{path: token, header: with("X-Forwarded-For", "")}, 403, "forwarded"},
		"forwarded, newer":           {request{path: token, header: with("Forwarded", "for=10.0.0.1")}, 403, "forwarded"},
		"forwarded ping":             {request{path: "/", header: with("X-Forwarded-For", "10.0.0.1")}, 403, "forwarded"},
		"forwarded exchange":         {request{method: "POST", path: exchangePath, header: with("X-Forwarded-For", "10.0.0.1")}, 403, "forwarded"},
		"another name":               {request{path: token, host: "evil.example"}, 403, "Host header"},
		"another name, this port":    {request{path: token, host: "evil.example:4711"}, 403, "Host header"},
		"another port":               {request{path: token, host: "127.0.0.1:4712"}, 403, "Host header"},
		"no port":                    {request{path: token, host: "127.0.0.1"}, 403, "Host header"},
		"another name, ping":         {request{path: "/", host: "evil.example"}, 403, "Host header"},
		"another name, exchange":     {request{method: "POST", path: exchangePath, host: "evil.example"}, 403, "Host header"},
		"a suffix of a name":         {request{path: token, host: "metadata.google.internal.evil.example"}, 403, "Host header"},
		"POST":                       {request{path: token, method: "POST"}, 405, "only GET"},
		"PUT":                        {request{path: token, method: "PUT"}, 405, "only GET"},
		"DELETE":                     {request{path: token, method: "DELETE"}, 405, "only GET"},
		"HEAD":                       {request{path: token, method: "HEAD"}, 405, ""},
		"OPTIONS":                    {request{path: token, method: "OPTIONS"}, 405, "only GET"},
		"POST of a ping":             {request{path: "/", method: "POST"}, 405, "only GET"},
		"POST of a subject":          {request{path: subjectPath, method: "POST"}, 405, "only GET"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var logged []Event
			s, m := newServer(t, func(c *Config) { c.Log = func(e Event) { logged = append(logged, e) } })
			got := test.request.to(s)
			if got.Code != test.code || !strings.Contains(got.Body.String(), test.text) {
				t.Errorf("answered %d %q, want %d with %q", got.Code, got.Body, test.code, test.text)
			}
			if got.Code == 405 && got.Header().Get("Allow") != "GET" {
				t.Errorf("Allow is %q", got.Header().Get("Allow"))
			}
			if len(m.asked) > 0 {
				t.Errorf("a token was made: %v", m.asked)
			}
			if len(logged) != 1 || logged[0].Code != test.code || logged[0].Err == nil {
				t.Errorf("the log has %+v", logged)
			}
		})
	}
}

func TestNamesThatAreAnswered(t *testing.T) {
	t.Parallel()
	s, _ := newServer(t, nil)
	for _, host := range []string{"127.0.0.1:4711", "localhost:4711", "LOCALHOST:4711", "[::1]:4711",
		"metadata.google.internal", "Metadata.Google.Internal:80", "169.254.169.254", "169.254.169.254:80"} {
		if got := (request{path: "/", host: host, header: http.Header{}}).to(s); got.Code != 200 {
			t.Errorf("%s: answered %d %s", host, got.Code, got.Body)
		}
	}
}

func TestScopes(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		configured []string
		asked      string
		want       string // "" for a refusal
	}{
		"none":                     {nil, "", cloudPlatform},
		"empty":                    {nil, "?scopes=", cloudPlatform},
		"narrower":                 {nil, "?scopes=" + readOnly, readOnly},
		"two, by comma":            {nil, "?scopes=" + userEmail + "," + readOnly, readOnly + " " + userEmail},
		"two, by blank":            {nil, "?scopes=openid+" + readOnly, readOnly + " openid"},
		"two, by two":              {nil, "?scopes=openid&scopes=" + readOnly, readOnly + " openid"},
		"one of two":               {nil, "?scopes=" + drive + "," + readOnly, readOnly},
		"one twice":                {nil, "?scopes=" + readOnly + "," + readOnly, readOnly},
		"not of Google Cloud":      {nil, "?scopes=" + drive, ""},
		"nor with a name like it":  {nil, "?scopes=https://www.googleapis.com/auth/userinfo.profile", ""},
		"nor at another place":     {nil, "?scopes=https://evil.example/auth/compute", ""},
		"configured beyond it":     {[]string{drive, cloudPlatform}, "?scopes=" + drive, drive},
		"wider than configured":    {[]string{readOnly}, "?scopes=" + cloudPlatform, readOnly},
		"other than configured":    {[]string{readOnly}, "?scopes=" + scopePrefix + "compute", ""},
		"none, of less":            {[]string{readOnly}, "", readOnly},
		"wider beside other, less": {[]string{readOnly}, "?scopes=openid," + cloudPlatform, readOnly},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, m := newServer(t, func(c *Config) { c.Scopes = test.configured })
			got := request{path: "/computeMetadata/v1/instance/service-accounts/default/token" + test.asked}.to(s)
			if test.want == "" {
				if got.Code != 403 || len(m.asked) > 0 {
					t.Errorf("answered %d %s, after %v", got.Code, got.Body, m.asked)
				}
				return
			}
			if diff := cmp.Diff([]string{test.want}, m.asked); got.Code != 200 || diff != "" {
				t.Errorf("answered %d %s (-want +got):\n%s", got.Code, got.Body, diff)
			}
		})
	}
}

// Clients ask for more than these, and must not be refused for it.
func TestScopesThatClientsAskFor(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"cloud-platform", "cloud-platform.read-only", "userinfo.email", "appengine.admin", "sqlservice.login",
		"compute", "accounts.reauth", "devstorage.full_control", "devstorage.read_write", "bigquery", "bigquery.insertdata", "pubsub",
		"logging.write", "monitoring", "trace.append", "datastore", "spanner.data", "bigtable.admin", "cloudkms", "ndev.clouddns.readwrite"} {
		if !isCloudScope(scopePrefix + name) {
			t.Errorf("%s is refused", name)
		}
	}
	for _, name := range []string{"drive", "drive.file", "spreadsheets", "gmail.readonly", "admin.directory.user", "calendar", "cloud-identity.groups", "cloud_search.query", "", "*"} {
		if isCloudScope(scopePrefix + name) {
			t.Errorf("%s is taken for a scope of Google Cloud's", name)
		}
	}
}

// What an answer claims is in whole seconds, at most two minutes, less than is left, and
// never beyond the run.
func TestExpiresIn(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		token, run time.Duration
		want       int // or how it is refused
	}{
		{15 * time.Minute, time.Hour, 120},
		{15 * time.Minute, 0, 120}, // a run without end
		{122 * time.Second, time.Hour, 120},
		{121 * time.Second, time.Hour, 120},
		{120 * time.Second, time.Hour, 119},
		{90*time.Second + 999*time.Millisecond, time.Hour, 89},
		{2 * time.Second, time.Hour, 1},
		{1999 * time.Millisecond, time.Hour, 503},
		{-time.Minute, time.Hour, 503},
		{15 * time.Minute, 30 * time.Second, 30},
		{15 * time.Minute, 3500 * time.Millisecond, 3},
		{15 * time.Minute, 3 * time.Second, 403}, // no client asks again
		{15 * time.Minute, 500 * time.Millisecond, 403},
	} {
		s, m := newServer(t, func(c *Config) {
			c.Expires = now.Add(test.run)
			if test.run == 0 {
				c.Expires = time.Time{}
			}
		})
		m.life = test.token
		got := request{path: "/computeMetadata/v1/instance/service-accounts/default/token"}.to(s)
		if test.want > 120 {
			if got.Code != test.want {
				t.Errorf("token %s, run %s: answered %d %s", test.token, test.run, got.Code, got.Body)
			}
			continue
		}
		var answer struct {
			ExpiresIn int `json:"expires_in"`
		}
		if err := json.Unmarshal(got.Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		if answer.ExpiresIn != test.want || time.Duration(answer.ExpiresIn)*time.Second >= test.token {
			t.Errorf("token %s, run %s: expires_in is %d, want %d", test.token, test.run, answer.ExpiresIn, test.want)
		}
	}
}

func TestTokensAreQuoted(t *testing.T) {
	t.Parallel()
	for _, token := range []string{"ya29.c.b0Aaek-_~+/=", `a"b\c`, "a\nb", "\x7f", "é"} {
		var got string
		if err := json.Unmarshal(appendJSON(nil, token), &got); err != nil || got != token {
			t.Errorf("%q became %q: %v", token, got, err)
		}
	}
}

// What minting ends with comes out in the protocol's shape, without Google's words.
func TestErrors(t *testing.T) {
	t.Parallel()
	const words = "olivia@acme.example may not"
	of := func(kind fault.Kind, code int, status string) error {
		return fault.WithHint(&fault.Error{Kind: kind, Code: code, Status: status, Reason: "SOME_REASON", Message: words,
			RetryAfter: 1500 * time.Millisecond, Err: errors.New(words)}, words)
	}
	for name, test := range map[string]struct {
		err    error
		code   int
		status string
		want   string
	}{
		"denied":          {of(fault.Denied, 403, "PERMISSION_DENIED"), 403, "PERMISSION_DENIED", "the run is not given this token: 403 PERMISSION_DENIED SOME_REASON"},
		"gone":            {of(fault.NotFound, 404, "NOT_FOUND"), 404, "NOT_FOUND", "the run's account is gone: 404 NOT_FOUND SOME_REASON"},
		"policy":          {of(fault.Precondition, 400, "FAILED_PRECONDITION"), 403, "PERMISSION_DENIED", "the run is not given this token: 400 FAILED_PRECONDITION SOME_REASON"},
		"quota":           {of(fault.Throttled, 429, "RESOURCE_EXHAUSTED"), 503, "UNAVAILABLE", "Google makes no more tokens at present: 429 RESOURCE_EXHAUSTED SOME_REASON"},
		"no answer":       {of(fault.Unavailable, 0, ""), 503, "UNAVAILABLE", "Google does not answer at present"},
		"login":           {of(fault.Unauthenticated, 401, "UNAUTHENTICATED"), 503, "UNAVAILABLE", "the login that makes tokens for this run is not accepted at present: 401 UNAUTHENTICATED SOME_REASON"},
		"the client left": {context.Canceled, 503, "UNAVAILABLE", "Google does not answer at present"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var logged []Event
			s, m := newServer(t, func(c *Config) { c.Log = func(e Event) { logged = append(logged, e) } })
			m.err = test.err
			got := request{path: "/computeMetadata/v1/instance/service-accounts/default/token"}.to(s)
			if got.Code != test.code || got.Body.String() != test.want+"\n" {
				t.Errorf("answered %d %q, want %d %q", got.Code, got.Body, test.code, test.want)
			}
			if want := fault.KindOf(test.err) != fault.Other; want != (got.Header().Get("Retry-After") == "2") {
				t.Errorf("Retry-After is %q", got.Header().Get("Retry-After"))
			}
			got = impersonate(s, email, s.exchanged, `{"scope":["`+cloudPlatform+`"]}`)
			want := object{"error": object{"code": float64(test.code), "message": test.want, "status": test.status}}
			if diff := cmp.Diff(want, decode(t, got)); got.Code != test.code || diff != "" {
				t.Errorf("the last step answered %d (-want +got):\n%s", got.Code, diff)
			}
			if len(logged) != 2 || !errors.Is(logged[0].Err, test.err) {
				t.Errorf("the log has %+v", logged)
			}
		})
	}
}

type object = map[string]any

func decode(t *testing.T, w *httptest.ResponseRecorder) object {
	t.Helper()
	var o object
	if err := json.Unmarshal(w.Body.Bytes(), &o); err != nil || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%d %s %q: %v", w.Code, w.Header().Get("Content-Type"), w.Body, err)
	}
	return o
}

// After the end nothing is handed out and nothing is made, on any path; what is no token
// is still answered.
func TestEnd(t *testing.T) {
	t.Parallel()
	const self = "/computeMetadata/v1/instance/service-accounts/default/"
	const help = " UTC, and there are no more tokens: trying again or logging in does not help; " +
		"whoever started the run can start another, with a longer ttl or with: taskiam run --renew"
	for name, tt := range map[string]struct {
		end func(*Server)
		why string
	}{
		"expired":              {func(s *Server) { s.Extend(now) }, "expired at 2026-11-24 12:00:00" + help},
		"expired, and revoked": {func(s *Server) { s.Extend(now); s.Revoke() }, "expired at 2026-11-24 12:00:00" + help},
		"about to":             {func(s *Server) { s.Extend(now.Add(time.Second)) }, "expires at 2026-11-24 12:00:01" + help},
		"revoked":              {(*Server).Revoke, "has ended, and there are no more tokens"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, m := newServer(t, nil)
			tt.end(s)
			why := "run 0123456789abcde " + tt.why
			for _, r := range []request{{path: self + "token"}, {path: self + "token?scopes=" + readOnly}, {path: self + "identity?audience=" + wanted}, {path: subjectPath}} {
				if got := r.to(s); got.Code != 403 || got.Body.String() != why+"\n" || got.Header().Get("Retry-After") != "" {
					t.Errorf("%s: answered %d %q", r.path, got.Code, got.Body)
				}
			}
			if got := trade(s, s.subject); got.Code != 400 || cmp.Diff(object{"error": "invalid_grant", "error_description": why}, decode(t, got)) != "" {
				t.Errorf("exchanging: answered %d %s", got.Code, got.Body)
			}
			if got := impersonate(s, email, s.exchanged, "{}"); got.Code != 403 || !strings.Contains(got.Body.String(), why) {
				t.Errorf("the last step: answered %d %s", got.Code, got.Body)
			}
			if len(m.asked) > 0 {
				t.Errorf("tokens were made: %v", m.asked)
			}
			if got := (request{path: self + "email"}).to(s); got.Code != 200 {
				t.Errorf("the email: answered %d %s", got.Code, got.Body)
			}
		})
	}
	t.Run("extended", func(t *testing.T) {
		t.Parallel()
		s, _ := newServer(t, nil)
		s.Extend(now)
		s.Extend(now.Add(time.Hour))
		if got := (request{path: self + "token"}).to(s); got.Code != 200 {
			t.Errorf("answered %d %s", got.Code, got.Body)
		}
	})
	t.Run("revoked while a token is made", func(t *testing.T) {
		t.Parallel()
		s, m := newServer(t, nil)
		m.during = s.Revoke
		if got := (request{path: self + "token"}).to(s); got.Code != 403 {
			t.Errorf("answered %d %s", got.Code, got.Body)
		}
	})
}

func TestLog(t *testing.T) {
	t.Parallel()
	var logged []Event
	at := now
	s, _ := newServer(t, func(c *Config) {
		c.Log = func(e Event) { logged = append(logged, e) }
		c.Now = func() time.Time { return at }
	})
	get := func(n int, path string) {
		for range n {
			request{path: path}.to(s)
		}
	}
	const self = "/computeMetadata/v1/instance/service-accounts/default/"
	get(1, self+"token?scopes="+readOnly)
	get(1, self+"identity?audience="+wanted)
	get(1, self+"email") // no token
	get(1, "/computeMetadata/v1/instance/id")
	get(1, self+"token?scopes="+drive)
	impersonate(s, email, s.exchanged, `{"scope":["openid"],"lifetime":"60s"}`)
	want := []Event{
		{Time: now, Method: "GET", Path: self + "token", Remote: "192.0.2.1:1234", Scopes: []string{readOnly}, ExpiresIn: 2 * time.Minute},
		{Time: now, Method: "GET", Path: self + "identity", Remote: "192.0.2.1:1234", Audience: wanted, ExpiresIn: 15 * time.Minute},
		{Time: now, Method: "GET", Path: self + "token", Remote: "192.0.2.1:1234", Code: 403, Err: errors.New("the run's tokens do not have the scopes that are asked for")},
		{Time: now, Method: "POST", Path: impersonationPrefix + email + impersonationSuffix, Remote: "192.0.2.1:1234", Scopes: []string{"openid"}, ExpiresIn: time.Minute},
	}
	if diff := cmp.Diff(want, logged, cmp.Comparer(func(a, b error) bool { return fmt.Sprint(a) == fmt.Sprint(b) })); diff != "" {
		t.Errorf("the log (-want +got):\n%s", diff)
	}

	// However often a sandbox asks, the log grows by an event a second and sort.
	logged = nil
	get(10_000, self+"token")
	if got := len(logged); got != logBurst-3 {
		t.Errorf("%d events of 10,000 at once, want %d", got, logBurst-3)
	}
	logged = nil
	get(10_000, self+"token?scopes="+drive)
	if got := len(logged); got != logBurst-1 {
		t.Errorf("%d events of 10,000 refusals at once, want %d", got, logBurst-1)
	}
	logged = nil
	at = at.Add(2500 * time.Millisecond)
	get(10, self+"token")
	if len(logged) != 2 || logged[0].Unlogged != 10_000-(logBurst-3) || logged[1].Unlogged != 0 {
		t.Errorf("after 2.5 s the log has %+v", logged)
	}
	logged = nil
	get(1, "/"+strings.Repeat("x", 1000)+"?"+self)
	request{path: "/" + strings.Repeat("x", 1000), method: strings.Repeat("A", 1000)}.to(s)
	if len(logged) != 1 || len(logged[0].Path) != maxLogged || len(logged[0].Method) != maxLogged {
		t.Errorf("a long path: the log has %+v", logged)
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Config){
		"no run":         func(c *Config) { c.Run = "" },
		"no account":     func(c *Config) { c.Account.Email = "" },
		"no project":     func(c *Config) { c.Account.Project = "" },
		"no number":      func(c *Config) { c.ProjectNumber = "acme" },
		"no hosts":       func(c *Config) { c.Hosts = nil },
		"the empty host": func(c *Config) { c.Hosts = []string{"localhost", ""} },
		"no tokens":      func(c *Config) { c.Tokens = nil },
	} {
		cfg := config(&minter{})
		change(&cfg)
		if s, err := New(cfg); err == nil || s != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A project whose number is not known has one that no project has.
func TestUnknownProjectNumber(t *testing.T) {
	t.Parallel()
	s, _ := newServer(t, func(c *Config) { c.ProjectNumber = "" })
	got := request{path: "/computeMetadata/v1/project/numeric-project-id"}.to(s)
	if b, _ := io.ReadAll(got.Body); string(b) != "0" {
		t.Errorf("answered %q", b)
	}
}
