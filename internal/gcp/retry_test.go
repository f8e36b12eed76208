package gcp

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/policy"
)

const unavailable = `{"error":{"code":503,"message":"The service is currently unavailable.","status":"UNAVAILABLE"}}`

// failing answers the first n requests with an error and the others with a role, and
// notes when each came.
func failing(n, code int, body string, header http.Header) (http.Handler, *[]time.Duration) {
	start := time.Now()
	var at []time.Duration
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at = append(at, time.Since(start))
		if len(at) > n {
			respond(w, http.StatusOK, `{"name":"roles/viewer","title":"Viewer"}`)
			return
		}
		for k, v := range header {
			w.Header()[k] = v
		}
		respond(w, code, body)
	}), &at
}

func seconds(ss ...int) []time.Duration {
	out := make([]time.Duration, len(ss))
	for i, s := range ss {
		out[i] = time.Duration(s) * time.Second
	}
	return out
}

func TestSchedule(t *testing.T) {
	tests := []struct {
		name   string
		fails  int // how often, before it goes well
		code   int
		body   string
		header http.Header
		want   []time.Duration // when requests come
		kind   fault.Kind      // of the outcome; Other is success
	}{
		{name: "well at once", want: seconds(0)},
		{name: "well in the end", fails: 3, code: 503, body: unavailable, want: seconds(0, 1, 3, 7)},
		{name: "never well", fails: 99, code: 503, body: unavailable, want: seconds(0, 1, 3, 7, 15, 31, 63, 95), kind: fault.Unavailable},
		{name: "bad gateway in HTML", fails: 1, code: 502, body: "<html>", want: seconds(0, 1)},
		{name: "quota", fails: 2, code: 429, body: `{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}`, want: seconds(0, 1, 3)},
		{name: "quota of a minute", fails: 8, code: 429, body: `{"error":{"code":429}}`, want: seconds(0, 1, 3, 7, 15, 31, 63, 95, 127)},
		{name: "quota that is never free", fails: 99, code: 429, body: `{"error":{"code":429}}`,
			want: seconds(0, 1, 3, 7, 15, 31, 63, 95, 127), kind: fault.Throttled},
		{name: "quota of BigQuery's", fails: 1, code: 403, body: `{"error":{"code":403,"errors":[{"reason":"rateLimitExceeded"}]}}`, want: seconds(0, 1)},
		{name: "told how long", fails: 1, code: 429, header: http.Header{"Retry-After": {"20"}}, want: seconds(0, 21)},
		{name: "told in the body", fails: 1, code: 429,
			body: `{"error":{"code":429,"details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"7s"}]}}`, want: seconds(0, 8)},
		{name: "told to come tomorrow", fails: 1, code: 429,
			body: `{"error":{"code":429,"details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"86401s"}]}}`, want: seconds(0), kind: fault.Throttled},
		{name: "refused", fails: 1, code: 403, want: seconds(0), kind: fault.Denied},
		{name: "not there", fails: 1, code: 404, want: seconds(0), kind: fault.NotFound},
		{name: "stale", fails: 1, code: 409, body: `{"error":{"code":409,"status":"ABORTED"}}`, want: seconds(0), kind: fault.Conflict},
		{name: "not implemented", fails: 1, code: 501, want: seconds(0)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, at := failing(tt.fails, tt.code, tt.body, tt.header)
				_, err := newTestClient(t, inMemory(h)).Role(t.Context(), "roles/viewer")
				if diff := cmp.Diff(tt.want, *at); diff != "" {
					t.Errorf("requests (-want +got):\n%s", diff)
				}
				if wantErr := len(*at) <= tt.fails; (err != nil) != wantErr || fault.KindOf(err) != tt.kind {
					t.Errorf("error %v of kind %v, want one: %v, of kind %v", err, fault.KindOf(err), wantErr, tt.kind)
				}
			})
		})
	}
}

// A write that was refused changed nothing; one that was not answered may have changed
// something, and so may one that was refused after that.
func TestRefused(t *testing.T) {
	t.Parallel()
	dial := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	reset := &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	for _, tt := range []struct {
		name    string
		answers []any // a code or an error each; the last one is given for good
		want    bool
	}{
		{"quota for good", []any{429}, true},
		{"denied", []any{403}, true},
		{"invalid", []any{400}, true},
		{"not answered", []any{503}, false},
		{"cut off", []any{reset, 429}, false},
		{"not answered, then quota", []any{503, 429}, false},
		{"quota, then not answered", []any{429, 503}, false},
		{"quota, then denied", []any{429, 403}, true},
		{"no connection", []any{dial}, true},
		{"no connection after an answer", []any{429, dial}, true},
		{"no connection after none", []any{503, dial}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := 0
				c := newTestClient(t, roundTripper(func(*http.Request) (*http.Response, error) {
					answer := tt.answers[min(n, len(tt.answers)-1)]
					n++
					if err, ok := answer.(error); ok {
						return nil, err
					}
					return &http.Response{StatusCode: answer.(int), Body: io.NopCloser(strings.NewReader("{}"))}, nil
				}))
				_, err := c.CreateAccount(t.Context(), "p", "a", "A", "")
				if got := fault.Refused(err); got != tt.want {
					t.Errorf("refused: %v, want %v, of %v", got, tt.want, err)
				}
			})
		})
	}
}

