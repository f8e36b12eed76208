package egress_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskiam/taskiam/internal/egress"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/secret"
)

const (
	placeholder = "ya29.taskiam-placeholder-0123456789"
	realToken   = "ya29.the-real-token-of-the-run-0123456789"
	modelKey    = "sk-the-real-key-of-the-operator-0123456789"
	modelHolder = "sk-taskiam-placeholder-0123456789"
)

// world is the internet: one server that answers for every host, and notes what arrives.
type world struct {
	t      *testing.T
	server *httptest.Server
	roots  *x509.CertPool
	// answer answers a request; nil answers 200 with what arrived.
	answer http.HandlerFunc
	addrs  map[string][]netip.Addr

	mu      sync.Mutex
	arrived []arrival
	events  []egress.Event
}

// arrival is a request that left the sandbox.
type arrival struct {
	Method, Host, URI, Body string
	Header                  http.Header
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, roots: x509.NewCertPool(), addrs: map[string][]netip.Addr{}}
	w.server = httptest.NewUnstartedServer(http.HandlerFunc(w.serve))
	w.server.TLS = &tls.Config{GetCertificate: w.authority()}
	w.server.EnableHTTP2 = true
	w.server.StartTLS()
	t.Cleanup(w.server.Close)
	return w
}

// authority returns what certifies every host.
func (w *world) authority() func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(w.t, err)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "the world's CA"}, IsCA: true,
		BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key)
	must(w.t, err)
	ca, err = x509.ParseCertificate(der)
	must(w.t, err)
	w.roots.AddCert(ca)
	return func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		leaf := &x509.Certificate{
			SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: []string{hello.ServerName},
			NotAfter: time.Now().Add(time.Hour),
		}
		der, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), key)
		return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
	}
}

func (w *world) serve(rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	a := arrival{r.Method, r.Host, r.RequestURI, string(body), r.Header.Clone()}
	w.mu.Lock()
	w.arrived = append(w.arrived, a)
	answer := w.answer
	w.mu.Unlock()
	if answer != nil {
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		answer(rw, r)
		return
	}
	fmt.Fprintf(rw, "%s %s%s", r.Method, r.Host, r.RequestURI)
}

// took returns what has arrived since the last call.
func (w *world) took() []arrival {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.arrived
	w.arrived = nil
	return out
}

func (w *world) dial(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "tcp", w.server.Listener.Addr().String())
}

func (w *world) resolve(_ context.Context, host string) ([]netip.Addr, error) {
	if addrs := w.addrs[host]; addrs != nil {
		return addrs, nil
	}
	return []netip.Addr{netip.MustParseAddr("8.8.8.8")}, nil
}

// config is that of a run with a few grants.
func (w *world) config(hosts ...egress.Host) egress.Config {
	var names []resource.Name
	for _, text := range []string{
		"gs://granted", "bq://acme-data.reports", "projects/acme-jobs", "projects/acme-data/topics/events",
		"projects/acme-data/secrets/db", "projects/acme-data/locations/eu/keyRings/r/cryptoKeys/k",
		"projects/acme-data/serviceAccounts/bot@acme-data.iam.gserviceaccount.com",
	} {
		name, _, err := resource.Parse(text)
		must(w.t, err)
		names = append(names, name)
	}
	return egress.Config{
		Name: "test", Resources: names, Placeholder: placeholder, Hosts: hosts,
		Token:   func(context.Context) (secret.String, error) { return secret.New(realToken), nil },
		Resolve: w.resolve, Dial: w.dial, Roots: w.roots,
		Log: func(e egress.Event) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, e)
		},
	}
}

// way is a proxy at work.
type way struct {
	*world
	proxy *egress.Proxy
	at    string // the address of its listener
	trust *x509.CertPool
}

func (w *world) proxy(hosts ...egress.Host) *way { return w.proxyOf(w.config(hosts...)) }

