package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"runtime/metrics"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskiam/taskiam/internal/egress"
	"github.com/taskiam/taskiam/internal/relay"
	"github.com/taskiam/taskiam/internal/secret"
	"github.com/taskiam/taskiam/internal/wait"
)

const (
	egressBytes    = 1 << 30  // what is carried in each direction for the throughput
	egressFlat     = 10 << 30 // what is carried for the memory
	egressRequests = 500      // of 1 KiB each
	openedHost     = "opened.bench.test"
	tunnelHost     = "tunnel.bench.test"
)

// benchEgress prints what the way out of a closed sandbox costs: how fast data passes and how long
// a small request takes, directly, through a tunnel, and through TLS that the proxy opens.
// Clients reach the proxy as in a sandbox: by a port that leads to a socket.
func benchEgress(ctx context.Context, out io.Writer, dir string, rounds int) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var serving sync.WaitGroup
	defer serving.Wait()
	defer cancel()
	w, err := newEgressWorld(ctx, &serving, dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "The way out of a closed sandbox, medians of %d: client, relay, proxy and server are in one "+
		"process.\nIn brackets: the share of what the same client reaches directly, by TLS on loopback.\n\n", rounds)
	fmt.Fprintf(out, "| way | protocol | up, MB/s | down, MB/s | 1 KiB, p50 | more than directly |\n"+
		"|---|---|---:|---:|---:|---:|\n")
	for _, h2 := range []bool{false, true} {
		var direct egressFigures
		for _, way := range []struct{ name, host string }{
			{"direct", ""}, {"tunnel", tunnelHost}, {"opened", openedHost},
		} {
			f, err := w.measure(ctx, way.host, h2, rounds)
			if err != nil {
				return fmt.Errorf("measuring %s: %w", way.name, err)
			}
			if way.host == "" {
				direct = f
			}
			protocol := "HTTP/1.1"
			if h2 {
				protocol = "HTTP/2"
			}
			fmt.Fprintf(out, "| %s | %s | %.0f (%.0f %%) | %.0f (%.0f %%) | %s | %s |\n",
				way.name, protocol, f.up/1e6, 100*f.up/direct.up, f.down/1e6, 100*f.down/direct.down,
				f.small.Round(time.Microsecond), (f.small - direct.small).Round(time.Microsecond))
		}
	}
	before := resident()
	var peak uint64
	for range egressFlat / egressBytes {
		most, err := w.peak(ctx, openedHost)
		if err != nil {
			return err
		}
		peak = max(peak, most)
	}
	fmt.Fprintf(out, "\nMemory that the process has of the system: %.0f MB before 10 GiB through the opened way, "+
		"at most %.0f MB meanwhile.\n", float64(before)/1e6, float64(peak)/1e6)
	return nil
}

// resident is how many bytes the process has of the system.
func resident() uint64 {
	all, free := metrics.Sample{Name: "/memory/classes/total:bytes"}, metrics.Sample{
		Name: "/memory/classes/heap/released:bytes",
	}
	samples := []metrics.Sample{all, free}
	metrics.Read(samples)
	return samples[0].Value.Uint64() - samples[1].Value.Uint64()
}

// egressWorld is a server, and a proxy that leads to it.
type egressWorld struct {
	server  string // its address
	roots   *x509.CertPool
	opened  *x509.CertPool // the proxy's CA
	relayed string         // the address that leads to the proxy
}

// egressFigures are bytes a second, and how long a small request takes.
type egressFigures struct {
	up, down float64
	small    time.Duration
}

func newEgressWorld(ctx context.Context, serving *sync.WaitGroup, dir string) (*egressWorld, error) {
	certificate, roots, err := selfSigned(openedHost, tunnelHost)
	if err != nil {
		return nil, err
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{certificate}, NextProtos: []string{"h2", "http/1.1"},
		MinVersion: tls.VersionTLS12,
	})
	if err != nil {
		return nil, err
	}
	w := &egressWorld{server: listener.Addr().String(), roots: roots, opened: x509.NewCertPool()}
	server := &http.Server{Handler: http.HandlerFunc(answerBytes), ReadHeaderTimeout: 10 * time.Second}
	serving.Go(func() { _ = server.Serve(listener) })
	context.AfterFunc(ctx, func() { _ = server.Close() })
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	proxy, err := egress.New(egress.Config{
		Name: "bench", Placeholder: "a placeholder that nobody uses",
		Token: func(context.Context) (secret.String, error) { return secret.String{}, errors.New("there is none") },
		Hosts: []egress.Host{
			{Name: openedHost, Write: true, Addresses: loopback},
			{Name: tunnelHost, Tunnel: true, Addresses: loopback},
		},
		Resolve: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		},
		Dial: func(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", w.server)
		},
		Roots: roots,
	})
	if err != nil {
		return nil, err
	}
	w.opened.AppendCertsFromPEM(proxy.CA())
	socket := filepath.Join(dir, "proxy.sock")
	inside, err := (&net.ListenConfig{}).Listen(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	port, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, inside.Close())
	}
	w.relayed = port.Addr().String()
	serving.Go(func() { _ = proxy.Serve(ctx, inside) })
	serving.Go(func() {
		_ = relay.Relay(ctx, port, func(ctx context.Context) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		})
	})
	return w, nil
}

