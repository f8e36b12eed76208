package gcp

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/secret"
)

func TestKeySourceSignsForItself(t *testing.T) {
	k, err := testKey() // outside of virtual time
	if err != nil {
		t.Fatal(err)
	}
	file := keyFile(t)
	synctest.Test(t, func(t *testing.T) {
		src, err := KeySource(file)
		if err != nil {
			t.Fatal(err)
		}
		first, err := src.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		parts := strings.Split(first.Reveal(), ".")
		if len(parts) != 3 {
			t.Fatalf("the token has %d parts", len(parts))
		}
		sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
		if err := rsa.VerifyPKCS1v15(&k.PublicKey, crypto.SHA256, sum[:], decode(t, parts[2])); err != nil {
			t.Error(err)
		}
		var header, claims map[string]any
		if err := json.Unmarshal(decode(t, parts[0]), &header); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(decode(t, parts[1]), &claims); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]any{"alg": "RS256", "typ": "JWT", "kid": "kid"}, header); diff != "" {
			t.Errorf("header (-want +got):\n%s", diff)
		}
		if exp, iat := claims["exp"].(float64), claims["iat"].(float64); exp-iat != 3600 {
			t.Errorf("valid for %vs, want 3600", exp-iat)
		}
		delete(claims, "exp")
		delete(claims, "iat")
		if claims["aud"] == "" {
			delete(claims, "aud")
		}
		if diff := cmp.Diff(map[string]any{"iss": agent, "sub": agent, "scope": scopeCloudPlatform}, claims); diff != "" {
			t.Errorf("claims (-want +got):\n%s", diff)
		}

		time.Sleep(50 * time.Minute)
		if same, err := src.Token(t.Context()); err != nil || same.Reveal() != first.Reveal() {
			t.Errorf("after 50 minutes the token is another one, or there is the error %v", err)
		}
		time.Sleep(8 * time.Minute)
		if next, err := src.Token(t.Context()); err != nil || next.Reveal() == first.Reveal() {
			t.Errorf("two minutes before its end the token is still the same, or there is the error %v", err)
		}
	})
}

func decode(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestKeyFileThatIsNone(t *testing.T) {
	t.Parallel()
	c := newTestClient(t, nil)
	for _, file := range []string{"", "{}", `{"type":"authorized_user","refresh_token":"hush"}`, `{"type":"service_account","client_email":"e","private_key":"hush"}`} {
		_, err := KeySource(secret.New(file))
		if err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("KeySource(%q): %v", file, err)
		}
		if _, err := c.KeyToken(t.Context(), secret.New(file)); err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("KeyToken(%q): %v", file, err)
		}
	}
}

func TestKeyToken(t *testing.T) {
	file := keyFile(t)
	synctest.Test(t, func(t *testing.T) {
		c := newTestClient(t, inMemory(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := r.ParseForm(); err != nil || r.Form.Get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" || r.Form.Get("assertion") == "" {
				respond(w, 400, `{"error":"invalid_request"}`)
				return
			}
			respond(w, 200, `{"access_token":"t","expires_in":600,"token_type":"Bearer"}`)
		})))
		got, err := c.KeyToken(t.Context(), file)
		if err != nil {
			t.Fatal(err)
		}
		if got.Value.Reveal() != "t" || !got.Expires.Equal(time.Now().Add(10*time.Minute)) {
			t.Errorf("token %q until %s", got.Value.Reveal(), got.Expires)
		}
	})
}

func TestKeyTokenOfDeletedKey(t *testing.T) {
	t.Parallel()
	c := newTestClient(t, inMemory(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		respond(w, 400, `{"error":"invalid_grant","error_description":"Invalid JWT Signature."}`)
	})))
	_, err := c.KeyToken(t.Context(), keyFile(t))
	if !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("error %v, want unauthenticated", err)
	}
	if got, want := err.Error(), "exchanging the key of "+agent+": fetching a token: Invalid JWT Signature. (400 invalid_grant)"; got != want {
		t.Errorf("error %q, want %q", got, want)
	}
}