// Where there is no way to the cloud, all calls end at once with one and the same error. Once
// the cloud has answered, a connection that fails is tried again.
func TestNoWayToTheCloud(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var offline, dials atomic.Int32
		offline.Store(1)
		c := newTestClient(t, roundTripper(func(r *http.Request) (*http.Response, error) {
			if offline.Load() == 0 {
				return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(`{"name":"roles/viewer"}`))}, nil
			}
			dials.Add(1)
			return nil, &net.OpError{Op: "dial", Net: "tcp",
				Err: &net.DNSError{Err: "network is unreachable", Name: r.URL.Host}}
		}))
		begun := time.Now()
		said := map[string]bool{}
		var mu sync.Mutex
		var wg sync.WaitGroup
		for _, call := range []func() error{
			func() error { _, err := c.Role(t.Context(), "roles/viewer"); return err },
			func() error { _, err := c.ReadPolicy(t.Context(), name(t, "gs://acme-reports")); return err },
			func() error { _, err := c.Account(t.Context(), "p", "a"); return err },
		} {
			wg.Go(func() {
				err := call()
				if !fault.Local(err) || len(fault.Hints(err)) == 0 {
					t.Errorf("%v with hints %q is not about this machine", err, fault.Hints(err))
				}
				mu.Lock()
				defer mu.Unlock()
				said[err.Error()] = true
			})
		}
		wg.Wait()
		if took := time.Since(begun); took > 2*time.Second || len(said) != 1 || dials.Load() > 3 {
			t.Errorf("after %s and %d dials: %v", took, dials.Load(), said)
		}
		n := dials.Load()
		if _, err := c.Role(t.Context(), "roles/viewer"); !fault.Local(err) || dials.Load() != n {
			t.Errorf("a moment later: %v, after %d more dials", err, dials.Load()-n)
		}
		time.Sleep(lostFor + time.Second)
		offline.Store(0)
		if _, err := c.Role(t.Context(), "roles/viewer"); err != nil {
			t.Errorf("when the network is back: %v", err)
		}
		offline.Store(1)
		time.AfterFunc(10*time.Second, func() { offline.Store(0) })
		if _, err := c.Role(t.Context(), "roles/viewer"); err != nil {
			t.Errorf("when the network is gone for ten seconds: %v", err)
		}
	})
}

// A change without an etag that meets another change of the same account is made again.
func TestAccountThatIsBusy(t *testing.T) {
	t.Parallel()
	const busy = `{"error":{"code":409,"status":"ABORTED","message":"There were concurrent policy changes."}}`
	for name, change := range map[string]func(ctx context.Context, c *Client) error{
		"disable": func(ctx context.Context, c *Client) error { return c.DisableAccount(ctx, "p", "1") },
		"delete":  func(ctx context.Context, c *Client) error { return c.DeleteAccount(ctx, "p", "1") },
		"key":     func(ctx context.Context, c *Client) error { return c.DeleteKey(ctx, "p", "1", "k") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, at := failing(2, 409, busy, nil)
				err := change(t.Context(), newTestClient(t, inMemory(h)))
				if diff := cmp.Diff(seconds(0, 1, 3), *at); diff != "" || err != nil {
					t.Errorf("%v; requests (-want +got):\n%s", err, diff)
				}
			})
		})
	}
}

// Whoever has a lock must not wait in it.
func TestTriedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, code := range []int{429, 503} {
			h, at := failing(99, code, `{"error":{"message":"not now"}}`, nil)
			c := newTestClient(t, inMemory(h))
			on := name(t, "projects/acme-agents")
			if _, err := c.TryReadPolicy(t.Context(), on); !fault.Is(err, fault.Throttled, fault.Unavailable) {
				t.Errorf("reading answered with %d: %v", code, err)
			}
			doc, err := policy.Decode(on.Type().API.Dialect, []byte(`{"etag":"ACAB"}`))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.TryWritePolicy(t.Context(), on, doc); !fault.Is(err, fault.Throttled, fault.Unavailable) {
				t.Errorf("writing answered with %d: %v", code, err)
			}
			if diff := cmp.Diff(seconds(0, 0), *at); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		}
	})
}

