package emulator

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"time"
)

// accessToken is an opaque bearer token; the state keeps its hash alone.
type accessToken struct {
	Account   string     `json:"account,omitempty"` // unique id
	Person    string     `json:"person,omitempty"`  // e-mail address
	Federated *federated `json:"federated,omitempty"`
	Scopes    []string   `json:"scopes,omitempty"`
	Expires   time.Time  `json:"expires,omitzero"` // zero means never
}

func (t *accessToken) expired(now time.Time) bool {
	return !t.Expires.IsZero() && !now.Before(t.Expires)
}

func tokenHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// issue makes a token of an account.
func (s *company) issue(a *serviceAccount, scopes []string, now time.Time, lifetime time.Duration) (string, time.Time) {
	return s.issueToken(accessToken{Account: a.UniqueID, Scopes: scopes}, now, lifetime)
}

// issueToken draws a token for what t says and keeps it until its end.
func (s *company) issueToken(t accessToken, now time.Time, lifetime time.Duration) (string, time.Time) {
	for hash, t := range s.Tokens {
		// Long after its end a token is as unknown as one that never was.
		if t.expired(now.Add(-24 * time.Hour)) {
			delete(s.Tokens, hash)
		}
	}
	token := newToken()
	t.Expires = now.Add(lifetime).Truncate(time.Second)
	s.Tokens[tokenHash(token)] = &t
	return token, t.Expires
}

// subject returns the principal of a token, or nil if it may not act any more.
func (s *company) subject(t *accessToken, now time.Time) *principal {
	switch {
	case t.Person != "":
		return &principal{member: "user:" + t.Person, email: t.Person, scopes: t.Scopes}
	case t.Federated != nil:
		pool := s.Pools[t.Federated.Pool]
		if pool == nil || pool.Disabled {
			return nil
		}
		member := t.Federated.member()
		return &principal{member: member, email: member, federated: t.Federated, scopes: t.Scopes}
	}
	a := s.Accounts[t.Account]
	if a == nil || a.deleted() || a.off(now) {
		return nil
	}
	return &principal{member: a.member(), email: a.Email, account: a, scopes: t.Scopes}
}

// tokenPrefix begins every opaque token, as Google's do.
const tokenPrefix = "ya29."

func newToken() string {
	b := make([]byte, 96)
	_, _ = rand.Read(b) // never fails
	return tokenPrefix + "c." + base64.RawURLEncoding.EncodeToString(b)
}
