package emulator

import (
	"strings"
	"testing"

	"github.com/taskiam/taskiam/emulator/internal/iam"
)

// disabled is the built-in company without one API.
func disabled(t *testing.T, services ...string) *lab {
	t.Helper()
	return newLab(t, func(c *Config) {
		c.Seed = []byte(strings.Replace(string(acme), `number = "567890123456"`,
			"number = \"567890123456\"\ndisabled_services = [\""+strings.Join(services, `", "`)+"\"]", 1))
	})
}

const usage = "https://serviceusage.googleapis.com/v1/projects/"

// An API that is not enabled refuses every call that counts for the project, before any
// permission is looked at, and works as soon as it is enabled.
func TestDisabledService(t *testing.T) {
	t.Parallel()
	l := disabled(t, "pubsub.googleapis.com")
	const topic = "https://pubsub.googleapis.com/v1/projects/acme-agents/topics/reports"
	for _, token := range []string{l.operator, "ya29.emulator-mara"} { // whoever asks
		r := l.do(token, "GET", topic, "")
		if r.code != 403 || r.reason() != "SERVICE_DISABLED" || !strings.Contains(r.raw, `"consumer":"projects/567890123456"`) {
			t.Errorf("a disabled API answers %d %s", r.code, r.raw)
		}
	}
	batch := usage + "acme-agents/services:batchGet?names=projects/acme-agents/services/pubsub.googleapis.com&names=projects/567890123456/services/iam.googleapis.com"
	if r := l.must(l.operator, "GET", batch, ""); strings.Index(r.raw, `"state":"DISABLED"`) > strings.Index(r.raw, `"state":"ENABLED"`) || strings.Count(r.raw, `"state"`) != 2 {
		t.Errorf("the APIs are %s", r.raw)
	}
	l.must(l.operator, "POST", usage+"acme-agents/services/pubsub.googleapis.com:enable", "{}")
	l.must(l.operator, "GET", topic, "")
	if r := l.must(l.operator, "GET", usage+"acme-agents/services?filter=state:DISABLED", ""); strings.Contains(r.raw, "pubsub") {
		t.Errorf("an API that was enabled is listed as disabled: %s", r.raw)
	}
	l.must(l.operator, "POST", usage+"acme-agents/services/pubsub.googleapis.com:disable", "{}")
	if r := l.do(l.operator, "GET", topic, ""); r.code != 403 {
		t.Errorf("an API that was disabled answers %d", r.code)
	}
	l.must(l.operator, "POST", usage+"acme-agents/services:batchEnable", `{"serviceIds":["pubsub.googleapis.com"]}`)
	l.must(l.operator, "GET", topic, "")
}

// Service Usage asks for permissions like every other API.
func TestServiceUsageIsGuarded(t *testing.T) {
	t.Parallel()
	l := disabled(t, "pubsub.googleapis.com")
	for _, c := range []struct{ verb, at string }{
		{"GET", "/pubsub.googleapis.com"}, {"GET", ":batchGet?names=projects/acme-agents/services/iam.googleapis.com"}, {"GET", ""},
		{"POST", "/pubsub.googleapis.com:enable"}, {"POST", ":batchEnable"}, {"POST", "/pubsub.googleapis.com:disable"},
	} {
		if r := l.do("ya29.emulator-mara", c.verb, usage+"acme-agents/services"+c.at, ""); r.code != 403 || r.reason() != "IAM_PERMISSION_DENIED" {
			t.Errorf("Mara's %s %s: %d %s", c.verb, c.at, r.code, r.raw)
		}
	}
	for _, at := range []string{":batchGet", ":batchGet?names=projects/acme-data/services/iam.googleapis.com"} {
		if r := l.do(l.operator, "GET", usage+"acme-agents/services"+at, ""); r.code != 400 {
			t.Errorf("%s: %d", at, r.code)
		}
	}
}

// What a constraint comes to is that of the nearest policy, or what it is by default.
func TestEffectivePolicy(t *testing.T) {
	t.Parallel()
	l := newRuled(t)
	const at = "https://orgpolicy.googleapis.com/v2/projects/strict/policies/"
	if r := l.do(l.operator, "GET", at+"iam.serviceAccountKeyExpiryHours:getEffectivePolicy", ""); r.code != 200 && r.code != 403 {
		t.Fatalf("%d %s", r.code, r.raw)
	}
	l.setOf(crm+"v1/projects/strict", iam.Binding{Role: "roles/orgpolicy.policyViewer", Members: []string{"user:o@acme.example"}})
	for name, want := range map[string]string{
		"iam.serviceAccountKeyExpiryHours":                   `"allowedValues":["8h"]`,
		"iam.allowedPolicyMemberDomains":                     `"allowedValues":["acme.example","partner.example"]`,
		"iam.disableServiceAccountKeyUpload":                 `"enforce":false`,
		"iam.managed.allowedPolicyMembers":                   `"enforce":false`,
		"iam.disableServiceAccountCreation":                  `"enforce":false`,
		"iam.allowServiceAccountCredentialLifetimeExtension": `"allowedValues":["longer@strict.iam.gserviceaccount.com"]`,
	} {
		if r := l.must(l.operator, "GET", at+name+":getEffectivePolicy", ""); !strings.Contains(r.raw, want) || !strings.Contains(r.raw, "projects/30/policies/"+name) {
			t.Errorf("%s is %s, want %s", name, r.raw, want)
		}
	}
	if r := l.do("ya29.emulator-minter", "GET", at+"iam.disableServiceAccountKeyUpload:getEffectivePolicy", ""); r.code != 403 {
		t.Errorf("whoever may not see the policy: %d", r.code)
	}
}

// The managed constraint refuses as the older one does, under its own name.
func TestManagedConstraint(t *testing.T) {
	t.Parallel()
	for name, call := range map[string][2]string{
		"iam.managed.disableServiceAccountKeyUpload":   {"/ci-runner@acme-agents.iam.gserviceaccount.com/keys:upload", `{"publicKeyData":"AA=="}`},
		"iam.managed.disableServiceAccountKeyCreation": {"/ci-runner@acme-agents.iam.gserviceaccount.com/keys", `{}`},
		"iam.managed.disableServiceAccountCreation":    {"", `{"accountId":"my-robot"}`},
	} {
		l := newLab(t, func(c *Config) {
			c.Seed = []byte(strings.Replace(string(acme), `number = "567890123456"`, "number = \"567890123456\"\nconstraints = [\""+name+"\"]", 1))
		})
		if r := l.do(l.operator, "POST", iamAPI+"projects/acme-agents/serviceAccounts"+call[0], call[1]); r.code != 400 || !strings.Contains(r.raw, `"constraints/`+name+`"`) {
			t.Errorf("%s: %d %s", name, r.code, r.raw)
		}
	}
}
