package emulator

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/iam"
)

// ruled is a company under organization policies, at each level.
const ruled = `
[operator]
member = "user:o@acme.example"
[[principal]]
member = "user:minter@acme.example"
token = "ya29.emulator-minter"
[organization]
number = "1"
domain = "acme.example"
constraints = ["iam.allowedPolicyMemberDomains=acme.example, partner.example"]
[[folder]]
number = "20"
parent = "organizations/1"
constraints = ["iam.serviceAccountKeyExpiryHours=8h"]
[[project]]
id = "strict"
number = "30"
parent = "folders/20"
account_quota = 3
constraints = ["constraints/iam.allowServiceAccountCredentialLifetimeExtension=longer@strict.iam.gserviceaccount.com"]
[[project.binding]]
role = "roles/owner"
members = ["user:o@acme.example"]
[[project.binding]]
role = "roles/iam.serviceAccountTokenCreator"
members = ["user:minter@acme.example"]
[[project]]
id = "sister"
number = "31"
parent = "organizations/1"
[[project]]
id = "abroad"
number = "32"
[[project.binding]]
role = "roles/owner"
members = ["user:o@acme.example"]
[[service_account]]
project = "strict"
id = "longer"
[[service_account]]
project = "strict"
id = "shorter"
[[service_account]]
project = "sister"
id = "cousin"
[[service_account]]
project = "abroad"
id = "foreigner"
[[topic]]
project = "strict"
name = "news"
[[bucket]]
project = "strict"
name = "ruled-bucket"
`

const strict = iamAPI + "projects/strict/serviceAccounts"

func newRuled(t *testing.T, configure ...func(*Config)) *lab {
	t.Helper()
	return newLab(t, append([]func(*Config){func(c *Config) { c.Seed = []byte(ruled) }}, configure...)...)
}

// setOf sets the policy of a resource to its bindings and one more.
func (l *lab) setOf(resource string, more iam.Binding) response {
	l.t.Helper()
	r := l.must(l.operator, "POST", resource+":getIamPolicy", `{"options":{"requestedPolicyVersion":3}}`)
	var w iam.PolicyJSON
	if err := json.Unmarshal([]byte(r.raw), &w); err != nil {
		l.t.Fatal(err)
	}
	w.Version, w.Bindings = 3, append(w.Bindings, more)
	raw, err := json.Marshal(w)
	if err != nil {
		l.t.Fatal(err)
	}
	return l.do(l.operator, "POST", resource+":setIamPolicy", `{"policy":`+string(raw)+`}`)
}

func TestAllowedMemberDomains(t *testing.T) {
	t.Parallel()
	const project = crm + "v1/projects/strict"
	for member, want := range map[string]int{
		"user:x@acme.example":    200,
		"user:x@Partner.example": 200,
		"group:g@acme.example":   200,
		"domain:partner.example": 200,
		"user:x@gmail.com":       400,
		"group:g@evil.example":   400,
		"domain:evil.example":    400,
		"serviceAccount:shorter@strict.iam.gserviceaccount.com":                                  200,
		"serviceAccount:cousin@sister.iam.gserviceaccount.com":                                   200, // of the same organization
		"serviceAccount:foreigner@abroad.iam.gserviceaccount.com":                                400,
		"serviceAccount:service-30@gcp-sa-pubsub.iam.gserviceaccount.com":                        200,
		"principal://iam.googleapis.com/projects/31/locations/global/workloadIdentityPools/p/*":  200,
		"principal://iam.googleapis.com/projects/32/locations/global/workloadIdentityPools/p/*":  400,
		"principalSet://iam.googleapis.com/projects/9/locations/global/workloadIdentityPools/p*": 400,
	} {
		l := newRuled(t)
		r := l.setOf(project, grant("roles/browser", member))
		if r.code != want || want == 400 && (r.status() != "FAILED_PRECONDITION" || !strings.Contains(r.raw, "constraints/iam.allowedPolicyMemberDomains")) {
			t.Errorf("%s: %d %s, want %d", member, r.code, r.raw, want)
		}
	}
	l := newRuled(t)
	l.want(l.setOf("https://pubsub.googleapis.com/v1/projects/strict/topics/news", grant("roles/pubsub.publisher", iam.AllUsers)), 400, "FAILED_PRECONDITION")
	// Cloud Storage refuses with the code of a stale etag (412).
	const bucket = "https://storage.googleapis.com/storage/v1/b/ruled-bucket/iam"
	r := l.do(l.operator, "PUT", bucket, `{"bindings":[{"role":"roles/storage.objectViewer","members":["user:x@gmail.com"]}]}`)
	if r.code != 412 || !strings.Contains(r.raw, "conditionNotMet") || !strings.Contains(r.raw, "permitted customer") {
		t.Errorf("a bucket: %d %s", r.code, r.raw)
	}
	// Where the organization does not reach, neither does its policy.
	if r := l.setOf(crm+"v1/projects/abroad", grant("roles/browser", "user:x@gmail.com")); r.code != 200 {
		t.Errorf("outside of the organization: %s", r.raw)
	}
	// What was there before may stay.
	l.wire.State().Projects["strict"].Policy.Bindings = append(l.wire.State().Projects["strict"].Policy.Bindings, grant("roles/browser", "user:early@gmail.com"))
	if r := l.setOf(project, grant("roles/browser", "user:x@acme.example")); r.code != 200 {
		t.Errorf("beside a member from before: %s", r.raw)
	}
}

