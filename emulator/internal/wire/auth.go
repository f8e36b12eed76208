package wire

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/taskiam/taskiam/emulator/internal/iam"
)

// authenticate returns who makes the call, or Google's 401.
func (s *Server) authenticate(c *Call) (*iam.Principal, error) {
	host := c.Method.Host
	if err := c.readKeys(); err != nil {
		return nil, err
	}
	header := c.Request.Header.Get("Authorization")
	if c.Method.Bearer != nil {
		if p, err := c.Method.Bearer(c); p != nil || err != nil {
			return p, err
		}
	}
	switch {
	case header == "" && c.Method.Open:
		p := iam.Nobody()
		return p, c.payer(p)
	case header == "" && len(c.keys) > 0:
		return nil, keyAlone(host)
	case header == "":
		return nil, unauthenticated(host, "CREDENTIALS_MISSING",
			"Request is missing required authentication credential. "+
				"Expected OAuth 2 access token, login cookie or other valid authentication credential.")
	}
	kind, token, _ := strings.Cut(header, " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(kind, "Bearer") || token == "" {
		return nil, badToken(host)
	}
	var p *iam.Principal
	var err error
	if strings.Count(token, ".") == 2 && !strings.HasPrefix(token, iam.TokenPrefix) {
		p, err = s.byJWT(c, token)
	} else {
		p, err = s.byToken(c, token)
	}
	if err != nil {
		return nil, err
	}
	if !scopesAllow(p.Scopes, c.Method, s.state.Service(host)) {
		return nil, Fail(http.StatusForbidden, "PERMISSION_DENIED", "insufficientPermissions",
			"Request had insufficient authentication scopes.").WithDetails(
			ErrorInfo("ACCESS_TOKEN_SCOPE_INSUFFICIENT", "googleapis.com",
				map[string]string{"service": host, "method": c.Method.ID}))
	}
	return p, c.payer(p)
}

// Payer is the project that a client wants its call to be counted for; "" if it names none.
func (c *Call) Payer() string {
	if sv := c.State().Service(c.Method.Host); sv != nil && sv.PayerParameter != "" {
		return cmp.Or(c.Query(sv.PayerParameter), c.Request.Header.Get("X-Goog-User-Project"))
	}
	return c.Request.Header.Get("X-Goog-User-Project")
}

// payer checks the payer of a call: a caller that names one must be allowed to use its services.
func (c *Call) payer(who *iam.Principal) error {
	id := c.Payer()
	if id == "" {
		return nil
	}
	const permission = "serviceusage.services.use"
	n, _, err := c.State().ProjectNode(id)
	if err == nil {
		d := c.State().Decide(who, permission, n, c.Now, nil)
		c.Decisions = append(c.Decisions, d)
		if d.Allowed {
			return nil
		}
	}
	if sv := c.State().Service(c.Method.Host); sv != nil && sv.PayerParameter != "" {
		if err != nil {
			return Fail(http.StatusBadRequest, "INVALID_ARGUMENT", "invalid",
				"User project specified in the request is invalid.")
		}
		return c.State().denied(c.Method.Host, who, permission, n)
	}
	return Forbidden("Caller does not have required permission to use project %s. Grant the caller the "+
		"roles/serviceusage.serviceUsageConsumer role, or a custom role with the %s permission, and then retry. "+
		"Propagation of the new permission may take a few minutes.", id, permission).WithDetails(
		ErrorInfo("USER_PROJECT_DENIED", "googleapis.com",
			map[string]string{"service": c.Method.Host, "consumer": "projects/" + id}))
}

const invalidCredentials = "Request had invalid authentication credentials. " +
	"Expected OAuth 2 access token, login cookie or other valid authentication credential."

func badToken(host string) error {
	return unauthenticated(host, "ACCESS_TOKEN_TYPE_UNSUPPORTED", invalidCredentials)
}

// byToken authenticates by an opaque token.
func (s *Server) byToken(c *Call, token string) (*iam.Principal, error) {
	t := s.state.Tokens[iam.TokenHash(token)]
	if t == nil {
		return nil, badToken(c.Method.Host)
	}
	p := s.state.PrincipalOf(t, c.Now)
	if p == nil {
		return nil, s.state.revokedToken(c.Method.Host, "ACCOUNT_STATE_INVALID")
	}
	if t.Expired(c.Now) {
		return nil, s.state.revokedToken(c.Method.Host, "ACCESS_TOKEN_EXPIRED")
	}
	return p, nil
}

// Dead is the 401 of a call by whoever may not act any more.
func (c *Call) Dead() error { return c.State().revokedToken(c.Method.Host, "ACCOUNT_STATE_INVALID") }

// revokedToken is the 401 for a token that was valid before.
func (s *State) revokedToken(host, reason string) error {
	e := unauthenticated(host, reason, invalidCredentials)
	if s.Doubts.DeadTokensUnexplained {
		e.details = nil
	}
	return e
}

// byJWT authenticates by a JWT that an account has signed for this service
// (google.aip.dev/auth/4111): its audience is the service, or it names scopes.
func (s *Server) byJWT(c *Call, token string) (*iam.Principal, error) {
	a, claims, err := s.state.VerifyJWT(token, c.Now)
	if err != nil {
		if err == iam.ErrAccountDisabled {
			return nil, s.state.revokedToken(c.Method.Host, "ACCOUNT_STATE_INVALID")
		}
		return nil, badToken(c.Method.Host)
	}
	if claims.Subject != "" && claims.Subject != claims.Issuer {
		return nil, badToken(c.Method.Host)
	}
	p := &iam.Principal{Member: a.Member(), Email: a.Email, Account: a, SelfSigned: true}
	switch {
	case claims.Scope != "":
		p.Scopes = strings.Fields(claims.Scope)
	case !slices.ContainsFunc(claims.Audience, func(aud string) bool { return c.isAudience(aud) }):
		return nil, badToken(c.Method.Host)
	}
	return p, nil
}

// isAudience reports whether aud is the URL of the called service.
func (c *Call) isAudience(aud string) bool {
	u, err := url.Parse(aud)
	return err == nil && u.Scheme == "https" && u.Host == c.Method.Host
}

// ScopePrefix begins the names of scopes.
const ScopePrefix = "https://www.googleapis.com/auth/"

// AllScopes reports whether one of the scopes opens every API.
func AllScopes(scopes []string) bool {
	return scopes == nil || slices.Contains(scopes, ScopePrefix+"cloud-platform")
}

// scopesAllow reports whether one of the token's scopes allows the method.
func scopesAllow(scopes []string, m *Method, at *Service) bool {
	if scopes == nil {
		return true
	}
	for _, s := range scopes {
		name, ok := strings.CutPrefix(s, ScopePrefix)
		if !ok {
			continue
		}
		reads := strings.HasSuffix(name, "read_only") || strings.HasSuffix(name, "read-only") ||
			strings.HasSuffix(name, "readonly")
		if reads && m.Writes {
			continue
		}
		if name == "cloud-platform" || name == "cloud-platform.read-only" || at != nil &&
			slices.Contains(at.Scopes, name) {
			return true
		}
	}
	return false
}
