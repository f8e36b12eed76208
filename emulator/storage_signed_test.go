package emulator

import (
	"crypto"
	"crypto/hmac"
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

// hmacSigned is a signing by an HMAC key.
func hmacSigned(id, secret, verb, path string) signing {
	return signing{verb: verb, path: path, signer: id, at: epoch, lasts: 10 * time.Minute, algorithm: "GOOG4-HMAC-SHA256",
		scope: "auto/storage/goog4_request", prefix: "X-Goog-", sign: func(text string) string {
			key := []byte("GOOG4" + secret)
			for _, part := range strings.Split(strings.Split(text, "\n")[2], "/") {
				mac := hmac.New(sha256.New, key)
				_, _ = mac.Write([]byte(part))
				key = mac.Sum(nil)
			}
			mac := hmac.New(sha256.New, key)
			_, _ = mac.Write([]byte(text))
			return hex.EncodeToString(mac.Sum(nil))
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

// header is the Authorization header of the request, and the headers that were signed.
func (g signing) header() []string {
	date := g.at.UTC().Format("20060102T150405Z")
	scope := date[:8] + "/" + g.scope
	lower := strings.ToLower(g.prefix) + "date"
	all := map[string]string{lower: date}
	for name, value := range g.headers {
		all[name] = value
	}
	g.headers = all
	names := []string{"host"}
	out := []string{}
	for name, value := range all {
		names = append(names, name)
		out = append(out, name+": "+value)
	}
	slices.Sort(names)
	return append(out, "Authorization: "+g.algorithm+" Credential="+g.signer+"/"+scope+", SignedHeaders="+strings.Join(names, ";")+
		", Signature="+g.sign(g.text(date, scope, names, g.query)))
}

// hmacAPI is where the HMAC keys of the project are.
const hmacAPI = gcs + "/projects/acme/hmacKeys"

// An HMAC key signs requests of the XML API until it is made inactive, and no longer than its account is there. Only its
// making shows its secret.
func TestHMACKeys(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.agentReads()
	var key struct {
		Secret   string
		Metadata struct{ AccessID, State, ServiceAccountEmail, Etag string }
	}
	create := "POST " + hmacAPI + "?serviceAccountEmail=" + agentEmail
	c.want(403, nil, "agent", create, "")
	c.want(404, nil, "operator", create+"x", "")
	c.want(200, &key, "operator", create, "")
	id, one := key.Metadata.AccessID, hmacAPI+"/"+key.Metadata.AccessID
	if len(id) != 61 || len(key.Secret) != 40 || key.Metadata.State != "ACTIVE" || key.Metadata.ServiceAccountEmail != agentEmail {
		t.Errorf("the key is %+v", key)
	}
	for _, what := range []string{"GET " + one, "GET " + hmacAPI} {
		if got := c.want(200, nil, "operator", what, ""); strings.Contains(string(got.body), key.Secret) || !strings.Contains(string(got.body), id) {
			t.Errorf("%s: %s", what, got.body)
		}
		c.want(403, nil, "agent", what, "")
	}
	if strings.Contains(c.snapshot(), key.Secret) || strings.Contains(c.log.String(), key.Secret) {
		t.Error("the secret is in a snapshot or in the log")
	}

	read := hmacSigned(id, key.Secret, "GET", "/reports/2026/a.txt")
	amazon := read
	amazon.algorithm, amazon.prefix, amazon.scope = "AWS4-HMAC-SHA256", "X-Amz-", "us-east-1/s3/aws4_request"
	amazon.sign = func(text string) string {
		k := []byte("AWS4" + key.Secret)
		for _, part := range append(strings.Split(strings.Split(text, "\n")[2], "/"), text) {
			mac := hmac.New(sha256.New, k)
			_, _ = mac.Write([]byte(part))
			k = mac.Sum(nil)
		}
		return hex.EncodeToString(k)
	}
	const object = "GET storage.googleapis.com/reports/2026/a.txt"
	for _, g := range []signing{read, amazon} {
		for name, got := range map[string]reply{"a URL": c.call("", "GET "+g.url(), ""), "a header": c.call("", object, "", g.header()...)} {
			if got.code != 200 || string(got.body) != "hello, world" {
				t.Errorf("%s by %s: %d %s", name, g.algorithm, got.code, got.body)
			}
		}
		c.refusedXML(403, "SignatureDoesNotMatch", "GET storage.googleapis.com/reports/2025/old.txt", "", g.header()...)
		late := g
		late.at = epoch.Add(-20 * time.Minute)
		c.refusedXML(403, "RequestTimeTooSkewed", object, "", late.header()...)
		c.refusedXML(400, "ExpiredToken", "GET "+late.url(), "")
	}
	write := read
	write.verb, write.path = "PUT", "/reports/by-hmac"
	c.want(200, nil, "", "PUT storage.googleapis.com/reports/by-hmac", "x", write.header()...)
	list := read
	list.path = "/reports"
	c.want(200, nil, "", "GET storage.googleapis.com/reports", "", list.header()...)
	c.want(401, nil, "", "GET "+gcs+"/b/reports/o", "", read.header()...) // not by the JSON API
	c.refusedXML(403, "SignatureDoesNotMatch", "GET "+hmacSigned(id, key.Secret+"x", "GET", read.path).url(), "")
	c.refusedXML(403, "InvalidSecurity", "GET "+hmacSigned(id+"X", key.Secret, "GET", read.path).url(), "")

	// Inactive before it is deleted.
	c.want(400, nil, "operator", "DELETE "+one, "")
	c.want(412, nil, "operator", "PUT "+one, `{"state":"INACTIVE","etag":"CAE="}`)
	c.want(400, nil, "operator", "PUT "+one, `{"state":"DELETED"}`)
	c.want(200, nil, "operator", "PUT "+one, `{"state":"INACTIVE","etag":"`+key.Metadata.Etag+`"}`)
	c.refusedXML(403, "InvalidSecurity", "GET "+read.url(), "")
	c.want(200, nil, "operator", "PUT "+one, `{"state":"ACTIVE"}`)
	c.want(200, nil, "", "GET "+read.url(), "")

	// The key of an account that is gone stays where it is, and signs nothing.
	for _, verb := range []string{":disable", ":enable"} {
		c.want(200, nil, "operator", "POST "+iamREST+"projects/acme/serviceAccounts/"+agentEmail+verb, "{}")
		if got := c.call("", "GET "+read.url(), ""); (got.code == 200) != (verb == ":enable") {
			t.Errorf("after %s: %d %s", verb, got.code, got.body)
		}
	}
	for range 9 {
		c.want(200, nil, "operator", create, "")
	}
	c.want(400, nil, "operator", create, "")
	c.want(200, nil, "operator", "DELETE "+iamREST+"projects/acme/serviceAccounts/"+agentEmail, "")
	c.refusedXML(403, "InvalidSecurity", "GET "+read.url(), "")
	c.refusedXML(403, "InvalidSecurity", object, "", read.header()...)
	c.want(200, nil, "operator", "POST "+iamREST+"projects/acme/serviceAccounts", `{"accountId":"agent-one"}`) // another of that name
	c.refusedXML(403, "InvalidSecurity", "GET "+read.url(), "")
	if got := c.want(200, nil, "operator", "GET "+one, ""); got.field("state") != `"ACTIVE"` {
		t.Errorf("the key is %s", got.body)
	}
	c.want(200, nil, "operator", "PUT "+one, `{"state":"INACTIVE"}`)
	c.want(204, nil, "operator", "DELETE "+one, "")
	c.want(400, nil, "operator", "PUT "+one, `{"state":"ACTIVE"}`)
	if got := c.want(200, nil, "operator", "GET "+hmacAPI, ""); strings.Contains(string(got.body), id) {
		t.Errorf("a deleted key is listed: %s", got.body)
	}
	if got := c.want(200, nil, "operator", "GET "+hmacAPI+"?showDeletedKeys=true&serviceAccountEmail="+agentEmail, ""); !strings.Contains(string(got.body), "DELETED") {
		t.Errorf("with the deleted ones: %s", got.body)
	}
}
