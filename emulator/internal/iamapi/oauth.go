package iamapi

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

const (
	oauthHost = "oauth2.googleapis.com"
	tokenURI  = "https://oauth2.googleapis.com/token"

	jwtBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer"
)

func oauthMethods() []wire.Method {
	return []wire.Method{
		{ID: "oauth2.token", Host: oauthHost, Pattern: "POST /token", Public: true, Writes: true, Serve: exchangeJWT},
		{ID: "oauth2.token", Host: "accounts.google.com", Pattern: "POST /o/oauth2/token", Public: true, Writes: true,
			Serve: exchangeJWT},
		{ID: "oauth2.token", Host: "www.googleapis.com", Pattern: "POST /oauth2/v4/token", Public: true, Writes: true,
			Serve: exchangeJWT},
		{ID: "oauth2.tokeninfo", Host: oauthHost, Pattern: "GET /tokeninfo", Public: true, Serve: tokenInfo},
		{ID: "oauth2.tokeninfo", Host: oauthHost, Pattern: "POST /tokeninfo", Public: true, Serve: tokenInfo},
		{ID: "oauth2.tokeninfo", Host: "www.googleapis.com", Pattern: "GET /oauth2/v3/tokeninfo", Public: true,
			Serve: tokenInfo},
		{ID: "oauth2.tokeninfo", Host: "www.googleapis.com", Pattern: "POST /oauth2/v3/tokeninfo", Public: true,
			Serve: tokenInfo},
		{ID: "oauth2.v1.tokeninfo", Host: "www.googleapis.com", Pattern: "GET /oauth2/v1/tokeninfo", Public: true,
			Serve: tokenInfoV1},
		{ID: "oauth2.v1.tokeninfo", Host: "www.googleapis.com", Pattern: "POST /oauth2/v1/tokeninfo", Public: true,
			Serve: tokenInfoV1},
	}
}

// parseForm returns the parameters of a call, of its query and of its body.
func parseForm(c *wire.Call) (url.Values, error) {
	v, err := url.ParseQuery(string(c.Body))
	if err != nil {
		return nil, wire.OAuthError(http.StatusBadRequest, "invalid_request", "Malformed form.")
	}
	for name, values := range c.Request.URL.Query() {
		v[name] = append(v[name], values...)
	}
	return v, nil
}

// exchangeJWT gives an access token for a JWT that a key of an account has signed
// (RFC 7523).
func exchangeJWT(c *wire.Call) (any, error) {
	form, err := parseForm(c)
	if err != nil {
		return nil, err
	}
	bad := func(format string, args ...any) error {
		return wire.OAuthError(http.StatusBadRequest, "invalid_grant", format, args...)
	}
	switch g := form.Get("grant_type"); g {
	case jwtBearer:
	case refreshGrant:
		return renewLogin(c, form)
	default:
		return nil, wire.OAuthError(http.StatusBadRequest, "unsupported_grant_type", "Invalid grant_type: %s", g)
	}
	a, claims, err := c.State().VerifyJWT(form.Get("assertion"), c.Now)
	switch err {
	case nil:
	case iam.ErrUnknownAccount:
		return nil, bad("Invalid grant: account not found")
	case iam.ErrAccountDisabled:
		return nil, bad("Account disabled: %s", claims.Issuer)
	case iam.ErrJWTSignature:
		return nil, bad("Invalid JWT Signature.")
	case iam.ErrJWTTimes:
		return nil, bad("Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. " +
			"Check your iat and exp values in the JWT claim.")
	default:
		return nil, bad("Invalid JWT: the assertion cannot be read.")
	}
	if !slices.ContainsFunc(claims.Audience, func(aud string) bool { return isTokenEndpoint(c, aud) }) {
		return nil, bad("Invalid JWT: Failed audience check. The right audience is %s", tokenURI)
	}
	if claims.Subject != "" && claims.Subject != a.Email {
		return nil, wire.OAuthError(http.StatusUnauthorized, "unauthorized_client",
			"Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of "+
				"the scopes requested.")
	}
	if audience := claims.TargetAudience; audience != "" { // an identity token, which takes no permission with a key
		c.Caller = &iam.Principal{Member: a.Member(), Email: a.Email, Account: a}
		token, err := idToken(c, a, map[string]any{
			"aud": audience, "azp": a.Email, "email": a.Email, "email_verified": true,
		})
		if err != nil {
			return nil, err
		}
		return map[string]any{"id_token": token}, nil
	}
	scopes := strings.Fields(claims.Scope)
	if len(scopes) == 0 {
		return nil, wire.OAuthError(http.StatusBadRequest, "invalid_scope",
			"Invalid OAuth scope or ID token audience provided.")
	}
	c.Caller = &iam.Principal{Member: a.Member(), Email: a.Email, Account: a} // for the request log
	token, expires := c.State().IssueFor(a, scopes, c.Now, maxTokenLifetime)
	return map[string]any{"access_token": token, "expires_in": secondsLeft(expires, c.Now), "token_type": "Bearer"}, nil
}

