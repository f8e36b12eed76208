package main

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
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// refusal is a call and how the emulator has to refuse it.
type refusal struct {
	name   string
	token  string
	call   request
	code   int
	reason string
}

func (s *stage) refuses(refusals ...refusal) {
	s.t.Helper()
	for _, r := range refusals {
		if a := s.call(r.token, r.call); a.code != r.code || a.reason != r.reason {
			s.t.Errorf("%s: %d %s, want %d %s\n%s", r.name, a.code, a.reason, r.code, r.reason, a.body)
		}
	}
}

// What the run of tasks/demo.toml may read.
var (
	readSecret = request{"GET", secretsAPI + "/api-key/versions/2:access", ""}
	readObject = request{"GET", objectsAPI + "/2026%2F01.csv?alt=media", ""}
)

func TestRefusesStrangers(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	run, other := s.up("tasks/demo.toml"), s.up("tasks/rotate-secret.toml")
	token := s.token(run)
	mine := s.signer(run)
	s.allow(token, readSecret)
	s.allow(mine.jwt("https://secretmanager.googleapis.com/", s.now()), readSecret)

	foreign := mine
	foreign.Email = other.Account
	tampered := mine.jwt("https://secretmanager.googleapis.com/", s.now())
	tampered = tampered[:len(tampered)-8] + "AAAAAAAA"
	s.refuses(
		refusal{"no token", "", readSecret, 401, "CREDENTIALS_MISSING"},
		refusal{"no token on an object", "", readObject, 401, "required"},
		refusal{"garbage", "garbage", readSecret, 401, "ACCESS_TOKEN_TYPE_UNSUPPORTED"},
		refusal{"garbage in the form of a token", "ya29.c." + strings.Repeat("x", 128), readSecret, 401, "ACCESS_TOKEN_TYPE_UNSUPPORTED"},
		refusal{"garbage in the form of a JWT", "eyJhbGciOiJub25lIn0.e30.", readSecret, 401, "ACCESS_TOKEN_TYPE_UNSUPPORTED"},
		refusal{"a JWT for another service", mine.jwt("https://storage.googleapis.com/", s.now()), readSecret, 401, "ACCESS_TOKEN_TYPE_UNSUPPORTED"},
		refusal{"a JWT for another account", foreign.jwt("https://secretmanager.googleapis.com/", s.now()), readSecret, 401, "ACCESS_TOKEN_TYPE_UNSUPPORTED"},
		refusal{"a JWT with another signature", tampered, readSecret, 401, "ACCESS_TOKEN_TYPE_UNSUPPORTED"},
		refusal{"another account's token", s.token(other), readSecret, 403, "IAM_PERMISSION_DENIED"},
		refusal{"another account's resource", token, request{"POST", secretsAPI + "/db-password:addVersion", `{"payload":{"data":"bmV3"}}`}, 403, "IAM_PERMISSION_DENIED"},
		refusal{"another prefix", token, request{"GET", objectsAPI + "/2025%2F12.csv?alt=media", ""}, 403, "forbidden"},
		refusal{"a token for another account", token, request{"POST",
			"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/" + other.Account + ":generateAccessToken",
			`{"scope":["https://www.googleapis.com/auth/cloud-platform"]}`}, 403, "IAM_PERMISSION_DENIED"},
	)
}

