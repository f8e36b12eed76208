package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"cloud.google.com/go/auth"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/storage/v1"
)

// client is a row of the table.
type client struct {
	name  string
	quick bool
	// What is asked of it, and what stands in the answer. With identity that is an identity token for whom granted names.
	granted, other, proof string
	identity              bool
	// unfit says why a kind of delivery is not for this client, by a rule of its own; "" is one that is. nil is none.
	unfit func(column) string
	// It tries without end when nothing answers where tokens are.
	retries bool
	missing string // why it cannot be run here
	start   func(*kit, *sandbox) order
}

// The same for all that read objects.
const (
	granted = "acme-reports/2026/01.csv"
	other   = "acme-reports/2025/12.csv"
	proof   = "2026-01-01,12"
)

// Whom identity tokens are made out to, and whom not.
const (
	audience        = "https://reports.example"
	anotherAudience = "https://other.example"
)

// Application default credentials are no bare token.
func defaults(c column) string {
	if c.deliver == byToken {
		return "takes no bare token: fails closed"
	}
	return ""
}

// No credential file may lead to an address without TLS.
func tlsAlone(c column) string {
	if c.deliver == byFile || c.deliver == byMetadata && c.mode == inPlain {
		return "takes no file with an address without TLS: fails closed"
	}
	return defaults(c)
}

// Of a credential file that leads elsewhere they make no identity tokens.
func serverOrKey(c column) string {
	switch {
	case c.deliver == byToken:
		return "makes none of a bare token"
	case c.deliver == byFile || c.deliver == byMetadata && c.mode == inPlain:
		return "makes none of a file: fails closed"
	}
	return ""
}

// These ask the server whatever file there is.
func serverAlways(c column) string {
	if c.deliver == byMetadata {
		return ""
	}
	return serverOrKey(c)
}

// They know tokens and a server that hands them out, and nothing of credential files.
func signsNothing(c column) string {
	switch c.deliver {
	case byKey:
		return "signs nothing"
	case byFile:
		return "reads no such file"
	}
	return ""
}

// kit is what the clients are run with.
type kit struct {
	dir      string
	manifest string
	home     string // a home with the operator's login in it
	login    string
	sdk      string // Google Cloud SDK; "" if there is none
	fetched  string // what make clients has fetched; "" if it has not
	proxy    string // of the emulator
	classes  string // the class path of the probe in Java
	trust    string // what Java trusts
	noJava   string // why there is none
	// shown are the flags by which a sandbox sees what the clients need.
	shown []string
}

func newKit(t *testing.T, s *stage) *kit {
	t.Helper()
	k := &kit{dir: s.folder("kit"), fetched: os.Getenv(nodeVariable), proxy: s.host}
	var err error
	k.manifest, err = filepath.Abs(filepath.Join(probes, "table.toml"))
	must(t, err)
	login := s.read(filepath.Join(filepath.Dir(s.vars["TASKIAM_EMULATOR_TOKEN_FILE"]), "adc.json"))
	k.home = s.folder("trap")
	k.login = s.write("trap/.config/gcloud/application_default_credentials.json", login)
	if path, err := exec.LookPath("gcloud"); err == nil {
		path, err = filepath.EvalSymlinks(path)
		must(t, err)
		k.sdk = filepath.Dir(filepath.Dir(path))
	}
	must(t, os.CopyFS(k.dir, os.DirFS(probes)))
	if k.fetched != "" {
		must(t, os.Symlink(filepath.Join(k.fetched, "node_modules"), filepath.Join(k.dir, "node_modules")))
	}
	must(t, os.WriteFile(filepath.Join(k.dir, "terraformrc"), []byte("disable_checkpoint = true\n"), 0o600))
	if *tableAll {
		k.compileJava(t, s.vars["TASKIAM_EMULATOR_CA"])
	}
	agent, err := exec.LookPath("clientagent")
	must(t, err)
	for _, path := range []string{filepath.Dir(agent), k.dir, k.fetched} {
		if path != "" {
			k.shown = append(k.shown, "--ro", path)
		}
	}
	return k
}

// compileJava makes the probe in Java. Its libraries are those of an emulator of Google's,
// which is part of the SDK if one likes.
func (k *kit) compileJava(t *testing.T, ca string) {
	t.Helper()
	jars, err := filepath.Glob(filepath.Join(k.sdk, "platform", "pubsub-emulator", "lib", "cloud-pubsub-emulator-*-all.jar"))
	must(t, err)
	_, err = exec.LookPath("javac")
	if err != nil || k.sdk == "" || len(jars) == 0 {
		k.noJava = "no javac, or no google-auth-library (gcloud's component pubsub-emulator has it)"
		return
	}
	k.classes, k.trust = jars[0]+string(filepath.ListSeparator)+k.dir, filepath.Join(k.dir, "trust.p12")
	for _, args := range [][]string{
		{"javac", "-cp", k.classes, "-d", k.dir, filepath.Join(k.dir, "Probe.java")},
		{"keytool", "-importcert", "-noprompt", "-file", ca, "-keystore", k.trust, "-storepass", "changeit"},
	} {
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
	}
}

