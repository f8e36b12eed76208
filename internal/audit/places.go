package audit

import (
	"path/filepath"
	"strings"
)

// keeper is a program that keeps logins, and where: below a home folder, at an absolute path, or
// where a variable says.
type keeper struct {
	what      string
	paths     []string
	variables []string
}

// keepers is the table of well-known places.
var keepers = []keeper{
	{"logins of gcloud", []string{".config/gcloud", ".boto", ".bigqueryrc"}, []string{"CLOUDSDK_CONFIG", "BOTO_CONFIG", "BIGQUERYRC"}},
	{"a credential file", nil, []string{"GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_GHA_CREDS_PATH"}},
	{"logins for AWS", []string{".aws"}, []string{"AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE"}},
	{"logins for Azure", []string{".azure"}, []string{"AZURE_CONFIG_DIR", "AZURE_FEDERATED_TOKEN_FILE"}},
	{"logins for Kubernetes", []string{
		".kube", "/etc/kubernetes", "/etc/rancher", "/var/lib/kubelet", "/run/secrets", "/var/run/secrets",
	}, []string{"KUBECONFIG"}},
	{"access to containers, and so to the machine", []string{
		".docker/run", "/run/docker.sock", "/run/podman", "/run/containerd", "/run/buildkit", "/run/crio", "/var/lib/docker",
	}, []string{"DOCKER_HOST", "CONTAINER_HOST"}},
	{"logins for registries of containers", []string{".docker/config.json", ".config/containers/auth.json"}, []string{"DOCKER_CONFIG", "REGISTRY_AUTH_FILE"}},
	{"keys of ssh", []string{".ssh", "/etc/ssh"}, []string{"SSH_AUTH_SOCK"}},
	{"keys of GnuPG", []string{".gnupg"}, []string{"GNUPGHOME"}},
	{"logins for git", []string{".git-credentials", ".config/git/credentials"}, nil},
	{"logins for GitHub", []string{".config/gh", ".config/hub"}, []string{"GH_CONFIG_DIR"}},
	{"logins for GitLab", []string{".config/glab-cli"}, []string{"GLAB_CONFIG_DIR"}},
	{"logins for npm", []string{".npmrc", ".yarnrc.yml", ".yarnrc"}, []string{"NPM_CONFIG_USERCONFIG"}},
	{"logins for Python's registries", []string{".pypirc", ".config/pip", ".config/pypoetry/auth.toml"}, nil},
	{"logins for servers", []string{".netrc", ".authinfo", ".authinfo.gpg"}, []string{"NETRC"}},
	{"logins for Rust's registries", []string{".cargo/credentials", ".cargo/credentials.toml"}, nil},
	{"logins for Ruby's registries", []string{".gem/credentials", ".bundle/config", ".local/share/gem/credentials"}, nil},
	{"logins for PHP's registries", []string{".composer/auth.json", ".config/composer/auth.json"}, nil},
	{"logins for Java's registries", []string{".m2/settings.xml", ".m2/settings-security.xml", ".gradle/gradle.properties"}, nil},
	{"logins for .NET's registries", []string{".nuget/NuGet/NuGet.Config"}, nil},
	{"logins of Terraform", []string{".terraform.d/credentials.tfrc.json", ".terraformrc"}, []string{"TF_CLI_CONFIG_FILE"}},
	{"a login for Vault", []string{".vault-token"}, nil},
	{"logins for where programs run", []string{
		".config/doctl", ".fly", ".local/share/com.vercel.cli", ".config/netlify", ".wrangler", ".config/.wrangler",
		".supabase", ".config/heroku", ".railway",
	}, nil},
	{"access to networks", []string{
		".cloudflared", ".config/ngrok", ".ngrok2", ".config/wireguard", "/etc/wireguard", "/var/lib/tailscale", "/etc/openvpn",
	}, nil},
	{"logins for warehouses of data", []string{".snowflake", ".snowsql", ".databrickscfg", ".dbt"}, nil},
	{"logins for databases", []string{".pgpass", ".pg_service.conf", ".my.cnf", ".mylogin.cnf", "/cloudsql"}, []string{"PGPASSFILE"}},
	{"logins for storage", []string{".config/rclone", ".s3cfg"}, []string{"RCLONE_CONFIG"}},
	{"keys for encrypted files", []string{".config/sops", ".config/age", ".age"}, []string{"SOPS_AGE_KEY_FILE"}},
	{"a store of passwords", []string{
		".password-store", ".local/share/keyrings", ".local/share/kwalletd", ".op", ".config/op", ".config/Bitwarden CLI",
		".config/Bitwarden", ".config/1Password", ".lpass", ".doppler", ".config/KeePass",
	}, []string{"PASSWORD_STORE_DIR"}},
	{"sessions of a browser", []string{
		".mozilla", ".config/google-chrome", ".config/chromium", ".config/BraveSoftware", ".config/microsoft-edge", ".config/vivaldi",
	}, nil},
	{"logins and transcripts of agents", []string{
		".claude", ".claude.json", ".codex", ".gemini", ".config/github-copilot", ".cursor", ".codeium", ".aider.conf.yml",
	}, []string{"CLAUDE_CONFIG_DIR", "CODEX_HOME"}},
	{"what was typed, secrets among it", []string{
		".bash_history", ".zsh_history", ".local/share/fish/fish_history", ".python_history", ".node_repl_history",
		".psql_history", ".mysql_history", ".sqlite_history", ".local/share/atuin",
	}, []string{"HISTFILE"}},
	{"secrets of sandboxes", []string{".config/com.docker.sandboxes"}, nil},
	{"tokens of notebooks", []string{".local/share/jupyter/runtime", ".config/anaconda", ".continuum"}, nil},
	{"access to the screen", []string{".Xauthority", ".ICEauthority", "/tmp/.X11-unix"}, []string{"XAUTHORITY"}},
	{"logins of Kerberos", []string{"/etc/krb5.keytab"}, []string{"KRB5CCNAME", "KRB5_KTNAME"}},
	{"secrets of this machine", []string{
		"/etc/shadow", "/etc/gshadow", "/etc/ssl/private", "/etc/pki/tls/private", "/var/lib/cloud", "/var/backups",
	}, []string{"CREDENTIALS_DIRECTORY"}},
}

