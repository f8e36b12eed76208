package emulator

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/iam"
)

// rule is one rule of a credential access boundary.
func rule(bucket, role, expression string) map[string]any {
	r := map[string]any{"availableResource": "//storage.googleapis.com/projects/_/buckets/" + bucket, "availablePermissions": []string{"inRole:" + role}}
	if expression != "" {
		r["availabilityCondition"] = map[string]string{"expression": expression, "title": "t"}
	}
	return r
}

// downscoped asks for a token that can do less.
func (c cloud) downscoped(token string, rules ...map[string]any) reply {
	c.t.Helper()
	options, err := json.Marshal(map[string]any{"accessBoundary": map[string]any{"accessBoundaryRules": rules}})
	if err != nil {
		c.t.Fatal(err)
	}
	return c.exchanged(token, string(options))
}

func (c cloud) exchanged(token, options string) reply {
	c.t.Helper()
	const access = "urn:ietf:params:oauth:token-type:access_token"
	form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token_type": {access},
		"requested_token_type": {access}, "subject_token": {token}, "options": {options}}
	return c.call("", "POST sts.googleapis.com/v1/token", form.Encode(), "Content-Type: application/x-www-form-urlencoded")
}

// downscopedToken is the token in the answer.
func (c cloud) downscopedToken(token string, rules ...map[string]any) string {
	c.t.Helper()
	r := c.downscoped(token, rules...)
	if r.code != 200 {
		c.t.Fatalf("exchanging: %d %s", r.code, r.body)
	}
	return strings.Trim(r.field("access_token"), `"`)
}

const iamREST = "iam.googleapis.com/v1/"

const oneObject = gcs + "/b/reports/o/2026%2Fa.txt"

// A boundary takes away, and never gives.
func TestDownscope(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	for _, role := range []string{"roles/storage.objectViewer", "roles/storage.objectCreator"} {
		if got := c.bindBucket("reports", iam.Binding{Role: role, Members: []string{agentMember}}); got.code != 200 {
			t.Fatalf("binding: %d %s", got.code, got.body)
		}
	}
	insert := "POST storage.googleapis.com/upload/storage/v1/b/reports/o?uploadType=media&name="
	list := "GET " + gcs + "/b/reports/o?prefix=2026/"

	answer := c.downscoped("agent", rule("reports", "roles/storage.objectViewer", ""))
	if got := strings.Trim(answer.field("access_token"), `"`); answer.code != 200 || !strings.HasPrefix(got, "ya29.dr.") || answer.field("expires_in") != "3600" ||
		!strings.Contains(string(answer.body), `"issued_token_type":"urn:ietf:params:oauth:token-type:access_token"`) {
		t.Errorf("the answer is %d %s", answer.code, answer.body)
	}
	reader := c.downscopedToken("agent", rule("reports", "roles/storage.objectViewer", ""))
	c.want(200, nil, reader, "GET "+oneObject, "")
	c.want(200, nil, reader, list, "")
	c.want(403, nil, reader, insert+"n", "x") // what the account may, but the boundary leaves out
	c.want(403, nil, reader, "GET "+gcs+"/b/fine-grained/o/o", "")
	c.want(200, nil, "agent", insert+"n", "x")

	wide := c.downscopedToken("agent", rule("reports", "roles/storage.admin", ""), rule("fine-grained", "roles/storage.admin", ""))
	c.want(200, nil, wide, insert+"m", "x")
	c.want(403, nil, wide, "DELETE "+oneObject, "") // what the boundary leaves, but the account may not
	c.want(403, nil, wide, "GET "+gcs+"/b/fine-grained/o/o", "")

	// One bucket does not mean another whose name begins with the same letters.
	c.want(200, nil, "operator", "POST "+gcs+"/b?project=acme", `{"name":"reports-two"}`)
	c.want(200, nil, c.downscopedToken("operator", rule("reports-two", "roles/storage.admin", "")), "GET "+gcs+"/b/reports-two/o", "")
	c.want(403, nil, c.downscopedToken("operator", rule("reports", "roles/storage.admin", "")), "GET "+gcs+"/b/reports-two/o", "")

	part := c.downscopedToken("agent", rule("reports", "roles/storage.objectViewer",
		"resource.name.startsWith('projects/_/buckets/reports/objects/2026/') || "+
			"api.getAttribute('storage.googleapis.com/objectListPrefix', '').startsWith('2026/')"))
	c.want(200, nil, part, "GET "+oneObject, "")
	c.want(200, nil, part, list, "")
	c.want(403, nil, part, "GET "+gcs+"/b/reports/o/2025%2Fold.txt", "")
	c.want(403, nil, part, "GET "+gcs+"/b/reports/o?prefix=2025/", "")
	c.want(403, nil, part, "GET "+gcs+"/b/reports/o", "")

	// What cannot be evaluated is a no.
	c.want(403, nil, c.downscopedToken("agent", rule("reports", "roles/storage.objectViewer", "request.host == 'h'")), "GET "+oneObject, "")

	// No other service, whoever asks.
	broad := c.downscopedToken("operator", rule("reports", "roles/owner", ""), rule("reports", "roles/iam.serviceAccountTokenCreator", ""))
	c.want(403, nil, broad, "GET "+iamREST+"projects/acme/serviceAccounts", "")
	c.want(403, nil, broad, "GET pubsub.googleapis.com/v1/projects/acme/topics", "")
	c.want(403, nil, broad, "GET "+gcs+"/b?project=acme", "")
	c.want(403, nil, broad, "POST iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/"+agentEmail+":generateAccessToken",
		`{"scope":["https://www.googleapis.com/auth/cloud-platform"]}`)
	if got := c.want(200, nil, broad, "POST cloudresourcemanager.googleapis.com/v1/projects/acme:testIamPermissions",
		`{"permissions":["resourcemanager.projects.get"]}`); strings.Contains(string(got.body), "projects.get") {
		t.Errorf("testIamPermissions says %s", got.body)
	}
	if got := c.downscoped("operator", rule("reports", "roles/owner", "")); strings.Contains(string(got.body), "expires_in") {
		t.Errorf("a person's token comes with an end: %s", got.body)
	}
}

