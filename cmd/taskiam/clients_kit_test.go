package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/api/storage/v1"
)

// client is a row of the table.
type client struct {
	name  string
	quick bool
	// What is asked of it, and what stands in the answer.
	granted, other, proof string
	// Its credentials are application default ones: a bare token is nothing to it.
	defaults bool
	// It takes no credential file that leads to an address without TLS.
	tls bool
	// It tries without end when nothing answers where tokens are.
	retries bool
	missing string // why it cannot be run here
	start   func(context.Context, *kit, *sandbox) (asker, error)
}

// unfit says what becomes of a kind of delivery that is not for this client; "" is one
// that is.
func (c client) unfit(column int) string {
	switch {
	case c.defaults && column == byToken:
		return "takes none: fails closed"
	case c.tls && column == byFile:
		return "takes none without TLS: fails closed"
	}
	return ""
}

// The same for all that read objects.
const (
	granted = "acme-reports/2026/01.csv"
	other   = "acme-reports/2025/12.csv"
	proof   = "2026-01-01,12"
)

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
	noTerraform := ""
	if _, err := exec.LookPath("terraform"); err != nil {
		noTerraform = "terraform is not installed"
	}
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
		{name: "bq", granted: "head -n 1 acme-data:sales.orders", other: "rm -f -t acme-data:sales.orders", proof: "Bolt & Sons",
			missing: noSDK, start: shell("bq $1")},
		{name: "gsutil", granted: "cat gs://" + granted, other: "cat gs://" + other, proof: proof,
			missing: noSDK, start: shell("gsutil $1")},
		{name: "Go, google.golang.org/api/storage", quick: true, granted: granted, other: other, proof: proof, defaults: true,
			start: probe("goprobe")},
		{name: "Go, cloud.google.com/go/storage", granted: granted, other: other, proof: proof, defaults: true, retries: true,
			missing: noGo, start: probe(filepath.Join(k.fetched, "gostorage"))},
		{name: "Python, google-auth", quick: true, granted: granted, other: other, proof: proof, defaults: true,
			missing: noSDK, start: probe(filepath.Join(k.sdk, "platform", "bundledpythonunix", "bin", "python3"), filepath.Join(k.dir, "probe.py"))},
		{name: "Node, google-auth-library", granted: granted, other: other, proof: proof, defaults: true,
			missing: noNode, start: probe("node", filepath.Join(k.dir, "probe.mjs"), "google-auth-library")},
		{name: "Node, @google-cloud/storage", granted: granted, other: other, proof: proof, defaults: true,
			missing: noNode, start: probe("node", filepath.Join(k.dir, "probe.mjs"), "@google-cloud/storage")},
		{name: "Java, google-auth-library", granted: granted, other: other, proof: proof, defaults: true, tls: true,
			missing: k.noJava, start: startJava},
		{name: "terraform, backend gcs", granted: "acme-drop", other: "acme-reports", proof: "only what is declared", retries: true,
			missing: noTerraform, start: startTerraform},
	}
}

// vars returns the environment of a client in a sandbox.
func (k *kit) vars(box *sandbox) map[string]string {
	vars := maps.Clone(box.vars)
	vars["PYTHONPATH"] = filepath.Join(k.sdk, "lib", "third_party")
	return vars
}

func shell(script string) func(context.Context, *kit, *sandbox) (asker, error) {
	return func(_ context.Context, k *kit, box *sandbox) (asker, error) {
		return tool{script: script, dir: k.dir, vars: box.vars}, nil
	}
}

func probe(args ...string) func(context.Context, *kit, *sandbox) (asker, error) {
	return func(_ context.Context, k *kit, box *sandbox) (asker, error) {
		return newSession(k.vars(box), args...)
	}
}

// startJava starts the probe in Java, which has no variables for a proxy and for whom to
// trust. At a metadata server it is to be told of no file: see client.tls.
func startJava(_ context.Context, k *kit, box *sandbox) (asker, error) {
	host, port, _ := strings.Cut(k.proxy, ":")
	vars := k.vars(box)
	if columns[box.column].deliver != "key" && box.column != byFile && box.column != byToken {
		delete(vars, "GOOGLE_APPLICATION_CREDENTIALS")
	}
	return newSession(vars, "java", "-Duser.home="+k.home, "-Dhttps.proxyHost="+host, "-Dhttps.proxyPort="+port,
		"-Djavax.net.ssl.trustStore="+k.trust, "-Djavax.net.ssl.trustStorePassword=changeit", "-cp", k.classes, "Probe")
}

// startTerraform has terraform keep a state in the bucket that is asked for.
func startTerraform(_ context.Context, k *kit, box *sandbox) (asker, error) {
	dir := filepath.Join(k.dir, fmt.Sprintf("terraform-%d", box.column))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(k.dir, "main.tf"))
	if err != nil {
		return nil, err
	}
	vars := maps.Clone(box.vars)
	maps.Copy(vars, map[string]string{"TF_CLI_CONFIG_FILE": filepath.Join(k.dir, "terraformrc"), "TF_IN_AUTOMATION": "1", "TF_CLI_ARGS": "-no-color", "CHECKPOINT_DISABLE": "1"})
	const script = `terraform init -input=false -reconfigure -backend-config=bucket="$1" -backend-config=prefix="$TASKIAM_RUN" &&
		terraform apply -input=false -auto-approve && terraform output -raw motto`
	return tool{script: script, dir: dir, vars: vars}, os.WriteFile(filepath.Join(dir, "main.tf"), text, 0o600)
}

// goProbe is goprobe: it reads an object for each BUCKET/NAME that it is given in a line,
// with google.golang.org/api/storage and application default credentials. It answers in
// a line: 200 and the text, or why not.
func goProbe() {
	ctx := context.Background()
	service, err := storage.NewService(ctx)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		answer := ""
		if err != nil {
			answer = "failed: " + err.Error()
		} else if text, err := download(ctx, service, lines.Text()); err != nil {
			answer = "failed: " + err.Error()
		} else {
			answer = "200 " + text
		}
		fmt.Println(strings.Join(strings.Fields(answer), " "))
	}
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
