package emulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/api/apikeys/v2"
	"google.golang.org/api/option"

	"github.com/taskiam/taskiam/emulator/internal/iam"
)

const keysURL = "https://apikeys.googleapis.com/v2/projects/acme/locations/global/keys"

// granted is the company of the services, in which the agent has a role on the project.
func granted(t *testing.T, role string) cloud {
	t.Helper()
	binding := fmt.Sprintf("[[project.binding]]\nrole = %q\nmembers = [%q]\n\n[[service_account]]", role, agentMember)
	return cloud{newLab(t, func(c *Config) {
		c.Seed = []byte(strings.Replace(servicesSeed, "[[service_account]]", binding, 1))
	})}
}

// apiKey makes an API key as the operator, and returns its string and the operation.
func (c cloud) apiKey(id, body string) (text, operation string) {
	c.t.Helper()
	var op struct {
		Name     string
		Response struct{ KeyString string }
	}
	if err := json.Unmarshal([]byte(c.must("operator", "POST", keysURL+"?keyId="+id, body).raw), &op); err != nil {
		c.t.Fatal(err)
	}
	return op.Response.KeyString, op.Name
}

func TestAPIKeyPermissions(t *testing.T) {
	t.Parallel()
	const admin, viewer = "roles/serviceusage.apiKeysAdmin", "roles/serviceusage.apiKeysViewer"
	const lookup = "https://apikeys.googleapis.com/v2/keys:lookupKey?keyString="
	tests := []struct {
		role, what, body string
		code             int // with the role; without it is always 403
	}{
		{admin, "POST " + keysURL, `{}`, 200},
		{admin, "POST " + keysURL + "?keyId=Not_OK", `{}`, 400},
		{admin, "POST " + keysURL + "?keyId=one", `{}`, 409},
		{admin, "POST " + keysURL, `{"serviceAccountEmail":"` + agentEmail + `"}`, 501},
		{admin, "POST " + keysURL, `{"restrictions":{"serverKeyRestrictions":{"allowedIps":["192.0.2.1"]}}}`, 501},
		{admin, "POST " + strings.Replace(keysURL, "global", "europe-west1", 1), `{}`, 400},
		{admin, "PATCH " + keysURL + "/one?updateMask=displayName", `{"displayName":"renamed"}`, 200},
		{admin, "PATCH " + keysURL + "/one?updateMask=uid", `{}`, 400},
		{admin, "DELETE " + keysURL + "/one", "", 200},
		{admin, "DELETE " + keysURL + "/one?etag=old", "", 409},
		{admin, "DELETE " + keysURL + "/gone", "", 400},
		{admin, "POST " + keysURL + "/gone:undelete", `{}`, 200},
		{admin, "POST " + keysURL + "/one:undelete", `{}`, 400},
		{viewer, "GET " + keysURL, "", 200},
		{viewer, "GET " + keysURL + "/one", "", 200},
		{viewer, "GET " + keysURL + "/gone", "", 200},
		{viewer, "GET " + keysURL + "/missing", "", 404},
		{viewer, "GET " + keysURL + "/one/keyString", "", 200},
		{viewer, "GET https://apikeys.googleapis.com/v2/OPERATION", "", 403},
		{admin, "GET https://apikeys.googleapis.com/v2/OPERATION", "", 200},
		{viewer, "GET " + lookup + "STRING", "", 200},
		{admin, "GET " + lookup + "STRING", "", 200},
		{admin, "GET " + lookup + "AIzaNone", "", 403},
		{viewer, "POST " + keysURL, `{}`, 403},
		{viewer, "PATCH " + keysURL + "/one?updateMask=displayName", `{"displayName":"renamed"}`, 403},
		{viewer, "DELETE " + keysURL + "/one", "", 403},
		{viewer, "POST " + keysURL + "/gone:undelete", `{}`, 403},
	}
	for _, test := range tests {
		t.Run(test.role+" "+test.what, func(t *testing.T) {
			t.Parallel()
			c := granted(t, test.role)
			text, operation := c.apiKey("one", `{}`)
			c.apiKey("gone", `{}`)
			c.must("operator", "DELETE", keysURL+"/gone", "")
			verb, url, _ := strings.Cut(strings.NewReplacer("STRING", text, "OPERATION", operation).Replace(test.what), " ")
			if got := c.do("other", verb, url, test.body); got.code != 403 || strings.Contains(got.raw, text) {
				t.Errorf("without the role: %d %s", got.code, got.raw)
			}
			if got := c.do("agent", verb, url, test.body); got.code != test.code {
				t.Errorf("with it: %d %s, want %d", got.code, got.raw, test.code)
			}
		})
	}
}