func TestKeyExpiryHours(t *testing.T) {
	t.Parallel()
	l := newRuled(t)
	const url = strict + "/longer@strict.iam.gserviceaccount.com/keys"
	r := l.must(l.operator, "POST", url, "{}")
	if want := wireTime(epoch.Add(8 * time.Hour)); r.str("validBeforeTime") != want {
		t.Errorf("a created key lives until %s, want %s", r.str("validBeforeTime"), want)
	}
	key, err := pooledKey()
	if err != nil {
		t.Fatal(err)
	}
	for lifetime, want := range map[time.Duration]int{8 * time.Hour: 200, 8*time.Hour + time.Second: 400} {
		der, err := newCertificate(key, "unused", epoch.Add(-lifetime), epoch.Add(lifetime))
		if err != nil {
			t.Fatal(err)
		}
		body, err := json.Marshal(map[string][]byte{"publicKeyData": encodePEM("CERTIFICATE", der)})
		if err != nil {
			t.Fatal(err)
		}
		r := l.do(l.operator, "POST", url+":upload", string(body))
		if r.code != want || want == 400 && !strings.Contains(r.raw, "constraints/iam.serviceAccountKeyExpiryHours") {
			t.Errorf("a key uploaded for %v: %d %s, want %d", lifetime, r.code, r.raw, want)
		}
	}
}

func TestTokenLifetimeExtension(t *testing.T) {
	t.Parallel()
	l := newRuled(t)
	for _, tt := range []struct {
		account  string
		lifetime time.Duration
		want     int
	}{
		{"longer", 12 * time.Hour, 200},
		{"longer", 12*time.Hour + time.Second, 400},
		{"shorter", time.Hour, 200},
		{"shorter", time.Hour + time.Second, 400},
	} {
		email := tt.account + "@strict.iam.gserviceaccount.com"
		r := l.do("ya29.emulator-minter", "POST", creds+email+":generateAccessToken",
			fmt.Sprintf(`{"scope":[%q],"lifetime":"%ds"}`, cloudPlatform, int(tt.lifetime.Seconds())))
		if r.code != tt.want {
			t.Errorf("%s for %v: %d %s, want %d", tt.account, tt.lifetime, r.code, r.raw, tt.want)
		}
		if r.code == 200 && r.str("expireTime") != wireTime(epoch.Add(tt.lifetime)) {
			t.Errorf("%s for %v: until %s", tt.account, tt.lifetime, r.str("expireTime"))
		}
	}
}

func TestAccountQuota(t *testing.T) {
	t.Parallel()
	for _, d := range []iam.Doubts{{}, {AccountQuotaPrecondition: true}} {
		l := newRuled(t, withDoubts(d))
		third := l.must(l.operator, "POST", strict, `{"accountId":"third-one"}`)
		r := l.do(l.operator, "POST", strict, `{"accountId":"fourth-one"}`)
		if d.AccountQuotaPrecondition {
			l.want(r, 400, "FAILED_PRECONDITION")
		} else {
			l.want(r, 429, "RESOURCE_EXHAUSTED")
			if !strings.Contains(r.raw, `"retryDelay":"86401s"`) {
				t.Errorf("answer is %s, want Google's RetryInfo in it", r.raw)
			}
		}
		if want := "Maximum number of service accounts on project reached."; !strings.Contains(r.raw, want) {
			t.Errorf("answer is %s, want %q in it", r.raw, want)
		}
		// Deleted ones do not count.
		l.must(l.operator, "DELETE", strict+"/"+third.str("email"), "")
		l.must(l.operator, "POST", strict, `{"accountId":"fourth-one"}`)
	}
}

// The bodies that Google documents for what an organization policy blocks.
func TestConstraintBodies(t *testing.T) {
	t.Parallel()
	seed := strings.Replace(ruled, `constraints = ["constraints/iam.allow`,
		`constraints = ["iam.disableServiceAccountCreation", "iam.disableServiceAccountKeyCreation", "iam.disableServiceAccountKeyUpload", "constraints/iam.allow`, 1)
	const account = strict + "/longer@strict.iam.gserviceaccount.com"
	const keySubject = "projects/strict/serviceAccounts/longer@strict.iam.gserviceaccount.com?configvalue=longer%40strict.iam.gserviceaccount.com"
	for _, tt := range []struct{ url, kind, subject, message string }{
		{strict, "iam.disableServiceAccountCreation", "projects/strict/serviceAccounts/?configvalue=", "Service account creation is not allowed on this project."},
		{account + "/keys", "iam.disableServiceAccountKeyCreation", keySubject, "Key creation is not allowed on this service account."},
		{account + "/keys:upload", "iam.disableServiceAccountKeyUpload", keySubject, "Key upload is not allowed on this service account."},
	} {
		for _, bare := range []bool{false, true} {
			l := newLab(t, func(c *Config) { c.Seed = []byte(seed) }, withDoubts(iam.Doubts{UploadRefusalBare: bare}))
			r := l.do(l.operator, "POST", tt.url, `{"accountId":"ti-forbidden"}`)
			want := map[string]any{"error": map[string]any{"code": 400, "message": tt.message, "status": "FAILED_PRECONDITION", "details": []any{map[string]any{
				"@type":      "type.googleapis.com/google.rpc.PreconditionFailure",
				"violations": []any{map[string]any{"type": "constraints/" + tt.kind, "subject": tt.subject, "description": tt.message}},
			}}}}
			if bare && strings.HasSuffix(tt.url, ":upload") {
				delete(want["error"].(map[string]any), "details")
			}
			raw, err := json.Marshal(want)
			if err != nil {
				t.Fatal(err)
			}
			if r.raw != string(raw) {
				t.Errorf("%s:\n got %s\nwant %s", tt.url, r.raw, raw)
			}
		}
	}
}
