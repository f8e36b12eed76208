package emulator

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/iam"
)

const (
	buildPool = "projects/567890123456/locations/global/workloadIdentityPools/builds"
	provider  = "//iam.googleapis.com/" + buildPool + "/providers/forge"
	stsToken  = "https://sts.googleapis.com/v1/token"
	idToken   = "urn:ietf:params:oauth:token-type:id_token"
	forgeRepo = "principalSet://iam.googleapis.com/" + buildPool + "/attribute.repository/acme/app"
)

// forge is an identity provider elsewhere, with a key of each kind.
type forge struct {
	rsa *rsa.PrivateKey
	ec  *ecdsa.PrivateKey
}

// newForge makes one, and an emulator whose pool trusts it.
func newForge(t *testing.T) (forge, *lab) {
	t.Helper()
	var f forge
	var err error
	if f.rsa, err = pooledKey(); err != nil {
		t.Fatal(err)
	}
	if f.ec, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	point, err := f.ec.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	number := base64.RawURLEncoding.EncodeToString
	keys, err := json.Marshal(map[string]any{"keys": []any{
		map[string]string{"kty": "RSA", "kid": "r1", "n": number(f.rsa.N.Bytes()), "e": number(big.NewInt(int64(f.rsa.E)).Bytes())},
		map[string]string{"kty": "EC", "crv": "P-256", "kid": "e1", "x": number(point[1:33]), "y": number(point[33:])},
	}})
	if err != nil {
		t.Fatal(err)
	}
	seed := string(acme) + `
[[pool]]
project = "acme-agents"
id = "builds"
[[pool.provider]]
id = "forge"
issuer = "https://forge.example"
jwks = '` + string(keys) + `'
condition = "assertion.owner == 'acme' && attribute.repository.startsWith('acme/') && google.subject != 'banned'"
[pool.provider.mapping]
"google.subject" = "assertion.sub"
"google.groups" = "assertion.teams"
"attribute.repository" = "assertion.repository"
"attribute.branch" = "assertion.ref.extract('refs/heads/{branch}')"
[[pool.provider]]
id = "named"
issuer = "https://forge.example"
jwks = '` + string(keys) + `'
audiences = ["taskiam"]
mapping = { "google.subject" = "'forge::' + assertion.sub" }
[[pool.provider]]
id = "switched-off"
disabled = true
issuer = "https://forge.example"
jwks = '` + string(keys) + `'
mapping = { "google.subject" = "assertion.sub" }
[[pool]]
project = "acme-agents"
id = "closed"
disabled = true
[[pool.provider]]
id = "forge"
issuer = "https://forge.example"
jwks = '` + string(keys) + `'
mapping = { "google.subject" = "assertion.sub" }
`
	return f, newLab(t, func(c *Config) { c.Seed = []byte(seed) })
}

// claims are those of a build.
func (f forge) claims(change map[string]any) map[string]any {
	c := map[string]any{"iss": "https://forge.example", "sub": "build-7", "aud": "https:" + provider, "iat": epoch.Unix(), "exp": epoch.Add(10 * time.Minute).Unix(),
		"owner": "acme", "repository": "acme/app", "ref": "refs/heads/main", "teams": []string{"release"}}
	for k, v := range change {
		if c[k] = v; v == nil {
			delete(c, k)
		}
	}
	return c
}

