package emulator

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"
	"google.golang.org/api/storage/v1"

	"github.com/taskiam/taskiam/emulator/internal/iam"
)

// servicesSeed is a company with two service accounts that nobody has granted anything, and one of
// everything that they might be granted.
const servicesSeed = `
[organization]
number = "100"
domain = "acme.test"

[operator]
member = "user:olga@acme.test"
token = "operator"

[[project]]
id = "acme"
number = "4711"
parent = "organizations/100"
[[project.binding]]
role = "roles/owner"
members = ["user:olga@acme.test"]
[[project.binding]]
role = "roles/pubsub.admin"
members = ["user:olga@acme.test"]
[[project.binding]]
role = "roles/secretmanager.admin"
members = ["user:olga@acme.test"]
[[project.binding]]
role = "roles/bigquery.admin"
members = ["user:olga@acme.test"]
[[project.binding]]
role = "roles/storage.admin"
members = ["user:olga@acme.test"]

[[service_account]]
project = "acme"
id = "agent-one"
token = "agent"

[[service_account]]
project = "acme"
id = "agent-two"
token = "other"

[[bucket]]
project = "acme"
name = "reports"
[[bucket.object]]
name = "2026/a.txt"
content_type = "text/plain"
content = "hello, world"
[[bucket.object]]
name = "2026/sub/b.txt"
content = "b"
[[bucket.object]]
name = "2025/old.txt"
content = "old"

[[bucket]]
project = "acme"
name = "fine-grained"
fine_grained = true
[[bucket.object]]
name = "o"
content = "o"

[[topic]]
project = "acme"
name = "events"

[[subscription]]
project = "acme"
name = "reader"
topic = "events"

[[secret]]
project = "acme"
name = "api-key"
values = ["one", "two"]

[[secret]]
project = "acme"
name = "empty"

[[dataset]]
project = "acme"
name = "sales"
[[dataset.table]]
name = "orders"
column = [{ name = "id", type = "INTEGER", mode = "REQUIRED" }, { name = "what", type = "STRING" }, { name = "at", type = "TIMESTAMP" }]
rows = [{ id = 1, what = "tea", at = "2026-01-02T03:04:05Z" }]
[[dataset.table]]
name = "summary"
view = "SELECT 1"
`

const (
	agentEmail  = "agent-one@acme.iam.gserviceaccount.com"
	agentMember = "serviceAccount:" + agentEmail
)

// cloud is a lab with the company of servicesSeed.
type cloud struct{ *lab }

func newCloud(t *testing.T, configure ...func(*Config)) cloud {
	t.Helper()
	return cloud{newLab(t, append(configure, func(c *Config) { c.Seed = []byte(servicesSeed) })...)}
}

// RoundTrip makes the cloud a transport of HTTP clients.
func (c cloud) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	if r.Body == nil {
		r.Body = http.NoBody
	}
	c.Handler().ServeHTTP(w, r)
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

// bearer is a client whose requests carry a token.
func (c cloud) bearer(token string) *http.Client {
	return &http.Client{Transport: tokenTransport{c, token}}
}

// tokenTransport puts a token on requests that go to base.
type tokenTransport struct {
	base  http.RoundTripper
	token string
}

func (b tokenTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if b.token != "" {
		r.Header.Set("Authorization", "Bearer "+b.token)
	}
	return b.base.RoundTrip(r)
}

// reply is what a call came back with.
type reply struct {
	code   int
	header http.Header
	body   []byte
}

