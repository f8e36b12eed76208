package gcp

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/emulator"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/secret"
)

// The built-in company's people: olivia owns the project that hosts accounts, which
// does not include minting tokens; noah may mint.
const (
	hosting = "acme-agents"
	olivia  = "user:olivia@acme.example"
)

var noah = StaticToken(secret.New("ya29.emulator-noah"))

func newEmulator(t *testing.T) *emulator.Server {
	t.Helper()
	s, err := emulator.New(emulator.Config{NewKey: testKey})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// company is an emulator, and its operator's client.
func company(t *testing.T) (*emulator.Server, *Client) {
	t.Helper()
	s := newEmulator(t)
	_, token := s.Operator()
	return s, newTestClient(t, inMemory(s.Handler()), func(cfg *Config) { cfg.Credential = EmulatorLogin(secret.New(token)) })
}

func newAccount(t *testing.T, c *Client) grants.Account {
	t.Helper()
	a, err := c.CreateAccount(t.Context(), hosting, "ti-report", "taskiam", "mark")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// certificate wraps the test key into a certificate that ends at the time.
func certificate(t *testing.T, end time.Time) []byte {
	t.Helper()
	k, err := testKey()
	if err != nil {
		t.Fatal(err)
	}
	return certificateOf(t, k, end)
}

func certificateOf(t *testing.T, k *rsa.PrivateKey, end time.Time) []byte {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "unused"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: end,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// fileFor is the key file of an account, for an uploaded key.
func fileFor(t *testing.T, a grants.Account, keyID string) secret.String {
	t.Helper()
	var file map[string]string
	if err := json.Unmarshal([]byte(keyFile(t).Reveal()), &file); err != nil {
		t.Fatal(err)
	}
	file["client_email"], file["client_id"], file["private_key_id"] = a.Email, a.UniqueID, keyID
	data, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	return secret.New(string(data))
}

func TestAccountFromBirthToGrave(t *testing.T) {
	t.Parallel()
	_, c := company(t)
	ctx := t.Context()
	a := newAccount(t, c)
	want := grants.Account{Email: grants.AccountEmail("ti-report", hosting), UniqueID: a.UniqueID, Project: hosting, Description: "mark"}
	if diff := cmp.Diff(want, a); diff != "" || a.UniqueID == "" {
		t.Errorf("created (-want +got):\n%s", diff)
	}
	if _, err := c.CreateAccount(ctx, hosting, "ti-report", "", ""); !fault.Is(err, fault.Exists) {
		t.Errorf("created twice: %v, want exists", err)
	}
	for _, id := range []string{a.Email, a.UniqueID} {
		if got, err := c.Account(ctx, hosting, id); err != nil || got != want {
			t.Errorf("Account(%s) = %v, %v", id, got, err)
		}
	}
	if err := c.SetDescription(ctx, hosting, a.UniqueID, "another mark"); err != nil {
		t.Error(err)
	}
	want.Description = "another mark"
	if got, err := c.Account(ctx, hosting, a.Email); err != nil || got != want {
		t.Errorf("described: %v, %v", got, err)
	}
	for range 2 { // the second changes nothing
		if err := c.DisableAccount(ctx, hosting, a.UniqueID); err != nil {
			t.Error(err)
		}
	}
	want.Disabled = true
	if got, err := c.Account(ctx, hosting, a.UniqueID); err != nil || got != want {
		t.Errorf("disabled: %v, %v", got, err)
	}
	if err := c.DeleteAccount(ctx, hosting, a.UniqueID); err != nil {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"Account":        second(c.Account(ctx, hosting, a.Email)),
		"DeleteAccount":  c.DeleteAccount(ctx, hosting, a.UniqueID),
		"DisableAccount": c.DisableAccount(ctx, hosting, a.UniqueID),
		"SetDescription": c.SetDescription(ctx, hosting, a.UniqueID, "x"),
	} {
		if !fault.Is(err, fault.NotFound) {
			t.Errorf("%s of a deleted account: %v, want not found", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestKeyUntilItsEnd(t *testing.T) {
	t.Parallel()
	s, c := company(t)
	ctx := t.Context()
	a := newAccount(t, c)
	end := time.Now().Add(2 * time.Hour).Truncate(time.Second)
	key, err := c.UploadKey(ctx, hosting, a.Email, certificate(t, end))
	if err != nil {
		t.Fatal(err)
	}
	if !key.ValidBefore.Equal(end) || key.ID == "" || strings.Contains(key.ID, "/") {
		t.Errorf("uploaded %+v, want one until %s", key, end)
	}
	keys, err := c.Keys(ctx, hosting, a.Email)
	if err != nil || len(keys) != 1 || keys[0].ID != key.ID || !keys[0].ValidBefore.Equal(end) {
		t.Errorf("Keys = %v, %v; want the one that was uploaded", keys, err)
	}

	file := fileFor(t, a, key.ID)
	src, err := KeySource(file)
	if err != nil {
		t.Fatal(err)
	}
	bucket := name(t, "gs://acme-reports")
	grant(t, c, "gs://acme-reports", policy.Binding{Role: "roles/storage.objectViewer", Member: a.Member()})
	asked := []string{"storage.objects.get", "storage.objects.delete"}
	held, err := c.As(src).TestPermissions(ctx, bucket, asked)
	if err != nil || !slices.Equal(held, asked[:1]) {
		t.Errorf("as the key: %v, %v; want to read alone", held, err)
	}
	token, err := c.KeyToken(ctx, file)
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(token.Expires); left < 55*time.Minute || left > time.Hour {
		t.Errorf("the token lasts %s, want about an hour", left)
	}
	held, err = c.As(StaticToken(token.Value)).TestPermissions(ctx, bucket, asked)
	if err != nil || !slices.Equal(held, asked[:1]) {
		t.Errorf("as the token: %v, %v; want to read alone", held, err)
	}

	s.Advance(3 * time.Hour) // past the certificate's end
	if _, err := c.KeyToken(ctx, file); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("a token of an ended key: %v, want unauthenticated", err)
	}
	if err := c.DeleteKey(ctx, hosting, a.Email, key.ID); err != nil {
		t.Error(err)
	}
	if err := c.DeleteKey(ctx, hosting, a.Email, key.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("deleting a key twice: %v, want not found", err)
	}
	if keys, err := c.Keys(ctx, hosting, a.Email); err != nil || len(keys) != 0 {
		t.Errorf("Keys = %v, %v; want none", keys, err)
	}
	if _, err := c.UploadKey(ctx, hosting, a.Email, []byte("no certificate")); !fault.Is(err, fault.Invalid) {
		t.Errorf("uploading garbage: %v, want invalid", err)
	}
}

func grant(t *testing.T, c *Client, on string, b policy.Binding) {
	t.Helper()
	doc, err := c.ReadPolicy(t.Context(), name(t, on))
	if err != nil {
		t.Fatal(err)
	}
	doc.Add(b)
	if _, err := c.WritePolicy(t.Context(), name(t, on), doc); err != nil {
		t.Fatal(err)
	}
}

func TestAccessTokenUntilDisabled(t *testing.T) {
	t.Parallel()
	_, c := company(t)
	ctx := t.Context()
	a := newAccount(t, c)
	if _, err := c.AccessToken(ctx, a.Email, time.Hour); !fault.Is(err, fault.Denied) {
		t.Errorf("an owner's token of an account: %v, want denied", err)
	}
	minter := c.As(noah)
	token, err := minter.AccessToken(ctx, a.Email, 10*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(token.Expires); left < 9*time.Minute || left > 10*time.Minute {
		t.Errorf("the token lasts %s, want 10m", left)
	}
	agent := c.As(StaticToken(token.Value))
	if id, err := agent.Whoami(ctx); err != nil || id != (grants.Identity{Member: a.Member(), Email: a.Email}) {
		t.Errorf("the token is %v's, %v", id, err)
	}
	for what, tt := range map[string]struct {
		err  error
		want fault.Kind
	}{
		"longer than an hour": {second(minter.AccessToken(ctx, a.Email, 2*time.Hour)), fault.Invalid},
		"of nobody":           {second(minter.AccessToken(ctx, grants.AccountEmail("nobody-at-all", hosting), time.Hour)), fault.NotFound},
		"of itself":           {second(agent.AccessToken(ctx, a.Email, time.Hour)), fault.Denied},
	} {
		if !fault.Is(tt.err, tt.want) {
			t.Errorf("a token %s: %v, want %v", what, tt.err, tt.want)
		}
	}
	if err := c.DisableAccount(ctx, hosting, a.UniqueID); err != nil {
		t.Fatal(err)
	}
	if _, err := agent.TestPermissions(ctx, name(t, "gs://acme-reports"), []string{"storage.objects.get"}); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("a token of a disabled account: %v, want unauthenticated", err)
	}
}

// TestPolicies gives and takes a role on one resource of each type, and leaves it as
// it was.
func TestPolicies(t *testing.T) {
	t.Parallel()
	hour := policy.Condition{Title: "taskiam", Expression: `request.time < timestamp("2999-01-01T00:00:00Z")`}
	tests := []struct {
		on, role   string
		condition  policy.Condition
		permission string // proved by it; "" where Google cannot be asked
	}{
		{"projects/acme-agents", "roles/browser", hour, "resourcemanager.projects.get"},
		{"gs://acme-reports", "roles/storage.objectViewer", hour, "storage.objects.get"},
		{"bq://acme-data.sales", "roles/bigquery.dataViewer", hour, ""},
		{"projects/acme-agents/topics/reports", "roles/pubsub.publisher", policy.Condition{}, "pubsub.topics.publish"},
		{"projects/acme-agents/subscriptions/reports-audit", "roles/pubsub.subscriber", policy.Condition{}, "pubsub.subscriptions.consume"},
		{"projects/acme-agents/secrets/api-key", "roles/secretmanager.secretAccessor", hour, "secretmanager.versions.access"},
		{"projects/acme-agents/serviceAccounts/ci-runner@acme-agents.iam.gserviceaccount.com", "roles/iam.serviceAccountUser", hour, "iam.serviceAccounts.actAs"},
	}
	for _, tt := range tests {
		t.Run(name(t, tt.on).Type().Kind, func(t *testing.T) {
			t.Parallel()
			s, c := company(t)
			ctx, on := t.Context(), name(t, tt.on)
			a := newAccount(t, c)
			minted, err := c.As(noah).AccessToken(ctx, a.Email, time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			agent := c.As(StaticToken(minted.Value))
			before := snapshot(t, s)
			mine := policy.Binding{Role: tt.role, Member: a.Member(), Condition: tt.condition}

			doc, err := c.ReadPolicy(ctx, on)
			if err != nil {
				t.Fatal(err)
			}
			stale, err := c.ReadPolicy(ctx, on)
			if err != nil {
				t.Fatal(err)
			}
			if !doc.Add(mine) {
				t.Fatal("the binding was there before")
			}
			stored, err := c.WritePolicy(ctx, on, doc)
			if err != nil {
				t.Fatal(err)
			}
			back, err := c.ReadPolicy(ctx, on)
			if err != nil {
				t.Fatal(err)
			}
			for what, d := range map[string]policy.Document{"answered": stored, "read back": back} {
				if !d.Has(mine) {
					t.Errorf("what was %s lacks the binding", what)
				}
			}

			stale.Add(policy.Binding{Role: tt.role, Member: olivia})
			if _, err := c.WritePolicy(ctx, on, stale); !fault.Is(err, fault.Conflict) {
				t.Errorf("a stale write: %v, want a conflict", err)
			}

			if tt.permission == "" {
				if _, err := agent.TestPermissions(ctx, on, []string{"a.b.c"}); !fault.Is(err, fault.Invalid) {
					t.Errorf("testing permissions: %v, want invalid", err)
				}
			} else if held, err := agent.TestPermissions(ctx, on, []string{tt.permission}); err != nil || !slices.Equal(held, []string{tt.permission}) {
				t.Errorf("the account holds %v, %v; want %s", held, err, tt.permission)
			}

			if !back.Remove(mine) {
				t.Error("the binding cannot be removed")
			}
			if _, err := c.WritePolicy(ctx, on, back); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, snapshot(t, s)); diff != "" {
				t.Errorf("the state is not as before (-before +after):\n%s", diff)
			}
		})
	}
}

// snapshot returns the emulator's state in its canonical form.
func snapshot(t *testing.T, s *emulator.Server) string {
	t.Helper()
	b, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestDocumentWithoutEtagIsNotWritten(t *testing.T) {
	t.Parallel()
	s, c := company(t)
	before := snapshot(t, s)
	for _, on := range []string{"projects/acme-agents", "gs://acme-reports", "bq://acme-data.sales"} {
		doc, err := policy.Decode(name(t, on).Type().API.Dialect, []byte(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.WritePolicy(t.Context(), name(t, on), doc); err == nil {
			t.Errorf("%s was overwritten", on)
		}
	}
	if diff := cmp.Diff(before, snapshot(t, s)); diff != "" {
		t.Errorf("the state changed:\n%s", diff)
	}
}

func TestPermissionsInBatches(t *testing.T) {
	t.Parallel()
	_, c := company(t)
	role, err := c.Role(t.Context(), "roles/owner")
	if err != nil {
		t.Fatal(err)
	}
	if len(role.Permissions) <= testBatch {
		t.Fatalf("an owner has %d permissions, too few for this test", len(role.Permissions))
	}
	asked := slices.DeleteFunc(role.Permissions, func(p string) bool {
		return grants.AboveProjects(p) != ""
	})
	held, err := c.TestPermissions(t.Context(), name(t, "projects/acme-agents"), asked)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values(asked)), slices.Sorted(slices.Values(held))); diff != "" {
		t.Errorf("an owner's permissions (-want +got):\n%s", diff)
	}
	if held, err := c.TestPermissions(t.Context(), name(t, "projects/acme-agents"), nil); err != nil || len(held) > 0 {
		t.Errorf("asked about nothing: %v, %v", held, err)
	}
}

func TestRoles(t *testing.T) {
	t.Parallel()
	_, c := company(t)
	role, err := c.Role(t.Context(), "roles/pubsub.publisher")
	if err != nil {
		t.Fatal(err)
	}
	if role.Name != "roles/pubsub.publisher" || role.Title == "" || role.Deleted || !slices.Contains(role.Permissions, "pubsub.topics.publish") {
		t.Errorf("Role = %+v", role)
	}
	if _, err := c.Role(t.Context(), "roles/pubsub.nonsense"); !fault.Is(err, fault.NotFound) {
		t.Errorf("a role that is none: %v, want not found", err)
	}
	grantable, err := c.GrantableRoles(t.Context(), name(t, "projects/acme-agents/topics/reports"))
	if err != nil {
		t.Fatal(err)
	}
	if !grantable["roles/pubsub.publisher"] || grantable["roles/storage.objectViewer"] {
		t.Errorf("grantable on a topic: %v", grantable)
	}
}

func TestGrantableRolesReadsEveryPage(t *testing.T) {
	t.Parallel()
	pages := map[string]string{
		"":  `{"roles":[{"name":"roles/a"},{"name":"roles/b"}],"nextPageToken":"2"}`,
		"2": `{"nextPageToken":"3"}`,
		"3": `{"roles":[{"name":"roles/c"}]}`,
	}
	c := newTestClient(t, inMemory(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct{ PageToken string }
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		respond(w, 200, pages[body.PageToken])
	})))
	got, err := c.GrantableRoles(t.Context(), name(t, "gs://acme-reports"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]bool{"roles/a": true, "roles/b": true, "roles/c": true}, got); diff != "" {
		t.Errorf("roles (-want +got):\n%s", diff)
	}
}

func TestBucket(t *testing.T) {
	t.Parallel()
	_, c := company(t)
	if b, err := c.Bucket(t.Context(), name(t, "gs://acme-reports")); err != nil || !b.Uniform || b.Project == "" {
		t.Errorf("Bucket = %+v, %v", b, err)
	}
	if _, err := c.Bucket(t.Context(), name(t, "gs://acme-nothing")); !fault.Is(err, fault.NotFound, fault.Denied) {
		t.Errorf("a bucket that is none: %v", err)
	}
	if _, err := c.Bucket(t.Context(), name(t, "projects/acme-agents")); !fault.Is(err, fault.Invalid) {
		t.Errorf("a project: %v, want invalid", err)
	}
	old := newTestClient(t, inMemory(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		respond(w, 200, `{"projectNumber":"7","iamConfiguration":{"uniformBucketLevelAccess":{"enabled":false}}}`)
	})))
	b, err := old.Bucket(t.Context(), name(t, "gs://acme-reports"))
	if want := (grants.Bucket{Project: "7"}); err != nil || b != want {
		t.Errorf("a bucket with object ACLs = %+v, %v", b, err)
	}
}

func TestAncestors(t *testing.T) {
	t.Parallel()
	_, c := company(t)
	above, err := c.Ancestors(t.Context(), "acme-agents")
	if err != nil {
		t.Fatal(err)
	}
	if len(above) < 2 || above[0] != name(t, "projects/acme-agents") || above[len(above)-1].Type().Kind != "organization" {
		t.Errorf("above acme-agents are %v", above)
	}
	if _, err := c.Ancestors(t.Context(), "nobodys-project"); !fault.Is(err, fault.NotFound, fault.Denied) {
		t.Errorf("a project that is none: %v", err)
	}
}

func TestOperatorIsKnown(t *testing.T) {
	t.Parallel()
	_, c := company(t)
	if id, err := c.Whoami(t.Context()); err != nil || id.Member != olivia || id.Email != strings.TrimPrefix(olivia, "user:") {
		t.Errorf("Whoami = %v, %v", id, err)
	}
	if _, err := c.As(StaticToken(secret.New("garbage"))).Whoami(t.Context()); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("Whoami with garbage: %v, want unauthenticated", err)
	}
}

// TestStrangersAreRefused makes every call as an account that has no access at all,
// and as nobody.
func TestStrangersAreRefused(t *testing.T) {
	t.Parallel()
	s, c := company(t)
	newAccount(t, c)
	nobody, err := c.CreateAccount(t.Context(), hosting, "ti-nobody", "", "")
	if err != nil {
		t.Fatal(err)
	}
	token, err := c.As(noah).AccessToken(t.Context(), nobody.Email, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	stranger := c.As(StaticToken(token.Value))
	before := snapshot(t, s)
	// What everybody may ask: their own permissions, who they are, and what is public.
	// And custom roles, of which the emulator has none.
	public := []string{"test permissions on a project", "test permissions on a bucket", "predefined role", "grantable roles", "whoami",
		"project's role", "organization's role"}
	for _, v := range verbs(t) {
		if slices.Contains(public, v.name) {
			continue
		}
		want := fault.Denied
		if v.name == "key token" { // asks for no login: it is one, by a key that nobody knows
			want = fault.Unauthenticated
		}
		if err := v.do(t.Context(), stranger); !fault.Is(err, want) {
			t.Errorf("%s as a stranger: %v, want %v", v.name, err, want)
		}
		if err := v.do(t.Context(), c.As(StaticToken(secret.New("garbage")))); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("%s with garbage for a token: %v, want unauthenticated", v.name, err)
		}
	}
	if diff := cmp.Diff(before, snapshot(t, s)); diff != "" {
		t.Errorf("the state changed:\n%s", diff)
	}
}

// TestDefaultLoginAtProductionURLs logs in as a service account by application default
// credentials and works at production URLs, through the emulator's HTTPS proxy and
// with nothing that says emulator.
func TestDefaultLoginAtProductionURLs(t *testing.T) {
	dir := home(t)
	s := newEmulator(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	defer func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()

	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(s.CACertificate()) {
		t.Fatal("the emulator's CA is no certificate")
	}
	transport := &http.Transport{
		Proxy:             http.ProxyURL(&url.URL{Scheme: "http", Host: l.Addr().String()}),
		TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2: true,
	}
	defer transport.CloseIdleConnections()

	_, token := s.Operator()
	operator := newTestClient(t, transport, func(cfg *Config) { cfg.Credential = StaticToken(secret.New(token)) })
	robot, err := operator.CreateAccount(ctx, hosting, "ci-deployer", "", "")
	if err != nil {
		t.Fatal(err)
	}
	key, err := operator.UploadKey(ctx, hosting, robot.Email, certificate(t, time.Now().Add(time.Hour)))
	if err != nil {
		t.Fatal(err)
	}
	grant(t, operator, "projects/acme-agents", policy.Binding{Role: "roles/iam.serviceAccountAdmin", Member: robot.Member()})

	for where, place := range map[string]func(file string){
		"gcloud's file": func(file string) { wellKnown(t, dir, file) },
		"GOOGLE_APPLICATION_CREDENTIALS": func(file string) {
			path := filepath.Join(t.TempDir(), "key.json")
			if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
				t.Fatal(err)
			}
			t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", path)
		},
	} {
		t.Run(where, func(t *testing.T) {
			place(fileFor(t, robot, key.ID).Reveal())
			login, err := DefaultLogin(ctx, Config{Transport: transport})
			if err != nil {
				t.Fatal(err)
			}
			c := newTestClient(t, transport, func(cfg *Config) { cfg.Credential = login })
			if name, _ := c.Cloud(); name != "google" {
				t.Errorf("the cloud is %s, and nothing said that it is not Google's", name)
			}
			if id, err := c.Whoami(ctx); err != nil || id.Member != robot.Member() {
				t.Errorf("Whoami = %v, %v; want %s", id, err, robot.Member())
			}
			a, err := c.CreateAccount(ctx, hosting, "ti-report", "", "")
			if err != nil {
				t.Fatal(err)
			}
			if err := c.DeleteAccount(ctx, hosting, a.UniqueID); err != nil {
				t.Error(err)
			}
			if _, err := c.ReadPolicy(ctx, name(t, "projects/acme-agents/secrets/api-key")); !fault.Is(err, fault.Denied) {
				t.Errorf("reading a secret's policy: %v, want denied", err)
			}
		})
	}

	distrustful := &http.Transport{Proxy: transport.Proxy}
	defer distrustful.CloseIdleConnections()
	_, err = newTestClient(t, distrustful).Role(ctx, "roles/viewer")
	if !fault.Local(err) || !slices.ContainsFunc(fault.Hints(err), func(h string) bool { return strings.Contains(h, "SSL_CERT_FILE") }) {
		t.Errorf("without the emulator's CA: %v with hints %q", err, fault.Hints(err))
	}
}

// TestErrorsHoldNoSecret runs every call into an error that quotes what it was sent.
func TestErrorsHoldNoSecret(t *testing.T) {
	t.Parallel()
	const hush = "ya29.hush"
	rt := inMemory(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { respond(w, 401, "<html>") }))
	for _, rt := range []roundTripper{rt, func(*http.Request) (*http.Response, error) { return nil, bytes.ErrTooLarge }} {
		c := newTestClient(t, rt, func(cfg *Config) { cfg.Credential = StaticToken(secret.New(hush)) })
		c.retry.attempts = 1
		for _, v := range verbs(t) {
			err := v.do(t.Context(), c)
			if err == nil {
				t.Errorf("%s went well", v.name)
			} else if strings.Contains(err.Error(), hush) {
				t.Errorf("%s: %v", v.name, err)
			}
		}
	}
}
