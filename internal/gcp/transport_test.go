package gcp

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/secret"
)

// capture answers every request with an empty object and keeps it.
func capture(into *[]*http.Request) roundTripper {
	return func(req *http.Request) (*http.Response, error) {
		*into = append(*into, req)
		return inMemory(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { respond(w, 200, "{}") }))(req)
	}
}

type paid struct{ TokenSource }

func (paid) quotaProject() string { return "payer" }

func TestEveryRequestSaysWhoAsksAndWhy(t *testing.T) {
	t.Parallel()
	var got []*http.Request
	c := newTestClient(t, capture(&got), func(cfg *Config) {
		cfg.Reason = "nightly report"
		cfg.UserAgent = "taskiam/1.2.3"
		cfg.Credential = paid{cfg.Credential}
	})
	for _, v := range verbs(t) {
		_ = v.do(t.Context(), c) // some do not like an empty answer
	}
	if len(got) < len(verbs(t)) {
		t.Fatalf("%d requests for %d verbs", len(got), len(verbs(t)))
	}
	for _, req := range got {
		want := map[string]string{
			"User-Agent": "taskiam/1.2.3", "X-Goog-Request-Reason": "nightly report",
			"Authorization": "Bearer operator", "X-Goog-User-Project": "payer",
		}
		if req.URL.Host == "oauth2.googleapis.com" { // is handed a token in its body
			delete(want, "Authorization")
			delete(want, "X-Goog-User-Project")
		}
		for k := range map[string]bool{"User-Agent": true, "X-Goog-Request-Reason": true, "Authorization": true, "X-Goog-User-Project": true} {
			if req.Header.Get(k) != want[k] {
				t.Errorf("%s %s: %s is %q, want %q", req.Method, req.URL, k, req.Header.Get(k), want[k])
			}
		}
		if strings.Contains(req.URL.String(), "operator") {
			t.Errorf("%s %s has the token in its URL", req.Method, req.URL)
		}
	}
}

func TestNoQuotaProjectUnlessTheLoginSaysSo(t *testing.T) {
	t.Parallel()
	var got []*http.Request
	_, _ = newTestClient(t, capture(&got)).Role(t.Context(), "roles/viewer")
	if v, ok := got[0].Header["X-Goog-User-Project"]; ok {
		t.Errorf("X-Goog-User-Project is %q", v)
	}
}

func TestQuotaProject(t *testing.T) {
	t.Parallel()
	tests := []struct{ file, env, want string }{
		{"", "", ""},
		{`{"quota_project_id":"p"}`, "", "p"},
		{`{"quota_project_id":"p"}`, "q", "q"},
		{`{}`, "", ""},
	}
	for _, tt := range tests {
		if got := quotaProject([]byte(tt.file), tt.env); got != tt.want {
			t.Errorf("quotaProject(%q, %q) = %q, want %q", tt.file, tt.env, got, tt.want)
		}
	}
}

func TestTokenGoesToGoogleOnly(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"http://iam.googleapis.com/", "https://example.com/", "https://googleapis.com.example.com/", "https://evilgoogleapis.com/"} {
		var got []*http.Request
		c := newTestClient(t, capture(&got))
		_, err := rest(t.Context(), c.as, http.MethodGet, url, nil, nil)
		if err == nil || len(got) > 0 {
			t.Errorf("%s was asked with a token (error %v)", url, err)
		}
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	tries := 0
	c := newTestClient(t, inMemory(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tries++
		http.Redirect(w, r, "https://storage.googleapis.com/", http.StatusFound)
	})))
	if _, err := c.Role(t.Context(), "roles/viewer"); err == nil || tries != 1 {
		t.Errorf("%d requests, then error %v; want one and an error", tries, err)
	}
}

func TestEmulatorGetsProductionRequests(t *testing.T) {
	t.Parallel()
	var got []*http.Request
	c := newTestClient(t, capture(&got), func(cfg *Config) { cfg.EmulatorHost = "127.0.0.1:8790" })
	for _, v := range verbs(t) {
		_ = v.do(t.Context(), c)
	}
	hosts := map[string]bool{}
	for _, req := range got {
		if req.URL.Scheme != "http" || req.URL.Host != "127.0.0.1:8790" {
			t.Errorf("%s %s does not go to the emulator", req.Method, req.URL)
		}
		hosts[req.Host] = true
	}
	want := map[string]bool{
		"iam.googleapis.com": true, "iamcredentials.googleapis.com": true, "oauth2.googleapis.com": true,
		"orgpolicy.googleapis.com": true, "serviceusage.googleapis.com": true,
		"cloudresourcemanager.googleapis.com": true, "storage.googleapis.com": true, "bigquery.googleapis.com": true, "cloudasset.googleapis.com": true,
	}
	if diff := cmp.Diff(want, hosts); diff != "" {
		t.Errorf("Host headers (-want +got):\n%s", diff)
	}
	if name, endpoint := c.Cloud(); name != "emulator" || endpoint != "127.0.0.1:8790" {
		t.Errorf("Cloud() = %s, %s", name, endpoint)
	}
	if name, endpoint := newTestClient(t, nil).Cloud(); name != "google" || endpoint != "googleapis.com" {
		t.Errorf("Cloud() = %s, %s", name, endpoint)
	}
}

