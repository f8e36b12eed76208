package emulator

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

const kmsAPI = "https://cloudkms.googleapis.com/v1/projects/acme-data/locations/europe-west1/keyRings"

// kmsLab has a key ring of Mara's, who owns the project's KMS, and an account that
// may do what the binding on the key says.
func kmsLab(t *testing.T, bindings string) (l *lab, token string) {
	l = newLab(t, func(c *Config) {
		c.Seed = append([]byte(nil), acme...)
		c.Seed = append(c.Seed, `
[[service_account]]
project = "acme-agents"
id      = "ti-cipher"
token   = "ya29.cipher"

[[key_ring]]
project  = "acme-data"
location = "europe-west1"
name     = "ring"
[[key_ring.binding]]
role    = "roles/cloudkms.admin"
members = ["user:mara@acme.example"]
[[key_ring.key]]
name = "key"
`+bindings+`
[[key_ring.key]]
name = "other"

[[resource]]
name = "//cloudkms.googleapis.com/projects/acme-data/locations/europe-west1/keyRings/ring/importJobs/job"
`...)
	})
	return l, "ya29.cipher"
}

const cipherMember = "serviceAccount:ti-cipher@acme-agents.iam.gserviceaccount.com"

func TestEncryptAndDecrypt(t *testing.T) {
	t.Parallel()
	l, token := kmsLab(t, `
[[key_ring.key.binding]]
role    = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
members = ["`+cipherMember+`"]
`)
	const key = kmsAPI + "/ring/cryptoKeys/key"
	plain := base64.StdEncoding.EncodeToString([]byte("hello"))
	const sum = "2591144780" // of hello
	r := l.must(token, "POST", key+":encrypt", `{"plaintext":"`+plain+`","plaintextCrc32c":"`+sum+`","additionalAuthenticatedData":"eA=="}`)
	sealed := r.str("ciphertext")
	if r.body["verifiedPlaintextCrc32c"] != true || r.body["verifiedAdditionalAuthenticatedDataCrc32c"] != nil ||
		!strings.HasSuffix(r.str("name"), "/cryptoKeys/key/cryptoKeyVersions/1") || r.str("protectionLevel") != "SOFTWARE" {
		t.Errorf("encrypted: %s", r.raw)
	}
	if again := l.must(token, "POST", key+":encrypt", `{"plaintext":"`+plain+`","additionalAuthenticatedData":"eA=="}`); again.str("ciphertext") == sealed {
		t.Error("two ciphertexts of one text are the same")
	}
	open := `{"ciphertext":"` + sealed + `","ciphertextCrc32c":` + r.str("ciphertextCrc32c") + `,"additionalAuthenticatedData":"eA=="}`
	r = l.must(token, "POST", key+":decrypt", open)
	if r.str("plaintext") != plain || r.str("plaintextCrc32c") != sum || r.body["usedPrimary"] != true {
		t.Errorf("decrypted: %s", r.raw)
	}

	flipped := []byte(sealed)
	flipped[20] ^= 1
	for name, tt := range map[string]struct{ verb, body string }{
		"other additional data": {"decrypt", `{"ciphertext":"` + sealed + `","additionalAuthenticatedData":"eQ=="}`},
		"no additional data":    {"decrypt", `{"ciphertext":"` + sealed + `"}`},
		"altered":               {"decrypt", `{"ciphertext":"` + string(flipped) + `","additionalAuthenticatedData":"eA=="}`},
		"short":                 {"decrypt", `{"ciphertext":"AAAA"}`},
		"wrong checksum":        {"decrypt", `{"ciphertext":"` + sealed + `","ciphertextCrc32c":"1"}`},
		"no plaintext":          {"encrypt", `{}`},
		"wrong sum":             {"encrypt", `{"plaintext":"` + plain + `","plaintextCrc32c":"1"}`},
		"no sum":                {"encrypt", `{"plaintext":"` + plain + `","plaintextCrc32c":"many"}`},
		"long":                  {"encrypt", fmt.Sprintf(`{"plaintext":"%s"}`, base64.StdEncoding.EncodeToString(make([]byte, 64<<10+1)))},
	} {
		if r := l.do(token, "POST", key+":"+tt.verb, tt.body); r.code != 400 || r.status() != "INVALID_ARGUMENT" {
			t.Errorf("%s: %d %s", name, r.code, r.raw)
		}
	}
	l.want(l.do(token, "POST", kmsAPI+"/ring/cryptoKeys/other:decrypt", open), 403, "PERMISSION_DENIED")
	l.want(l.do(mara, "POST", key+":decrypt", open), 403, "PERMISSION_DENIED") // an administrator does not use keys
	l.want(l.do("", "POST", key+":decrypt", open), 401, "UNAUTHENTICATED")
}