// A downscoped token ends when its source does, and with whoever it is of.
func TestDownscopeEnds(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	if got := c.bindBucket("reports", iam.Binding{Role: "roles/storage.objectViewer", Members: []string{agentMember}}); got.code != 200 {
		t.Fatalf("binding: %d %s", got.code, got.body)
	}
	var short struct{ AccessToken string }
	c.want(200, nil, "operator", "POST "+iamREST+"projects/acme/serviceAccounts/"+agentEmail+":setIamPolicy",
		`{"policy":{"bindings":[{"role":"roles/iam.serviceAccountTokenCreator","members":["user:olga@acme.test"]}]}}`)
	c.want(200, &short, "operator", "POST iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/"+agentEmail+":generateAccessToken",
		`{"scope":["https://www.googleapis.com/auth/cloud-platform"],"lifetime":"300s"}`)
	c.Advance(4 * time.Minute)
	if got := c.downscoped(short.AccessToken, rule("reports", "roles/storage.admin", "")); got.field("expires_in") != "60" {
		t.Errorf("a minute before the end: %s", got.body)
	}
	token := c.downscopedToken(short.AccessToken, rule("reports", "roles/storage.admin", ""))
	c.want(200, nil, token, "GET "+oneObject, "")
	c.Advance(time.Minute)
	c.want(401, nil, token, "GET "+oneObject, "")
	if got := c.downscoped(short.AccessToken, rule("reports", "roles/storage.admin", "")); got.code != 400 {
		t.Errorf("a token that has expired is exchanged: %s", got.body)
	}

	c.want(200, &short, "operator", "POST iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/"+agentEmail+":generateAccessToken",
		`{"scope":["https://www.googleapis.com/auth/devstorage.read_only"]}`)
	if got := c.downscoped(short.AccessToken, rule("reports", "roles/storage.admin", "")); got.code != 400 {
		t.Errorf("a token without the scope cloud-platform is exchanged: %s", got.body)
	}

	token = c.downscopedToken("agent", rule("reports", "roles/storage.admin", ""))
	for _, verb := range []string{":disable", ":enable"} {
		c.want(200, nil, "operator", "POST "+iamREST+"projects/acme/serviceAccounts/"+agentEmail+verb, "{}")
		want := map[string]int{":disable": 401, ":enable": 200}[verb]
		c.want(want, nil, token, "GET "+oneObject, "")
	}
	c.want(200, nil, "operator", "DELETE "+iamREST+"projects/acme/serviceAccounts/"+agentEmail, "")
	c.want(401, nil, token, "GET "+oneObject, "")
	if got := c.downscoped("agent", rule("reports", "roles/storage.admin", "")); got.code != 400 {
		t.Errorf("the token of an account that is gone is exchanged: %s", got.body)
	}
}

func TestDownscopeRefuses(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	viewer := rule("reports", "roles/storage.objectViewer", "")
	many := func(n int) []map[string]any {
		rules := make([]map[string]any, n)
		for i := range rules {
			rules[i] = viewer
		}
		return rules
	}
	if got := c.downscoped("agent", many(10)...); got.code != 200 {
		t.Errorf("ten rules: %s", got.body)
	}
	elsewhere := map[string]any{"availableResource": "//cloudresourcemanager.googleapis.com/projects/acme", "availablePermissions": []string{"inRole:roles/viewer"}}
	bare := map[string]any{"availableResource": viewer["availableResource"], "availablePermissions": []string{"storage.objects.get"}}
	for name, rules := range map[string][]map[string]any{
		"eleven rules": many(11), "none": nil, "another service": {elsewhere}, "a permission": {bare},
		"no permissions":         {{"availableResource": viewer["availableResource"]}},
		"an object":              {rule("reports/objects/o", "roles/storage.objectViewer", "")},
		"a malformed expression": {rule("reports", "roles/storage.objectViewer", "resource.name ==")},
		"a long expression":      {rule("reports", "roles/storage.objectViewer", fmt.Sprintf("resource.name == '%2048s'", ""))},
		"a field nobody knows":   {{"availableResource": viewer["availableResource"], "availablePermissions": []string{"inRole:roles/viewer"}, "until": "noon"}},
	} {
		if got := c.downscoped("agent", rules...); got.code != 400 || got.field("error") != `"invalid_request"` {
			t.Errorf("%s: %d %s", name, got.code, got.body)
		}
	}
	for _, options := range []string{"", "{}", "[]", "{"} {
		if got := c.exchanged("agent", options); got.code != 400 {
			t.Errorf("options %q: %d %s", options, got.code, got.body)
		}
	}
	for _, token := range []string{"", "nobody's", c.downscopedToken("agent", viewer)} {
		if got := c.downscoped(token, viewer); got.code != 400 {
			t.Errorf("the token %q is exchanged: %s", token, got.body)
		}
	}
}
