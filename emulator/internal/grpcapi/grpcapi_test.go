package grpcapi_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/taskiam/taskiam/emulator"
	"github.com/taskiam/taskiam/emulator/internal/grpcapi"
)

const noah, mara = "ya29.emulator-noah", "ya29.emulator-mara"

// company has what the built-in one has, and an account that may do one thing of each service.
const company = `
[operator]
member = "user:olivia@acme.example"

[[principal]]
member = "user:noah@acme.example"
token  = "ya29.emulator-noah"

[[principal]]
member = "user:mara@acme.example"
token  = "ya29.emulator-mara"

[organization]
number = "123456789012"
domain = "acme.example"

[[project]]
id     = "acme-data"
number = "678901234567"

[[project.binding]]
role    = "roles/owner"
members = ["user:olivia@acme.example"]

[[project]]
id                = "acme-off"
number            = "678901234568"
disabled_services = ["pubsub.googleapis.com"]

[[project.binding]]
role    = "roles/owner"
members = ["user:olivia@acme.example"]

[[service_account]]
project = "acme-data"
id      = "builder"

[[service_account.binding]]
role    = "roles/iam.serviceAccountTokenCreator"
members = ["user:noah@acme.example"]

[[secret]]
project = "acme-data"
name    = "word"
values  = ["sesame"]

[[secret.binding]]
role    = "roles/secretmanager.secretAccessor"
members = ["user:noah@acme.example"]

[[topic]]
project = "acme-data"
name    = "news"

[[topic.binding]]
role    = "roles/pubsub.publisher"
members = ["user:noah@acme.example"]

[[subscription]]
project = "acme-data"
name    = "reader"
topic   = "news"

[[subscription.binding]]
role    = "roles/pubsub.subscriber"
members = ["user:noah@acme.example"]

[[key_ring]]
project  = "acme-data"
location = "global"
name     = "ring"

[[key_ring.key]]
name = "key"

[[key_ring.key.binding]]
role    = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
members = ["user:noah@acme.example"]

[[bucket]]
project = "acme-data"
name    = "acme-files"

[[bucket.binding]]
role    = "roles/storage.objectAdmin"
members = ["user:noah@acme.example"]
`

// lab is an emulator that serves on a port.
type lab struct {
	t        *testing.T
	server   *emulator.Server
	addr     string
	operator string
	log      *log
	stop     func()
}

type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// lines returns the lines about a gRPC method.
func (l *log) lines(name string) []map[string]any {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []map[string]any
	for line := range strings.Lines(l.b.String()) {
		var m map[string]any
		if json.Unmarshal([]byte(line), &m) == nil && m["grpc"] == name {
			out = append(out, m)
		}
	}
	return out
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{t: t, log: &log{}}
	var err error
	if l.server, err = emulator.New(emulator.Config{Seed: []byte(company), Log: l.log}); err != nil {
		t.Fatal(err)
	}
	_, l.operator = l.server.Operator()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.addr = listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := l.server.Serve(ctx, listener); err != nil {
			t.Error(err)
		}
	}()
	l.stop = sync.OnceFunc(func() {
		cancel()
		<-done
		if err := l.server.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { l.stop() })
	return l
}

