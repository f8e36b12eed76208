package emulator

import (
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/api/option"
	"google.golang.org/api/secretmanager/v1"

	"github.com/taskiam/taskiam/emulator/internal/iam"
)

const secretsURL = "secretmanager.googleapis.com/v1/projects/acme/secrets"

func TestSecretPermissions(t *testing.T) {
	t.Parallel()
	const secret = secretsURL + "/api-key"
	tests := []struct {
		role, what, body string
		code             int // with the role; without it is always 403
	}{
		{"roles/secretmanager.secretAccessor", "GET " + secret + "/versions/latest:access", "", 200},
		{"roles/secretmanager.secretAccessor", "GET " + secret + "/versions/1:access", "", 200},
		{"roles/secretmanager.secretAccessor", "GET " + secret + "/versions/9:access", "", 404},
		{"roles/secretmanager.secretAccessor", "GET " + secret, "", 403},
		{"roles/secretmanager.secretAccessor", "GET " + secretsURL + "/empty/versions/latest:access", "", 403},
		{"roles/secretmanager.secretAccessor", "POST " + secret + ":addVersion", `{"payload":{"data":"eA=="}}`, 403},
		{"roles/secretmanager.viewer", "GET " + secret, "", 200},
		{"roles/secretmanager.viewer", "GET " + secret + "/versions", "", 200},
		{"roles/secretmanager.viewer", "GET " + secret + "/versions/1", "", 200},
		{"roles/secretmanager.viewer", "GET " + secret + "/versions/1:access", "", 403},
		{"roles/secretmanager.secretVersionAdder", "POST " + secret + ":addVersion", `{"payload":{"data":"eA=="}}`, 200},
		{"roles/secretmanager.secretVersionAdder", "POST " + secret + "/versions/1:destroy", `{}`, 403},
		{"roles/secretmanager.secretVersionManager", "POST " + secret + "/versions/1:disable", `{}`, 200},
		{"roles/secretmanager.secretVersionManager", "POST " + secret + "/versions/1:enable", `{}`, 200},
		{"roles/secretmanager.secretVersionManager", "POST " + secret + "/versions/1:destroy", `{}`, 200},
		{"roles/secretmanager.secretVersionManager", "DELETE " + secret, "", 403},
		{"roles/secretmanager.admin", "DELETE " + secret, "", 200},
		{"roles/secretmanager.admin", "GET " + secret + ":getIamPolicy", "", 200},
		// What is granted on a secret does not reach to the project.
		{"roles/secretmanager.admin", "GET " + secretsURL, "", 403},
		{"roles/secretmanager.admin", "POST " + secretsURL + "?secretId=x", `{"replication":{"automatic":{}}}`, 403},
		{"roles/secretmanager.admin", "GET " + secretsURL + "/missing", "", 403},
	}
	for _, test := range tests {
		t.Run(test.role+" "+test.what, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t)
			c.want(403, nil, "agent", test.what, test.body)
			if got := c.bind(secret, iam.Binding{Role: test.role, Members: []string{agentMember}}); got.code != 200 {
				t.Fatalf("binding: %d %s", got.code, got.body)
			}
			c.want(test.code, nil, "agent", test.what, test.body)
			c.want(403, nil, "other", test.what, test.body)
		})
	}
}

func TestSecretConditions(t *testing.T) {
	t.Parallel()
	const secret = secretsURL + "/api-key"
	tests := []struct {
		name, expression string
		code             map[string]int // by version
	}{
		{"time", `request.time < timestamp("2026-03-03T12:00:00Z")`, map[string]int{"1": 200, "latest": 200}},
		{"past", `request.time < timestamp("2026-03-03T11:00:00Z")`, map[string]int{"1": 403}},
		{"number", `resource.name.startsWith("projects/4711/secrets/api-key")`, map[string]int{"1": 200}},
		{"id", `resource.name.startsWith("projects/acme/secrets/api-key")`, map[string]int{"1": 403}},
		{"version", `resource.name.endsWith("/versions/2")`, map[string]int{"1": 403, "2": 200, "latest": 403}},
		{"alias", `resource.name.endsWith("/versions/latest")`, map[string]int{"2": 403, "latest": 200}},
		{"type", `resource.type == "secretmanager.googleapis.com/SecretVersion"`, map[string]int{"1": 200}},
		{"other type", `resource.type == "secretmanager.googleapis.com/Secret"`, map[string]int{"1": 403}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t)
			got := c.bind(secret, iam.Binding{Role: "roles/secretmanager.secretAccessor", Members: []string{agentMember},
				Condition: &iam.Condition{Title: test.name, Expression: test.expression}})
			if got.code != 200 {
				t.Fatalf("binding: %d %s", got.code, got.body)
			}
			for version, code := range test.code {
				c.want(code, nil, "agent", "GET "+secret+"/versions/"+version+":access", "")
			}
			c.Advance(time.Hour)
			if test.name == "time" {
				c.want(403, nil, "agent", "GET "+secret+"/versions/1:access", "")
			}
		})
	}

	c := newCloud(t)
	first := c.want(200, nil, "operator", "GET "+secret+":getIamPolicy", "")
	c.bind(secret, iam.Binding{Role: "roles/secretmanager.secretAccessor", Members: []string{agentMember}, Condition: &iam.Condition{Title: "t", Expression: "true"}})
	if got := c.want(200, nil, "operator", "GET "+secret+":getIamPolicy", ""); !strings.Contains(string(got.body), "roles/secretmanager.secretAccessor_withcond_") {
		t.Errorf("a conditional policy read as version 1: %s", got.body)
	}
	c.want(409, nil, "operator", "POST "+secret+":setIamPolicy", `{"policy":{"version":3,"etag":`+first.field("etag")+`}}`)
}