func (f forge) es256(t *testing.T, claims map[string]any) string {
	t.Helper()
	part := func(v any) string {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	text := part(map[string]string{"alg": "ES256", "kid": "e1"}) + "." + part(claims)
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, f.ec, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// exchange sends the token exchange as a form.
func (l *lab) exchange(token string, change url.Values) response {
	l.t.Helper()
	form := url.Values{"grant_type": {grantExchange}, "audience": {provider}, "scope": {cloudPlatform}, "requested_token_type": {typeAccessToken},
		"subject_token": {token}, "subject_token_type": {idToken}}
	for k, v := range change {
		form[k] = v
	}
	return l.do("", "POST", stsToken, form.Encode())
}

func TestTokenExchange(t *testing.T) {
	t.Parallel()
	f, l := newForge(t)
	r := l.exchange(sign(t, f.rsa, "r1", f.claims(nil)), nil)
	if r.code != 200 || r.str("token_type") != "Bearer" || r.str("issued_token_type") != typeAccessToken || r.body["expires_in"] != float64(3600) {
		t.Fatalf("the exchange answers %d %s", r.code, r.raw)
	}
	token := r.str("access_token")
	const member = "principal://iam.googleapis.com/" + buildPool + "/subject/build-7"

	info := l.do("", "POST", "https://sts.googleapis.com/v1/introspect", url.Values{"token": {token}}.Encode())
	if info.body["active"] != true || info.str("username") != member || info.str("scope") != cloudPlatform {
		t.Errorf("introspection says %s", info.raw)
	}
	for _, other := range []string{"ya29.nonsense", noah} {
		if r := l.do("", "POST", "https://sts.googleapis.com/v1/introspect", url.Values{"token": {other}}.Encode()); r.body["active"] != false {
			t.Errorf("introspection of another token says %s", r.raw)
		}
	}
	if r := l.do("", "GET", "https://oauth2.googleapis.com/tokeninfo?access_token="+token, ""); r.code != 400 {
		t.Errorf("tokeninfo of a federated token says %s", r.raw)
	}

	// It is a principal of its own, and one of sets.
	const data = crm + "v1/projects/acme-data"
	l.want(l.do(token, "GET", data, ""), 403, "PERMISSION_DENIED")
	for _, bound := range []string{member, forgeRepo, "principalSet://iam.googleapis.com/" + buildPool + "/group/release",
		"principalSet://iam.googleapis.com/" + buildPool + "/attribute.branch/main", "principalSet://iam.googleapis.com/" + buildPool + "/*"} {
		before := l.getPolicy(3)
		l.bindData(iam.Binding{Role: "roles/browser", Members: []string{bound}})
		if r := l.do(token, "GET", data, ""); r.code != 200 {
			t.Errorf("bound as %s: %d", bound, r.code)
		}
		before.Etag = ""
		if r := l.setPolicy(before); r.code != 200 {
			t.Fatal(r.raw)
		}
	}

	// It impersonates accounts that let it.
	email := l.account("ti-built")
	mint := func() response {
		return l.do(token, "POST", creds+email+":generateAccessToken", `{"scope":["`+cloudPlatform+`"],"lifetime":"600s"}`)
	}
	l.want(mint(), 403, "PERMISSION_DENIED")
	l.must(l.operator, "POST", accounts+"/"+email+":setIamPolicy", `{"policy":{"bindings":[{"role":"roles/iam.workloadIdentityUser","members":["`+forgeRepo+`"]}]}}`)
	if r := mint(); r.code != 200 || r.str("accessToken") == "" {
		t.Errorf("impersonation: %d %s", r.code, r.raw)
	}

	l.Advance(time.Hour)
	l.want(l.do(token, "GET", data, ""), 401, "UNAUTHENTICATED")
	if r := l.do("", "POST", "https://sts.googleapis.com/v1/introspect", url.Values{"token": {token}}.Encode()); r.body["active"] != false {
		t.Errorf("introspection of an expired token says %s", r.raw)
	}
}

func TestTokenExchangeForms(t *testing.T) {
	t.Parallel()
	f, l := newForge(t)
	body, err := json.Marshal(map[string]any{"grantType": grantExchange, "audience": provider, "scope": cloudPlatform,
		"requestedTokenType": typeAccessToken, "subjectToken": f.es256(t, f.claims(nil)), "subjectTokenType": "urn:ietf:params:oauth:token-type:jwt"})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), "POST", stsToken, strings.NewReader(string(body)))
	r.Header.Set("Content-Type", "application/json")
	if got := l.send(r); got.code != 200 || got.str("access_token") == "" {
		t.Errorf("as JSON, by ES256: %d %s", got.code, got.raw)
	}
	named := url.Values{"audience": {strings.Replace(provider, "/forge", "/named", 1)}}
	if got := l.exchange(sign(t, f.rsa, "r1", f.claims(map[string]any{"aud": []string{"x", "taskiam"}})), named); got.code != 200 {
		t.Errorf("for an audience of the provider's own: %s", got.raw)
	} else if info := l.do("", "POST", "https://sts.googleapis.com/v1/introspect", url.Values{"token": {got.str("access_token")}}.Encode()); !strings.HasSuffix(info.str("username"), "/subject/forge::build-7") {
		t.Errorf("the subject is %s", info.raw)
	}
}

