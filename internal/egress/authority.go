package egress

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"sync"
	"time"
)

// authorityLifetime is longer than any run. The keys are in memory alone, and end with the proxy.
const authorityLifetime = 90 * 24 * time.Hour

// authority certifies the hosts whose TLS the proxy opens. Its root's key is thrown away at once:
// what signs is an intermediate that is good for those hosts alone. The constraints are in the
// intermediate, because some clients, such as Java's, ignore those of a root that they trust.
type authority struct {
	root, intermediate *x509.Certificate
	key                *ecdsa.PrivateKey // of the intermediate
	leafKey            *ecdsa.PrivateKey // of all hosts

	mu     sync.Mutex
	leaves map[string]*tls.Certificate // by host
}

func newAuthority(name string, now time.Time, domains []string) (*authority, error) {
	a := &authority{leaves: map[string]*tls.Certificate{}}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "taskiam proxy " + name}, NotBefore: now.Add(-time.Hour),
		NotAfter: now.Add(authorityLifetime), IsCA: true, BasicConstraintsValid: true, MaxPathLen: 1,
		KeyUsage: x509.KeyUsageCertSign,
	}
	rootKey, err := newKey()
	if err != nil {
		return nil, err
	}
	if a.root, err = certify(template, template, rootKey, rootKey); err != nil {
		return nil, err
	}
	if a.key, err = newKey(); err != nil {
		return nil, err
	}
	below := *template
	below.Subject.CommonName += ", hosts"
	below.MaxPathLen, below.MaxPathLenZero = 0, true
	below.PermittedDNSDomainsCritical, below.PermittedDNSDomains = true, domains
	below.ExcludedIPRanges = []*net.IPNet{
		{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}, {IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)},
	}
	if a.intermediate, err = certify(&below, a.root, a.key, rootKey); err != nil {
		return nil, err
	}
	a.leafKey, err = newKey()
	return a, err
}

func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key of the proxy's CA: %w", err)
	}
	return key, nil
}

// certify returns a certificate as the template has it, for subject's key, signed with signer.
func certify(template, parent *x509.Certificate, subject, signer *ecdsa.PrivateKey) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err == nil {
		t := *template
		t.SerialNumber = serial
		if parent == template { // its own
			parent = &t
		}
		var der []byte
		if der, err = x509.CreateCertificate(rand.Reader, &t, parent, subject.Public(), signer); err == nil {
			var cert *x509.Certificate
			if cert, err = x509.ParseCertificate(der); err == nil {
				return cert, nil
			}
		}
	}
	return nil, fmt.Errorf("making a certificate of the proxy's CA: %w", err)
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.root.Raw})
}

// leaf returns the certificate of a host, made when it is first asked for.
func (a *authority) leaf(host string) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if l := a.leaves[host]; l != nil {
		return l, nil
	}
	cert, err := certify(&x509.Certificate{
		Subject: pkix.Name{CommonName: "taskiam proxy"}, DNSNames: []string{host},
		NotBefore: a.intermediate.NotBefore, NotAfter: a.intermediate.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, a.intermediate, a.leafKey, a.key)
	if err != nil {
		return nil, err
	}
	l := &tls.Certificate{
		Certificate: [][]byte{cert.Raw, a.intermediate.Raw}, PrivateKey: a.leafKey, Leaf: cert,
	}
	a.leaves[host] = l
	return l, nil
}
