package credentials

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"

	"github.com/taskiam/taskiam/internal/delivery"
)

// Rule is one row of the table by which [Scrub] works.
type Rule struct {
	// Names are what the rule matches, in upper or lower case: * stands for any characters.
	Names []string
	// Competes means that a client of Google's would act as somebody else, or somewhere
	// else, because of it. The other rules are about credentials of the operator, and about
	// what belongs to somebody else: nothing of it is unset for later steps of a job.
	Competes bool
	Why      string
}

// table lists the variables of clients and of CI systems.
var table = []Rule{
	{[]string{"GOOGLE_APPLICATION_CREDENTIALS"}, true, "names the credential file that every client reads first; Node reads it in lower case too"},
	{[]string{"GOOGLE_CREDENTIALS", "GOOGLE_BACKEND_CREDENTIALS", "GOOGLE_CLOUD_KEYFILE_JSON", "GCLOUD_KEYFILE_JSON"}, true,
		"a credential, or the name of its file, for Terraform and its gcs backend"},
	{[]string{"GOOGLE_OAUTH_ACCESS_TOKEN"}, true, "an access token for Terraform"},
	{[]string{"GOOGLE_IMPERSONATE_SERVICE_ACCOUNT", "GOOGLE_BACKEND_IMPERSONATE_SERVICE_ACCOUNT"}, true, "makes Terraform act as a further account"},
	{[]string{"GCP_SERVICE_ACCOUNT_FILE", "GCP_SERVICE_ACCOUNT_CONTENTS", "GCP_SERVICE_ACCOUNT_EMAIL", "GCP_ACCESS_TOKEN", "GCP_AUTH_KIND"}, true, "a credential for Ansible"},
	{[]string{"GOOGLE_GHA_CREDS_PATH"}, false, "names the credential file of google-github-actions/auth, whose post step removes it; no client reads it"},
	{[]string{"GOOGLE_API_KEY", "GEMINI_API_KEY"}, true, "an API key, which some clients prefer to an account"},
	{[]string{"GOOGLE_EXTERNAL_ACCOUNT_*"}, true, "lets a credential file run a program, and tells it what for"},
	{[]string{"GOOGLE_API_USE_CLIENT_CERTIFICATE", "GOOGLE_API_USE_MTLS_ENDPOINT", "GOOGLE_API_CERTIFICATE_CONFIG"}, true, "the certificate of the operator's device"},
	{[]string{"FIREBASE_TOKEN"}, true, "a refresh token of the person who ran firebase login:ci"},
	{[]string{"CLOUDSDK_AUTH_ACCESS_TOKEN", "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE", "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE",
		"CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT", "CLOUDSDK_AUTH_LOGIN_CONFIG_FILE", "CLOUDSDK_ACTIVE_CONFIG_NAME",
		"CLOUDSDK_CORE_ACCOUNT", "CLOUDSDK_CORE_UNIVERSE_DOMAIN", "CLOUDSDK_CONTEXT_AWARE_USE_CLIENT_CERTIFICATE",
		"CLOUDSDK_BILLING_QUOTA_PROJECT"}, true, "whose login gcloud, bq and gsutil use"},
	{[]string{"CLOUDSDK_*"}, true, "any other setting of gcloud's: each can be a variable"},
	{[]string{"BOTO_CONFIG", "BOTO_PATH"}, true, "names the file with gsutil's own login"},
	{[]string{"BIGQUERYRC"}, true, "names the file with bq's flags, a login among them"},
	{[]string{"DEVSHELL_*"}, true, "the login of the person who opened this Cloud Shell"},
	{[]string{"GCE_METADATA_*", "NO_GCE_CHECK", "METADATA_SERVER_DETECTION"}, true, "where clients look for a machine's own account"},
	{[]string{"GOOGLE_CLOUD_PROJECT", "GOOGLE_PROJECT", "GCLOUD_PROJECT", "GCP_PROJECT", "CLOUDSDK_PROJECT", "GOOGLE_PROJECT_ID", "GCP_PROJECT_ID"}, true,
		"the project that clients work in if they are told none"},
	{[]string{"GOOGLE_CLOUD_QUOTA_PROJECT", "GOOGLE_BILLING_PROJECT", "USER_PROJECT_OVERRIDE"}, true, "the project that pays"},
	{[]string{"GOOGLE_CLOUD_UNIVERSE_DOMAIN", "GOOGLE_UNIVERSE_DOMAIN"}, true, "sends every request, and its token, to another cloud"},
	{[]string{"GOOGLE_*_CUSTOM_ENDPOINT"}, true, "sends Terraform's requests, and their token, elsewhere"},
	{[]string{"STORAGE_EMULATOR_HOST", "STORAGE_EMULATOR_HOST_GRPC", "PUBSUB_EMULATOR_HOST", "BIGQUERY_EMULATOR_HOST",
		"FIRESTORE_EMULATOR_HOST", "DATASTORE_EMULATOR_HOST", "BIGTABLE_EMULATOR_HOST", "SPANNER_EMULATOR_HOST",
		"SECRET_MANAGER_EMULATOR_HOST", "CLOUD_TASKS_EMULATOR_HOST", "FIREBASE_AUTH_EMULATOR_HOST",
		"FIREBASE_DATABASE_EMULATOR_HOST", "FIREBASE_STORAGE_EMULATOR_HOST", "FIREBASE_EMULATOR_HUB"}, true,
		"sends a client's requests elsewhere, mostly without a login"},

	{[]string{"TASKIAM_*"}, false, "taskiam's own settings: a nested run is not to inherit them, the emulator's operator token least of all"},
	{[]string{"ACTIONS_ID_TOKEN_REQUEST_*", "ACTIONS_RUNTIME_TOKEN", "ACTIONS_RUNTIME_URL", "ACTIONS_CACHE_URL", "ACTIONS_RESULTS_URL"}, false,
		"GitHub Actions: with it a job asks for an identity token, and so for the operator's access"},
	{[]string{"GITHUB_TOKEN", "GH_TOKEN", "GITHUB_ENTERPRISE_TOKEN", "GH_ENTERPRISE_TOKEN"}, false, "GitHub: the job's or the person's own token"},
	{[]string{"CI_JOB_TOKEN", "CI_JOB_JWT", "CI_JOB_JWT_*", "GITLAB_OIDC_TOKEN", "GITLAB_TOKEN", "CI_REPOSITORY_URL", "CI_REGISTRY_PASSWORD",
		"CI_DEPLOY_PASSWORD", "CI_DEPENDENCY_PROXY_PASSWORD"}, false, "GitLab: the job's token, under its own name or inside an address"},
	{[]string{"CIRCLE_OIDC_TOKEN", "CIRCLE_OIDC_TOKEN_*", "CIRCLE_TOKEN"}, false, "CircleCI: the job's identity token, the person's API token"},
	{[]string{"BUILDKITE_AGENT_ACCESS_TOKEN", "BUILDKITE_AGENT_TOKEN"}, false, "Buildkite: with it a job asks for an identity token"},
	{[]string{"SYSTEM_ACCESSTOKEN", "SYSTEM_OIDCREQUESTURI"}, false, "Azure Pipelines: the job's token, and where it asks for an identity token"},
	{[]string{"BITBUCKET_STEP_OIDC_TOKEN"}, false, "Bitbucket: the step's identity token"},
	{[]string{"SEMAPHORE_OIDC_TOKEN"}, false, "Semaphore: the job's identity token"},
	{[]string{"TFC_WORKLOAD_IDENTITY_TOKEN", "TFC_WORKLOAD_IDENTITY_TOKEN_*", "TFC_GCP_*", "SPACELIFT_OIDC_TOKEN"}, false, "HCP Terraform and Spacelift: the run's identity token"},
	{[]string{"DRONE_NETRC_PASSWORD", "CI_NETRC_PASSWORD"}, false, "Drone and Woodpecker: the job's token for the repository"},
}

