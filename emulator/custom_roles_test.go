package emulator

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/iam"
)

const agentRoles = iamAPI + "projects/acme-agents/roles"

func TestCustomRoles(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	r := l.must(l.operator, "POST", agentRoles, `{"roleId":"bucket_reader","role":{"title":"Reader","description":"d","stage":"ALPHA","includedPermissions":["storage.objects.list","storage.objects.get"]}}`)
	if r.str("name") != "projects/acme-agents/roles/bucket_reader" || r.body["stage"] != nil || r.body["deleted"] != nil ||
		fmt.Sprint(r.body["includedPermissions"]) != "[storage.objects.get storage.objects.list]" {
		t.Errorf("the role is %s", r.raw)
	}
	etag := r.str("etag")
	if len(etag) != 12 || !strings.HasPrefix(etag, "B") {
		t.Errorf("the etag is %s", etag)
	}
	// By number, too.
	if got := l.must(l.operator, "GET", iamAPI+"projects/567890123456/roles/bucket_reader", ""); got.raw != r.raw {
		t.Errorf("the role reads %s, was made as %s", got.raw, r.raw)
	}
	l.want(l.do(l.operator, "POST", agentRoles, `{"roleId":"bucket_reader","role":{}}`), 409, "ALREADY_EXISTS")
	l.want(l.do(l.operator, "GET", agentRoles+"/missing", ""), 404, "NOT_FOUND")

	patched := l.must(l.operator, "PATCH", agentRoles+"/bucket_reader?updateMask=title,includedPermissions",
		`{"title":"New","description":"ignored","includedPermissions":["storage.objects.get"],"etag":"`+etag+`"}`)
	if patched.str("title") != "New" || patched.str("description") != "d" || patched.str("etag") == etag ||
		fmt.Sprint(patched.body["includedPermissions"]) != "[storage.objects.get]" {
		t.Errorf("the changed role is %s", patched.raw)
	}
	l.want(l.do(l.operator, "PATCH", agentRoles+"/bucket_reader", `{"title":"Stale","etag":"`+etag+`"}`), 409, "ABORTED")
	l.want(l.do(l.operator, "PATCH", agentRoles+"/bucket_reader?updateMask=nonsense", `{}`), 400, "INVALID_ARGUMENT")
	if r := l.must(l.operator, "PATCH", agentRoles+"/bucket_reader", `{"stage":"GA"}`); r.str("stage") != "GA" || r.str("title") != "New" {
		t.Errorf("without a mask the role is %s", r.raw)
	}
	for _, url := range []string{agentRoles, agentRoles + "/bucket_reader"} {
		l.want(l.do(mara, "GET", url, ""), 403, "PERMISSION_DENIED")
	}
	l.want(l.do(mara, "POST", agentRoles, `{"roleId":"mine"}`), 403, "PERMISSION_DENIED")
	l.want(l.do(mara, "DELETE", agentRoles+"/bucket_reader", ""), 403, "PERMISSION_DENIED")
	l.want(l.do(mara, "PATCH", agentRoles+"/bucket_reader", "{}"), 403, "PERMISSION_DENIED")
	if r := l.must(l.operator, "GET", agentRoles, ""); strings.Contains(r.raw, "includedPermissions") || !strings.Contains(r.raw, "bucket_reader") {
		t.Errorf("the list is %s", r.raw)
	}
	if r := l.must(l.operator, "GET", agentRoles+"?view=FULL", ""); !strings.Contains(r.raw, "includedPermissions") {
		t.Errorf("the full list is %s", r.raw)
	}
}