// What latest is called in conditions can be taken the other way.
func TestSecretAliasResolved(t *testing.T) {
	t.Parallel()
	const secret = secretsURL + "/api-key"
	c := newCloud(t, withDoubts(iam.Doubts{AliasResolved: true}))
	c.bind(secret, iam.Binding{Role: "roles/secretmanager.secretAccessor", Members: []string{agentMember},
		Condition: &iam.Condition{Title: "not the second", Expression: `!resource.name.endsWith("/versions/2")`}})
	c.want(200, nil, "agent", "GET "+secret+"/versions/1:access", "")
	c.want(403, nil, "agent", "GET "+secret+"/versions/latest:access", "")
}

func TestSecretVersions(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	const secret = secretsURL + "/api-key"
	access := func(version string, code int) reply {
		t.Helper()
		return c.want(code, nil, "operator", "GET "+secret+"/versions/"+version+":access", "")
	}
	got := access("latest", 200)
	sum := crc32.Checksum([]byte("two"), crc32.MakeTable(crc32.Castagnoli))
	want := fmt.Sprintf(`{"name":"projects/4711/secrets/api-key/versions/2","payload":{"data":"dHdv","dataCrc32c":"%d"}}`, sum)
	if string(got.body) != want {
		t.Errorf("access answers %s, want %s", got.body, want)
	}

	// latest is the newest version, usable or not.
	c.want(200, nil, "operator", "POST "+secret+"/versions/2:disable", "{}")
	if got := access("latest", 400); got.field("error", "status") != `"FAILED_PRECONDITION"` {
		t.Errorf("accessing a disabled version: %s", got.body)
	}
	access("1", 200)
	c.want(200, nil, "operator", "POST "+secret+"/versions/2:enable", "{}")
	access("2", 200)
	destroyed := c.want(200, nil, "operator", "POST "+secret+"/versions/2:destroy", "{}")
	if destroyed.field("state") != `"DESTROYED"` || destroyed.field("destroyTime") == "" {
		t.Errorf("destroying answers %s", destroyed.body)
	}
	access("2", 400)
	c.want(400, nil, "operator", "POST "+secret+"/versions/2:enable", "{}")

	add := "POST " + secret + ":addVersion"
	c.want(400, nil, "operator", add, `{"payload":{"data":"eA==","dataCrc32c":"1"}}`)
	c.want(400, nil, "operator", add, `{"payload":{"data":""}}`)
	c.want(400, nil, "operator", add, `{"payload":{"data":"`+base64.StdEncoding.EncodeToString(make([]byte, 64<<10+1))+`"}}`)
	c.want(404, nil, "operator", "GET "+secretsURL+"/empty/versions/latest:access", "")
	c.want(409, nil, "operator", "POST "+secretsURL+"?secretId=empty", `{"replication":{"automatic":{}}}`)
	c.want(400, nil, "operator", "POST "+secretsURL+"?secretId=fresh", `{}`)
	c.want(400, nil, "operator", "POST "+secretsURL+"?secretId=no/slash", `{"replication":{"automatic":{}}}`)
	c.want(501, nil, "operator", "POST "+secretsURL+"?secretId=fresh", `{"replication":{"automatic":{}},"ttl":"3600s"}`)
}

// TestSecretClient drives the emulator with Google's own REST client.
func TestSecretClient(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	service, err := secretmanager.NewService(t.Context(), option.WithHTTPClient(c.bearer("operator")))
	if err != nil {
		t.Fatal(err)
	}
	secrets := service.Projects.Secrets
	made, err := secrets.Create("projects/4711", &secretmanager.Secret{
		Replication: &secretmanager.Replication{Automatic: &secretmanager.Automatic{}}, Labels: map[string]string{"a": "b"},
	}).SecretId("fresh").Do()
	if err != nil || made.Name != "projects/4711/secrets/fresh" {
		t.Fatalf("creating: %+v, %v", made, err)
	}
	data := base64.StdEncoding.EncodeToString([]byte("value"))
	sum := int64(crc32.Checksum([]byte("value"), crc32.MakeTable(crc32.Castagnoli)))
	for range 3 {
		if _, err := secrets.AddVersion(made.Name, &secretmanager.AddSecretVersionRequest{
			Payload: &secretmanager.SecretPayload{Data: data, DataCrc32c: sum},
		}).Do(); err != nil {
			t.Fatalf("adding a version: %v", err)
		}
	}
	got, err := secrets.Versions.Access(made.Name + "/versions/latest").Do()
	if err != nil || got.Name != made.Name+"/versions/3" || got.Payload.Data != data || got.Payload.DataCrc32c != sum {
		t.Errorf("access: %+v, %v", got, err)
	}
	var names []string
	err = secrets.Versions.List(made.Name).PageSize(2).Pages(t.Context(), func(page *secretmanager.ListSecretVersionsResponse) error {
		for _, v := range page.Versions {
			names = append(names, v.Name[len(made.Name):])
		}
		return nil
	})
	if err != nil || fmt.Sprint(names) != "[/versions/3 /versions/2 /versions/1]" {
		t.Errorf("versions: %v, %v", names, err)
	}
	list, err := secrets.List("projects/acme").Do()
	if err != nil || list.TotalSize != 3 {
		t.Errorf("secrets: %+v, %v", list, err)
	}
	if _, err := secrets.Delete(made.Name).Etag(`"stale"`).Do(); !isCode(err, http.StatusBadRequest) {
		t.Errorf("deleting with a stale etag: %v, want 400", err)
	}
	if _, err := secrets.Delete(made.Name).Etag(made.Etag).Do(); err != nil {
		t.Errorf("deleting: %v", err)
	}
}
