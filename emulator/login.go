package emulator

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"

	"github.com/taskiam/taskiam/internal/secret"
)

// The OAuth client of the operator's login. As with every installed application,
// its secret is none (RFC 8252, section 8.5).
const (
	loginClient       = "taskiam-emulator.apps.googleusercontent.com"
	loginClientSecret = "not-a-secret"

	refreshGrant = "refresh_token"
)

// login is the operator's login as Google's libraries keep that of a person: the
// application default credentials that `gcloud auth application-default login` would
// leave. Of the file types that stand for a person it is the only one that all
// libraries read; they renew it at [tokenURI], whatever the file says, so it works
// through the proxy.
type login struct {
	Type         string `json:"type"`
	Account      string `json:"account"`
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
	RefreshToken string `json:"refresh_token"`
	Universe     string `json:"universe_domain"`
}

// loginFile is the name of the login in [Config.Dir].
const loginFile = "adc.json"

// openLogin writes the operator's login, with the refresh token of an earlier start
// if there is one.
func (s *Server) openLogin() error {
	path := filepath.Join(s.cfg.Dir, loginFile)
	var l login
	raw, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading the operator's login: %w", err)
	}
	// What is there and cannot be read is written anew: it is ours.
	if json.Unmarshal(raw, &l) != nil || l.RefreshToken == "" {
		l.RefreshToken = "1//0" + strings.TrimPrefix(newToken(), tokenPrefix)
	}
	s.refresh = secret.New(l.RefreshToken)
	raw, err = json.MarshalIndent(login{
		Type: "authorized_user", Account: s.state.Operator, ClientID: loginClient, ClientSecret: loginClientSecret,
		RefreshToken: l.RefreshToken, Universe: "googleapis.com",
	}, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the operator's login: %w", err)
	}
	if err := renameio.WriteFile(path, append(raw, '\n'), 0o600, renameio.IgnoreUmask()); err != nil {
		return fmt.Errorf("writing the operator's login: %w", err)
	}
	return nil
}

// renewLogin gives the operator an access token for the refresh token of its login
// (RFC 6749, section 6).
func renewLogin(c *call, form url.Values) (any, error) {
	if form.Get("client_id") != loginClient || form.Get("client_secret") != loginClientSecret {
		return nil, oauthError(http.StatusUnauthorized, "invalid_client", "The OAuth client was not found.")
	}
	shown, kept := form.Get(refreshGrant), c.server.refresh.Reveal()
	if kept == "" || subtle.ConstantTimeCompare([]byte(shown), []byte(kept)) != 1 {
		return nil, oauthError(http.StatusBadRequest, "invalid_grant", "Token has been expired or revoked.")
	}
	st := c.state()
	t := &accessToken{Person: st.Operator, Expires: c.now.Add(maxTokenLifetime)}
	token := newToken()
	st.Tokens[tokenHash(token)] = t
	c.caller = &principal{member: "user:" + t.Person, email: t.Person} // for the request log
	scope, _ := t.facts(c.now)
	return map[string]any{
		"access_token": token, "expires_in": secondsLeft(t.Expires, c.now), "scope": scope, "token_type": "Bearer",
	}, nil
}
