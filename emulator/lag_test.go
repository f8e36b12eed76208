package emulator

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

// An account that was just made is seen by reads, by policies elsewhere and by IAM
// Credentials in whatever order the lags say.
func TestAccountLag(t *testing.T) {
	t.Parallel()
	const short, long = time.Minute, 2 * time.Minute
	for name, lag := range map[string]wire.Lag{
		"reads first":    {AccountRead: wire.Delay{Min: short}, AccountBind: wire.Delay{Min: long}, AccountMint: wire.Delay{Min: long}},
		"policies first": {AccountRead: wire.Delay{Min: long}, AccountBind: wire.Delay{Min: short}, AccountMint: wire.Delay{Min: short}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, func(c *Config) { c.Lag = lag })
			email := l.account("ti-fresh")
			read := func() int { return l.do(l.operator, "GET", accounts+"/"+email, "").code }
			bind := func() response {
				w := l.getPolicy(3)
				w.Bindings = append(w.Bindings, iam.Binding{Role: "roles/browser", Members: []string{"serviceAccount:" + email}})
				return l.setPolicy(w)
			}
			mint := func() int {
				return l.do(noah, "POST", creds+email+":generateAccessToken", `{"scope":["`+cloudPlatform+`"]}`).code
			}
			for range 8 {
				if got := read(); got != 404 && got != 403 {
					t.Errorf("a read of a fresh account: %d, want 404 or 403", got)
				}
			}
			if r := bind(); r.code != 400 || !strings.Contains(r.raw, "Service account "+email+" does not exist.") {
				t.Errorf("binding a fresh account: %d %s", r.code, r.raw)
			}
			if got := mint(); got != 404 {
				t.Errorf("minting for a fresh account: %d, want 404", got)
			}
			if got := l.must(l.operator, "GET", accounts+"?pageSize=100", "").raw; strings.Contains(got, email) {
				t.Errorf("the list shows a fresh account: %s", got)
			}
			// Writes to the account see it, its own policy may name it.
			l.must(l.operator, "PATCH", accounts+"/"+email, `{"serviceAccount":{"displayName":"x"},"updateMask":"displayName"}`)
			l.must(l.operator, "POST", accounts+"/"+email+":setIamPolicy",
				`{"policy":{"bindings":[{"role":"roles/iam.serviceAccountUser","members":["serviceAccount:`+email+`"]}]}}`)

			l.Advance(short)
			readsFirst := lag.AccountRead.Min == short
			if seen := read() == 200; seen != readsFirst {
				t.Errorf("after the shorter lag, reads see the account: %v", seen)
			}
			if bound := bind().code == 200; bound == readsFirst {
				t.Errorf("after the shorter lag, policies may name the account: %v", bound)
			}
			l.Advance(short)
			if read() != 200 || bind().code != 200 || mint() != 200 {
				t.Error("after both lags, somebody does not see the account")
			}
		})
	}
}

// Reads that do not see an account yet answer now 404, now 403, in an order that the
// seed decides.
func TestUnseenMix(t *testing.T) {
	t.Parallel()
	codes := func(seed uint64) []int {
		l := newLab(t, func(c *Config) { c.Lag = wire.Lag{Seed: seed, AccountRead: wire.Delay{Min: time.Minute}} })
		email := l.account("ti-mixed")
		var out []int
		for range 32 {
			out = append(out, l.do(l.operator, "GET", accounts+"/"+email, "").code)
		}
		return out
	}
	first := codes(1)
	if diff := cmp.Diff(first, codes(1)); diff != "" {
		t.Errorf("one seed gives two orders:\n%s", diff)
	}
	if cmp.Equal(first, codes(2)) {
		t.Error("two seeds give one order")
	}
	count := map[int]int{}
	for _, c := range first {
		count[c]++
	}
	if count[404] == 0 || count[403] == 0 || count[404]+count[403] != len(first) {
		t.Errorf("answers are %v, want 404 and 403, both", count)
	}
}

func TestKeyLag(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(c *Config) { c.Lag = wire.Lag{Key: wire.Delay{Min: time.Minute}} })
	email := l.account("ti-keyed")
	key, id := l.upload(email, epoch.Add(time.Hour))
	if r := l.grant(assertion(t, key, id, email, epoch, nil)); r.code != 400 || r.str("error") != "invalid_grant" {
		t.Errorf("a fresh key: %d %s", r.code, r.raw)
	}
	jwt := sign(t, key, id, map[string]any{"iss": email, "sub": email, "aud": "https://cloudresourcemanager.googleapis.com/",
		"iat": epoch.Unix(), "exp": epoch.Add(time.Hour).Unix()})
	l.want(l.do(jwt, "GET", dataPolicy, ""), 401, "UNAUTHENTICATED")
	l.Advance(time.Minute)
	if r := l.grant(assertion(t, key, id, email, epoch, nil)); r.code != 200 {
		t.Errorf("a key of a minute: %d %s", r.code, r.raw)
	}
	l.want(l.do(jwt, "GET", dataPolicy, ""), 403, "PERMISSION_DENIED")
}

