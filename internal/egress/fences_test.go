package egress_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/taskiam/taskiam/internal/egress"
	"github.com/taskiam/taskiam/internal/secret"
)

const (
	storage  = "https://storage.googleapis.com"
	bigquery = "https://bigquery.googleapis.com"
)

// attempt is a request to Google, and what of it is expected.
type attempt struct {
	name, method, url, body string
	fields                  []string // beside the placeholder, if there is none among them
	want                    string   // what a refusal says; "" passes
}

func try(t *testing.T, attempts []attempt) {
	t.Helper()
	w := newWorld(t).proxy()
	for _, a := range attempts {
		fields := a.fields
		if !strings.Contains(strings.Join(fields, "\n"), "Authorization") {
			fields = append([]string{login}, fields...)
		}
		if a.body != "" && !strings.Contains(strings.Join(fields, "\n"), "Content-Type") {
			fields = append(fields, "Content-Type: application/json")
		}
		status, text, _ := w.ask(a.method, a.url, a.body, fields...)
		arrived := w.took()
		switch {
		case a.want == "" && (status != 200 || len(arrived) != 1):
			t.Errorf("%s: %d %s", a.name, status, text)
		case a.want == "" && arrived[0].Body != a.body:
			t.Errorf("%s: the body arrives as %q", a.name, arrived[0].Body)
		case a.want != "" && (status < 400 || !strings.Contains(text, a.want)):
			t.Errorf("%s: %d %s, want %q", a.name, status, text, a.want)
		case a.want != "" && len(arrived) > 0:
			t.Errorf("%s: it arrived all the same", a.name)
		}
	}
}

// The one identity of a request is the placeholder.
func TestNoOtherIdentityPasses(t *testing.T) {
	t.Parallel()
	const object = storage + "/storage/v1/b/granted/o/x"
	one := func(field string) attempt {
		name, _, _ := strings.Cut(field, ":")
		return attempt{name: field, method: "GET", url: object, fields: []string{field}, want: name}
	}
	attempts := []attempt{
		{name: "nobody", method: "POST", url: storage + "/upload/storage/v1/b/granted/o?uploadType=media", body: "x",
			fields: []string{"Authorization-Not: x"}, want: "Authorization-Not"},
		{name: "another token", method: "GET", url: object, fields: []string{"Authorization: Bearer ya29.thief"}, want: "another"},
		{name: "basic", method: "GET", url: object, fields: []string{"Authorization: Basic dTpw"}, want: "another"},
		{name: "hmac", method: "GET", url: object, fields: []string{"Authorization: GOOG1 K:s"}, want: "another"},
		{name: "signed", method: "GET", url: object, fields: []string{"Authorization: GOOG4-RSA-SHA256 Credential=x"}, want: "another"},
		{name: "aws", method: "GET", url: object, fields: []string{"Authorization: AWS4-HMAC-SHA256 Credential=x"}, want: "another"},
		{name: "empty", method: "GET", url: object, fields: []string{"Authorization: "}, want: "another"},
		{name: "a list", method: "GET", url: object, fields: []string{login + ", Bearer ya29.thief"}, want: "another"},
		{name: "two", method: "GET", url: object, fields: []string{login, "Authorization: Bearer ya29.thief"}, want: "another"},
		{name: "twice", method: "GET", url: object, fields: []string{login, login}, want: "another"},
		{name: "form", method: "POST", url: storage + "/granted", body: "policy=x",
			fields: []string{"Content-Type: application/x-www-form-urlencoded"}, want: "form"},
		{name: "form upload", method: "POST", url: storage + "/granted/x", body: "x",
			fields: []string{"Content-Type: multipart/form-data; boundary=x"}, want: "form"},
		{name: "batch", method: "POST", url: storage + "/batch/storage/v1", body: "x",
			fields: []string{"Content-Type: multipart/mixed; boundary=x"}, want: "batch"},
		{name: "batch as JSON", method: "POST", url: storage + "/batch/storage/v1", body: "{}", want: "batch"},
		{name: "sts", method: "POST", url: "https://sts.googleapis.com/v1/token", body: "{}", want: "hands out"},
		{name: "oauth2", method: "POST", url: "https://oauth2.googleapis.com/token", body: "{}", want: "hands out"},
		{name: "iamcredentials", method: "POST", body: "{}", want: "hands out",
			url: "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/bot@acme-data.iam.gserviceaccount.com:generateAccessToken"},
		{name: "override", method: "POST", url: object, fields: []string{"X-Http-Method-Override: PUT"}, want: "X-Http-Method-Override"},
		{name: "override in the query", method: "GET", url: object + "?$httpMethod=PUT", want: "$httpMethod"},
		{name: "fields in the query", method: "GET", url: object + "?$httpHeaders=Authorization:x", want: "$httpHeaders"},
		{name: "upload of another", method: "PUT", url: storage + "/upload/storage/v1/b/granted/o?upload_id=thief", body: "x", want: "not begun in this run"},
		{name: "two names of one", method: "GET", url: object + "?a=%zz", want: "more than one way"},
		{name: "trace", method: "TRACE", url: object, want: "TRACE"},
		{name: "connect to the inside", method: "PROPFIND", url: object, want: "PROPFIND"},
		{name: "hop by hop", method: "GET", url: object, fields: []string{"Connection: Authorization"}, want: "Connection"},
		{name: "websocket", method: "GET", url: object, fields: []string{"Upgrade: websocket", "Connection: Upgrade"}, want: "Upgrade"},
		{name: "the usual ones", method: "GET", url: object + "?alt=json&prettyPrint=false&$alt=json&fields=*&pageToken=x",
			fields: []string{"X-Goog-Api-Client: gl-go/1.26", "X-Goog-Meta-Token: t", "X-Goog-User-Project: acme-data"}},
	}
	for _, field := range []string{
		"Cookie: SID=x", "X-Goog-Api-Key: AIza", "X-Goog-Iam-Authorization-Token: x", "X-Goog-Iam-Authority-Selector: x",
		"X-Serverless-Authorization: Bearer x", "X-Amz-Security-Token: x", "X-Amz-Date: x", "X-Goog-Future: x",
		"X-Api-Key: x", "My-Auth-Token: x", "X-Goog-Upload-Command: start", "X_goog_api_key: x", "Proxy-Authorization: x",
	} {
		attempts = append(attempts, one(field))
	}
	for _, parameter := range []string{
		"access_token", "oauth_token", "bearer_token", "key", "X-Goog-Signature", "X-Goog-Credential", "GoogleAccessId",
		"Signature", "X-Amz-Signature", "AWSAccessKeyId", "access%5ftoken", "ACCESS_TOKEN", "$key",
	} {
		attempts = append(attempts, attempt{name: parameter, method: "GET", url: object + "?" + parameter + "=x", want: "the parameter"})
	}
	try(t, attempts)
}