// rules is the table, with a rule for further variables that deliveries set.
var rules = slices.Concat(table, setByKinds())

// setByKinds returns a rule for the variables that a kind of delivery sets and no row of
// the table matches. Without it, the operator's own value would stay in runs of the other
// kinds. There is no rule if the table matches them all.
func setByKinds() []Rule {
	r := Rule{Competes: true, Why: "set by a kind of delivery"}
	for _, kind := range delivery.Kinds() {
		for _, v := range (delivery.Delivery{Kind: kind.Name}).Environment() {
			matches := func(r Rule) bool { return r.matches(v.Name) }
			if !slices.ContainsFunc(table, matches) && !matches(r) {
				r.Names = append(r.Names, v.Name)
			}
		}
	}
	if len(r.Names) == 0 {
		return nil
	}
	return []Rule{r}
}

// kept are variables that a rule matches although they name no identity.
var kept = Rule{
	Names: []string{
		"CLOUDSDK_PYTHON", "CLOUDSDK_PYTHON_ARGS", "CLOUDSDK_PYTHON_SITEPACKAGES", "CLOUDSDK_GSUTIL_PYTHON", "CLOUDSDK_BQ_PYTHON",
		"CLOUDSDK_PROXY_*", "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
	},
	Why: "which Python runs gcloud, and the proxy of this network, like HTTPS_PROXY: without them nothing works",
}

