package emulator

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// keysAt reads a JWKS.
func (l *lab) keysAt(path string) map[string]*rsa.PublicKey {
	l.t.Helper()
	r := l.must("", "GET", "https://www.googleapis.com"+path, "")
	var set struct{ Keys []struct{ Kid, N, E string } }
	if err := json.Unmarshal([]byte(r.raw), &set); err != nil {
		l.t.Fatal(err)
	}
	out := map[string]*rsa.PublicKey{}
	for _, k := range set.Keys {
		n, errN := base64.RawURLEncoding.DecodeString(k.N)
		e, errE := base64.RawURLEncoding.DecodeString(k.E)
		if errN != nil || errE != nil {
			l.t.Fatal(errN, errE)
		}
		out[k.Kid] = &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
	}
	return out
}

// opened returns header and claims of a JWT, after its signature was checked.
func opened(t *testing.T, token string, keys map[string]*rsa.PublicKey) (kid string, claims map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	var header struct{ Alg, Kid string }
	if len(parts) != 3 || decodeJWTPart(parts[0], &header) != nil || decodeJWTPart(parts[1], &claims) != nil || header.Alg != "RS256" {
		t.Fatalf("%s is no JWT of RS256", token)
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if keys[header.Kid] == nil || rsa.VerifyPKCS1v15(keys[header.Kid], crypto.SHA256, sum[:], signature) != nil {
		t.Errorf("the signature of %s is not of a published key", token)
	}
	return header.Kid, claims
}

func TestGenerateIDToken(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	r := l.must(l.operator, "POST", accounts, `{"accountId":"ti-signer"}`)
	email, uid := r.str("email"), r.str("uniqueId")
	before := l.snapshot()
	for _, include := range []bool{false, true} {
		r := l.must(noah, "POST", creds+email+":generateIdToken", fmt.Sprintf(`{"audience":"https://app.example","includeEmail":%v}`, include))
		_, claims := opened(t, r.str("token"), l.keysAt("/oauth2/v3/certs"))
		if claims["aud"] != "https://app.example" || claims["sub"] != uid || claims["iss"] != "https://accounts.google.com" ||
			claims["exp"] != float64(epoch.Add(time.Hour).Unix()) || (claims["email"] == email) != include {
			t.Errorf("the claims are %v", claims)
		}
	}
	if l.snapshot() != before {
		t.Error("the signing key shows in the snapshot")
	}
	l.want(l.do(noah, "POST", creds+email+":generateIdToken", `{}`), 400, "INVALID_ARGUMENT")
	l.want(l.do(l.operator, "POST", creds+email+":generateIdToken", `{"audience":"x"}`), 403, "PERMISSION_DENIED")

	// The same key, in a certificate.
	certs := l.must("", "GET", "https://www.googleapis.com/oauth2/v1/certs", "")
	for id := range l.keysAt("/oauth2/v3/certs") {
		block, _ := pem.Decode([]byte(certs.str(id)))
		if block == nil {
			t.Fatalf("no certificate of %s in %s", id, certs.raw)
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			t.Error(err)
		}
	}
}

func TestSignJWT(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	email := l.account("ti-signer")
	payload := func(claims map[string]any) string {
		set, err := json.Marshal(claims)
		if err != nil {
			t.Fatal(err)
		}
		body, err := json.Marshal(map[string]string{"payload": string(set)})
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	own := map[string]any{"iss": email, "aud": tokenEndpoint, "scope": cloudPlatform, "iat": epoch.Unix()}
	for _, url := range []string{creds + email, accounts + "/" + email} {
		r := l.must(noah, "POST", url+":signJwt", payload(own))
		kid, claims := opened(t, r.str("signedJwt"), l.keysAt("/service_accounts/v1/jwk/"+email))
		if kid != r.str("keyId") || claims["iss"] != email || claims["exp"] != float64(epoch.Add(time.Hour).Unix()) {
			t.Errorf("signed by %s: %v", kid, claims)
		}
		if !strings.Contains(l.must(l.operator, "GET", accounts+"/"+email+"/keys?keyTypes=SYSTEM_MANAGED", "").raw, kid) {
			t.Error("the key is not the system-managed one")
		}
		if got := l.must("", "GET", "https://www.googleapis.com/robot/v1/metadata/x509/"+email, ""); !strings.Contains(got.str(kid), "CERTIFICATE") {
			t.Errorf("the certificates are %s", got.raw)
		}
		// What an account's own key has signed is good for a token.
		if r := l.grant(r.str("signedJwt")); r.code != 200 {
			t.Errorf("the token endpoint answers %s", r.raw)
		}
	}
	for name, claims := range map[string]map[string]any{
		"13 hours": {"exp": epoch.Add(13 * time.Hour).Unix()}, "the past": {"exp": epoch.Add(-time.Hour).Unix()}, "no number": {"exp": "soon"},
	} {
		if r := l.do(noah, "POST", creds+email+":signJwt", payload(claims)); r.code != 400 {
			t.Errorf("%s: %d %s", name, r.code, r.raw)
		}
	}
	l.must(noah, "POST", creds+email+":signJwt", payload(map[string]any{"exp": epoch.Add(12 * time.Hour).Unix()}))
	l.want(l.do(noah, "POST", creds+email+":signJwt", `{"payload":"[]"}`), 400, "INVALID_ARGUMENT")
	l.want(l.do(mara, "POST", creds+email+":signJwt", payload(own)), 403, "PERMISSION_DENIED")
}

func TestSignBlob(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	email := l.account("ti-signer")
	message := []byte("to be signed")
	sum := sha256.Sum256(message)
	encoded := base64.StdEncoding.EncodeToString(message)
	for _, tt := range []struct{ url, body, field string }{
		{creds + email, `{"payload":"` + encoded + `"}`, "signedBlob"},
		{accounts + "/" + email, `{"bytesToSign":"` + encoded + `"}`, "signature"},
	} {
		r := l.must(noah, "POST", tt.url+":signBlob", tt.body)
		signature, err := base64.StdEncoding.DecodeString(r.str(tt.field))
		key := l.keysAt("/service_accounts/v1/jwk/" + email)[r.str("keyId")]
		if err != nil || key == nil || rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) != nil {
			t.Errorf("%s is not signed by a published key: %s", tt.field, r.raw)
		}
		l.want(l.do(mara, "POST", tt.url+":signBlob", tt.body), 403, "PERMISSION_DENIED")
	}
}

// Another account's delegate may pass on; a link that is missing breaks the chain.
func TestSigningDelegates(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	middle, target := l.account("ti-middle"), l.account("ti-target")
	body := `{"audience":"x","delegates":["projects/-/serviceAccounts/` + middle + `"]}`
	l.want(l.do(mara, "POST", creds+target+":generateIdToken", body), 403, "PERMISSION_DENIED")
	let := func(email, member string) {
		l.must(l.operator, "POST", accounts+"/"+email+":setIamPolicy",
			`{"policy":{"bindings":[{"role":"roles/iam.serviceAccountTokenCreator","members":["`+member+`"]}]}}`)
	}
	let(middle, "user:mara@acme.example")
	l.want(l.do(mara, "POST", creds+target+":generateIdToken", body), 403, "PERMISSION_DENIED")
	let(target, "serviceAccount:"+middle)
	l.must(mara, "POST", creds+target+":generateIdToken", body)
	l.want(l.do(mara, "POST", creds+target+":generateIdToken", `{"audience":"x"}`), 403, "PERMISSION_DENIED")
	l.want(l.do(mara, "POST", creds+target+":generateIdToken", strings.Replace(body, "projects/-/", "projects/acme-agents/", 1)), 400, "INVALID_ARGUMENT")
}

// What an account signs, one key alone has signed: its own, the same wherever its public half is published. It
// outlasts a restart, and another takes its place after a while.
func TestSystemKeyOfEachAccount(t *testing.T) {
	t.Parallel()
	now, made := epoch, 0
	file := filepath.Join(t.TempDir(), "state.json")
	configure := func(c *Config) {
		c.DataFile, c.Now = file, func() time.Time { return now }
		c.NewKey = func() (*rsa.PrivateKey, error) { made++; return rsa.GenerateKey(rand.Reader, 1024) }
	}
	l := newLab(t, configure)
	first, second := l.account("ti-first"), l.account("ti-second")
	l.must(l.operator, "GET", accounts+"/"+first+"/keys", "")
	if made != 0 {
		t.Errorf("%d keys were made that nobody needed", made)
	}
	payload := `{"payload":"` + base64.StdEncoding.EncodeToString([]byte("to be signed")) + `"}`
	sign := func(email string) (id, signature string) {
		r := l.must(noah, "POST", creds+email+":signBlob", payload)
		return r.str("keyId"), r.str("signedBlob")
	}
	verified := func(email, id, signature string) bool {
		t.Helper()
		raw, err := base64.StdEncoding.DecodeString(signature)
		sum := sha256.Sum256([]byte("to be signed"))
		key := l.keysAt("/service_accounts/v1/jwk/" + email)[id]
		return err == nil && key != nil && rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], raw) == nil
	}
	firstID, ofFirst := sign(first)
	secondID, ofSecond := sign(second)
	if !verified(first, firstID, ofFirst) || !verified(second, secondID, ofSecond) {
		t.Error("a signature is not of the key that the account publishes")
	}
	if ofFirst == ofSecond || firstID == secondID || verified(second, secondID, ofFirst) {
		t.Error("two accounts sign with one key")
	}
	for _, host := range []string{"/robot/v1/metadata/x509/", "/service_accounts/v1/metadata/x509/"} {
		pemOf := l.must("", "GET", "https://www.googleapis.com"+host+first, "").str(firstID)
		shown := l.must(l.operator, "GET", accounts+"/"+first+"/keys/"+firstID+"?publicKeyType=TYPE_X509_PEM_FILE", "")
		if want := base64.StdEncoding.EncodeToString([]byte(pemOf)); pemOf == "" || shown.str("publicKeyData") != want {
			t.Errorf("%s has another certificate than keys.get: %s", host, shown.raw)
		}
	}
	raw := l.must(l.operator, "GET", accounts+"/"+first+"/keys/"+firstID+"?publicKeyType=TYPE_RAW_PUBLIC_KEY", "")
	if raw.str("keyType") != "SYSTEM_MANAGED" || raw.str("publicKeyData") == "" {
		t.Errorf("keys.get answers %s", raw.raw)
	}
	l.want(l.do(mara, "GET", accounts+"/"+first+"/keys/"+firstID, ""), 403, "PERMISSION_DENIED")
	l.want(l.do(l.operator, "DELETE", accounts+"/"+first+"/keys/"+firstID, ""), 404, "NOT_FOUND")

	unused := l.account("ti-unused")
	list := l.must(l.operator, "GET", accounts+"/"+unused+"/keys", "").raw
	_, rest, _ := strings.Cut(list, `"name":"`)
	name, _, _ := strings.Cut(rest, `"`)
	before := l.must(l.operator, "GET", "https://iam.googleapis.com/v1/"+name+"?publicKeyType=TYPE_X509_PEM_FILE", "").raw
	if id, _ := sign(unused); !strings.HasSuffix(name, "/"+id) {
		t.Errorf("the key that signs is %s, and %s was listed", id, name)
	}
	if l.must(l.operator, "GET", "https://iam.googleapis.com/v1/"+name+"?publicKeyType=TYPE_X509_PEM_FILE", "").raw != before {
		t.Error("what is shown of a key that was not used yet is another key")
	}

	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = newLab(t, configure)
	if id, signature := sign(first); id != firstID || signature != ofFirst {
		t.Error("a restart changed the key")
	}
	now = now.Add(17 * 24 * time.Hour)
	if id, _ := sign(first); id == firstID || !verified(first, firstID, ofFirst) {
		t.Error("after 17 days another key signs, and what the one before has signed is good still")
	}
	now = now.Add(17 * 24 * time.Hour)
	sign(first)
	if verified(first, firstID, ofFirst) {
		t.Error("after 34 days a signature of the first key is good still")
	}
}