func TestCustomRoleRefusals(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	var many []string
	for i := range iam.MaxRolePermissions + 1 {
		many = append(many, fmt.Sprintf("made.up.p%d", i))
	}
	for _, tt := range []struct {
		id   string
		role map[string]any
		want int
	}{
		{"ok_1.A", map[string]any{}, 200},
		{"ab", nil, 400},
		{"has-hyphen", nil, 400},
		{strings.Repeat("x", 65), nil, 400},
		{strings.Repeat("x", 64), nil, 200},
		{"long_title", map[string]any{"title": strings.Repeat("ü", 51)}, 400},
		{"full_title", map[string]any{"title": strings.Repeat("ü", 50)}, 200},
		{"long_description", map[string]any{"description": strings.Repeat("x", 301)}, 400},
		{"full_description", map[string]any{"description": strings.Repeat("x", 300)}, 200},
		{"too_many", map[string]any{"includedPermissions": many}, 400},
		{"just_enough", map[string]any{"includedPermissions": many[1:]}, 200},
		{"too_big", map[string]any{"includedPermissions": []string{"made.up." + strings.Repeat("x", 65<<10)}}, 400},
		{"stage", map[string]any{"stage": "OMEGA"}, 400},
		{"unknown", map[string]any{"includedPermissions": []string{"storage.objects.frobnicate"}}, 400},
		{"wildcard", map[string]any{"includedPermissions": []string{"storage.objects.*"}}, 400},
		{"no_permission", map[string]any{"includedPermissions": []string{"nonsense"}}, 400},
		{"list_projects", map[string]any{"includedPermissions": []string{"resourcemanager.projects.list"}}, 400},
		{"of_billing", map[string]any{"includedPermissions": []string{"billing.resourceAssociations.list"}}, 400},
		{"costs", map[string]any{"includedPermissions": []string{"billing.resourceCosts.get"}}, 200},
		{"tags", map[string]any{"includedPermissions": []string{"resourcemanager.tagValues.get"}}, 400},
		{"organizational", map[string]any{"includedPermissions": []string{"resourcemanager.organizations.get"}}, 400},
		{"unsupported", map[string]any{"includedPermissions": []string{"iam.denypolicies.create"}}, 400},
	} {
		body, err := json.Marshal(map[string]any{"roleId": tt.id, "role": tt.role})
		if err != nil {
			t.Fatal(err)
		}
		r := l.do(l.operator, "POST", agentRoles, string(body))
		if r.code != tt.want || r.code != 200 && r.status() != "INVALID_ARGUMENT" {
			t.Errorf("%s: %d %s, want %d", tt.id, r.code, r.status(), tt.want)
		}
	}
	if r := l.do(l.operator, "POST", agentRoles, `{"roleId":"message","role":{"includedPermissions":["resourcemanager.folders.get"]}}`); !strings.Contains(r.raw, "Permission resourcemanager.folders.get is not valid") {
		t.Errorf("the refusal is %s", r.raw)
	}
}

func TestCustomRoleLimit(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for i := range iam.MaxCustomRoles {
		l.must(l.operator, "POST", agentRoles, fmt.Sprintf(`{"roleId":"role%d"}`, i))
	}
	l.want(l.do(l.operator, "POST", agentRoles, `{"roleId":"one_more"}`), 429, "RESOURCE_EXHAUSTED")
	// A deleted role counts until it can no longer be undeleted.
	l.must(l.operator, "DELETE", agentRoles+"/role7", "")
	l.want(l.do(l.operator, "POST", agentRoles, `{"roleId":"one_more"}`), 429, "RESOURCE_EXHAUSTED")
	l.Advance(7 * iam.Day)
	l.must(l.operator, "POST", agentRoles, `{"roleId":"one_more"}`)
}

