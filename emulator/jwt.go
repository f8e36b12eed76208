package emulator

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// tokenPrefix begins every opaque token, as Google's do.
const tokenPrefix = "ya29."

func newToken() string {
	b := make([]byte, 96)
	_, _ = rand.Read(b) // never fails
	return tokenPrefix + "c." + base64.RawURLEncoding.EncodeToString(b)
}

// claims are those of a JWT that an account signs.
type claims struct {
	Issuer         string   `json:"iss"`
	Subject        string   `json:"sub"`
	Audience       audience `json:"aud"`
	Scope          string   `json:"scope"`
	TargetAudience string   `json:"target_audience"`
	IssuedAt       int64    `json:"iat"`
	Expires        int64    `json:"exp"`
}

// audience is one string or several.
type audience []string

func (a *audience) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(a))
}

// Why a JWT is not accepted. The token endpoint tells them apart; the services do not.
var (
	errMalformedJWT    = errors.New("malformed JWT")
	errUnknownAccount  = errors.New("no such account")
	errAccountDisabled = errors.New("account disabled")
	errJWTSignature    = errors.New("invalid signature")
	errJWTTimes        = errors.New("issued or expiring at an unreasonable time")
)

const (
	maxJWTLifetime = time.Hour
	clockSkew      = 5 * time.Minute
)

// verifyJWT checks a JWT against the live keys of the account that issued it.
func (s *state) verifyJWT(token string, now time.Time) (*serviceAccount, claims, error) {
	var header struct {
		Algorithm string `json:"alg"`
		KeyID     string `json:"kid"`
	}
	var c claims
	parts := strings.Split(token, ".")
	if len(parts) != 3 || decodePart(parts[0], &header) != nil || decodePart(parts[1], &c) != nil || header.Algorithm != "RS256" {
		return nil, c, errMalformedJWT
	}
	signature, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[2], "="))
	if err != nil {
		return nil, c, errMalformedJWT
	}
	a := s.accountByEmail(c.Issuer)
	if a == nil {
		return nil, c, errUnknownAccount
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if !a.signed(header.KeyID, sum[:], signature, now) && !s.systemSigned(a, header.KeyID, sum[:], signature, now) {
		return nil, c, errJWTSignature
	}
	if a.Disabled {
		return nil, c, errAccountDisabled
	}
	issued, expires := time.Unix(c.IssuedAt, 0), time.Unix(c.Expires, 0)
	if !now.Before(expires) || issued.After(now.Add(clockSkew)) || expires.Sub(issued) > maxJWTLifetime ||
		issued.Before(now.Add(-maxJWTLifetime-clockSkew)) {
		return nil, c, errJWTTimes
	}
	return a, c, nil
}

func decodePart(part string, v any) error {
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(part, "="))
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, v)
}

// signed reports whether one of the account's keys, alive at now, made the
// signature. Without a key id any of them may have.
func (a *serviceAccount) signed(keyID string, sum, signature []byte, now time.Time) bool {
	for _, k := range a.Keys {
		if keyID != "" && k.ID != keyID || k.Disabled || now.Before(k.ValidAfter.Add(-clockSkew)) || now.Before(k.Usable) || !now.Before(k.ValidBefore) {
			continue
		}
		public, err := k.public()
		if err == nil && rsa.VerifyPKCS1v15(public, crypto.SHA256, sum, signature) == nil {
			return true
		}
	}
	return false
}

// systemSigned reports whether the key that Google holds for the account made the
// signature: the one of these days, or the one before.
func (s *state) systemSigned(a *serviceAccount, keyID string, sum, signature []byte, now time.Time) bool {
	if keyID == "" || s.Signing.parsed == nil || keyID != a.systemKeyID(now) && keyID != a.systemKeyID(now.Add(-systemKeyPeriod)) {
		return false
	}
	return rsa.VerifyPKCS1v15(&s.Signing.parsed.PublicKey, crypto.SHA256, sum, signature) == nil
}
