package emulator

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// lab is an emulator under test, reached without sockets.
type lab struct {
	t *testing.T
	*Server
	operator string // bearer token
	log      *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.b.Reset()
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// epoch is when the clock of a lab starts: a Tuesday, noon in Berlin.
var epoch = time.Date(2026, 3, 3, 11, 0, 0, 0, time.UTC)

const noah, mara = "ya29.emulator-noah", "ya29.emulator-mara"

func newLab(t *testing.T, configure ...func(*Config)) *lab {
	t.Helper()
	log := &lockedBuffer{}
	cfg := Config{Now: func() time.Time { return epoch }, Log: log, NewKey: pooledKey}
	for _, f := range configure {
		f(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	_, token := s.Operator()
	return &lab{t: t, Server: s, operator: token, log: log}
}

// response is an answer, decoded.
type response struct {
	code   int
	header http.Header
	raw    string
	body   map[string]any
}

// status is the canonical status of an error, "" for success.
func (r response) status() string {
	e, _ := r.body["error"].(map[string]any)
	s, _ := e["status"].(string)
	return s
}

func (r response) reason() string {
	e, _ := r.body["error"].(map[string]any)
	details, _ := e["details"].([]any)
	for _, d := range details {
		if s, ok := d.(map[string]any)["reason"].(string); ok {
			return s
		}
	}
	return ""
}

func (r response) str(field string) string {
	s, _ := r.body[field].(string)
	return s
}

// do sends a request; body is JSON text, or "".
func (l *lab) do(token, method, url, body string) response {
	l.t.Helper()
	r := httptest.NewRequestWithContext(l.t.Context(), method, url, strings.NewReader(body))
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if strings.HasSuffix(r.URL.Path, "/token") {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return l.send(r)
}

func (l *lab) send(r *http.Request) response {
	l.t.Helper()
	w := httptest.NewRecorder()
	l.Handler().ServeHTTP(w, r)
	out := response{code: w.Code, header: w.Header(), raw: w.Body.String()}
	if err := json.Unmarshal(w.Body.Bytes(), &out.body); err != nil {
		out.body = nil // media
	}
	return out
}

// must is do for a call that has to succeed.
func (l *lab) must(token, method, url, body string) response {
	l.t.Helper()
	r := l.do(token, method, url, body)
	if r.code != http.StatusOK {
		l.t.Fatalf("%s %s: %d %s", method, url, r.code, r.raw)
	}
	return r
}

// want asserts code and status of a refusal.
func (l *lab) want(r response, code int, status string) {
	l.t.Helper()
	if r.code != code || r.status() != status {
		l.t.Errorf("answer is %d %s, want %d %s: %s", r.code, r.status(), code, status, r.raw)
	}
}

const (
	iamAPI   = "https://iam.googleapis.com/v1/"
	crm      = "https://cloudresourcemanager.googleapis.com/"
	creds    = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/"
	accounts = iamAPI + "projects/acme-agents/serviceAccounts"
)

// account creates a service account and returns its address.
func (l *lab) account(id string) string {
	l.t.Helper()
	return l.must(l.operator, "POST", accounts, `{"accountId":"`+id+`"}`).str("email")
}

// mint returns a token of an account, made by Noah, who may.
func (l *lab) mint(email string) string {
	l.t.Helper()
	return l.must(noah, "POST", creds+email+":generateAccessToken", `{"scope":["https://www.googleapis.com/auth/cloud-platform"]}`).str("accessToken")
}

func (l *lab) snapshot() string {
	l.t.Helper()
	b, err := l.Snapshot()
	if err != nil {
		l.t.Fatal(err)
	}
	return string(b)
}

func TestBuiltInCompany(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	member, _ := l.Operator()
	if want := "user:olivia@acme.example"; member != want {
		t.Errorf("operator is %s, want %s", member, want)
	}
	before := l.snapshot()
	email := l.account("ti-nightly-x")
	if got := l.snapshot(); got == before {
		t.Error("the snapshot does not show the new account")
	}
	l.must(l.operator, "DELETE", accounts+"/"+email, "")
	if got := l.snapshot(); got != before {
		t.Errorf("after the deletion the snapshot is\n%s\nwant\n%s", got, before)
	}
}

// The services as the tests know them.
const (
	hostStorage  = "storage.googleapis.com"
	hostIAM      = "iam.googleapis.com"
	hostPubsub   = "pubsub.googleapis.com"
	hostSecrets  = "secretmanager.googleapis.com"
	hostBigquery = "bigquery.googleapis.com"
	hostKMS      = "cloudkms.googleapis.com"
	hostManager  = "cloudresourcemanager.googleapis.com"

	tokenEndpoint   = "https://oauth2.googleapis.com/token"
	grantJWT        = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	grantExchange   = "urn:ietf:params:oauth:grant-type:token-exchange"
	typeAccessToken = "urn:ietf:params:oauth:token-type:access_token"
)

// newCertificate makes a self-signed certificate, in DER.
func newCertificate(private *rsa.PrivateKey, name string, from, to time.Time) ([]byte, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(from.UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: to,
	}
	return x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
}

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// wireTime is a time as Google writes it.
func wireTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// decodeJWTPart reads a part of a JWT.
func decodeJWTPart(part string, v any) error {
	raw, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, v)
}