// dial returns a connection by path, or to a production host if an authority is given.
func (l *lab) dial(authority string) *grpc.ClientConn {
	l.t.Helper()
	options := []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy()}
	if authority != "" {
		options = append(options, grpc.WithAuthority(authority))
	}
	conn, err := grpc.NewClient("passthrough:///"+l.addr, options...)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func as(ctx context.Context, token string) context.Context {
	if token == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

// call makes a call whose request is JSON, and returns its answer as JSON.
func (l *lab) call(conn *grpc.ClientConn, token, name, request string) (map[string]any, error) {
	l.t.Helper()
	in, out, err := grpcapi.Messages(name)
	if err == nil {
		err = grpcapi.FromJSON([]byte(request), in)
	}
	if err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(l.t.Context(), 20*time.Second)
	defer cancel()
	if err := conn.Invoke(as(ctx, token), "/"+name, in, out); err != nil {
		return nil, err
	}
	raw, err := grpcapi.ToJSON(out)
	if err != nil {
		l.t.Fatal(err)
	}
	answer := map[string]any{}
	if err := json.Unmarshal(raw, &answer); err != nil {
		l.t.Fatal(err)
	}
	return answer, nil
}

// reason returns the reason of an error's ErrorInfo.
func reason(err error) string {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}

// One method of each service, of those whose permission the caller has and of those that it has not.
func TestServices(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	conn := l.dial("")
	const robot = "projects/-/serviceAccounts/builder@acme-data.iam.gserviceaccount.com"
	const secrets = "google.cloud.secretmanager.v1.SecretManagerService/"
	const key = "projects/acme-data/locations/global/keyRings/ring/cryptoKeys/key"
	for _, tt := range []struct {
		name, who, in, want string // a part of the answer, or the code and the reason of the refusal
	}{
		{secrets + "AccessSecretVersion", noah, `{"name":"projects/acme-data/secrets/word/versions/latest"}`, `"data":"c2VzYW1l"`},
		{secrets + "AccessSecretVersion", mara, `{"name":"projects/acme-data/secrets/word/versions/latest"}`, "PermissionDenied IAM_PERMISSION_DENIED"},
		{secrets + "AccessSecretVersion", "", `{"name":"projects/acme-data/secrets/word/versions/latest"}`, "Unauthenticated CREDENTIALS_MISSING"},
		{secrets + "CreateSecret", "operator", `{"parent":"projects/acme-data","secretId":"new","secret":{"replication":{"automatic":{}},"labels":{"a":"b"}}}`, `"labels":{"a":"b"}`},
		{secrets + "UpdateSecret", "operator", `{"secret":{"name":"projects/acme-data/secrets/new","labels":{"a":"c"}},"updateMask":"labels"}`, `"labels":{"a":"c"}`},
		{secrets + "AddSecretVersion", "operator", `{"parent":"projects/acme-data/secrets/new","payload":{"data":"aGk=","dataCrc32c":"1"}}`, "InvalidArgument "},
		{secrets + "ListSecrets", "operator", `{"parent":"projects/acme-data","pageSize":1}`, `"nextPageToken"`},
		{secrets + "DeleteSecret", "operator", `{"name":"projects/acme-data/secrets/new"}`, `{}`},
		{secrets + "GetSecret", "operator", `{"name":"projects/acme-data/secrets/word:getIamPolicy"}`, "NotFound "},
		{secrets + "GetSecret", "operator", `{"name":"secrets/word"}`, "InvalidArgument "},
		{secrets + "GetIamPolicy", "operator", `{"resource":"projects/acme-data/secrets/word","options":{"requestedPolicyVersion":3}}`, `"role":"roles/secretmanager.secretAccessor"`},
		{"google.iam.admin.v1.IAM/GetServiceAccount", "operator", `{"name":"` + robot + `"}`, `"email":"builder@acme-data.iam.gserviceaccount.com"`},
		{"google.iam.admin.v1.IAM/CreateServiceAccount", "operator", `{"name":"projects/acme-data","accountId":"maker-x","serviceAccount":{"displayName":"Maker"}}`, `"displayName":"Maker"`},
		{"google.iam.admin.v1.IAM/CreateServiceAccount", mara, `{"name":"projects/acme-data","accountId":"taker-x"}`, "PermissionDenied IAM_PERMISSION_DENIED"},
		{"google.iam.admin.v1.IAM/ListRoles", "operator", `{"pageSize":1}`, `"roles":[`},
		{"google.iam.credentials.v1.IAMCredentials/GenerateAccessToken", noah, `{"name":"` + robot + `","scope":["https://www.googleapis.com/auth/cloud-platform"],"lifetime":"60s"}`, `"accessToken":"ya29.`},
		{"google.iam.credentials.v1.IAMCredentials/GenerateAccessToken", mara, `{"name":"` + robot + `","scope":["https://www.googleapis.com/auth/cloud-platform"]}`, "PermissionDenied IAM_PERMISSION_DENIED"},
		{"google.iam.credentials.v1.IAMCredentials/SignBlob", noah, `{"name":"` + robot + `","payload":"aGk="}`, `"signedBlob"`},
		{"google.cloud.resourcemanager.v3.Projects/GetProject", "operator", `{"name":"projects/acme-data"}`, `"state":"ACTIVE"`},
		{"google.cloud.resourcemanager.v3.Projects/SearchProjects", "operator", `{"query":"id:acme-data"}`, `"projectId":"acme-data"`},
		{"google.cloud.resourcemanager.v3.Projects/GetIamPolicy", "operator", `{"resource":"projects/acme-data"}`, `"role":"roles/owner"`},
		{"google.cloud.resourcemanager.v3.Projects/GetIamPolicy", mara, `{"resource":"projects/acme-data"}`, "PermissionDenied "},
		{"google.pubsub.v1.Publisher/CreateTopic", "operator", `{"name":"projects/acme-data/topics/more","labels":{"a":"b"}}`, `"name":"projects/acme-data/topics/more"`},
		{"google.pubsub.v1.Publisher/UpdateTopic", "operator", `{"topic":{"name":"projects/acme-data/topics/more","labels":{"a":"c"}},"updateMask":"labels"}`, `"labels":{"a":"c"}`},
		{"google.pubsub.v1.Publisher/Publish", noah, `{"topic":"projects/acme-data/topics/news","messages":[{"data":"aGk=","attributes":{"a":"b"}}]}`, `"messageIds":["1"]`},
		{"google.pubsub.v1.Publisher/Publish", mara, `{"topic":"projects/acme-data/topics/news","messages":[{"data":"aGk="}]}`, "PermissionDenied IAM_PERMISSION_DENIED"},
		{"google.pubsub.v1.Publisher/Publish", "operator", `{"topic":"projects/acme-off/topics/news","messages":[{"data":"aGk="}]}`, "PermissionDenied SERVICE_DISABLED"},
		{"google.pubsub.v1.Subscriber/Pull", noah, `{"subscription":"projects/acme-data/subscriptions/reader","maxMessages":1}`, `"data":"aGk="`},
		{"google.pubsub.v1.Subscriber/GetSubscription", "operator", `{"subscription":"projects/acme-data/subscriptions/reader"}`, `"topic":"projects/acme-data/topics/news"`},
		{"google.iam.v1.IAMPolicy/GetIamPolicy", "operator", `{"resource":"projects/acme-data/topics/news","options":{"requestedPolicyVersion":3}}`, `"role":"roles/pubsub.publisher"`},
		{"google.iam.v1.IAMPolicy/TestIamPermissions", noah, `{"resource":"projects/acme-data/topics/news","permissions":["pubsub.topics.publish","pubsub.topics.delete"]}`, `{"permissions":["pubsub.topics.publish"]}`},
		{"google.iam.v1.IAMPolicy/SetIamPolicy", mara, `{"resource":"` + key + `","policy":{}}`, "PermissionDenied "},
		{"google.cloud.kms.v1.KeyManagementService/Encrypt", noah, `{"name":"` + key + `","plaintext":"aGk="}`, `"ciphertext"`},
		{"google.cloud.kms.v1.KeyManagementService/Encrypt", mara, `{"name":"` + key + `","plaintext":"aGk="}`, "PermissionDenied "},
		{"google.cloud.kms.v1.KeyManagementService/ListKeyRings", "operator", `{"parent":"projects/acme-data/locations/global"}`, `keyRings/ring"`},
		{"google.cloud.kms.v1.KeyManagementService/ImportCryptoKeyVersion", "operator", `{"parent":"` + key + `"}`, "Unimplemented "},
	} {
		if tt.who == "operator" {
			tt.who = l.operator
		}
		answer, err := l.call(conn, tt.who, tt.name, tt.in)
		got := fmt.Sprint(status.Code(err), " ", reason(err))
		if err == nil {
			raw, err := json.Marshal(answer)
			if err != nil {
				t.Fatal(err)
			}
			got = string(raw)
		}
		if !strings.Contains(got, tt.want) {
			t.Errorf("%s %s: %s, want %s in it: %v", tt.name, tt.in, got, tt.want, err)
		}
	}
	if got := l.log.lines("google.pubsub.v1.Publisher/Publish"); len(got) != 3 || got[0]["principal"] != "user:noah@acme.example" ||
		got[0]["permission"] != "pubsub.topics.publish" || got[0]["decision"] != "allowed" || got[1]["code"] != 403.0 {
		t.Errorf("the request log says %v", got)
	}
}

// What is no method of the emulator ends with a sentence; so does a service at the host of another, and a host that
// is no part of the emulator.
func TestUnimplemented(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	const publish, request = "google.pubsub.v1.Publisher/Publish", `{"topic":"projects/acme-data/topics/news","messages":[{"data":"aGk="}]}`
	for _, tt := range []struct {
		host, name string
		want       codes.Code
	}{
		{"", "google.spanner.v1.Spanner/CreateSession", codes.Unimplemented},
		{"pubsub.googleapis.com", "google.pubsub.v1.SchemaService/NoSuchMethod", codes.Unimplemented},
		{"secretmanager.googleapis.com", publish, codes.Unimplemented},
		{"pubsub.googleapis.com", publish, codes.OK},
		{"pubsub.googleapis.com:443", publish, codes.OK},
		{"pubsub.example", publish, codes.PermissionDenied},
	} {
		conn := l.dial(tt.host)
		in, out, err := grpcapi.Messages(publish)
		if err == nil {
			err = grpcapi.FromJSON([]byte(request), in)
		}
		if err != nil {
			t.Fatal(err)
		}
		err = conn.Invoke(as(t.Context(), l.operator), "/"+tt.name, in, out)
		if got := status.Code(err); got != tt.want {
			t.Errorf("%s at %q: %v, want %v", tt.name, tt.host, err, tt.want)
		}
		if tt.want == codes.Unimplemented && !strings.Contains(err.Error(), "over REST") {
			t.Errorf("%s: %v does not say what works", tt.name, err)
		}
	}
}

// Faults happen to gRPC calls as they do to those of REST.
func TestFaults(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	conn := l.dial("")
	publish := func() error {
		_, err := l.call(conn, noah, "google.pubsub.v1.Publisher/Publish",
			`{"topic":"projects/acme-data/topics/news","messages":[{"data":"aGk="}]}`)
		return err
	}
	add := func(f emulator.Fault) {
		t.Helper()
		f.Method, f.Count = "pubsub.projects.topics.publish", 1
		if _, err := l.server.AddFault(f); err != nil {
			t.Fatal(err)
		}
	}
	add(emulator.Fault{Do: emulator.FaultAnswer, Code: 429, RetryAfter: emulator.Delay{Min: 3 * time.Second, Max: 3 * time.Second}})
	err := publish()
	var delay time.Duration
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			delay = info.GetRetryDelay().AsDuration()
		}
	}
	if status.Code(err) != codes.ResourceExhausted || reason(err) != "RATE_LIMIT_EXCEEDED" || delay != 3*time.Second {
		t.Errorf("429 with Retry-After: %v, reason %q, delay %v", err, reason(err), delay)
	}
	add(emulator.Fault{Do: emulator.FaultReset, After: true})
	if err := publish(); status.Code(err) != codes.Unavailable {
		t.Errorf("a broken connection: %v, want Unavailable", err)
	}
	if err := publish(); err != nil {
		t.Errorf("after it: %v", err)
	}
	out, err := l.call(conn, noah, "google.pubsub.v1.Subscriber/Pull", `{"subscription":"projects/acme-data/subscriptions/reader","maxMessages":9}`)
	if got, _ := out["receivedMessages"].([]any); len(got) != 2 {
		t.Errorf("published were %v, %v; want those whose answer was lost and was not", out, err)
	}
	add(emulator.Fault{Do: emulator.FaultHang})
	in, message, err := grpcapi.Messages("google.pubsub.v1.Publisher/Publish")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := conn.Invoke(as(ctx, noah), "/google.pubsub.v1.Publisher/Publish", in, message); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a request without a topic: %v", err)
	}
	if err := grpcapi.FromJSON([]byte(`{"topic":"projects/acme-data/topics/news","messages":[{"data":"aGk="}]}`), in); err != nil {
		t.Fatal(err)
	}
	if err := conn.Invoke(as(ctx, noah), "/google.pubsub.v1.Publisher/Publish", in, message); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("a call that hangs: %v, want DeadlineExceeded", err)
	}
}

