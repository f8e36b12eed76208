package audit

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/taskiam/taskiam/internal/lazy"
)

// namedFile is a file that holds a login if it has something in it.
type namedFile struct {
	name string // of the file, with its folder if there is a slash
	what string
	has  func() *regexp.Regexp
}

// named are files that hold a login if they have this in them. Their names may stand in any folder.
var named = []namedFile{
	{"credentials.db", "logins of gcloud", sqlite},
	{"access_tokens.db", "access tokens of gcloud", sqlite},
	{".boto", "a login of gsutil", lazy.Regexp(`(?m)^\s*gs_(oauth2_refresh_token|secret_access_key|service_key_file)\s*=\s*\S`)},
	{".netrc", "logins for servers", netrc},
	{"_netrc", "logins for servers", netrc},
	{".npmrc", "a login for npm", lazy.Regexp(`(?m)(_authToken|_auth|_password)\s*=\s*[^\s$]`)},
	{".yarnrc.yml", "a login for npm", lazy.Regexp(`(?m)npmAuth(Token|Ident):\s*["']?[^\s"'$]`)},
	{".pypirc", "a login for Python's registries", lazy.Regexp(`(?m)^\s*password\s*[=:]\s*\S`)},
	{".git-credentials", "logins for git", withPassword},
	{".git/config", "a login for git", lazy.Regexp(`(?im)^\s*extraheader\s*=\s*authorization|://[^/\s@:]+:[^/\s@]+@`)},
	{".pgpass", "logins for databases", lazy.Regexp(`(?m)^[^#\s].*:.*:.*:.*:.`)},
	{".my.cnf", "a login for a database", lazy.Regexp(`(?m)^\s*password\s*=\s*\S`)},
	{".s3cfg", "a login for storage", lazy.Regexp(`(?m)^\s*secret_key\s*=\s*\S`)},
	{".databrickscfg", "a login for Databricks", lazy.Regexp(`(?m)^\s*(token|client_secret)\s*=\s*\S`)},
	{".vault-token", "a login for Vault", lazy.Regexp(`\S`)},
	{"credentials.tfrc.json", "a login of Terraform", lazy.Regexp(`"token"\s*:\s*"`)},
	{"rclone.conf", "logins for storage", lazy.Regexp(`(?m)^\s*(token|pass|secret_access_key)\s*=\s*\S`)},
	{".aws/credentials", "logins for AWS", lazy.Regexp(`(?m)^\s*aws_(secret_access_key|session_token)\s*=\s*\S`)},
	{".docker/config.json", "logins for registries of containers", lazy.Regexp(`"auth"\s*:\s*"[^"]`)},
	{".dockercfg", "logins for registries of containers", lazy.Regexp(`"auth"\s*:\s*"[^"]`)},
	{".kube/config", "a login for Kubernetes", kubeconfig},
	{"kubeconfig", "a login for Kubernetes", kubeconfig},
	{"kubeconfig.yaml", "a login for Kubernetes", kubeconfig},
	{"kubeconfig.yml", "a login for Kubernetes", kubeconfig},
	{".claude/.credentials.json", "a login of an agent", lazy.Regexp(`[Tt]oken"\s*:\s*"[^"]`)},
	{".codex/auth.json", "a login of an agent", lazy.Regexp(`([Tt]oken|API_KEY)"\s*:\s*"[^"]`)},
	{".gemini/oauth_creds.json", "a login of an agent", lazy.Regexp(`_token"\s*:\s*"[^"]`)},
}

var (
	sqlite       = lazy.Regexp(`^SQLite format 3\x00`)
	netrc        = lazy.Regexp(`(?m)\bpassword\s+\S`)
	withPassword = lazy.Regexp(`://[^/\s@]*:[^/\s@]+@`)
	kubeconfig   = lazy.Regexp(`(?m)^\s*-?\s*"?(token|client-key-data|password)"?:\s*["']?[^\s"'$]`)
	// token is what begins tokens that nothing else begins so.
	token = lazy.Regexp(`\b(ya29\.[\w-]{20,}|1//0[\w-]{20,}` +
		`|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{40,}|glpat-[\w-]{20,}|npm_[A-Za-z0-9]{36}` +
		`|xox[abprs]-[\w-]{20,}|sk-ant-[\w-]{20,}|hvs\.[\w-]{20,}|dop_v1_[a-f0-9]{40,}|hf_[A-Za-z0-9]{30,}` +
		`|AIza[\w-]{35}|sk_live_[A-Za-z0-9]{20,})`)
	awsKey = lazy.Regexp(`\b(AKIA|ASIA)[A-Z0-9]{16}\b`)
)

