package emulator

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/iam"
)

// sign makes a JWT of the claims.
func sign(t *testing.T, key *rsa.PrivateKey, kid string, claims map[string]any) string {
	t.Helper()
	part := func(v any) string {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	text := part(map[string]string{"alg": "RS256", "typ": "JWT", "kid": kid}) + "." + part(claims)
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

const cloudPlatform = "https://www.googleapis.com/auth/cloud-platform"

// grant is what a client sends to the token endpoint.
func (l *lab) grant(assertion string) response {
	l.t.Helper()
	form := url.Values{"grant_type": {grantJWT}, "assertion": {assertion}}
	return l.do("", "POST", "https://oauth2.googleapis.com/token", form.Encode())
}

// assertion is a JWT for the token endpoint.
func assertion(t *testing.T, key *rsa.PrivateKey, kid, email string, now time.Time, change map[string]any) string {
	c := map[string]any{"iss": email, "scope": cloudPlatform, "aud": tokenEndpoint, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	for k, v := range change {
		c[k] = v
	}
	return sign(t, key, kid, c)
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	email := l.account("ti-caller")
	w := l.getPolicy(3)
	w.Bindings = append(w.Bindings, iam.Binding{Role: "roles/browser", Members: []string{"serviceAccount:" + email}})
	if r := l.setPolicy(w); r.code != 200 {
		t.Fatal(r.raw)
	}
	token := l.mint(email)
	l.must(token, "GET", dataPolicy, "")

	for name, tt := range map[string]struct{ header, reason string }{
		"no token":         {"", "CREDENTIALS_MISSING"},
		"no kind":          {token, "ACCESS_TOKEN_TYPE_UNSUPPORTED"},
		"another kind":     {"Basic " + token, "ACCESS_TOKEN_TYPE_UNSUPPORTED"},
		"an empty token":   {"Bearer ", "ACCESS_TOKEN_TYPE_UNSUPPORTED"},
		"garbage":          {"Bearer garbage", "ACCESS_TOKEN_TYPE_UNSUPPORTED"},
		"a changed token":  {"Bearer " + token + "x", "ACCESS_TOKEN_TYPE_UNSUPPORTED"},
		"the token's hash": {"Bearer " + iam.TokenHash(token), "ACCESS_TOKEN_TYPE_UNSUPPORTED"},
		"garbage as a JWT": {"Bearer a.b.c", "ACCESS_TOKEN_TYPE_UNSUPPORTED"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", dataPolicy, nil)
		if err != nil {
			t.Fatal(err)
		}
		if tt.header != "" {
			r.Header.Set("Authorization", tt.header)
		}
		got := l.send(r)
		l.want(got, 401, "UNAUTHENTICATED")
		if got.reason() != tt.reason || got.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: reason %s, want %s: %s", name, got.reason(), tt.reason, got.raw)
		}
	}

	refused := func(reason string) {
		t.Helper()
		r := l.do(token, "GET", dataPolicy, "")
		l.want(r, 401, "UNAUTHENTICATED")
		if r.reason() != reason {
			t.Errorf("reason is %s, want %s", r.reason(), reason)
		}
	}
	l.must(l.operator, "POST", accounts+"/"+email+":disable", "{}")
	refused("ACCOUNT_STATE_INVALID")
	l.must(l.operator, "POST", accounts+"/"+email+":enable", "{}")
	l.must(token, "GET", dataPolicy, "")
	l.Advance(time.Hour)
	refused("ACCESS_TOKEN_EXPIRED")
	token = l.mint(email)
	l.must(token, "GET", dataPolicy, "")
	l.must(l.operator, "DELETE", accounts+"/"+email, "")
	refused("ACCOUNT_STATE_INVALID")
	// A new account of the old name is another one: tokens belong to unique ids.
	l.account("ti-caller")
	refused("ACCOUNT_STATE_INVALID")
}

func TestScopes(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	email := l.account("ti-scoped")
	w := l.getPolicy(3)
	w.Bindings = append(w.Bindings, iam.Binding{Role: "roles/browser", Members: []string{"serviceAccount:" + email}},
		iam.Binding{Role: "roles/resourcemanager.projectIamAdmin", Members: []string{"serviceAccount:" + email}})
	if r := l.setPolicy(w); r.code != 200 {
		t.Fatal(r.raw)
	}
	for scope, want := range map[string][2]int{ // for reading, for writing
		"cloud-platform":           {200, 200},
		"cloud-platform.read-only": {200, 403},
		"cloudplatformprojects":    {200, 200},
		"userinfo.email":           {403, 403},
		"devstorage.full_control":  {403, 403},
		"pubsub":                   {403, 403},
	} {
		token := l.must(noah, "POST", creds+email+":generateAccessToken", `{"scope":["https://www.googleapis.com/auth/`+scope+`"]}`).str("accessToken")
		read := l.do(token, "GET", dataPolicy, "")
		write := l.do(token, "POST", dataPolicy+":setIamPolicy", `{"policy":`+l.must(l.operator, "POST", dataPolicy+":getIamPolicy", "").raw+`}`)
		if got := [2]int{read.code, write.code}; got != want {
			t.Errorf("%s: %v, want %v: %s", scope, got, want, write.raw)
		}
		if read.code == 403 && read.reason() != "ACCESS_TOKEN_SCOPE_INSUFFICIENT" {
			t.Errorf("%s: %s", scope, read.raw)
		}
	}
}

// A key makes identity tokens too: a JWT that names their audience in place of scopes.
func TestIdentityTokenByKey(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	email := l.account("ti-named")
	key, kid := l.upload(email, epoch.Add(2*time.Hour))
	r := l.grant(assertion(t, key, kid, email, epoch, map[string]any{"scope": "", "target_audience": "https://run.example"}))
	if r.code != 200 || r.str("access_token") != "" {
		t.Fatalf("the answer is %d %s", r.code, r.raw)
	}
	_, claims := opened(t, r.str("id_token"), l.keysAt("/oauth2/v3/certs"))
	for name, want := range map[string]any{"aud": "https://run.example", "email": email, "azp": email, "email_verified": true} {
		if claims[name] != want {
			t.Errorf("%s is %v, want %v", name, claims[name], want)
		}
	}
	l.must(l.operator, "POST", accounts+"/"+email+":disable", "{}")
	l.want(l.grant(assertion(t, key, kid, email, epoch, map[string]any{"scope": "", "target_audience": "https://run.example"})), 400, "")
}

func TestTokenEndpoint(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	email := l.account("ti-keyed")
	key, kid := l.upload(email, epoch.Add(2*time.Hour))
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}

	r := l.grant(assertion(t, key, kid, email, epoch, nil))
	if r.code != 200 || r.str("token_type") != "Bearer" || r.body["expires_in"] != float64(3600) {
		t.Fatalf("the answer is %d %s", r.code, r.raw)
	}
	token := r.str("access_token")
	if !strings.HasPrefix(token, "ya29.") {
		t.Errorf("the token begins with %.6s", token)
	}

	for _, tt := range []struct {
		name   string
		jwt    string
		err    string
		detail string
	}{
		{"garbage", "garbage", "invalid_grant", ""},
		{"another key", assertion(t, other, kid, email, epoch, nil), "invalid_grant", "Invalid JWT Signature."},
		{"another key id", assertion(t, key, "0000", email, epoch, nil), "invalid_grant", "Invalid JWT Signature."},
		{"another account", assertion(t, key, kid, "ci-runner@acme-agents.iam.gserviceaccount.com", epoch, nil), "invalid_grant", "Invalid JWT Signature."},
		{"an account that does not exist", assertion(t, key, kid, "gone@acme-agents.iam.gserviceaccount.com", epoch, nil), "invalid_grant", "Invalid grant: account not found"},
		{"another audience", assertion(t, key, kid, email, epoch, map[string]any{"aud": "https://example.com/token"}), "invalid_grant", "Invalid JWT: Failed audience check. The right audience is " + tokenEndpoint},
		{"expired", assertion(t, key, kid, email, epoch.Add(-2*time.Hour), nil), "invalid_grant", ""},
		{"from the future", assertion(t, key, kid, email, epoch.Add(time.Hour), nil), "invalid_grant", ""},
		{"for too long", assertion(t, key, kid, email, epoch, map[string]any{"exp": epoch.Add(2 * time.Hour).Unix()}), "invalid_grant", ""},
		{"no scope", assertion(t, key, kid, email, epoch, map[string]any{"scope": ""}), "invalid_scope", ""},
		{"on behalf of a user", assertion(t, key, kid, email, epoch, map[string]any{"sub": "olivia@acme.example"}), "unauthorized_client", ""},
	} {
		r := l.grant(tt.jwt)
		if r.code < 400 || r.str("error") != tt.err || tt.detail != "" && r.str("error_description") != tt.detail {
			t.Errorf("%s: %d %s, want %s %s", tt.name, r.code, r.raw, tt.err, tt.detail)
		}
	}
	if r := l.do("", "POST", tokenEndpoint, "grant_type=password"); r.str("error") != "unsupported_grant_type" {
		t.Errorf("another grant: %d %s", r.code, r.raw)
	}
	// A client whose key file names another endpoint uses that as the audience.
	form := url.Values{"grant_type": {grantJWT}, "assertion": {assertion(t, key, kid, email, epoch, map[string]any{"aud": "http://127.0.0.1:8790/token"})}}
	if r := l.do("", "POST", "http://127.0.0.1:8790/token", form.Encode()); r.code != 200 {
		t.Errorf("the emulator's own endpoint as the audience: %d %s", r.code, r.raw)
	}

	// Deleting the key does not kill its tokens, but makes no new ones; nor does its end.
	_, second := key, kid
	l.must(token, "GET", iamAPI+"roles/viewer", "")
	l.must(l.operator, "DELETE", accounts+"/"+email+"/keys/"+second, "")
	l.must(token, "GET", iamAPI+"roles/viewer", "")
	if r := l.grant(assertion(t, key, kid, email, epoch, nil)); r.str("error_description") != "Invalid JWT Signature." {
		t.Errorf("a deleted key: %d %s", r.code, r.raw)
	}
	key, kid = l.upload(email, epoch.Add(2*time.Hour))
	l.Advance(2*time.Hour - time.Second)
	now := epoch.Add(2*time.Hour - time.Second)
	if r := l.grant(assertion(t, key, kid, email, now, nil)); r.code != 200 {
		t.Errorf("a key in its last second: %d %s", r.code, r.raw)
	}
	l.Advance(time.Second)
	if r := l.grant(assertion(t, key, kid, email, now, nil)); r.str("error_description") != "Invalid JWT Signature." {
		t.Errorf("an expired key: %d %s", r.code, r.raw)
	}
	key, kid = l.upload(email, epoch.Add(9*time.Hour))
	l.must(l.operator, "POST", accounts+"/"+email+":disable", "{}")
	if r := l.grant(assertion(t, key, kid, email, now, nil)); r.str("error") != "invalid_grant" || !strings.Contains(r.raw, "disabled") {
		t.Errorf("a disabled account: %d %s", r.code, r.raw)
	}
}

func TestSelfSignedJWT(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	email := l.account("ti-signer")
	w := l.getPolicy(3)
	w.Bindings = append(w.Bindings, iam.Binding{Role: "roles/browser", Members: []string{"serviceAccount:" + email}})
	if r := l.setPolicy(w); r.code != 200 {
		t.Fatal(r.raw)
	}
	key, kid := l.upload(email, epoch.Add(90*time.Minute))
	claims := func(change map[string]any) string {
		c := map[string]any{"iss": email, "sub": email, "iat": epoch.Unix(), "exp": epoch.Add(time.Hour).Unix()}
		for k, v := range change {
			c[k] = v
		}
		return sign(t, key, kid, c)
	}
	for _, tt := range []struct {
		name   string
		change map[string]any
		want   int
	}{
		{"for this service", map[string]any{"aud": "https://cloudresourcemanager.googleapis.com/"}, 200},
		{"for this service, without slash", map[string]any{"aud": "https://cloudresourcemanager.googleapis.com"}, 200},
		{"for several", map[string]any{"aud": []string{"https://x.example/", "https://cloudresourcemanager.googleapis.com/"}}, 200},
		{"with a scope", map[string]any{"scope": cloudPlatform}, 200},
		{"with too small a scope", map[string]any{"scope": "https://www.googleapis.com/auth/pubsub"}, 403},
		{"for another service", map[string]any{"aud": "https://storage.googleapis.com/"}, 401},
		{"for the token endpoint", map[string]any{"aud": tokenEndpoint}, 401},
		{"for nothing", nil, 401},
		{"of somebody else", map[string]any{"sub": "olivia@acme.example", "scope": cloudPlatform}, 401},
		{"expired", map[string]any{"scope": cloudPlatform, "iat": epoch.Add(-2 * time.Hour).Unix(), "exp": epoch.Add(-time.Hour).Unix()}, 401},
	} {
		if r := l.do(claims(tt.change), "GET", dataPolicy, ""); r.code != tt.want {
			t.Errorf("%s: %d, want %d: %s", tt.name, r.code, tt.want, r.raw)
		}
	}
	good := claims(map[string]any{"scope": cloudPlatform})
	unsigned := good[:strings.LastIndex(good, ".")+1]
	if r := l.do(unsigned, "GET", dataPolicy, ""); r.code != 401 {
		t.Errorf("without a signature: %d", r.code)
	}
	// A JWT dies with its key, unlike a token.
	l.must(good, "GET", dataPolicy, "")
	l.must(l.operator, "POST", accounts+"/"+email+":disable", "{}")
	if r := l.do(good, "GET", dataPolicy, ""); r.code != 401 || r.reason() != "ACCOUNT_STATE_INVALID" {
		t.Errorf("after disable: %d %s", r.code, r.raw)
	}
	l.must(l.operator, "POST", accounts+"/"+email+":enable", "{}")
	l.must(l.operator, "DELETE", accounts+"/"+email+"/keys/"+kid, "")
	if r := l.do(good, "GET", dataPolicy, ""); r.code != 401 {
		t.Errorf("after its key was deleted: %d", r.code)
	}
}

func TestGenerateAccessToken(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	email := l.account("ti-minted")
	uid := l.must(l.operator, "GET", accounts+"/"+email, "").str("uniqueId")
	const scope = `"scope":["` + cloudPlatform + `"]`
	for _, tt := range []struct {
		name, token, url, body string
		code                   int
		status                 string
	}{
		{"by address", noah, creds + email, `{` + scope + `}`, 200, ""},
		{"by unique id", noah, creds + uid, `{` + scope + `,"delegates":null}`, 200, ""},
		{"for five minutes", noah, creds + email, `{` + scope + `,"lifetime":"300s"}`, 200, ""},
		{"for an hour", noah, creds + email, `{` + scope + `,"lifetime":"3600s"}`, 200, ""},
		{"for longer", noah, creds + email, `{` + scope + `,"lifetime":"3601s"}`, 400, "INVALID_ARGUMENT"},
		{"for nonsense", noah, creds + email, `{` + scope + `,"lifetime":"soon"}`, 400, "INVALID_ARGUMENT"},
		{"without a scope", noah, creds + email, `{}`, 400, "INVALID_ARGUMENT"},
		{"in a project", noah, "https://iamcredentials.googleapis.com/v1/projects/acme-agents/serviceAccounts/" + email, `{` + scope + `}`, 400, "INVALID_ARGUMENT"},
		{"an owner", l.operator, creds + email, `{` + scope + `}`, 403, "PERMISSION_DENIED"},
		{"a stranger", mara, creds + email, `{` + scope + `}`, 403, "PERMISSION_DENIED"},
		{"of an account that does not exist", noah, creds + "gone@acme-agents.iam.gserviceaccount.com", `{` + scope + `}`, 404, "NOT_FOUND"},
		{"of one in another project", noah, creds + "report-writer@acme-data.iam.gserviceaccount.com", `{` + scope + `}`, 403, "PERMISSION_DENIED"},
		{"of one in no project", noah, creds + "x@nowhere.iam.gserviceaccount.com", `{` + scope + `}`, 403, "PERMISSION_DENIED"},
	} {
		r := l.do(tt.token, "POST", tt.url+":generateAccessToken", tt.body)
		if r.code != tt.code || r.status() != tt.status {
			t.Errorf("%s: %d %s, want %d %s: %s", tt.name, r.code, r.status(), tt.code, tt.status, r.raw)
		}
	}
	r := l.must(noah, "POST", creds+email+":generateAccessToken", `{`+scope+`,"lifetime":"300s"}`)
	if want := epoch.Add(5 * time.Minute).Format("2006-01-02T15:04:05Z"); r.str("expireTime") != want {
		t.Errorf("expireTime is %s, want %s", r.str("expireTime"), want)
	}
	if r := l.do(l.operator, "POST", creds+email+":generateAccessToken", `{`+scope+`}`); r.reason() != "IAM_PERMISSION_DENIED" {
		t.Errorf("the owner is refused with %s", r.raw)
	}

	// An account cannot prolong itself with a token, even if it may mint.
	l.must(l.operator, "POST", accounts+"/"+email+":setIamPolicy",
		`{"policy":{"bindings":[{"role":"roles/iam.serviceAccountTokenCreator","members":["serviceAccount:`+email+`"]}]}}`)
	self := l.mint(email)
	l.want(l.do(self, "POST", creds+email+":generateAccessToken", `{`+scope+`}`), 400, "FAILED_PRECONDITION")
	// With a JWT it signs itself it can.
	key, kid := l.upload(email, epoch.Add(time.Hour))
	jwt := sign(t, key, kid, map[string]any{"iss": email, "sub": email, "scope": cloudPlatform, "iat": epoch.Unix(), "exp": epoch.Add(time.Hour).Unix()})
	l.must(jwt, "POST", creds+email+":generateAccessToken", `{`+scope+`}`)

	l.must(l.operator, "POST", accounts+"/"+email+":disable", "{}")
	l.want(l.do(noah, "POST", creds+email+":generateAccessToken", `{`+scope+`}`), 400, "FAILED_PRECONDITION")
}

func TestDelegates(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	middle, last := l.account("ti-middle"), l.must(l.operator, "POST", iamAPI+"projects/acme-data/serviceAccounts", `{"accountId":"ti-last"}`).str("email")
	const scope = `"scope":["` + cloudPlatform + `"]`
	chain := func() response {
		return l.do(noah, "POST", creds+last+":generateAccessToken", `{`+scope+`,"delegates":["projects/-/serviceAccounts/`+middle+`"]}`)
	}
	l.want(chain(), 403, "PERMISSION_DENIED")
	l.must(l.operator, "POST", iamAPI+"projects/acme-data/serviceAccounts/"+last+":setIamPolicy",
		`{"policy":{"bindings":[{"role":"roles/iam.serviceAccountTokenCreator","members":["serviceAccount:`+middle+`"]}]}}`)
	if r := chain(); r.code != 200 {
		t.Errorf("over a delegate: %d %s", r.code, r.raw)
	}
	l.want(l.do(noah, "POST", creds+last+":generateAccessToken", `{`+scope+`}`), 403, "PERMISSION_DENIED")
}

func TestTokenInfo(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	email := l.account("ti-informed")
	token := l.mint(email)
	for _, at := range []string{"https://oauth2.googleapis.com/tokeninfo", "https://www.googleapis.com/oauth2/v3/tokeninfo"} {
		r := l.must("", "GET", at+"?access_token="+token, "")
		if r.str("email") != email || r.str("expires_in") != "3600" || r.str("scope") != cloudPlatform {
			t.Errorf("%s answers %s", at, r.raw)
		}
		if r := l.must("", "POST", at, "access_token="+l.operator); r.str("email") != "olivia@acme.example" {
			t.Errorf("%s answers for the operator %s", at, r.raw)
		}
	}
	if r := l.must("", "GET", "https://www.googleapis.com/oauth2/v1/tokeninfo?access_token="+token, ""); r.body["expires_in"] != float64(3600) || r.body["verified_email"] != true {
		t.Errorf("version 1 answers %s", r.raw)
	}
	l.Advance(time.Hour)
	for _, bad := range []string{token, "garbage", ""} {
		if r := l.do("", "GET", "https://oauth2.googleapis.com/tokeninfo?access_token="+bad, ""); r.code != 400 || r.str("error") != "invalid_token" {
			t.Errorf("a bad token: %d %s", r.code, r.raw)
		}
	}
	l.must(l.operator, "POST", accounts+"/"+email+":disable", "{}")
}
