package emulator

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"google.golang.org/api/cloudresourcemanager/v3"
	googleiam "google.golang.org/api/iam/v1"
	"google.golang.org/api/option"
)

// serve puts the lab behind a socket and returns its address.
func (l *lab) serve() string {
	l.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(l.t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Serve(ctx, listener) }()
	l.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			l.t.Error(err)
		}
	})
	return listener.Addr().String()
}

// proxied returns a client that knows nothing but the proxy and its CA.
func (l *lab) proxied(addr string, http2 bool) *http.Client {
	l.t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(l.CACertificate()) {
		l.t.Fatal("the CA certificate is not one")
	}
	transport := &http.Transport{
		Proxy:             http.ProxyURL(&url.URL{Scheme: "http", Host: addr}),
		TLSClientConfig:   &tls.Config{RootCAs: roots},
		ForceAttemptHTTP2: http2,
	}
	l.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func TestProxy(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	addr := l.serve()
	for _, http2 := range []bool{false, true} {
		client := l.proxied(addr, http2)
		for range 3 {
			r, err := http.NewRequestWithContext(t.Context(), "GET", "https://cloudresourcemanager.googleapis.com/v3/projects/acme-agents", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+l.operator)
			resp, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			if err := errors.Join(err, resp.Body.Close()); err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != 200 || resp.ContentLength != int64(len(body)) {
				t.Errorf("over the proxy: %s, %d bytes announced: %s", resp.Status, resp.ContentLength, body)
			}
			if want := map[bool]int{false: 1, true: 2}[http2]; resp.ProtoMajor != want {
				t.Errorf("spoke %s, want HTTP/%d", resp.Proto, want)
			}
			if got, want := resp.Header.Get("Date"), epoch.Format(http.TimeFormat); got != want {
				t.Errorf("the date is %s, want that of the emulator's clock, %s", got, want)
			}
		}
		// Another service is another connection, with a certificate of its own.
		resp, err := client.Get("https://storage.googleapis.com/storage/v1/b/acme-reports")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != 401 {
			t.Errorf("without a token: %s", resp.Status)
		}
	}
}

func TestProxyConnectsNowhere(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	addr := l.serve()
	outside, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close()
	go func() {
		if c, err := outside.Accept(); err == nil {
			t.Error("the proxy connected to somebody")
			_ = c.Close()
		}
	}()
	for _, host := range []string{"example.com:443", outside.Addr().String(), "localhost:" + strings.Split(outside.Addr().String(), ":")[1], "metadata.google.internal:80", "googleapis.com.evil.example:443"} {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", host, host); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err := errors.Join(err, resp.Body.Close(), conn.Close()); err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != 403 || !strings.Contains(string(body), host) {
			t.Errorf("CONNECT %s: %s %s", host, resp.Status, body)
		}
	}
	// Nor does a plain proxy request get anywhere.
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: addr})}}
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://example.com/secret")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 403 || !strings.Contains(string(body), "example.com") {
		t.Errorf("GET http://example.com: %s %s", resp.Status, body)
	}
}

// The CA can speak for Google's hosts and for nobody else.
func TestAuthorityIsConfined(t *testing.T) {
	t.Parallel()
	ca, err := newAuthority()
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	for host, want := range map[string]bool{"storage.googleapis.com": true, "accounts.google.com": true, "bank.example": false} {
		leaf, err := ca.leaf(host)
		if err != nil {
			t.Fatal(err)
		}
		_, err = leaf.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host})
		if (err == nil) != want {
			t.Errorf("a certificate for %s verifies: %v", host, err)
		}
	}
	key, err := ca.keyPEM()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parseAuthority(ca.certificatePEM(), key); err != nil {
		t.Errorf("reading back the CA: %v", err)
	}
	other, err := newAuthority()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parseAuthority(other.certificatePEM(), key); err == nil {
		t.Error("a CA with another's key was accepted")
	}
}

// authorized adds a token to each request.
type authorized struct {
	token string
	next  http.RoundTripper
}

func (b authorized) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.next.RoundTrip(r)
}

// Google's own clients work at production URLs, through the proxy alone.
func TestGoogleClients(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	base := l.proxied(l.serve(), true)
	ctx := t.Context()
	client := &http.Client{Transport: authorized{l.operator, base.Transport}}
	iamService, err := googleiam.NewService(ctx, option.WithHTTPClient(client))
	if err != nil {
		t.Fatal(err)
	}
	a, err := iamService.Projects.ServiceAccounts.Create("projects/acme-agents", &googleiam.CreateServiceAccountRequest{AccountId: "ti-client-x"}).Context(ctx).Do()
	if err != nil {
		t.Fatal(err)
	}
	projects, err := cloudresourcemanager.NewService(ctx, option.WithHTTPClient(client))
	if err != nil {
		t.Fatal(err)
	}
	p, err := projects.Projects.GetIamPolicy("projects/acme-data", &cloudresourcemanager.GetIamPolicyRequest{
		Options: &cloudresourcemanager.GetPolicyOptions{RequestedPolicyVersion: 3}}).Context(ctx).Do()
	if err != nil {
		t.Fatal(err)
	}
	p.Version = 3
	p.Bindings = append(p.Bindings, &cloudresourcemanager.Binding{Role: "roles/browser", Members: []string{"serviceAccount:" + a.Email},
		Condition: &cloudresourcemanager.Expr{Title: "ends", Expression: `request.time < timestamp("2026-03-03T12:00:00Z")`}})
	if _, err := projects.Projects.SetIamPolicy("projects/acme-data", &cloudresourcemanager.SetIamPolicyRequest{Policy: p}).Context(ctx).Do(); err != nil {
		t.Fatal(err)
	}
	token := l.mint(a.Email)
	l.must(token, "GET", dataPolicy, "")
	l.Advance(59*time.Minute + 59*time.Second)
	l.must(token, "GET", dataPolicy, "")
	fresh := func() int { return l.do(l.mint(a.Email), "GET", dataPolicy, "").code }
	l.Advance(time.Second)
	if got := fresh(); got != 403 {
		t.Errorf("after the condition's end: %d", got)
	}
}