// candidate reports whether a file may be a login by its name. Source code is not looked at: a
// token in it is an example, or a fault of another kind.
func candidate(path string) bool {
	name := strings.ToLower(filepath.Base(path))
	if slices.ContainsFunc(named, func(n namedFile) bool { return filepath.Base(n.name) == name }) {
		return true
	}
	switch filepath.Ext(name) {
	case "", ".json", ".pem", ".key", ".ppk":
		return true
	}
	return variables(name) || strings.HasPrefix(name, "id_") ||
		strings.Contains(name, "credential") || strings.Contains(name, "secret") || strings.Contains(name, "token")
}

// variables reports whether a file holds variables by its name: .env, .env.local, prod.env.
func variables(name string) bool {
	name = strings.ToLower(name)
	return strings.HasPrefix(name, ".env") || strings.HasSuffix(name, ".env")
}

// known returns what login a file is, by its name and by what is in it; "" if it is none.
func known(path string, info fs.FileInfo) string {
	if !info.Mode().IsRegular() || info.Size() == 0 {
		return ""
	}
	var b []byte
	for _, n := range named {
		if filepath.Base(path) != filepath.Base(n.name) || !strings.HasSuffix(path, "/"+n.name) {
			continue
		}
		if b == nil {
			b = head(path)
		}
		if n.has().Match(b) {
			return n.what
		}
	}
	if info.Size() > maxSize {
		return ""
	}
	if b == nil {
		b = head(path)
	}
	return content(filepath.Base(path), b)
}

// head reads the beginning of a file; nothing if it cannot be read. A command of another sandbox may have put
// something else there since it was listed, such as a pipe that nobody writes to.
func head(path string) []byte {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil
	}
	b := make([]byte, maxSize)
	n, _ := f.Read(b) // a login is in the first piece
	return b[:n]
}

// content returns what login a file is by what is in it.
func content(name string, b []byte) string {
	text := bytes.TrimSpace(b)
	switch {
	case bytes.HasPrefix(text, []byte("-----BEGIN ")):
		if privateKey(text) {
			return "a private key"
		}
	case bytes.HasPrefix(text, []byte("PuTTY-User-Key-File")):
		return "a private key"
	case bytes.HasPrefix(text, []byte("{")):
		return googleLogin(text)
	case variables(name):
		if token().Match(text) || awsKey().Match(text) {
			return "a file of variables with a token in it"
		}
	case !bytes.ContainsAny(text, " \t\n"):
		if at := token().FindIndex(text); at != nil && at[0] == 0 {
			return "a token"
		}
	}
	return ""
}

// privateKey reports whether one of the blocks of a PEM file is a private key.
func privateKey(text []byte) bool {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			return true
		}
	}
	return false
}

// googleLogin returns what login for Google Cloud a JSON file is.
func googleLogin(text []byte) string {
	var file struct {
		Type         string          `json:"type"`
		PrivateKey   string          `json:"private_key"`
		RefreshToken string          `json:"refresh_token"`
		Source       json.RawMessage `json:"source_credentials"`
		Subject      json.RawMessage `json:"credential_source"`
	}
	if json.Unmarshal(text, &file) != nil {
		return ""
	}
	switch {
	case file.PrivateKey != "" && strings.HasSuffix(file.Type, "service_account"):
		return "a key of a service account"
	case file.RefreshToken != "", file.Type == "impersonated_service_account" && file.Source != nil:
		return "a login for Google Cloud"
	case file.Type == "external_account" && file.Subject != nil:
		return "a login for Google Cloud, by another one"
	}
	return ""
}
