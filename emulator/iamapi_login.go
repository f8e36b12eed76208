package emulator

import (
	"crypto/subtle"
	"net/http"
	"net/url"
)

// The OAuth client of the operator's login. As with every installed application,
// its secret is none (RFC 8252, section 8.5).
const (
	loginClient       = "taskiam-emulator.apps.googleusercontent.com"
	loginClientSecret = "not-a-secret"

	refreshGrant = "refresh_token"
)

// renewLogin gives the operator an access token for the refresh token of its login
// (RFC 6749, section 6).
func renewLogin(c *call, form url.Values) (any, error) {
	if form.Get("client_id") != loginClient || form.Get("client_secret") != loginClientSecret {
		return nil, oauthError(http.StatusUnauthorized, "invalid_client", "The OAuth client was not found.")
	}
	shown, kept := form.Get(refreshGrant), c.state().RefreshToken.Reveal()
	if kept == "" || subtle.ConstantTimeCompare([]byte(shown), []byte(kept)) != 1 {
		return nil, oauthError(http.StatusBadRequest, "invalid_grant", "Token has been expired or revoked.")
	}
	st := c.state()
	t := &accessToken{Person: st.Operator, Expires: c.now.Add(maxTokenLifetime)}
	token := newToken()
	st.Tokens[tokenHash(token)] = t
	c.caller = &principal{member: "user:" + t.Person, email: t.Person} // for the request log
	scope, _ := tokenFacts(t, c.now)
	return map[string]any{
		"access_token": token, "expires_in": secondsLeft(t.Expires, c.now), "scope": scope, "token_type": "Bearer",
	}, nil
}
