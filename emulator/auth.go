package emulator

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// authenticate returns who makes the call, or Google's 401.
func (s *wireServer) authenticate(c *call) (*principal, error) {
	host := c.method.host
	header := c.r.Header.Get("Authorization")
	if header == "" {
		// Public objects too: a client that forgot its token must not pass for one that sent it.
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
	if !scopesAllow(p.scopes, c.method, s.state.service(host)) {
		return nil, fail(http.StatusForbidden, "PERMISSION_DENIED", "insufficientPermissions",
			"Request had insufficient authentication scopes.").withDetails(
			errorInfo("ACCESS_TOKEN_SCOPE_INSUFFICIENT", "googleapis.com", map[string]string{"service": host, "method": c.method.id}))
	}
	return p, c.payer(p)
}

// payer checks the project that a client wants its call to be counted for
// (x-goog-user-project): whoever names one must be allowed to use its services.
func (c *call) payer(who *principal) error {
	id := c.r.Header.Get("X-Goog-User-Project")
	if id == "" {
		return nil
	}
	const permission = "serviceusage.services.use"
	if n, _, err := c.state().projectNode(id); err == nil {
		d := c.state().decide(who, permission, n, c.now, nil)
		c.decisions = append(c.decisions, d)
		if d.allowed {
			return nil
		}
	}
	return forbidden("Caller does not have required permission to use project %s. Grant the caller the "+
		"roles/serviceusage.serviceUsageConsumer role, or a custom role with the %s permission, and then retry. "+
		"Propagation of the new permission may take a few minutes.", id, permission).withDetails(
		errorInfo("USER_PROJECT_DENIED", "googleapis.com", map[string]string{"service": c.method.host, "consumer": "projects/" + id}))
}

const invalidCredentials = "Request had invalid authentication credentials. " +
	"Expected OAuth 2 access token, login cookie or other valid authentication credential."

func badToken(host string) error {
	return unauthenticated(host, "ACCESS_TOKEN_TYPE_UNSUPPORTED", invalidCredentials)
}

// byToken authenticates by an opaque token.
func (s *wireServer) byToken(c *call, token string) (*principal, error) {
	t := s.state.Tokens[tokenHash(token)]
	if t == nil {
		return nil, badToken(c.method.host)
	}
	p := s.state.subject(t, c.now)
	if p == nil {
		return nil, s.state.deadToken(c.method.host, "ACCOUNT_STATE_INVALID")
	}
	if t.expired(c.now) {
		return nil, s.state.deadToken(c.method.host, "ACCESS_TOKEN_EXPIRED")
	}
	return p, nil
}

// deadToken is the 401 for a token that was good once.
func (s *state) deadToken(host, reason string) error {
	e := unauthenticated(host, reason, invalidCredentials)
	if s.Doubts.DeadTokensUnexplained {
		e.details = nil
	}
	return e
}

// byJWT authenticates by a JWT that an account has signed for this service
// (google.aip.dev/auth/4111): its audience is the service, or it names scopes.
func (s *wireServer) byJWT(c *call, token string) (*principal, error) {
	a, claims, err := s.state.verifyJWT(token, c.now)
	if err != nil {
		if err == errAccountDisabled {
			return nil, s.state.deadToken(c.method.host, "ACCOUNT_STATE_INVALID")
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

// scopesAllow reports whether one of the token's scopes opens the method.
func scopesAllow(scopes []string, m *method, at *service) bool {
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
		if name == "cloud-platform" || name == "cloud-platform.read-only" || at != nil && slices.Contains(at.Scopes, name) {
			return true
		}
	}
	return false
}
