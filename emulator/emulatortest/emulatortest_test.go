package emulatortest_test

import (
	"strings"
	"testing"

	credentials "cloud.google.com/go/iam/credentials/apiv1"
	"cloud.google.com/go/iam/credentials/apiv1/credentialspb"
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