// A request names nothing but what was granted.
func TestNoOtherResourcePasses(t *testing.T) {
	t.Parallel()
	const theft = "neither granted"
	jobs := bigquery + "/bigquery/v2/projects/acme-jobs/jobs"
	queries := bigquery + "/bigquery/v2/projects/acme-jobs/queries"
	query := func(sql string) string { return fmt.Sprintf(`{"useLegacySql": false, "query": %q}`, sql) }
	try(t, []attempt{
		{name: "read", method: "GET", url: storage + "/storage/v1/b/granted/o/x"},
		{name: "list", method: "GET", url: storage + "/storage/v1/b/granted/o?prefix=x"},
		{name: "older host", method: "GET", url: "https://www.googleapis.com/storage/v1/b/granted/o/x"},
		{name: "download", method: "GET", url: storage + "/download/storage/v1/b/granted/o/x?alt=media"},
		{name: "xml", method: "GET", url: storage + "/granted/a/b"},
		{name: "xml by host", method: "GET", url: "https://granted.storage.googleapis.com/a/b"},
		{name: "xml put", method: "PUT", url: storage + "/granted/a", body: "data", fields: []string{"Content-Type: text/plain"}},
		{name: "upload", method: "POST", url: storage + "/upload/storage/v1/b/granted/o?uploadType=multipart", body: "x",
			fields: []string{"Content-Type: multipart/related; boundary=x"}},
		{name: "copy", method: "POST", url: storage + "/storage/v1/b/granted/o/a/copyTo/b/granted/o/b", body: `{"metadata":{"x":"gs://thief"}}`},
		{name: "compose", method: "POST", url: storage + "/storage/v1/b/granted/o/a/compose", body: `{"sourceObjects":[{"name":"projects/x"}]}`},
		{name: "bucket", method: "GET", url: storage + "/storage/v1/b/thief/o/x", want: "gs://thief is " + theft},
		{name: "bucket, older host", method: "GET", url: "https://www.googleapis.com/storage/v1/b/thief/o/x", want: theft},
		{name: "bucket, upload", method: "POST", url: storage + "/upload/storage/v1/b/thief/o?uploadType=media", body: "x", want: theft},
		{name: "bucket, begin", method: "POST", url: storage + "/upload/storage/v1/b/thief/o?uploadType=resumable", body: "{}", want: theft},
		{name: "bucket, xml", method: "PUT", url: storage + "/thief/x", body: "x", want: theft},
		{name: "bucket, host", method: "PUT", url: "https://thief.storage.googleapis.com/x", body: "x", want: theft},
		{name: "bucket, copy", method: "POST", url: storage + "/storage/v1/b/granted/o/a/copyTo/b/thief/o/b", body: "{}", want: theft},
		{name: "bucket, rewrite", method: "POST", url: storage + "/storage/v1/b/granted/o/a/rewriteTo/b/thief/o/b", want: theft},
		{name: "bucket, from", method: "POST", url: storage + "/storage/v1/b/thief/o/a/rewriteTo/b/granted/o/b", want: theft},
		{name: "bucket, xml copy", method: "PUT", url: storage + "/granted/x", fields: []string{"X-Goog-Copy-Source: /thief/x"}, want: theft},
		{name: "bucket, xml copy encoded", method: "PUT", url: storage + "/granted/x", fields: []string{"X-Goog-Copy-Source: %2Fthief%2Fx"}, want: theft},
		{name: "dots", method: "GET", url: storage + "/storage/v1/b/granted/%2e%2e/thief/o", want: "more than one way"},
		{name: "notification here", method: "POST", url: storage + "/storage/v1/b/granted/notificationConfigs",
			body: `{"topic":"//pubsub.googleapis.com/projects/acme-data/topics/events"}`},
		{name: "notification", method: "POST", url: storage + "/storage/v1/b/granted/notificationConfigs",
			body: `{"topic":"//pubsub.googleapis.com/projects/thief-data/topics/t"}`, want: theft},
		{name: "logs", method: "PATCH", url: storage + "/storage/v1/b/granted", body: `{"logging":{"logBucket":"thief"}}`, want: theft},
		{name: "logs, other spelling", method: "PATCH", url: storage + "/storage/v1/b/granted", body: `{"logging":{"log_bucket":"thief"}}`, want: theft},
		{name: "watch", method: "POST", url: storage + "/storage/v1/b/granted/o/watch", body: `{"address":"https://thief"}`, want: "cannot be read"},
		{name: "hmac keys", method: "POST", url: storage + "/storage/v1/projects/acme-data/hmacKeys?serviceAccountEmail=x", want: "HMAC"},
		{name: "billing", method: "GET", url: storage + "/storage/v1/b/granted/o/x?userProject=thief-data", want: "billed"},
		{name: "billing by field", method: "GET", url: storage + "/storage/v1/b/granted/o/x", fields: []string{"X-Goog-User-Project: thief-data"}, want: "billed"},
		{name: "new bucket", method: "POST", url: storage + "/storage/v1/b?project=thief-data", body: `{"name":"x"}`, want: theft},
		{name: "new bucket here", method: "POST", url: storage + "/storage/v1/b?project=acme-jobs", body: `{"name":"x"}`},

		{name: "dataset", method: "GET", url: bigquery + "/bigquery/v2/projects/acme-data/datasets/reports/tables"},
		{name: "dataset of others", method: "GET", url: bigquery + "/bigquery/v2/projects/acme-data/datasets/other/tables", want: theft},
		{name: "rows", method: "POST", url: bigquery + "/bigquery/v2/projects/acme-data/datasets/reports/tables/t/insertAll", body: `{"rows":[{"json":{"a":"gs://x"}}]}`},
		{name: "rows elsewhere", method: "POST", url: bigquery + "/bigquery/v2/projects/thief-data/datasets/d/tables/t/insertAll", body: `{}`, want: theft},
		{name: "query", method: "POST", url: queries, body: query("SELECT a, b FROM `acme-data.reports.daily` WHERE c = 'x.y.z'")},
		{name: "query, dashes", method: "POST", url: queries, body: query("SELECT 1-2 FROM acme-data.reports.daily d JOIN d2.t2 USING (x)")},
		{name: "query elsewhere", method: "POST", url: queries, body: query("SELECT * FROM thief-data.d.t"), want: theft},
		{name: "query, quotes", method: "POST", url: queries, body: query("SELECT * FROM `thief-data`.d.t"), want: theft},
		{name: "query, one quote", method: "POST", url: queries, body: query("SELECT * FROM `thief-data.d.t`"), want: theft},
		{name: "query, comment", method: "POST", url: queries, body: query("SELECT * FROM thief-data/* */.d/**/.t"), want: theft},
		{name: "query, after", method: "POST", url: queries, body: query("SELECT 1; INSERT INTO thief-data.d.t SELECT 1"), want: theft},
		{name: "query, hidden", method: "POST", url: queries, body: query("SELECT '\\'' , * FROM thief.d.t --'"), want: theft},
		{name: "query, raw", method: "POST", url: queries, body: query(`SELECT r'\', * FROM thief.d.t --'`)},
		{name: "query, function", method: "POST", url: queries, body: query("SELECT `thief-data.d.f`(x) FROM reports.t"), want: theft},
		{name: "export", method: "POST", url: queries, body: query("EXPORT DATA OPTIONS(uri='gs://thief/*') AS SELECT 1"), want: "cannot be read"},
		{name: "dynamic", method: "POST", url: queries, body: query("EXECUTE IMMEDIATE 'x'"), want: "cannot be read"},
		{name: "dynamic, later", method: "POST", url: queries, body: query("SELECT 1; EXECUTE IMMEDIATE 'x'"), want: "cannot be read"},
		{name: "connection", method: "POST", url: queries, body: query("SELECT * FROM `EXTERNAL_QUERY`('thief.us.c', 'x')"), want: "cannot be read"},
		{name: "spaces", method: "POST", url: queries, body: query("SELECT * FROM EXTERNAL_QUERY\u00a0('thief.us.c', 'x')"), want: "cannot be read"},
		{name: "schema", method: "POST", url: queries, body: query("CREATE SCHEMA thief.d"), want: "cannot be read"},
		{name: "options", method: "POST", url: queries, body: query(`CREATE TABLE d.t OPTIONS(x="\x67s://thief/x") AS SELECT 1`), want: theft},
		{name: "legacy", method: "POST", url: queries, body: `{"query": "SELECT 1"}`, want: "GoogleSQL"},
		{name: "legacy, said", method: "POST", url: queries, body: query("#legacySQL\nSELECT * FROM [thief:d.t]"), want: "GoogleSQL"},
		{name: "default dataset", method: "POST", url: queries,
			body: `{"useLegacySql": false, "query": "SELECT 1", "default_dataset": {"project_id": "thief-data", "dataset_id": "d"}}`, want: theft},
		{name: "job", method: "POST", url: jobs,
			body: `{"configuration":{"query":{"useLegacySql":false,"query":"SELECT 1","destinationTable":{"projectId":"acme-data","datasetId":"reports","tableId":"t"}}}}`},
		{name: "job project", method: "POST", url: bigquery + "/bigquery/v2/projects/thief-data/jobs", body: `{}`, want: theft},
		{name: "destination", method: "POST", url: jobs,
			body: `{"configuration":{"query":{"useLegacySql":false,"query":"SELECT 1","destinationTable":{"projectId":"thief-data","datasetId":"d","tableId":"t"}}}}`, want: theft},
		{name: "extract", method: "POST", url: jobs,
			body: `{"configuration":{"extract":{"destinationUris":["gs://thief/x"],"sourceTable":{"projectId":"acme-data","datasetId":"reports","tableId":"t"}}}}`, want: theft},
		{name: "copied", method: "POST", url: jobs,
			body: `{"configuration":{"copy":{"destination_table":{"project_id":"thief-data","dataset_id":"d","table_id":"t"}}}}`, want: theft},
		{name: "twice", method: "POST", url: jobs, body: `{"configuration":{},"configuration":{"copy":{}}}`, want: "more than one way"},
		{name: "twice, spelled", method: "POST", url: jobs, body: `{"projectId":"acme-jobs","project_id":"thief"}`, want: "more than one way"},
		{name: "compressed", method: "POST", url: jobs, body: "x", fields: []string{"Content-Encoding: gzip"}, want: "compressed"},

		{name: "publish", method: "POST", url: "https://pubsub.googleapis.com/v1/projects/acme-data/topics/events:publish", body: `{"messages":[{"attributes":{"a":"projects/x"}}]}`},
		{name: "publish, region", method: "POST", url: "https://europe-west1-pubsub.googleapis.com/v1/projects/acme-data/topics/events:publish", body: `{}`},
		{name: "publish elsewhere", method: "POST", url: "https://pubsub.googleapis.com/v1/projects/thief-data/topics/events:publish", body: `{}`, want: theft},
		{name: "topics of the project", method: "GET", url: "https://pubsub.googleapis.com/v1/projects/acme-data/topics", want: theft},
		{name: "push", method: "PUT", url: "https://pubsub.googleapis.com/v1/projects/acme-jobs/subscriptions/s",
			body: `{"topic":"projects/acme-data/topics/events","push_config":{"push_endpoint":"https://thief"}}`, want: "pushendpoint"},
		{name: "into a table", method: "PUT", url: "https://pubsub.googleapis.com/v1/projects/acme-jobs/subscriptions/s",
			body: `{"topic":"projects/acme-data/topics/events","bigqueryConfig":{"table":"thief-data.d.t"}}`, want: "bigqueryconfig"},
		{name: "into a bucket", method: "PUT", url: "https://pubsub.googleapis.com/v1/projects/acme-jobs/subscriptions/s",
			body: `{"topic":"projects/acme-data/topics/events","cloud_storage_config":{"bucket":"thief"}}`, want: "cloudstorageconfig"},
		{name: "subscribe", method: "PUT", url: "https://pubsub.googleapis.com/v1/projects/acme-jobs/subscriptions/s",
			body: `{"topic":"projects/acme-data/topics/events","pushConfig":{}}`},
		{name: "remote function", method: "POST", url: bigquery + "/bigquery/v2/projects/acme-data/datasets/reports/routines",
			body: `{"remoteFunctionOptions":{"endpoint":"https://thief.example"}}`, want: "remotefunctionoptions"},
		{name: "another cloud", method: "POST", url: jobs, body: `{"configuration":{"extract":{"destinationUris":["s3://thief/x"]}}}`, want: "not in Cloud Storage"},
		{name: "moved away", method: "PUT", url: "https://cloudresourcemanager.googleapis.com/v1/projects/acme-jobs",
			body: `{"parent":{"type":"folder","id":"1"}}`, want: "parent"},
		{name: "another topic", method: "PUT", url: "https://pubsub.googleapis.com/v1/projects/acme-jobs/subscriptions/s",
			body: `{"topic":"projects/thief-data/topics/t"}`, want: theft},
		{name: "secret", method: "GET", url: "https://secretmanager.googleapis.com/v1/projects/acme-data/secrets/db/versions/latest:access"},
		{name: "other secret", method: "GET", url: "https://secretmanager.googleapis.com/v1/projects/acme-data/secrets/dbx/versions/latest:access", want: theft},
		{name: "secret elsewhere", method: "POST", url: "https://secretmanager.googleapis.com/v1/projects/thief-data/secrets/s:addVersion", body: `{}`, want: theft},
		{name: "encrypt", method: "POST", url: "https://cloudkms.googleapis.com/v1/projects/acme-data/locations/eu/keyRings/r/cryptoKeys/k:encrypt", body: `{}`},
		{name: "encrypt elsewhere", method: "POST", url: "https://cloudkms.googleapis.com/v1/projects/thief-data/locations/eu/keyRings/r/cryptoKeys/k:encrypt", body: `{}`, want: theft},
		{name: "project", method: "GET", url: "https://cloudresourcemanager.googleapis.com/v1/projects/acme-jobs"},
		{name: "project elsewhere", method: "GET", url: "https://cloudresourcemanager.googleapis.com/v1/projects/thief-data", want: theft},
		{name: "account", method: "GET", url: "https://iam.googleapis.com/v1/projects/-/serviceAccounts/bot@acme-data.iam.gserviceaccount.com"},
		{name: "key", method: "POST", url: "https://iam.googleapis.com/v1/projects/acme-data/serviceAccounts/bot@acme-data.iam.gserviceaccount.com/keys", body: `{}`, want: "key of an account"},
		{name: "key, no project", method: "POST", url: "https://iam.googleapis.com/v1/projects/-/serviceAccounts/bot@acme-data.iam.gserviceaccount.com/keys", body: `{}`, want: "key of an account"},
		{name: "sign", method: "POST", url: "https://iam.googleapis.com/v1/projects/-/serviceAccounts/bot@acme-data.iam.gserviceaccount.com:signBlob", body: `{}`, want: "signature"},
		{name: "unknown service", method: "GET", url: "https://firestore.googleapis.com/v1/projects/acme-jobs/databases", want: "requests to firestore.googleapis.com cannot be read"},
		{name: "gRPC", method: "POST", url: "https://pubsub.googleapis.com/google.pubsub.v1.Publisher/Publish", body: "x",
			fields: []string{"Content-Type: application/json+x", "X-Goog-Request-Params: topic=projects/acme-data/topics/events"}, want: "cannot be read"},
		{name: "public", method: "GET", url: "https://www.googleapis.com/oauth2/v3/certs"},
		{name: "public object", method: "GET", url: storage + "/granted/x", fields: []string{"User-Agent: Authorization"}},
	})
}

