package iam

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// signed reports whether one of the account's keys, valid at now, made the
// signature. Without a key id any of them may have.
func (a *Account) signed(keyID string, sum, signature []byte, now time.Time) bool {
	for _, k := range a.Keys {
		if keyID != "" && k.ID != keyID || k.Disabled || now.Before(k.ValidAfter.Add(-ClockSkew)) ||
			now.Before(k.Usable) || !now.Before(k.ValidBefore) {
			continue
		}
		public, err := k.Public()
		if err == nil && rsa.VerifyPKCS1v15(public, crypto.SHA256, sum, signature) == nil {
			return true
		}
	}
	return false
}

// systemSigned reports whether the key that Google holds for the account made the
// signature: the one of these days, or the one before.
func (s *Company) systemSigned(a *Account, keyID string, sum, signature []byte, now time.Time) bool {
	if keyID == "" || s.Signing.parsed == nil || keyID != a.SystemKeyID(now) &&
		keyID != a.SystemKeyID(now.Add(-SystemKeyPeriod)) {
		return false
	}
	return rsa.VerifyPKCS1v15(&s.Signing.parsed.PublicKey, crypto.SHA256, sum, signature) == nil
}

// Key is a key of an account: its public half, in a certificate.
type Key struct {
	ID          string    `json:"id"`
	Certificate []byte    `json:"certificate"` // DER
	Origin      string    `json:"origin"`      // GOOGLE_PROVIDED or USER_PROVIDED
	Algorithm   string    `json:"algorithm"`   // KEY_ALG_RSA_2048
	ValidAfter  time.Time `json:"validAfter"`
	ValidBefore time.Time `json:"validBefore"`
	Disabled    bool      `json:"disabled,omitempty"`
	Usable      time.Time `json:"usable,omitzero" snapshot:"-"` // from when on, if not at once
}

var errNotRSA = errors.New("the key is not RSA")

// Public returns the public key.
func (k *Key) Public() (*rsa.PublicKey, error) {
	cert, err := x509.ParseCertificate(k.Certificate)
	if err != nil {
		return nil, err
	}
	public, ok := cert.PublicKey.(*rsa.PublicKey)
	if !ok {
		return nil, errNotRSA
	}
	return public, nil
}

// KeyID names a key by the SHA-1 of its certificate.
func KeyID(der []byte) string {
	sum := sha1.Sum(der)
	return hex.EncodeToString(sum[:])
}

// SystemKeyPeriod is how long a key lives that Google rotates by itself.
const SystemKeyPeriod = 17 * 24 * time.Hour

// SystemKeyID names the account's key that Google holds at now.
func (a *Account) SystemKeyID(now time.Time) string {
	return KeyID([]byte(a.UniqueID + now.UTC().Truncate(SystemKeyPeriod).Format(time.RFC3339)))
}

// signingKey is the private key that only Google holds: the one behind ID tokens, and
// the system-managed one of every account. It is made when it is first needed.
type signingKey struct {
	DER []byte `json:"der,omitempty"` // PKCS #1

	parsed *rsa.PrivateKey
}

// Signer returns the signing key, made by newKey if there is none. The caller holds
// the lock for writing.
func (s *Company) Signer(newKey func() (*rsa.PrivateKey, error)) (*rsa.PrivateKey, error) {
	k := &s.Signing
	var err error
	switch {
	case k.parsed != nil:
	case len(k.DER) > 0:
		if k.parsed, err = x509.ParsePKCS1PrivateKey(k.DER); err != nil {
			return nil, fmt.Errorf("reading the signing key: %w", err)
		}
	default:
		if k.parsed, err = newKey(); err != nil {
			return nil, fmt.Errorf("making the signing key: %w", err)
		}
		k.DER = x509.MarshalPKCS1PrivateKey(k.parsed)
	}
	return k.parsed, nil
}
