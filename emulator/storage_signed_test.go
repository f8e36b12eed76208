package emulator

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/iam"
)

// signing is how a request of the XML API is signed, by the documents of the V4 process.
type signing struct {
	verb, path string // "/reports/2026/a.txt"
	query      url.Values
	headers    map[string]string
	signer     string
	at         time.Time
	lasts      time.Duration // of a URL
	sign       func(text string) string
	algorithm  string
	scope      string // what follows the date
	prefix     string // of the parameters
	payload    string
}

// url is a signed URL of the request, without the scheme.
func (g signing) url() string {
	q := url.Values{}
	for k, v := range g.query {
		q[k] = v
	}
	date := g.at.UTC().Format("20060102T150405Z")
	scope := date[:8] + "/" + g.scope
	names := []string{"host"}
	for name := range g.headers {
		names = append(names, name)
	}
	slices.Sort(names)
	for k, v := range map[string]string{"Algorithm": g.algorithm, "Credential": g.signer + "/" + scope, "Date": date,
		"Expires": fmt.Sprint(int(g.lasts.Seconds())), "SignedHeaders": strings.Join(names, ";")} {
		q.Set(g.prefix+k, v)
	}
	q.Set(g.prefix+"Signature", g.sign(g.text(date, scope, names, q)))
	return "storage.googleapis.com" + (&url.URL{Path: g.path}).EscapedPath() + "?" + q.Encode()
}

func (g signing) text(date, scope string, names []string, q url.Values) string {
	var headers strings.Builder
	for _, name := range names {
		value := "storage.googleapis.com"
		if name != "host" {
			value = g.headers[name]
		}
		headers.WriteString(name + ":" + value + "\n")
	}
	payload := g.payload
	if payload == "" {
		payload = "UNSIGNED-PAYLOAD"
	}
	path := strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(g.path), "+", "%20"), "%2F", "/")
	sum := sha256.Sum256([]byte(g.verb + "\n" + path + "\n" +
		strings.ReplaceAll(q.Encode(), "+", "%20") + "\n" + headers.String() + "\n" + strings.Join(names, ";") + "\n" + payload))
	return g.algorithm + "\n" + date + "\n" + scope + "\n" + hex.EncodeToString(sum[:])
}

// rsaSigned is a signing by a key of an account.
func rsaSigned(t *testing.T, key *rsa.PrivateKey, signer, verb, path string) signing {
	t.Helper()
	return signing{verb: verb, path: path, signer: signer, at: epoch, lasts: 10 * time.Minute, algorithm: "GOOG4-RSA-SHA256",
		scope: "auto/storage/goog4_request", prefix: "X-Goog-", sign: func(text string) string {
			sum := sha256.Sum256([]byte(text))
			raw, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
			if err != nil {
				t.Fatal(err)
			}
			return hex.EncodeToString(raw)
		}}
}

// agentKey makes a key of the agent's.
func (c cloud) agentKey() (id string, key *rsa.PrivateKey) {
	c.t.Helper()
	var made struct{ Name, PrivateKeyData string }
	c.want(200, &made, "operator", "POST "+iamREST+"projects/acme/serviceAccounts/"+agentEmail+"/keys", "{}")
	raw, err := base64.StdEncoding.DecodeString(made.PrivateKeyData)
	if err != nil {
		c.t.Fatal(err)
	}
	var file struct {
		PrivateKey string `json:"private_key"`
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		c.t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(file.PrivateKey))
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		c.t.Fatal(err)
	}
	return made.Name, parsed.(*rsa.PrivateKey)
}

// refusedXML wants a refusal of the XML API with this code.
func (c cloud) refusedXML(status int, code, what, body string, header ...string) {
	c.t.Helper()
	if got := c.call("", what, body, header...); got.code != status || !strings.Contains(string(got.body), "<Code>"+code+"</Code>") {
		c.t.Errorf("%s: got %d, want %d %s\n%s", what, got.code, status, code, got.body)
	}
}

// agentReads lets the agent read and write reports.
func (c cloud) agentReads() {
	c.t.Helper()
	if got := c.bindBucket("reports", iam.Binding{Role: "roles/storage.objectUser", Members: []string{agentMember}}); got.code != 200 {
		c.t.Fatalf("binding: %d %s", got.code, got.body)
	}
}