// By the proxy a client reaches a service at its production name, with TLS.
func TestProxy(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "")
	l := newLab(t)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(l.server.CACertificate())
	dial := func(host string) *grpc.ClientConn {
		conn, err := grpc.NewClient("passthrough:///"+host+":443", grpc.WithNoProxy(),
			grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots})),
			grpc.WithContextDialer(func(ctx context.Context, target string) (net.Conn, error) {
				var d net.Dialer
				conn, err := d.DialContext(ctx, "tcp", l.addr)
				if err != nil {
					return nil, err
				}
				if _, err := fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", target); err != nil {
					return nil, err
				}
				answer := make([]byte, len("HTTP/1.1 200 Connection established\r\n\r\n"))
				if _, err := conn.Read(answer); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200") {
					return nil, fmt.Errorf("the proxy says %q, %v", answer, err)
				}
				return conn, nil
			}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	const access, word = "google.cloud.secretmanager.v1.SecretManagerService/AccessSecretVersion", `{"name":"projects/acme-data/secrets/word/versions/1"}`
	if _, err := l.call(dial("secretmanager.googleapis.com"), noah, access, word); err != nil {
		t.Errorf("by the proxy: %v", err)
	}
	if _, err := l.call(dial("pubsub.googleapis.com"), noah, access, word); status.Code(err) != codes.Unimplemented {
		t.Errorf("at the host of another service: %v", err)
	}
	if _, err := l.call(dial("secretmanager.example"), noah, access, word); status.Code(err) != codes.Unavailable {
		t.Errorf("at a host that is not Google's: %v", err)
	}
}