// selfSigned returns a certificate for these hosts, and what trusts it.
func selfSigned(hosts ...string) (tls.Certificate, *x509.CertPool, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: hosts, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots, nil
}

// answerBytes answers with as many bytes as the query says, and takes whatever is sent.
func answerBytes(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return
	}
	n, _ := strconv.ParseInt(r.URL.Query().Get("n"), 10, 64)
	_, _ = io.CopyN(w, zeros{}, n)
}

// zeros is read without end.
type zeros struct{}

// Read fills nothing in: what the buffer holds is as good.
func (zeros) Read(b []byte) (int, error) { return len(b), nil }

// client returns a client that reaches host through the proxy, or the server directly for "".
func (w *egressWorld) client(host string, h2 bool) *http.Client {
	protocols := &http.Protocols{}
	protocols.SetHTTP1(!h2)
	protocols.SetHTTP2(h2)
	t := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: w.roots, MinVersion: tls.VersionTLS12},
		Protocols:       protocols, DisableCompression: true,
	}
	switch host {
	case "":
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", w.server)
		}
	default:
		t.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: w.relayed})
	}
	if host == openedHost {
		t.TLSClientConfig.RootCAs = w.opened
	}
	return &http.Client{Transport: t}
}

// ask sends up bytes and receives down bytes.
func ask(ctx context.Context, c *http.Client, host string, up, down int64) error {
	if host == "" {
		host = openedHost
	}
	var body io.Reader = http.NoBody
	if up > 0 {
		body = io.LimitReader(zeros{}, up)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("https://%s/?n=%d", host, down), body)
	if err != nil {
		return err
	}
	if up > 0 {
		r.ContentLength = up
	}
	resp, err := c.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || n != down {
		return fmt.Errorf("%s answered %s, with %d bytes of %d", host, resp.Status, n, down)
	}
	return nil
}

// measure returns the medians of one way.
func (w *egressWorld) measure(ctx context.Context, host string, h2 bool, rounds int) (egressFigures, error) {
	c := w.client(host, h2)
	defer c.CloseIdleConnections()
	if err := ask(ctx, c, host, 0, 1024); err != nil { // connects
		return egressFigures{}, err
	}
	var ups, downs, smalls []time.Duration
	timed := func(into *[]time.Duration, up, down int64) error {
		begun := time.Now()
		err := ask(ctx, c, host, up, down)
		*into = append(*into, time.Since(begun))
		return err
	}
	for range rounds {
		if err := errors.Join(timed(&ups, egressBytes, 0), timed(&downs, 0, egressBytes)); err != nil {
			return egressFigures{}, err
		}
	}
	for range egressRequests {
		if err := timed(&smalls, 0, 1024); err != nil {
			return egressFigures{}, err
		}
	}
	rate := func(took []time.Duration) float64 { return egressBytes / median(took).Seconds() }
	return egressFigures{up: rate(ups), down: rate(downs), small: median(smalls)}, nil
}

// peak carries data both ways at once, and returns the most memory that was seen.
func (w *egressWorld) peak(ctx context.Context, host string) (uint64, error) {
	c := w.client(host, true)
	defer c.CloseIdleConnections()
	var most atomic.Uint64
	watched, stop := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		for wait.For(watched, 20*time.Millisecond) == nil {
			most.Store(max(most.Load(), resident()))
		}
	})
	failed := make(chan error, 2)
	go func() { failed <- ask(ctx, c, host, egressBytes/2, 0) }()
	go func() { failed <- ask(ctx, c, host, 0, egressBytes/2) }()
	err := errors.Join(<-failed, <-failed)
	stop()
	watching.Wait()
	return most.Load(), err
}