// TestConnectionsStayWarm counts the connections of two rounds of calls side by side:
// the second opens none.
func TestConnectionsStayWarm(t *testing.T) {
	t.Parallel()
	const parallel = 20
	var opened atomic.Int32
	var together sync.WaitGroup // holds every call of a round until all of it is there
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		together.Done()
		together.Wait()
		respond(w, 200, "{}")
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	c := newTestClient(t, nil, func(cfg *Config) { cfg.EmulatorHost = srv.Listener.Addr().String() })
	for round := range 2 {
		together.Add(parallel)
		var calls errgroup.Group
		for range parallel {
			calls.Go(func() error { _, err := c.Role(t.Context(), "roles/viewer"); return err })
		}
		if err := calls.Wait(); err != nil {
			t.Fatal(err)
		}
		if got := opened.Load(); got != parallel {
			t.Errorf("%d connections after round %d of %d calls, want %d", got, round+1, parallel, parallel)
		}
	}
}

func TestRequestIsNotChanged(t *testing.T) {
	t.Parallel()
	var sent []*http.Request
	rt := signed{base: emulated{host: "127.0.0.1:1", base: capture(&sent)}, login: StaticToken(secret.New("s")), agent: "a", reason: "r"}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://iam.googleapis.com/v1/roles", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if len(req.Header) != 0 || req.URL.String() != "https://iam.googleapis.com/v1/roles" || req.Host != "iam.googleapis.com" {
		t.Errorf("the caller's request became %s %s %v", req.Host, req.URL, req.Header)
	}
	if sent[0].Host != "iam.googleapis.com" || sent[0].URL.Host != "127.0.0.1:1" {
		t.Errorf("sent to %s as %s", sent[0].URL.Host, sent[0].Host)
	}
}

func TestAsIsSomebodyElse(t *testing.T) {
	t.Parallel()
	var got []*http.Request
	operator := newTestClient(t, capture(&got), func(cfg *Config) { cfg.OperatorMember = "user:a@example.com" })
	agent := operator.As(StaticToken(secret.New("agent")))
	for _, c := range []*Client{operator, agent, operator} {
		_, _ = c.Role(t.Context(), "roles/viewer")
	}
	var tokens []string
	for _, req := range got {
		tokens = append(tokens, req.Header.Get("Authorization"))
	}
	if diff := cmp.Diff([]string{"Bearer operator", "Bearer agent", "Bearer operator"}, tokens); diff != "" {
		t.Errorf("tokens (-want +got):\n%s", diff)
	}
	if id, err := agent.Whoami(t.Context()); err == nil {
		t.Errorf("the agent is %v; an empty answer names nobody, and the operator's member is not its own", id)
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	for _, cfg := range []Config{{EmulatorHost: "localhost"}, {EmulatorHost: "http://localhost:1"}, {EmulatorHost: "localhost:"}, {Reason: "a\nb"}} {
		if _, err := New(cfg); !fault.Is(err, fault.Usage) {
			t.Errorf("New(%+v): %v, want a usage error", cfg, err)
		}
	}
}

func TestNoLogin(t *testing.T) {
	t.Parallel()
	var got []*http.Request
	c, err := New(Config{Transport: capture(&got)})
	if err != nil {
		t.Fatal(err)
	}
	for _, do := range []func(context.Context) error{
		func(ctx context.Context) error { _, err := c.Role(ctx, "roles/viewer"); return err },
		func(ctx context.Context) error { _, err := c.Whoami(ctx); return err },
	} {
		if err := do(t.Context()); !fault.Is(err, fault.Unauthenticated) || len(got) > 0 {
			t.Errorf("%d requests, error %v; want none, and an unauthenticated one", len(got), err)
		}
	}
}

func TestEmulatorIsReachedWithoutAProxy(t *testing.T) {
	t.Parallel()
	for host, direct := range map[string]bool{"emulator.example:8790": true, "": false} {
		cfg := Config{EmulatorHost: host}
		rt := newTransport(cfg)
		if e, ok := rt.(emulated); ok {
			rt = e.base
		}
		tr, ok := rt.(*http.Transport)
		if !ok {
			t.Fatalf("the transport is a %T", rt)
		}
		if (tr.Proxy == nil) != direct {
			t.Errorf("to %q a proxy is used: %v, want %v", host, tr.Proxy != nil, !direct)
		}
	}
}
