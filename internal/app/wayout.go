package app

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"

	"github.com/taskiam/taskiam/internal/egress"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/supervise"
)

// WayOut returns the proxy for runs of a task, and has the engine deliver for it.
func (a *App) WayOut(engine *lifecycle.Engine, task grants.Task) (*supervise.WayOut, error) {
	d, ok := engine.Credentials.(deliverer)
	if !ok {
		return nil, fault.New(fault.Other, "[unexpected] the credentials are %T", engine.Credentials)
	}
	roots, file, err := a.roots()
	if err != nil {
		return nil, err
	}
	cfg, err := reachOf(task)
	if err != nil {
		return nil, err
	}
	cfg.Name, cfg.Now = task.Name, a.Now
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(roots) {
		return nil, fault.New(fault.Usage, "%s has no certificate of an authority", file)
	}
	cfg.Roots = pool
	if d.emulatorHost != "" {
		ca, err := d.ca()
		if err != nil {
			return nil, err
		}
		pool.AppendCertsFromPEM([]byte(ca)) // it is good for Google's hosts alone
		cfg.Google = func(ctx context.Context, host string) (net.Conn, error) {
			return connectThrough(ctx, d.emulatorHost, host)
		}
	}
	d.roots = string(roots)
	if d.wayOut, err = supervise.NewWayOut(cfg); err != nil {
		return nil, err
	}
	engine.Credentials = d
	return d.wayOut, nil
}

// reachOf returns what a task may reach: what it was granted, and what its manifest adds to that.
func reachOf(task grants.Task) (egress.Config, error) {
	var cfg egress.Config
	for _, g := range task.Grants {
		cfg.Resources = append(cfg.Resources, g.Resource)
	}
	n := task.Network
	if n == nil {
		return cfg, nil
	}
	cfg.Resources = append(cfg.Resources, n.Resources...)
	cfg.MaxUpload = n.MaxUpload
	for _, h := range n.Hosts {
		if h.Injects() {
			return cfg, fault.New(fault.Usage, "the manifest adds a credential to what goes to %s, and this version "+
				"cannot read %s yet", h.Name, h.From)
		}
		cfg.Hosts = append(cfg.Hosts, egress.Host{
			Name: h.Name, Port: h.Port, Write: h.Write, Tunnel: h.Tunnel, Addresses: h.Addresses,
			MaxUpload: h.MaxUpload,
		})
	}
	return cfg, nil
}

// connectThrough connects to a host through an emulator, which answers for it with TLS.
func connectThrough(ctx context.Context, proxy, host string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", proxy)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	_, err = fmt.Fprintf(conn, "CONNECT %s:443 HTTP/1.1\r\nHost: %s:443\r\n\r\n", host, host)
	if err == nil {
		var resp *http.Response
		// The server says nothing more before it is greeted: no byte of TLS is read here.
		resp, err = http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodConnect})
		if err == nil && resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("the emulator does not connect to %s: %s", host, resp.Status)
		}
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// rootFiles are where machines keep the authorities that they trust.
var rootFiles = []string{
	"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
	"/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem",
}

// roots returns the authorities that the operator trusts, in PEM, and the file that has them.
func (a *App) roots() (pem []byte, file string, err error) {
	files := rootFiles
	if own := a.Getenv("SSL_CERT_FILE"); own != "" {
		files = []string{own}
	}
	for _, file := range files {
		pem, err := os.ReadFile(file)
		if err == nil {
			return append(pem, '\n'), file, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, file, fmt.Errorf("reading the authorities that this machine trusts: %w", err)
		}
	}
	return nil, "", fault.WithHint(fault.New(fault.Usage, "no file with the authorities that this machine trusts is "+
		"found"), "sudo apt-get install ca-certificates   # or name it: SSL_CERT_FILE=FILE")
}
