package egress

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httputil"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/secret"
)

const (
	fuzzHolder = "ya29.taskiam-placeholder"
	fuzzToken  = "ya29.the-real-one"
)

// judge is a proxy that judges and sends nothing.
func judge(t testing.TB) *Proxy {
	var names []resource.Name
	for _, text := range []string{
		"gs://granted", "bq://granted.reports", "projects/granted", "projects/granted/topics/events",
	} {
		name, _, err := resource.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	hosts, err := hostTable([]Host{{Name: "docs.example"}, {
		Name: "model.example", Header: "x-api-key", Value: secret.New(fuzzToken), Placeholder: fuzzHolder,
	}})
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{reach: newReach(names), hosts: hosts, reading: make(chan struct{}, 1), cfg: Config{
		Placeholder: fuzzHolder,
		Token:       func(context.Context) (secret.String, error) { return secret.New(fuzzToken), nil },
	}}
	p.sessions.open = map[string]*session{}
	return p
}

// leaves returns the request as it leaves; nil if it is refused.
func (p *Proxy) leaves(host string, r *http.Request) (*http.Request, *pass) {
	t, why := p.targetOf(host, 443)
	if why == nil {
		why = wellFormed(t, r)
	}
	if why != nil {
		return nil, nil
	}
	how := (*pass)(nil)
	if t.rule == nil {
		how, why = p.judgeGoogle(t, r)
	} else {
		how, why = p.judgeHost(t, r)
	}
	if why != nil {
		return nil, how
	}
	out := r.Clone(context.Background())
	how.rewrite(&httputil.ProxyRequest{In: r, Out: out}, t)
	return out, how
}

// Whatever arrives in a connection, what leaves goes to its host, with the run's identity or none.
func FuzzRequest(f *testing.F) {
	const rest = " HTTP/1.1\r\nHost: storage.googleapis.com\r\nAuthorization: Bearer " + fuzzHolder + "\r\n"
	for _, seed := range []string{
		"GET /granted/x" + rest + "\r\n", "GET /granted/x?key=AIza" + rest + "\r\n",
		"GET /granted/x" + rest + "Cookie: a\r\n\r\n", "GET /granted/x" + rest + "X-Goog-Api-Key: a\r\n\r\n",
		"GET /granted/x" + rest + "Authorization: Basic x\r\n\r\n", "GET https://x.example/granted/x" + rest + "\r\n",
		"PUT /granted/x" + rest + "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Goog-Api-Key: a\r\n\r\n",
		"GET /granted/x" + rest + "Connection: Authorization, X-Goog-Api-Key\r\n\r\n",
		"GET /page HTTP/1.1\r\nHost: docs.example\r\n\r\n", "POST /v1 HTTP/1.1\r\nHost: model.example\r\nX-Api-Key: thief\r\n\r\n",
		"GET /oauth2/v3/certs HTTP/1.1\r\nHost: www.googleapis.com\r\nAuthorization: Bearer x\r\n\r\n",
	} {
		for _, host := range []string{"storage.googleapis.com", "docs.example", "model.example", "www.googleapis.com"} {
			f.Add(host, []byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, host string, raw []byte) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			return
		}
		out, _ := judge(t).leaves(host, r)
		if out == nil {
			return
		}
		if out.URL.Host != host || out.Host != host || out.URL.Scheme != "https" {
			t.Errorf("from a connection to %s it goes to %s, %s", host, out.URL.Host, out.Host)
		}
		for name, values := range out.Header {
			switch joined := strings.Join(values, ","); {
			case name == "Authorization" && joined == "Bearer "+fuzzToken && isGoogle(host):
			case name == "X-Api-Key" && joined == fuzzToken && host == "model.example":
			case carriesLogin(name) && !strings.HasPrefix(name, "X-Goog-Meta-") && !harmlessFields[name]:
				t.Errorf("to %s goes %s: %q", host, name, values)
			case strings.Contains(joined, fuzzToken) && !strings.Contains(string(raw), fuzzToken):
				t.Errorf("to %s goes the credential in %s", host, name)
			}
		}
		if host == "docs.example" && r.Method != "GET" && r.Method != "HEAD" && !strings.HasSuffix(r.URL.Path, "/git-upload-pack") {
			t.Errorf("%s leaves for a host that is read from", r.Method)
		}
	})
}

// fuzzHosts are the services with a reader.
var fuzzHosts = []string{
	storageHost, "www.googleapis.com", bigqueryHost, pubsub.host, secretManager.host, kms.host, resourceManager.host,
	serviceUsage.host, accounts.host,
}

