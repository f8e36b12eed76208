package app

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/internal/fault"
)

// exported returns the names of the variables that a shell would export, and of those
// that it would unset.
func exported(t *testing.T, shell string) (set, unset map[string]string) {
	t.Helper()
	set, unset = map[string]string{}, map[string]string{}
	for line := range strings.Lines(shell) {
		word, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch word {
		case "export":
			name, value, _ := strings.Cut(rest, "=")
			set[name] = strings.Trim(value, "'")
		case "unset":
			for name := range strings.FieldsSeq(rest) {
				unset[name] = ""
			}
		default:
			t.Errorf("neither sets nor unsets: %q", line)
		}
	}
	return set, unset
}

func TestEmulatorEnvironment(t *testing.T) {
	t.Parallel()
	home := EmulatorHome{Dir: t.TempDir()}
	const login = `{"type":"authorized_user","account":"olivia@acme.example","refresh_token":"1//0secret"}`
	if err := os.WriteFile(home.loginFile(), []byte(login), 0o600); err != nil {
		t.Fatal(err)
	}
	proxy := map[string]string{
		"HTTPS_PROXY": "http://127.0.0.1:8790", "https_proxy": "http://127.0.0.1:8790",
		"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost",
	}
	for _, ca := range []string{
		"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "HTTPLIB2_CA_CERTS", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS",
		"CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
	} {
		proxy[ca] = home.Dir + "/ca.pem"
	}
	sdk := map[string]string{"GOOGLE_APPLICATION_CREDENTIALS": home.Dir + "/adc.json"}
	for name, value := range proxy {
		sdk[name] = value
	}
	gcloud := map[string]string{
		"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost",
		"CLOUDSDK_PROXY_TYPE": "http", "CLOUDSDK_PROXY_ADDRESS": "127.0.0.1", "CLOUDSDK_PROXY_PORT": "8790",
		"CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE": home.Dir + "/ca.pem",
		"CLOUDSDK_CONFIG":                    home.Dir + "/gcloud", "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": home.Dir + "/token",
		"CLOUDSDK_CORE_ACCOUNT": "olivia@acme.example", "CLOUDSDK_CORE_CHECK_GCE_METADATA": "false",
		"CLOUDSDK_CORE_DISABLE_PROMPTS": "1", "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
		"CLOUDSDK_CORE_DISABLE_FILE_LOGGING": "true", "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "true",
		"CLOUDSDK_AUTH_TOKEN_HOST":                   "http://127.0.0.1:8790/token",
		"CLOUDSDK_AUTH_TOKEN_INTROSPECTION_ENDPOINT": "http://127.0.0.1:8790/v1/introspect",
	}
	for _, api := range []string{"IAM", "IAMCREDENTIALS", "CLOUDRESOURCEMANAGER", "STORAGE", "PUBSUB", "SECRETMANAGER"} {
		gcloud["CLOUDSDK_API_ENDPOINT_OVERRIDES_"+api] = "http://127.0.0.1:8790/"
	}
	for _, c := range []struct {
		client string
		set    map[string]string
		unset  []string // some of them
	}{
		{"taskiam", map[string]string{
			EnvEmulatorHost: "127.0.0.1:8790", EnvEmulatorToken: home.Dir + "/token", EnvEmulatorCA: home.Dir + "/ca.pem",
		}, []string{EnvOperatorMember}},
		{"gcloud", gcloud, []string{"CLOUDSDK_AUTH_ACCESS_TOKEN", "CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT", "CLOUDSDK_ACTIVE_CONFIG_NAME"}},
		{"sdk", sdk, []string{"STORAGE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST", "GOOGLE_OAUTH_ACCESS_TOKEN"}},
		{"proxy", proxy, nil},
	} {
		text, err := home.Environment("127.0.0.1:8790", c.client)
		if err != nil {
			t.Fatal(err)
		}
		set, unset := exported(t, text)
		if d := cmp.Diff(c.set, set); d != "" {
			t.Errorf("--for %s (-want +got):\n%s", c.client, d)
		}
		for _, name := range c.unset {
			if _, ok := unset[name]; !ok {
				t.Errorf("--for %s leaves %s", c.client, name)
			}
		}
		if c.unset == nil && len(unset) > 0 {
			t.Errorf("--for %s unsets %v", c.client, unset)
		}
		for name := range set {
			if _, both := unset[name]; both {
				t.Errorf("--for %s sets and unsets %s", c.client, name)
			}
		}
		if strings.Contains(text, "secret") {
			t.Errorf("--for %s prints the login", c.client)
		}
	}
}

// A federated operator is named, because its token does not say who it is.
func TestEmulatorEnvironmentOfFederated(t *testing.T) {
	t.Parallel()
	home := EmulatorHome{Dir: t.TempDir()}
	const member = "principal://iam.googleapis.com/locations/global/workforcePools/acme-staff/subject/ines@acme.example"
	if err := os.WriteFile(home.loginFile(), []byte(`{"account":"`+member+`"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := home.Environment("127.0.0.1:8790", ForTaskiam)
	if err != nil {
		t.Fatal(err)
	}
	if set, _ := exported(t, text); set[EnvOperatorMember] != member {
		t.Errorf("the environment does not name the operator:\n%s", text)
	}
}

// Without its login there is no operator for gcloud to be.
func TestEmulatorEnvironmentWithoutLogin(t *testing.T) {
	t.Parallel()
	home := EmulatorHome{Dir: t.TempDir()}
	if _, err := home.Environment("127.0.0.1:8790", ForGcloud); err == nil || len(fault.Hints(err)) == 0 {
		t.Errorf("the error is %v, without a hint", err)
	}
	if err := os.WriteFile(home.loginFile(), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := home.Environment("127.0.0.1:8790", ForGcloud); err == nil || !strings.Contains(err.Error(), "adc.json") {
		t.Errorf("the error is %v, and names no file", err)
	}
}
