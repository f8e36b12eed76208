package credentials_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/internal/credentials"
	"github.com/taskiam/taskiam/internal/grants"
)

var update = flag.Bool("update", false, "write the tables in docs/delivery.md")

// readers says which clients read a variable.
var readers = map[string]string{
	"TASKIAM_RUN":                                     "taskiam",
	"TASKIAM_TASK":                                    "nobody: for scripts",
	"TASKIAM_DELIVERY":                                "nobody: for scripts",
	"GOOGLE_CLOUD_PROJECT":                            "Go, Python, Node, Java, Terraform",
	"GCLOUD_PROJECT":                                  "Node, Python and Terraform, of old",
	"CLOUDSDK_CORE_PROJECT":                           "gcloud, bq, gsutil",
	"CLOUDSDK_CONFIG":                                 "gcloud, bq, gsutil, Python, Java",
	"CLOUDSDK_CORE_ACCOUNT":                           "gcloud, bq, gsutil",
	"CLOUDSDK_CORE_DISABLE_PROMPTS":                   "gcloud",
	"CLOUDSDK_CORE_DISABLE_USAGE_REPORTING":           "gcloud",
	"CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "gcloud",
	"CLOUDSDK_CORE_DISABLE_FILE_LOGGING":              "gcloud: its logs have the token in them",
	"BOTO_CONFIG":                                     "gsutil",
	"BIGQUERYRC":                                      "bq",
	"GCE_METADATA_HOST":                               "Go, Python, Node, Java, Terraform, gsutil",
	"GCE_METADATA_ROOT":                               "gcloud, bq, Python, gsutil",
	"GCE_METADATA_IP":                                 "Python, Node, gsutil",
	"CLOUDSDK_CORE_CHECK_GCE_METADATA":                "gcloud, bq, gsutil",
	"METADATA_SERVER_DETECTION":                       "Node",
	"NO_GCE_CHECK":                                    "Java, and Python of old",
	"GOOGLE_APPLICATION_CREDENTIALS":                  "Go, Python, Node, Java, Terraform",
	"CLOUDSDK_AUTH_ACCESS_TOKEN_FILE":                 "gcloud, bq, gsutil",
	"GOOGLE_OAUTH_ACCESS_TOKEN":                       "Terraform",
	"CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE":          "gcloud, bq, gsutil",
}

// TestDocumentedEnvironment keeps docs/delivery.md in step with what is set and scrubbed.
func TestDocumentedEnvironment(t *testing.T) {
	t.Parallel()
	values := map[string]map[grants.DeliveryKind]string{}
	var names []string
	for _, kind := range kinds {
		d := newDelivery(t, "DIR", kind)
		for _, v := range d.Environment() {
			value := v.Value
			if v.File != "" {
				value = "what is in " + v.File
			}
			for of, name := range map[string]string{string(d.Run): "RUN", d.Task: "TASK", d.Account.Email: "EMAIL", d.Account.Project: "PROJECT", d.Metadata: "HOST:PORT"} {
				if value == of && of != "" {
					value = name
				}
			}
			if values[v.Name] == nil {
				values[v.Name] = map[grants.DeliveryKind]string{}
				names = append(names, v.Name)
			}
			values[v.Name][kind] = "`" + value + "`"
		}
	}
	var b strings.Builder
	b.WriteString("| variable | is read by")
	for _, kind := range kinds {
		fmt.Fprintf(&b, " | `deliver = %q`", kind)
	}
	b.WriteString(" |\n|---|---" + strings.Repeat("|---", len(kinds)) + "|\n")
	for _, name := range names {
		if readers[name] == "" {
			t.Errorf("nobody is known to read %s", name)
		}
		v := values[name]
		row := fmt.Sprintf("| `%s` | %s", name, readers[name])
		for _, kind := range kinds {
			row += " | " + v[kind]
			if v[kind] == "" {
				row += "not set"
			}
		}
		b.WriteString(row + " |\n")
	}

	var scrub strings.Builder
	scrub.WriteString("| variables | why |\n|---|---|\n")
	quoted := func(names []string) string { return "`" + strings.Join(names, "`, `") + "`" }
	for _, competes := range []bool{true, false} {
		for _, r := range credentials.Rules() {
			if r.Competes == competes {
				fmt.Fprintf(&scrub, "| %s | %s |\n", quoted(r.Names), r.Why)
			}
		}
	}
	kept := fmt.Sprintf("What stays: %s (%s).\n", quoted(credentials.Kept().Names), credentials.Kept().Why)

	always, folder := credentials.Allowed()
	passed := fmt.Sprintf("%s; without `--isolate` and `--uid` also %s.\n", quoted(always), quoted(folder))

	path := filepath.Join("..", "..", "docs", "delivery.md")
	text, err := os.ReadFile(path)
	must(t, err)
	got := string(text)
	for _, part := range []struct{ begin, want string }{
		{"<!-- the table of variables -->\n", b.String()},
		{"<!-- what is passed -->\n", passed},
		{"<!-- the table of what is scrubbed -->\n", scrub.String()},
		{"<!-- what is kept -->\n", kept},
	} {
		const end = "<!-- its end -->\n"
		before, rest, _ := strings.Cut(got, part.begin)
		found, after, some := strings.Cut(rest, end)
		if !some {
			t.Fatalf("%s has no %s", path, part.begin)
		}
		if *update {
			got = before + part.begin + part.want + end + after
		} else if diff := cmp.Diff(part.want, found); diff != "" {
			t.Errorf("%s, %s (-update writes it):\n%s", path, part.begin, diff)
		}
	}
	if *update {
		must(t, os.WriteFile(path, []byte(got), 0o644))
	}
}
