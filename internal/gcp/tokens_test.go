package gcp

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/secret"
)

// An identity token says who the account is, to one audience, for an hour; and to whom
// it is given is for IAM to decide.
func TestIDToken(t *testing.T) {
	t.Parallel()
	const audience = "https://reports.example"
	_, c := company(t)
	a := newAccount(t, c)
	if _, err := c.IDToken(t.Context(), a.Email, audience); !fault.Is(err, fault.Denied) {
		t.Errorf("an owner's identity token of an account: %v, want denied", err)
	}
	minter := c.As(noah)
	token, err := minter.IDToken(t.Context(), a.Email, audience)
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(token.Expires); left < 59*time.Minute || left > time.Hour {
		t.Errorf("the token lasts %s, want an hour", left)
	}
	var claims struct {
		Audience string `json:"aud"`
		Subject  string `json:"sub"`
		Email    string `json:"email"`
	}
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(token.Value.Reveal(), ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &claims); err != nil {
		t.Fatal(err)
	}
	if claims.Audience != audience || claims.Subject != a.UniqueID || claims.Email != a.Email {
		t.Errorf("the token says %+v", claims)
	}
	if _, err := minter.IDToken(t.Context(), a.Email, ""); !fault.Is(err, fault.Invalid) {
		t.Errorf("an identity token for nobody: %v, want invalid", err)
	}
}

func TestJWTExpiry(t *testing.T) {
	t.Parallel()
	claims := func(s string) string { return "e30." + base64.RawURLEncoding.EncodeToString([]byte(s)) + ".c2ln" }
	got, err := jwtExpiry(claims(`{"exp":1795521600,"aud":"x"}`))
	if want := time.Unix(1795521600, 0); err != nil || !got.Equal(want) {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
	for _, token := range []string{"", "a.b", "a.!.c", claims("no JSON"), claims(`{}`), claims(`{"exp":"soon"}`), claims(`{"exp":-1}`)} {
		if _, err := jwtExpiry(token); err == nil {
			t.Errorf("%q ends, by its claims", token)
		} else if len(token) > 3 && strings.Contains(err.Error(), token) {
			t.Errorf("the error quotes the token: %v", err)
		}
	}
}

// A lifetime of no second would be left out of the request, and Google would make a token of an hour.
func TestNoTokenForNoTime(t *testing.T) {
	t.Parallel()
	asked := 0
	c := newTestClient(t, inMemory(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		respond(w, 200, `{"accessToken":"t","expireTime":"2030-01-01T00:00:00Z"}`)
	})), func(cfg *Config) { cfg.Credential = StaticToken(secret.New("operator")) })
	for _, lifetime := range []time.Duration{time.Second - 1, 0, -time.Minute} {
		if token, err := c.AccessToken(t.Context(), agent, lifetime); !fault.Is(err, fault.Invalid) || asked > 0 {
			t.Errorf("for %s: a token until %s, %v", lifetime, token.Expires, err)
		}
	}
	if _, err := c.AccessToken(t.Context(), agent, time.Second); err != nil || asked != 1 {
		t.Errorf("for a second: %v", err)
	}
}