func TestDisableLag(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(c *Config) { c.Lag = wire.Lag{Disable: wire.Delay{Min: time.Minute}} })
	email := l.account("ti-switched")
	token := l.mint(email)
	works := func() bool {
		return l.do(token, "POST", dataPolicy+":testIamPermissions", `{"permissions":["resourcemanager.projects.get"]}`).code == 200
	}
	l.must(l.operator, "POST", accounts+"/"+email+":disable", "")
	if !works() {
		t.Error("disabling took effect at once")
	}
	l.Advance(time.Minute)
	if works() {
		t.Error("disabling took no effect")
	}
	l.must(l.operator, "POST", accounts+"/"+email+":enable", "")
	if works() {
		t.Error("enabling took effect at once")
	}
	// Whoever turns back before the change arrived changes nothing.
	l.must(l.operator, "POST", accounts+"/"+email+":disable", "")
	l.Advance(time.Minute)
	if works() {
		t.Error("the account was enabled in the end")
	}
}

// Policies read back at once what was written; decisions follow later.
func TestPolicyLag(t *testing.T) {
	t.Parallel()
	const adding, removing = 2 * time.Minute, 7 * time.Minute
	l := newLab(t)
	email := l.account("ti-slow")
	l.SetLag(wire.Lag{Grant: wire.Delay{Min: adding}, Revoke: wire.Delay{Min: removing}})
	member := "serviceAccount:" + email
	token := l.mint(email)
	has := func() bool {
		r := l.must(token, "POST", dataPolicy+":testIamPermissions", `{"permissions":["resourcemanager.projects.get"]}`)
		return strings.Contains(r.raw, "resourcemanager.projects.get")
	}
	set := func(member string, there bool) {
		t.Helper()
		w := l.getPolicy(3)
		var kept []iam.Binding
		for _, b := range w.Bindings {
			if b.Role != "roles/browser" {
				kept = append(kept, b)
			}
		}
		if there {
			kept = append(kept, iam.Binding{Role: "roles/browser", Members: []string{member}})
		}
		w.Bindings = kept
		if r := l.setPolicy(w); r.code != 200 || strings.Contains(r.raw, member) != there {
			t.Fatalf("setting: %d %s", r.code, r.raw)
		}
		read, err := json.Marshal(l.getPolicy(3))
		if err != nil || strings.Contains(string(read), member) != there {
			t.Fatalf("the policy does not read its own write: %s %v", read, err)
		}
	}
	step := func(what string, d time.Duration, want bool) {
		t.Helper()
		l.Advance(d)
		if got := has(); got != want {
			t.Errorf("%s: holds is %v, want %v", what, got, want)
		}
	}
	set(member, true)
	step("just granted", 0, false)
	step("still under way", adding-time.Second, false)
	step("arrived", time.Second, true)
	set(member, false)
	step("just revoked", 0, true)
	step("revoking", removing-time.Second, true)
	step("revoked", time.Second, false)
	// Back and forth before the first change arrived: nothing ever changes.
	set(member, true)
	set(member, false)
	step("withdrawn at once", 0, false)
	step("withdrawn", 10*time.Minute, false)
	// Writing something else does not start the wait again, nor end it.
	set(member, true)
	l.Advance(time.Minute)
	w := l.getPolicy(3)
	w.Bindings = append(w.Bindings, iam.Binding{Role: "roles/viewer", Members: []string{"user:new@acme.example"}})
	if r := l.setPolicy(w); r.code != 200 {
		t.Fatal(r.raw)
	}
	step("after another's write", 0, false)
	step("the first wait is over", time.Minute, true)
	// An account that takes the address of a deleted one takes none of its access.
	set(member, false)
	step("revoked, still held", 0, true)
	l.must(l.operator, "DELETE", accounts+"/"+email, "")
	l.SetLag(wire.Lag{})
	if l.account("ti-slow") != email {
		t.Fatal("another address")
	}
	token = l.mint(email)
	step("another account of that name", 0, false)
}

func TestDatasetLag(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(c *Config) { c.Lag = wire.Lag{Grant: wire.Delay{Min: time.Minute}} })
	const at = "https://bigquery.googleapis.com/bigquery/v2/projects/acme-data/datasets/sales"
	const mine = `{"access":[{"role":"OWNER","userByEmail":"olivia@acme.example"},{"role":"READER","userByEmail":"mara@acme.example"},` +
		`{"role":"READER","userByEmail":"zoe@acme.example"}]}`
	if r := l.must(l.operator, "PATCH", at, mine); !strings.Contains(r.raw, "zoe@") {
		t.Error("the dataset does not read its own write")
	}
	holds := func() bool {
		n, _ := l.wire.State().ServiceNode("//bigquery.googleapis.com/projects/acme-data/datasets/sales")
		for _, b := range n.Policies[0].Effective(l.Now()) {
			for _, m := range b.Members {
				if m == "user:zoe@acme.example" {
					return true
				}
			}
		}
		return false
	}
	if holds() {
		t.Error("an entry took effect at once")
	}
	l.Advance(time.Minute)
	if !holds() {
		t.Error("an entry took no effect")
	}
}

// What is under way outlives a restart.
func TestLagIsKept(t *testing.T) {
	t.Parallel()
	file := t.TempDir() + "/data.json"
	first := newLab(t, func(c *Config) { c.DataFile = file })
	email := first.account("ti-kept-lag")
	first.SetLag(wire.Lag{Grant: wire.Delay{Min: time.Minute}})
	w := first.getPolicy(3)
	w.Bindings = append(w.Bindings, iam.Binding{Role: "roles/browser", Members: []string{"serviceAccount:" + email}})
	if r := first.setPolicy(w); r.code != 200 {
		t.Fatal(r.raw)
	}
	second := newLab(t, func(c *Config) { c.DataFile = file })
	token := second.mint(email)
	second.want(second.do(token, "GET", dataPolicy, ""), 403, "PERMISSION_DENIED")
	second.Advance(time.Minute)
	second.must(token, "GET", dataPolicy, "")
}