// A deleted role comes back for 7 days, and its id is free after 44.
func TestCustomRoleDeletion(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	email := l.account("ti-reader")
	member := "serviceAccount:" + email
	create := `{"roleId":"seer","role":{"title":"t","includedPermissions":["iam.serviceAccounts.list"]}}`
	l.must(l.operator, "POST", agentRoles, create)
	const policy = crm + "v1/projects/acme-agents"
	l.must(l.operator, "POST", agentRoles, `{"roleId":"other","role":{"includedPermissions":["iam.serviceAccounts.list"]}}`)
	read := l.must(l.operator, "POST", policy+":getIamPolicy", `{"options":{"requestedPolicyVersion":3}}`)
	var w iam.PolicyJSON
	if err := json.Unmarshal([]byte(read.raw), &w); err != nil {
		t.Fatal(err)
	}
	set := func(roles ...string) response {
		next := w
		next.Etag, next.Version = "", 3
		next.Bindings = slices.Clone(w.Bindings)
		for _, r := range roles {
			next.Bindings = append(next.Bindings, grant("projects/acme-agents/roles/"+r, member))
		}
		raw, err := json.Marshal(next)
		if err != nil {
			t.Fatal(err)
		}
		return l.do(l.operator, "POST", policy+":setIamPolicy", `{"policy":`+string(raw)+`}`)
	}
	if r := set("seer"); r.code != 200 {
		t.Fatalf("binding the role: %s", r.raw)
	}
	works := func(want int) {
		t.Helper()
		if r := l.do(l.mint(email), "GET", accounts, ""); r.code != want {
			t.Errorf("listing accounts: %d, want %d", r.code, want)
		}
	}
	works(200)
	if r := l.must(l.operator, "DELETE", agentRoles+"/seer", ""); r.body["deleted"] != true || r.str("title") != "t" {
		t.Errorf("the answer of DELETE is %s", r.raw)
	}
	works(403)
	l.want(l.do(l.operator, "DELETE", agentRoles+"/seer", ""), 400, "FAILED_PRECONDITION")
	l.want(l.do(l.operator, "PATCH", agentRoles+"/seer", `{"title":"x"}`), 400, "FAILED_PRECONDITION")
	refused := l.do(l.operator, "POST", agentRoles, create)
	l.want(refused, 400, "FAILED_PRECONDITION")
	if want := "You can't create a role_id (seer) which has been marked for deletion."; !strings.Contains(refused.raw, want) {
		t.Errorf("the refusal is %s, want %q", refused.raw, want)
	}
	listed := func(query string) bool {
		return strings.Contains(l.must(l.operator, "GET", agentRoles+query, "").raw, "/seer")
	}
	if listed("") || !listed("?showDeleted=true") {
		t.Error("a deleted role is listed only on demand")
	}
	if r := set("seer"); r.code != 200 {
		t.Errorf("the binding of a deleted role may stay: %s", r.raw)
	}
	set()
	l.want(set("seer"), 400, "INVALID_ARGUMENT") // but not be made
	l.Advance(7*iam.Day - time.Second)
	if r := l.must(l.operator, "POST", agentRoles+"/seer:undelete", "{}"); r.body["deleted"] != nil {
		t.Errorf("the answer of undelete is %s", r.raw)
	}
	l.want(l.do(l.operator, "POST", agentRoles+"/seer:undelete", "{}"), 400, "FAILED_PRECONDITION")
	if r := set("seer"); r.code != 200 {
		t.Fatal(r.raw)
	}
	works(200)
	l.must(l.operator, "PATCH", agentRoles+"/seer", `{"stage":"DISABLED"}`)
	works(403)

	l.must(l.operator, "DELETE", agentRoles+"/seer", "")
	l.Advance(7 * iam.Day)
	l.want(l.do(l.operator, "POST", agentRoles+"/seer:undelete", "{}"), 404, "NOT_FOUND")
	l.want(l.do(l.operator, "GET", agentRoles+"/seer", ""), 404, "NOT_FOUND")
	if listed("?showDeleted=true") {
		t.Error("a role that cannot come back is listed")
	}
	l.Advance(37*iam.Day - time.Second)
	l.want(l.do(l.operator, "POST", agentRoles, create), 400, "FAILED_PRECONDITION")
	l.Advance(time.Second)
	l.must(l.operator, "POST", agentRoles, create)
	works(403) // the bindings went with the old role
}

func TestCustomRolePatchPartial(t *testing.T) {
	t.Parallel()
	l := newLab(t, withDoubts(iam.Doubts{RolePatchPartial: true}))
	l.must(l.operator, "POST", agentRoles, `{"roleId":"parts","role":{"title":"t","description":"d"}}`)
	r := l.must(l.operator, "PATCH", agentRoles+"/parts?updateMask=title", `{"title":"u"}`)
	if r.str("title") != "u" || r.str("name") == "" || r.str("etag") == "" || len(r.body) != 3 {
		t.Errorf("the answer is %s", r.raw)
	}
}

// scoped is a company with custom roles in two projects and the organization.
const scoped = `
[operator]
member = "user:o@acme.example"
[organization]
number = "1"
domain = "acme.example"
[[organization.binding]]
role = "roles/iam.organizationRoleAdmin"
members = ["user:o@acme.example"]
[[organization.binding]]
role = "roles/resourcemanager.organizationAdmin"
members = ["user:o@acme.example"]
[[project]]
id = "here"
number = "10"
parent = "organizations/1"
[[project.binding]]
role = "roles/owner"
members = ["user:o@acme.example"]
[[project]]
id = "there"
number = "11"
parent = "organizations/1"
[[role]]
parent = "projects/here"
id = "local"
permissions = ["storage.objects.get"]
[[role]]
parent = "projects/there"
id = "foreign"
permissions = ["storage.objects.get"]
[[role]]
parent = "organizations/1"
id = "global"
permissions = ["storage.objects.get", "resourcemanager.organizations.get"]
[[service_account]]
project = "here"
id = "worker"
[[bucket]]
project = "here"
name = "scoped-bucket"
`

