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

// serveToken answers with an access token, with those of the requested scopes that are
// within the run's.
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
	// Encoded by hand, because this is requested so often. Google's tokens contain nothing
	// that needs escaping; if one ever does, it is escaped.
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

// appendJSON appends a string in JSON.
func appendJSON(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return append(b, encode(s)...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// access returns a token and the life that the answer claims for it: whole seconds, and
// less than is left, so that no client uses a token that has ended.
func (s *Server) access(ctx context.Context, scopes []string) (grants.Token, time.Duration, *refusal) {
	return s.get(func() (grants.Token, error) { return s.cfg.Tokens.AccessToken(ctx, scopes) })
}

func (s *Server) get(mint func() (grants.Token, error)) (grants.Token, time.Duration, *refusal) {
	if why := s.over(); why != nil {
		return grants.Token{}, 0, why
	}
	token, err := mint()
	if why := s.over(); why != nil { // while it was being made
		return grants.Token{}, 0, why
	}
	if err != nil {
		why := explain(err)
		return grants.Token{}, 0, &why
	}
	claim := s.claim(token.Expires.Sub(s.cfg.Now()) - time.Second)
	if claim <= 0 {
		return grants.Token{}, 0, &refusal{
			code: http.StatusServiceUnavailable, text: "the token has just ended: ask again", retry: time.Second,
		}
	}
	return token, claim, nil
}

// gcloudAudience is gcloud's own client id. With every access token, gcloud asks for an
// identity token for it. On a 404 it goes on without one; on a 403 it crashes.
const gcloudAudience = "32555940559.apps.googleusercontent.com"

// serveIdentity answers with an identity token. Both formats get the same: format=full
// adds facts about a virtual machine, and there is none.
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