// A key is used under the conditions of its own policy, its ring's and its project's.
func TestKeyConditions(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		condition string
		want      int
	}{
		"time to come": {`request.time < timestamp("2026-04-01T00:00:00Z")`, 200},
		"time past":    {`request.time < timestamp("2026-01-01T00:00:00Z")`, 403},
		"name":         {`resource.name == "projects/acme-data/locations/europe-west1/keyRings/ring/cryptoKeys/key"`, 200},
		"other name":   {`resource.name.endsWith("/cryptoKeys/other")`, 403},
		"type":         {`resource.type == "cloudkms.googleapis.com/CryptoKey" && resource.service == "cloudkms.googleapis.com"`, 200},
		"ring":         {`resource.type == "cloudkms.googleapis.com/KeyRing"`, 403},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, token := kmsLab(t, `
[[key_ring.key.binding]]
role    = "roles/cloudkms.cryptoKeyEncrypter"
members = ["`+cipherMember+`"]
[key_ring.key.binding.condition]
title      = "t"
expression = '`+tt.condition+`'
`)
			if r := l.do(token, "POST", kmsAPI+"/ring/cryptoKeys/key:encrypt", `{"plaintext":"eA=="}`); r.code != tt.want {
				t.Errorf("%d %s, want %d", r.code, r.raw, tt.want)
			}
		})
	}
}

func TestKeyRings(t *testing.T) {
	t.Parallel()
	l, token := kmsLab(t, "")
	// Mara's role is bound on the ring, and so is none on the project.
	l.want(l.do(mara, "POST", kmsAPI+"?keyRingId=new", "{}"), 403, "PERMISSION_DENIED")
	for _, path := range []string{"/ring", "/ring/cryptoKeys/key", "/ring/cryptoKeys"} {
		l.must(mara, "GET", kmsAPI+path, "")
		l.want(l.do(token, "GET", kmsAPI+path, ""), 403, "PERMISSION_DENIED")
	}
	r := l.must(mara, "POST", kmsAPI+"/ring/cryptoKeys?cryptoKeyId=made", `{"purpose":"ENCRYPT_DECRYPT","labels":{"a":"b"}}`)
	if !strings.HasPrefix(r.str("createTime"), "2026-03-03T11:00:00") || r.str("purpose") != "ENCRYPT_DECRYPT" || r.body["primary"] == nil {
		t.Errorf("the key is %s", r.raw)
	}
	if list := l.must(mara, "GET", kmsAPI+"/ring/cryptoKeys?pageSize=2", ""); len(list.body["cryptoKeys"].([]any)) != 2 || list.body["totalSize"] != 3.0 || list.str("nextPageToken") == "" {
		t.Errorf("the keys are %s", list.raw)
	}
	for body, want := range map[string]int{
		`{"purpose":"ENCRYPT_DECRYPT"}`: 409, `{}`: 400, `{"purpose":"ASYMMETRIC_SIGN"}`: 501, `{"purpose":"ENCRYPT_DECRYPT","rotationPeriod":"1s"}`: 501,
	} {
		if r := l.do(mara, "POST", kmsAPI+"/ring/cryptoKeys?cryptoKeyId=made", body); r.code != want {
			t.Errorf("%s: %d %s, want %d", body, r.code, r.raw, want)
		}
	}
	l.want(l.do(mara, "POST", kmsAPI+"/ring/cryptoKeys?cryptoKeyId=a+b", `{"purpose":"ENCRYPT_DECRYPT"}`), 400, "INVALID_ARGUMENT")
	l.want(l.do(mara, "GET", kmsAPI+"/ring/cryptoKeys/missing", ""), 404, "NOT_FOUND")
	l.want(l.do(token, "GET", kmsAPI+"/missing", ""), 403, "PERMISSION_DENIED")

	// What the ring's policy grants holds for what lies in it, keys and import jobs alike.
	for _, path := range []string{"/ring", "/ring/cryptoKeys/key", "/ring/importJobs/job"} {
		if got := l.must(mara, "POST", kmsAPI+path+":testIamPermissions", `{"permissions":["cloudkms.cryptoKeys.setIamPolicy"]}`).raw; !strings.Contains(got, "setIamPolicy") {
			t.Errorf("%s: Mara holds %s", path, got)
		}
	}
	if before := l.must(mara, "GET", kmsAPI+"/ring/importJobs/job:getIamPolicy", "").raw; before != `{"etag":"ACAB"}` {
		t.Errorf("the policy of the import job is %s", before)
	}
}
