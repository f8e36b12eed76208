package emulator

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/iam"
)

// withDoubts answers the open questions.
func withDoubts(d iam.Doubts) func(*Config) { return func(c *Config) { c.Doubts = &d } }

// bindData adds a binding to the policy of acme-data.
func (l *lab) bindData(b iam.Binding) {
	l.t.Helper()
	w := l.getPolicy(3)
	w.Version = 3
	w.Bindings = append(w.Bindings, b)
	if r := l.setPolicy(w); r.code != 200 {
		l.t.Fatalf("binding %v: %s", b, r.raw)
	}
}

func (l *lab) dataNames(member string) bool {
	l.t.Helper()
	for _, b := range l.getPolicy(3).Bindings {
		for _, m := range b.Members {
			if m == member {
				return true
			}
		}
	}
	return false
}

// An account is gone for good after 30 days, its tombstone after 60.
func TestPurge(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		doubts    iam.Doubts
		tombstone time.Duration
	}{
		{"as documented", iam.Doubts{}, 60 * iam.Day},
		{"sooner", iam.Doubts{TombstoneDays: 30}, 30 * iam.Day},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, withDoubts(tt.doubts))
			r := l.must(l.operator, "POST", accounts, `{"accountId":"ti-mortal"}`)
			email, uid := r.str("email"), r.str("uniqueId")
			deletedMember := "deleted:serviceAccount:" + email + "?uid=" + uid
			empty := l.snapshot()
			l.bindData(iam.Binding{Role: "roles/browser", Members: []string{"serviceAccount:" + email}})
			l.must(l.operator, "DELETE", accounts+"/"+email, "")
			if r := l.do(l.operator, "GET", accounts+"/"+email, ""); r.code != 404 || !strings.Contains(r.raw, "Account deleted: "+uid) {
				t.Errorf("by address, after the deletion: %d %s", r.code, r.raw)
			}
			l.Advance(iam.UndeletePeriod - time.Second)
			if !l.dataNames(deletedMember) {
				t.Error("the tombstone is gone before the account")
			}
			l.Advance(time.Second)
			l.want(l.do(l.operator, "POST", accounts+"/"+uid+":undelete", "{}"), 404, "NOT_FOUND")
			if r := l.do(l.operator, "GET", accounts+"/"+email, ""); strings.Contains(r.raw, "Account deleted") {
				t.Errorf("after 30 days: %s", r.raw)
			}
			l.Advance(tt.tombstone - iam.UndeletePeriod - time.Second)
			if tt.tombstone > iam.UndeletePeriod && !l.dataNames(deletedMember) {
				t.Error("the tombstone is gone too early")
			}
			l.Advance(time.Second)
			if l.dataNames(deletedMember) || len(l.wire.State().Tombstones) != 0 || len(l.wire.State().Accounts) != 2 {
				t.Errorf("after %v there are %d tombstones and %d accounts", tt.tombstone, len(l.wire.State().Tombstones), len(l.wire.State().Accounts))
			}
			l.account("ti-mortal")
			if got := strings.Count(l.snapshot(), email); got == 0 || got != strings.Count(empty, email) {
				t.Errorf("a new account of the name is named %d times, want %d", got, strings.Count(empty, email))
			}
		})
	}
}

// A name that is used again is another identity, and binding it does not wake the dead.
func TestReusedName(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	first := l.must(l.operator, "POST", accounts, `{"accountId":"ti-again"}`)
	email := first.str("email")
	member := "serviceAccount:" + email
	l.bindData(iam.Binding{Role: "roles/browser", Members: []string{member}})
	old := l.mint(email)
	l.must(old, "GET", crm+"v1/projects/acme-data", "")
	l.must(l.operator, "DELETE", accounts+"/"+email, "")
	second := l.must(l.operator, "POST", accounts, `{"accountId":"ti-again"}`)
	if first.str("uniqueId") == second.str("uniqueId") {
		t.Error("the new account has the old one's unique id")
	}
	fresh := l.mint(email)
	l.want(l.do(old, "GET", crm+"v1/projects/acme-data", ""), 401, "UNAUTHENTICATED")
	l.want(l.do(fresh, "GET", crm+"v1/projects/acme-data", ""), 403, "PERMISSION_DENIED")
	l.want(l.do(l.operator, "POST", accounts+"/"+first.str("uniqueId")+":undelete", "{}"), 400, "FAILED_PRECONDITION")
	// The address beside the tombstone is the new account.
	l.bindData(iam.Binding{Role: "roles/browser", Members: []string{member}})
	l.must(fresh, "GET", crm+"v1/projects/acme-data", "")
	if !l.dataNames(member) || !l.dataNames("deleted:"+member+"?uid="+first.str("uniqueId")) {
		t.Error("the policy does not name both")
	}
	// Undeleted while the policy that somebody read still names the tombstone.
	stale := l.getPolicy(3)
	l.must(l.operator, "DELETE", accounts+"/"+email, "")
	l.must(l.operator, "POST", accounts+"/"+first.str("uniqueId")+":undelete", "{}")
	stale.Etag = ""
	for i, b := range stale.Bindings { // the second account is dead now
		for j, m := range b.Members {
			if m == member {
				stale.Bindings[i].Members[j] = "deleted:" + member + "?uid=" + second.str("uniqueId")
			}
		}
	}
	if r := l.setPolicy(stale); r.code != 200 || !l.dataNames(member) {
		t.Errorf("a tombstone of an account that lives again: %d %s", r.code, r.raw)
	}
}

