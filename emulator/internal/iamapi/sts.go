package iamapi

import (
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"cel.dev/cel-go/common/types/ref"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
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

func stsMethods() []wire.Method {
	return []wire.Method{
		{ID: "sts.token", Host: stsHost, Pattern: "POST /v1/token", Public: true, Writes: true, Serve: exchangeToken},
		{ID: "sts.introspect", Host: stsHost, Pattern: "POST /v1/introspect", Public: true, Serve: introspect},
	}
}

// parseParams returns the parameters of a call that come as a form or as JSON, by the
// names of the form.
func parseParams(c *wire.Call) (url.Values, error) {
	if !strings.HasPrefix(c.Request.Header.Get("Content-Type"), "application/json") {
		return parseForm(c)
	}
	var body map[string]any
	if err := c.Decode(&body); err != nil {
		return nil, wire.OAuthError(http.StatusBadRequest, "invalid_request", "Malformed JSON.")
	}
	v := url.Values{}
	for name, value := range body {
		text, ok := value.(string)
		if !ok {
			raw, err := json.Marshal(value)
			if err != nil {
				return nil, wire.OAuthError(http.StatusBadRequest, "invalid_request", "Malformed JSON.")
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
func findProvider(s *wire.State, audience string) (pool *iam.IdentityPool, name string, p *iam.IdentityProvider) {
	name, ok := strings.CutPrefix(audience, "//"+iam.Host+"/")
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

// exchangeToken gives an access token for a JWT of a pool's provider, or for another access token (RFC 8693).
func exchangeToken(c *wire.Call) (any, error) {
	in, err := parseParams(c)
	if err != nil {
		return nil, err
	}
	bad := func(kind, format string, args ...any) (any, error) {
		return nil, wire.OAuthError(http.StatusBadRequest, kind, format, args...)
	}
	switch {
	case in.Get("grant_type") != tokenExchange:
		return bad("unsupported_grant_type", "Invalid grant_type: %s", in.Get("grant_type"))
	case in.Get("requested_token_type") != accessTokenType:
		return bad("invalid_request", "Invalid requested_token_type: %s", in.Get("requested_token_type"))
	case in.Get("subject_token_type") == accessTokenType:
		return downscope(c, in)
	case !slices.Contains(subjectTokenTypes, in.Get("subject_token_type")):
		return bad("invalid_request", "The emulator does not exchange tokens of type %s.", in.Get("subject_token_type"))
	case in.Get("scope") == "":
		return bad("invalid_scope", "Scope is required.")
	}
	pool, name, provider := findProvider(c.State(), in.Get("audience"))
	if provider == nil {
		return bad("invalid_target", "The target service indicated by the \"audience\" parameters is invalid. "+
			"This might either be because the pool or provider is disabled or deleted or because it doesn't exist.")
	}
	assertion, err := readAssertion(provider, in.Get("subject_token"), name, c.Now)
	if err != nil {
		return nil, err
	}
	who, err := identify(provider, pool.Name, assertion)
	if err != nil {
		return nil, err
	}
	c.Caller = &iam.Principal{Member: who.Member(), Email: who.Member(), Federated: who} // for the request log
	token, expires := c.State().Issue(iam.AccessToken{Federated: who, Scopes: strings.Fields(in.Get("scope"))}, c.Now,
		maxTokenLifetime)
	return map[string]any{"access_token": token, "issued_token_type": accessTokenType, "token_type": "Bearer",
		"expires_in": secondsLeft(expires, c.Now)}, nil
}

// introspect tells what a federated token is for (RFC 7662). Of other tokens, and of
// expired ones, it says only that they are not active.
func introspect(c *wire.Call) (any, error) {
	in, err := parseParams(c)
	if err != nil {
		return nil, err
	}
	t := c.State().Tokens[iam.TokenHash(in.Get("token"))]
	if t == nil || t.Federated == nil || t.Expired(c.Now) || c.State().PrincipalOf(t, c.Now) == nil {
		return map[string]any{"active": false}, nil
	}
	member := t.Federated.Member()
	return map[string]any{
		"active": true, "scope": strings.Join(t.Scopes, " "), "username": member, "sub": member,
		"iss":        "https://" + stsHost + "/",
		"token_type": "Bearer", "exp": t.Expires.Unix(), "iat": t.Expires.Add(-maxTokenLifetime).Unix(),
	}, nil
}
