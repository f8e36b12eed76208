package emulator

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

// client reaches the lab as a program would, in memory.
func (l *lab) client() *http.Client { return &http.Client{Transport: l.Transport()} }

// request is one of the lab's with a bearer token.
func request(ctx context.Context, t *testing.T, token, method, url, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

func (l *lab) addFault(f wire.Fault) {
	l.t.Helper()
	if _, err := l.AddFault(f); err != nil {
		l.t.Fatal(err)
	}
}

func TestFaultAnswers(t *testing.T) {
	t.Parallel()
	const bucket = "https://storage.googleapis.com/storage/v1/b/acme-reports"
	for name, tt := range map[string]struct {
		fault          wire.Fault
		url            string
		status, reason string // of either envelope
	}{
		"a conflict":              {wire.Fault{Code: 409}, dataPolicy, "ABORTED", ""},
		"a lost precondition":     {wire.Fault{Code: 412}, bucket, "", "conditionNotMet"},
		"a rate limit":            {wire.Fault{Code: 429}, dataPolicy, "RESOURCE_EXHAUSTED", "RATE_LIMIT_EXCEEDED"},
		"a rate limit of storage": {wire.Fault{Code: 429}, bucket, "", "rateLimitExceeded"},
		"a bad request":           {wire.Fault{Code: 400}, dataPolicy, "INVALID_ARGUMENT", ""},
		"a refusal":               {wire.Fault{Code: 403}, dataPolicy, "PERMISSION_DENIED", ""},
		"a bug":                   {wire.Fault{Code: 500}, dataPolicy, "INTERNAL", ""},
		"an outage":               {wire.Fault{Code: 503}, dataPolicy, "UNAVAILABLE", ""},
		"an outage of storage":    {wire.Fault{Code: 503}, bucket, "", "backendError"},
	} {
		l := newLab(t)
		tt.fault.Do = wire.FaultAnswer
		l.addFault(tt.fault)
		r := l.do(l.operator, "GET", tt.url, "")
		e, _ := r.body["error"].(map[string]any)
		reason := r.reason()
		if all, ok := e["errors"].([]any); ok {
			first, _ := all[0].(map[string]any)
			reason, _ = first["reason"].(string)
		}
		if r.code != tt.fault.Code || r.status() != tt.status || reason != tt.reason || e["code"] != float64(r.code) {
			t.Errorf("%s: %d %s %s: %s", name, r.code, r.status(), reason, r.raw)
		}
		if r.header.Get("Retry-After") != "" {
			t.Errorf("%s: Retry-After was not asked for", name)
		}
	}
	l := newLab(t)
	l.addFault(wire.Fault{Method: "oauth2.*", Do: wire.FaultAnswer, Code: 503, RetryAfter: wire.Delay{Min: 7 * time.Second}})
	r := l.grant("x")
	if r.code != 503 || r.str("error") != "internal_failure" || r.header.Get("Retry-After") != "7" {
		t.Errorf("the token endpoint: %d %v %s", r.code, r.header, r.raw)
	}
	l.addFault(wire.Fault{Method: "storage.objects.get", Do: wire.FaultAnswer, Code: 503, RetryAfter: wire.Delay{Min: time.Second}})
	r = l.do(l.operator, "GET", "https://storage.googleapis.com/acme-reports/2026/01.csv", "")
	if r.code != 503 || !strings.Contains(r.raw, "<Code>ServiceUnavailable</Code>") || r.header.Get("Retry-After") != "1" {
		t.Errorf("the XML API: %d %v %s", r.code, r.header, r.raw)
	}
	if log := l.log.String(); !strings.Contains(log, `"fault":"fault-1"`) {
		t.Errorf("the log does not name the fault: %s", log)
	}
}

// Which of twelve calls a rule applies to.
func TestFaultSelection(t *testing.T) {
	t.Parallel()
	const other = "https://storage.googleapis.com/storage/v1/b/acme-reports"
	for name, tt := range map[string]struct {
		fault wire.Fault
		want  string // x: applied
	}{
		"every call":       {wire.Fault{}, "xxxxxxxxxxxx"},
		"one method":       {wire.Fault{Method: "storage.*"}, ".x.x.x.x.x.x"},
		"a full id":        {wire.Fault{Method: "cloudresourcemanager.projects.get"}, "x.x.x.x.x.x."},
		"a suffix":         {wire.Fault{Method: "*.get"}, "xxxxxxxxxxxx"},
		"no method":        {wire.Fault{Method: "*.set"}, "............"},
		"a resource":       {wire.Fault{Resource: "b/acme-rep"}, ".x.x.x.x.x.x"},
		"the third":        {wire.Fault{Nth: 3}, "..x........."},
		"the third of one": {wire.Fault{Nth: 3, Method: "storage.*"}, ".....x......"},
		"every third":      {wire.Fault{Every: 3}, "..x..x..x..x"},
		"twice":            {wire.Fault{Count: 2}, "xx.........."},
		"every third once": {wire.Fault{Every: 3, Count: 1}, "..x........."},
		"surely":           {wire.Fault{Probability: 1}, "xxxxxxxxxxxx"},
	} {
		l := newLab(t)
		tt.fault.Do, tt.fault.Code = wire.FaultAnswer, 503
		l.addFault(tt.fault)
		got := ""
		for i := range 12 {
			url := dataPolicy
			if i%2 == 1 {
				url = other
			}
			got += map[bool]string{true: "x", false: "."}[l.do(l.operator, "GET", url, "").code == 503]
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
	chance := func(seed uint64) string {
		l := newLab(t)
		l.addFault(wire.Fault{Probability: 0.5, Seed: seed, Do: wire.FaultAnswer, Code: 500})
		got := ""
		for range 40 {
			got += map[bool]string{true: "x", false: "."}[l.do(l.operator, "GET", dataPolicy, "").code == 500]
		}
		return got
	}
	if a := chance(1); a != chance(1) || a == chance(2) || !strings.Contains(a, "x") || !strings.Contains(a, ".") {
		t.Errorf("chance: %s, %s, %s", a, chance(1), chance(2))
	}
}

// A broken connection is an error to the client; whether the call was applied depends
// on when it broke.
func TestFaultReset(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		l := newLab(t)
		l.addFault(wire.Fault{Method: "iam.projects.serviceAccounts.create", Do: wire.FaultReset, After: after})
		answer, err := l.client().Do(request(t.Context(), t, l.operator, "POST", accounts, `{"accountId":"ti-reset"}`))
		if err == nil {
			_ = answer.Body.Close()
		}
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("after %v: %v, want a reset", after, err)
		}
		want := map[bool]int{false: 404, true: 200}[after]
		if got := l.do(l.operator, "GET", accounts+"/ti-reset@acme-agents.iam.gserviceaccount.com", "").code; got != want {
			t.Errorf("after %v: the account is read as %d, want %d", after, got, want)
		}
	}
	// Over a socket, too.
	l := newLab(t)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error)
	go func() { served <- l.Serve(ctx, listener) }()
	l.addFault(wire.Fault{Do: wire.FaultReset, Nth: 1})
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	url := "http://" + listener.Addr().String() + "/v1/projects/acme-agents/serviceAccounts"
	answer, err := transport.RoundTrip(request(t.Context(), t, l.operator, "POST", url, `{}`))
	if err == nil {
		_ = answer.Body.Close()
		t.Error("the connection did not break")
	}
	// A hanging call does not keep the emulator from ending.
	l.addFault(wire.Fault{Do: wire.FaultHang})
	hung := make(chan error)
	go func() {
		answer, err := transport.RoundTrip(request(t.Context(), t, l.operator, "GET", url, ""))
		if err == nil {
			_ = answer.Body.Close()
		}
		hung <- err
	}()
	for l.Faults()[1].Applied == 0 {
		runtime.Gosched()
	}
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
	<-hung
}

func TestFaultHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, func(c *Config) { c.Now = nil })
		l.addFault(wire.Fault{Name: "hang", Method: "cloudresourcemanager.projects.get", Do: wire.FaultHang})
		l.addFault(wire.Fault{Name: "slow", Method: "iam.*", Do: wire.FaultDelay, For: wire.Delay{Min: 3 * time.Second}})
		start := time.Now()

		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := l.Transport().RoundTrip(request(ctx, t, l.operator, "GET", dataPolicy, ""))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 10*time.Second {
			t.Errorf("the client gave up with %v after %v", err, time.Since(start))
		}
		if log := l.log.String(); !strings.Contains(log, `"code":0,"fault":"hang"`) {
			t.Errorf("the log does not have the call: %s", log)
		}

		start = time.Now()
		answer, err := l.Transport().RoundTrip(request(t.Context(), t, l.operator, "GET", accounts, ""))
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if got := time.Since(start); answer.StatusCode != 200 || got != 3*time.Second {
			t.Errorf("the slow call took %v: %d", got, answer.StatusCode)
		}

		codes := make(chan int)
		for range 2 {
			go func() { codes <- l.do(l.operator, "GET", dataPolicy, "").code }()
		}
		synctest.Wait()
		select {
		case <-codes:
			t.Error("a call did not hang")
		default:
		}
		l.Release()
		if a, b := <-codes, <-codes; a != 200 || b != 200 {
			t.Errorf("released calls: %d, %d", a, b)
		}
		go func() { codes <- l.do(l.operator, "GET", dataPolicy, "").code }()
		synctest.Wait()
		if !l.RemoveFault("hang") || l.RemoveFault("hang") {
			t.Error("the rule was not there once")
		}
		if got := <-codes; got != 200 {
			t.Errorf("a call whose rule was removed: %d", got)
		}
	})
}