func TestScheduleHasFullJitter(t *testing.T) {
	t.Parallel()
	err := fault.New(fault.Unavailable, "down")
	r := retry{attempts: maxAttempts, jitter: rand.N[time.Duration]}
	seen := map[time.Duration]bool{}
	var low, high int
	for range 1000 {
		wait, again := r.wait(3, time.Second, err)
		if !again || wait < 0 || wait >= 4*time.Second {
			t.Fatalf("third wait is %s, %v; want one below 4s", wait, again)
		}
		seen[wait] = true
		if wait < 2*time.Second {
			low++
		} else {
			high++
		}
	}
	if len(seen) < 990 || low < 400 || high < 400 {
		t.Errorf("%d waits of 1000 differ, %d below and %d above the middle", len(seen), low, high)
	}
}

func TestProgressTellsOfWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := failing(2, 503, unavailable, nil)
		var got []Event
		c := newTestClient(t, inMemory(h), func(cfg *Config) { cfg.Progress = func(e Event) { got = append(got, e) } })
		if _, err := c.Role(t.Context(), "roles/viewer"); err != nil {
			t.Fatal(err)
		}
		for i := range got {
			if !fault.Is(got[i].Err, fault.Unavailable) {
				t.Errorf("event %d has the error %v", i, got[i].Err)
			}
			got[i].Err = nil
		}
		want := []Event{
			{Op: "reading role", Object: "roles/viewer", Attempt: 1, Wait: time.Second},
			{Op: "reading role", Object: "roles/viewer", Attempt: 2, Wait: 2 * time.Second},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

// hanging never answers.
func hanging(req *http.Request) (*http.Response, error) {
	<-req.Context().Done()
	return nil, req.Context().Err()
}

func TestAttemptThatHangsIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, tries := time.Now(), 0
		c := newTestClient(t, roundTripper(func(req *http.Request) (*http.Response, error) {
			if tries++; tries == 1 {
				return hanging(req)
			}
			h, _ := failing(0, 0, "", nil)
			return inMemory(h)(req)
		}))
		if _, err := c.Role(t.Context(), "roles/viewer"); err != nil {
			t.Error(err)
		}
		if got, want := time.Since(start), attemptTimeout+time.Second; got != want {
			t.Errorf("took %s, want %s", got, want)
		}
	})
}

func TestCallerWhoGivesUpIsObeyed(t *testing.T) {
	why := errors.New("the user pressed ^C")
	tests := []struct {
		name string
		ctx  func(context.Context) (context.Context, context.CancelFunc)
		rt   roundTripper
		want error
		took time.Duration
	}{
		{"canceled in a call", cancelAfter(3*time.Second, why), hanging, why, 3 * time.Second},
		{"canceled in a wait", cancelAfter(10*time.Second, why), refusing(503), why, 10 * time.Second},
		{"deadline in a call", timeout(3 * time.Second), hanging, context.DeadlineExceeded, 3 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := tt.ctx(t.Context())
				defer cancel()
				start := time.Now()
				_, err := newTestClient(t, tt.rt).Role(ctx, "roles/viewer")
				if !errors.Is(err, tt.want) {
					t.Errorf("error %v, want %v", err, tt.want)
				}
				if got := time.Since(start); got != tt.took {
					t.Errorf("took %s, want %s", got, tt.took)
				}
			})
		})
	}
}

func TestNoWaitIntoADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		start := time.Now()
		_, err := newTestClient(t, refusing(503)).Role(ctx, "roles/viewer")
		// Tries at 0, 1 and 3 s; the next would be at 7 s.
		if got := time.Since(start); got != 3*time.Second {
			t.Errorf("gave up after %s, want 3s", got)
		}
		if !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "tried 3 times") {
			t.Errorf("error %v, want the last answer after 3 tries", err)
		}
	})
}

func refusing(code int) roundTripper {
	return func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: code, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("{}"))}, nil
	}
}

func cancelAfter(d time.Duration, why error) func(context.Context) (context.Context, context.CancelFunc) {
	return func(ctx context.Context) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancelCause(ctx)
		timer := time.AfterFunc(d, func() { cancel(why) })
		return ctx, func() { timer.Stop(); cancel(nil) }
	}
}

func timeout(d time.Duration) func(context.Context) (context.Context, context.CancelFunc) {
	return func(ctx context.Context) (context.Context, context.CancelFunc) { return context.WithTimeout(ctx, d) }
}
