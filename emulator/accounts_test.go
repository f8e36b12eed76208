package emulator

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/iam"
)

func TestAccountLifecycle(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	r := l.must(l.operator, "POST", accounts, `{"accountId":"ti-nightly","serviceAccount":{"displayName":"Nightly","description":"d"}}`)
	email, uid := r.str("email"), r.str("uniqueId")
	if want := "ti-nightly@acme-agents.iam.gserviceaccount.com"; email != want {
		t.Errorf("address is %s, want %s", email, want)
	}
	if len(uid) != 21 || r.str("etag") != "MDEwMjE5MjA=" || r.body["disabled"] != nil {
		t.Errorf("account is %s", r.raw)
	}
	// By address or unique id, in its project by id or number or in the wildcard.
	for _, project := range []string{"acme-agents", "567890123456", "-"} {
		for _, id := range []string{email, uid} {
			if got := l.must(l.operator, "GET", iamAPI+"projects/"+project+"/serviceAccounts/"+id, "").str("uniqueId"); got != uid {
				t.Errorf("projects/%s/serviceAccounts/%s is %s", project, id, got)
			}
		}
	}
	l.want(l.do(l.operator, "GET", iamAPI+"projects/acme-data/serviceAccounts/"+email, ""), 404, "NOT_FOUND")
	l.want(l.do(l.operator, "GET", accounts+"/gone@acme-agents.iam.gserviceaccount.com", ""), 404, "NOT_FOUND")
	l.want(l.do(l.operator, "GET", iamAPI+"projects/-/serviceAccounts/gone@acme-agents.iam.gserviceaccount.com", ""), 403, "PERMISSION_DENIED")
	l.want(l.do(mara, "GET", accounts+"/gone@acme-agents.iam.gserviceaccount.com", ""), 403, "PERMISSION_DENIED")
	l.want(l.do(l.operator, "POST", accounts, `{"accountId":"ti-nightly"}`), 409, "ALREADY_EXISTS")

	// PATCH answers with what it changed, and no more.
	r = l.must(l.operator, "PATCH", accounts+"/"+email, `{"serviceAccount":{"displayName":"x","description":"new"},"updateMask":"description"}`)
	if r.str("description") != "new" || r.body["displayName"] != nil || r.body["email"] != nil {
		t.Errorf("the answer of PATCH is %s", r.raw)
	}
	if got := l.must(l.operator, "GET", accounts+"/"+email, ""); got.str("displayName") != "Nightly" || got.str("description") != "new" {
		t.Errorf("after PATCH the account is %s", got.raw)
	}

	for range 2 { // idempotent
		l.must(l.operator, "POST", accounts+"/"+email+":disable", "{}")
	}
	if got := l.must(l.operator, "GET", accounts+"/"+email, ""); got.body["disabled"] != true {
		t.Errorf("after disable the account is %s", got.raw)
	}
	l.must(l.operator, "POST", accounts+"/"+email+":enable", "{}")

	if r := l.must(l.operator, "DELETE", accounts+"/"+email, ""); r.raw != "{}" {
		t.Errorf("the answer of DELETE is %s", r.raw)
	}
	l.want(l.do(l.operator, "DELETE", accounts+"/"+email, ""), 404, "NOT_FOUND")
	if r := l.do(l.operator, "GET", accounts+"/"+uid, ""); r.code != 404 || !strings.Contains(r.raw, "Account deleted: "+uid) {
		t.Errorf("after DELETE, by unique id: %d %s", r.code, r.raw)
	}
}

func TestAccountRefusals(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for _, id := range []string{"", "short", "Capital-x", "1-digit-x", "ends-in-", strings.Repeat("a", 31), "under_score"} {
		l.want(l.do(l.operator, "POST", accounts, `{"accountId":"`+id+`"}`), 400, "INVALID_ARGUMENT")
	}
	long := strings.Repeat("ü", 51)
	l.want(l.do(l.operator, "POST", accounts, `{"accountId":"ti-long-name","serviceAccount":{"displayName":"`+long+`"}}`), 400, "INVALID_ARGUMENT")
	long = strings.Repeat("x", 257)
	l.want(l.do(l.operator, "POST", accounts, `{"accountId":"ti-long-name","serviceAccount":{"description":"`+long+`"}}`), 400, "INVALID_ARGUMENT")
	l.want(l.do(l.operator, "POST", accounts, `{"accountId":`), 400, "INVALID_ARGUMENT")
	l.want(l.do(mara, "POST", accounts, `{"accountId":"ti-not-allowed"}`), 403, "PERMISSION_DENIED")
	l.want(l.do(l.operator, "POST", iamAPI+"projects/missing/serviceAccounts", `{"accountId":"ti-no-project"}`), 403, "PERMISSION_DENIED")
}