// A custom role is bound where it was made, and below.
func TestCustomRoleScope(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(c *Config) { c.Seed = []byte(scoped) })
	grantable := func(resource string) []string {
		var names []string
		for token := ""; ; {
			r := l.must(l.operator, "POST", iamAPI+"roles:queryGrantableRoles", `{"fullResourceName":"`+resource+`","pageSize":2000,"pageToken":"`+token+`"}`)
			all, _ := r.body["roles"].([]any)
			for _, v := range all {
				name, _ := v.(map[string]any)["name"].(string)
				if !strings.HasPrefix(name, "roles/") {
					names = append(names, name)
				}
			}
			if token = r.str("nextPageToken"); token == "" {
				return names
			}
		}
	}
	both := []string{"projects/here/roles/local", "organizations/1/roles/global"}
	for resource, want := range map[string][]string{
		"//cloudresourcemanager.googleapis.com/projects/here":                                        both,
		"//cloudresourcemanager.googleapis.com/projects/10":                                          both,
		"//storage.googleapis.com/projects/_/buckets/scoped-bucket":                                  both,
		"//cloudresourcemanager.googleapis.com/organizations/1":                                      {"organizations/1/roles/global"},
		"//pubsub.googleapis.com/projects/here/topics/t":                                             nil,
		"//iam.googleapis.com/projects/here/serviceAccounts/worker@here.iam.gserviceaccount.com":     nil,
		"//storage.googleapis.com/projects/_/buckets/a-bucket-that-is-not-there":                     nil,
		"//cloudresourcemanager.googleapis.com/projects/there":                                       {"projects/there/roles/foreign", "organizations/1/roles/global"},
		"//127.0.0.1:18080/projects/here":                                                            both, // as gcloud names it with an override
		"//cloudresourcemanager.googleapis.com/projects/a-project-that-is-not-there-either-or-ever-": nil,
	} {
		if got := grantable(resource); !slices.Equal(got, want) {
			t.Errorf("on %s can be granted %v, want %v", resource, got, want)
		}
	}

	set := func(verb, url, role string, wrapped bool) int {
		body := `{"bindings":[{"role":"` + role + `","members":["user:mara@acme.example"]}]}`
		if strings.Contains(url, "cloudresourcemanager") { // or else nobody could go on
			body = strings.Replace(body, `"bindings":[`, `"bindings":[{"role":"roles/owner","members":["user:o@acme.example"]},{"role":"roles/resourcemanager.organizationAdmin","members":["user:o@acme.example"]},`, 1)
		}
		if strings.Contains(url, "projects/here:") {
			body = strings.Replace(body, `{"role":"roles/resourcemanager.organizationAdmin","members":["user:o@acme.example"]},`, "", 1)
		} else {
			body = strings.Replace(body, `{"role":"roles/owner","members":["user:o@acme.example"]},`, "", 1)
		}
		if wrapped {
			body = `{"policy":` + body + `}`
		}
		return l.do(l.operator, verb, url, body).code
	}
	const bucket = "https://storage.googleapis.com/storage/v1/b/scoped-bucket/iam"
	for _, tt := range []struct {
		verb, url, role string
		want            int
	}{
		{"POST", crm + "v1/projects/here:setIamPolicy", "projects/here/roles/local", 200},
		{"POST", crm + "v1/projects/here:setIamPolicy", "projects/there/roles/foreign", 400},
		{"POST", crm + "v1/projects/here:setIamPolicy", "organizations/1/roles/global", 200},
		{"POST", crm + "v1/projects/here:setIamPolicy", "organizations/2/roles/global", 400},
		{"POST", crm + "v1/projects/here:setIamPolicy", "projects/10/roles/local", 400},
		{"POST", crm + "v1/organizations/1:setIamPolicy", "projects/here/roles/local", 400},
		{"POST", crm + "v1/organizations/1:setIamPolicy", "organizations/1/roles/global", 200},
		{"PUT", bucket, "projects/there/roles/foreign", 400},
		{"POST", iamAPI + "projects/here/serviceAccounts/worker@here.iam.gserviceaccount.com:setIamPolicy", "projects/here/roles/local", 400}, // nothing in it for an account
	} {
		if got := set(tt.verb, tt.url, tt.role, tt.verb == "POST"); got != tt.want {
			t.Errorf("%s of %s: %d, want %d", tt.url, tt.role, got, tt.want)
		}
	}
}