func (w *world) proxyOf(c egress.Config) *way {
	w.t.Helper()
	p, err := egress.New(c)
	must(w.t, err)
	l, err := net.Listen("unix", filepath.Join(w.t.TempDir(), "proxy.sock"))
	must(w.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error)
	go func() { served <- p.Serve(ctx, l) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			w.t.Errorf("the proxy ended with %v", err)
		}
	})
	trust := x509.NewCertPool()
	if !trust.AppendCertsFromPEM(p.CA()) {
		w.t.Fatal("the proxy's CA is no certificate")
	}
	return &way{w, p, l.Addr().String(), trust}
}

func (w *way) conn() net.Conn {
	w.t.Helper()
	c, err := net.Dial("unix", w.at)
	must(w.t, err)
	w.t.Cleanup(func() { _ = c.Close() })
	must(w.t, c.SetDeadline(time.Now().Add(20*time.Second)))
	return c
}

// connect sends a CONNECT and returns the first line of the answer.
func (w *way) connect(authority string) (*bufferedConn, string) {
	w.t.Helper()
	c := w.conn()
	fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", authority, authority)
	b := bufio.NewReader(c)
	line, err := b.ReadString('\n')
	must(w.t, err)
	if strings.Contains(line, " 200 ") {
		_, err = b.ReadString('\n') // the empty line
		must(w.t, err)
	}
	return &bufferedConn{c, b}, strings.TrimSpace(line)
}

type bufferedConn struct {
	net.Conn
	r *bufio.Reader
}

func (c *bufferedConn) Read(b []byte) (int, error) { return c.r.Read(b) }

// client is one that goes through the proxy, by HTTP/2 or HTTP/1.1.
func (w *way) client(h2 bool) *http.Client {
	tr := &http.Transport{
		Proxy:              http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy.invalid:1"}),
		DialContext:        func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", w.at) },
		TLSClientConfig:    &tls.Config{RootCAs: w.trust},
		ForceAttemptHTTP2:  h2,
		DisableCompression: true,
	}
	if !h2 {
		tr.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	w.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{
		Transport: tr, Timeout: 20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// ask sends a request with fields NAME: VALUE; one without a login has none.
func (w *way) ask(method, at, body string, fields ...string) (status int, text string, header http.Header) {
	w.t.Helper()
	var from io.Reader
	if body != "" {
		from = strings.NewReader(body)
	}
	r, err := http.NewRequest(method, at, from)
	must(w.t, err)
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		r.Header[http.CanonicalHeaderKey(name)] = append(r.Header[http.CanonicalHeaderKey(name)], value)
	}
	resp, err := w.client(false).Do(r)
	if err != nil {
		return 0, err.Error(), nil
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error(), resp.Header
	}
	return resp.StatusCode, string(b), resp.Header
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const login = "Authorization: Bearer " + placeholder

func TestTheTokenIsPutInPlaceOfThePlaceholder(t *testing.T) {
	t.Parallel()
	w := newWorld(t).proxy()
	for _, h2 := range []bool{false, true} {
		r, err := http.NewRequest("GET", "https://storage.googleapis.com/storage/v1/b/granted/o/a%2Fb?alt=media", nil)
		must(t, err)
		r.Header.Set("Authorization", "Bearer "+placeholder)
		r.Header.Set("X-Unknown", "x")
		resp, err := w.client(h2).Do(r)
		must(t, err)
		b, err := io.ReadAll(resp.Body)
		must(t, err)
		must(t, resp.Body.Close())
		if resp.StatusCode != 200 || (resp.ProtoMajor == 2) != h2 {
			t.Errorf("%s %d: %s", resp.Proto, resp.StatusCode, b)
		}
		got := w.took()
		if len(got) != 1 || got[0].Header.Get("Authorization") != "Bearer "+realToken ||
			got[0].URI != "/storage/v1/b/granted/o/a%2Fb?alt=media" || got[0].Host != "storage.googleapis.com" {
			t.Errorf("what arrived: %+v", got)
		}
		if len(got) == 1 && got[0].Header.Get("X-Unknown") != "" {
			t.Error("a field that is not known was passed on")
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.events[len(w.events)-1]
	if e.Host != "storage.googleapis.com" || e.Status != 200 || e.Received == 0 || !slices.Equal(e.Names, []string{"gs://granted"}) {
		t.Errorf("the log: %+v", e)
	}
}
