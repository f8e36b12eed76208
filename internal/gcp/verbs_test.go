package gcp

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/secret"
)

const (
	agent    = "ti-report@acme-agents.iam.gserviceaccount.com"
	agentUID = "100000000000000000001"
)

// verb is one call of the package's, and the one request that it is on the wire.
type verb struct {
	name string
	do   func(context.Context, *Client) error
	want request
}

type request struct {
	Method, URL string
	Header      map[string]string // those that matter
	Body        any
}

func verbs(t *testing.T) []verb {
	t.Helper()
	project, bucket, dataset, account := name(t, "projects/acme-agents"), name(t, "gs://acme-reports"), name(t, "bq://acme-agents.sales"), name(t, "projects/acme-agents/serviceAccounts/"+agent)
	key := keyFile(t)
	return []verb{
		{"create account", func(ctx context.Context, c *Client) error {
			_, err := c.CreateAccount(ctx, "acme-agents", "ti-report", "shown", "mark")
			return err
		}, request{"POST", "https://iam.googleapis.com/v1/projects/acme-agents/serviceAccounts?alt=json&prettyPrint=false", nil,
			object{"accountId": "ti-report", "serviceAccount": object{"displayName": "shown", "description": "mark"}}}},
		{"account", func(ctx context.Context, c *Client) error {
			_, err := c.Account(ctx, "acme-agents", agentUID)
			return err
		},
			request{"GET", "https://iam.googleapis.com/v1/projects/acme-agents/serviceAccounts/" + agentUID + "?alt=json&prettyPrint=false", nil, nil}},
		{"disable account", func(ctx context.Context, c *Client) error { return c.DisableAccount(ctx, "acme-agents", agentUID) },
			request{"POST", "https://iam.googleapis.com/v1/projects/acme-agents/serviceAccounts/" + agentUID + ":disable?alt=json&prettyPrint=false", nil, object{}}},
		{"delete account", func(ctx context.Context, c *Client) error { return c.DeleteAccount(ctx, "acme-agents", agentUID) },
			request{"DELETE", "https://iam.googleapis.com/v1/projects/acme-agents/serviceAccounts/" + agentUID + "?alt=json&prettyPrint=false", nil, nil}},
		{"accounts", func(ctx context.Context, c *Client) error { _, err := c.Accounts(ctx, "acme-agents"); return err },
			request{"GET", "https://iam.googleapis.com/v1/projects/acme-agents/serviceAccounts?alt=json&pageSize=100&pageToken=&prettyPrint=false", nil, nil}},
		{"custom roles", func(ctx context.Context, c *Client) error { _, err := c.CustomRoles(ctx, "acme-agents"); return err },
			request{"GET", "https://iam.googleapis.com/v1/projects/acme-agents/roles?alt=json&pageSize=1000&pageToken=&prettyPrint=false&showDeleted=true&view=FULL", nil, nil}},
		{"create role", func(ctx context.Context, c *Client) error {
			_, err := c.CreateRole(ctx, grants.Role{Name: "projects/acme-agents/roles/r", Title: "t", Description: "d", Stage: "GA", Permissions: []string{"a.b.c"}})
			return err
		}, request{"POST", "https://iam.googleapis.com/v1/projects/acme-agents/roles?alt=json&prettyPrint=false", nil,
			object{"roleId": "r", "role": object{"title": "t", "description": "d", "stage": "GA", "includedPermissions": []any{"a.b.c"}}}}},
		{"undelete role", func(ctx context.Context, c *Client) error {
			_, err := c.UndeleteRole(ctx, "projects/acme-agents/roles/r", "BwXh")
			return err
		}, request{"POST", "https://iam.googleapis.com/v1/projects/acme-agents/roles/r:undelete?alt=json&prettyPrint=false", nil, object{"etag": "BwXh"}}},
		{"delete role", func(ctx context.Context, c *Client) error {
			return c.DeleteRole(ctx, "projects/acme-agents/roles/r", "BwXh")
		}, request{"DELETE", "https://iam.googleapis.com/v1/projects/acme-agents/roles/r?alt=json&etag=BwXh&prettyPrint=false", nil, nil}},
		{"search policies", func(ctx context.Context, c *Client) error {
			_, err := c.SearchPolicies(ctx, name(t, "organizations/1"), agent)
			return err
		}, request{"GET", "https://cloudasset.googleapis.com/v1/organizations/1:searchAllIamPolicies?pageSize=500&query=policy%3A%22ti-report%40acme-agents.iam.gserviceaccount.com%22", nil, nil}},
		{"upload key", func(ctx context.Context, c *Client) error {
			_, err := c.UploadKey(ctx, "acme-agents", agent, []byte("PEM"))
			return err
		}, request{"POST", "https://iam.googleapis.com/v1/projects/acme-agents/serviceAccounts/" + agent + "/keys:upload?alt=json&prettyPrint=false", nil,
			object{"publicKeyData": "UEVN"}}},
		{"keys", func(ctx context.Context, c *Client) error { _, err := c.Keys(ctx, "acme-agents", agent); return err },
			request{"GET", "https://iam.googleapis.com/v1/projects/acme-agents/serviceAccounts/" + agent + "/keys?alt=json&keyTypes=USER_MANAGED&prettyPrint=false", nil, nil}},
		{"delete key", func(ctx context.Context, c *Client) error { return c.DeleteKey(ctx, "acme-agents", agent, "k") },
			request{"DELETE", "https://iam.googleapis.com/v1/projects/acme-agents/serviceAccounts/" + agent + "/keys/k?alt=json&prettyPrint=false", nil, nil}},
		{"access token", func(ctx context.Context, c *Client) error {
			_, err := c.AccessToken(ctx, agent, 10*time.Minute+time.Millisecond)
			return err
		}, request{"POST", "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/" + agent + ":generateAccessToken?%24alt=json%3Benum-encoding%3Dint", nil,
			object{"name": "projects/-/serviceAccounts/" + agent, "scope": []any{scopeCloudPlatform}, "lifetime": "600s"}}},
		{"scoped access token", func(ctx context.Context, c *Client) error {
			_, err := c.ScopedAccessToken(ctx, agent, time.Minute, []string{"openid", "b"})
			return err
		}, request{"POST", "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/" + agent + ":generateAccessToken?%24alt=json%3Benum-encoding%3Dint", nil,
			object{"name": "projects/-/serviceAccounts/" + agent, "scope": []any{"openid", "b"}, "lifetime": "60s"}}},
		{"identity token", func(ctx context.Context, c *Client) error {
			_, err := c.IDToken(ctx, agent, "https://reports.example")
			return err
		}, request{"POST", "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/" + agent + ":generateIdToken?%24alt=json%3Benum-encoding%3Dint", nil,
			object{"name": "projects/-/serviceAccounts/" + agent, "audience": "https://reports.example", "includeEmail": true}}},
		{"read policy of a project", func(ctx context.Context, c *Client) error { _, err := c.ReadPolicy(ctx, project); return err },
			request{"POST", "https://cloudresourcemanager.googleapis.com/v3/projects/acme-agents:getIamPolicy", nil, object{"options": object{"requestedPolicyVersion": 3.0}}}},
		{"read policy of an account", func(ctx context.Context, c *Client) error { _, err := c.ReadPolicy(ctx, account); return err },
			request{"POST", "https://iam.googleapis.com/v1/projects/acme-agents/serviceAccounts/" + agent + ":getIamPolicy?options.requestedPolicyVersion=3", nil, nil}},
		{"read policy of a bucket", func(ctx context.Context, c *Client) error { _, err := c.ReadPolicy(ctx, bucket); return err },
			request{"GET", "https://storage.googleapis.com/storage/v1/b/acme-reports/iam?optionsRequestedPolicyVersion=3", nil, nil}},
		{"read policy of a dataset", func(ctx context.Context, c *Client) error { _, err := c.ReadPolicy(ctx, dataset); return err },
			request{"GET", "https://bigquery.googleapis.com/bigquery/v2/projects/acme-agents/datasets/sales?accessPolicyVersion=3", nil, nil}},
		{"write policy of a project", write(t, project, `{"etag":"BwY=","future":1}`),
			request{"POST", "https://cloudresourcemanager.googleapis.com/v3/projects/acme-agents:setIamPolicy", nil, object{"policy": object{"etag": "BwY=", "future": 1.0}}}},
		{"write policy of a bucket", write(t, bucket, `{"kind":"storage#policy","etag":"CAI="}`),
			request{"PUT", "https://storage.googleapis.com/storage/v1/b/acme-reports/iam", nil, object{"kind": "storage#policy", "etag": "CAI="}}},
		{"write policy of a dataset", write(t, dataset, `{"etag":"e==","access":[{"role":"OWNER","specialGroup":"projectOwners"}],"labels":{"a":"b"}}`),
			request{"PATCH", "https://bigquery.googleapis.com/bigquery/v2/projects/acme-agents/datasets/sales?accessPolicyVersion=3&updateMode=UPDATE_ACL",
				map[string]string{"If-Match": "e=="}, object{"access": []any{object{"role": "OWNER", "specialGroup": "projectOwners"}}}}},
		{"test permissions on a project", func(ctx context.Context, c *Client) error {
			_, err := c.TestPermissions(ctx, project, []string{"a.b.c", "d.e.f"})
			return err
		}, request{"POST", "https://cloudresourcemanager.googleapis.com/v3/projects/acme-agents:testIamPermissions", nil, object{"permissions": []any{"a.b.c", "d.e.f"}}}},
		{"test permissions on a bucket", func(ctx context.Context, c *Client) error {
			_, err := c.TestPermissions(ctx, bucket, []string{"a.b.c", "d.e.f"})
			return err
		}, request{"GET", "https://storage.googleapis.com/storage/v1/b/acme-reports/iam/testPermissions?permissions=a.b.c&permissions=d.e.f", nil, nil}},
		{"predefined role", func(ctx context.Context, c *Client) error { _, err := c.Role(ctx, "roles/viewer"); return err },
			request{"GET", "https://iam.googleapis.com/v1/roles/viewer?alt=json&prettyPrint=false", nil, nil}},
		{"project's role", func(ctx context.Context, c *Client) error {
			_, err := c.Role(ctx, "projects/acme-agents/roles/r")
			return err
		},
			request{"GET", "https://iam.googleapis.com/v1/projects/acme-agents/roles/r?alt=json&prettyPrint=false", nil, nil}},
		{"organization's role", func(ctx context.Context, c *Client) error {
			_, err := c.Role(ctx, "organizations/1/roles/r")
			return err
		}, request{"GET", "https://iam.googleapis.com/v1/organizations/1/roles/r?alt=json&prettyPrint=false", nil, nil}},
		{"set description", func(ctx context.Context, c *Client) error {
			return c.SetDescription(ctx, "acme-agents", agentUID, "mark")
		}, request{"PATCH", "https://iam.googleapis.com/v1/projects/acme-agents/serviceAccounts/" + agentUID + "?alt=json&prettyPrint=false", nil,
			object{"serviceAccount": object{"description": "mark"}, "updateMask": "description"}}},
		{"grantable roles", func(ctx context.Context, c *Client) error { _, err := c.GrantableRoles(ctx, bucket); return err },
			request{"POST", "https://iam.googleapis.com/v1/roles:queryGrantableRoles?alt=json&prettyPrint=false", nil,
				object{"fullResourceName": "//storage.googleapis.com/projects/_/buckets/acme-reports", "pageSize": 3000.0, "view": "BASIC"}}},
		{"bucket", func(ctx context.Context, c *Client) error { _, err := c.Bucket(ctx, bucket); return err },
			request{"GET", "https://storage.googleapis.com/storage/v1/b/acme-reports?fields=iamConfiguration%2CprojectNumber", nil, nil}},
		{"ancestors", func(ctx context.Context, c *Client) error { _, err := c.Ancestors(ctx, "acme-agents"); return err },
			request{"POST", "https://cloudresourcemanager.googleapis.com/v1/projects/acme-agents:getAncestry", nil, object{}}},
		{"enabled services", func(ctx context.Context, c *Client) error {
			_, err := c.EnabledServices(ctx, "acme-agents", []string{"iam.googleapis.com", "pubsub.googleapis.com"})
			return err
		}, request{"GET", "https://serviceusage.googleapis.com/v1/projects/acme-agents/services:batchGet?names=projects%2Facme-agents%2Fservices%2Fiam.googleapis.com&names=projects%2Facme-agents%2Fservices%2Fpubsub.googleapis.com", nil, nil}},
		{"constraint", func(ctx context.Context, c *Client) error {
			_, err := c.Constraint(ctx, "acme-agents", "iam.disableServiceAccountKeyUpload")
			return err
		}, request{"GET", "https://orgpolicy.googleapis.com/v2/projects/acme-agents/policies/iam.disableServiceAccountKeyUpload:getEffectivePolicy", nil, nil}},
		{"whoami", func(ctx context.Context, c *Client) error { _, err := c.Whoami(ctx); return err },
			request{"POST", tokenInfoURL, nil, "access_token=operator"}},
		{"key token", func(ctx context.Context, c *Client) error { _, err := c.KeyToken(ctx, key); return err },
			request{"POST", "https://oauth2.googleapis.com/token", nil, anything{}}},
	}
}

