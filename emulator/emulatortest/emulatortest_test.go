package emulatortest_test

import (
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	credentials "cloud.google.com/go/iam/credentials/apiv1"
	"cloud.google.com/go/iam/credentials/apiv1/credentialspb"
	"golang.org/x/oauth2"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"
	"google.golang.org/api/storage/v1"

	"github.com/taskiam/taskiam/emulator"
	"github.com/taskiam/taskiam/emulator/emulatortest"
)

const company = `
[operator]
member = "user:admin@shop.example"

[[project]]
id     = "shop"
number = "1"

[[service_account]]
project = "shop"
id      = "reporter"
token   = "the-reporter"

[[bucket]]
project = "shop"
name    = "reports"

[[bucket.binding]]
role    = "roles/storage.objectViewer"
members = ["serviceAccount:reporter@shop.iam.gserviceaccount.com"]
`

// What a test of somebody's IAM looks like: the code under test gets a client of Google's,
// with the access that the company gives to its service account.
func TestTheReporterOnlyReads(t *testing.T) {
	srv := emulatortest.Start(t, emulator.Config{Seed: []byte(company)})
	service, err := storage.NewService(t.Context(), srv.ClientOptions("the-reporter")...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := service.Objects.List("reports").Do(); err != nil {
		t.Errorf("the reporter cannot read: %v", err)
	}
	if err := service.Objects.Delete("reports", "january.csv").Do(); err == nil {
		t.Error("the reporter can delete")
	}
}

// A program that has the emulator beside Google's generated clients starts: no protocol
// buffer is registered twice.
func TestBesideGeneratedClients(t *testing.T) {
	srv := emulatortest.Start(t, emulator.Config{})
	_, token := srv.Operator()
	client, err := credentials.NewIamCredentialsRESTClient(t.Context(), srv.ClientOptions(token)...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	_, err = client.GenerateAccessToken(t.Context(), &credentialspb.GenerateAccessTokenRequest{
		Name:  "projects/-/serviceAccounts/none@acme-data.iam.gserviceaccount.com",
		Scope: []string{"https://www.googleapis.com/auth/cloud-platform"},
	})
	if err == nil || !strings.Contains(err.Error(), "getAccessToken") {
		t.Errorf("the error is %v, want that of IAM", err)
	}
}

// The lines of this test, and of the next one's body, are in docs/emulator.md.
func TestWithoutAPort(t *testing.T) {
	srv := emulatortest.Start(t, emulator.Config{})
	service, err := storage.NewService(t.Context(), srv.ClientOptions("ya29.emulator-mara")...)
	if err != nil {
		t.Fatal(err)
	}
	if err := service.Objects.Delete("acme-reports", "2026/01.csv").Do(); err == nil {
		t.Error("Mara may delete")
	}
}

// Code that makes its own clients reaches the emulator by the proxy in its environment, which Go reads once: so it is
// a process of its own.
func TestAtProductionURLs(t *testing.T) {
	const inside = "TASKIAM_TEST_BEHIND_PROXY"
	if os.Getenv(inside) != "" {
		mara := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "ya29.emulator-mara"})
		client, err := storage.NewService(t.Context(), option.WithTokenSource(mara))
		if err != nil {
			t.Fatal(err)
		}
		err = client.Objects.Delete("acme-reports", "2026/01.csv").Context(t.Context()).Do()
		if e, ok := errors.AsType[*googleapi.Error](err); !ok || e.Code != http.StatusForbidden {
			t.Errorf("Mara may delete: %v", err)
		}
		return
	}
	dir := t.TempDir()
	srv := emulatortest.Start(t, emulator.Config{Dir: dir})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(t.Context(), l) // its error is that of the test below
	cmd := exec.Command(os.Args[0], "-test.run=^TestAtProductionURLs$")
	cmd.Env = append(emulator.ProxyEnv(l.Addr().String(), filepath.Join(dir, "ca.pem")), inside+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