func TestWhoami(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		member string // --operator-member
		code   int
		body   string
		want   grants.Identity
		kind   fault.Kind
	}{
		{name: "user", code: 200, body: `{"email":"ann@example.com","email_verified":"true"}`, want: grants.Identity{Member: "user:ann@example.com", Email: "ann@example.com"}},
		{name: "service account", code: 200, body: `{"email":"` + agent + `"}`, want: grants.Identity{Member: "serviceAccount:" + agent, Email: agent}},
		{name: "token that does not say", code: 200, body: `{"azp":"100000000000000000001","scope":"https://www.googleapis.com/auth/cloud-platform"}`, kind: fault.Unauthenticated},
		{name: "federated", code: 400, body: `{"error":"invalid_token","error_description":"Invalid Value"}`, kind: fault.Unauthenticated},
		{name: "federated, said", member: "principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/ci/subject/main",
			want: grants.Identity{Member: "principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/ci/subject/main"}},
		{name: "user, said", member: "user:ann@example.com", want: grants.Identity{Member: "user:ann@example.com", Email: "ann@example.com"}},
		{name: "group, said", member: "group:all@example.com", kind: fault.Usage},
		{name: "everybody, said", member: "allUsers", kind: fault.Usage},
		{name: "email, said", member: "ann@example.com", kind: fault.Usage},
		{name: "nobody, said", member: "user:", kind: fault.Usage},
		{name: "principal set, said", member: "principalSet://iam.googleapis.com/x", kind: fault.Usage},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			asked := 0
			c := newTestClient(t, inMemory(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if asked++; r.PostFormValue("access_token") != "operator" {
					t.Errorf("asked about the token %q", r.PostFormValue("access_token"))
				}
				respond(w, tt.code, tt.body)
			})), func(cfg *Config) { cfg.OperatorMember = tt.member })
			got, err := c.Whoami(t.Context())
			if got != tt.want || fault.KindOf(err) != tt.kind || (err != nil) != (tt.kind != fault.Other) {
				t.Errorf("Whoami = %v, %v; want %v, %v", got, err, tt.want, tt.kind)
			}
			if err != nil && !strings.Contains(strings.Join(fault.Hints(err), "\n"), "--operator-member") {
				t.Errorf("hints %q do not name --operator-member", fault.Hints(err))
			}
			if tt.member != "" && asked > 0 {
				t.Error("Google was asked although the operator said")
			}
		})
	}
}

// A login that has expired and a federated one are refused alike: the way to log in again comes first.
func TestWhoamiOfALoginThatHasExpired(t *testing.T) {
	t.Parallel()
	c := newTestClient(t, inMemory(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		respond(w, 400, `{"error":"invalid_token","error_description":"Invalid Value"}`)
	})), func(cfg *Config) { cfg.Credential = EmulatorLogin(secret.New("ya29.expired")) })
	_, err := c.Whoami(t.Context())
	if diff := cmp.Diff([]string{emulatorCommand, "or, if the login is a federated one, " + memberHint}, fault.Hints(err)); diff != "" {
		t.Errorf("hints (-want +got):\n%s", diff)
	}
}

// home makes an empty home the place where a login is looked for.
func home(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
	return dir
}

// wellKnown puts a login where gcloud puts it.
func wellKnown(t *testing.T, home, file string) {
	t.Helper()
	dir := filepath.Join(home, ".config", "gcloud")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "application_default_credentials.json"), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDefaultLoginOfAPerson(t *testing.T) {
	wellKnown(t, home(t), `{"type":"authorized_user","client_id":"c","client_secret":"s","refresh_token":"r","quota_project_id":"billed"}`)
	exchanges := 0
	var calls []*http.Request
	rt := inMemory(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host == "oauth2.googleapis.com" {
			if exchanges++; r.PostFormValue("refresh_token") != "r" {
				t.Errorf("exchanged %q", r.PostForm)
			}
			respond(w, 200, `{"access_token":"fresh","expires_in":3600,"token_type":"Bearer"}`)
			return
		}
		calls = append(calls, r)
		respond(w, 200, `{}`)
	}))
	cfg := Config{Transport: rt}
	login, err := DefaultLogin(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	c := newTestClient(t, rt, func(cfg *Config) { cfg.Credential = login })
	for range 3 {
		if _, err := c.Role(t.Context(), "roles/viewer"); err != nil {
			t.Fatal(err)
		}
	}
	if exchanges != 1 || len(calls) != 3 {
		t.Errorf("%d exchanges for %d calls, want 1 for 3", exchanges, len(calls))
	}
	for _, r := range calls {
		if r.Header.Get("Authorization") != "Bearer fresh" || r.Header.Get("X-Goog-User-Project") != "billed" {
			t.Errorf("headers %v", r.Header)
		}
	}
}

