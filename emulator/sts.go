package emulator

import (
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"cel.dev/cel-go/common/types/ref"
)

const (
	stsHost = "sts.googleapis.com"

	tokenExchange   = "urn:ietf:params:oauth:grant-type:token-exchange"
	accessTokenType = "urn:ietf:params:oauth:token-type:access_token"
)

var subjectTokenTypes = []string{"urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token"}

var stringsType = reflect.TypeFor[[]string]()

// evaluate runs an expression of a mapping or condition.
func evaluate(expression string, vars map[string]any) (ref.Val, error) {
	p, err := mappingProgram(expression)
	if err != nil {
		return nil, err
	}
	v, _, err := p.Eval(vars)
	return v, err
}

// stsService is the Security Token Service: tokens for identities from elsewhere.
func stsService() *service {
	return &service{Name: stsHost, Title: "Security Token Service API", Methods: stsMethods()}
}

func stsMethods() []method {
	return []method{
		{id: "sts.token", host: stsHost, pattern: "POST /v1/token", public: true, writes: true, serve: exchangeToken},
		{id: "sts.introspect", host: stsHost, pattern: "POST /v1/introspect", public: true, serve: introspect},
	}
}

// parseParams returns the parameters of a call that come as a form or as JSON, by the
// names of the form.
func parseParams(c *call) (url.Values, error) {
	if !strings.HasPrefix(c.r.Header.Get("Content-Type"), "application/json") {
		return parseForm(c)
	}
	var body map[string]any
	if err := c.decode(&body); err != nil {
		return nil, oauthError(http.StatusBadRequest, "invalid_request", "Malformed JSON.")
	}
	v := url.Values{}
	for name, value := range body {
		text, ok := value.(string)
		if !ok {
			raw, err := json.Marshal(value)
			if err != nil {
				return nil, oauthError(http.StatusBadRequest, "invalid_request", "Malformed JSON.")
			}
			text = string(raw)
		}
		v.Set(snake(name), text)
	}
	return v, nil
}

// snake turns camelCase into snake_case.
func snake(name string) string {
	var b strings.Builder
	for _, r := range name {
		if 'A' <= r && r <= 'Z' {
			b.WriteByte('_')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// findProvider returns the provider that an audience names, with its name, if it and its
// pool let anybody in.
func findProvider(s *state, audience string) (pool *identityPool, name string, p *identityProvider) {
	name, ok := strings.CutPrefix(audience, "//"+iamHost+"/")
	poolName, id, split := strings.Cut(name, "/providers/")
	pool = s.Pools[poolName]
	if !ok || !split || pool == nil || pool.Disabled {
		return nil, "", nil
	}
	if p = pool.Providers[id]; p == nil || p.Disabled {
		return nil, "", nil
	}
	return pool, name, p
}

// exchangeToken gives an access token for a JWT of a pool's provider (RFC 8693).
func exchangeToken(c *call) (any, error) {
	in, err := parseParams(c)
	if err != nil {
		return nil, err
	}
	bad := func(kind, format string, args ...any) (any, error) {
		return nil, oauthError(http.StatusBadRequest, kind, format, args...)
	}
	switch {
	case in.Get("grant_type") != tokenExchange:
		return bad("unsupported_grant_type", "Invalid grant_type: %s", in.Get("grant_type"))
	case in.Get("requested_token_type") != accessTokenType:
		return bad("invalid_request", "Invalid requested_token_type: %s", in.Get("requested_token_type"))
	case !slices.Contains(subjectTokenTypes, in.Get("subject_token_type")):
		return bad("invalid_request", "The emulator does not exchange tokens of type %s.", in.Get("subject_token_type"))
	case in.Get("scope") == "":
		return bad("invalid_scope", "Scope is required.")
	}
	pool, name, provider := findProvider(c.state(), in.Get("audience"))
	if provider == nil {
		return bad("invalid_target", "The target service indicated by the \"audience\" parameters is invalid. "+
			"This might either be because the pool or provider is disabled or deleted or because it doesn't exist.")
	}
	assertion, err := readAssertion(provider, in.Get("subject_token"), name, c.now)
	if err != nil {
		return nil, err
	}
	who, err := identify(provider, pool.Name, assertion)
	if err != nil {
		return nil, err
	}
	c.caller = &principal{member: who.member(), email: who.member(), federated: who} // for the request log
	token, expires := c.state().issueToken(accessToken{Federated: who, Scopes: strings.Fields(in.Get("scope"))}, c.now, maxTokenLifetime)
	return map[string]any{"access_token": token, "issued_token_type": accessTokenType, "token_type": "Bearer",
		"expires_in": secondsLeft(expires, c.now)}, nil
}

// introspect tells what a federated token is for (RFC 7662). Of other tokens, and of
// dead ones, it says only that they are not active.
func introspect(c *call) (any, error) {
	in, err := parseParams(c)
	if err != nil {
		return nil, err
	}
	t := c.state().Tokens[tokenHash(in.Get("token"))]
	if t == nil || t.Federated == nil || t.expired(c.now) || c.state().subject(t, c.now) == nil {
		return map[string]any{"active": false}, nil
	}
	member := t.Federated.member()
	return map[string]any{
		"active": true, "scope": strings.Join(t.Scopes, " "), "username": member, "sub": member, "iss": "https://" + stsHost + "/",
		"token_type": "Bearer", "exp": t.Expires.Unix(), "iat": t.Expires.Add(-maxTokenLifetime).Unix(),
	}, nil
}