func TestAccountList(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for i := range 24 {
		l.account(fmt.Sprintf("ti-many-%02d", i))
	}
	seen := map[string]bool{}
	pages := 0
	for token := ""; ; {
		r := l.must(l.operator, "GET", accounts+"?pageToken="+token, "")
		pages++
		for _, a := range r.body["accounts"].([]any) {
			seen[a.(map[string]any)["email"].(string)] = true
		}
		if token = r.str("nextPageToken"); token == "" {
			break
		}
	}
	if len(seen) != 25 || pages != 2 { // ci-runner is in the seed; a page holds 20
		t.Errorf("%d accounts on %d pages, want 25 on 2", len(seen), pages)
	}
	l.want(l.do(l.operator, "GET", accounts+"?pageToken=garbage", ""), 400, "INVALID_ARGUMENT")
	l.want(l.do(l.operator, "GET", accounts+"?pageSize=-1", ""), 400, "INVALID_ARGUMENT")
}

// A deleted account stays in policies as a tombstone; undelete revives both.
func TestTombstones(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	r := l.must(l.operator, "POST", accounts, `{"accountId":"ti-mortal"}`)
	email, uid := r.str("email"), r.str("uniqueId")
	alive, deletedMember := "serviceAccount:"+email, "deleted:serviceAccount:"+email+"?uid="+uid
	w := l.getPolicy(3)
	w.Bindings = append(w.Bindings, iam.Binding{Role: "roles/browser", Members: []string{alive}})
	if r := l.setPolicy(w); r.code != 200 {
		t.Fatal(r.raw)
	}
	l.must(l.operator, "POST", crm+"v1/projects/acme-agents:getIamPolicy", "")
	before := l.snapshot()
	l.must(l.operator, "DELETE", accounts+"/"+email, "")
	if s := l.snapshot(); strings.Contains(s, `"`+alive+`"`) || !strings.Contains(s, deletedMember) {
		t.Errorf("after the deletion policies name %s, not %s", alive, deletedMember)
	}
	// A tombstone may be written back; a dead member may not be added.
	if r := l.setPolicy(l.getPolicy(3)); r.code != 200 {
		t.Errorf("writing back a tombstone: %s", r.raw)
	}

	// Undelete takes the unique id, and no account may have the name meanwhile.
	l.want(l.do(l.operator, "POST", accounts+"/"+email+":undelete", "{}"), 404, "NOT_FOUND")
	second := l.account("ti-mortal")
	l.want(l.do(l.operator, "POST", accounts+"/"+uid+":undelete", "{}"), 400, "FAILED_PRECONDITION")
	l.must(l.operator, "DELETE", accounts+"/"+second, "")
	if r := l.must(l.operator, "POST", accounts+"/"+uid+":undelete", "{}"); r.body["restoredAccount"] == nil {
		t.Errorf("the answer of undelete is %s", r.raw)
	}
	if got := l.snapshot(); got != before {
		t.Errorf("after undelete the state is\n%s\nwant\n%s", got, before)
	}
	l.want(l.do(l.operator, "POST", accounts+"/"+uid+":undelete", "{}"), 400, "FAILED_PRECONDITION")

	l.must(l.operator, "DELETE", accounts+"/"+email, "")
	l.Advance(31 * 24 * time.Hour)
	l.want(l.do(l.operator, "POST", accounts+"/"+uid+":undelete", "{}"), 404, "NOT_FOUND")
}

func TestOrganizationPolicies(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(c *Config) {
		c.Seed = []byte(`
[operator]
member = "user:o@acme.example"
[[project]]
id = "strict"
number = "7"
constraints = ["iam.disableServiceAccountCreation", "iam.disableServiceAccountKeyCreation", "constraints/iam.disableServiceAccountKeyUpload"]
[[project.binding]]
role = "roles/owner"
members = ["user:o@acme.example"]
[[service_account]]
project = "strict"
id = "resident"
`)
	})
	const at = iamAPI + "projects/strict/serviceAccounts"
	const resident = at + "/resident@strict.iam.gserviceaccount.com"
	for url, want := range map[string]string{
		at:                        "constraints/iam.disableServiceAccountCreation",
		resident + "/keys":        "constraints/iam.disableServiceAccountKeyCreation",
		resident + "/keys:upload": "constraints/iam.disableServiceAccountKeyUpload",
	} {
		r := l.do(l.operator, "POST", url, `{"accountId":"ti-forbidden"}`)
		l.want(r, 400, "FAILED_PRECONDITION")
		if !strings.Contains(r.raw, "google.rpc.PreconditionFailure") || !strings.Contains(r.raw, want) {
			t.Errorf("%s: %s does not name %s", url, r.raw, want)
		}
	}
}