// Rules returns the table by which [Scrub] works.
func Rules() []Rule { return slices.Clone(rules) }

// Kept returns the variables that [Scrub] leaves although a rule matches them.
func Kept() Rule { return kept }

func (r Rule) matches(name string) bool {
	return slices.ContainsFunc(r.Names, func(pattern string) bool {
		ok, err := path.Match(pattern, name)
		return ok && err == nil
	})
}

// Scrub returns the environment without the variables that could make a command act as
// anybody but the run's account: those that [Rules] match, and those, under any name,
// whose value is a credential for Google Cloud.
func Scrub(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(v string) bool {
		name, value, _ := strings.Cut(v, "=")
		name = strings.ToUpper(name)
		if isCredential(value) {
			return true
		}
		return !kept.matches(name) && slices.ContainsFunc(rules, func(r Rule) bool { return r.matches(name) })
	})
}

// proxyTypes are the values of CLOUDSDK_PROXY_TYPE with which gcloud starts.
var proxyTypes = []string{"http", "http_no_tunnel", "socks4", "socks5"}

// Breaks returns, in words, the settings in an environment that CMD inherits and with which gcloud, or every client
// that goes by them, does not start or does not connect.
func Breaks(environ []string) []string {
	set := map[string]string{}
	for _, v := range environ {
		name, value, _ := strings.Cut(v, "=")
		set[name] = value
	}
	return append(breaksProxy(set), breaksFiles(set)...)
}

// breaksProxy looks at the proxy of gcloud's own.
func breaksProxy(set map[string]string) (out []string) {
	const kind, address, port = "CLOUDSDK_PROXY_TYPE", "CLOUDSDK_PROXY_ADDRESS", "CLOUDSDK_PROXY_PORT"
	if t := set[kind]; t != "" && !slices.Contains(proxyTypes, t) {
		out = append(out, fmt.Sprintf("%s is %q, with which gcloud does not start: it takes %s", kind, t,
			strings.Join(proxyTypes, ", ")))
	}
	var have, lack []string
	for _, name := range []string{kind, address, port} {
		if set[name] != "" {
			have = append(have, name)
		} else {
			lack = append(lack, name)
		}
	}
	if len(have) > 0 && len(lack) > 0 {
		out = append(out, fmt.Sprintf("%s is set and %s is not: gcloud starts only with all three or none",
			strings.Join(have, " and "), strings.Join(lack, " and ")))
	}
	return out
}

// files are the variables among those that CMD inherits which name a program or a file of certificates, with what
// does not work if it is not there.
var files = []struct{ name, breaks string }{
	{"CLOUDSDK_PYTHON", "gcloud does not start"},
	{"CLOUDSDK_GSUTIL_PYTHON", "gsutil does not start"},
	{"CLOUDSDK_BQ_PYTHON", "bq does not start"},
	{"CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", "gcloud does not start"},
	{"HTTPLIB2_CA_CERTS", "gcloud and bq do not start"},
	{"REQUESTS_CA_BUNDLE", "gcloud and Python's clients cannot connect"},
	{"CURL_CA_BUNDLE", "gcloud, Python's clients and curl cannot connect"},
	{"SSL_CERT_FILE", "most clients trust no server"},
}