// secondsLeft is rounded down, so that no client believes a token to live longer.
func secondsLeft(expires, now time.Time) int { return max(int(expires.Sub(now)/time.Second), 0) }

// isTokenEndpoint reports whether aud is the token endpoint: at its production
// name, whichever of its older ones, or where the client reached the emulator.
func isTokenEndpoint(c *wire.Call, aud string) bool {
	switch aud {
	case tokenURI, "https://accounts.google.com/o/oauth2/token", "https://www.googleapis.com/oauth2/v4/token":
		return true
	}
	return aud == c.BaseURL()+c.Request.URL.Path
}

// askedToken returns the token that tokeninfo is asked about, and its principal.
func askedToken(c *wire.Call) (*iam.AccessToken, *iam.Principal, error) {
	form, err := parseForm(c)
	if err != nil {
		return nil, nil, err
	}
	t := c.State().Tokens[iam.TokenHash(form.Get("access_token"))]
	if t == nil || t.Expired(c.Now) {
		return nil, nil, wire.OAuthError(http.StatusBadRequest, "invalid_token", "Invalid Value")
	}
	p := c.State().PrincipalOf(t, c.Now)
	if p == nil || p.Federated != nil { // federated tokens are introspected elsewhere
		return nil, nil, wire.OAuthError(http.StatusBadRequest, "invalid_token", "Invalid Value")
	}
	return t, p, nil
}

// principalID returns what Google calls the principal: a number.
func principalID(c *wire.Call, p *iam.Principal) string {
	if p.Account != nil {
		return p.Account.UniqueID
	}
	if person := c.State().People[p.Email]; person != nil {
		return person.ID
	}
	return ""
}

// tokenFacts are what both forms of tokeninfo say.
func tokenFacts(t *iam.AccessToken, now time.Time) (scope string, expires time.Time) {
	scopes := t.Scopes
	if scopes == nil {
		scopes = []string{wire.ScopePrefix + "cloud-platform", wire.ScopePrefix + "userinfo.email", "openid"}
	}
	expires = t.Expires
	if expires.IsZero() {
		expires = now.Add(maxTokenLifetime)
	}
	return strings.Join(scopes, " "), expires
}

func tokenInfo(c *wire.Call) (any, error) {
	t, p, err := askedToken(c)
	if err != nil {
		return nil, err
	}
	scope, expires := tokenFacts(t, c.Now)
	return map[string]string{
		"azp": principalID(c, p), "aud": principalID(c, p), "sub": principalID(c, p), "scope": scope,
		"exp":        fmt.Sprint(expires.Unix()),
		"expires_in": fmt.Sprint(secondsLeft(expires, c.Now)), "email": p.Email, "email_verified": "true",
		"access_type": "online",
	}, nil
}

func tokenInfoV1(c *wire.Call) (any, error) {
	t, p, err := askedToken(c)
	if err != nil {
		return nil, err
	}
	scope, expires := tokenFacts(t, c.Now)
	return map[string]any{
		"issued_to": principalID(c, p), "audience": principalID(c, p), "user_id": principalID(c, p), "scope": scope,
		"expires_in": secondsLeft(expires, c.Now), "email": p.Email, "verified_email": true, "access_type": "online",
	}, nil
}