// A connection leads where its CONNECT says, and only to hosts that are known.
func TestConnectLeadsToItsHostAlone(t *testing.T) {
	t.Parallel()
	world := newWorld(t)
	for host, addr := range map[string]string{
		"loop.example": "127.0.0.1", "link.example": "169.254.169.254", "private.example": "10.1.2.3",
		"mapped.example": "::ffff:127.0.0.1", "ula.example": "fd20:ce::254", "cgnat.example": "100.100.100.200",
		"nat64.example": "64:ff9b::7f00:1", "azure.example": "168.63.129.16", "multicast.example": "224.0.0.1",
		"zero.example": "0.0.0.0", "six.example": "::1", "here.example": "10.1.2.3",
	} {
		world.addrs[host] = []netip.Addr{netip.MustParseAddr("8.8.8.8"), netip.MustParseAddr(addr)}
	}
	hosts := []egress.Host{{Name: "docs.example"}, {Name: "other.example", Port: 8443}}
	for host := range world.addrs {
		h := egress.Host{Name: host}
		if host == "here.example" {
			h.Addresses = []netip.Prefix{netip.MustParsePrefix("10.1.2.0/24")}
		}
		hosts = append(hosts, h)
	}
	w := world.proxy(hosts...)
	for authority, want := range map[string]string{
		"docs.example:443": "200", "other.example:8443": "200", "DOCS.example:443": "200", "storage.googleapis.com:443": "200",
		"thief.example:443":    "403 taskiam: thief.example is not in [network] allow",
		"docs.example:80":      "port 443 alone",
		"other.example:443":    "port 8443 alone",
		"googleapis.com.x:443": "not in", "xgoogleapis.com:443": "not in", "storage.googleapis.com:80": "port 443",
		"docs.example.:443": "403", "127.0.0.1:443": "no address", "[::1]:443": "40", "2130706433:443": "no address",
		"0x7f.1:443": "no address", "docs.example": "403", "docs.example:": "403", "docs.example:0443": "403", "docs.example:443:443": "40",
	} {
		if _, line := w.connect(authority); !strings.Contains(line, want) {
			t.Errorf("CONNECT %s: %s, want %s", authority, line, want)
		}
	}
	for host := range world.addrs {
		status, text, _ := w.ask("GET", "https://"+host+"/", "")
		if arrived := w.took(); (status == 200) != (host == "here.example") || (len(arrived) > 0) != (status == 200) {
			t.Errorf("%s: %d %s", host, status, text)
		} else if status != 200 && !strings.Contains(text, "not one of the internet") {
			t.Errorf("%s: %s", host, text)
		}
	}
	for _, request := range []string{
		"GET http://docs.example/ HTTP/1.1\r\nHost: docs.example\r\n\r\n", "GET / HTTP/1.1\r\nHost: docs.example\r\n\r\n",
		"CONNECT docs.example:443 HTTP/1.1\r\nHost: storage.googleapis.com:443\r\n\r\n",
	} {
		c := w.conn()
		_, err := io.WriteString(c, request)
		must(t, err)
		line, err := bufio.NewReader(c).ReadString('\n')
		must(t, err)
		if strings.HasPrefix(request, "CONNECT") != strings.Contains(line, "200") {
			t.Errorf("%q: %s", request, line)
		}
	}
}