// roomy are folders in which many programs keep something. Each as a whole is refused, whatever
// is in it; what is inside is judged by itself.
var roomy = []string{".config", ".local", ".local/share", ".local/state"}

// place is where a login may be.
type place struct {
	path, what string
	exactly    bool // only this folder as a whole
}

// places returns the table for these homes and this environment.
func (s Search) places() []place {
	var out []place
	add := func(path, what string, exactly bool) {
		out = append(out, place{path, what, exactly})
		if real, err := filepath.EvalSymlinks(path); err == nil && real != path {
			out = append(out, place{real, what, exactly})
		}
	}
	for _, k := range keepers {
		for _, path := range k.paths {
			if filepath.IsAbs(path) {
				add(path, k.what, false)
				continue
			}
			for _, home := range s.Homes {
				add(filepath.Join(home, path), k.what, false)
			}
			if below, ok := strings.CutPrefix(path, ".config/"); ok {
				if dir := s.Getenv("XDG_CONFIG_HOME"); filepath.IsAbs(dir) {
					add(filepath.Join(dir, below), k.what, false)
				}
			}
		}
		for _, name := range k.variables {
			for _, path := range filepath.SplitList(trimScheme(s.Getenv(name))) {
				if filepath.IsAbs(path) {
					add(filepath.Clean(path), k.what+", as $"+name+" says", false)
				}
			}
		}
	}
	for _, home := range s.Homes {
		for _, path := range roomy {
			add(filepath.Join(home, path), "settings of many programs, logins among them", true)
		}
	}
	return out
}

// trimScheme returns the path in the value of a variable such as DOCKER_HOST or KRB5CCNAME.
func trimScheme(value string) string {
	for _, scheme := range []string{"unix://", "FILE:", "DIR:"} {
		value = strings.TrimPrefix(value, scheme)
	}
	return value
}

// harmless reports whether a file in one of the places holds no secret.
func harmless(path string) bool {
	if filepath.Base(filepath.Dir(path)) != ".ssh" {
		return false
	}
	switch name := filepath.Base(path); name {
	case "config", "known_hosts", "authorized_keys":
		return true
	default:
		return filepath.Ext(name) == ".pub"
	}
}
