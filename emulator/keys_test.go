package emulator

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"testing"
	"time"
)

// certificate wraps a pooled key for uploading.
func certificate(t *testing.T, notAfter time.Time) (*rsa.PrivateKey, string) {
	t.Helper()
	key, err := pooledKey()
	if err != nil {
		t.Fatal(err)
	}
	der, err := newCertificate(key, "unused", epoch.Add(-time.Minute), notAfter)
	if err != nil {
		t.Fatal(err)
	}
	return key, base64.StdEncoding.EncodeToString(encodePEM("CERTIFICATE", der))
}

// upload gives the account a key that ends, and returns it with its id.
func (l *lab) upload(email string, notAfter time.Time) (*rsa.PrivateKey, string) {
	l.t.Helper()
	key, data := certificate(l.t, notAfter)
	name := l.must(l.operator, "POST", accounts+"/"+email+"/keys:upload", `{"publicKeyData":"`+data+`"}`).str("name")
	return key, name[len(name)-40:]
}

func TestKeys(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	email := l.account("ti-keys")
	at := accounts + "/" + email + "/keys"

	r := l.must(l.operator, "POST", at, `{"privateKeyType":"TYPE_GOOGLE_CREDENTIALS_FILE"}`)
	raw, err := base64.StdEncoding.DecodeString(r.str("privateKeyData"))
	if err != nil {
		t.Fatal(err)
	}
	var file map[string]string
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	if file["client_email"] != email || file["type"] != "service_account" || r.str("validBeforeTime") != "9999-12-31T23:59:59Z" {
		t.Errorf("key is %s, its file %s", r.raw, raw)
	}
	if block, _ := pem.Decode([]byte(file["private_key"])); block == nil || block.Type != "PRIVATE KEY" {
		t.Errorf("the private key is %q", file["private_key"])
	}

	end := epoch.Add(2 * time.Hour)
	_, id := l.upload(email, end)
	r = l.must(l.operator, "GET", at+"/"+id+"?publicKeyType=TYPE_X509_PEM_FILE", "")
	if r.str("keyOrigin") != "USER_PROVIDED" || r.str("validBeforeTime") != end.Format(time.RFC3339) || r.str("publicKeyData") == "" {
		t.Errorf("the uploaded key is %s", r.raw)
	}
	for query, want := range map[string]int{"": 3, "?keyTypes=USER_MANAGED": 2, "?keyTypes=SYSTEM_MANAGED": 1} {
		keys, _ := l.must(l.operator, "GET", at+query, "").body["keys"].([]any)
		if len(keys) != want {
			t.Errorf("keys%s lists %d, want %d", query, len(keys), want)
		}
	}
	l.must(l.operator, "DELETE", at+"/"+id, "")
	l.want(l.do(l.operator, "DELETE", at+"/"+id, ""), 404, "NOT_FOUND")
	l.want(l.do(l.operator, "GET", at+"/"+id, ""), 404, "NOT_FOUND")
	l.want(l.do(mara, "GET", at, ""), 403, "PERMISSION_DENIED")
}

func TestKeyLimit(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	at := accounts + "/" + l.account("ti-keys") + "/keys"
	for range 10 {
		l.must(l.operator, "POST", at, "{}")
	}
	r := l.do(l.operator, "POST", at, "{}")
	l.want(r, 400, "FAILED_PRECONDITION")
	_, data := certificate(t, epoch.Add(time.Hour))
	l.want(l.do(l.operator, "POST", at+":upload", `{"publicKeyData":"`+data+`"}`), 400, "FAILED_PRECONDITION")
}

func TestUploadRefusals(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	at := accounts + "/" + l.account("ti-keys") + "/keys:upload"
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: epoch, NotAfter: epoch.Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, ec.Public(), ec)
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.StdEncoding.EncodeToString
	_, good := certificate(t, epoch.Add(time.Hour))
	for name, data := range map[string]string{
		"nothing":             "",
		"no PEM":              b64([]byte("hello")),
		"another kind of PEM": b64(encodePEM("PUBLIC KEY", der)),
		"a broken one":        b64(encodePEM("CERTIFICATE", der[:20])),
		"no RSA":              b64(encodePEM("CERTIFICATE", der)),
		"no base64":           "%%%",
	} {
		if r := l.do(l.operator, "POST", at, `{"publicKeyData":"`+data+`"}`); r.status() != "INVALID_ARGUMENT" {
			t.Errorf("%s: %d %s", name, r.code, r.raw)
		}
	}
	l.must(l.operator, "POST", at, `{"publicKeyData":"`+good+`"}`)
	l.want(l.do(l.operator, "POST", at, `{"publicKeyData":"`+good+`"}`), 409, "ALREADY_EXISTS")
}