// breaksFiles looks for what is named and does not exist.
func breaksFiles(set map[string]string) (out []string) {
	for _, f := range files {
		value := set[f.name]
		if value == "" {
			continue
		}
		_, err := os.Stat(value)
		if strings.HasSuffix(f.name, "PYTHON") {
			_, err = exec.LookPath(value)
		}
		if err != nil && !errors.Is(err, fs.ErrPermission) { // another user may be allowed to see it
			out = append(out, fmt.Sprintf("%s is %q, which does not exist: %s", f.name, value, f.breaks))
		}
	}
	return out
}

// Competing returns the names of the variables that make a client of Google's act as
// somebody else, or somewhere else. Patterns in [Rules] are left out.
func Competing() []string {
	var names []string
	for _, r := range rules {
		for _, name := range r.Names {
			if r.Competes && !strings.Contains(name, "*") {
				names = append(names, name)
			}
		}
	}
	return names
}

// CompetingIn returns the names in an environment that [Competing] does not have: those that only a pattern in [Rules]
// matches. What is no name for a shell is left out.
func CompetingIn(environ []string) []string {
	known := Competing()
	var names []string
	for _, v := range environ {
		name, _, _ := strings.Cut(v, "=")
		upper := strings.ToUpper(name)
		if namePattern().MatchString(name) && !kept.matches(upper) && !slices.Contains(known, name) &&
			slices.ContainsFunc(rules, func(r Rule) bool { return r.Competes && r.matches(upper) }) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// neutral are the values that mean nothing, of variables that clients do not start with if they are empty.
var neutral = map[string]string{
	"GOOGLE_CLOUD_UNIVERSE_DOMAIN": "googleapis.com", "GOOGLE_UNIVERSE_DOMAIN": "googleapis.com",
	"CLOUDSDK_CORE_UNIVERSE_DOMAIN":     "googleapis.com",
	"GOOGLE_API_USE_CLIENT_CERTIFICATE": "false", "GOOGLE_API_USE_MTLS_ENDPOINT": "auto",
}

// Blanks returns the names in an environment that have to be made empty for the steps of a job whose
// system cannot unset a variable: those of [Competing] and [CompetingIn] that are set. Of gcloud's
// other settings it names those of a login alone: with some of the rest empty, gcloud does not start.
func Blanks(environ []string) []string {
	patterns := CompetingIn(environ)
	var names []string
	for _, v := range environ {
		name, value, _ := strings.Cut(v, "=")
		switch {
		case value == "":
		case slices.Contains(Competing(), name):
			names = append(names, name)
		case !slices.Contains(patterns, name):
		case !strings.HasPrefix(name, "CLOUDSDK_"), strings.HasPrefix(name, "CLOUDSDK_AUTH_"):
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// isCredential reports whether a value has the form of a credential for Google Cloud: an
// access or refresh token, a credential file in JSON (also in base64, as CI systems store
// it), or an identity token for Google.
func isCredential(value string) bool {
	value = strings.TrimSpace(value)
	switch {
	case strings.HasPrefix(value, "ya29."), strings.HasPrefix(value, "1//0") && len(value) > 40:
		return true
	case strings.HasPrefix(value, "{"):
		return isCredentialFile([]byte(value))
	}
	if parts := strings.Split(value, "."); len(parts) == 3 && strings.HasPrefix(value, "eyJ") {
		claims, err := base64.RawURLEncoding.DecodeString(parts[1])
		return err == nil && (bytes.Contains(claims, []byte("googleapis.com")) ||
			bytes.Contains(claims, []byte("accounts.google.com")))
	}
	b, err := base64.StdEncoding.DecodeString(value)
	return err == nil && bytes.HasPrefix(bytes.TrimSpace(b), []byte("{")) && isCredentialFile(b)
}

func isCredentialFile(b []byte) bool {
	var file struct {
		Type string `json:"type"`
	}
	if json.Unmarshal(b, &file) != nil {
		return false
	}
	return slices.Contains([]string{"service_account", "authorized_user", "external_account",
		"external_account_authorized_user", "impersonated_service_account", "gdch_service_account"}, file.Type)
}