// What is inside of the connection agrees with its CONNECT, and is TLS.
func TestWhatIsInsideAgreesWithTheConnect(t *testing.T) {
	t.Parallel()
	w := newWorld(t).proxy(egress.Host{Name: "docs.example"})
	for _, c := range []struct{ name, sni, request, want string }{
		{"as it is", "storage.googleapis.com", "GET /storage/v1/b/granted/o/x HTTP/1.1\r\nHost: storage.googleapis.com\r\n" + login + "\r\n\r\n", "200"},
		{"other Host", "storage.googleapis.com", "GET /storage/v1/b/granted/o/x HTTP/1.1\r\nHost: iam.googleapis.com\r\n" + login + "\r\n\r\n", "403"},
		{"allowed Host", "storage.googleapis.com", "GET / HTTP/1.1\r\nHost: docs.example\r\n" + login + "\r\n\r\n", "403"},
		{"absolute", "storage.googleapis.com", "GET https://docs.example/x HTTP/1.1\r\nHost: storage.googleapis.com\r\n" + login + "\r\n\r\n", "403"},
		{"absolute, same", "storage.googleapis.com", "GET https://storage.googleapis.com/granted/x HTTP/1.1\r\nHost: storage.googleapis.com\r\n" + login + "\r\n\r\n", "403"},
		{"two lengths", "storage.googleapis.com", "POST /granted/x HTTP/1.1\r\nHost: storage.googleapis.com\r\n" + login + "\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\nhello", "400"},
		{"both", "storage.googleapis.com", "POST /storage/v1/b/thief/o HTTP/1.1\r\nHost: storage.googleapis.com\r\n" + login + "\r\nTransfer-Encoding: xchunked\r\nContent-Length: 5\r\n\r\nhello", "501"},
		{"trailers", "storage.googleapis.com", "PUT /granted/x HTTP/1.1\r\nHost: storage.googleapis.com\r\n" + login + "\r\nTransfer-Encoding: chunked\r\nTrailer: X-Goog-Api-Key\r\n\r\n0\r\nX-Goog-Api-Key: x\r\n\r\n", "403"},
		{"another SNI", "docs.example", "GET / HTTP/1.1\r\nHost: storage.googleapis.com\r\n\r\n", ""},
		{"no SNI", "", "GET / HTTP/1.1\r\nHost: storage.googleapis.com\r\n\r\n", ""},
	} {
		conn, _ := w.connect("storage.googleapis.com:443")
		opened := tls.Client(conn, &tls.Config{ServerName: c.sni, InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
		_, err := io.WriteString(opened, c.request)
		line := ""
		if err == nil {
			line, err = bufio.NewReader(opened).ReadString('\n')
		}
		if c.want == "" && err == nil || c.want != "" && !strings.Contains(line, " "+c.want+" ") {
			t.Errorf("%s: %q %v, want %s", c.name, line, err, c.want)
		}
		if arrived := w.took(); (len(arrived) > 0) != (c.want == "200") {
			t.Errorf("%s: %d requests arrived", c.name, len(arrived))
		}
	}
	conn, _ := w.connect("storage.googleapis.com:443")
	_, err := io.WriteString(conn, "GET /storage/v1/b/granted/o/x HTTP/1.1\r\nHost: storage.googleapis.com\r\n"+login+"\r\n\r\n")
	must(t, err)
	line, err := bufio.NewReader(conn).ReadString('\n')
	if strings.Contains(line, "200") || len(w.took()) > 0 {
		t.Errorf("clear text: %q %v", line, err)
	}
}

// Hosts are for reading, unless more was said.
func TestHostsAreForReading(t *testing.T) {
	t.Parallel()
	w := newWorld(t).proxy(egress.Host{Name: "docs.example"}, egress.Host{Name: "write.example", Write: true})
	const docs = "https://docs.example"
	for _, c := range []struct {
		method, url, body string
		fields            []string
		want              int
	}{
		{"GET", docs + "/page?q=1", "", []string{"Npm-Auth-Type: web", "X-Unknown: x"}, 200},
		{"HEAD", docs + "/page", "", nil, 200},
		{"GET", docs + "/r.git/info/refs?service=git-upload-pack", "", []string{"Git-Protocol: version=2"}, 200},
		{"POST", docs + "/r.git/git-upload-pack", "0000", []string{"Content-Type: application/x-git-upload-pack-request"}, 200},
		{"POST", docs + "/r.git/git-upload-pack", "0000", []string{"Content-Type: application/json"}, 403},
		{"GET", docs + "/r.git/info/refs?service=git-receive-pack", "", nil, 403},
		{"POST", docs + "/r.git/git-receive-pack", "0000", []string{"Content-Type: application/x-git-receive-pack-request"}, 403},
		{"POST", docs + "/paste", "x", nil, 403},
		{"PUT", docs + "/-/package/x", "x", nil, 403},
		{"DELETE", docs + "/x", "", nil, 403},
		{"GET", docs + "/x", "with a body", nil, 403},
		{"GET", docs + "/x", "", []string{"Authorization: Basic dTpw"}, 403},
		{"GET", docs + "/x", "", []string{"Cookie: a=b"}, 403},
		{"GET", docs + "/x", "", []string{"Private-Token: a"}, 403},
		{"GET", docs + "/x?private_token=x", "", nil, 403},
		{"GET", docs + "/x", "", []string{"Upgrade: websocket", "Connection: Upgrade"}, 403},
		{"GET", docs + "/x", "", []string{"X-Http-Method-Override: POST"}, 403},
		{"POST", "https://write.example/x", "x", []string{"Authorization: Basic dTpw"}, 200},
		{"TRACE", "https://write.example/x", "", nil, 403},
	} {
		status, text, _ := w.ask(c.method, c.url, c.body, c.fields...)
		arrived := w.took()
		if status != c.want || (len(arrived) > 0) != (c.want == 200) {
			t.Errorf("%s %s %q: %d %s", c.method, c.url, c.fields, status, text)
		}
		for _, a := range arrived {
			if a.Header.Get("X-Unknown") != "" {
				t.Error("a field that is not known was passed on")
			}
		}
	}
}

// A credential that the sandbox does not have is added, no other one passes, and it does not come back.
func TestACredentialIsAddedOutside(t *testing.T) {
	t.Parallel()
	world := newWorld(t)
	w := world.proxy(egress.Host{
		Name: "model.example", Header: "x-api-key", Value: secret.New(modelKey), Placeholder: modelHolder,
	})
	const at = "https://model.example/v1/messages"
	for _, c := range []struct {
		fields []string
		query  string
		want   int
	}{
		{nil, "", 200},
		{[]string{"X-Api-Key: " + modelHolder, "Anthropic-Version: 1", "Accept-Encoding: gzip"}, "?beta=true", 200},
		{[]string{"X-Api-Key: sk-thief"}, "", 403},
		{[]string{"X-Api-Key: " + modelHolder, "X-Api-Key: sk-thief"}, "", 403},
		{[]string{"Authorization: Bearer sk-thief"}, "", 403},
		{[]string{"Cookie: session=thief"}, "", 403},
		{nil, "?api_key=thief", 403},
		{nil, "?key=thief", 403},
	} {
		status, text, _ := w.ask("POST", at+c.query, "{}", c.fields...)
		arrived := w.took()
		if status != c.want || (len(arrived) > 0) != (c.want == 200) {
			t.Errorf("%q %s: %d %s", c.fields, c.query, status, text)
		}
		for _, a := range arrived {
			if a.Header.Get("X-Api-Key") != modelKey || a.Header.Get("Accept-Encoding") != "identity" {
				t.Errorf("what arrived: %v", a.Header)
			}
		}
	}
	for name, answer := range map[string]http.HandlerFunc{
		"header": func(rw http.ResponseWriter, r *http.Request) { rw.Header().Set("X-Echo", r.Header.Get("X-Api-Key")) },
		"text":   func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, "your key is "+modelKey+".") },
		"trailer": func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Trailer", "X-Echo")
			fmt.Fprint(rw, "text")
			rw.Header().Set("X-Echo", r.Header.Get("X-Api-Key"))
		},
		"parts": func(rw http.ResponseWriter, r *http.Request) {
			for i := range len(modelKey) {
				fmt.Fprint(rw, modelKey[i:i+1])
				rw.(http.Flusher).Flush()
			}
		},
	} {
		world.mu.Lock()
		world.answer = answer
		world.mu.Unlock()
		status, text, header := w.ask("POST", at, "{}")
		if strings.Contains(text+fmt.Sprint(header), modelKey[10:]) || strings.Contains(text, modelKey[:20]) {
			t.Errorf("%s: it comes back: %d %s %v", name, status, text, header)
		}
	}
	world.mu.Lock()
	world.answer = func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, modelKey[:12]) }
	world.mu.Unlock()
	if status, text, _ := w.ask("POST", at, "{}"); status != 200 || text != modelKey[:12] {
		t.Errorf("what only begins like it: %d %q", status, text)
	}
}

