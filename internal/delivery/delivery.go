// Package delivery says what the sandbox of a run is given. Each kind of delivery is
// one value of type [Kind]: its files, its environment, whether it needs a server, how
// long its tokens live, what the operator must be allowed, and its words.
//
// The package is pure. It describes; package credentials makes the credentials and
// writes the files. It is a package of its own because the manifest and the review of a
// task, which are pure too, have to know the kinds.
package delivery

import (
	"path/filepath"
	"time"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/secret"
)

// Delivery is what the sandbox of one run is given.
type Delivery struct {
	// Dir is the folder of the delivery: an absolute path that is the run's alone.
	Dir     string
	Run     grants.RunID
	Task    string
	Account grants.Account
	// Folder tells the folder that was made from any other that may have its name later;
	// "" if that is not known.
	Folder string
	// Expires is when the run ends.
	Expires time.Time
	// Kind says which of the next four are set. Key is a key file of the account, Token
	// an access token of it. Metadata is the address of the run's metadata server,
	// HOST:PORT, and External a credential file without a secret that leads there.
	Kind     grants.DeliveryKind
	Key      secret.String
	Token    grants.Token
	Metadata string
	External string
	// EmptyHome says that no client finds a login under HOME where the environment is used: in a sandbox that has a
	// HOME of its own.
	EmptyHome bool
	// More is appended to the environment: the variables that point clients at an
	// emulator. CA is the certificate of an emulator's CA, or of the run's proxy, in PEM, which
	// they name as [CAPath]: a sandbox does not see the emulator's own copy. Bundle has it too,
	// behind those of the machine.
	More   []Var
	CA     string
	Bundle string
	// Owner is the number of the user whom the delivery is for; 0 is this user. The
	// folder stays this user's, so that nobody else can replace what is in it; the files
	// are the owner's. Giving files away takes a privilege.
	Owner int
}

// File is one file of a delivery.
type File struct {
	Name, Text string
	// Secret marks a file that holds the credential. It is written last, replaced when
	// the run gets a newer credential, and removed first.
	Secret bool
}

// Var is one variable of an environment.
type Var struct {
	Name string
	// Value is what it is set to, unless File is set.
	Value string
	// File is the file that holds the value. Such a variable is a secret: only that file
	// has the value, and it is read when a process is started.
	File string
}

// The names inside a delivery that more than one place needs.
const (
	keyName    = "key.json"
	tokenName  = "token"
	gcloudName = "gcloud"
	botoName   = "boto"
	caName     = "ca.pem"
)

// KeyPath returns the name of the key file in a delivery.
func KeyPath(dir string) string { return filepath.Join(dir, keyName) }

// TokenPath returns the name of the token file in a delivery.
func TokenPath(dir string) string { return filepath.Join(dir, tokenName) }

// CAPath returns the name of the certificate of an emulator's CA in a delivery.
func CAPath(dir string) string { return filepath.Join(dir, caName) }

// GcloudPath returns the name of the folder in a delivery that gcloud has to write to.
func GcloudPath(dir string) string { return filepath.Join(dir, gcloudName) }

// path returns the name of a file in the delivery.
func (d Delivery) path(name string) string { return filepath.Join(d.Dir, name) }

// boto is gsutil's configuration. By itself gsutil knows neither an access token nor a
// credential file other than its own kinds; as a front of gcloud storage it acts as gcloud does.
const boto = `[GSUtil]
use_gcloud_storage = True
`

// Files returns the files of the delivery that clients read, the secret ones last.
func (d Delivery) Files() []File {
	files := []File{{Name: botoName, Text: boto}}
	if d.CA != "" {
		files = append(files, File{Name: caName, Text: d.CA})
	}
	if own := Of(d.Kind).Files; own != nil {
		files = append(files, own(d)...)
	}
	return files
}

// Title says in words what is delivered: "a service account key".
func (d Delivery) Title() string {
	if title := Of(d.Kind).Title; title != nil {
		return title(d)
	}
	return "nothing"
}

// Complete reports whether the credential that its kind calls for is there.
func (d Delivery) Complete() bool {
	switch k := Of(d.Kind); {
	case k.Name == "":
		return false
	case k.MakesKey:
		return !d.Key.IsZero()
	case k.Upkeep == Serve:
		return d.Metadata != "" && d.External != ""
	default:
		return !d.Token.Value.IsZero()
	}
}

// devNull is a file without content, whose existence every system has in common.
const devNull = "/dev/null"

// Environment returns the variables that a process in the sandbox is given, over an
// environment from which everything that competes with them was removed. Later
// variables win.
func (d Delivery) Environment() []Var {
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
		{Name: "CLOUDSDK_CONFIG", Value: d.path(gcloudName)},
		{Name: "CLOUDSDK_CORE_ACCOUNT", Value: d.Account.Email},
		{Name: "CLOUDSDK_CORE_DISABLE_PROMPTS", Value: "1"},
		{Name: "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING", Value: "true"},
		{Name: "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK", Value: "true"},
		// Its log files are readable by everybody, and print-access-token logs the token.
		{Name: "CLOUDSDK_CORE_DISABLE_FILE_LOGGING", Value: "true"},
		// The rc files in HOME, which can name a credential, are not read.
		{Name: "BOTO_CONFIG", Value: d.path(botoName)},
		{Name: "BIGQUERYRC", Value: devNull},
	}
	if environment := Of(d.Kind).Environment; environment != nil {
		vars = append(vars, environment(d)...)
	}
	return append(vars, d.More...)
}

// nowhere is an address at which nothing listens: a port of this machine that only
// root could open.
const nowhere = "127.0.0.1:1"

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
// hands out tokens of the machine's own account, which is the operator's.
func noMetadata() []Var {
	return append(metadataAt(nowhere),
		Var{Name: "CLOUDSDK_CORE_CHECK_GCE_METADATA", Value: "false"},
		Var{Name: "NO_GCE_CHECK", Value: "true"},
		Var{Name: "METADATA_SERVER_DETECTION", Value: "none"},
	)
}
