package emulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/emulator/internal/iam"
)

const dataPolicy = crm + "v1/projects/acme-data"

// getPolicy reads the policy of acme-data at a version.
func (l *lab) getPolicy(version int) iam.PolicyJSON {
	l.t.Helper()
	r := l.must(l.operator, "POST", dataPolicy+":getIamPolicy", fmt.Sprintf(`{"options":{"requestedPolicyVersion":%d}}`, version))
	var w iam.PolicyJSON
	if err := json.Unmarshal([]byte(r.raw), &w); err != nil {
		l.t.Fatal(err)
	}
	return w
}

func (l *lab) setPolicy(w iam.PolicyJSON) response {
	l.t.Helper()
	raw, err := json.Marshal(w)
	if err != nil {
		l.t.Fatal(err)
	}
	return l.do(l.operator, "POST", dataPolicy+":setIamPolicy", `{"policy":`+string(raw)+`}`)
}

func until(t string) *iam.Condition {
	return &iam.Condition{Title: "ends", Expression: `request.time < timestamp("` + t + `")`}
}

func TestPolicyNeverSet(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	email := l.account("ti-fresh")
	r := l.must(l.operator, "POST", accounts+"/"+email+":getIamPolicy", "")
	if want := `{"etag":"ACAB"}`; r.raw != want {
		t.Errorf("policy is %s, want %s", r.raw, want)
	}
	r = l.must(l.operator, "POST", accounts+"/"+email+":setIamPolicy", `{"policy":{"etag":"ACAB"}}`)
	if r.body["version"] != float64(1) || r.body["bindings"] != nil || r.str("etag") == "ACAB" {
		t.Errorf("an empty policy that was set is %s", r.raw)
	}
}

func TestPolicyVersions(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	plain := l.getPolicy(3)
	if plain.Version != 1 {
		t.Errorf("without conditions the version is %d, want 1", plain.Version)
	}
	w := plain
	w.Version = 3
	w.Bindings = append(w.Bindings, iam.Binding{Role: "roles/pubsub.viewer", Members: []string{"user:mara@acme.example"}, Condition: until("2026-04-01T00:00:00Z")})
	if r := l.setPolicy(w); r.code != http.StatusOK || r.body["version"] != float64(3) {
		t.Fatalf("setting a condition: %d %s", r.code, r.raw)
	}
	full := l.getPolicy(3)
	if full.Version != 3 || !slices.ContainsFunc(full.Bindings, func(b iam.Binding) bool { return b.Condition != nil }) {
		t.Errorf("asked for 3, got version %d: %v", full.Version, full.Bindings)
	}
	for _, version := range []int{0, 1} {
		old := l.getPolicy(version)
		i := slices.IndexFunc(old.Bindings, func(b iam.Binding) bool {
			return regexp.MustCompile(`^roles/pubsub\.viewer_withcond_[0-9a-f]{20}$`).MatchString(b.Role)
		})
		if old.Version != 1 || i < 0 || old.Bindings[i].Condition != nil {
			t.Errorf("asked for %d, got version %d: %v", version, old.Version, old.Bindings)
		}
		// What was read so must not be written back.
		l.want(l.setPolicy(old), 400, "INVALID_ARGUMENT")
	}
	for _, version := range []int{2, 4, -1} {
		r := l.do(l.operator, "POST", dataPolicy+":getIamPolicy", fmt.Sprintf(`{"options":{"requestedPolicyVersion":%d}}`, version))
		l.want(r, 400, "INVALID_ARGUMENT")
		w := full
		w.Version = version
		l.want(l.setPolicy(w), 400, "INVALID_ARGUMENT")
	}

	// Version 1 with an etag does not touch a policy that has conditions ...
	one := plain
	one.Etag = full.Etag
	l.want(l.setPolicy(one), 400, "INVALID_ARGUMENT")
	// ... without one it overwrites it, conditions and all.
	one.Etag = ""
	if r := l.setPolicy(one); r.code != http.StatusOK {
		t.Errorf("a blind write: %d %s", r.code, r.raw)
	}
	if got := l.getPolicy(3); got.Version != 1 {
		t.Errorf("after a blind write the version is %d", got.Version)
	}
}

func TestPolicyConflict(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	stale := l.getPolicy(3)
	if r := l.setPolicy(stale); r.code != http.StatusOK {
		t.Fatalf("writing back what was read: %d %s", r.code, r.raw)
	}
	l.want(l.setPolicy(stale), 409, "ABORTED")

	// Clients send the etag in the other alphabet.
	fresh := l.getPolicy(3)
	fresh.Etag = strings.NewReplacer("+", "-", "/", "_").Replace(fresh.Etag)
	if r := l.setPolicy(fresh); r.code != http.StatusOK {
		t.Errorf("an etag in the alphabet of URLs: %d %s", r.code, r.raw)
	}
}

