package iam

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// Claims are those of a JWT that an account signs.
type Claims struct {
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

// UnmarshalJSON takes one string, or a list.
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
	ErrUnknownAccount  = errors.New("no such account")
	ErrAccountDisabled = errors.New("account disabled")
	ErrJWTSignature    = errors.New("invalid signature")
	ErrJWTTimes        = errors.New("issued or expiring at an unreasonable time")
)

const (
	maxJWTLifetime = time.Hour
	// ClockSkew is how far the clock of a signer may be off.
	ClockSkew = 5 * time.Minute
)

// VerifyJWT checks a JWT against the live keys of the account that issued it.
func (s *Company) VerifyJWT(token string, now time.Time) (*Account, Claims, error) {
	var header struct {
		Algorithm string `json:"alg"`
		KeyID     string `json:"kid"`
	}
	var c Claims
	parts := strings.Split(token, ".")
	if len(parts) != 3 || DecodePart(parts[0], &header) != nil || DecodePart(parts[1], &c) != nil ||
		header.Algorithm != "RS256" {
		return nil, c, errMalformedJWT
	}
	signature, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[2], "="))
	if err != nil {
		return nil, c, errMalformedJWT
	}
	a := s.AccountByEmail(c.Issuer)
	if a == nil {
		return nil, c, ErrUnknownAccount
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if !a.signed(header.KeyID, sum[:], signature, now) && !a.systemSigned(header.KeyID, sum[:], signature, now) {
		return nil, c, ErrJWTSignature
	}
	if a.Disabled {
		return nil, c, ErrAccountDisabled
	}
	issued, expires := time.Unix(c.IssuedAt, 0), time.Unix(c.Expires, 0)
	if !now.Before(expires) || issued.After(now.Add(ClockSkew)) || expires.Sub(issued) > maxJWTLifetime ||
		issued.Before(now.Add(-maxJWTLifetime-ClockSkew)) {
		return nil, c, ErrJWTTimes
	}
	return a, c, nil
}

// DecodePart reads one part of a JWT.
func DecodePart(part string, v any) error {
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(part, "="))
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, v)
}
