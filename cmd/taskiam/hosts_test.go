package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// envNames has names that the program under test is to find at an address: NAME=ADDRESS,NAME=ADDRESS.
// They take the place of DNS alone; what becomes of an address is the program's affair.
const envNames = "NAMES_IN_TESTS"

// shipped is the program as it is shipped, with the DNS of a test.
func shipped() {
	if names := os.Getenv(envNames); names != "" {
		net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			go answerNames(server, names)
			return client, nil
		}}
	}
	main()
}

// answerNames is a name server for one connection, with the framing of DNS over TCP.
func answerNames(c net.Conn, names string) {
	defer c.Close()
	for {
		var size uint16
		if binary.Read(c, binary.BigEndian, &size) != nil {
			return
		}
		question := make([]byte, size)
		if _, err := io.ReadFull(c, question); err != nil {
			return
		}
		answer, err := answerName(question, names)
		if err != nil {
			return
		}
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)); err != nil {
			return
		}
	}
}

func answerName(question []byte, names string) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(question); err != nil || len(m.Questions) != 1 {
		return nil, fmt.Errorf("no question: %w", err)
	}
	q := m.Questions[0]
	m.Response, m.RCode, m.Additionals = true, dnsmessage.RCodeNameError, nil
	for pair := range strings.SplitSeq(names, ",") {
		name, text, _ := strings.Cut(pair, "=")
		if name+"." != q.Name.String() {
			continue
		}
		m.RCode = dnsmessage.RCodeSuccess
		if addr, err := netip.ParseAddr(text); err == nil && addr.Is4() && q.Type == dnsmessage.TypeA {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
				Body:   &dnsmessage.AResource{A: addr.As4()},
			})
		}
	}
	return m.Pack()
}

// standIn takes the place of hosts of the internet, at one port of loopback.
type standIn struct {
	port int
	mu   sync.Mutex
	seen []string // requests: "POST https://host/path Authorization body"
}

// standIn starts one for these names, which the program under test finds there. Its certificates are of a
// CA that the operator's machine trusts.
func (s *stage) standIn(answer http.HandlerFunc, names ...string) *standIn {
	s.t.Helper()
	cert, ca := certificateFor(s.t, names)
	h := &standIn{}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		h.mu.Lock()
		h.seen = append(h.seen, fmt.Sprintf("%s https://%s%s %s %s", r.Method, r.Host, r.RequestURI, r.Header, b))
		h.mu.Unlock()
		answer(w, r)
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	server.StartTLS()
	s.t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	must(s.t, err)
	h.port, err = strconv.Atoi(port)
	must(s.t, err)
	for i := range names {
		names[i] += "=127.0.0.1"
	}
	s.vars[envNames] = strings.Join(names, ",")
	s.vars["SSL_CERT_FILE"] = s.write("machine.pem", ca)
	return h
}

// requests returns what has arrived at a host.
func (h *standIn) requests(host string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(h.seen), func(r string) bool { return !strings.Contains(r, "https://"+host+":") })
}

// certificateFor returns a certificate for names, and that of its CA in PEM.
func certificateFor(t *testing.T, names []string) (cert tls.Certificate, ca string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "the internet"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, key.Public(), key)
	must(t, err)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: slices.Clone(names), NotBefore: root.NotBefore, NotAfter: root.NotAfter,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, root, key.Public(), key)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootDER}))
}
