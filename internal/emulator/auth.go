package emulator

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// principal is who makes a call.
type principal struct {
	member  string          // "serviceAccount:EMAIL", "user:EMAIL"; "" for nobody
	email   string          // as messages name it
	account *serviceAccount // nil for people
	scopes  []string        // nil means every scope
	jwt     bool            // came with a JWT that it signed itself

	identities map[string]bool // every member string that means it; filled when first asked
}

// anonymous reports whether the call came without a credential.
func (p *principal) anonymous() bool { return p.member == "" }

// accessToken is an opaque bearer token; the state keeps its hash alone.
type accessToken struct {
	Account string    `json:"account,omitempty"` // unique id
	Person  string    `json:"person,omitempty"`  // e-mail address
	Scopes  []string  `json:"scopes,omitempty"`
	Expires time.Time `json:"expires,omitzero"` // zero means never
}

func (t *accessToken) expired(now time.Time) bool {
	return !t.Expires.IsZero() && !now.Before(t.Expires)
}

func tokenHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// issue makes a token of an account.
func (s *state) issue(a *serviceAccount, scopes []string, now time.Time, lifetime time.Duration) (string, time.Time) {
	for hash, t := range s.Tokens {
		// Long after its end a token is as unknown as one that never was.
		if t.expired(now.Add(-24 * time.Hour)) {
			delete(s.Tokens, hash)
		}
	}
	token := newToken()
	expires := now.Add(lifetime).Truncate(time.Second)
	s.Tokens[tokenHash(token)] = &accessToken{Account: a.UniqueID, Scopes: scopes, Expires: expires}
	return token, expires
}

// authenticate returns who makes the call, or Google's 401.
func (s *Server) authenticate(c *call) (*principal, error) {
	host := c.method.host
	header := c.r.Header.Get("Authorization")
	if header == "" {
		// Storage serves public objects to nobody in particular.
		if c.method.id == "storage.objects.get" || c.method.id == "storage.objects.list" {
			return &principal{email: "Anonymous caller"}, nil
		}
		return nil, unauthenticated(host, "CREDENTIALS_MISSING", "Request is missing required authentication credential. "+
			"Expected OAuth 2 access token, login cookie or other valid authentication credential.")
	}
	kind, token, _ := strings.Cut(header, " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(kind, "Bearer") || token == "" {
		return nil, badToken(host)
	}
	var p *principal
	var err error
	if strings.Count(token, ".") == 2 && !strings.HasPrefix(token, tokenPrefix) {
		p, err = s.byJWT(c, token)
	} else {
		p, err = s.byToken(c, token)
	}
	if err != nil {
		return nil, err
	}
	if !scopesAllow(p.scopes, c.method) {
		return nil, fail(http.StatusForbidden, "PERMISSION_DENIED", "insufficientPermissions",
			"Request had insufficient authentication scopes.").withDetails(
			errorInfo("ACCESS_TOKEN_SCOPE_INSUFFICIENT", "googleapis.com", map[string]string{"service": host, "method": c.method.id}))
	}
	return p, nil
}

const invalidCredentials = "Request had invalid authentication credentials. " +
	"Expected OAuth 2 access token, login cookie or other valid authentication credential."

func badToken(host string) error {
	return unauthenticated(host, "ACCESS_TOKEN_TYPE_UNSUPPORTED", invalidCredentials)
}

// byToken authenticates by an opaque token.
func (s *Server) byToken(c *call, token string) (*principal, error) {
	t := s.state.Tokens[tokenHash(token)]
	if t == nil {
		return nil, badToken(c.method.host)
	}
	p, err := s.state.subject(t, c.method.host)
	if err != nil {
		return nil, err
	}
	if t.expired(c.now) {
		return nil, unauthenticated(c.method.host, "ACCESS_TOKEN_EXPIRED", invalidCredentials)
	}
	return p, nil
}

// subject returns the principal of a token, if it may still act.
func (s *state) subject(t *accessToken, host string) (*principal, error) {
	if t.Person != "" {
		return &principal{member: "user:" + t.Person, email: t.Person, scopes: t.Scopes}, nil
	}
	a := s.Accounts[t.Account]
	if a == nil || a.deleted() || a.Disabled {
		return nil, accountState(host)
	}
	return &principal{member: a.member(), email: a.Email, account: a, scopes: t.Scopes}, nil
}

func accountState(host string) error {
	return unauthenticated(host, "ACCOUNT_STATE_INVALID", invalidCredentials)
}

// byJWT authenticates by a JWT that an account has signed for this service
// (google.aip.dev/auth/4111): its audience is the service, or it names scopes.
func (s *Server) byJWT(c *call, token string) (*principal, error) {
	a, claims, err := s.state.verifyJWT(token, c.now)
	if err != nil {
		if err == errAccountDisabled {
			return nil, accountState(c.method.host)
		}
		return nil, badToken(c.method.host)
	}
	if claims.Subject != "" && claims.Subject != claims.Issuer {
		return nil, badToken(c.method.host)
	}
	p := &principal{member: a.member(), email: a.Email, account: a, jwt: true}
	switch {
	case claims.Scope != "":
		p.scopes = strings.Fields(claims.Scope)
	case !slices.ContainsFunc(claims.Audience, func(aud string) bool { return c.isAudience(aud) }):
		return nil, badToken(c.method.host)
	}
	return p, nil
}

// isAudience reports whether aud is the URL of the called service.
func (c *call) isAudience(aud string) bool {
	u, err := url.Parse(aud)
	return err == nil && u.Scheme == "https" && u.Host == c.method.host
}

const scopePrefix = "https://www.googleapis.com/auth/"

// serviceScopes are the scopes beside cloud-platform that open a service; those
// that only read end in "read_only" or "readonly".
var serviceScopes = map[string][]string{
	"iam.googleapis.com":                  {"iam"},
	"iamcredentials.googleapis.com":       {"iam"},
	"cloudresourcemanager.googleapis.com": {"cloudplatformprojects", "cloudplatformprojects.readonly"},
	storageHost:                           {"devstorage.full_control", "devstorage.read_write", "devstorage.read_only"},
	"pubsub.googleapis.com":               {"pubsub"},
	"bigquery.googleapis.com":             {"bigquery", "bigquery.readonly", "bigquery.insertdata"},
}

// scopesAllow reports whether one of the token's scopes opens the method.
func scopesAllow(scopes []string, m *method) bool {
	if scopes == nil {
		return true
	}
	for _, s := range scopes {
		name, ok := strings.CutPrefix(s, scopePrefix)
		if !ok {
			continue
		}
		reads := strings.HasSuffix(name, "read_only") || strings.HasSuffix(name, "read-only") || strings.HasSuffix(name, "readonly")
		if reads && m.writes {
			continue
		}
		if name == "cloud-platform" || name == "cloud-platform.read-only" || slices.Contains(serviceScopes[m.host], name) {
			return true
		}
	}
	return false
}