// One dead member blocks every writer of a policy, as long as the policy reads as if
// it were alive.
func TestDeadMemberBlocks(t *testing.T) {
	t.Parallel()
	l := newLab(t, withDoubts(iam.Doubts{TombstoneLag: 60}))
	r := l.must(l.operator, "POST", accounts, `{"accountId":"ti-dying"}`)
	email := r.str("email")
	l.bindData(iam.Binding{Role: "roles/browser", Members: []string{"serviceAccount:" + email}})
	l.must(l.operator, "DELETE", accounts+"/"+email, "")
	w := l.getPolicy(3)
	w.Bindings = append(w.Bindings, iam.Binding{Role: "roles/browser", Members: []string{"user:mara@acme.example"}})
	refused := l.setPolicy(w)
	l.want(refused, 400, "INVALID_ARGUMENT")
	if want := "Service account " + email + " does not exist."; !strings.Contains(refused.raw, want) {
		t.Errorf("answer is %s, want %q in it", refused.raw, want)
	}
	l.Advance(time.Minute)
	if r := l.setPolicy(l.getPolicy(3)); r.code != 200 || !l.dataNames("deleted:serviceAccount:"+email+"?uid="+r.str("uniqueId")) && l.dataNames("serviceAccount:"+email) {
		t.Errorf("after the lag: %s", r.raw)
	}
	// Undeleted within the lag, nothing was ever renamed.
	second := l.must(l.operator, "POST", accounts, `{"accountId":"ti-back-soon"}`)
	l.bindData(iam.Binding{Role: "roles/browser", Members: []string{"serviceAccount:" + second.str("email")}})
	before := l.snapshot()
	l.must(l.operator, "DELETE", accounts+"/"+second.str("email"), "")
	l.must(l.operator, "POST", accounts+"/"+second.str("uniqueId")+":undelete", "{}")
	l.Advance(time.Hour)
	if got := l.snapshot(); got != before {
		t.Errorf("after delete and undelete the state is\n%s\nwant\n%s", got, before)
	}
}

func TestDeadTokens(t *testing.T) {
	t.Parallel()
	for _, d := range []iam.Doubts{{}, {DeadTokensUnexplained: true}} {
		l := newLab(t, withDoubts(d))
		email := l.account("ti-token")
		token := l.mint(email)
		url := accounts + "/" + email
		reason := func(want string) {
			t.Helper()
			r := l.do(token, "GET", url, "")
			l.want(r, 401, "UNAUTHENTICATED")
			if d.DeadTokensUnexplained {
				want = ""
			}
			if r.reason() != want {
				t.Errorf("the reason is %q, want %q", r.reason(), want)
			}
		}
		l.must(l.operator, "POST", url+":disable", "{}")
		reason("ACCOUNT_STATE_INVALID")
		// Enabled again, tokens that have not expired work again.
		l.must(l.operator, "POST", url+":enable", "{}")
		l.want(l.do(token, "GET", url, ""), 403, "PERMISSION_DENIED")
		l.Advance(time.Hour)
		reason("ACCESS_TOKEN_EXPIRED")
	}
}

