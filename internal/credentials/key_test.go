package credentials_test

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/auth/credentials"
	"github.com/google/go-cmp/cmp"

	ours "github.com/taskiam/taskiam/internal/credentials"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/secret"
)

var account = grants.Account{
	Email:    "ti-t-0123456789abcde@acme-agents.iam.gserviceaccount.com",
	UniqueID: "113456789012345678901",
	Project:  "acme-agents",
}

// pair is one key pair for all tests: making one takes most of their time.
var pair = sync.OnceValue(func() *ours.KeyPair {
	k, err := ours.NewKeyPair(nil)
	if err != nil {
		panic(err)
	}
	return k
})

func certificate(t *testing.T, from, until time.Time) *x509.Certificate {
	t.Helper()
	b, err := pair().Certificate(from, until)
	if err != nil {
		t.Fatal(err)
	}
	block, rest := pem.Decode(b)
	if block == nil || block.Type != "CERTIFICATE" || len(rest) != 0 {
		t.Fatalf("not one certificate in PEM: %s", b)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCertificateEndsWithTheRun(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 3, 1, 11, 59, 0, 0, time.UTC)
	for _, test := range []struct{ until, want time.Time }{
		{time.Date(2026, 3, 1, 13, 0, 0, 0, time.UTC), time.Date(2026, 3, 1, 13, 0, 0, 0, time.UTC)},
		{time.Date(2026, 3, 1, 13, 0, 0, 999_999_999, time.UTC), time.Date(2026, 3, 1, 13, 0, 0, 0, time.UTC)}, // never later
		{time.Date(2026, 3, 1, 15, 0, 7, 0, time.FixedZone("", 2*3600)), time.Date(2026, 3, 1, 13, 0, 7, 0, time.UTC)},
		{time.Date(2051, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2051, 1, 1, 0, 0, 0, 0, time.UTC)}, // the other form of time in X.509
	} {
		c := certificate(t, from, test.until)
		if !c.NotAfter.Equal(test.want) || !c.NotBefore.Equal(from) {
			t.Errorf("until %s: valid from %s until %s", test.until, c.NotBefore, c.NotAfter)
		}
	}
	if _, err := pair().Certificate(from, from); err == nil {
		t.Error("a certificate that is never valid was made")
	}
}

func TestCertificateIsWhatGoogleTakes(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	c := certificate(t, now, now.Add(time.Hour))
	key, ok := c.PublicKey.(*rsa.PublicKey)
	if !ok || key.N.BitLen() != 2048 {
		t.Errorf("the key is a %T", c.PublicKey)
	}
	if c.Version != 3 || c.IsCA || c.Subject.String() != "CN=unused" || c.Issuer.String() != "CN=unused" {
		t.Errorf("version %d, CA %t, subject %s, issuer %s", c.Version, c.IsCA, c.Subject, c.Issuer)
	}
	if err := c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature); err != nil {
		t.Errorf("it does not vouch for itself: %v", err)
	}
	if other := certificate(t, now, now.Add(time.Hour)); c.SerialNumber.Cmp(other.SerialNumber) == 0 || c.SerialNumber.Sign() <= 0 {
		t.Errorf("serial numbers %s and %s", c.SerialNumber, other.SerialNumber)
	}
}

func TestNewKeyPairTakesItsKeyFromTheSeam(t *testing.T) {
	t.Parallel()
	asked := 0
	_, err := ours.NewKeyPair(func(bits int) (*rsa.PrivateKey, error) { asked = bits; return nil, io.ErrUnexpectedEOF })
	if !errors.Is(err, io.ErrUnexpectedEOF) || asked != 2048 {
		t.Errorf("asked for %d bits: %v", asked, err)
	}
}

func TestKeyFileHasGooglesFields(t *testing.T) {
	t.Parallel()
	file, err := pair().File(account, "abc123")
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]string
	if err := json.Unmarshal([]byte(file.Reveal()), &got); err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(got["private_key"]))
	if block == nil || block.Type != "PRIVATE KEY" {
		t.Fatal("the private key is not PKCS #8 in PEM")
	}
	delete(got, "private_key")
	want := map[string]string{
		"type":                        "service_account",
		"project_id":                  "acme-agents",
		"private_key_id":              "abc123",
		"client_email":                account.Email,
		"client_id":                   account.UniqueID,
		"auth_uri":                    "https://accounts.google.com/o/oauth2/auth",
		"token_uri":                   "https://oauth2.googleapis.com/token",
		"auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
		"client_x509_cert_url":        "https://www.googleapis.com/robot/v1/metadata/x509/ti-t-0123456789abcde%40acme-agents.iam.gserviceaccount.com",
		"universe_domain":             "googleapis.com",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if s := fmt.Sprintf("%v %+v %#v", file, file, file); strings.Contains(s, "PRIVATE") {
		t.Error("the key file prints itself")
	}
}

// TestGooglesLibraryActsWithTheKeyFile has Google's own client read the key file and
// ask for a token, and checks its signature as Google would: with the certificate.
func TestGooglesLibraryActsWithTheKeyFile(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	cert := certificate(t, now, now.Add(time.Hour))
	var header, claims map[string]any
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		parts := strings.Split(r.FormValue("assertion"), ".")
		if len(parts) != 3 {
			http.Error(w, "no assertion", http.StatusBadRequest)
			return
		}
		signature, err := base64.RawURLEncoding.DecodeString(parts[2])
		sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
		if err != nil || rsa.VerifyPKCS1v15(cert.PublicKey.(*rsa.PublicKey), crypto.SHA256, sum[:], signature) != nil {
			http.Error(w, "bad signature", http.StatusBadRequest)
			return
		}
		for i, into := range []*map[string]any{&header, &claims} {
			b, err := base64.RawURLEncoding.DecodeString(parts[i])
			if err != nil || json.Unmarshal(b, into) != nil {
				http.Error(w, "bad assertion", http.StatusBadRequest)
				return
			}
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"ya29.made","expires_in":3599,"token_type":"Bearer"}`)
	}))
	defer server.Close()

	file, err := pair().File(account, "abc123")
	if err != nil {
		t.Fatal(err)
	}
	// Google's own address is not to be called from a test; all else stays as it is.
	key := bytes.Replace([]byte(file.Reveal()), []byte("https://oauth2.googleapis.com/token"), []byte(server.URL), 1)
	creds, err := credentials.NewCredentialsFromJSON(credentials.ServiceAccount, key, &credentials.DetectOptions{
		Scopes: []string{"https://www.googleapis.com/auth/cloud-platform"},
	})
	if err != nil {
		t.Fatal(err)
	}
	token, err := creds.Token(t.Context())
	if err != nil || token.Value != "ya29.made" {
		t.Fatalf("%v, %v", token, err)
	}
	if header["kid"] != "abc123" || claims["iss"] != account.Email {
		t.Errorf("header %v, claims %v", header, claims)
	}
	if project, err := creds.ProjectID(t.Context()); err != nil || project != "acme-agents" {
		t.Errorf("project %q, %v", project, err)
	}
}

func keyFile(t *testing.T) secret.String {
	t.Helper()
	file, err := pair().File(account, "abc123")
	if err != nil {
		t.Fatal(err)
	}
	return file
}