func TestRefusesWhatIsOver(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	s := newStage(t)

	// A key that was deleted, and then the account disabled, enabled and deleted.
	run := s.up("tasks/demo.toml")
	key, token, account := s.signer(run), s.token(run), accountsAPI+"/"+run.Account
	jwt := func() string { return key.jwt("https://secretmanager.googleapis.com/", s.now()) }
	s.allow(jwt(), readSecret)
	s.asOperator(request{"POST", account + ":disable", "{}"})
	s.refuses(
		refusal{"a token after disable", token, readSecret, 401, "ACCOUNT_STATE_INVALID"},
		refusal{"a JWT after disable", jwt(), readSecret, 401, "ACCOUNT_STATE_INVALID"},
		refusal{"a key after disable", "", key.exchange(s.now()), 400, "invalid_grant"},
	)
	s.asOperator(request{"POST", account + ":enable", "{}"})
	s.allow(token, readSecret)
	s.asOperator(request{"DELETE", account + "/keys/" + key.ID, ""})
	s.refuses(
		refusal{"a JWT of a deleted key", jwt(), readSecret, 401, "ACCESS_TOKEN_TYPE_UNSUPPORTED"},
		refusal{"a deleted key", "", key.exchange(s.now()), 400, "invalid_grant"},
	)
	s.allow(token, readSecret) // deleting a key revokes no token (iam/docs/keys-create-delete)
	s.ok("down", run.Run)
	s.refuses(
		refusal{"a deleted account's token", token, readSecret, 401, "ACCOUNT_STATE_INVALID"},
		refusal{"a deleted account's JWT", jwt(), readSecret, 401, "ACCESS_TOKEN_TYPE_UNSUPPORTED"},
		refusal{"a deleted account's key", "", key.exchange(s.now()), 400, "invalid_grant"},
	)

	// Time alone ends the rest: down is not called. The run of tasks/demo.toml has two
	// hours, and a token one.
	run = s.up("tasks/demo.toml")
	key, token = s.signer(run), s.token(run)
	s.allow(token, readSecret)
	s.ok("emulator", "advance", "61m")
	s.refuses(refusal{"an expired token", token, readSecret, 401, "ACCESS_TOKEN_EXPIRED"})
	s.ok("emulator", "advance", "54m")
	late := s.exchanged(key)
	s.allow(late, readSecret)
	s.ok("emulator", "advance", "10m")
	s.refuses(
		refusal{"a JWT of an expired key", jwt(), readSecret, 401, "ACCESS_TOKEN_TYPE_UNSUPPORTED"},
		refusal{"an expired key", "", key.exchange(s.now()), 400, "invalid_grant"},
		refusal{"an expired condition on a secret", late, readSecret, 403, "IAM_PERMISSION_DENIED"},
		refusal{"an expired condition on an object", late, readObject, 403, "forbidden"},
	)
	// What takes no condition still works for the life of that token, as plan says.
	s.allow(late, request{"POST", topicAPI + ":publish", `{"messages":[{"data":"bGF0ZQ=="}]}`})
	s.ok("emulator", "advance", "60m")
	s.refuses(refusal{"an expired token of an expired run", late, request{"POST", topicAPI + ":publish", `{"messages":[]}`}, 401, "ACCESS_TOKEN_EXPIRED"})
	s.ok("down")
}

// TestRefusesStaleEtags writes each policy twice from one reading of it.
func TestRefusesStaleEtags(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	const version = "?options.requestedPolicyVersion=3"
	for _, p := range []struct {
		name, read, write string // METHOD URL
		asked             string // the body of the read
		envelope          string // what the policy is written in
		role              string
		code              int
		reason            string
	}{
		{"project", "POST " + projectAPI + ":getIamPolicy", "POST " + projectAPI + ":setIamPolicy",
			`{"options":{"requestedPolicyVersion":3}}`, `{"policy":%s}`, "roles/browser", 409, "ABORTED"},
		{"secret", "GET " + secretsAPI + "/api-key:getIamPolicy" + version, "POST " + secretsAPI + "/api-key:setIamPolicy",
			"", `{"policy":%s}`, "roles/secretmanager.viewer", 409, "ABORTED"},
		{"topic", "GET " + topicAPI + ":getIamPolicy", "POST " + topicAPI + ":setIamPolicy",
			"", `{"policy":%s}`, "roles/pubsub.viewer", 409, "ABORTED"},
		{"account", "POST " + accountsAPI + "/" + farm + ":getIamPolicy" + version, "POST " + accountsAPI + "/" + farm + ":setIamPolicy",
			"", `{"policy":%s}`, "roles/iam.serviceAccountTokenCreator", 409, "ABORTED"},
		{"bucket", "GET " + bucketAPI + "/iam?optionsRequestedPolicyVersion=3", "PUT " + bucketAPI + "/iam",
			"", "%s", "roles/storage.objectViewer", 412, "conditionNotMet"},
	} {
		method, url, _ := strings.Cut(p.read, " ")
		var policy map[string]any
		must(t, json.Unmarshal([]byte(s.asOperator(request{method, url, p.asked})), &policy))
		bindings, _ := policy["bindings"].([]any)
		policy["bindings"] = append(bindings, map[string]any{"role": p.role, "members": []string{"user:mara@acme.example"}})
		body, err := json.Marshal(policy)
		must(t, err)
		method, url, _ = strings.Cut(p.write, " ")
		write := request{method, url, fmt.Sprintf(p.envelope, body)}
		s.asOperator(write)
		before := s.snapshot()
		s.refuses(refusal{"a stale etag of a " + p.name, s.operator, write, p.code, p.reason})
		s.sameCloud(before)
	}
}

