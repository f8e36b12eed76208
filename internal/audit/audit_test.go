package audit

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// write makes a file below dir.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func nothing(string) string { return "" }

// namesOf returns where logins were found, from dir on.
func namesOf(dir string, logins []Login) []string {
	var out []string
	for _, l := range logins {
		rel, err := filepath.Rel(dir, l.Path)
		if err != nil || l.What == "" {
			rel = fmt.Sprintf("%+v", l)
		}
		out = append(out, rel)
	}
	slices.Sort(out)
	return out
}

func privatePEM(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// TestLoginByItself: a file that is named is read whatever its name is.
func TestLoginByItself(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"key.txt", "prod.p8", "server.crt", "x.yaml", "x.bak"} {
		if found, _ := (Search{Getenv: nothing}).In(write(t, t.TempDir(), name, privatePEM(t))); len(found) != 1 {
			t.Errorf("%s is %+v", name, found)
		}
	}
}

func TestLoginsInATree(t *testing.T) {
	t.Parallel()
	key := privatePEM(t)
	public := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("public")}))
	x := func(n int) string { return strings.Repeat("x", n) }
	logins := map[string]string{
		".gcloud/anything":                         "",
		"sdk/credentials.db":                       "SQLite format 3\x00",
		"sdk/access_tokens.db":                     "SQLite format 3\x00",
		"sdk/adc.json":                             `{"type":"authorized_user","client_id":"c","refresh_token":"r"}`,
		"deploy/acme-agents-12ab.json":             `{"type":"service_account","private_key_id":"1","private_key":"-----BEGIN"}`,
		"deploy/other.json":                        ` {"type":"impersonated_service_account","source_credentials":{}}`,
		"deploy/pool.json":                         `{"type":"external_account","credential_source":{"file":"x"}}`,
		"certificates/server.pem":                  public + key,
		"certificates/server.key":                  key,
		"id_ed25519":                               key,
		"a/b/c/d/e/f/g/key.pem":                    key,
		"tests/key.pem":                            key,
		"1/2/3/4/5/6/7/8/9/10/11/12/13/14/key.pem": key,
		"putty.ppk":                                "PuTTY-User-Key-File-3: ssh-ed25519\n",
		"token":                                    "ya29." + x(30) + "\n",
		"github-token.txt":                         "ghp_" + x(36),
		".env":                                     "A=b\nKEY=sk-ant-" + x(30) + "\n",
		"deploy/prod.env":                          "GITHUB_TOKEN=ghp_" + x(36) + "\n",
		".env.local":                               "AWS_ACCESS_KEY_ID=AKIA" + strings.Repeat("X", 16) + "\n",
		".npmrc":                                   "//registry.example/:_authToken=npm_" + x(36) + "\n",
		".netrc":                                   "machine h login l password p\n",
		".git-credentials":                         "https://me:secret@github.com\n",
		".git/config":                              "[http \"https://github.com/\"]\n\textraheader = AUTHORIZATION: basic eA==\n",
		"sub/.git/config":                          "[remote \"origin\"]\n\turl = https://me:ghp_x@github.com/a/b\n",
		"home/.aws/credentials":                    "[default]\naws_secret_access_key = x\n",
		"home/.docker/config.json":                 `{"auths":{"ghcr.io":{"auth":"eA=="}}}`,
		"home/.kube/config":                        "kind: Config\nusers:\n- user:\n    token: x\n",
		"home/.pgpass":                             "h:5432:d:u:p\n",
		"home/.vault-token":                        "s.x\n",
		"home/.codex/auth.json":                    `{"tokens":{"access_token":"x"}}`,
		"home/.terraform.d/credentials.tfrc.json":  `{"credentials":{"app.terraform.io":{"token":"x"}}}`,
	}
	for name, text := range map[string]string{
		"notes/today.md":              "ghp_" + x(36),
		"src/key.go":                  "const key = `\n" + key + "`\n",
		"empty.pem":                   "",
		"certificates/ca.pem":         public,
		"certificates/broken.pem":     "-----BEGIN PRIVATE KEY-----\nno base64!\n",
		"package.json":                `{"type":"module","private_key":false}`,
		"terraform.tfstate":           `{"outputs":{}}`,
		".npmrc.example":              "x",
		"web/.npmrc":                  "//registry.example/:_authToken=${NPM_TOKEN}\n",
		"web/.env":                    "PORT=80\nTOKEN=${TOKEN}\n",
		"other/.git/config":           "[remote \"origin\"]\n\turl = git@github.com:a/b\n",
		"other/.git/objects/token":    "ghp_" + x(36),
		"kube/config":                 "users: []\n",
		"node_modules/p/test/key.pem": key,
		"lib/tests/key.pem":           key,
		"lib/testdata/key.pem":        key,
		"sdk2/credentials.db":         "a file of ours",
		"token-counts.json":           `{"tokens": 12}`,
		"word":                        "hello",
		"big.json":                    `{"type":"service_account","private_key":"` + x(maxSize) + `"}`,
	} {
		if _, ok := logins[name]; ok {
			t.Fatalf("%s is there twice", name)
		}
		logins[name+"?"] = text
	}
	dir := t.TempDir()
	var want []string
	for name, text := range logins {
		real, harmless := strings.CutSuffix(name, "?")
		path := write(t, dir, real, text)
		if harmless {
			if found, _ := (Search{Getenv: nothing}).In(path); len(found) != 0 && !strings.Contains(real, "/key.pem") && !strings.HasSuffix(real, "/token") && real != "notes/today.md" {
				t.Errorf("%s is taken for %+v", real, found)
			}
			continue
		}
		if strings.HasPrefix(real, ".gcloud/") {
			real = ".gcloud"
		} else if found, _ := (Search{Getenv: nothing}).In(path); len(found) != 1 {
			t.Errorf("%s by itself is %+v", real, found)
		}
		want = append(want, real)
	}
	slices.Sort(want)
	found, whole := Search{Getenv: nothing}.In(dir)
	if diff := cmp.Diff(want, namesOf(dir, found)); diff != "" || !whole {
		t.Errorf("found in the tree (-want +got), whole %v:\n%s", whole, diff)
	}
	for _, l := range found {
		if strings.Contains(l.What, "xxx") {
			t.Errorf("a secret is said: %q", l.What)
		}
	}

	// What is meant is not reported; what is beside it is.
	meant, _ := Search{Getenv: nothing, Meant: []string{filepath.Join(dir, "home"), filepath.Join(dir, "token")}}.In(dir)
	want = slices.DeleteFunc(want, func(p string) bool { return p == "token" || strings.HasPrefix(p, "home/") })
	if diff := cmp.Diff(want, namesOf(dir, meant)); diff != "" {
		t.Errorf("beside what is meant (-want +got):\n%s", diff)
	}
	if all, _ := (Search{Getenv: nothing, Meant: []string{dir}}).In(dir); len(all) != 0 {
		t.Errorf("of what is meant as a whole: %+v", all)
	}
}