// A frozen emulator answers nobody, save for the control API, until it is released.
func TestFaultFreeze(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.addFault(wire.Fault{Method: "iam.projects.serviceAccounts.create", Nth: 2, Do: wire.FaultFreeze, After: true})
		l.account("ti-first-x")
		codes := make(chan int)
		go func() { codes <- l.do(l.operator, "POST", accounts, `{"accountId":"ti-second-x"}`).code }()
		synctest.Wait()
		go func() { codes <- l.do(l.operator, "GET", dataPolicy, "").code }()
		synctest.Wait()
		select {
		case <-codes:
			t.Error("a call went through the freeze")
		default:
		}
		if !strings.Contains(l.snapshot(), "ti-second-x") {
			t.Error("the call that froze was not applied")
		}
		l.must(l.ControlToken(), "POST", "http://127.0.0.1/_emulator/release", "")
		if a, b := <-codes, <-codes; a != 200 || b != 200 {
			t.Errorf("released calls: %d, %d", a, b)
		}
		l.must(l.operator, "GET", dataPolicy, "")
	})
}

// The process is killed at the Nth call, before or after it was applied; what was
// applied is in the data file.
func TestFaultKill(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		var killed atomic.Int32
		file := t.TempDir() + "/data.json"
		l := newLab(t, func(c *Config) {
			c.DataFile = file
			c.Kill = func() { killed.Add(1) }
			c.Faults = []wire.Fault{{Method: "*.create", Nth: 2, Do: wire.FaultKill, After: after}}
		})
		l.account("ti-first-x")
		answer, err := l.client().Do(request(t.Context(), t, l.operator, "POST", accounts, `{"accountId":"ti-second-x"}`))
		if err == nil {
			_ = answer.Body.Close()
		}
		if killed.Load() != 1 || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("after %v: killed %d times, %v", after, killed.Load(), err)
		}
		next := newLab(t, func(c *Config) { c.DataFile = file })
		if got := strings.Contains(next.snapshot(), "ti-second-x"); got != after {
			t.Errorf("after %v: the account is there: %v", after, got)
		}
	}
}

// A lossy service takes a conditional binding for an unconditional one.
func TestFaultLossy(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.addFault(wire.Fault{Method: "cloudresourcemanager.*.setIamPolicy", Do: wire.FaultLossy})
	l.addFault(wire.Fault{Method: "storage.buckets.setIamPolicy", Do: wire.FaultLossy})
	l.addFault(wire.Fault{Method: "bigquery.datasets.patch", Do: wire.FaultLossy})
	w := l.getPolicy(3)
	w.Version = 3
	w.Bindings = append(w.Bindings, iam.Binding{Role: "roles/browser", Members: []string{"user:zoe@acme.example"}, Condition: until("2026-04-01T00:00:00Z")})
	if r := l.setPolicy(w); r.code != 200 || strings.Contains(r.raw, "2026-04-01") || !strings.Contains(r.raw, "zoe") {
		t.Errorf("a project: %d %s", r.code, r.raw)
	}
	const iamOfBucket = "https://storage.googleapis.com/storage/v1/b/acme-reports/iam"
	raw, err := json.Marshal(iam.PolicyJSON{Version: 3, Bindings: []iam.Binding{w.Bindings[len(w.Bindings)-1]}})
	if err != nil {
		t.Fatal(err)
	}
	body := strings.ReplaceAll(string(raw), "roles/browser", "roles/storage.objectViewer")
	if r := l.do(l.operator, "PUT", iamOfBucket, body); r.code != 200 || strings.Contains(r.raw, "2026-04-01") || !strings.Contains(r.raw, "zoe") {
		t.Errorf("a bucket: %d %s", r.code, r.raw)
	}
	const dataset = "https://bigquery.googleapis.com/bigquery/v2/projects/acme-data/datasets/sales?accessPolicyVersion=3"
	access := `{"access":[{"role":"OWNER","userByEmail":"olivia@acme.example"},` +
		`{"role":"READER","userByEmail":"zoe@acme.example","condition":{"title":"t","expression":"request.time < timestamp('2026-04-01T00:00:00Z')"}}]}`
	if r := l.do(l.operator, "PATCH", dataset, access); r.code != 200 || strings.Contains(r.raw, "2026-04-01") || !strings.Contains(r.raw, "zoe") {
		t.Errorf("a dataset: %d %s", r.code, r.raw)
	}
}

