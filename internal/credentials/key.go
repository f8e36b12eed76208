package credentials

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"time"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/secret"
)

// keyBits is the size of key that Google makes itself (iam/docs/keys-create-delete).
const keyBits = 2048

// KeyPair is a key whose private half never leaves this machine. Google gets only a
// certificate of the public half.
type KeyPair struct{ private *rsa.PrivateKey }

// NewKeyPair makes a key pair. The private key comes from newKey, or from
// [rsa.GenerateKey] if that is nil, which takes about 50 ms.
func NewKeyPair(newKey func(bits int) (*rsa.PrivateKey, error)) (*KeyPair, error) {
	if newKey == nil {
		newKey = func(bits int) (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, bits) }
	}
	private, err := newKey(keyBits)
	if err != nil {
		return nil, fmt.Errorf("making an RSA key: %w", err)
	}
	return &KeyPair{private}, nil
}

// Certificate returns a self-signed X.509 v3 certificate of the public key, in PEM, in the
// form of keys:upload. Google refuses the key after notAfter, which is rounded down to the
// second: it is never later than requested.
//
// The subject contains no information, because anybody may read the certificates of a
// service account (iam/docs/keys-upload).
func (k *KeyPair) Certificate(notBefore, notAfter time.Time) ([]byte, error) {
	// RFC 5280: at most 20 octets and not negative.
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("making a certificate: %w", err)
	}
	notBefore, notAfter = notBefore.UTC().Truncate(time.Second), notAfter.UTC().Truncate(time.Second)
	if !notBefore.Before(notAfter) {
		return nil, fmt.Errorf("making a certificate: it would end at %s, before it begins at %s",
			notAfter.Format(time.RFC3339), notBefore.Format(time.RFC3339))
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "unused"},
		NotBefore:             notBefore,
		NotAfter:              notAfter,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true, // and IsCA false: it certifies nothing else
		SignatureAlgorithm:    x509.SHA256WithRSA,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.private.Public(), k.private)
	if err != nil {
		return nil, fmt.Errorf("making a certificate: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// serviceAccountKey is Google's key file (google.aip.dev/auth/4112). Its fields are in the
// order in which Google writes them.
type serviceAccountKey struct {
	Type                string `json:"type"`
	ProjectID           string `json:"project_id"`
	PrivateKeyID        string `json:"private_key_id"`
	PrivateKey          string `json:"private_key"`
	ClientEmail         string `json:"client_email"`
	ClientID            string `json:"client_id"`
	AuthURI             string `json:"auth_uri"`
	TokenURI            string `json:"token_uri"`
	AuthProviderCertURL string `json:"auth_provider_x509_cert_url"`
	ClientCertURL       string `json:"client_x509_cert_url"`
	UniverseDomain      string `json:"universe_domain"`
}

// File returns the key file with which Google's clients act as the account. The id of the
// key is the one that Google gave it: it tells Google which certificate to use when it
// checks a signature.
func (k *KeyPair) File(account grants.Account, keyID string) (secret.String, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		return secret.String{}, fmt.Errorf("writing the key of %s: %w", account.Email, err)
	}
	b, err := json.MarshalIndent(serviceAccountKey{
		Type:                "service_account",
		ProjectID:           account.Project,
		PrivateKeyID:        keyID,
		PrivateKey:          string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		ClientEmail:         account.Email,
		ClientID:            account.UniqueID,
		AuthURI:             "https://accounts.google.com/o/oauth2/auth",
		TokenURI:            "https://oauth2.googleapis.com/token",
		AuthProviderCertURL: "https://www.googleapis.com/oauth2/v1/certs",
		ClientCertURL:       "https://www.googleapis.com/robot/v1/metadata/x509/" + url.QueryEscape(account.Email),
		UniverseDomain:      "googleapis.com",
	}, "", "  ")
	if err != nil {
		return secret.String{}, fmt.Errorf("writing the key of %s: %w", account.Email, err)
	}
	return secret.New(string(b) + "\n"), nil
}