// A key's string is in the operation that made it, and in the answer of getKeyString, and nowhere else.
func TestAPIKeyString(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	api, err := apikeys.NewService(t.Context(), option.WithHTTPClient(c.bearer("operator")))
	if err != nil {
		t.Fatal(err)
	}
	keys := api.Projects.Locations.Keys
	op, err := keys.Create("projects/acme/locations/global", &apikeys.V2Key{DisplayName: "nightly"}).Do()
	if err != nil {
		t.Fatal(err)
	}
	var made struct {
		apikeys.V2Key
		Type string `json:"@type"`
	}
	if err := json.Unmarshal(op.Response, &made); err != nil {
		t.Fatal(err)
	}
	if !op.Done || made.Type != "type.googleapis.com/google.api.apikeys.v2.Key" || made.DisplayName != "nightly" ||
		made.Name != "projects/4711/locations/global/keys/"+made.Uid || !regexp.MustCompile(`^AIza[\w-]{35}$`).MatchString(made.KeyString) {
		t.Fatalf("the operation is %v %s", op.Done, op.Response)
	}
	if got, err := keys.GetKeyString(made.Name).Do(); err != nil || got.KeyString != made.KeyString {
		t.Errorf("the string is %v, %v", got, err)
	}
	if got, err := api.Keys.LookupKey().KeyString(made.KeyString).Do(); err != nil || got.Name != made.Name || got.Parent != "projects/4711/locations/global" {
		t.Errorf("looked up, the key is %v, %v", got, err)
	}
	patched, err := keys.Patch(made.Name, &apikeys.V2Key{DisplayName: "weekly"}).Do()
	if err != nil || !strings.Contains(string(patched.Response), `"weekly"`) || strings.Contains(string(patched.Response), made.KeyString) {
		t.Fatalf("patched, the key is %v, %v", patched, err)
	}
	if got, err := api.Operations.Get(op.Name).Do(); err != nil || !strings.Contains(string(got.Response), made.KeyString) {
		t.Errorf("the operation that made the key is %v, %v", got, err)
	}
	const at = "https://apikeys.googleapis.com/v2/"
	for _, url := range []string{keysURL, at + made.Name, at + patched.Name} {
		if got := c.must("operator", "GET", url, ""); strings.Contains(got.raw, made.KeyString) || !strings.Contains(got.raw, made.Uid) {
			t.Errorf("%s shows %s", url, got.raw)
		}
	}
	for _, name := range []string{op.Name, patched.Name, "operations/akmf.p7-4711-none"} {
		if got := c.do("other", "GET", at+name, ""); got.code != 403 {
			t.Errorf("somebody else's operation is %d %s", got.code, got.raw)
		}
	}
	if strings.Contains(c.snapshot()+c.log.String(), made.KeyString) {
		t.Error("a snapshot or the request log has the string of a key")
	}

	// Deleted, it can come back for 30 days; afterwards, its string still says whose it was.
	if _, err := keys.Delete(made.Name).Do(); err != nil {
		t.Fatal(err)
	}
	for query, listed := range map[string]bool{"": false, "?showDeleted=true": true} {
		if got := c.must("operator", "GET", keysURL+query, ""); strings.Contains(got.raw, made.Uid) != listed {
			t.Errorf("after the deletion, the keys%s are %s", query, got.raw)
		}
	}
	c.Advance(30*24*time.Hour - time.Second)
	if _, err := keys.Undelete(made.Name, &apikeys.V2UndeleteKeyRequest{}).Do(); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Delete(made.Name).Do(); err != nil {
		t.Fatal(err)
	}
	c.Advance(30 * 24 * time.Hour)
	if got := c.do("operator", "POST", at+made.Name+":undelete", "{}"); got.code != 404 {
		t.Errorf("after 30 days a key comes back: %d %s", got.code, got.raw)
	}
	if got, err := api.Keys.LookupKey().KeyString(made.KeyString).Do(); err != nil || got.Name != "" || got.Parent == "" {
		t.Errorf("looked up after 30 days, the key is %v, %v", got, err)
	}
}