// A login that is not good any more is told of in words of its own, with what makes it, or another one, good: logging in
// does not bring back a deleted key, and changes nothing while the variable names a file.
func TestDefaultLoginThatEnded(t *testing.T) {
	const person = `{"type":"authorized_user","client_id":"c","client_secret":"s","refresh_token":"r"}`
	deleted := strings.Replace(keyFile(t).Reveal(), `"kid"`, `"4d5e6f"`, 1)
	named := func(path string) string {
		return "GOOGLE_APPLICATION_CREDENTIALS names " + path + ": replace that file, or unset the variable and: " + loginCommand
	}
	ofKey := "the login is the key 4d5e6f of a service account; which keys it still has: " +
		"gcloud iam service-accounts keys list --iam-account=" + agent
	for name, tt := range map[string]struct {
		file, answer string
		byVariable   bool
		says         string
		hints        func(path string) []string
	}{
		"revoked": {
			person, `{"error":"invalid_grant","error_description":"Token has been expired or revoked."}`, false,
			"Token has been expired or revoked.", func(string) []string { return []string{loginCommand} },
		},
		"a session that is over": {
			person, `{"error":"invalid_grant","error_description":"reauth related error (invalid_rapt)","error_subtype":"invalid_rapt"}`, false,
			"the session of the login is over, as its organization has set that (invalid_rapt)",
			func(string) []string { return []string{loginCommand} },
		},
		"a login that the variable names": {
			person, `{"error":"invalid_grant","error_description":"reauth related error (rapt_required)","error_subtype":"rapt_required"}`, true,
			"the session of the login is over, as its organization has set that (rapt_required)",
			func(path string) []string { return []string{named(path)} },
		},
		"a key that is gone": {
			deleted, `{"error":"invalid_grant","error_description":"Invalid JWT Signature."}`, true,
			"Invalid JWT Signature.", func(path string) []string { return []string{ofKey, named(path)} },
		},
		"a key where gcloud keeps its login": {
			deleted, `{"error":"invalid_grant","error_description":"Invalid grant: account not found"}`, false,
			"Invalid grant: account not found", func(string) []string { return []string{ofKey, "or " + loginCommand} },
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := home(t)
			path := filepath.Join(dir, ".config", "gcloud", "application_default_credentials.json")
			wellKnown(t, dir, tt.file)
			rt := inMemory(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { respond(w, 400, tt.answer) }))
			cfg := Config{Transport: rt}
			if tt.byVariable {
				t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", path)
				cfg.LoginFile = path
			}
			login, err := DefaultLogin(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			c := newTestClient(t, rt, func(cfg *Config) { cfg.Credential = login })
			_, err = c.Role(t.Context(), "roles/viewer")
			_, whose := c.Whoami(t.Context()) // who that was is no question
			for _, err := range []error{err, whose} {
				if !fault.Is(err, fault.Unauthenticated) || !cmp.Equal(fault.Hints(err), tt.hints(path)) {
					t.Errorf("error %v with hints %q", err, fault.Hints(err))
				}
			}
			if got, want := err.Error(), "fetching a token: "+tt.says+" (400 invalid_grant)"; got != want {
				t.Errorf("error %q, want %q", got, want)
			}
		})
	}
}

func TestNoDefaultLogin(t *testing.T) {
	dir := home(t)
	for name, file := range map[string]string{
		"no such file": filepath.Join(dir, "none.json"),
		"not a login":  filepath.Join(dir, "empty.json"),
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(filepath.Join(dir, "empty.json"), []byte("{}"), 0o600); err != nil {
				t.Fatal(err)
			}
			t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
			_, err := DefaultLogin(t.Context(), Config{})
			if !fault.Is(err, fault.Unauthenticated) || !cmp.Equal(fault.Hints(err), []string{loginCommand}) {
				t.Errorf("error %v with hints %q", err, fault.Hints(err))
			}
		})
	}
}

func TestEmulatorLoginWithoutToken(t *testing.T) {
	t.Parallel()
	c := newTestClient(t, refusing(500), func(cfg *Config) { cfg.Credential = EmulatorLogin(secret.String{}) })
	_, err := c.Role(t.Context(), "roles/viewer")
	if !fault.Is(err, fault.Unauthenticated) || !cmp.Equal(fault.Hints(err), []string{emulatorCommand}) {
		t.Errorf("error %v with hints %q", err, fault.Hints(err))
	}
}