// Nothing in a name leads to another method, and each field goes where the rule of its method says.
func TestTargets(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, in, want string }{
		{"google.cloud.secretmanager.v1.SecretManagerService/GetSecret", `{"name":"projects/p/secrets/s:x?y#z"}`, "GET /v1/projects/p/secrets/s%3Ax%3Fy%23z "},
		{"google.cloud.secretmanager.v1.SecretManagerService/GetSecret", `{"name":"projects/p/secrets/s/versions/1"}`, ""},
		{"google.cloud.secretmanager.v1.SecretManagerService/GetSecret", `{"name":"projects/p/secrets/"}`, ""},
		{"google.cloud.secretmanager.v1.SecretManagerService/ListSecrets", `{"parent":"projects/p","pageSize":7,"filter":"a:b c"}`, "GET /v1/projects/p/secrets?filter=a%3Ab+c&pageSize=7 "},
		{"google.cloud.secretmanager.v1.SecretManagerService/UpdateSecret", `{"secret":{"name":"projects/p/secrets/s","labels":{"a":"b"}},"updateMask":"labels"}`, `PATCH /v1/projects/p/secrets/s?updateMask=labels {"labels":{"a":"b"}}`},
		{"google.pubsub.v1.Publisher/UpdateTopic", `{"topic":{"name":"projects/p/topics/t"},"updateMask":"labels"}`, `PATCH /v1/projects/p/topics/t {"topic":{},"updateMask":"labels"}`},
		{"google.iam.v1.IAMPolicy/GetIamPolicy", `{"resource":"a/b"}`, "POST /v1/a/b:getIamPolicy {}\nGET /v1/a/b:getIamPolicy "},
	} {
		got, err := grpcapi.Targets(tt.name, tt.in)
		if joined := strings.Join(got, "\n"); err != nil || joined != tt.want {
			t.Errorf("%s %s: %q, %v, want %q", tt.name, tt.in, joined, err, tt.want)
		}
	}
}