func TestPolicyRefusals(t *testing.T) {
	t.Parallel()
	const mara = "user:mara@acme.example"
	many := func(n int) []string {
		var out []string
		for i := range n {
			out = append(out, fmt.Sprintf("user:u%d@acme.example", i))
		}
		return out
	}
	tests := []struct {
		name string
		add  []iam.Binding
		want int
	}{
		{"an account that does not exist", []iam.Binding{{Role: "roles/viewer", Members: []string{"serviceAccount:gone@acme-data.iam.gserviceaccount.com"}}}, 400},
		{"Google's own account", []iam.Binding{{Role: "roles/viewer", Members: []string{"serviceAccount:service-1@gcp-sa-pubsub.iam.gserviceaccount.com"}}}, 200},
		{"all users on a project", []iam.Binding{{Role: "roles/browser", Members: []string{iam.AllUsers}}}, 400},
		{"all authenticated users on a project", []iam.Binding{{Role: "roles/browser", Members: []string{iam.AllAuthenticatedUsers}}}, 400},
		{"a convenience member", []iam.Binding{{Role: "roles/browser", Members: []string{"projectOwner:acme-data"}}}, 400},
		{"no kind", []iam.Binding{{Role: "roles/browser", Members: []string{"mara@acme.example"}}}, 400},
		{"an unknown kind", []iam.Binding{{Role: "roles/browser", Members: []string{"robot:r2d2"}}}, 400},
		{"no address", []iam.Binding{{Role: "roles/browser", Members: []string{"user:mara"}}}, 400},
		{"an account as a user", []iam.Binding{{Role: "roles/browser", Members: []string{"user:ci-runner@acme-agents.iam.gserviceaccount.com"}}}, 400},
		{"a principal set", []iam.Binding{{Role: "roles/browser", Members: []string{"principalSet://cloudresourcemanager.googleapis.com/projects/567890123456/type/ServiceAccount"}}}, 200},
		{"a tombstone without uid", []iam.Binding{{Role: "roles/browser", Members: []string{"deleted:user:x@acme.example"}}}, 400},
		{"a role that does not exist", []iam.Binding{{Role: "roles/nonsense", Members: []string{mara}}}, 400},
		{"a role of a service that is not here", []iam.Binding{{Role: "roles/run.invoker", Members: []string{mara}}}, 200},
		{"a condition on a basic role", []iam.Binding{{Role: "roles/viewer", Members: []string{mara}, Condition: until("2030-01-01T00:00:00Z")}}, 400},
		{"a condition without title", []iam.Binding{{Role: "roles/browser", Members: []string{mara}, Condition: &iam.Condition{Expression: "true"}}}, 400},
		{"a condition without expression", []iam.Binding{{Role: "roles/browser", Members: []string{mara}, Condition: &iam.Condition{Title: "t"}}}, 400},
		{"a condition that does not compile", []iam.Binding{{Role: "roles/browser", Members: []string{mara}, Condition: &iam.Condition{Title: "t", Expression: "request.tim < 1"}}}, 400},
		{"a condition that is no bool", []iam.Binding{{Role: "roles/browser", Members: []string{mara}, Condition: &iam.Condition{Title: "t", Expression: "request.time"}}}, 400},
		{"12 operators", []iam.Binding{{Role: "roles/browser", Members: []string{mara}, Condition: &iam.Condition{Title: "t", Expression: "true" + strings.Repeat(" && true", 12)}}}, 200},
		{"13 operators", []iam.Binding{{Role: "roles/browser", Members: []string{mara}, Condition: &iam.Condition{Title: "t", Expression: "true" + strings.Repeat(" && true", 13)}}}, 400},
		// The seed has 3 members on acme-data.
		{"1,500 members", []iam.Binding{{Role: "roles/browser", Members: many(1497)}}, 200},
		{"1,501 members", []iam.Binding{{Role: "roles/browser", Members: many(1498)}}, 400},
		{"20 conditions of one role and member", manyConditions(20), 200},
		{"21 conditions of one role and member", manyConditions(21), 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			before := l.snapshot()
			w := l.getPolicy(3)
			w.Version = 3
			w.Bindings = append(w.Bindings, tt.add...)
			r := l.setPolicy(w)
			if r.code != tt.want {
				t.Errorf("answer is %d, want %d: %s", r.code, tt.want, r.raw)
			}
			if changed := l.snapshot() != before; changed != (r.code == 200) {
				t.Errorf("answer is %d, and the state changed: %v", r.code, changed)
			}
		})
	}
}

func manyConditions(n int) []iam.Binding {
	var out []iam.Binding
	for i := range n {
		out = append(out, iam.Binding{Role: "roles/browser", Members: []string{"user:mara@acme.example"},
			Condition: &iam.Condition{Title: fmt.Sprint("t", i), Expression: "true"}})
	}
	return out
}

func TestPolicyLimitMessage(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	w := l.getPolicy(3)
	for i := range 1498 {
		w.Bindings = append(w.Bindings, iam.Binding{Role: "roles/browser", Members: []string{fmt.Sprintf("user:u%d@acme.example", i)}})
	}
	r := l.setPolicy(w)
	const want = "The number of members in the policy (1,501) is larger than the maximum allowed size 1,500."
	if !strings.Contains(r.raw, want) {
		t.Errorf("answer is %s, want %q in it", r.raw, want)
	}
}

