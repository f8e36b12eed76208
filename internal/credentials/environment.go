package credentials

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/taskiam/taskiam/internal/grants"
)

// Var is one variable of an environment.
type Var struct {
	Name string
	// Value is what it is set to, unless File is set.
	Value string
	// File is the file that holds the value. Such a variable is a secret: the value
	// stands in that file only, and is read from it when a process is given it.
	File string
}

// nowhere is an address at which nothing listens: a port of this machine's that only
// root could open.
const nowhere = "127.0.0.1:1"

// Environment returns the variables that a process in the sandbox is given, over an
// environment that went through [Scrub]. Later variables win.
func Environment(d Delivery) []Var {
	in := func(name string) string { return filepath.Join(d.Dir, name) }
	vars := []Var{
		{Name: "TASKIAM_RUN", Value: string(d.Run)},
		{Name: "TASKIAM_TASK", Value: d.Task},
		{Name: "TASKIAM_DELIVERY", Value: d.Dir},

		// Every client knows one of these names for the project.
		{Name: "GOOGLE_CLOUD_PROJECT", Value: d.Account.Project},
		{Name: "GCLOUD_PROJECT", Value: d.Account.Project},
		{Name: "CLOUDSDK_CORE_PROJECT", Value: d.Account.Project},

		// gcloud, bq and gsutil keep their logins and a cache of tokens in a folder
		// that they must be able to write. An empty one has nobody's.
		{Name: "CLOUDSDK_CONFIG", Value: in(gcloudName)},
		{Name: "CLOUDSDK_CORE_ACCOUNT", Value: d.Account.Email},
		{Name: "CLOUDSDK_CORE_DISABLE_PROMPTS", Value: "1"},
		{Name: "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING", Value: "true"},
		{Name: "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK", Value: "true"},
		// Its log files are readable by everybody, and print-access-token logs the token.
		{Name: "CLOUDSDK_CORE_DISABLE_FILE_LOGGING", Value: "true"},
		// The rc files in HOME, which can name a credential, are not read.
		{Name: "BOTO_CONFIG", Value: in(botoName)},
		{Name: "BIGQUERYRC", Value: os.DevNull},
	}
	switch d.Kind {
	case grants.DeliverMetadata:
		vars = append(vars, metadataAt(d.Metadata)...)
		vars = append(vars,
			Var{Name: "CLOUDSDK_CORE_CHECK_GCE_METADATA", Value: "true"},
			Var{Name: "METADATA_SERVER_DETECTION", Value: "assume-present"},
			// For what insists on a file: one with no secret in it, which leads to the same
			// server. Left unset, the variable would let Go's clients prefer the person's login
			// under HOME to the metadata server, whatever CLOUDSDK_CONFIG says. Java's take
			// no credential file that has an address without TLS in it: they fail.
			Var{Name: "GOOGLE_APPLICATION_CREDENTIALS", Value: in(metadataName)},
		)
	case grants.DeliverToken:
		vars = append(vars, noMetadata()...)
		vars = append(vars,
			Var{Name: "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE", Value: in(tokenName)},
			// Terraform's provider and its gcs backend take a token by this variable
			// alone. It is the run's own, and ends within the hour.
			Var{Name: "GOOGLE_OAUTH_ACCESS_TOKEN", File: in(tokenName)},
			// Application default credentials cannot be a bare token. Left unset, the
			// variable would let a client go on to the person's login under HOME: Go's
			// do, whatever CLOUDSDK_CONFIG says.
			Var{Name: "GOOGLE_APPLICATION_CREDENTIALS", Value: in(noneName)},
		)
	default:
		vars = append(vars, noMetadata()...)
		vars = append(vars,
			Var{Name: "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE", Value: in(keyName)},
			Var{Name: "GOOGLE_APPLICATION_CREDENTIALS", Value: in(keyName)},
		)
	}
	return append(vars, d.More...)
}

// metadataAt says where the metadata server is: gcloud reads ROOT, Go and Node HOST,
// Python HOST and IP, Java HOST.
func metadataAt(address string) []Var {
	return []Var{
		{Name: "GCE_METADATA_HOST", Value: address},
		{Name: "GCE_METADATA_ROOT", Value: address},
		{Name: "GCE_METADATA_IP", Value: address},
	}
}

// noMetadata keeps clients from the metadata server of a virtual machine of Google's: it
// hands out the machine's own account, which is the operator's and not the run's.
func noMetadata() []Var {
	return append(metadataAt(nowhere),
		Var{Name: "CLOUDSDK_CORE_CHECK_GCE_METADATA", Value: "false"},
		Var{Name: "NO_GCE_CHECK", Value: "true"},
		Var{Name: "METADATA_SERVER_DETECTION", Value: "none"},
	)
}

// Environ returns the variables as NAME=value, for a process that is started now.
// Where the value is in a file, that file is read.
func Environ(vars []Var) ([]string, error) {
	var out []string
	for _, v := range vars {
		value := v.Value
		if v.File != "" {
			b, err := os.ReadFile(v.File)
			if err != nil {
				return nil, fmt.Errorf("reading the value of %s: %w", v.Name, err)
			}
			value = strings.TrimSpace(string(b))
		}
		out = append(out, v.Name+"="+value)
	}
	return out, nil
}