// call makes a call with a token, or without one if that is empty. what is a verb and a URL without scheme; header are "Name: value".
func (c cloud) call(token, what, body string, header ...string) reply {
	c.t.Helper()
	verb, url, _ := strings.Cut(what, " ")
	r, err := http.NewRequestWithContext(c.t.Context(), verb, "https://"+url, strings.NewReader(body))
	if err != nil {
		c.t.Fatalf("%s: %v", what, err)
	}
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	resp, err := c.bearer(token).Transport.RoundTrip(r)
	if err != nil {
		c.t.Fatalf("%s: %v", what, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("%s: %v", what, err)
	}
	return reply{resp.StatusCode, resp.Header, b}
}

// want makes a call, requires its status, and decodes its answer into v unless that is nil.
func (c cloud) want(code int, v any, token, what, body string, header ...string) reply {
	c.t.Helper()
	got := c.call(token, what, body, header...)
	if got.code != code {
		c.t.Fatalf("%s as %s: got %d, want %d\n%s", what, token, got.code, code, got.body)
	}
	if v != nil {
		if err := json.Unmarshal(got.body, v); err != nil {
			c.t.Fatalf("%s: decoding %s: %v", what, got.body, err)
		}
	}
	return got
}

// field returns the value at a path of keys in a JSON answer, as JSON.
func (r reply) field(path ...string) string {
	raw := json.RawMessage(r.body)
	for _, key := range path {
		var m map[string]json.RawMessage
		if json.Unmarshal(raw, &m) != nil {
			return ""
		}
		raw = m[key]
	}
	return string(raw)
}

// reason is that of an error in the older envelope.
func (r reply) reason() string {
	var e struct {
		Error struct {
			Errors []struct{ Domain, Reason string }
		}
	}
	if json.Unmarshal(r.body, &e) != nil || len(e.Error.Errors) == 0 {
		return ""
	}
	return e.Error.Errors[0].Reason
}

const gcs = "storage.googleapis.com/storage/v1"

// bindBucket adds a binding to a bucket as the operator.
func (c cloud) bindBucket(bucket string, b iam.Binding) reply {
	c.t.Helper()
	var w iam.PolicyJSON
	c.want(200, &w, "operator", "GET "+gcs+"/b/"+bucket+"/iam?optionsRequestedPolicyVersion=3", "")
	w.Version = 3
	w.Bindings = append(w.Bindings, b)
	body, err := json.Marshal(w)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.call("operator", "PUT "+gcs+"/b/"+bucket+"/iam", string(body))
}

func TestStorageObjects(t *testing.T) {
	t.Parallel()
	c := newCloud(t)

	// Nothing is granted yet: bucket and object are refused, and a bucket that does not exist is not there.
	for _, call := range []struct {
		what string
		code int
	}{
		{"GET " + gcs + "/b/reports", 403},
		{"GET " + gcs + "/b/reports/o", 403},
		{"GET " + gcs + "/b/reports/o/2026%2Fa.txt", 403},
		{"GET " + gcs + "/b/reports/o/missing", 403},
		{"GET " + gcs + "/b/reports/o/2026%2Fa.txt?alt=media", 403},
		{"GET storage.googleapis.com/download/storage/v1/b/reports/o/2026%2Fa.txt?alt=media", 403},
		{"GET storage.googleapis.com/reports/2026/a.txt", 403},
		{"DELETE " + gcs + "/b/reports/o/2026%2Fa.txt", 403},
		{"DELETE " + gcs + "/b/reports", 403},
		{"GET " + gcs + "/b/reports/iam", 403},
		{"GET " + gcs + "/b/reports/storageLayout", 403},
		{"GET " + gcs + "/b?project=acme", 403},
		{"POST " + gcs + "/b?project=acme", 403},
		{"GET " + gcs + "/b/nowhere/o/x", 404},
		{"GET storage.googleapis.com/nowhere/x", 404},
		{"GET " + gcs + "/b/reports/acl", 501},
	} {
		if got := c.call("agent", call.what, `{}`); got.code != call.code {
			t.Errorf("%s: got %d, want %d\n%s", call.what, got.code, call.code, got.body)
		}
	}
	if got := c.call("agent", "GET "+gcs+"/b/reports/o/2026%2Fa.txt", ""); got.reason() != "forbidden" {
		t.Errorf("refusal has reason %q, want forbidden\n%s", got.reason(), got.body)
	}

	if got := c.bindBucket("reports", iam.Binding{Role: "roles/storage.objectViewer", Members: []string{agentMember}}); got.code != 200 {
		t.Fatalf("binding: %d %s", got.code, got.body)
	}
	c.want(404, nil, "agent", "GET "+gcs+"/b/reports/o/missing", "")
	var o storage.Object
	c.want(200, &o, "agent", "GET "+gcs+"/b/reports/o/2026%2Fa.txt", "")
	if o.Name != "2026/a.txt" || o.Size != 12 || o.ContentType != "text/plain" || o.Md5Hash == "" {
		t.Errorf("object reads %+v", o)
	}

	// The bytes, whole and in part, at each of the three places where they are served.
	media := []string{
		gcs + "/b/reports/o/2026%2Fa.txt?alt=media",
		strings.TrimPrefix(o.MediaLink, "https://"),
		"storage.googleapis.com/reports/2026/a.txt",
	}
	for _, url := range media {
		for _, r := range []struct {
			ask, body, span string
			code            int
		}{
			{"", "hello, world", "", 200},
			{"bytes=0-4", "hello", "bytes 0-4/12", 206},
			{"bytes=7-", "world", "bytes 7-11/12", 206},
			{"bytes=-5", "world", "bytes 7-11/12", 206},
			{"bytes=7-99", "world", "bytes 7-11/12", 206},
			{"bytes=12-", "Requested range not satisfiable", "bytes */12", 416},
		} {
			got := c.call("agent", "GET "+url, "", "Range: "+r.ask)
			if got.code != r.code || string(got.body) != r.body || got.header.Get("Content-Range") != r.span {
				t.Errorf("%s of %s: got %d %q %q", r.ask, url, got.code, got.body, got.header.Get("Content-Range"))
			}
			if hashes := got.header.Values("X-Goog-Hash"); r.code < 300 && !slices.Contains(hashes, "md5="+o.Md5Hash) {
				t.Errorf("%s: no md5 in %v", url, hashes)
			}
		}
	}
	if got := c.call("agent", "GET storage.googleapis.com/reports/missing", ""); got.code != 404 || !bytes.Contains(got.body, []byte("<Code>NoSuchKey</Code>")) {
		t.Errorf("XML read of a missing object: %d %s", got.code, got.body)
	}

	// Viewers do not write.
	const upload = "POST storage.googleapis.com/upload/storage/v1/b/reports/o?uploadType=media&name=new"
	c.want(403, nil, "agent", upload, "x")
	c.bindBucket("reports", iam.Binding{Role: "roles/storage.objectCreator", Members: []string{agentMember}})
	c.want(200, nil, "agent", upload, "x")
	if got := c.want(403, nil, "agent", upload, "y"); !bytes.Contains(got.body, []byte("storage.objects.delete")) {
		t.Errorf("overwriting asks for another permission than storage.objects.delete: %s", got.body)
	}
	c.want(412, nil, "operator", upload+"&ifGenerationMatch=0", "y")
	c.want(200, &o, "operator", upload, "y")
	c.want(412, nil, "operator", upload+"&ifGenerationMatch=1", "z")
	c.want(200, nil, "operator", fmt.Sprintf("%s&ifGenerationMatch=%d", upload, o.Generation), "z")
	c.want(404, nil, "operator", fmt.Sprintf("GET %s/b/reports/o/new?generation=%d", gcs, o.Generation), "")
	c.want(204, nil, "operator", "DELETE "+gcs+"/b/reports/o/new", "")
	c.want(404, nil, "operator", "DELETE "+gcs+"/b/reports/o/new", "")
	c.want(409, nil, "operator", "DELETE "+gcs+"/b/reports", "")
}

func TestStorageListing(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	for _, name := range []string{"2026/sub/c.txt", "top"} {
		c.want(200, nil, "operator", "POST storage.googleapis.com/upload/storage/v1/b/reports/o?uploadType=media&name="+name, "x")
	}
	tests := []struct {
		query string
		size  int
		want  []string // of all pages, in order; prefixes with a star
	}{
		{"", 2, []string{"2025/old.txt", "2026/a.txt", "2026/sub/b.txt", "2026/sub/c.txt", "top"}},
		{"delimiter=/", 1, []string{"*2025/", "*2026/", "top"}},
		{"delimiter=/&prefix=2026/&includeFoldersAsPrefixes=True", 1, []string{"2026/a.txt", "*2026/sub/"}},
		{"prefix=2026/sub/", 10, []string{"2026/sub/b.txt", "2026/sub/c.txt"}},
		{"startOffset=2026/b&endOffset=2027", 10, []string{"2026/sub/b.txt", "2026/sub/c.txt"}},
		{"prefix=nothing", 10, nil},
	}
	for _, test := range tests {
		t.Run(test.query, func(t *testing.T) {
			var got []string
			for token := ""; ; {
				var page storage.Objects
				c.want(200, &page, "operator", fmt.Sprintf("GET %s/b/reports/o?maxResults=%d&pageToken=%s&%s", gcs, test.size, token, test.query), "")
				for _, p := range page.Prefixes {
					got = append(got, "*"+p)
				}
				for _, o := range page.Items {
					got = append(got, o.Name)
				}
				if len(page.Prefixes)+len(page.Items) > test.size {
					t.Errorf("page of %d", len(page.Prefixes)+len(page.Items))
				}
				if token = page.NextPageToken; token == "" {
					break
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("listing differs (-want +got):\n%s", diff)
			}
		})
	}
	for _, unknown := range []string{"matchGlob=**", "softDeleted=true"} {
		c.want(501, nil, "operator", "GET "+gcs+"/b/reports/o?"+unknown, "")
	}
}

func TestStorageConditions(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	prefix := &iam.Condition{Title: "2026 for an hour", Expression: `resource.name.startsWith("projects/_/buckets/reports/objects/2026/") && request.time < timestamp("2026-03-03T12:00:00Z")`}
	if got := c.bindBucket("reports", iam.Binding{Role: "roles/storage.objectAdmin", Members: []string{agentMember}, Condition: prefix}); got.code != 200 {
		t.Fatalf("binding: %d %s", got.code, got.body)
	}
	check := func(when string, codes map[string]int) {
		t.Helper()
		for what, code := range codes {
			if got := c.call("agent", what, "x"); got.code != code {
				t.Errorf("%s, %s: got %d, want %d\n%s", when, what, got.code, code, got.body)
			}
		}
	}
	check("in time", map[string]int{
		"GET " + gcs + "/b/reports/o/2026%2Fa.txt":                                               200,
		"GET " + gcs + "/b/reports/o/2025%2Fold.txt":                                             403,
		"GET " + gcs + "/b/reports/o/2026%2Fmissing":                                             403, // nothing lists the bucket
		"GET " + gcs + "/b/reports/o?prefix=2026/":                                               403,
		"POST storage.googleapis.com/upload/storage/v1/b/reports/o?uploadType=media&name=2026/n": 200,
		"POST storage.googleapis.com/upload/storage/v1/b/reports/o?uploadType=media&name=2025/n": 403,
	})
	c.Advance(time.Hour)
	check("after", map[string]int{"GET " + gcs + "/b/reports/o/2026%2Fa.txt": 403})

	// A condition needs uniform bucket-level access, its reader version 3.
	if got := c.bindBucket("fine-grained", iam.Binding{Role: "roles/storage.objectViewer", Members: []string{agentMember}, Condition: prefix}); got.code != 412 {
		t.Errorf("condition without uniform access: got %d %s, want 412", got.code, got.body)
	}
	c.want(400, nil, "operator", "GET "+gcs+"/b/reports/iam", "")
	c.want(200, nil, "operator", "GET "+gcs+"/b/reports/iam?optionsRequestedPolicyVersion=3", "")
}

func TestStoragePolicy(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	const url = gcs + "/b/reports/iam?optionsRequestedPolicyVersion=3"
	first := c.want(200, nil, "operator", "GET "+url, "")
	want := `{"bindings":[` +
		`{"members":["projectEditor:acme","projectOwner:acme"],"role":"roles/storage.legacyBucketOwner"},` +
		`{"members":["projectViewer:acme"],"role":"roles/storage.legacyBucketReader"},` +
		`{"members":["projectEditor:acme","projectOwner:acme"],"role":"roles/storage.legacyObjectOwner"},` +
		`{"members":["projectViewer:acme"],"role":"roles/storage.legacyObjectReader"}],` +
		`"etag":"CAE=","kind":"storage#policy","resourceId":"projects/_/buckets/reports","version":1}`
	if diff := cmp.Diff(want, string(first.body)); diff != "" {
		t.Errorf("default policy differs (-want +got):\n%s", diff)
	}

	// The policy that was read is written back; its etag is then stale.
	second := c.want(200, nil, "operator", "PUT "+url, string(first.body))
	if got := second.field("etag"); got != `"CAI="` || second.header.Get("Etag") != "CAI=" {
		t.Errorf("etag after a write is %s, in the header %s, want CAI=", got, second.header.Get("Etag"))
	}
	stale := c.want(412, nil, "operator", "PUT "+url, string(first.body))
	if stale.reason() != "conditionNotMet" || stale.field("error", "status") != "" {
		t.Errorf("stale etag answers %s", stale.body)
	}

	// A policy without etag overwrites. Without the members for the project its owner reads no object.
	c.want(200, nil, "operator", "PUT "+url, `{"bindings":[]}`)
	c.want(200, nil, "operator", "GET "+gcs+"/b/reports/o/2026%2Fa.txt", "") // by roles/storage.admin
	c.want(400, nil, "operator", "PUT "+url, `{"bindings":[{"role":"roles/storage.objectViewer","members":["serviceAccount:gone@acme.iam.gserviceaccount.com"]}]}`)
	c.want(400, nil, "operator", "PUT "+url, `{"bindings":[{"role":"roles/pubsub.publisher","members":["`+agentMember+`"]}]}`)

	c.want(200, nil, "operator", "PUT "+url, `{"bindings":[{"role":"roles/storage.objectViewer","members":["allAuthenticatedUsers"]}]}`)
	c.want(200, nil, "agent", "GET "+gcs+"/b/reports/o/2026%2Fa.txt", "")
	c.want(401, nil, "", "GET "+gcs+"/b/reports/o/2026%2Fa.txt", "")
	c.want(403, nil, "", "GET storage.googleapis.com/reports/2026/a.txt", "")
	c.want(200, nil, "operator", "PUT "+url, `{"bindings":[{"role":"roles/storage.objectViewer","members":["allUsers"]}]}`)
	c.want(200, nil, "agent", "GET "+gcs+"/b/reports/o/2026%2Fa.txt", "")
	c.want(200, nil, "", "GET "+gcs+"/b/reports/o/2026%2Fa.txt", "")
	c.want(200, nil, "", "GET "+gcs+"/b/reports/o", "")
	c.want(200, nil, "", "GET storage.googleapis.com/reports/2026/a.txt", "")
	held := c.want(200, nil, "agent", "GET "+gcs+"/b/reports/iam/testPermissions?permissions=storage.objects.get&permissions=storage.objects.create", "")
	if got, want := string(held.body), `{"kind":"storage#testIamPermissionsResponse","permissions":["storage.objects.get"]}`; got != want {
		t.Errorf("testPermissions: got %s, want %s", got, want)
	}
}

func TestStorageFineGrained(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	policy := c.want(200, nil, "operator", "GET "+gcs+"/b/fine-grained/iam", "")
	if bytes.Contains(policy.body, []byte("legacyObject")) {
		t.Errorf("a bucket with object ACLs grants objects in its policy: %s", policy.body)
	}
	// The ACL that objects have by default serves the owners of the project and nobody else.
	c.want(200, nil, "operator", "PUT "+gcs+"/b/fine-grained/iam", `{"bindings":[{"role":"roles/storage.legacyBucketReader","members":["`+agentMember+`"]}]}`)
	c.want(200, nil, "operator", "GET "+gcs+"/b/fine-grained/o/o", "")
	c.want(200, nil, "agent", "GET "+gcs+"/b/fine-grained/o", "")
	c.want(403, nil, "agent", "GET "+gcs+"/b/fine-grained/o/o", "")
}

func TestStorageBuckets(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	insert := "POST " + gcs + "/b?project=acme"
	var b storage.Bucket
	c.want(200, &b, "operator", insert, `{"name":"fresh","location":"europe-west3","iamConfiguration":{"uniformBucketLevelAccess":{"enabled":true},"publicAccessPrevention":"enforced"}}`)
	if b.Location != "EUROPE-WEST3" || !b.IamConfiguration.UniformBucketLevelAccess.Enabled || b.ProjectNumber != 4711 || b.Metageneration != 1 {
		t.Errorf("bucket reads %+v", b)
	}
	c.want(409, nil, "operator", insert, `{"name":"fresh"}`)
	c.want(400, nil, "operator", insert, `{"name":"Not A Bucket"}`)
	c.want(501, nil, "operator", insert, `{"name":"other","versioning":{"enabled":true}}`)
	c.want(501, nil, "operator", insert, `{"name":"other","lifecycle":{"rule":[{}]}}`)
	if got := c.bindBucket("fresh", iam.Binding{Role: "roles/storage.objectViewer", Members: []string{iam.AllUsers}}); got.code != 412 {
		t.Errorf("allUsers against public access prevention: got %d %s, want 412", got.code, got.body)
	}
	var list storage.Buckets
	c.want(200, &list, "operator", "GET "+gcs+"/b?project=acme&maxResults=2", "")
	if len(list.Items) != 2 || list.Items[0].Name != "fine-grained" || list.NextPageToken == "" {
		t.Errorf("first page: %+v", list)
	}
	c.want(200, &list, "operator", "GET "+gcs+"/b?project=acme&pageToken="+list.NextPageToken, "")
	if len(list.Items) != 1 || list.Items[0].Name != "reports" {
		t.Errorf("second page: %+v", list)
	}
	// gcloud asks for these before it deletes a bucket.
	for _, what := range []string{"/storageLayout", "/managedFolders"} {
		c.want(200, nil, "operator", "GET "+gcs+"/b/fresh"+what, "")
		c.want(403, nil, "agent", "GET "+gcs+"/b/fresh"+what, "")
	}
	c.want(501, nil, "operator", "POST "+gcs+"/b/fresh/managedFolders", `{"name":"f/"}`)
	c.want(204, nil, "operator", "DELETE "+gcs+"/b/fresh", "")
	c.want(404, nil, "operator", "GET "+gcs+"/b/fresh", "")
}

func TestStorageUploads(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	const upload = "storage.googleapis.com/upload/storage/v1/b/reports/o?uploadType="

	t.Run("multipart", func(t *testing.T) {
		// gcloud ends lines with a bare newline, and quotes no boundary that has equals signs in it.
		tests := []struct{ boundary, header, nl string }{
			{"===1==", `multipart/related; boundary='===1=='`, "\n"},
			{"===1==", `multipart/related; boundary="===1=="`, "\n"},
			{"===1==", `multipart/related; boundary====1==`, "\n"},
			{"b", `multipart/related; boundary=b`, "\r\n"},
		}
		for _, test := range tests {
			body := strings.Join([]string{
				"--" + test.boundary, "Content-Type: application/json", "", `{"name":"m","metadata":{"k":"v"}}`,
				"--" + test.boundary, "Content-Type: text/csv", "", "a,b\n--not the boundary\n", "--" + test.boundary + "--", "",
			}, test.nl)
			var o storage.Object
			c.want(200, &o, "operator", "POST "+upload+"multipart", body, "Content-Type: "+test.header)
			if o.ContentType != "text/csv" || o.Metadata["k"] != "v" {
				t.Errorf("%s: object reads %+v", test.header, o)
			}
			if got := c.call("operator", "GET "+gcs+"/b/reports/o/m?alt=media", ""); string(got.body) != "a,b\n--not the boundary\n" {
				t.Errorf("%s: content is %q", test.header, got.body)
			}
		}
		wrong := "--b\n\n" + `{"name":"m","md5Hash":"` + base64.StdEncoding.EncodeToString(make([]byte, 16)) + `"}` + "\n--b\n\nx\n--b--\n"
		c.want(400, nil, "operator", "POST "+upload+"multipart", wrong, "Content-Type: multipart/related; boundary=b")
		const form = "Content-Type: multipart/related; boundary=b"
		for _, malformed := range []string{
			"", "nothing", "--b--", "--b", "--b\n\n{}", "--b\n\n{}\n--b--", "--b\n\n{\"name\":\"m\"}\n--b\n\nx",
			"--b\n\n{\"name\":\"m\"}\n--b\nnoheader", "--b\n{}\n--b\n\nx\n--b--", "--b\n\n{\"name\":\"m\"}\n--b\nno header\n\nx\n--b--",
		} {
			c.want(400, nil, "operator", "POST "+upload+"multipart", malformed, form)
		}
		for _, content := range []string{"", "\r\n", "\n", "x", "\n--bb", "--bx", "\n--b x", "x\r", "\n--b-", strings.Repeat("\n--", 500)} {
			body := "preamble\r\n--b \r\n\r\n" + `{"name":"m"}` + "\r\n--b\r\nContent-Type: text/csv\r\n\r\n" + content + "\r\n--b--\r\nepilogue"
			c.want(200, nil, "operator", "POST "+upload+"multipart", body, form)
			if got := c.call("operator", "GET "+gcs+"/b/reports/o/m?alt=media", ""); string(got.body) != content {
				t.Errorf("content %q becomes %q", content, got.body)
			}
		}
	})

	t.Run("resumable", func(t *testing.T) {
		c.want(403, nil, "agent", "POST "+upload+"resumable&name=r", "{}")
		begun := c.want(200, nil, "operator", "POST "+upload+"resumable&name=r", `{"contentType":"text/plain"}`)
		session := strings.TrimPrefix(begun.header.Get("Location"), "https://")
		c.want(401, nil, "nobody's", "PUT "+session, "abc", "Content-Range: bytes 0-2/6")
		part := c.want(308, nil, "operator", "PUT "+session, "abc", "Content-Range: bytes 0-2/6")
		if got := part.header.Get("Range"); got != "bytes=0-2" {
			t.Errorf("after three bytes: Range %q", got)
		}
		asked := c.want(200, nil, "operator", "PUT "+session, "", "Content-Range: bytes */6", "X-GUploader-No-308: yes")
		if got := asked.header.Get("X-Http-Status-Code-Override"); got != "308" {
			t.Errorf("override is %q, want 308", got)
		}
		c.want(404, nil, "operator", "GET "+gcs+"/b/reports/o/r", "")
		c.want(200, nil, "operator", "PUT "+session, "def", "Content-Range: bytes 3-5/6")
		if got := c.call("operator", "GET "+gcs+"/b/reports/o/r?alt=media", ""); string(got.body) != "abcdef" {
			t.Errorf("content is %q", got.body)
		}
		c.want(404, nil, "operator", "PUT "+session, "", "Content-Range: bytes */6")

		begin := func(name string) string {
			begun := c.want(200, nil, "operator", "POST "+upload+"resumable&name="+name, "{}")
			return strings.TrimPrefix(begun.header.Get("Location"), "https://")
		}
		// A client that streams knows neither the last byte nor the size when it begins.
		c.want(200, nil, "operator", "PUT "+begin("streamed"), "abcdef", "Content-Range: bytes 0-*/*")
		session = begin("streamed")
		c.want(308, nil, "operator", "PUT "+session, "abc", "Content-Range: bytes 0-2/*")
		c.want(200, nil, "operator", "PUT "+session, "defg", "Content-Range: bytes 3-*/7")
		if got := c.call("operator", "GET "+gcs+"/b/reports/o/streamed?alt=media", ""); string(got.body) != "abcdefg" {
			t.Errorf("content is %q", got.body)
		}
		c.want(400, nil, "operator", "PUT "+begin("streamed"), "abc", "Content-Range: bytes x-*/*")
		// Such a client says the hash with the last bytes.
		c.want(400, nil, "operator", "PUT "+begin("hashed"), "abc", "Content-Range: bytes 0-2/3", "X-Goog-Hash: crc32c=AAAAAA==")
		c.want(200, nil, "operator", "PUT "+begin("hashed"), "abc", "Content-Range: bytes 0-2/3", "X-Goog-Hash: crc32c=Nks/tw==, md5=kAFQmDzST7DWlj99KOF/cg==")
		session = begin("cancelled")
		c.want(401, nil, "nobody's", "DELETE "+session, "")
		c.want(499, nil, "operator", "DELETE "+session, "")
		c.want(404, nil, "operator", "PUT "+session, "abc", "Content-Range: bytes 0-2/3")
	})
}

// TestServicesSnapshot grants something on each kind of resource and takes it back, by rewriting the whole
// policy as clients do: what is left is what was.
func TestServicesSnapshot(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	snapshot := func() string {
		t.Helper()
		b, err := c.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	before := snapshot()
	account := []string{agentMember}
	at := &iam.Condition{Title: "t", Expression: "request.time < timestamp('2027-01-01T00:00:00Z')"}
	urls := map[string]iam.Binding{
		pubsubURL + "/topics/events":        {Role: "roles/pubsub.publisher", Members: account},
		pubsubURL + "/subscriptions/reader": {Role: "roles/pubsub.subscriber", Members: account},
		secretsURL + "/api-key":             {Role: "roles/secretmanager.secretAccessor", Members: account, Condition: at},
		orders:                              {Role: "roles/bigquery.dataViewer", Members: account},
	}
	for url, b := range urls {
		if got := c.bind(url, b); got.code != 200 {
			t.Fatalf("binding on %s: %d %s", url, got.code, got.body)
		}
	}
	access := c.access("3")
	if got := c.setAccess("3", append(slices.Clone(access), entry("READER", "userByEmail", agentEmail))); got.code != 200 {
		t.Fatalf("granting on the dataset: %d %s", got.code, got.body)
	}
	policy := c.want(200, nil, "operator", "GET "+gcs+"/b/reports/iam", "")
	if got := c.bindBucket("reports", iam.Binding{Role: "roles/storage.objectViewer", Members: account, Condition: at}); got.code != 200 {
		t.Fatalf("binding on the bucket: %d %s", got.code, got.body)
	}
	if got := snapshot(); strings.Count(got, agentEmail) != strings.Count(before, agentEmail)+len(urls)+2 {
		t.Errorf("the snapshot does not show all six grants:\n%s", cmp.Diff(before, got))
	}
	for url := range urls {
		c.want(200, nil, "operator", "POST "+url+":setIamPolicy", `{"policy":{"version":3}}`)
	}
	c.setAccess("3", access)
	c.want(200, nil, "operator", "PUT "+gcs+"/b/reports/iam", `{"version":3,"bindings":`+policy.field("bindings")+`}`)
	if diff := cmp.Diff(before, snapshot()); diff != "" {
		t.Errorf("the state is not as before (-before +after):\n%s", diff)
	}
}

// TestServicesRestart keeps the state in a file and goes on from there.
func TestServicesRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	configure := func(cfg *Config) {
		cfg.Seed, cfg.DataFile, cfg.Dir = []byte(servicesSeed), filepath.Join(dir, "state.json"), filepath.Join(dir, "emulator")
	}
	c := cloud{newLab(t, configure)}
	c.setAccess("3", append(c.access("3"), entry("READER", "userByEmail", agentEmail)))
	c.want(200, nil, "operator", "POST "+pubsubURL+"/topics/events:publish", `{"messages":[{"data":"b25l"}]}`)
	c.want(200, nil, "operator", "POST "+gcs+"/b?project=acme", `{"name":"fresh"}`)
	c.want(200, nil, "operator", "POST "+datasetsURL, `{"datasetReference":{"datasetId":"fresh"}}`)
	before, err := c.Snapshot()
	if err != nil {
		t.Fatal(err)
	}

	c = cloud{newLab(t, configure)}
	after, err := c.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(before), string(after)); diff != "" {
		t.Errorf("the state changed over the restart (-before +after):\n%s", diff)
	}
	c.want(200, nil, "agent", "GET "+orders+"/data", "")
	c.want(200, nil, "operator", "GET "+secretsURL+"/api-key/versions/latest:access", "")
	if _, data := c.pull("operator", 1); cmp.Diff([]string{"one"}, data) != "" {
		t.Errorf("pulled %q after the restart", data)
	}
	// What was empty in the file takes something in.
	c.want(200, nil, "operator", "POST storage.googleapis.com/upload/storage/v1/b/fresh/o?uploadType=media&name=o", "x")
	c.want(200, nil, "operator", "POST "+datasetsURL+"/fresh/tables", `{"tableReference":{"tableId":"t"}}`)
	if got := c.bind(pubsubURL+"/topics/events", iam.Binding{Role: "roles/pubsub.publisher", Members: []string{agentMember}}); got.code != 200 {
		t.Errorf("binding after the restart: %d %s", got.code, got.body)
	}
}

// TestStorageClient drives the emulator with Google's own client for the JSON API.
func TestStorageClient(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	ctx := t.Context()
	service, err := storage.NewService(ctx, option.WithHTTPClient(c.bearer("operator")))
	if err != nil {
		t.Fatal(err)
	}
	content := strings.Repeat("0123456789", 100_000)
	for _, size := range []int{googleapi.DefaultUploadChunkSize, googleapi.MinUploadChunkSize} { // at once; resumable
		o, err := service.Objects.Insert("reports", &storage.Object{Name: "big/one"}).Media(strings.NewReader(content), googleapi.ChunkSize(size)).Context(ctx).Do()
		if err != nil {
			t.Fatalf("uploading: %v", err)
		}
		resp, err := service.Objects.Get("reports", "big/one").Generation(o.Generation).Context(ctx).Download()
		if err != nil {
			t.Fatalf("downloading: %v", err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(got) != content {
			t.Errorf("downloaded %d bytes, %v; want %d", len(got), err, len(content))
		}
	}
	if err := service.Objects.Delete("reports", "big/one").Context(ctx).Do(); err != nil {
		t.Errorf("deleting: %v", err)
	}
	agent, err := storage.NewService(ctx, option.WithHTTPClient(c.bearer("agent")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := agent.Objects.List("reports").Context(ctx).Do(); !isCode(err, http.StatusForbidden) {
		t.Errorf("listing as nobody: %v, want 403", err)
	}
}

func isCode(err error, code int) bool {
	e, ok := err.(*googleapi.Error)
	return ok && e.Code == code
}