func TestTokenExchangeRefusals(t *testing.T) {
	t.Parallel()
	f, l := newForge(t)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	good := sign(t, f.rsa, "r1", f.claims(nil))
	with := func(claim string, v any) string { return sign(t, f.rsa, "r1", f.claims(map[string]any{claim: v})) }
	for _, tt := range []struct {
		name, token string
		form        url.Values
		want        string
	}{
		{"another grant", good, url.Values{"grant_type": {grantJWT}}, "unsupported_grant_type"},
		{"no audience", good, url.Values{"audience": {""}}, "invalid_target"},
		{"no such pool", good, url.Values{"audience": {strings.Replace(provider, "builds", "missing", 1)}}, "invalid_target"},
		{"no such provider", good, url.Values{"audience": {provider + "2"}}, "invalid_target"},
		{"a disabled provider", good, url.Values{"audience": {strings.Replace(provider, "/forge", "/switched-off", 1)}}, "invalid_target"},
		{"a disabled pool", good, url.Values{"audience": {strings.Replace(provider, "builds", "closed", 1)}}, "invalid_target"},
		{"no scope", good, url.Values{"scope": {""}}, "invalid_scope"},
		{"another token wanted", good, url.Values{"requested_token_type": {idToken}}, "invalid_request"},
		{"another token given", good, url.Values{"subject_token_type": {"urn:ietf:params:oauth:token-type:saml2"}}, "invalid_request"},
		{"no token", "", nil, "invalid_grant"},
		{"not a JWT", "a.b.c", nil, "invalid_grant"},
		{"no key id", sign(t, f.rsa, "", f.claims(nil)), nil, "invalid_grant"},
		{"an unknown key", sign(t, f.rsa, "r2", f.claims(nil)), nil, "invalid_grant"},
		{"the other kind of key", sign(t, f.rsa, "e1", f.claims(nil)), nil, "invalid_grant"},
		{"another's signature", sign(t, other, "r1", f.claims(nil)), nil, "invalid_grant"},
		{"another issuer", with("iss", "https://evil.example"), nil, "invalid_grant"},
		{"another audience", with("aud", "https://elsewhere.example"), nil, "invalid_grant"},
		{"expired", with("exp", epoch.Add(-time.Second).Unix()), nil, "invalid_grant"},
		{"from the future", with("iat", epoch.Add(time.Hour).Unix()), nil, "invalid_grant"},
		{"for too long", with("exp", epoch.Add(25*time.Hour).Unix()), nil, "invalid_grant"},
		{"no subject", with("sub", nil), nil, "invalid_grant"},
		{"an empty subject", with("sub", ""), nil, "invalid_grant"},
		{"a subject that is no string", with("sub", 7), nil, "invalid_grant"},
		{"a subject of 128 bytes", with("sub", strings.Repeat("x", 128)), nil, "invalid_request"},
		{"groups that are no list", with("teams", "release"), nil, "invalid_grant"},
		{"a claim that is missing", with("repository", nil), nil, "invalid_grant"},
		{"too much in attributes", with("repository", "acme/"+strings.Repeat("x", 8192)), nil, "invalid_request"},
		{"the condition", with("owner", "evil"), nil, "unauthorized_client"},
		{"the condition, a claim that is missing", with("owner", nil), nil, "unauthorized_client"},
		{"the condition, by an attribute", with("repository", "evil/app"), nil, "unauthorized_client"},
		{"the condition, by the subject", with("sub", "banned"), nil, "unauthorized_client"},
	} {
		if r := l.exchange(tt.token, tt.form); r.code != 400 || r.str("error") != tt.want {
			t.Errorf("%s: %d %s, want %s", tt.name, r.code, r.raw, tt.want)
		}
	}
	if r := l.exchange(with("sub", strings.Repeat("x", 127)), nil); r.code != 200 {
		t.Errorf("a subject of 127 bytes: %s", r.raw)
	}
	// A pool that is disabled takes its tokens with it.
	token := l.exchange(good, nil).str("access_token")
	l.wire.State().Pools[buildPool].Disabled = true
	l.want(l.do(token, "GET", crm+"v1/projects/acme-data", ""), 401, "UNAUTHENTICATED")
}

func TestPoolSeedRefusals(t *testing.T) {
	t.Parallel()
	const head = "[operator]\nmember = 'user:o@acme.example'\n[[project]]\nid = 'p'\nnumber = '1'\n[[pool]]\nproject = 'p'\nid = 'builds'\n"
	const one = head + "[[pool.provider]]\nid = 'forge'\nissuer = 'i'\njwks = '{\"keys\":[{\"kty\":\"oct\"}]}'\n"
	for name, seed := range map[string]string{
		"no project":   strings.Replace(head, "project = 'p'", "project = 'q'", 1),
		"a short id":   strings.Replace(head, "'builds'", "'b'", 1),
		"twice":        head + "[[pool]]\nproject = 'p'\nid = 'builds'\n",
		"no issuer":    strings.Replace(one, "issuer = 'i'\n", "", 1),
		"a secret key": one + "mapping = {'google.subject' = 'assertion.sub'}\n",
	} {
		if _, err := New(Config{Seed: []byte(seed)}); err == nil || !strings.Contains(err.Error(), "identity pool") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