// The address of an upload is a credential, and stays outside.
func TestTheAddressOfAnUploadStaysOutside(t *testing.T) {
	t.Parallel()
	world := newWorld(t)
	world.answer = func(rw http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == "POST":
			rw.Header().Set("Location", "https://storage.googleapis.com/upload/storage/v1/b/granted/o?uploadType=resumable&upload_id=REAL")
			rw.Header().Set("X-GUploader-UploadID", "REAL")
		case r.Method == "DELETE":
			rw.WriteHeader(499)
		case r.Header.Get("Content-Range") == "bytes 0-1/*":
			rw.WriteHeader(308)
		}
	}
	w := world.proxy()
	begin := func() string {
		status, text, header := w.ask("POST", storage+"/upload/storage/v1/b/granted/o?uploadType=resumable", `{"name":"x"}`, login,
			"Content-Type: application/json")
		at := header.Get("Location")
		if status != 200 || !strings.Contains(at, "upload_id=taskiam-upload-") || strings.Contains(fmt.Sprint(header), "REAL") {
			t.Fatalf("%d %s %v", status, text, header)
		}
		return at
	}
	at := begin()
	w.took()
	for _, r := range []string{"bytes 0-1/*", "bytes 2-3/4"} {
		want := map[string]int{"bytes 0-1/*": 308, "bytes 2-3/4": 200}[r]
		if status, text, _ := w.ask("PUT", at, "ab", login, "Content-Range: "+r); status != want {
			t.Errorf("%s: %d %s", r, status, text)
		}
		if got := w.took(); len(got) != 1 || !strings.HasSuffix(got[0].URI, "upload_id=REAL") {
			t.Errorf("what arrived: %+v", got)
		}
	}
	if status, text, _ := w.ask("PUT", at, "ab", login); status != 403 {
		t.Errorf("after its end: %d %s", status, text)
	}
	if status, text, _ := w.ask("PUT", begin(), "ab", "Authorization: Bearer ya29.thief"); status != 403 {
		t.Errorf("with another identity: %d %s", status, text)
	}
	w.took()
	must(t, w.proxy.Close(context.Background()))
	got := w.took()
	if len(got) != 1 || got[0].Method != "DELETE" || !strings.HasSuffix(got[0].URI, "upload_id=REAL") {
		t.Errorf("at the end: %+v", got)
	}
	world.mu.Lock()
	world.answer = func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Location", "https://elsewhere.googleapis.com/x?upload_id=REAL")
	}
	world.mu.Unlock()
	if status, text, header := w.ask("POST", storage+"/upload/storage/v1/b/granted/o?uploadType=resumable", `{}`, login,
		"Content-Type: application/json"); status != 502 || strings.Contains(fmt.Sprint(header), "REAL") {
		t.Errorf("on another host: %d %s %v", status, text, header)
	}
}

