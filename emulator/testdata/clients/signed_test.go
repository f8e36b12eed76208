package clients_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	admin "cloud.google.com/go/iam/admin/apiv1"
	"cloud.google.com/go/iam/admin/apiv1/adminpb"
	credentials "cloud.google.com/go/iam/credentials/apiv1"
	"cloud.google.com/go/iam/credentials/apiv1/credentialspb"
	"cloud.google.com/go/storage"
)

// URLs that Google's client makes, signed by signBlob, are good for what they name, and for no other.
func TestSignedURL(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	way := ways["path"]
	accounts, err := admin.NewIamClient(ctx, way(operator)...)
	check(t, err)
	defer accounts.Close()
	a, err := accounts.CreateServiceAccount(ctx,
		&adminpb.CreateServiceAccountRequest{Name: "projects/acme-data", AccountId: "signer"})
	check(t, err)
	signer, err := credentials.NewIamCredentialsClient(ctx, way(noah)...)
	check(t, err)
	defer signer.Close()
	use := func(method, object, body string, style storage.URLStyle) (int, string) {
		t.Helper()
		address, err := storage.SignedURL("acme-files", object, &storage.SignedURLOptions{
			GoogleAccessID: a.GetEmail(), Scheme: storage.SigningSchemeV4, Method: method, Expires: time.Now().Add(time.Minute), Style: style,
			SignBytes: func(b []byte) ([]byte, error) {
				s, err := signer.SignBlob(ctx, &credentialspb.SignBlobRequest{Name: "projects/-/serviceAccounts/" + a.GetEmail(), Payload: b})
				return s.GetSignedBlob(), err
			},
		})
		check(t, err)
		r, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
		check(t, err)
		answer, err := http.DefaultClient.Do(r)
		check(t, err)
		defer answer.Body.Close()
		raw, err := io.ReadAll(answer.Body)
		check(t, err)
		return answer.StatusCode, string(raw)
	}
	for _, style := range []storage.URLStyle{storage.PathStyle(), storage.VirtualHostedStyle()} {
		if code, body := use("GET", "signed/a b+(1)~é.txt", "", style); code != 403 {
			t.Errorf("before anything was granted: %d %s", code, body)
		}
	}
	b := bucket(t, way(noah)...)
	client, err := storage.NewClient(ctx, ways["proxy"](operator)...)
	check(t, err)
	defer client.Close()
	policy, err := client.Bucket("acme-files").IAM().Policy(ctx)
	check(t, err)
	policy.Add("serviceAccount:"+a.GetEmail(), "roles/storage.objectUser")
	check(t, client.Bucket("acme-files").IAM().SetPolicy(ctx, policy))
	for name, style := range map[string]storage.URLStyle{"path": storage.PathStyle(), "host": storage.VirtualHostedStyle()} {
		object := "signed/" + name + " b+(1)~é.txt"
		if code, body := use("PUT", object, "content", style); code != 200 {
			t.Fatalf("writing: %d %s", code, body)
		}
		if code, body := use("GET", object, "", style); code != 200 || body != "content" {
			t.Errorf("reading: %d %s", code, body)
		}
		r, err := b.Object(object).NewReader(ctx)
		check(t, err)
		check(t, r.Close())
		if code, body := use("DELETE", object, "", style); code != 204 {
			t.Errorf("deleting: %d %s", code, body)
		}
	}
	check(t, accounts.DeleteServiceAccount(ctx, &adminpb.DeleteServiceAccountRequest{Name: a.GetName()}))
}
