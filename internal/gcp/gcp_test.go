package gcp

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/taskiam/taskiam/internal/secret"
)

// inMemory carries requests to a handler without a socket, so that tests in virtual
// time can use it.
func inMemory(h http.Handler) roundTripper {
	return func(req *http.Request) (*http.Response, error) {
		in := req.Clone(req.Context())
		if in.Body == nil {
			in.Body = http.NoBody
		}
		in.RequestURI = req.URL.RequestURI()
		in.RemoteAddr = "192.0.2.1:1234"
		if in.Host == "" {
			in.Host = req.URL.Host
		}
		in.URL.Scheme, in.URL.Host = "", ""
		w := httptest.NewRecorder()
		h.ServeHTTP(w, in)
		if err := req.Context().Err(); err != nil {
			return nil, err
		}
		return w.Result(), nil
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// newTestClient returns a client on rt that waits the longest that the schedule
// allows, so that its waits can be told.
func newTestClient(t *testing.T, rt http.RoundTripper, change ...func(*Config)) *Client {
	t.Helper()
	cfg := Config{Transport: rt, Credential: StaticToken(secret.New("operator")), UserAgent: "taskiam/test"}
	for _, f := range change {
		f(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.retry.jitter = func(bound time.Duration) time.Duration { return bound }
	return c
}

func respond(w http.ResponseWriter, code int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, body)
}
