package emulator

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/taskiam/taskiam/emulator/internal/iam"
)

// Groups count once however often they stand in a policy, domains every time.
func TestPolicyGroups(t *testing.T) {
	t.Parallel()
	groups := func(n int) []string {
		var out []string
		for i := range n {
			out = append(out, fmt.Sprintf("group:g%d@acme.example", i))
		}
		return out
	}
	roles := []string{"roles/browser", "roles/pubsub.viewer", "roles/pubsub.publisher", "roles/storage.objectViewer"}
	for _, tt := range []struct {
		name string
		add  []iam.Binding
		want int
	}{
		// The policy of the seed names one group.
		{"250 groups", []iam.Binding{grant(roles[0], groups(249)...)}, 200},
		{"251 groups", []iam.Binding{grant(roles[0], groups(250)...)}, 400},
		{"249 groups, four times", []iam.Binding{grant(roles[0], groups(249)...), grant(roles[1], groups(249)...), grant(roles[2], groups(249)...), grant(roles[3], groups(249)...)}, 200},
		{"248 groups and a domain", []iam.Binding{grant(roles[0], append(groups(248), "domain:acme.example")...)}, 200},
		{"248 groups and a domain, twice", []iam.Binding{grant(roles[0], append(groups(248), "domain:acme.example")...), grant(roles[1], "domain:acme.example")}, 400},
	} {
		l := newLab(t)
		w := l.getPolicy(3)
		w.Bindings = append(w.Bindings, tt.add...)
		if r := l.setPolicy(w); r.code != tt.want {
			t.Errorf("%s: %d %s, want %d", tt.name, r.code, r.raw, tt.want)
		}
	}
}

// Every appearance counts: in several bindings, in exemptions from audit, and dead.
func TestPolicyMemberCount(t *testing.T) {
	t.Parallel()
	users := func(n int) []string {
		var out []string
		for i := range n {
			out = append(out, fmt.Sprintf("user:u%d@acme.example", i))
		}
		return out
	}
	deletedMember := "deleted:serviceAccount:x@acme-data.iam.gserviceaccount.com?uid=1"
	exempted := []iam.AuditConfig{{Service: "allServices", LogTypes: []iam.AuditLogConfig{{LogType: "DATA_READ", Exempted: users(10)}, {LogType: "DATA_WRITE", Exempted: users(10)}}}}
	for _, tt := range []struct {
		name   string
		doubts iam.Doubts
		add    []iam.Binding
		audit  []iam.AuditConfig
		want   int
	}{
		// The seed has 3 members on acme-data.
		{"twice", iam.Doubts{}, []iam.Binding{grant("roles/browser", users(748)...), grant("roles/pubsub.viewer", users(748)...)}, nil, 200},
		{"twice, and one more", iam.Doubts{}, []iam.Binding{grant("roles/browser", users(749)...), grant("roles/pubsub.viewer", users(749)...)}, nil, 400},
		{"exempted", iam.Doubts{}, []iam.Binding{grant("roles/browser", users(1477)...)}, exempted, 200},
		{"exempted, and one more", iam.Doubts{}, []iam.Binding{grant("roles/browser", users(1478)...)}, exempted, 400},
		{"dead", iam.Doubts{}, []iam.Binding{grant("roles/browser", append(users(1497), deletedMember)...)}, nil, 400},
		{"dead, uncounted", iam.Doubts{TombstonesUncounted: true}, []iam.Binding{grant("roles/browser", append(users(1497), deletedMember)...)}, nil, 200},
	} {
		l := newLab(t, withDoubts(tt.doubts))
		l.wire.State().Projects["acme-data"].Policy.AuditConfigs = tt.audit
		w := l.getPolicy(3)
		w.Bindings = append(w.Bindings, tt.add...)
		if r := l.setPolicy(w); r.code != tt.want {
			t.Errorf("%s: %d %s, want %d", tt.name, r.code, r.raw, tt.want)
		}
	}
}

// Users become owners of a project by invitation, unless that is doubted.
func TestOwners(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		project, member string
		doubts          iam.Doubts
		want            int
		kind            string
	}{
		{"strict", "serviceAccount:shorter@strict.iam.gserviceaccount.com", iam.Doubts{}, 200, ""},
		{"strict", "group:g@acme.example", iam.Doubts{}, 200, ""},
		{"strict", "user:x@acme.example", iam.Doubts{}, 400, "ORG_MUST_INVITE_OWNERS"},
		{"strict", "user:x@acme.example", iam.Doubts{UserOwners: true}, 200, ""},
		{"strict", "user:x@partner.example", iam.Doubts{UserOwners: true}, 400, "ORG_MUST_INVITE_OWNERS"},
		{"abroad", "user:x@acme.example", iam.Doubts{UserOwners: true}, 400, "SOLO_MUST_INVITE_OWNERS"},
		{"abroad", "user:o@acme.example", iam.Doubts{}, 200, ""}, // is one already
	} {
		l := newRuled(t, withDoubts(tt.doubts))
		r := l.setOf(crm+"v1/projects/"+tt.project, grant("roles/owner", tt.member))
		if r.code != tt.want || !strings.Contains(r.raw, tt.kind) {
			t.Errorf("%s as an owner of %s: %d %s, want %d %s", tt.member, tt.project, r.code, r.raw, tt.want, tt.kind)
		}
	}
	// Without an organization the last one stays; with one, all may go.
	for project, want := range map[string]int{"abroad": 400, "strict": 200} {
		l := newRuled(t)
		if r := l.do(l.operator, "POST", crm+"v1/projects/"+project+":setIamPolicy", `{"policy":{"bindings":[]}}`); r.code != want {
			t.Errorf("removing the owners of %s: %d %s, want %d", project, r.code, r.raw, want)
		}
	}
}

