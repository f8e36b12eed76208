package gcp

import (
	"errors"
	"net/http"
	"testing"

	"github.com/taskiam/taskiam/internal/fault"
)

// An exchange is the request as it is told, once, and the answer as it came.
func TestExchange(t *testing.T) {
	t.Parallel()
	asked := 0
	c := newTestClient(t, inMemory(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if got := r.Method + " " + r.URL.Path + " " + r.Header.Get("Content-Type"); got != "PUT /v1/x text/plain" {
			t.Errorf("asked %s", got)
		}
		w.Header().Set("Seen", r.Header.Get("Authorization"))
		respond(w, 503, `{"error":{"code":503}}`)
	})))
	const url = "https://iam.googleapis.com/v1/x"
	header := http.Header{"Content-Type": {"text/plain"}}
	for _, tt := range []struct {
		as   *Client
		seen string
	}{{c, "Bearer operator"}, {c.As(Anybody()), ""}} {
		got, err := tt.as.Exchange(t.Context(), "PUT", url, header, []byte("b"))
		if err != nil || got.Status != 503 || string(got.Body) != `{"error":{"code":503}}` || got.Header.Get("Seen") != tt.seen {
			t.Errorf("%d %s, as %q: %v", got.Status, got.Body, got.Header.Get("Seen"), err)
		}
	}
	if asked != 2 {
		t.Errorf("asked %d times, want 2", asked)
	}
	down := newTestClient(t, roundTripper(func(*http.Request) (*http.Response, error) { return nil, errors.New("no network") }))
	if _, err := down.Exchange(t.Context(), "PUT", url, header, nil); !fault.Is(err, fault.Unavailable) {
		t.Errorf("without an answer: %v", err)
	}
}
