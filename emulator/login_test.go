package emulator

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/emulator/internal/iamapi"
)

// readLogin reads the login in a folder, as a library does.
func readLogin(t *testing.T, dir string) login {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, loginFile))
	if err != nil {
		t.Fatal(err)
	}
	var l login
	if err := json.Unmarshal(raw, &l); err != nil {
		t.Fatal(err)
	}
	return l
}

// renew is what a library sends for a login.
func (l *lab) renew(of login) response {
	l.t.Helper()
	return l.do("", "POST", tokenEndpoint, url.Values{
		"grant_type": {"refresh_token"}, "client_id": {of.ClientID}, "client_secret": {of.ClientSecret}, "refresh_token": {of.RefreshToken},
	}.Encode())
}

func TestLogin(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := newLab(t, func(c *Config) { c.Dir = dir })
	file := readLogin(t, dir)
	if file.Type != "authorized_user" || file.Account != "olivia@acme.example" {
		t.Errorf("the login is %s of %s", file.Type, file.Account)
	}
	if info, err := os.Stat(filepath.Join(dir, loginFile)); err != nil || info.Mode() != 0o600 {
		t.Errorf("the login's mode is %v, %v", info.Mode(), err)
	}

	r := l.renew(file)
	l.want(r, 200, "")
	if r.body["expires_in"] != float64(3600) || r.str("token_type") != "Bearer" {
		t.Errorf("the answer is %s", r.raw)
	}
	const project = "https://cloudresourcemanager.googleapis.com/v1/projects/acme-data"
	token := r.str("access_token")
	l.must(token, "GET", project, "")
	l.Advance(time.Hour)
	l.want(l.do(token, "GET", project, ""), 401, "UNAUTHENTICATED")
	l.must(l.renew(file).str("access_token"), "GET", project, "")

	for name, change := range map[string]struct {
		change func(*login)
		code   int
		kind   string
	}{
		"another client":        {func(f *login) { f.ClientID = "x" }, 401, "invalid_client"},
		"another secret":        {func(f *login) { f.ClientSecret = "" }, 401, "invalid_client"},
		"another refresh token": {func(f *login) { f.RefreshToken += "x" }, 400, "invalid_grant"},
		"no refresh token":      {func(f *login) { f.RefreshToken = "" }, 400, "invalid_grant"},
	} {
		other := file
		change.change(&other)
		if r := l.renew(other); r.code != change.code || r.str("error") != change.kind {
			t.Errorf("%s is answered %d %s, want %d %s", name, r.code, r.str("error"), change.code, change.kind)
		}
	}

	// What was set up at an earlier start still works; what is broken is mended.
	again := newLab(t, func(c *Config) { c.Dir = dir })
	if d := cmp.Diff(file, readLogin(t, dir)); d != "" {
		t.Errorf("after another start (-first +second):\n%s", d)
	}
	again.want(again.renew(file), 200, "")
	if err := os.WriteFile(filepath.Join(dir, loginFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	mended := newLab(t, func(c *Config) { c.Dir = dir })
	mended.want(mended.renew(readLogin(t, dir)), 200, "")
	if r := mended.renew(file); r.str("error") != "invalid_grant" {
		t.Errorf("the token of a login that was lost is answered %s", r.raw)
	}
}

// Without a folder there is no login, and so no refresh token is the one.
func TestNoLoginInMemory(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for _, token := range []string{"", "x"} {
		if r := l.renew(login{ClientID: iamapi.LoginClient, ClientSecret: iamapi.LoginClientSecret, RefreshToken: token}); r.str("error") != "invalid_grant" {
			t.Errorf("refresh token %q is answered %s", token, r.raw)
		}
	}
}

// The login is of the operator of whatever kind; of an account that is disabled, or of a pool, it is over.
func TestLoginOfAnyKind(t *testing.T) {
	t.Parallel()
	const builder = "builder@acme-agents.iam.gserviceaccount.com"
	for member, tables := range map[string]string{
		"serviceAccount:" + builder: "[[service_account]]\nproject = \"acme-agents\"\nid = \"builder\"\n",
		"principal://iam.googleapis.com/locations/global/workforcePools/acme-staff/subject/ines@acme.example":                      "[[workforce_pool]]\nid = \"acme-staff\"\n",
		"principal://iam.googleapis.com/projects/567890123456/locations/global/workloadIdentityPools/builds/subject/repo:acme/app": "[[pool]]\nproject = \"acme-agents\"\nid = \"builds\"\n",
	} {
		for _, disabled := range []bool{false, true} {
			dir := t.TempDir()
			seed := strings.ReplaceAll(string(acme), "user:olivia@acme.example", member) + tables
			if disabled {
				seed += "disabled = true\n"
			}
			l := newLab(t, func(c *Config) { c.Dir, c.Seed = dir, []byte(seed) })
			if got, _ := l.Operator(); got != member {
				t.Errorf("the operator is %s, want %s", got, member)
			}
			file := readLogin(t, dir)
			if want := strings.TrimPrefix(member, "serviceAccount:"); file.Account != want {
				t.Errorf("the login is of %s, want %s", file.Account, want)
			}
			r := l.renew(file)
			if disabled {
				if r.code != 400 || r.str("error") != "invalid_grant" {
					t.Errorf("%s, disabled: the login gives %s", member, r.raw)
				}
				continue
			}
			l.want(r, 200, "")
			l.must(r.str("access_token"), "GET", "https://cloudresourcemanager.googleapis.com/v1/projects/acme-agents", "")
			if strings.HasPrefix(member, "principal:") {
				info := l.do("", "POST", "https://oauth2.googleapis.com/tokeninfo", "access_token="+r.str("access_token"))
				if info.code != 400 {
					t.Errorf("tokeninfo knows a federated token: %s", info.raw)
				}
			}
		}
	}
}
