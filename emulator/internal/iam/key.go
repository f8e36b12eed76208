package iam

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
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

// Signed reports whether any key of the account, one of its own or one that Google holds, made the signature of a sum
// by SHA-256.
func (a *Account) Signed(sum, signature []byte, now time.Time) bool {
	return a.signed("", sum, signature, now) ||
		slices.ContainsFunc(a.SystemKeys(now), func(k *SystemKey) bool {
			return a.systemSigned(k.ID, sum, signature, now)
		})
}

// systemSigned reports whether one of the keys that Google holds for the account made the
// signature: that of these days, or the one before.
func (a *Account) systemSigned(keyID string, sum, signature []byte, now time.Time) bool {
	for _, k := range a.SystemKeys(now) {
		if keyID == k.ID && k.parsed != nil &&
			rsa.VerifyPKCS1v15(&k.parsed.PublicKey, crypto.SHA256, sum, signature) == nil {
			return true
		}
	}
	return false
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

// systemKeyID names the key that Google holds for the account in the period that begins at from. It is known before
// the key is made.
func (a *Account) systemKeyID(from time.Time) string {
	return KeyID([]byte(a.UniqueID + from.UTC().Format(time.RFC3339)))
}

// SystemKey is a key that Google holds for an account and changes for another by itself. It is made when it is first
// needed, since making an RSA key takes long.
type SystemKey struct {
	ID   string    `json:"id"`
	From time.Time `json:"from"`
	privateKey
}

// Until is when another key takes its place. What it has signed is good for another such period.
func (k *SystemKey) Until() time.Time { return k.From.Add(SystemKeyPeriod) }

// SystemKeys are the keys that Google holds for the account at now: that of these days, which is the last of them and
// may have to be made yet, and the one before if it was used.
func (a *Account) SystemKeys(now time.Time) []*SystemKey {
	from := now.UTC().Truncate(SystemKeyPeriod)
	var keys []*SystemKey
	for _, k := range a.System {
		if k.From.Equal(from) || k.Until().Equal(from) {
			keys = append(keys, k)
		}
	}
	if n := len(keys); n == 0 || !keys[n-1].From.Equal(from) {
		keys = append(keys, &SystemKey{ID: a.systemKeyID(from), From: from})
	}
	return keys
}

// SystemSigner returns the keys that Google holds for the account at now, the last of which signs, after newKey has
// made that if it was not there. The caller holds the lock for writing.
func (a *Account) SystemSigner(now time.Time, newKey func() (*rsa.PrivateKey, error)) ([]*SystemKey, error) {
	keys := a.SystemKeys(now)
	if _, err := keys[len(keys)-1].made(newKey); err != nil {
		return nil, fmt.Errorf("the key of %s: %w", a.Email, err)
	}
	a.System = keys
	return keys, nil
}

// privateKey is a private key that only Google holds, made when it is first needed.
type privateKey struct {
	DER []byte `json:"der,omitempty"` // PKCS #1

	parsed *rsa.PrivateKey
}

// Private is the key; nil before it is made.
func (k *privateKey) Private() *rsa.PrivateKey { return k.parsed }

// made returns the key, made by newKey if there is none.
func (k *privateKey) made(newKey func() (*rsa.PrivateKey, error)) (*rsa.PrivateKey, error) {
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

// read reads the key after the state was loaded. If it cannot be read, the first signature fails with the reason.
func (k *privateKey) read() {
	if len(k.DER) > 0 && k.parsed == nil {
		k.parsed, _ = x509.ParsePKCS1PrivateKey(k.DER)
	}
}

// Signer returns the key behind Google's own signatures, made by newKey if there is none. The caller holds the lock
// for writing.
func (s *Company) Signer(newKey func() (*rsa.PrivateKey, error)) (*rsa.PrivateKey, error) {
	return s.Signing.made(newKey)
}