// A key that is disabled signs nothing; tokens made with it live on.
func TestKeySwitch(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	email := l.account("ti-switched")
	key, kid := l.upload(email, epoch.Add(24*time.Hour))
	at := accounts + "/" + email + "/keys/" + kid
	token := l.grant(assertion(t, key, kid, email, epoch, nil)).str("access_token")
	l.want(l.do(mara, "POST", at+":disable", "{}"), 403, "PERMISSION_DENIED")
	if r := l.must(l.operator, "POST", at+":disable", "{}"); r.raw != "{}" {
		t.Errorf("the answer is %s", r.raw)
	}
	if r := l.must(l.operator, "GET", at, ""); r.body["disabled"] != true || r.str("disableReason") == "" {
		t.Errorf("the key is %s", r.raw)
	}
	if r := l.grant(assertion(t, key, kid, email, epoch, nil)); r.str("error") != "invalid_grant" {
		t.Errorf("with a disabled key: %s", r.raw)
	}
	l.want(l.do(token, "GET", accounts, ""), 403, "PERMISSION_DENIED") // not 401
	l.must(l.operator, "POST", at+":enable", "{}")
	if r := l.must(l.operator, "GET", at, ""); r.body["disabled"] != nil {
		t.Errorf("the key is %s", r.raw)
	}
	if r := l.grant(assertion(t, key, kid, email, epoch, nil)); r.code != 200 {
		t.Errorf("with the key enabled again: %s", r.raw)
	}
}

func TestKeyDoubts(t *testing.T) {
	t.Parallel()
	for _, doubted := range []bool{false, true} {
		l := newLab(t, withDoubts(iam.Doubts{KeyLimitExhausted: doubted, RandomKeyIDs: doubted}))
		email := l.account("ti-keys")
		for i := range 10 {
			_, kid := l.upload(email, epoch.Add(time.Duration(i+1)*time.Hour))
			k := l.wire.State().AccountByEmail(email).Keys[i]
			if byCertificate := kid == iam.KeyID(k.Certificate); byCertificate == doubted || len(kid) != 40 {
				t.Errorf("random is %v, and the id %s is of the certificate: %v", doubted, kid, byCertificate)
			}
		}
		r := l.do(l.operator, "POST", accounts+"/"+email+"/keys", "{}")
		if doubted {
			l.want(r, 429, "RESOURCE_EXHAUSTED")
		} else {
			l.want(r, 400, "FAILED_PRECONDITION")
		}
		if got := strings.Contains(r.raw, "google.rpc.RetryInfo"); got != doubted {
			t.Errorf("the refusal is %s", r.raw)
		}
	}
}

// An account that may not impersonate itself is told so in one of two ways.
func TestSelfImpersonation(t *testing.T) {
	t.Parallel()
	for first, want := range map[bool]string{false: "PERMISSION_DENIED", true: "FAILED_PRECONDITION"} {
		l := newLab(t, withDoubts(iam.Doubts{SelfImpersonationFirst: first}))
		email := l.account("ti-narcissus")
		r := l.do(l.mint(email), "POST", creds+email+":generateAccessToken", `{"scope":["`+cloudPlatform+`"]}`)
		if r.status() != want {
			t.Errorf("asked first is %v: %s, want %s", first, r.raw, want)
		}
	}
}

// What time has brought about, and the key behind signatures, outlive the process.
func TestTombstonesPersist(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "data")
	l := newLab(t, func(c *Config) { c.DataFile = file }, withDoubts(iam.Doubts{RoleReuseDays: 10}))
	r := l.must(l.operator, "POST", accounts, `{"accountId":"ti-mortal"}`)
	email, uid := r.str("email"), r.str("uniqueId")
	signed := l.must(noah, "POST", creds+email+":signJwt", `{"payload":"{\"iss\":\"`+email+`\",\"aud\":\"`+tokenEndpoint+`\",\"scope\":\"`+cloudPlatform+`\",\"iat\":`+fmt.Sprint(epoch.Unix())+`}"}`)
	l.must(l.operator, "POST", iamAPI+"projects/acme-agents/roles", `{"roleId":"kept","role":{"includedPermissions":["storage.objects.get"]}}`)
	again := newLab(t, func(c *Config) { c.DataFile = file })
	if again.wire.State().Doubts.RoleReuseDays != 10 {
		t.Errorf("the doubts are %+v", again.wire.State().Doubts)
	}
	again.must(again.operator, "GET", iamAPI+"projects/acme-agents/roles/kept", "")
	if r := again.grant(signed.str("signedJwt")); r.code != 200 {
		t.Errorf("what was signed before is not taken: %s", r.raw)
	}
	again.must(again.operator, "DELETE", accounts+"/"+email, "")
	third := newLab(t, func(c *Config) { c.DataFile = file })
	third.must(third.operator, "POST", accounts+"/"+uid+":undelete", "{}")
}