func TestOrganizationRoles(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(c *Config) { c.Seed = []byte(scoped) })
	const at = iamAPI + "organizations/1/roles"
	r := l.must(l.operator, "POST", at, `{"roleId":"wide","role":{"includedPermissions":["resourcemanager.folders.get"]}}`)
	if r.str("name") != "organizations/1/roles/wide" {
		t.Errorf("the role is %s", r.raw)
	}
	if r := l.must(l.operator, "GET", at, ""); len(r.body["roles"].([]any)) != 2 {
		t.Errorf("the list is %s", r.raw)
	}
	l.must(l.operator, "DELETE", at+"/wide", "")
	l.must(l.operator, "POST", at+"/wide:undelete", "{}")
	l.want(l.do(l.operator, "GET", iamAPI+"organizations/2/roles", ""), 403, "PERMISSION_DENIED")
}

// Every way in which a project's custom role comes to its permissions refuses those of what is above.
func TestProjectRolesTakeNothingFromAbove(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.must(l.operator, "POST", agentRoles, `{"roleId":"narrow","role":{"includedPermissions":["storage.objects.get"]}}`)
	for _, p := range []string{"resourcemanager.projects.list", "billing.accounts.get"} {
		r := l.do(l.operator, "PATCH", agentRoles+"/narrow?updateMask=includedPermissions", `{"includedPermissions":["`+p+`"]}`)
		if r.code != 400 || !strings.Contains(r.raw, "Permission "+p+" is not valid.") {
			t.Errorf("a role was changed to hold %s: %d %s", p, r.code, r.raw)
		}
		if _, err := New(Config{Seed: []byte(scoped + "[[role]]\nparent = \"projects/here\"\nid = \"seeded\"\npermissions = [\"" + p + "\"]\n")}); err == nil {
			t.Errorf("a seed made a project's role that holds %s", p)
		}
	}
	tags := newLab(t, withDoubts(iam.Doubts{ProjectTags: true}))
	tags.must(tags.operator, "POST", agentRoles, `{"roleId":"tags","role":{"includedPermissions":["resourcemanager.tagKeys.list"]}}`)
}

func TestTestablePermissions(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	levels := func(resource string) map[string]string {
		out := map[string]string{}
		for token := ""; ; {
			r := l.must(l.operator, "POST", iamAPI+"permissions:queryTestablePermissions", `{"fullResourceName":"`+resource+`","pageSize":1000,"pageToken":"`+token+`"}`)
			all, _ := r.body["permissions"].([]any)
			for _, v := range all {
				p := v.(map[string]any)
				level, _ := p["customRolesSupportLevel"].(string)
				out[p["name"].(string)] = level
			}
			if token = r.str("nextPageToken"); token == "" {
				return out
			}
		}
	}
	project, organization := levels("//cloudresourcemanager.googleapis.com/projects/acme-data"), levels("//cloudresourcemanager.googleapis.com/organizations/123456789012")
	for _, p := range []string{"resourcemanager.organizations.get", "resourcemanager.folders.list", "resourcemanager.projects.list",
		"resourcemanager.projects.create", "resourcemanager.tagKeys.list", "billing.accounts.get"} {
		if _, ok := project[p]; ok {
			t.Errorf("%s can be tested on a project, though it means something only above projects", p)
		}
		if _, ok := organization[p]; !ok {
			t.Errorf("%s cannot be tested on an organization", p)
		}
	}
	for name, want := range map[string]string{"storage.objects.get": "", "pubsub.snapshots.seek": "TESTING"} {
		if got, ok := project[name]; !ok || got != want {
			t.Errorf("%s: there is %v, level %q, want %q", name, ok, got, want)
		}
	}
}