// A key says which project a call is of and not who makes it: IAM has nobody to decide about.
func TestAPIKeyOpensNothing(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	good, _ := c.apiKey("good", `{}`)
	gone, _ := c.apiKey("gone", `{}`)
	c.must("operator", "DELETE", keysURL+"/gone", "")
	pubsub, _ := c.apiKey("pubsub", `{"restrictions":{"apiTargets":[{"service":"pubsub.googleapis.com"}]}}`)
	open := iam.Binding{Role: "roles/storage.objectViewer", Members: []string{"allUsers"}}
	if got := c.bindBucket("reports", open); got.code != 200 {
		t.Fatalf("%d %s", got.code, got.body)
	}
	const secret = "https://" + secretsURL + "/api-key/versions/latest:access"
	const topic = "https://pubsub.googleapis.com/v1/projects/acme/topics/events"
	const public, private = "https://" + gcs + "/b/reports/o/2026%2Fa.txt?alt=media", "https://" + gcs + "/b/fine-grained/o/o?alt=media"
	tests := []struct {
		name, token, url, key string
		code                  int
		reason                string
	}{
		{"no key", "", secret, "", 401, "CREDENTIALS_MISSING"},
		{"a key alone", "", secret, good, 401, "CREDENTIALS_MISSING"},
		{"a key beside a login", "operator", secret, good, 200, ""},
		{"a key beside a login that may not", "agent", secret, good, 403, "IAM_PERMISSION_DENIED"},
		{"an unknown key", "", secret, "AIzaNone", 400, "API_KEY_INVALID"},
		{"an unknown key beside a login", "operator", secret, "AIzaNone", 400, "API_KEY_INVALID"},
		{"a deleted key", "", secret, gone, 400, "API_KEY_INVALID"},
		{"a deleted key beside a login", "operator", secret, gone, 400, "API_KEY_INVALID"},
		{"a key for another API", "operator", secret, pubsub, 403, "API_KEY_SERVICE_BLOCKED"},
		{"a key for this API", "operator", topic, pubsub, 200, ""},
		{"a key for this API alone", "", topic, pubsub, 401, "CREDENTIALS_MISSING"},
		{"what is public", "", public, good, 200, ""},
		{"what is public, with no key that is", "", public, "AIzaNone", 400, ""},
		{"what is not public", "", private, good, 401, ""},
	}
	for _, test := range tests {
		for _, header := range []bool{false, true} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, test.url, http.NoBody)
			switch q := r.URL.Query(); {
			case test.key == "":
			case header:
				r.Header.Set("X-Goog-Api-Key", test.key)
			default:
				q.Set("key", test.key)
				r.URL.RawQuery = q.Encode()
			}
			if test.token != "" {
				r.Header.Set("Authorization", "Bearer "+test.token)
			}
			got := c.send(r)
			if got.code != test.code || got.reason() != test.reason {
				t.Errorf("%s (in a header: %v) is %d %s", test.name, header, got.code, got.raw)
			}
			if test.key == good && test.url == secret && test.token == "" &&
				!strings.Contains(got.raw, "API keys are not supported by this API. Expected OAuth2 access token") {
				t.Errorf("%s is refused by %s", test.name, got.raw)
			}
		}
	}
}

// A call with a key counts for the key's project: what is not enabled there is refused.
func TestAPIKeyCountsForItsProject(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	key, _ := c.apiKey("one", `{}`)
	open := iam.Binding{Role: "roles/storage.objectViewer", Members: []string{"allUsers"}}
	if got := c.bindBucket("reports", open); got.code != 200 {
		t.Fatalf("%d %s", got.code, got.body)
	}
	const object = "https://" + gcs + "/b/reports/o/2026%2Fa.txt?alt=media"
	c.must("", "GET", object+"&key="+key, "")
	c.must("operator", "POST", usage+"acme/services/storage.googleapis.com:disable", "{}")
	c.must("", "GET", object, "")
	if got := c.do("", "GET", object+"&key="+key, ""); got.code != 403 || !strings.Contains(got.raw, "accessNotConfigured") {
		t.Errorf("with a key of a project without the API: %d %s", got.code, got.raw)
	}
	c.must("operator", "POST", usage+"acme/services/apikeys.googleapis.com:disable", "{}")
	if got := c.do("operator", "GET", keysURL, ""); got.code != 403 || got.reason() != "SERVICE_DISABLED" {
		t.Errorf("API Keys is not enabled, and answers %d %s", got.code, got.raw)
	}
}
