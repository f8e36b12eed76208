// Package clients_test drives the emulator with Google's clients for Go over gRPC, each at the newest version that was
// tried. It is a module of its own, so that what they need is no dependency of the emulator. That this program links
// the emulator beside all of them, and starts, is a test by itself.
package clients_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	admin "cloud.google.com/go/iam/admin/apiv1"
	"cloud.google.com/go/iam/admin/apiv1/adminpb"
	"cloud.google.com/go/iam/apiv1/iampb"
	credentials "cloud.google.com/go/iam/credentials/apiv1"
	"cloud.google.com/go/iam/credentials/apiv1/credentialspb"
	kms "cloud.google.com/go/kms/apiv1"
	"cloud.google.com/go/kms/apiv1/kmspb"
	pubsubv1 "cloud.google.com/go/pubsub"
	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	resourcemanager "cloud.google.com/go/resourcemanager/apiv3"
	"cloud.google.com/go/resourcemanager/apiv3/resourcemanagerpb"
	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"golang.org/x/oauth2"
	"google.golang.org/api/option"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/taskiam/taskiam/emulator"
)

const noah, mara = "ya29.emulator-noah", "ya29.emulator-mara"

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

[[project.binding]]
role    = "roles/iam.serviceAccountTokenCreator"
members = ["user:noah@acme.example"]

[[project.binding]]
role    = "roles/browser"
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

// The emulator of all tests, and where it serves. It is the proxy of this process too, which reads that from its
// environment once.
var (
	server   *emulator.Server
	addr     string
	operator string
)

func TestMain(m *testing.M) {
	if err := start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func start() (err error) {
	if server, err = emulator.New(emulator.Config{Seed: []byte(company)}); err != nil {
		return err
	}
	_, operator = server.Operator()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	addr = l.Addr().String()
	dir, err := os.MkdirTemp("", "clients")
	if err != nil {
		return err
	}
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, server.CACertificate(), 0o600); err != nil {
		return err
	}
	os.Setenv("HTTPS_PROXY", "http://"+addr)
	os.Setenv("SSL_CERT_FILE", ca)
	go func() { _ = server.Serve(context.Background(), l) }()
	return nil
}

// token is a credential that goes without TLS.
type token string

func (t token) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(t)}, nil
}

func (token) RequireTransportSecurity() bool { return false }

// ways are how a client reaches the emulator: by path, and at its production URL by the proxy.
var ways = map[string]func(string) []option.ClientOption{
	"path": func(who string) []option.ClientOption {
		return []option.ClientOption{
			option.WithEndpoint(addr), option.WithoutAuthentication(),
			option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
			option.WithGRPCDialOption(grpc.WithPerRPCCredentials(token(who))),
		}
	},
	"proxy": func(who string) []option.ClientOption {
		return []option.ClientOption{option.WithTokenSource(oauth2.StaticTokenSource(&oauth2.Token{AccessToken: who}))}
	},
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refused expects PermissionDenied with what is missing.
func refused(t *testing.T, err error, reason string) {
	t.Helper()
	got := ""
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			got = info.GetReason()
		}
	}
	if status.Code(err) != codes.PermissionDenied || got != reason {
		t.Errorf("not granted: %v with reason %q, want PermissionDenied with %q", err, got, reason)
	}
}

const denied = "IAM_PERMISSION_DENIED"

func eachWay(t *testing.T, f func(t *testing.T, way func(string) []option.ClientOption)) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, way)
		})
	}
}

func TestSecretManager(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, way func(string) []option.ClientOption) {
		access := func(who string) (string, error) {
			client, err := secretmanager.NewClient(t.Context(), way(who)...)
			check(t, err)
			defer client.Close()
			v, err := client.AccessSecretVersion(t.Context(),
				&secretmanagerpb.AccessSecretVersionRequest{Name: "projects/acme-data/secrets/word/versions/latest"})
			return string(v.GetPayload().GetData()), err
		}
		got, err := access(noah)
		check(t, err)
		if got != "sesame" {
			t.Errorf("the secret is %q", got)
		}
		_, err = access(mara)
		refused(t, err, denied)
	})
}

func TestKMS(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, way func(string) []option.ClientOption) {
		const key = "projects/acme-data/locations/global/keyRings/ring/cryptoKeys/key"
		client, err := kms.NewKeyManagementClient(t.Context(), way(noah)...)
		check(t, err)
		defer client.Close()
		sealed, err := client.Encrypt(t.Context(), &kmspb.EncryptRequest{Name: key, Plaintext: []byte("sesame")})
		check(t, err)
		opened, err := client.Decrypt(t.Context(), &kmspb.DecryptRequest{Name: key, Ciphertext: sealed.GetCiphertext()})
		check(t, err)
		if got := string(opened.GetPlaintext()); got != "sesame" {
			t.Errorf("the text is %q", got)
		}
		other, err := kms.NewKeyManagementClient(t.Context(), way(mara)...)
		check(t, err)
		defer other.Close()
		_, err = other.Encrypt(t.Context(), &kmspb.EncryptRequest{Name: key, Plaintext: []byte("sesame")})
		refused(t, err, "") // Cloud KMS names no reason
	})
}