func TestFaultRefused(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for name, f := range map[string]wire.Fault{
		"nothing":            {},
		"an unknown fault":   {Do: "explode"},
		"an unknown code":    {Do: wire.FaultAnswer, Code: 418},
		"no code":            {Do: wire.FaultAnswer},
		"a broken pattern":   {Do: wire.FaultReset, Method: "["},
		"a negative count":   {Do: wire.FaultReset, Count: -1},
		"more than certain":  {Do: wire.FaultReset, Probability: 1.5},
		"a delay of nothing": {Do: wire.FaultDelay},
		"losing afterwards":  {Do: wire.FaultLossy, After: true},
	} {
		if _, err := l.AddFault(f); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	l.addFault(wire.Fault{Name: "one", Do: wire.FaultReset})
	if _, err := l.AddFault(wire.Fault{Name: "one", Do: wire.FaultReset}); err == nil {
		t.Error("a name was taken twice")
	}
	if _, err := New(Config{Faults: []wire.Fault{{}}}); err == nil {
		t.Error("a configured fault that makes no sense was taken")
	}
	if got := l.Faults(); len(got) != 1 || got[0].Name != "one" {
		t.Errorf("rules are %v", got)
	}
}

// The transport in memory gives what the network gives.
func TestTransport(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	answer, err := l.client().Do(request(t.Context(), t, l.operator, "GET", dataPolicy, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(l.must(l.operator, "GET", dataPolicy, "").raw, string(body)); diff != "" {
		t.Errorf("the bodies differ:\n%s", diff)
	}
	if answer.Status != "200 OK" || answer.ContentLength != int64(len(body)) {
		t.Errorf("the answer is %s of %d bytes", answer.Status, answer.ContentLength)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Transport().RoundTrip(request(ctx, t, l.operator, "GET", dataPolicy, "")); !errors.Is(err, context.Canceled) {
		t.Errorf("a request that was given up: %v", err)
	}
}

// A panic is answered with 500 and logged without what it held; the next call is served.
func TestRecovery(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.wire.Register(wire.Method{ID: "test.panic", Host: "test.googleapis.com", Pattern: "GET /test/panic", Public: true,
		Serve: func(*wire.Call) (any, error) { panic("the token is " + noah) }})
	r := l.do(noah, "GET", "https://test.googleapis.com/test/panic", "")
	l.want(r, 500, "INTERNAL")
	log := l.log.String()
	if !strings.Contains(log, "TestRecovery") || strings.Contains(log, noah) || strings.Contains(r.raw, noah) {
		t.Errorf("the log is %s", log)
	}
	l.must(l.operator, "GET", dataPolicy, "")
}

// breaking panics when it gives up its connection.
type breaking struct{ *httptest.ResponseRecorder }

func (breaking) Hijack() (net.Conn, *bufio.ReadWriter, error) { panic("the token is " + noah) }

// So is a panic of the proxy.
func TestRecoveryOfTheProxy(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	r := httptest.NewRequest(http.MethodConnect, "storage.googleapis.com:443", nil)
	w := httptest.NewRecorder()
	l.Handler().ServeHTTP(breaking{w}, r)
	log := l.log.String()
	if w.Code != 500 || !strings.Contains(log, `"http":"CONNECT `) || !strings.Contains(log, "breaking.Hijack") {
		t.Errorf("code %d, want 500; the log is %s", w.Code, log)
	}
	if strings.Contains(log+w.Body.String(), noah) {
		t.Errorf("a token is in the log or the answer: %s", log)
	}
}