// now is the emulator's clock, which it sends with every answer.
func (s *stage) now() time.Time {
	s.t.Helper()
	resp, err := http.Get("http://" + s.host + "/_emulator/health")
	must(s.t, err)
	defer resp.Body.Close()
	now, err := http.ParseTime(resp.Header.Get("Date"))
	must(s.t, err)
	return now
}

// past moves the emulator's clock past a moment that is so far away. Times are cut to the second or rounded to it,
// by the run as by the headers that tell the clock, so that just at the moment nothing can be said.
func (s *stage) past(away time.Duration) {
	s.t.Helper()
	s.ok("emulator", "advance", (away + 10*time.Second).String())
}

// signer signs as a key file lets anybody sign who has it.
type signer struct {
	ID      string `json:"private_key_id"`
	Private string `json:"private_key"`
	Email   string `json:"client_email"`

	t   *testing.T
	key *rsa.PrivateKey
}

// signer reads the delivered key of a run.
func (s *stage) signer(run runDocument) signer {
	s.t.Helper()
	k := signer{t: s.t}
	must(s.t, json.Unmarshal([]byte(s.read(filepath.Join(run.Delivery, "key.json"))), &k))
	block, _ := pem.Decode([]byte(k.Private))
	if block == nil {
		s.t.Fatal("the delivered key has no private key in it")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	must(s.t, err)
	k.key = parsed.(*rsa.PrivateKey)
	return k
}

// sign makes a JWT that is good for half an hour.
func (k signer) sign(claims map[string]any, now time.Time) string {
	k.t.Helper()
	claims["iss"], claims["iat"], claims["exp"] = k.Email, now.Unix(), now.Add(30*time.Minute).Unix()
	var parts []string
	for _, part := range []any{map[string]string{"alg": "RS256", "typ": "JWT", "kid": k.ID}, claims} {
		b, err := json.Marshal(part)
		must(k.t, err)
		parts = append(parts, base64.RawURLEncoding.EncodeToString(b))
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, ".")))
	signature, err := rsa.SignPKCS1v15(rand.Reader, k.key, crypto.SHA256, sum[:])
	must(k.t, err)
	return strings.Join(append(parts, base64.RawURLEncoding.EncodeToString(signature)), ".")
}

// jwt makes a JWT that a service takes as it is (google.aip.dev/auth/4111).
func (k signer) jwt(audience string, now time.Time) string {
	k.t.Helper()
	return k.sign(map[string]any{"sub": k.Email, "aud": audience}, now)
}

// exchange is the call that makes an access token from the key (RFC 7523).
func (k signer) exchange(now time.Time) request {
	k.t.Helper()
	assertion := k.sign(map[string]any{"aud": "https://oauth2.googleapis.com/token", "scope": "https://www.googleapis.com/auth/cloud-platform"}, now)
	return request{"POST", "https://oauth2.googleapis.com/token",
		"grant_type=" + url.QueryEscape("urn:ietf:params:oauth:grant-type:jwt-bearer") + "&assertion=" + assertion}
}

// exchanged makes an access token from the key.
func (s *stage) exchanged(k signer) string {
	s.t.Helper()
	a := s.call("", k.exchange(s.now()))
	var token struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(a.body), &token); err != nil || token.AccessToken == "" {
		s.t.Fatalf("exchanging the key: %d %s", a.code, a.body)
	}
	return token.AccessToken
}