// A tunnel is TLS for its host, unopened, and counted.
func TestTunnel(t *testing.T) {
	t.Parallel()
	world := newWorld(t)
	w := world.proxy(egress.Host{Name: "tunnel.example", Tunnel: true})
	conn, line := w.connect("tunnel.example:443")
	if !strings.Contains(line, "200") {
		t.Fatal(line)
	}
	c := tls.Client(conn, &tls.Config{ServerName: "tunnel.example", RootCAs: world.roots})
	fmt.Fprint(c, "POST /x HTTP/1.1\r\nHost: tunnel.example\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx")
	b, err := io.ReadAll(c)
	if err != nil || !strings.Contains(string(b), "POST tunnel.example/x") {
		t.Errorf("%q %v", b, err)
	}
	w.took()
	for name, send := range map[string]func(net.Conn){
		"another name": func(c net.Conn) { _ = tls.Client(c, &tls.Config{ServerName: "thief.example"}).Handshake() },
		"clear text":   func(c net.Conn) { fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: tunnel.example\r\n\r\n") },
	} {
		conn, _ := w.connect("tunnel.example:443")
		send(conn)
		if b, _ := io.ReadAll(conn); strings.Contains(string(b), "HTTP") || len(w.took()) > 0 {
			t.Errorf("%s: %q", name, b)
		}
	}
}

// What is sent is counted, and ends at the bound.
func TestMaxUpload(t *testing.T) {
	t.Parallel()
	world := newWorld(t)
	c := world.config(egress.Host{Name: "write.example", Write: true, MaxUpload: 100})
	c.MaxUpload = 1000
	w := world.proxyOf(c)
	put := func(at string, n int) int {
		status, _, _ := w.ask("PUT", at, strings.Repeat("x", n), login, "Content-Type: text/plain")
		return status
	}
	if got := put("https://write.example/x", 80); got != 200 {
		t.Error(got)
	}
	if got := put("https://write.example/x", 80); got == 200 {
		t.Error("more than may be sent to the host")
	}
	if got := put(storage+"/granted/x", 500); got != 200 {
		t.Error(got)
	}
	if got := put(storage+"/granted/x", 500); got == 200 {
		t.Error("more than may be sent")
	}
	if status, _, _ := w.ask("GET", storage+"/granted/x", "", login); status == 200 {
		t.Error("an address is sent too")
	}
}

// The CA is good for the hosts that are opened, and for no other; not by its root either.
func TestTheAuthorityIsForItsHosts(t *testing.T) {
	t.Parallel()
	w := newWorld(t).proxy(egress.Host{Name: "docs.example"}, egress.Host{Name: "tunnel.example", Tunnel: true})
	conn, _ := w.connect("docs.example:443")
	c := tls.Client(conn, &tls.Config{ServerName: "docs.example", RootCAs: w.trust})
	must(t, c.Handshake())
	chain := c.ConnectionState().PeerCertificates
	block, _ := pem.Decode(w.proxy.CA())
	root, err := x509.ParseCertificate(block.Bytes)
	must(t, err)
	between := chain[1]
	if len(chain) != 2 || between.MaxPathLen != 0 || !between.MaxPathLenZero || !between.PermittedDNSDomainsCritical ||
		strings.Join(between.PermittedDNSDomains, " ") != "googleapis.com docs.example" || len(between.ExcludedIPRanges) != 2 ||
		root.Equal(between) || between.NotAfter.After(time.Now().Add(100*24*time.Hour)) {
		t.Errorf("the authority is %+v", between)
	}
}

// Without an identity nothing is done; what everybody may read can be read where it was named.
func TestNobodyPassesWithoutAnIdentity(t *testing.T) {
	t.Parallel()
	w := newWorld(t).proxy()
	for _, c := range []struct {
		method, url string
		want        int
	}{
		{"POST", storage + "/upload/storage/v1/b/granted/o?uploadType=media", 401},
		{"PUT", storage + "/granted/x", 401},
		{"DELETE", storage + "/storage/v1/b/granted/o/x", 401},
		{"GET", bigquery + "/bigquery/v2/projects", 401},
		{"GET", storage + "/storage/v1/b/thief/o/x", 403},
		{"GET", storage + "/storage/v1/b/granted/o/x", 200},
		{"GET", "https://www.googleapis.com/oauth2/v3/certs", 200},
		{"POST", "https://www.googleapis.com/oauth2/v3/certs", 403},
	} {
		status, text, _ := w.ask(c.method, c.url, "")
		arrived := w.took()
		if status != c.want || (len(arrived) > 0) != (c.want == 200) {
			t.Errorf("%s %s: %d %s", c.method, c.url, status, text)
		}
		for _, a := range arrived {
			if a.Header.Get("Authorization") != "" {
				t.Errorf("%s %s: an identity was added", c.method, c.url)
			}
		}
	}
}

// What a tunnel carries is counted as well: not a byte past the bound arrives.
func TestATunnelEndsAtItsBound(t *testing.T) {
	t.Parallel()
	const bound = 8000
	for name, most := range map[string]int64{"with a bound": bound, "without one": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, err := net.Listen("tcp", "127.0.0.1:0")
			must(t, err)
			t.Cleanup(func() { _ = server.Close() })
			arrived := make(chan int, 1)
			go func() {
				c, err := server.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				n, _ := io.Copy(io.Discard, c)
				arrived <- int(n)
			}()
			world := newWorld(t)
			cfg := world.config(egress.Host{Name: "tunnel.example", Tunnel: true, MaxUpload: most})
			cfg.Dial = func(context.Context, netip.AddrPort) (net.Conn, error) {
				return net.Dial("tcp", server.Addr().String())
			}
			logged := make(chan egress.Event, 1)
			cfg.Log = func(e egress.Event) { logged <- e }
			conn, _ := world.proxyOf(cfg).connect("tunnel.example:443")
			greeted, hello := net.Pipe()
			go func() { _ = tls.Client(greeted, &tls.Config{ServerName: "tunnel.example"}).Handshake() }()
			b := make([]byte, 4000) // one write is one read of a pipe
			n, err := hello.Read(b)
			must(t, err)
			must(t, greeted.Close())
			sent := append(b[:n], make([]byte, 1<<20)...)
			_, _ = conn.Write(sent) // the proxy may hang up
			_ = conn.Conn.(*net.UnixConn).CloseWrite()
			got := <-arrived
			if most > 0 && got > bound || most == 0 && got != len(sent) {
				t.Errorf("%d bytes arrived of %d", got, len(sent))
			}
			e := <-logged
			if most == 0 && e.Sent != int64(len(sent)) || (most > 0) != (e.Refused != "") {
				t.Errorf("the log: %+v", e)
			}
		})
	}
}
