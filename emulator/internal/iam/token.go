package iam

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// AccessToken is an opaque bearer token; the state keeps its hash alone.
type AccessToken struct {
	Account   string     `json:"account,omitempty"` // unique id
	Person    string     `json:"person,omitempty"`  // e-mail address
	Federated *Federated `json:"federated,omitempty"`
	Scopes    []string   `json:"scopes,omitempty"`
	Expires   time.Time  `json:"expires,omitzero"` // zero means never
	Login     bool       `json:"login,omitempty"`  // of the operator's login
	Boundary  *Boundary  `json:"boundary,omitempty"`
}

// TokenOf returns a token, without an end, of whom a member string names: a person, an account or an identity of a
// pool that the company has. A set or a group holds no token.
func (s *Company) TokenOf(member string) (AccessToken, error) {
	kind, id, _ := strings.Cut(member, ":")
	switch kind {
	case "user":
		if s.People[id] != nil {
			return AccessToken{Person: id}, nil
		}
		return AccessToken{}, fmt.Errorf("there is no %s", member)
	case "serviceAccount":
		if a := s.AccountByEmail(id); a != nil {
			return AccessToken{Account: a.UniqueID}, nil
		}
		return AccessToken{}, fmt.Errorf("there is no %s", member)
	case "principal":
		pool, subject, ok := strings.Cut(strings.TrimPrefix(id, "//"+Host+"/"), "/subject/")
		if ok && subject != "" && len(subject) <= MaxSubject && s.Pools[pool] != nil {
			return AccessToken{Federated: &Federated{Pool: pool, Subject: subject}}, nil
		}
		return AccessToken{}, fmt.Errorf("%s is no subject of a pool that is there", member)
	}
	return AccessToken{}, fmt.Errorf("%q is not of the form user:EMAIL, serviceAccount:EMAIL or "+
		"principal://%s/POOL/subject/SUBJECT", member, Host)
}

// Identity is what a token of the principal says of it, without scopes and end; nil for nobody.
func (p *Principal) Identity() *AccessToken {
	switch {
	case p.Anonymous:
		return nil
	case p.Account != nil:
		return &AccessToken{Account: p.Account.UniqueID, Boundary: p.Boundary}
	case p.Federated != nil:
		return &AccessToken{Federated: p.Federated, Boundary: p.Boundary}
	}
	return &AccessToken{Person: p.Email, Boundary: p.Boundary}
}

// MaxSubject is how long the subject of an identity pool may be, in bytes.
const MaxSubject = 127

// Expired reports whether the token has expired at now.
func (t *AccessToken) Expired(now time.Time) bool {
	return !t.Expires.IsZero() && !now.Before(t.Expires)
}

// TokenHash is what the company keeps of a token.
func TokenHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// IssueFor makes a token of an account.
func (s *Company) IssueFor(a *Account, scopes []string, now time.Time, lifetime time.Duration) (string, time.Time) {
	return s.Issue(AccessToken{Account: a.UniqueID, Scopes: scopes}, now, lifetime)
}

// Issue draws a token for what t says and keeps it until its end.
func (s *Company) Issue(t AccessToken, now time.Time, lifetime time.Duration) (string, time.Time) {
	for hash, t := range s.Tokens {
		// A token that expired long ago is forgotten.
		if t.Expired(now.Add(-24 * time.Hour)) {
			delete(s.Tokens, hash)
		}
	}
	token := NewToken()
	if t.Boundary != nil {
		token = strings.Replace(token, TokenPrefix+"c.", TokenPrefix+"dr.", 1)
	}
	t.Expires = now.Add(lifetime).Truncate(time.Second)
	s.Tokens[TokenHash(token)] = &t
	return token, t.Expires
}

// PrincipalOf returns the principal of a token, or nil if it may not act any more.
func (s *Company) PrincipalOf(t *AccessToken, now time.Time) *Principal {
	p := s.holderOf(t, now)
	if p != nil {
		p.Scopes, p.Boundary = t.Scopes, t.Boundary
	}
	return p
}

// holderOf is whose token t is, or nil for whoever may not act any more.
func (s *Company) holderOf(t *AccessToken, now time.Time) *Principal {
	switch {
	case t.Person != "":
		return &Principal{Member: "user:" + t.Person, Email: t.Person}
	case t.Federated != nil:
		pool := s.Pools[t.Federated.Pool]
		if pool == nil || pool.Disabled {
			return nil
		}
		member := t.Federated.Member()
		return &Principal{Member: member, Email: member, Federated: t.Federated}
	}
	a := s.Accounts[t.Account]
	if a == nil || a.IsDeleted() || a.off(now) {
		return nil
	}
	return &Principal{Member: a.Member(), Email: a.Email, Account: a}
}

// TokenPrefix begins every opaque token, as Google's do.
const TokenPrefix = "ya29."

// NewToken draws a token.
func NewToken() string {
	b := make([]byte, 96)
	_, _ = rand.Read(b) // never fails
	return TokenPrefix + "c." + base64.RawURLEncoding.EncodeToString(b)
}
