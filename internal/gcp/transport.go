package gcp

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/secret"
)

// Twenty grants mean twenty calls at once; each of them finds a warm connection
// the second time, which saves a round trip (three with TLS).
const idleConnsPerHost = 64

// dialTimeout bounds the making of a connection, its look-up of a name included.
const dialTimeout = 10 * time.Second

// proxyAnswered gives the refusal of an HTTP proxy a kind: without it, it would be a text.
func proxyAnswered(_ context.Context, at *url.URL, _ *http.Request, resp *http.Response) error {
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	err := &fault.Error{
		Kind: fault.Unavailable, Unsent: true, Lasting: resp.StatusCode < http.StatusInternalServerError,
		Message: fmt.Sprintf("the proxy at %s does not connect: it answers %s", at.Host, resp.Status),
	}
	return fault.WithHint(err, "HTTPS_PROXY names this proxy, and NO_PROXY the hosts that need none")
}

// newTransport returns what carries requests to Google, or to the emulator.
func newTransport(cfg Config) http.RoundTripper {
	base := cfg.Transport
	if base == nil {
		base = http.DefaultTransport
		if t, ok := base.(*http.Transport); ok {
			t = t.Clone()
			t.MaxIdleConns = 4 * idleConnsPerHost
			t.MaxIdleConnsPerHost = idleConnsPerHost
			t.DialContext = (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext
			t.OnProxyConnectResponse = proxyAnswered
			if cfg.EmulatorHost != "" {
				t.Proxy = nil // over plain HTTP a proxy would read the token
			}
			base = t
		}
	}
	if cfg.EmulatorHost != "" {
		base = emulated{host: cfg.EmulatorHost, base: base}
	}
	if cfg.Trace != nil {
		base = traced{base: base, tell: cfg.Trace}
	}
	return base
}

// Call is one request and what came of it. It holds no secret: tokens and keys are sent in headers and bodies, and
// what stands after the path may name what a person searches for.
type Call struct {
	Method   string
	Resource string // host and path, as Google knows them
	Status   int    // 0 if there was no answer
	Took     time.Duration
	Attempt  int   // from 1; 0 for a request that is not tried again
	Err      error // why there was no answer
}

// traced tells of every request. It sees none of what signs them.
type traced struct {
	base http.RoundTripper
	tell func(Call)
}

// RoundTrip carries the request out.
func (t traced) RoundTrip(req *http.Request) (*http.Response, error) {
	begun := time.Now()
	resp, err := t.base.RoundTrip(req)
	attempt, _ := req.Context().Value(attemptKey{}).(int)
	c := Call{
		Method: req.Method, Resource: req.URL.Host + req.URL.EscapedPath(), Took: time.Since(begun),
		Attempt: attempt, Err: err,
	}
	if resp != nil {
		c.Status = resp.StatusCode
	}
	t.tell(c)
	return resp, err
}

// attemptKey is the key of a context's value: which attempt a request belongs to.
type attemptKey struct{}

func httpClient(cfg Config, base http.RoundTripper, login TokenSource) *http.Client {
	return &http.Client{
		Transport: signed{base: base, login: login, agent: cfg.UserAgent, reason: cfg.Reason},
		// Google's APIs do not redirect. Following one could take a token elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// signed puts onto every request who asks and why.
type signed struct {
	base          http.RoundTripper
	login         TokenSource // nil: nobody is logged in
	agent, reason string
}

// anonymous marks requests that carry no token.
type anonymous struct{}

func (anonymous) Token(context.Context) (secret.String, error) { return secret.String{}, nil }

// payer is a TokenSource whose principal wants another project to be billed.
type payer interface{ quotaProject() string }

func (s signed) RoundTrip(req *http.Request) (*http.Response, error) {
	// A RoundTripper may not change the request it is given, and closes its body.
	out := req.Clone(req.Context())
	if err := s.sign(out); err != nil {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, err
	}
	return s.base.RoundTrip(out)
}

func (s signed) sign(req *http.Request) error {
	if s.agent != "" {
		req.Header.Set("User-Agent", s.agent)
	}
	if s.reason != "" {
		req.Header.Set("X-Goog-Request-Reason", s.reason)
	}
	token, err := login(req.Context(), s.login)
	if err != nil {
		return err
	}
	if token.IsZero() {
		return nil
	}
	if req.URL.Scheme != "https" || !strings.HasSuffix(req.URL.Hostname(), ".googleapis.com") {
		return fault.New(fault.Other, "refusing to send a token to %s://%s, which is not Google",
			req.URL.Scheme, req.URL.Host)
	}
	req.Header.Set("Authorization", "Bearer "+token.Reveal())
	if p, ok := s.login.(payer); ok && p.quotaProject() != "" {
		req.Header.Set("X-Goog-User-Project", p.quotaProject())
	}
	return nil
}
