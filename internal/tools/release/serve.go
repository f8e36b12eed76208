package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// serve stands for the server of releases in a container without a network: it has the files of a folder, at the paths
// and under the name of the real one, with a certificate of its own, which it writes for clients to trust. With
// -change, one byte of one file is another one.
func serve(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	dir := flags.String("dir", "", "the files")
	host := flags.String("host", "github.com", "the name of the server")
	address := flags.String("addr", "127.0.0.1:443", "where it listens")
	trust := flags.String("trust", "", "the file that the certificate is written to")
	change := flags.String("change", "", "the file of which a byte is changed")
	if err := flags.Parse(args); err != nil {
		return err
	}
	certificate, root, err := certificateFor(*host)
	if err != nil {
		return err
	}
	if err := os.WriteFile(*trust, root, 0o644); err != nil {
		return fmt.Errorf("writing the certificate: %w", err)
	}
	listener, err := tls.Listen("tcp", *address, &tls.Config{
		Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12,
	})
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	server := &http.Server{
		Handler: releaseFiles(*dir, *change), ReadHeaderTimeout: time.Minute,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	fmt.Println("ready")
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}

// releaseFiles answers as the server of releases does.
func releaseFiles(dir, change string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := path.Base(r.URL.Path)
		at := strings.TrimPrefix(path.Dir(r.URL.Path), "/taskiam/taskiam/releases/download/")
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !strings.HasPrefix(at, "v") || strings.Contains(at, "/") {
			http.NotFound(w, r)
			return
		}
		if name == change {
			content[len(content)/2] ^= 1
		}
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
	})
}

// certificateFor makes a certificate for a host, and returns what to trust for it.
func certificateFor(host string) (tls.Certificate, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, fmt.Errorf("making a key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "stands for " + host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, nil, fmt.Errorf("making a certificate: %w", err)
	}
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, root, nil
}