// A request that passes names what was granted: with the thief's name in its place it does not pass.
func FuzzReaders(f *testing.F) {
	for i, seed := range []struct{ method, target, body string }{
		{"GET", "/storage/v1/b/granted/o/x", ""}, {"PUT", "/granted/x", "x"}, {"GET", "/granted/", ""},
		{"POST", "/upload/storage/v1/b/granted/o?uploadType=media", "x"}, {"GET", "/storage/v1/b?project=granted", ""},
		{"POST", "/storage/v1/b/granted/o/a/rewriteTo/b/granted/o/b", "{}"},
		{"POST", "/storage/v1/b/granted/notificationConfigs", `{"topic":"//pubsub.googleapis.com/projects/granted/topics/t"}`},
		{"POST", "/bigquery/v2/projects/granted/datasets/d/tables/t/insertAll", "{}"},
		{"POST", "/bigquery/v2/projects/granted/jobs", `{"configuration":{"copy":{"destinationTable":{"projectId":"granted","datasetId":"d"}}}}`},
		{"POST", "/bigquery/v2/projects/granted/queries", `{"useLegacySql":false,"query":"SELECT * FROM granted.d.t"}`},
		{"POST", "/v1/projects/granted/topics/t:publish", "{}"}, {"GET", "/v1/projects/granted/secrets/s/versions/1:access", ""},
		{"PUT", "/v1/projects/granted/subscriptions/s", `{"topic":"projects/granted/topics/t"}`}, {"GET", "/v3/projects/granted", ""},
		{"GET", "/v1/projects/-/serviceAccounts/a@granted.iam.gserviceaccount.com", ""},
	} {
		for at := range fuzzHosts {
			f.Add(at+i%2*len(fuzzHosts), seed.method, seed.target, seed.body)
		}
	}
	f.Fuzz(func(t *testing.T, at int, method, target, body string) {
		if at < 0 {
			return
		}
		host := fuzzHosts[at%len(fuzzHosts)]
		passes := func(target, body string) (bool, []named) {
			raw := method + " " + target + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n"
			r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
			if err != nil {
				return false, nil
			}
			r.Header.Set("Authorization", "Bearer "+fuzzHolder)
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
			if body == "" {
				r.Body = http.NoBody
			}
			p := judge(t)
			out, how := p.leaves(host, r)
			if out == nil {
				return false, nil
			}
			for _, n := range how.names {
				if !p.reach.has(n) {
					t.Errorf("%s %s%s %s names %s and passes", method, host, target, body, n)
				}
			}
			return true, how.names
		}
		ok, names := passes(target, body)
		if !ok || len(names) == 0 {
			return
		}
		theirs := strings.NewReplacer("granted", "thieves")
		if ok, _ := passes(theirs.Replace(target), theirs.Replace(body)); ok && strings.Contains(target+body, "granted") {
			t.Errorf("%s %s%s %s passes as the thief's too", method, host, target, body)
		}
	})
}

// What follows a query that was read is read too: no text and no comment hides it.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{
		"SELECT 1", "SELECT 'a\\'b'", "SELECT r'a\\'b'", "SELECT \"\"\"a\"b\"\"\"", "SELECT 1 -- c", "SELECT 1 # c", "SELECT /* ' */ 1",
		"SELECT `a.b.c`", "SELECT * FROM a-b.c.d", "WITH x AS (SELECT 1) SELECT * FROM x", "SELECT '''a\n'''", "SELECT b'\\x00'",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		if _, why := tablesIn(query); why != nil {
			return
		}
		names, why := tablesIn(query + "\n; SELECT * FROM `thief`.d.t")
		if why != nil {
			return
		}
		if last := names[len(names)-1]; last.name != "projects/thief/datasets/d" {
			t.Errorf("%q hides what follows it: %v", query, names)
		}
	})
}

// A credential does not come back in whatever parts, and everything else does, unchanged.
func FuzzScanner(f *testing.F) {
	f.Add("abcabcd", "abcd", 1)
	f.Add("xabcabcabd", "abcabd", 3)
	f.Add("ababab", "abc", 2)
	f.Fuzz(func(t *testing.T, text, needle string, size int) {
		if needle == "" || size < 1 || size > 100 {
			return
		}
		s := &scanner{from: io.NopCloser(&parts{text, size}), needles: [][]byte{[]byte(needle)}}
		got, err := io.ReadAll(iotest.OneByteReader(s))
		if has := strings.Contains(text, needle); has != errors.Is(err, errComesBack) || !has && string(got) != text ||
			strings.Contains(string(got), needle) {
			t.Errorf("%q, looking for %q in parts of %d: %q %v", text, needle, size, got, err)
		}
	})
}

// parts returns a text in parts of a size.
type parts struct {
	text string
	size int
}

func (p *parts) Read(b []byte) (int, error) {
	n := copy(b[:min(len(b), p.size)], p.text)
	p.text = p.text[n:]
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}
