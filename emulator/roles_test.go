package emulator

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/taskiam/taskiam/emulator/internal/iam"
)

func TestRoleMethods(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	r := l.must(mara, "GET", iamAPI+"roles/storage.objectViewer", "")
	if !strings.Contains(r.raw, `"storage.objects.get"`) || r.str("title") != "Storage Object Viewer" {
		t.Errorf("the role is %s", r.raw)
	}
	l.want(l.do(mara, "GET", iamAPI+"roles/nonsense", ""), 404, "NOT_FOUND")

	names := map[string]bool{}
	for token := ""; ; {
		r := l.must(mara, "GET", iamAPI+"roles?pageSize=1000&pageToken="+token, "")
		for _, v := range r.body["roles"].([]any) {
			names[v.(map[string]any)["name"].(string)] = true
		}
		if token = r.str("nextPageToken"); token == "" {
			break
		}
	}
	if len(names) != len(iam.Predefined()) {
		t.Errorf("the list names %d roles of %d", len(names), len(iam.Predefined()))
	}

	for resource, want := range map[string][2]string{ // grantable, not grantable
		"//iam.googleapis.com/projects/p/serviceAccounts/x":            {"roles/iam.serviceAccountTokenCreator", "roles/storage.objectViewer"},
		"//storage.googleapis.com/projects/_/buckets/b":                {"roles/storage.objectViewer", "roles/pubsub.publisher"},
		"//pubsub.googleapis.com/projects/p/topics/t":                  {"roles/pubsub.publisher", "roles/storage.objectViewer"},
		"//secretmanager.googleapis.com/projects/1/secrets/s":          {"roles/secretmanager.secretAccessor", "roles/pubsub.publisher"},
		"//bigquery.googleapis.com/projects/p/datasets/d":              {"roles/bigquery.dataViewer", "roles/pubsub.publisher"},
		"//cloudresourcemanager.googleapis.com/projects/acme-agents":   {"roles/run.invoker", ""},
		"//cloudresourcemanager.googleapis.com/organizations/12345678": {"roles/viewer", ""},
	} {
		r := l.must(mara, "POST", iamAPI+"roles:queryGrantableRoles", `{"fullResourceName":"`+resource+`","pageSize":2000}`)
		rest := l.do(mara, "POST", iamAPI+"roles:queryGrantableRoles", `{"fullResourceName":"`+resource+`","pageSize":2000,"pageToken":"`+r.str("nextPageToken")+`"}`)
		all := r.raw + rest.raw
		if !strings.Contains(all, `"`+want[0]+`"`) || want[1] != "" && strings.Contains(all, `"`+want[1]+`"`) {
			t.Errorf("%s: want %s, and not %s", resource, want[0], want[1])
		}
	}
	l.want(l.do(mara, "POST", iamAPI+"roles:queryGrantableRoles", `{"fullResourceName":"nonsense"}`), 400, "INVALID_ARGUMENT")

	r = l.must(mara, "POST", iamAPI+"permissions:queryTestablePermissions", `{"fullResourceName":"//pubsub.googleapis.com/projects/p/topics/t","pageSize":1000}`)
	if !strings.Contains(r.raw, "pubsub.topics.publish") || strings.Contains(r.raw, "storage.") {
		t.Errorf("testable permissions of a topic: %s", r.raw)
	}
}

func TestLintPolicy(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for expression, good := range map[string]bool{
		`request.time < timestamp('2026-01-01T00:00:00Z')`: true,
		`request.tme < timestamp('2026-01-01T00:00:00Z')`:  false,
		`resource.name.startsWith('x'`:                     false,
		`request.time`:                                     false,
	} {
		body, err := json.Marshal(map[string]any{"condition": iam.Condition{Title: "t", Expression: expression}})
		if err != nil {
			t.Fatal(err)
		}
		r := l.must(mara, "POST", iamAPI+"iamPolicies:lintPolicy", string(body))
		if got := r.body["lintResults"] == nil; got != good {
			t.Errorf("%s: %s", expression, r.raw)
		}
	}
}

func TestResourceManager(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	field := func(r response, list, name string) []string {
		var out []string
		all, _ := r.body[list].([]any)
		for _, v := range all {
			s, _ := v.(map[string]any)[name].(string)
			out = append(out, s)
		}
		return out
	}
	both := []string{"acme-agents", "acme-data"}
	for _, tt := range []struct {
		token, url, list, name string
		want                   []string
	}{
		{l.operator, "v1/projects?filter=lifecycleState:ACTIVE", "projects", "projectId", both},
		{l.operator, "v3/projects:search", "projects", "projectId", both},
		{mara, "v3/projects:search", "projects", "projectId", []string{"acme-data"}},
		{l.operator, "v3/folders:search", "folders", "name", []string{"folders/345678901234"}},
		{mara, "v3/folders:search", "folders", "name", nil},
		{l.operator, "v3/organizations:search", "organizations", "displayName", []string{"acme.example"}},
		{l.operator, "v3/projects?parent=folders/345678901234", "projects", "projectId", both},
		{l.operator, "v3/folders?parent=organizations/123456789012", "folders", "displayName", []string{"Automation"}},
		{mara, "v3/folders?parent=organizations/123456789012", "folders", "displayName", nil},
	} {
		if got := field(l.do(tt.token, "GET", crm+tt.url, ""), tt.list, tt.name); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.url, got, tt.want)
		}
	}
	for id, want := range map[string]int{"acme-agents": 200, "567890123456": 200, "missing": 403, "acme-secret": 403} {
		for _, version := range []string{"v1", "v3"} {
			if r := l.do(l.operator, "GET", crm+version+"/projects/"+id, ""); r.code != want {
				t.Errorf("%s/projects/%s: %d, want %d", version, id, r.code, want)
			}
		}
	}
	// Transcoding clients ask for numbers in place of names.
	if r := l.must(l.operator, "GET", crm+"v3/projects/acme-agents?%24alt=json%3Benum-encoding%3Dint", ""); r.body["state"] != float64(1) {
		t.Errorf("the state is %v", r.body["state"])
	}
	if r := l.must(l.operator, "GET", crm+"v3/folders/345678901234", ""); r.str("parent") != "organizations/123456789012" {
		t.Errorf("the folder is %s", r.raw)
	}
	l.want(l.do(mara, "GET", crm+"v3/organizations/123456789012", ""), 403, "PERMISSION_DENIED")
	r := l.must(l.operator, "POST", crm+"v1/projects/acme-agents:getAncestry", "{}")
	if got := len(r.body["ancestor"].([]any)); got != 3 {
		t.Errorf("the ancestry is %s", r.raw)
	}
	if got := slices.Sorted(maps.Keys(l.wire.State().Projects)); !slices.Equal(got, both) {
		t.Errorf("the projects are %v", got)
	}
}
