package emulator

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	oauthHost = "oauth2.googleapis.com"
	tokenURI  = "https://oauth2.googleapis.com/token"

	jwtBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer"
)

// oauthService are Google's token endpoint, and the keys that its signatures are checked with.
func oauthService() *service {
	return &service{Name: oauthHost, Methods: append(oauthMethods(), certificateMethods()...), Errors: oauthErrors}
}

func oauthMethods() []method {
	return []method{
		{id: "oauth2.token", host: oauthHost, pattern: "POST /token", public: true, writes: true, serve: exchangeJWT},
		{id: "oauth2.token", host: "accounts.google.com", pattern: "POST /o/oauth2/token", public: true, writes: true, serve: exchangeJWT},
		{id: "oauth2.token", host: "www.googleapis.com", pattern: "POST /oauth2/v4/token", public: true, writes: true, serve: exchangeJWT},
		{id: "oauth2.tokeninfo", host: oauthHost, pattern: "GET /tokeninfo", public: true, serve: tokenInfo},
		{id: "oauth2.tokeninfo", host: oauthHost, pattern: "POST /tokeninfo", public: true, serve: tokenInfo},
		{id: "oauth2.tokeninfo", host: "www.googleapis.com", pattern: "GET /oauth2/v3/tokeninfo", public: true, serve: tokenInfo},
		{id: "oauth2.tokeninfo", host: "www.googleapis.com", pattern: "POST /oauth2/v3/tokeninfo", public: true, serve: tokenInfo},
		{id: "oauth2.v1.tokeninfo", host: "www.googleapis.com", pattern: "GET /oauth2/v1/tokeninfo", public: true, serve: tokenInfoV1},
		{id: "oauth2.v1.tokeninfo", host: "www.googleapis.com", pattern: "POST /oauth2/v1/tokeninfo", public: true, serve: tokenInfoV1},
	}
}

// parseForm returns the parameters of a call, of its query and of its body.
func parseForm(c *call) (url.Values, error) {
	v, err := url.ParseQuery(string(c.body))
	if err != nil {
		return nil, oauthError(http.StatusBadRequest, "invalid_request", "Malformed form.")
	}
	for name, values := range c.r.URL.Query() {
		v[name] = append(v[name], values...)
	}
	return v, nil
}

// exchangeJWT gives an access token for a JWT that a key of an account has signed
// (RFC 7523).
func exchangeJWT(c *call) (any, error) {
	form, err := parseForm(c)
	if err != nil {
		return nil, err
	}
	bad := func(format string, args ...any) error {
		return oauthError(http.StatusBadRequest, "invalid_grant", format, args...)
	}
	switch g := form.Get("grant_type"); g {
	case jwtBearer:
	case refreshGrant:
		return renewLogin(c, form)
	default:
		return nil, oauthError(http.StatusBadRequest, "unsupported_grant_type", "Invalid grant_type: %s", g)
	}
	a, claims, err := c.state().verifyJWT(form.Get("assertion"), c.now)
	switch err {
	case nil:
	case errUnknownAccount:
		return nil, bad("Invalid grant: account not found")
	case errAccountDisabled:
		return nil, bad("Account disabled: %s", claims.Issuer)
	case errJWTSignature:
		return nil, bad("Invalid JWT Signature.")
	case errJWTTimes:
		return nil, bad("Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. " +
			"Check your iat and exp values in the JWT claim.")
	default:
		return nil, bad("Invalid JWT: the assertion cannot be read.")
	}
	if !slices.ContainsFunc(claims.Audience, func(aud string) bool { return isTokenEndpoint(c, aud) }) {
		return nil, bad("Invalid JWT: Failed audience check. The right audience is %s", tokenURI)
	}
	if claims.Subject != "" && claims.Subject != a.Email {
		return nil, oauthError(http.StatusUnauthorized, "unauthorized_client",
			"Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the scopes requested.")
	}
	scopes := strings.Fields(claims.Scope)
	if len(scopes) == 0 {
		return nil, oauthError(http.StatusBadRequest, "invalid_scope", "Invalid OAuth scope or ID token audience provided.")
	}
	c.caller = &principal{member: a.member(), email: a.Email, account: a} // for the request log
	token, expires := c.state().issue(a, scopes, c.now, maxTokenLifetime)
	return map[string]any{"access_token": token, "expires_in": secondsLeft(expires, c.now), "token_type": "Bearer"}, nil
}

// secondsLeft is rounded down, so that no client believes a token to live longer.
func secondsLeft(expires, now time.Time) int { return max(int(expires.Sub(now)/time.Second), 0) }

// isTokenEndpoint reports whether aud is the token endpoint: at its production
// name, whichever of its older ones, or where the client reached the emulator.
func isTokenEndpoint(c *call, aud string) bool {
	switch aud {
	case tokenURI, "https://accounts.google.com/o/oauth2/token", "https://www.googleapis.com/oauth2/v4/token":
		return true
	}
	return aud == c.baseURL()+c.r.URL.Path
}

// askedToken returns the token that tokeninfo is asked about, and its principal.
func askedToken(c *call) (*accessToken, *principal, error) {
	form, err := parseForm(c)
	if err != nil {
		return nil, nil, err
	}
	t := c.state().Tokens[tokenHash(form.Get("access_token"))]
	if t == nil || t.expired(c.now) {
		return nil, nil, oauthError(http.StatusBadRequest, "invalid_token", "Invalid Value")
	}
	p := c.state().subject(t, c.now)
	if p == nil || p.federated != nil { // federated tokens are introspected elsewhere
		return nil, nil, oauthError(http.StatusBadRequest, "invalid_token", "Invalid Value")
	}
	return t, p, nil
}

// principalID returns what Google calls the principal: a number.
func principalID(c *call, p *principal) string {
	if p.account != nil {
		return p.account.UniqueID
	}
	if person := c.state().People[p.email]; person != nil {
		return person.ID
	}
	return ""
}

// tokenFacts are what both forms of tokeninfo say.
func tokenFacts(t *accessToken, now time.Time) (scope string, expires time.Time) {
	scopes := t.Scopes
	if scopes == nil {
		scopes = []string{scopePrefix + "cloud-platform", scopePrefix + "userinfo.email", "openid"}
	}
	expires = t.Expires
	if expires.IsZero() {
		expires = now.Add(maxTokenLifetime)
	}
	return strings.Join(scopes, " "), expires
}

func tokenInfo(c *call) (any, error) {
	t, p, err := askedToken(c)
	if err != nil {
		return nil, err
	}
	scope, expires := tokenFacts(t, c.now)
	return map[string]string{
		"azp": principalID(c, p), "aud": principalID(c, p), "sub": principalID(c, p), "scope": scope, "exp": fmt.Sprint(expires.Unix()),
		"expires_in": fmt.Sprint(secondsLeft(expires, c.now)), "email": p.email, "email_verified": "true", "access_type": "online",
	}, nil
}

func tokenInfoV1(c *call) (any, error) {
	t, p, err := askedToken(c)
	if err != nil {
		return nil, err
	}
	scope, expires := tokenFacts(t, c.now)
	return map[string]any{
		"issued_to": principalID(c, p), "audience": principalID(c, p), "user_id": principalID(c, p), "scope": scope,
		"expires_in": secondsLeft(expires, c.now), "email": p.email, "verified_email": true, "access_type": "online",
	}, nil
}
