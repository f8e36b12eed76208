package iamapi

import (
	"crypto/subtle"
	"net/http"
	"net/url"

	"github.com/taskiam/taskiam/emulator/internal/wire"
)

// The OAuth client of the operator's login. As with every installed application,
// its secret is none (RFC 8252, section 8.5).
const (
	LoginClient       = "taskiam-emulator.apps.googleusercontent.com"
	LoginClientSecret = "not-a-secret"

	refreshGrant = "refresh_token"
)

// renewLogin gives the operator an access token for the refresh token of its login
// (RFC 6749, section 6).
func renewLogin(c *wire.Call, form url.Values) (any, error) {
	if form.Get("client_id") != LoginClient || form.Get("client_secret") != LoginClientSecret {
		return nil, wire.OAuthError(http.StatusUnauthorized, "invalid_client", "The OAuth client was not found.")
	}
	shown, kept := form.Get(refreshGrant), c.State().RefreshToken.Reveal()
	if kept == "" || subtle.ConstantTimeCompare([]byte(shown), []byte(kept)) != 1 {
		return nil, wire.OAuthError(http.StatusBadRequest, "invalid_grant", "Token has been expired or revoked.")
	}
	st := c.State()
	t, err := st.TokenOf(st.Operator)
	if err == nil {
		c.Caller = st.PrincipalOf(&t, c.Now) // for the request log
	}
	if c.Caller == nil { // an account that is disabled or gone, a pool that is disabled
		return nil, wire.OAuthError(http.StatusBadRequest, "invalid_grant", "Account has been disabled or deleted.")
	}
	t.Login = true
	token, expires := st.Issue(t, c.Now, maxTokenLifetime)
	scope, _ := tokenFacts(&t, c.Now)
	return map[string]any{
		"access_token": token, "expires_in": secondsLeft(expires, c.Now), "scope": scope, "token_type": "Bearer",
	}, nil
}