// A signed URL is good for its request alone, until its end, and for what its signer may do when it is used.
func TestSignedURL(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	name, key := c.agentKey()
	read := rsaSigned(t, key, agentEmail, "GET", "/reports/2026/a.txt")
	c.refusedXML(403, "AccessDenied", "GET "+read.url(), "") // its signer may nothing yet
	c.agentReads()
	if got := c.want(200, nil, "", "GET "+read.url(), ""); string(got.body) != "hello, world" {
		t.Errorf("read %q", got.body)
	}
	odd := rsaSigned(t, key, agentEmail, "PUT", "/reports/odd name+~(1)é.txt")
	odd.headers = map[string]string{"content-type": "text/plain", "x-goog-meta-k": "v v"}
	c.want(200, nil, "", "PUT "+odd.url(), "content", "Content-Type: text/plain", "X-Goog-Meta-K: v  v")
	odd.verb, odd.headers = "GET", nil
	odd.query = url.Values{"response-content-type": {"text/html"}}
	if got := c.want(200, nil, "", "GET "+odd.url(), ""); string(got.body) != "content" || got.header.Get("Content-Type") != "text/html" || got.header.Get("X-Goog-Meta-K") != "v  v" {
		t.Errorf("read %q %v", got.body, got.header)
	}
	list := rsaSigned(t, key, agentEmail, "GET", "/reports")
	list.query = url.Values{"prefix": {"2026/"}, "delimiter": {"/"}}
	if got := c.want(200, nil, "", "GET "+list.url(), ""); !strings.Contains(string(got.body), "<Key>2026/a.txt</Key>") || !strings.Contains(string(got.body), "<CommonPrefixes><Prefix>2026/sub/</Prefix>") {
		t.Errorf("the list is %s", got.body)
	}
	remove := rsaSigned(t, key, agentEmail, "DELETE", odd.path)
	c.want(204, nil, "", "DELETE "+remove.url(), "")

	// Nothing of it can be changed.
	c.refusedXML(403, "SignatureDoesNotMatch", "DELETE "+read.url(), "")
	c.refusedXML(403, "SignatureDoesNotMatch", "GET "+strings.Replace(read.url(), "a.txt", "sub/b.txt", 1), "")
	c.refusedXML(403, "SignatureDoesNotMatch", "GET "+strings.Replace(read.url(), "Expires=600", "Expires=6000", 1), "")
	c.refusedXML(403, "SignatureDoesNotMatch", "GET "+read.url()+"&generation=1", "")
	other := rsaSigned(t, key, strings.Replace(agentEmail, "agent-one", "agent-two", 1), "GET", read.path)
	c.refusedXML(403, "SignatureDoesNotMatch", "GET "+other.url(), "")
	c.refusedXML(403, "InvalidSecurity", "GET "+rsaSigned(t, key, "nobody@acme.iam.gserviceaccount.com", "GET", read.path).url(), "")
	c.refusedXML(400, "MalformedSecurityHeader", "GET "+read.url(), "", "X-Goog-Encryption-Algorithm: AES256")
	c.refusedXML(400, "MalformedSecurityHeader", "GET "+strings.Replace(read.url(), "GOOG4-RSA-SHA256", "GOOG4-NONE", 1), "")
	hashed := rsaSigned(t, key, agentEmail, "PUT", "/reports/hashed")
	sum := sha256.Sum256([]byte("content"))
	hashed.payload = hex.EncodeToString(sum[:])
	hashed.headers = map[string]string{"x-goog-content-sha256": hashed.payload}
	c.refusedXML(400, "BadDigest", "PUT "+hashed.url(), "other", "X-Goog-Content-Sha256: "+hashed.payload)
	c.want(200, nil, "", "PUT "+hashed.url(), "content", "X-Goog-Content-Sha256: "+hashed.payload)
	c.refusedXML(400, "MalformedSecurityHeader", "PUT "+hashed.url(), "content")

	// At most seven days, and not from the future on.
	long := read
	long.lasts = 7 * 24 * time.Hour
	c.want(200, nil, "", "GET "+long.url(), "")
	for _, lasts := range []time.Duration{7*24*time.Hour + time.Second, 0} {
		long.lasts = lasts
		c.refusedXML(400, "MalformedSecurityHeader", "GET "+long.url(), "")
	}
	early := read
	early.at = epoch.Add(time.Hour)
	c.refusedXML(403, "AccessDenied", "GET "+early.url(), "")

	// It ends with its key, with its account and by itself.
	c.want(200, nil, "operator", "POST "+iamREST+"projects/acme/serviceAccounts/"+agentEmail+":disable", "{}")
	c.refusedXML(403, "InvalidSecurity", "GET "+read.url(), "")
	c.want(200, nil, "operator", "POST "+iamREST+"projects/acme/serviceAccounts/"+agentEmail+":enable", "{}")
	c.want(200, nil, "", "GET "+read.url(), "")
	c.Advance(10*time.Minute - time.Second)
	c.want(200, nil, "", "GET "+read.url(), "")
	c.Advance(time.Second)
	c.refusedXML(400, "ExpiredToken", "GET "+read.url(), "")
	read.lasts = time.Hour
	c.want(200, nil, "", "GET "+read.url(), "")
	c.want(200, nil, "operator", "DELETE "+iamREST+name, "")
	c.refusedXML(403, "SignatureDoesNotMatch", "GET "+read.url(), "")
}

// What signBlob signs, with the key that Google holds, is a signed URL too. It ends with the account.
func TestSignedURLBySignBlob(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.agentReads()
	c.want(200, nil, "operator", "POST "+iamREST+"projects/acme/serviceAccounts/"+agentEmail+":setIamPolicy",
		`{"policy":{"bindings":[{"role":"roles/iam.serviceAccountTokenCreator","members":["user:olga@acme.test"]}]}}`)
	read := rsaSigned(t, nil, agentEmail, "GET", "/reports/2026/a.txt")
	read.sign = func(text string) string {
		var signed struct{ SignedBlob []byte }
		c.want(200, &signed, "operator", "POST iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/"+agentEmail+":signBlob",
			`{"payload":"`+base64.StdEncoding.EncodeToString([]byte(text))+`"}`)
		return hex.EncodeToString(signed.SignedBlob)
	}
	address := read.url()
	c.want(200, nil, "", "GET "+address, "")
	c.want(200, nil, "operator", "DELETE "+iamREST+"projects/acme/serviceAccounts/"+agentEmail, "")
	c.refusedXML(403, "InvalidSecurity", "GET "+address, "")
}