// clients returns the rows of the table.
func (k *kit) clients() []client {
	noSDK, noNode, noGo := "", "", ""
	if k.sdk == "" {
		noSDK = "gcloud is not installed"
	}
	if k.fetched == "" {
		noNode, noGo = "not fetched: make clients", "not built: make clients"
	}
	missing := func(program string) string {
		if _, err := exec.LookPath(program); err != nil {
			return program + " is not installed"
		}
		return ""
	}
	python := filepath.Join(k.sdk, "platform", "bundledpythonunix", "bin", "python3")
	goclients, mjs, py := filepath.Join(k.fetched, "goclients"), filepath.Join(k.dir, "probe.mjs"), filepath.Join(k.dir, "probe.py")
	runner := "ci-runner@acme-agents.iam.gserviceaccount.com"
	return []client{
		{name: "gcloud storage", quick: true, granted: "cat gs://" + granted, other: "cat gs://" + other, proof: proof,
			missing: noSDK, start: shell("gcloud storage $1")},
		{name: "gcloud pubsub", granted: "publish reports --message=hello", other: "describe reports", proof: "messageIds",
			missing: noSDK, start: shell("gcloud pubsub topics $1")},
		{name: "gcloud secrets", granted: "db-password", other: "api-key", proof: "correct horse battery staple",
			missing: noSDK, start: shell(`gcloud secrets versions access latest --secret="$1"`)},
		{name: "gcloud iam", granted: "describe " + runner, other: "disable " + runner, proof: "Build farm",
			missing: noSDK, start: shell("gcloud iam service-accounts $1")},
		{name: "gcloud auth print-identity-token", identity: true, granted: audience, other: anotherAudience, unfit: serverAlways,
			missing: noSDK, start: shell(`gcloud auth print-identity-token --audiences="$1"`)},
		{name: "bq", granted: "head -n 1 acme-data:sales.orders", other: "rm -f -t acme-data:sales.orders", proof: "Bolt & Sons",
			missing: noSDK, start: shell("bq $1")},
		{name: "gsutil", granted: "cat gs://" + granted, other: "cat gs://" + other, proof: proof,
			missing: noSDK, start: shell("gsutil $1")},
		{name: "docker-credential-gcloud", granted: granted, other: other, proof: proof, missing: noSDK,
			start: bearer(`echo https://gcr.io | docker-credential-gcloud get | sed -n 's/.*"Secret": "\(.*\)".*/\1/p'`)},
		{name: "git-credential-gcloud", granted: granted, other: other, proof: proof, missing: noSDK,
			start: bearer(`printf 'protocol=https\nhost=source.developers.google.com\n\n' | git-credential-gcloud.sh get | sed -n 's/^password=//p'`)},
		{name: "gke-gcloud-auth-plugin", granted: granted, other: other, proof: proof, missing: missing("gke-gcloud-auth-plugin"),
			start: bearer(`gke-gcloud-auth-plugin | sed -n 's/.*"token": "\(.*\)".*/\1/p'`)},
		{name: "curl", granted: granted, other: other, proof: proof, missing: missing("curl"),
			unfit: signsNothing,
			start: bearer(`if [ -n "$GOOGLE_OAUTH_ACCESS_TOKEN" ]; then echo "$GOOGLE_OAUTH_ACCESS_TOKEN"; else
				curl -sS --fail-with-body -H 'Metadata-Flavor: Google' "http://$GCE_METADATA_HOST/computeMetadata/v1/instance/service-accounts/default/token" |
				sed 's/.*"access_token":"\([^"]*\)".*/\1/'; fi`)},
		{name: "curl, identity tokens", identity: true, granted: audience, other: anotherAudience, missing: missing("curl"),
			unfit: func(c column) string {
				if c.deliver == byToken {
					return "there is no server"
				}
				return signsNothing(c)
			},
			start: shell(`curl -sS --fail-with-body -H 'Metadata-Flavor: Google' "http://$GCE_METADATA_HOST/computeMetadata/v1/instance/service-accounts/default/identity?audience=$1"`)},
		{name: "Go, google.golang.org/api/storage", quick: true, granted: granted, other: other, proof: proof, unfit: defaults,
			start: program("goprobe")},
		{name: "Go, cloud.google.com/go/storage", granted: granted, other: other, proof: proof, unfit: defaults, retries: true,
			missing: noGo, start: program(goclients, "storage")},
		{name: "Go, cloud.google.com/go/storage by gRPC", granted: granted, other: other, proof: proof, unfit: defaults, retries: true,
			missing: noGo, start: program(goclients, "storage-grpc")},
		{name: "Go, pubsub by gRPC", granted: "publish reports", other: "get reports", proof: "messageIds", unfit: defaults, retries: true,
			missing: noGo, start: program(goclients, "pubsub")},
		{name: "Go, secretmanager by gRPC", granted: "db-password", other: "api-key", proof: "correct horse battery staple",
			unfit: defaults, retries: true, missing: noGo, start: program(goclients, "secretmanager")},
		{name: "Go, identity tokens", identity: true, granted: audience, other: anotherAudience, unfit: serverOrKey,
			missing: noGo, start: program(goclients, "idtoken")},
		{name: "Python, google-auth", quick: true, granted: granted, other: other, proof: proof, unfit: defaults,
			missing: noSDK, start: program(python, py)},
		{name: "Python, identity tokens", identity: true, granted: audience, other: anotherAudience, unfit: serverAlways,
			missing: noSDK, start: program(python, py, "idtoken")},
		{name: "Node, google-auth-library", granted: granted, other: other, proof: proof, unfit: defaults,
			missing: noNode, start: program("node", mjs, "google-auth-library")},
		{name: "Node, @google-cloud/storage, upload too", granted: "upload acme-drop/node.txt hello", other: "read " + other, proof: "hello",
			unfit: defaults, missing: noNode, start: program("node", mjs, "@google-cloud/storage")},
		{name: "Node, @google-cloud/secret-manager by gRPC", granted: "db-password", other: "api-key", proof: "correct horse battery staple",
			unfit: defaults, retries: true, missing: noNode, start: program("node", mjs, "@google-cloud/secret-manager")},
		{name: "Node, @google-cloud/pubsub by gRPC", granted: "publish reports", other: "get reports", proof: "messageIds",
			unfit: defaults, retries: true, missing: noNode, start: program("node", mjs, "@google-cloud/pubsub")},
		{name: "Node, @google-cloud/bigquery", granted: "sales.orders", other: "hr.bonuses", proof: "Bolt & Sons",
			unfit: defaults, missing: noNode, start: program("node", mjs, "@google-cloud/bigquery")},
		{name: "Node, identity tokens", identity: true, granted: audience, other: anotherAudience, unfit: serverOrKey,
			missing: noNode, start: program("node", mjs, "idtoken")},
		{name: "Java, google-auth-library", granted: granted, other: other, proof: proof, missing: k.noJava, start: java(),
			unfit: func(c column) string {
				if c.deliver == byFile {
					return tlsAlone(c)
				}
				return defaults(c)
			}},
		{name: "Java, identity tokens", identity: true, granted: audience, other: anotherAudience, unfit: serverAlways,
			missing: k.noJava, start: java("idtoken")},
		{name: "terraform, backend gcs", granted: "acme-drop", other: "acme-reports", proof: "only what is declared", retries: true,
			missing: missing("terraform"), start: terraform},
		{name: "rclone 1.60 (Debian 12)", granted: "acme-drop", other: "acme-reports", proof: "hello", unfit: tlsAlone, retries: true,
			missing: missing("rclone"), start: rclone("rclone")},
		{name: "rclone 1.76", granted: "acme-drop", other: "acme-reports", proof: "hello", retries: true,
			missing: noGo, start: rclone(filepath.Join(k.fetched, "rclone"))},
	}
}

