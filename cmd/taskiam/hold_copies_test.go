package main

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"
)

// downscoped is a token that can do less, made of another at Google's token service.
func (s *stage) downscoped(token string) string {
	s.t.Helper()
	const access = "urn:ietf:params:oauth:token-type:access_token"
	form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token_type": {access},
		"requested_token_type": {access}, "subject_token": {token},
		"options": {`{"accessBoundary":{"accessBoundaryRules":[{"availablePermissions":["inRole:roles/storage.admin"],` +
			`"availableResource":"//storage.googleapis.com/projects/_/buckets/acme-reports"}]}}`}}
	a := s.call("", request{"POST", "https://sts.googleapis.com/v1/token", form.Encode()})
	var got struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(a.body), &got); err != nil || got.AccessToken == "" {
		s.t.Fatalf("exchanging a token: %d %s", a.code, a.body)
	}
	return got.AccessToken
}

// signedURL is the address of an object that is good for a week, signed with the key.
func (k signer) signedURL(path string, now time.Time) string {
	k.t.Helper()
	date := now.UTC().Format("20060102T150405Z")
	scope := date[:8] + "/auto/storage/goog4_request"
	q := url.Values{"X-Goog-Algorithm": {"GOOG4-RSA-SHA256"}, "X-Goog-Credential": {k.Email + "/" + scope},
		"X-Goog-Date": {date}, "X-Goog-Expires": {"604800"}, "X-Goog-SignedHeaders": {"host"}}
	sum := sha256.Sum256([]byte("GET\n" + path + "\n" + q.Encode() + "\nhost:storage.googleapis.com\n\nhost\nUNSIGNED-PAYLOAD"))
	sum = sha256.Sum256([]byte("GOOG4-RSA-SHA256\n" + date + "\n" + scope + "\n" + hex.EncodeToString(sum[:])))
	raw, err := rsa.SignPKCS1v15(rand.Reader, k.key, crypto.SHA256, sum[:])
	must(k.t, err)
	q.Set("X-Goog-Signature", hex.EncodeToString(raw))
	return "https://storage.googleapis.com" + path + "?" + q.Encode()
}

// TestOffshoots makes of what a run was given whatever can be made of it. None of it reaches further than the run, and
// none of it is worth anything after down.
func TestOffshoots(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	run := s.up("tasks/demo.toml")
	key := s.signer(run)
	less := s.downscoped(s.exchanged(key))
	mine := request{"GET", key.signedURL("/acme-reports/2026/01.csv", s.now()), ""}
	foreign := request{"GET", key.signedURL("/acme-reports/2025/12.csv", s.now()), ""}
	s.allow(less, readObject)
	s.allow("", mine)
	s.refuses(
		refusal{"a downscoped token elsewhere", less, readSecret, 403, "IAM_PERMISSION_DENIED"},
		refusal{"a downscoped token at another prefix", less, request{"GET", objectsAPI + "/2025%2F12.csv?alt=media", ""}, 403, "forbidden"},
	)
	if a := s.call("", foreign); a.code != 403 || !strings.Contains(a.body, "AccessDenied") {
		t.Errorf("a signed URL of what was not granted: %d %s", a.code, a.body)
	}
	s.ok("down", run.Run)
	s.refuses(refusal{"a downscoped token after down", less, readObject, 401, "authError"})
	if a := s.call("", mine); a.code != 403 || !strings.Contains(a.body, "InvalidSecurity") {
		t.Errorf("a signed URL after down: %d %s", a.code, a.body)
	}

	// A signed URL may say a week: the grant, and the key, end before.
	run = s.up("tasks/demo.toml")
	mine.url = s.signer(run).signedURL("/acme-reports/2026/01.csv", s.now())
	s.allow("", mine)
	s.ok("emulator", "advance", "125m")
	if a := s.call("", mine); a.code != 403 {
		t.Errorf("a signed URL after the run's end: %d %s", a.code, a.body)
	}
	s.ok("down")
}

// TestAPIKeysOutliveTheRun has a run make an API key. It is there after down, whose it was nobody can tell, and it opens
// nothing that IAM decides.
func TestAPIKeysOutliveTheRun(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	run := s.up(s.write("keys.toml", `version = 1
[task]
name    = "keys"
project = "acme-agents"
ttl     = "1h"
[[grant]]
role     = "roles/serviceusage.apiKeysAdmin"
resource = "projects/acme-agents"
accept   = { hands-out-credentials = "what it is about" }
[credentials]
deliver = "token"
`))
	const keys = "https://apikeys.googleapis.com/v2/projects/acme-agents/locations/global/keys"
	made := s.call(s.token(run), request{"POST", keys + "?keyId=left", "{}"})
	var op struct{ Response struct{ KeyString string } }
	must(t, json.Unmarshal([]byte(made.body), &op))
	if made.code != 200 || op.Response.KeyString == "" {
		t.Fatalf("the run makes no key: %d %s", made.code, made.body)
	}
	s.ok("down", run.Run)
	if listed := s.asOperator(request{"GET", keys, ""}); !strings.Contains(listed, "/keys/left") {
		t.Errorf("after down, the keys are %s", listed)
	}
	with := func(r request) request {
		r.url += map[bool]string{true: "&key=", false: "?key="}[strings.Contains(r.url, "?")] + op.Response.KeyString
		return r
	}
	s.refuses(
		refusal{"an API key and a secret", "", with(readSecret), 401, "CREDENTIALS_MISSING"},
		refusal{"an API key and an object", "", with(readObject), 401, "required"},
		refusal{"an API key and keys", "", with(request{"GET", keys, ""}), 401, "CREDENTIALS_MISSING"},
		refusal{"an API key and another", "", with(request{"POST", keys, "{}"}), 401, "CREDENTIALS_MISSING"},
	)
}
