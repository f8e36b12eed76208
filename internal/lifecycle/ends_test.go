package lifecycle_test

import (
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/gcp"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/secret"
)

// use is what the task byKey is granted, each grant in its order tried by what it is for.
var uses = []struct{ method, url, body string }{
	{http.MethodGet, "https://storage.googleapis.com/storage/v1/b/acme-reports/o/2026%2F01.csv?alt=media", ""},
	{http.MethodGet, "https://secretmanager.googleapis.com/v1/projects/acme-agents/secrets/api-key/versions/latest:access", ""},
	{http.MethodPost, "https://pubsub.googleapis.com/v1/projects/acme-agents/topics/reports:publish", `{"messages":[{"data":"aGk="}]}`},
	{http.MethodGet, "https://bigquery.googleapis.com/bigquery/v2/projects/acme-data/datasets/sales/tables/orders/data", ""},
}

// try has the bearer of a token use each of the grants, and returns Google's codes.
func (w *world) try(bearer secret.String) []int {
	w.t.Helper()
	codes := make([]int, len(uses))
	for i, u := range uses {
		req, err := http.NewRequestWithContext(w.t.Context(), u.method, u.url, strings.NewReader(u.body))
		if err != nil {
			w.t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+bearer.Reveal())
		resp, err := w.wire.RoundTrip(req)
		if err != nil {
			w.t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		codes[i] = resp.StatusCode
	}
	return codes
}

// With taskiam gone for good, and everything that it knew, a run ends by itself: what is
// time-boxed at its end, and what is not when the last token ends that could be had.
func TestEndsByItself(t *testing.T) {
	t.Parallel()
	for name, source := range map[string]string{"key": byKey, "token": byToken} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				result, plan := w.up(source)
				copied := w.safe.get(result.Dir) // by a thief
				for _, dir := range []string{w.state, result.Dir} {
					if err := os.RemoveAll(dir); err != nil {
						t.Fatal(err)
					}
				}
				w.state = t.TempDir()

				thief, err := gcp.New(gcp.Config{Transport: w.wire, EmulatorHost: "emulator.test:80", UserAgent: "thief"})
				if err != nil {
					t.Fatal(err)
				}
				operator := w.engine().Cloud
				// another is a further token: from the copied key, or by the operator, as
				// whatever renews the token would ask for it.
				another := func() (grants.Token, error) {
					if !copied.Key.IsZero() {
						return thief.KeyToken(t.Context(), copied.Key)
					}
					return operator.AccessToken(t.Context(), plan.Email, grants.TokenLifetime)
				}
				var signed func() []int // what a JWT that the key itself signed is good for
				if !copied.Key.IsZero() {
					login, err := gcp.KeySource(copied.Key)
					if err != nil {
						t.Fatal(err)
					}
					signed = func() []int {
						jwt, err := login.Token(t.Context())
						if err != nil {
							t.Fatal(err)
						}
						return w.try(jwt)
					}
				}
				expect := func(when string, got []int, want ...int) {
					t.Helper()
					if len(want) == 1 {
						want = []int{want[0], want[0], want[0], want[0]}
					}
					for i := range uses {
						if got[i] != want[i] {
							t.Errorf("%s: %s is answered with %d, want %d", when, uses[i].url, got[i], want[i])
						}
					}
				}

				time.Sleep(time.Until(plan.Expires.Add(-time.Second)))
				last, err := another()
				if err != nil {
					t.Fatalf("a second before the end: %v", err)
				}
				expect("a second before the end", w.try(last.Value), 200)
				if signed != nil {
					expect("a second before the end, by the key", signed(), 200)
				}

				time.Sleep(time.Second)
				expect("at the end", w.try(last.Value), 403, 403, 200, 403)
				if signed != nil {
					expect("at the end, by the key", signed(), 401)
				}
				if _, err := another(); !fault.Is(err, fault.Denied, fault.Unauthenticated) {
					t.Errorf("at the end another token is had: %v", err)
				}

				time.Sleep(time.Until(plan.WorksUntil(plan.Task.Grants[2]).Add(-2 * time.Second)))
				expect("an hour later", w.try(last.Value), 403, 403, 200, 403)
				time.Sleep(2 * time.Second)
				expect("and after it", w.try(last.Value), 401)
				if _, err := another(); !fault.Is(err, fault.Denied, fault.Unauthenticated) {
					t.Errorf("after that another token is had: %v", err)
				}
			})
		})
	}
}