// shell is a process for each call: a script for sh.
func shell(script string) func(*kit, *sandbox) order {
	return func(*kit, *sandbox) order { return order{Script: script} }
}

// bearer reads an object with curl and the token that a script prints.
func bearer(script string) func(*kit, *sandbox) order {
	return shell(`token=$(` + script + `) && [ -n "$token" ] && bucket=${1%%/*} && name=$(echo "${1#*/}" | sed s,/,%2F,g) &&
		curl -sS --fail-with-body -H "Authorization: Bearer $token" "https://storage.googleapis.com/storage/v1/b/$bucket/o/$name?alt=media"`)
}

// program is one process for all calls.
func program(args ...string) func(*kit, *sandbox) order {
	return func(k *kit, _ *sandbox) order {
		return order{Args: args, Vars: map[string]string{"PYTHONPATH": filepath.Join(k.sdk, "lib", "third_party")}}
	}
}

// java starts the probe in Java, which has no variables for a proxy and for whom to trust. It takes no credential file
// with an address without TLS. Without one it looks into CLOUDSDK_CONFIG, where nobody's login is, and then for the
// metadata server: so the variable is unset for it.
func java(args ...string) func(*kit, *sandbox) order {
	return func(k *kit, box *sandbox) order {
		host, port, _ := strings.Cut(k.proxy, ":")
		o := order{Args: append([]string{"java", "-Duser.home=" + k.home, "-Dhttps.proxyHost=" + host, "-Dhttps.proxyPort=" + port,
			"-Djavax.net.ssl.trustStore=" + k.trust, "-Djavax.net.ssl.trustStorePassword=changeit", "-cp", k.classes, "Probe"}, args...)}
		if box.deliver == byMetadata {
			o.Unset = []string{"GOOGLE_APPLICATION_CREDENTIALS"}
		}
		return o
	}
}