// What the emulator does not understand in a policy it keeps.
func TestPolicyUnknownFields(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.must(l.operator, "POST", dataPolicy+":setIamPolicy",
		`{"policy":{"future":{"a":[1,2]},"bindings":[{"role":"roles/owner","members":["user:olivia@acme.example"],"bindingId":"b7"}]}}`)
	r := l.must(l.operator, "POST", dataPolicy+":getIamPolicy", "")
	for _, want := range []string{`"future":{"a":[1,2]}`, `"bindingId":"b7"`} {
		if !strings.Contains(r.raw, want) {
			t.Errorf("policy is %s, without %s", r.raw, want)
		}
	}
}

func TestPolicyMask(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	const audit = `"auditConfigs":[{"service":"allServices","auditLogConfigs":[{"logType":"DATA_READ"}]}]`
	const at = crm + "v1/projects/acme-agents"
	before := l.must(l.operator, "POST", at+":getIamPolicy", `{"options":{"requestedPolicyVersion":3}}`)
	if !strings.Contains(before.raw, "secretmanager.googleapis.com") {
		t.Fatalf("the seed's audit config is not in %s", before.raw)
	}
	// By default audit configs are left alone, ...
	l.must(l.operator, "POST", at+":setIamPolicy", `{"policy":{"bindings":[{"role":"roles/owner","members":["user:olivia@acme.example"]}],`+audit+`}}`)
	after := l.must(l.operator, "POST", at+":getIamPolicy", "")
	if diff := cmp.Diff(before.body["auditConfigs"], after.body["auditConfigs"]); diff != "" {
		t.Errorf("audit configs changed without being named in the mask (-before +after):\n%s", diff)
	}
	// ... and with a mask nothing else changes.
	l.must(l.operator, "POST", at+":setIamPolicy", `{"policy":{`+audit+`},"updateMask":"auditConfigs"}`)
	last := l.must(l.operator, "POST", at+":getIamPolicy", "")
	if !strings.Contains(last.raw, "allServices") || last.body["bindings"] == nil {
		t.Errorf("after a masked write the policy is %s", last.raw)
	}
}

// A project administrator fenced in by modifiedGrantsByRole can grant no other role.
func TestModifiedGrantsByRole(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	w := l.getPolicy(3)
	w.Version = 3
	w.Bindings = append(w.Bindings, iam.Binding{Role: "roles/resourcemanager.projectIamAdmin", Members: []string{"user:mara@acme.example"},
		Condition: &iam.Condition{Title: "fence", Expression: `api.getAttribute("iam.googleapis.com/modifiedGrantsByRole", []).hasOnly(["roles/pubsub.viewer"])`}})
	if r := l.setPolicy(w); r.code != 200 {
		t.Fatalf("setting the fence: %s", r.raw)
	}
	for role, want := range map[string]int{"roles/pubsub.viewer": 200, "roles/owner": 403} {
		w := l.getPolicy(3)
		w.Bindings = append(w.Bindings, iam.Binding{Role: role, Members: []string{"user:mara@acme.example"}})
		raw, err := json.Marshal(w)
		if err != nil {
			t.Fatal(err)
		}
		if r := l.do(mara, "POST", dataPolicy+":setIamPolicy", `{"policy":`+string(raw)+`}`); r.code != want {
			t.Errorf("granting %s: %d, want %d: %s", role, r.code, want, r.raw)
		}
	}
}

func TestTestIamPermissions(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	email := l.account("ti-fresh")
	tests := []struct {
		url, token, asked string
		code              int
		want              []any
	}{
		{dataPolicy, l.operator, `"resourcemanager.projects.get","iam.serviceAccounts.getAccessToken"`, 200, []any{"resourcemanager.projects.get"}},
		{dataPolicy, mara, `"resourcemanager.projects.setIamPolicy"`, 200, nil},
		{accounts + "/" + email, noah, `"iam.serviceAccounts.getAccessToken"`, 200, []any{"iam.serviceAccounts.getAccessToken"}},
		{accounts + "/" + email, l.operator, `"iam.serviceAccounts.getAccessToken"`, 200, nil},
		{accounts + "/missing@acme-agents.iam.gserviceaccount.com", l.operator, `"iam.serviceAccounts.get"`, 200, nil},
		{dataPolicy, l.operator, `"resourcemanager.projects.*"`, 400, nil},
		{dataPolicy, l.operator, `"nonsense"`, 400, nil},
		{crm + "v3/folders/345678901234", l.operator, `"resourcemanager.folders.get","resourcemanager.folders.delete"`, 200, []any{"resourcemanager.folders.get"}},
		{crm + "v3/organizations/123456789012", l.operator, `"resourcemanager.organizations.get"`, 200, []any{"resourcemanager.organizations.get"}},
	}
	for _, tt := range tests {
		r := l.do(tt.token, "POST", tt.url+":testIamPermissions", `{"permissions":[`+tt.asked+`]}`)
		got, _ := r.body["permissions"].([]any)
		if r.code != tt.code || !cmp.Equal(got, tt.want) {
			t.Errorf("%s %s: %d %v, want %d %v", tt.url, tt.asked, r.code, got, tt.code, tt.want)
		}
	}
}