type (
	object   = map[string]any
	anything struct{}
)

func write(t *testing.T, on resource.Name, document string) func(context.Context, *Client) error {
	t.Helper()
	doc, err := policy.Decode(on.Type().API.Dialect, []byte(document))
	if err != nil {
		t.Fatal(err)
	}
	return func(ctx context.Context, c *Client) error { _, err := c.WritePolicy(ctx, on, doc); return err }
}

func name(t *testing.T, s string) resource.Name {
	t.Helper()
	n, _, err := resource.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// One key serves all tests: making one takes long under the race detector.
var testKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// keyFile returns a service account's key file, as it is delivered.
func keyFile(t *testing.T) secret.String {
	t.Helper()
	k, err := testKey()
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	file, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "acme-agents", "private_key_id": "kid", "client_email": agent, "client_id": agentUID,
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"token_uri":   "https://oauth2.googleapis.com/token", "universe_domain": "googleapis.com",
	})
	if err != nil {
		t.Fatal(err)
	}
	return secret.New(string(file))
}

func TestVerbsOnTheWire(t *testing.T) {
	t.Parallel()
	for _, v := range verbs(t) {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			var got []request
			c := newTestClient(t, roundTripper(func(req *http.Request) (*http.Response, error) {
				r := request{Method: req.Method, URL: req.URL.String()}
				for k := range v.want.Header {
					if r.Header == nil {
						r.Header = map[string]string{}
					}
					r.Header[k] = req.Header.Get(k)
				}
				if req.Body != nil {
					data, err := io.ReadAll(req.Body)
					if err != nil {
						return nil, err
					}
					if len(data) > 0 && json.Unmarshal(data, &r.Body) != nil {
						r.Body = string(data)
					}
				}
				if v.want.Body == (anything{}) {
					r.Body = anything{}
				}
				got = append(got, r)
				return inMemory(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { respond(w, 404, "{}") }))(req)
			}))
			if err := v.do(t.Context(), c); !fault.Is(err, fault.NotFound) {
				t.Errorf("error %v, want not found", err)
			}
			if diff := cmp.Diff([]request{v.want}, got); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

// TestOneLoop proves that no verb is tried again by anything but the retry loop, and
// every one by it.
func TestOneLoop(t *testing.T) {
	for _, v := range verbs(t) {
		t.Run(v.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, at := failing(99, 503, unavailable, nil)
				err := v.do(t.Context(), newTestClient(t, inMemory(h)))
				if !fault.Is(err, fault.Unavailable) {
					t.Errorf("error %v, want unavailable", err)
				}
				if diff := cmp.Diff(seconds(0, 1, 3, 7, 15, 31, 63, 95), *at); diff != "" {
					t.Errorf("requests (-want +got):\n%s", diff)
				}
			})
		})
	}
}