// Each place of the table is refused: as a whole, something in it, and what is around it.
func TestPlaces(t *testing.T) {
	t.Parallel()
	home, elsewhere := t.TempDir(), t.TempDir()
	for _, k := range keepers {
		for _, p := range k.paths {
			if filepath.IsAbs(p) {
				continue
			}
			s := Search{Homes: []string{home}, Getenv: nothing}
			at := filepath.Join(home, p)
			if found, _ := s.In(at); len(found) != 1 {
				t.Errorf("%s: %+v", p, found)
			}
			if found, _ := s.In(filepath.Join(at, "in", "it")); len(found) != 1 {
				t.Errorf("in %s: %+v", p, found)
			}
			write(t, home, filepath.Join(p, "x"), "")
			if found, _ := s.In(home); !slices.Contains(namesOf(home, found), p) {
				t.Errorf("around %s: %+v", p, found)
			}
			if err := os.RemoveAll(at); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range k.variables {
			at := write(t, elsewhere, name, "")
			s := Search{Homes: []string{home}, Getenv: func(n string) string {
				return map[string]string{name: "unix://" + at}[n]
			}}
			if found, _ := s.In(elsewhere); !slices.Contains(namesOf(elsewhere, found), name) {
				t.Errorf("$%s: %+v", name, found)
			}
		}
	}
	s := Search{Homes: []string{home}, Getenv: nothing}
	for path, want := range map[string]int{
		"/run/docker.sock": 1, "/etc/ssh/ssh_host_ed25519_key": 1,
		home + "/.config": 1, home + "/.local/share": 1,
		home + "/.config/nvim": 0, home + "/src": 0, home + "/.nvm": 0,
		home + "/.ssh/known_hosts": 0, home + "/.ssh/id_x.pub": 0, home + "/.ssh/id_x": 1,
	} {
		if found, _ := s.In(path); len(found) != want {
			t.Errorf("%s: %+v", path, found)
		}
	}
	// A link to a place is that place.
	if err := os.MkdirAll(filepath.Join(home, "real"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", filepath.Join(home, ".ssh")); err != nil {
		t.Fatal(err)
	}
	if found, _ := s.In(filepath.Join(home, "real")); len(found) != 1 {
		t.Errorf("what .ssh leads to: %+v", found)
	}
}

func TestSearchIsBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i := range 4 {
		write(t, dir, fmt.Sprintf("%d/file", i), "")
	}
	write(t, dir, "token", "glpat-"+strings.Repeat("x", 20))
	for most, whole := range map[int]bool{5: false, 8: false, 9: true} {
		found := 0
		if got := walk(dir, most, func(string, string) { found++ }); found != 1 || got != whole {
			t.Errorf("of %d files: %d, whole %v", most, found, got)
		}
	}
}

// TestSearchWaitsForNothing: what was a file when the folder was listed may be a pipe when it is opened.
func TestSearchWaitsForNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	read := make(chan []byte, 1)
	go func() { read <- head(path) }()
	select {
	case b := <-read:
		if len(b) > 0 {
			t.Errorf("a pipe has %q", b)
		}
	case <-time.After(10 * time.Second):
		t.Error("it is waited for somebody at the other end of the pipe")
	}
}
