package emulator

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"
)

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
func (s *company) verifyJWT(token string, now time.Time) (*serviceAccount, claims, error) {
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