// terraform keeps a state in the bucket that is asked for.
func terraform(k *kit, _ *sandbox) order {
	return order{
		Vars: map[string]string{"TF_CLI_CONFIG_FILE": filepath.Join(k.dir, "terraformrc"), "TF_IN_AUTOMATION": "1", "TF_CLI_ARGS": "-no-color", "CHECKPOINT_DISABLE": "1"},
		Script: `mkdir -p terraform && cd terraform && cp ` + filepath.Join(k.dir, "main.tf") + ` . &&
			terraform init -input=false -reconfigure -backend-config=bucket="$1" -backend-config=prefix="$TASKIAM_RUN" &&
			terraform apply -input=false -auto-approve && terraform output -raw motto`,
	}
}

// rclone writes an object and reads it. It lists what it reads: a bucket that has only a part granted is not for it. A
// bare token it takes by a variable of its own.
func rclone(path string) func(*kit, *sandbox) order {
	return func(_ *kit, box *sandbox) order {
		o := order{
			Vars: map[string]string{
				"RCLONE_CONFIG": os.DevNull, "RCLONE_CONFIG_G_TYPE": "google cloud storage", "RCLONE_CONFIG_G_BUCKET_POLICY_ONLY": "true",
				"RCLONE_RETRIES": "1", "RCLONE_LOW_LEVEL_RETRIES": "1", "RCLONE_CONFIG_G_ENV_AUTH": "true",
			},
			Script: `if [ "$1" = acme-drop ]; then echo hello | ` + path + ` rcat g:$1/rclone-$TASKIAM_RUN.txt && ` + path + ` cat g:$1/rclone-$TASKIAM_RUN.txt
				else ` + path + ` cat g:$1/2025/12.csv; fi`,
		}
		if box.deliver == byToken {
			delete(o.Vars, "RCLONE_CONFIG_G_ENV_AUTH")
			o.Script = `export RCLONE_CONFIG_G_ACCESS_TOKEN="$GOOGLE_OAUTH_ACCESS_TOKEN"; ` + o.Script
		}
		return o
	}
}

// goProbe is goprobe: it reads an object for each BUCKET/NAME that it is given in a line,
// with google.golang.org/api/storage and application default credentials. It answers in
// a line: "ok" and the text, or what the error is, by its code, and what it says.
func goProbe() {
	ctx := context.Background()
	service, err := storage.NewService(ctx)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		text, err := "", err
		if err == nil {
			text, err = download(ctx, service, lines.Text())
		}
		answer := "ok " + text
		if err != nil {
			answer = kindOfError(err) + " " + err.Error()
		}
		fmt.Println(strings.Join(strings.Fields(answer), " "))
	}
}

func kindOfError(err error) string {
	code := 0
	if e, ok := errors.AsType[*googleapi.Error](err); ok {
		code = e.Code
	} else if e, ok := errors.AsType[*auth.Error](err); ok && e.Response != nil {
		code = e.Response.StatusCode
		var said struct{ Error string }
		if json.Unmarshal(e.Body, &said) == nil && said.Error == "invalid_grant" {
			return said.Error
		}
	}
	switch {
	case code == http.StatusForbidden:
		return "denied"
	case code == http.StatusUnauthorized:
		return "unauthenticated"
	}
	if _, ok := errors.AsType[*url.Error](err); ok && code == 0 {
		return "unreachable" // nothing was answered
	}
	return "failed"
}

func download(ctx context.Context, service *storage.Service, object string) (string, error) {
	bucket, name, _ := strings.Cut(object, "/")
	answer, err := service.Objects.Get(bucket, name).Context(ctx).Download()
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return string(text), err
}