func TestPolicyMembers(t *testing.T) {
	t.Parallel()
	for member, want := range map[string]int{
		"domain:acme":                     400,
		"domain:x@acme.example":           400,
		"principal:acme":                  400,
		"principal://iam.googleapis.com":  400,
		"principal://iam.googleapis.com/": 400,
		"principalSet://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/*": 200,
		"deleted:serviceAccount:x@acme-data.iam.gserviceaccount.com?uid=1":                        200,
		"deleted:user:gone@acme.example?uid=123":                                                  200,
		"deleted:group:gone@acme.example?uid=123":                                                 200,
		"deleted:principal://iam.googleapis.com/locations/global/workforcePools/p/subject/gone":   200,
		"deleted:user:gone@acme.example":                                                          400,
		"deleted:user:gone@acme.example?uid=":                                                     400,
		"deleted:user:gone@acme.example?uid=x":                                                    400,
		"deleted:user:gone?uid=123":                                                               400,
		"deleted:domain:acme.example?uid=123":                                                     400,
		"deleted:nonsense?uid=1":                                                                  400,
		"deleted:principal://iam.googleapis.com/locations/global/workforcePools/p/subject/":       400,
		"deleted:principal://elsewhere.example/locations/global/workforcePools/p/subject/gone":    400,
		"deleted:principalSet://iam.googleapis.com/locations/global/workforcePools/p/*":           400,
	} {
		l := newLab(t)
		w := l.getPolicy(3)
		w.Bindings = append(w.Bindings, grant("roles/browser", member))
		if r := l.setPolicy(w); r.code != want {
			t.Errorf("%s: %d %s, want %d", member, r.code, r.raw, want)
		}
	}
	l := newLab(t)
	l.want(l.do(l.operator, "POST", dataPolicy+":setIamPolicy", `{"policy":{},"updateMask":"bindings,nonsense"}`), 400, "INVALID_ARGUMENT")
}

func TestLegacyRoleConditions(t *testing.T) {
	t.Parallel()
	const policy = `{"version":3,"bindings":[{"role":"roles/storage.legacyObjectReader","members":["user:mara@acme.example"],"condition":{"title":"t","expression":"true"}}]}`
	for taken, want := range map[bool]int{false: 400, true: 200} {
		l := newRuled(t, withDoubts(iam.Doubts{LegacyRoleConditions: taken}))
		l.must(l.operator, "POST", crm+"v1/projects/strict:setIamPolicy", `{"policy":{"bindings":[{"role":"roles/owner","members":["user:o@acme.example"]},{"role":"roles/storage.admin","members":["user:o@acme.example"]}]}}`)
		if r := l.do(l.operator, "PUT", "https://storage.googleapis.com/storage/v1/b/ruled-bucket/iam", policy); r.code != want {
			t.Errorf("taken is %v: %d %s, want %d", taken, r.code, r.raw, want)
		}
	}
}

// Whoever names a project to pay for a call must be allowed to use its services.
func TestQuotaProject(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for _, tt := range []struct {
		token, project string
		want           int
	}{
		{l.operator, "acme-agents", 200},
		{l.operator, "567890123456", 200},
		{noah, "acme-agents", 200}, // an editor
		{mara, "acme-data", 403},   // a viewer
		{mara, "acme-agents", 403},
		{l.operator, "missing", 403},
		{mara, "", 200},
	} {
		r := httptest.NewRequestWithContext(t.Context(), "GET", iamAPI+"roles/browser", nil)
		r.Header.Set("Authorization", "Bearer "+tt.token)
		if tt.project != "" {
			r.Header.Set("X-Goog-User-Project", tt.project)
		}
		got := l.send(r)
		if got.code != tt.want || tt.want == 403 && got.reason() != "USER_PROJECT_DENIED" {
			t.Errorf("on the account of %q: %d %s, want %d", tt.project, got.code, got.raw, tt.want)
		}
	}
}

// Services that do not know the fence fail; datasets do not look at it.
func TestFenceElsewhere(t *testing.T) {
	t.Parallel()
	const fence = `api.getAttribute("iam.googleapis.com/modifiedGrantsByRole", []).hasOnly(["roles/pubsub.publisher"])`
	l := newLab(t)
	fenced := iam.Binding{Role: "roles/pubsub.admin", Members: []string{"user:mara@acme.example"}, Condition: &iam.Condition{Title: "fence", Expression: fence}}
	if r := l.setOf(crm+"v1/projects/acme-agents", fenced); r.code != 200 {
		t.Fatal(r.raw)
	}
	const topic = "https://pubsub.googleapis.com/v1/projects/acme-agents/topics/reports"
	l.must(mara, "GET", topic, "")
	l.want(l.do(mara, "POST", topic+":setIamPolicy", `{"policy":{"bindings":[{"role":"roles/pubsub.publisher","members":["user:mara@acme.example"]}]}}`), 403, "PERMISSION_DENIED")
	l.bindData(iam.Binding{Role: "roles/bigquery.dataOwner", Members: []string{"user:mara@acme.example"}, Condition: &iam.Condition{Title: "fence", Expression: fence}})
	l.must(mara, "PATCH", "https://bigquery.googleapis.com/bigquery/v2/projects/acme-data/datasets/sales?accessPolicyVersion=3",
		`{"access":[{"role":"OWNER","userByEmail":"mara@acme.example"}]}`)
}
