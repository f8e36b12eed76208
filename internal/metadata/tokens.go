package metadata

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/taskiam/taskiam/internal/grants"
)

// serveToken answers with an access token, in the scopes that are asked for as far as
// they are within the run's.
func (s *Server) serveToken(w http.ResponseWriter, r *http.Request) {
	scopes := s.cfg.Scopes
	if r.URL.RawQuery != "" {
		var why *refusal
		if scopes, why = s.within(splitScopes(r.URL.Query()["scopes"])); why != nil {
			s.refuse(w, r, *why)
			return
		}
	}
	token, claim, why := s.access(r.Context(), scopes)
	if why != nil {
		s.refuse(w, r, *why)
		return
	}
	s.logToken(r, Event{Scopes: scopes, ExpiresIn: claim})
	value := reveal(token.Value)
	// By hand, because it is asked for so often. A token of Google's has nothing to quote;
	// should one ever, it is quoted.
	b := make([]byte, 0, len(value)+80)
	b = append(b, `{"access_token":`...)
	b = appendJSON(b, value)
	b = append(b, `,"expires_in":`...)
	b = strconv.AppendInt(b, int64(claim/time.Second), 10)
	b = append(b, `,"token_type":"Bearer"}`...)
	w.Header()["Cache-Control"] = noStore
	writeJSON(w, b)
}

var noStore = []string{"no-store"}

// appendJSON appends a string as JSON has it.
func appendJSON(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return append(b, encode(s)...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// access returns a token, and how much of its life is claimed: in whole seconds, and less
// than is left, so that no client believes in a token that is over.
func (s *Server) access(ctx context.Context, scopes []string) (grants.Token, time.Duration, *refusal) {
	return s.get(func() (grants.Token, error) { return s.cfg.Tokens.AccessToken(ctx, scopes) })
}

func (s *Server) get(mint func() (grants.Token, error)) (grants.Token, time.Duration, *refusal) {
	if s.ended() {
		return grants.Token{}, 0, &s.over
	}
	token, err := mint()
	if s.ended() { // while it was being made
		return grants.Token{}, 0, &s.over
	}
	if err != nil {
		why := explain(err)
		return grants.Token{}, 0, &why
	}
	left := token.Expires.Sub(s.cfg.Now()) - time.Second
	if end := *s.end.Load(); !end.IsZero() {
		left = min(left, end.Sub(s.cfg.Now()))
	}
	claim := min(left, MaxExpiresIn).Truncate(time.Second)
	if claim <= 0 {
		return grants.Token{}, 0, &refusal{
			code: http.StatusServiceUnavailable, text: "the token has just ended: ask again", retry: time.Second,
		}
	}
	return token, claim, nil
}

// gcloudAudience is gcloud's own client id. It asks for an identity token for it with
// every access token, goes on without one if there is none (404), and crashes if it is
// refused one (403).
const gcloudAudience = "32555940559.apps.googleusercontent.com"

// serveIdentity answers with an identity token. It is the same in both formats: what
// format=full adds is about a virtual machine, and there is none.
func (s *Server) serveIdentity(w http.ResponseWriter, r *http.Request) {
	audience := r.URL.Query().Get("audience")
	if audience == "" {
		s.refuse(w, r, refusal{code: http.StatusBadRequest, text: "non-empty audience parameter required"})
		return
	}
	if !slices.Contains(s.cfg.Audiences, audience) {
		why := refusal{code: http.StatusNotFound, text: "the run has no identity tokens for this audience"}
		if audience != gcloudAudience {
			why.err = errors.New(why.text)
		}
		s.refuse(w, r, why)
		return
	}
	token, _, why := s.get(func() (grants.Token, error) { return s.cfg.Tokens.IDToken(r.Context(), audience) })
	if why != nil {
		s.refuse(w, r, *why)
		return
	}
	s.logToken(r, Event{Audience: audience, ExpiresIn: token.Expires.Sub(s.cfg.Now())})
	w.Header()["Cache-Control"] = noStore
	writeText(w, reveal(token.Value))
}