func TestResourceManager(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, way func(string) []option.ClientOption) {
		get := func(who string) (string, error) {
			client, err := resourcemanager.NewProjectsClient(t.Context(), way(who)...)
			check(t, err)
			defer client.Close()
			p, err := client.GetProject(t.Context(), &resourcemanagerpb.GetProjectRequest{Name: "projects/acme-data"})
			return p.GetProjectId(), err
		}
		if got, err := get(noah); err != nil || got != "acme-data" {
			t.Errorf("the project is %q, %v", got, err)
		}
		_, err := get(mara)
		refused(t, err, "")
	})
}

// An account is made, bound, impersonated and deleted, as a run does it; its token is then worth nothing.
func TestAccount(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	way := ways["path"]
	accounts, err := admin.NewIamClient(ctx, way(operator)...)
	check(t, err)
	defer accounts.Close()
	a, err := accounts.CreateServiceAccount(ctx,
		&adminpb.CreateServiceAccountRequest{Name: "projects/acme-data", AccountId: "grpc-robot"})
	check(t, err)
	manager, err := pubsub.NewClient(ctx, "acme-data", way(operator)...)
	check(t, err)
	defer manager.Close()
	_, err = manager.TopicAdminClient.CreateTopic(ctx, &pubsubpb.Topic{Name: "projects/acme-data/topics/robots"})
	check(t, err)
	policies := manager.TopicAdminClient
	_, err = policies.SetIamPolicy(ctx, &iampb.SetIamPolicyRequest{
		Resource: "projects/acme-data/topics/robots",
		Policy: &iampb.Policy{Bindings: []*iampb.Binding{
			{Role: "roles/pubsub.publisher", Members: []string{"serviceAccount:" + a.GetEmail()}},
		}},
	})
	check(t, err)
	minter, err := credentials.NewIamCredentialsClient(ctx, way(noah)...)
	check(t, err)
	defer minter.Close()
	minted, err := minter.GenerateAccessToken(ctx, &credentialspb.GenerateAccessTokenRequest{
		Name: "projects/-/serviceAccounts/" + a.GetEmail(), Scope: []string{"https://www.googleapis.com/auth/cloud-platform"},
	})
	check(t, err)
	client, err := pubsub.NewClient(ctx, "acme-data", way(minted.GetAccessToken())...)
	check(t, err)
	defer client.Close()
	publish := func(topic string) error {
		p := client.Publisher(topic)
		defer p.Stop()
		_, err := p.Publish(ctx, &pubsub.Message{Data: []byte("hello")}).Get(ctx)
		return err
	}
	check(t, publish("robots"))
	refused(t, publish("news"), denied)
	check(t, accounts.DeleteServiceAccount(ctx, &adminpb.DeleteServiceAccountRequest{Name: a.GetName()}))
	if err := publish("robots"); status.Code(err) != codes.Unauthenticated {
		t.Errorf("after the account was deleted: %v, want Unauthenticated", err)
	}
}

// Ten thousand messages are published and received, each once.
func TestPubSub(t *testing.T) {
	t.Parallel()
	const messages = 10000
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	client, err := pubsub.NewClient(ctx, "acme-data", ways["path"](noah)...)
	check(t, err)
	defer client.Close()
	go func() {
		p := client.Publisher("news")
		defer p.Stop()
		for i := range messages {
			p.Publish(ctx, &pubsub.Message{Data: fmt.Append(nil, i)})
		}
	}()
	seen := make([]atomic.Int32, messages)
	var got atomic.Int32
	receiving, done := context.WithCancel(ctx)
	err = client.Subscriber("reader").Receive(receiving, func(_ context.Context, m *pubsub.Message) {
		var i int
		if _, err := fmt.Sscan(string(m.Data), &i); err != nil || seen[i].Add(1) > 1 {
			t.Errorf("%q came twice, or is no number", m.Data)
		}
		m.Ack()
		if got.Add(1) == messages {
			done()
		}
	})
	check(t, err)
	if got.Load() != messages {
		t.Errorf("%d messages of %d arrived", got.Load(), messages)
	}
	other, err := pubsub.NewClient(ctx, "acme-data", ways["path"](mara)...)
	check(t, err)
	defer other.Close()
	err = other.Subscriber("reader").Receive(ctx, func(context.Context, *pubsub.Message) { t.Error("a message") })
	refused(t, err, denied)
}

// The older module, which many programs still have.
func TestPubSubV1(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, way func(string) []option.ClientOption) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		client, err := pubsubv1.NewClient(ctx, "acme-data", way(operator)...)
		check(t, err)
		defer client.Close()
		name := "v1-" + filepath.Base(t.Name())
		topic, err := client.CreateTopic(ctx, name)
		check(t, err)
		sub, err := client.CreateSubscription(ctx, name, pubsubv1.SubscriptionConfig{Topic: topic})
		check(t, err)
		_, err = topic.Publish(ctx, &pubsubv1.Message{Data: []byte("hello"), Attributes: map[string]string{"a": "b"}}).Get(ctx)
		check(t, err)
		receiving, done := context.WithCancel(ctx)
		var text string
		check(t, sub.Receive(receiving, func(_ context.Context, m *pubsubv1.Message) {
			text = string(m.Data) + m.Attributes["a"]
			m.Ack()
			done()
		}))
		if text != "hellob" {
			t.Errorf("received %q", text)
		}
		other, err := pubsubv1.NewClient(ctx, "acme-data", way(mara)...)
		check(t, err)
		defer other.Close()
		_, err = other.Topic(name).Publish(ctx, &pubsubv1.Message{Data: []byte("hello")}).Get(ctx)
		refused(t, err, denied)
	})
}
