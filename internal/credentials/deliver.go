package credentials

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/secret"
)

// The names inside a delivery.
const (
	keyName      = "key.json"
	tokenName    = "token"
	noneName     = "no-credentials.json"
	metadataName = "credentials.json"
	gcloudName   = "gcloud"
	botoName     = "boto"
	caName       = "ca.pem"
	shellName    = "env"
	markerName   = "env.json"
	readmeName   = "README.txt"
)

const markerSchema = "taskiam.env/v1"

// boto is gsutil's configuration. By itself gsutil knows neither an access token nor a
// credential file other than its own kinds; as a front of gcloud storage it acts as gcloud does.
const boto = `[GSUtil]
use_gcloud_storage = True
`

// marker is env.json: the environment for programs, and what a delivery is known by.
type marker struct {
	Schema  string            `json:"schema"`
	Run     grants.RunID      `json:"run"`
	Task    string            `json:"task"`
	Account string            `json:"account"`
	Project string            `json:"project"`
	Expires time.Time         `json:"expires"`
	Env     map[string]string `json:"env"`
}

// KeyPath returns the name of the key file in a delivery.
func KeyPath(dir string) string { return filepath.Join(dir, keyName) }

// TokenPath returns the name of the token file in a delivery.
func TokenPath(dir string) string { return filepath.Join(dir, tokenName) }

// CAPath returns the name of the certificate of an emulator's CA in a delivery.
func CAPath(dir string) string { return filepath.Join(dir, caName) }

// GcloudPath returns the name of the folder in a delivery that gcloud has to write to.
func GcloudPath(dir string) string { return filepath.Join(dir, gcloudName) }

// Paths returns everything that [Deliver] writes, the folder first.
func (d Delivery) Paths() []string {
	paths := []string{d.Dir, filepath.Join(d.Dir, gcloudName)}
	for _, f := range d.contents(nil, "", "") {
		paths = append(paths, filepath.Join(d.Dir, f.name))
	}
	return paths
}

type file struct{ name, text string }

// contents returns the files of the delivery in the order in which they are written:
// first what it is known by, last what is worth stealing.
func (d Delivery) contents(markerJSON []byte, shell, none string) []file {
	files := []file{
		{markerName, string(markerJSON)},
		{readmeName, d.readme()},
		{shellName, shell},
		{botoName, boto},
	}
	if d.CA != "" {
		files = append(files, file{caName, d.CA})
	}
	switch d.Kind {
	case grants.DeliverMetadata:
		return append(files, file{metadataName, d.External})
	case grants.DeliverToken:
		// Clients put the file's content into a header as it is: no newline.
		return append(files, file{noneName, none}, file{tokenName, strings.TrimSpace(d.Token.Reveal())})
	default:
		return append(files, file{keyName, d.Key.Reveal()})
	}
}

func (d Delivery) readme() string {
	what := "a service account key"
	switch d.Kind {
	case grants.DeliverToken:
		what = "an access token"
	case grants.DeliverMetadata:
		what = "the way to a metadata server, at " + d.Metadata + ","
	}
	return fmt.Sprintf(`%[1]s of %[2]s, for run %[3]s of the task %[4]s and for nobody else.
To use it in a shell: . %[5]s
It ends at %[6]s, or before that with: taskiam down %[3]s (which takes this folder away, with everything in it).
`, strings.ToUpper(what[:1])+what[1:], d.Account.Email, d.Run, d.Task,
		quoteShell(filepath.Join(d.Dir, shellName)), d.Expires.UTC().Format(time.RFC3339))
}

// Deliver writes the delivery: a folder of mode 0700 with files of mode 0600, each
// there whole or not at all. The folder must not exist yet, or be an empty one of this
// user's; anything else is a [fault.Usage]. If something fails, nothing is left.
func Deliver(d Delivery) error {
	if err := d.deliver(); err != nil {
		return fmt.Errorf("delivering to %s: %w", d.Dir, err)
	}
	return nil
}

func (d Delivery) deliver() error {
	if !filepath.IsAbs(d.Dir) || !utf8.ValidString(d.Dir) {
		return fault.New(fault.Usage, "the path must be absolute and in UTF-8")
	}
	given := map[grants.Delivery]bool{
		grants.DeliverKey: !d.Key.IsZero(), grants.DeliverToken: !d.Token.IsZero(), grants.DeliverMetadata: d.Metadata != "" && d.External != "",
	}
	if !given[d.Kind] {
		return fmt.Errorf("there is no %s to deliver", d.Kind)
	}
	vars := Environment(d)
	shell, err := Format(vars, "shell")
	if err != nil {
		return err
	}
	if _, err := Format(vars, "dotenv"); err != nil { // so that env never fails later
		return err
	}
	mark, err := d.marker(vars)
	if err != nil {
		return err
	}
	none, err := noCredentials()
	if err != nil {
		return err
	}

	root, err := makeFolder(d.Dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := d.fill(root, d.contents(mark, shell, none)); err != nil {
		return errors.Join(err, Remove(d.Dir, d.Run))
	}
	return nil
}

// marker returns what is in env.json.
func (d Delivery) marker(vars []Var) ([]byte, error) {
	env := map[string]string{}
	for _, v := range vars {
		if v.File == "" {
			env[v.Name] = v.Value
		}
	}
	b, err := json.MarshalIndent(marker{
		Schema:  markerSchema,
		Run:     d.Run,
		Task:    d.Task,
		Account: d.Account.Email,
		Project: d.Account.Project,
		Expires: d.Expires.UTC().Truncate(time.Second),
		Env:     env,
	}, "", "  ")
	return append(b, '\n'), err
}

func (d Delivery) fill(root *os.Root, files []file) error {
	for i, f := range files {
		if err := writeFile(root, d.Run, f, d.Owner); err != nil {
			return err
		}
		if i == 0 {
			// Before there is a secret in the folder, it is marked for good: after a
			// loss of power too, Remove will know it.
			if err := syncFolder(root); err != nil {
				return err
			}
		}
	}
	if err := root.Mkdir(gcloudName, 0o700); err != nil {
		return err
	}
	if err := root.Chmod(gcloudName, 0o700); err != nil {
		return err
	}
	if d.Owner != 0 {
		if err := root.Chown(gcloudName, d.Owner, -1); err != nil {
			return err
		}
		// Its owner is to get in. What is in there is nobody else's to read.
		if err := root.Chmod(".", 0o711); err != nil {
			return err
		}
	}
	return syncFolder(root)
}

// makeFolder makes the folder, or takes an empty one, and opens it.
func makeFolder(dir string) (*os.Root, error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return nil, err
	}
	err := os.Mkdir(dir, 0o700)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	root, err := openFolder(dir)
	if err != nil {
		return nil, refuse(err)
	}
	names, err := list(root)
	if err == nil && len(names) > 0 {
		err = refuse(fmt.Errorf("the folder is not empty: it has %q", names[0]))
	}
	if err == nil {
		// An umask may have taken bits away, and an empty folder may have had more.
		err = root.Chmod(".", 0o700)
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return root, nil
}

// refuse says that the place of the delivery is not a fit one.
func refuse(err error) error {
	return fault.WithHint(fault.New(fault.Usage, "%w", err),
		"give a folder that does not exist yet: --out DIR")
}

// openFolder opens a folder of this user's own, and not one behind a link.
func openFolder(dir string) (*os.Root, error) {
	before, err := os.Lstat(dir)
	if err != nil {
		return nil, err
	}
	if before.Mode()&fs.ModeSymlink != 0 {
		return nil, errors.New("it is a symbolic link")
	}
	if !before.IsDir() {
		return nil, errors.New("it is not a folder")
	}
	if uid := ownerOf(before); uid != os.Geteuid() {
		return nil, fmt.Errorf("it belongs to user %d", uid)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	// From here on the folder itself is held, whatever its name comes to mean.
	after, err := root.Stat(".")
	if err == nil && !os.SameFile(before, after) {
		err = errors.New("it was replaced by another folder")
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return root, nil
}

// unfinished is what the names of files begin with that are not whole yet.
func unfinished(run grants.RunID) string { return "." + string(run) + "." }

// writeFile puts a file in its place, whole, in one step. Both names stay inside the
// folder: neither is followed if it is a link.
func writeFile(root *os.Root, run grants.RunID, f file, owner int) (err error) {
	temporary := unfinished(run) + f.name
	if err := root.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	w, err := root.OpenFile(temporary, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = w.WriteString(f.text)
	if owner != 0 {
		err = errors.Join(err, w.Chown(owner, -1))
	}
	err = errors.Join(err, w.Chmod(0o600), w.Sync(), w.Close())
	if err == nil {
		err = root.Rename(temporary, f.name)
	}
	if err != nil {
		return errors.Join(err, root.Remove(temporary))
	}
	return nil
}

// ownerOf returns the number of a file's user; this one's where files have none.
func ownerOf(info fs.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return os.Geteuid()
}

// syncFolder makes the names in the folder durable.
func syncFolder(root *os.Root) error {
	f, err := root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func list(root *os.Root) ([]string, error) {
	f, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	names, err := f.Readdirnames(-1)
	return names, errors.Join(err, f.Close())
}

// ReplaceToken puts a newer token into a run's delivery. Whoever reads the file sees
// the old token or the new one, whole; a sandbox that mounts the folder sees the new one.
func ReplaceToken(dir string, run grants.RunID, token secret.String) error {
	err := replace(dir, run, file{tokenName, strings.TrimSpace(token.Reveal())})
	if err != nil {
		return fmt.Errorf("replacing the token in %s: %w", dir, err)
	}
	return nil
}

// Renew says in the run's delivery when the run ends now, and puts the key there, if it
// has one, in the place of the older one, which comes last. Each file is there whole, old
// or new. What is replaced belongs to whom it did before.
func Renew(d Delivery) error {
	mark, err := d.marker(Environment(d))
	if err == nil {
		files := []file{{markerName, string(mark)}, {readmeName, d.readme()}}
		if !d.Key.IsZero() {
			files = append(files, file{keyName, d.Key.Reveal()})
		}
		err = replace(d.Dir, d.Run, files...)
	}
	if err != nil {
		return fmt.Errorf("renewing the delivery in %s: %w", d.Dir, err)
	}
	return nil
}

// replace puts files in the place of older ones in a run's delivery, in their order.
func replace(dir string, run grants.RunID, files ...file) error {
	root, err := openDelivery(dir, run)
	if err != nil {
		return err
	}
	for _, f := range files {
		owner := 0
		if info, missing := root.Lstat(f.name); missing == nil && ownerOf(info) != os.Geteuid() {
			owner = ownerOf(info) // whom it was given to
		}
		if err = writeFile(root, run, f, owner); err != nil {
			break
		}
	}
	if err == nil {
		err = syncFolder(root)
	}
	return errors.Join(err, root.Close())
}

// ReadKey returns the key file in a run's delivery.
func ReadKey(dir string, run grants.RunID) (secret.String, error) {
	root, err := openDelivery(dir, run)
	if err != nil {
		return secret.String{}, fmt.Errorf("reading the key in %s: %w", dir, err)
	}
	b, err := readRegular(root, keyName)
	if err = errors.Join(err, root.Close()); err != nil {
		return secret.String{}, fmt.Errorf("reading the key in %s: %w", dir, err)
	}
	return secret.New(string(b)), nil
}

// noCredentials returns a credential file with which every client fails, and says
// why, without a call. The client has to read a token from a file first, and the name
// of that file, which cannot exist, is the reason: clients put it into their error.
func noCredentials() (string, error) {
	type source struct {
		File string `json:"file"`
	}
	b, err := json.MarshalIndent(struct {
		Type             string `json:"type"`
		Audience         string `json:"audience"`
		SubjectTokenType string `json:"subject_token_type"`
		TokenURL         string `json:"token_url"`
		CredentialSource source `json:"credential_source"`
	}{
		Type: "external_account",
		// Without "projects/" in it: with one, Node and Python look the project up.
		Audience:         "//iam.googleapis.com/locations/global/workloadIdentityPools/taskiam/providers/none",
		SubjectTokenType: "urn:ietf:params:oauth:token-type:jwt",
		TokenURL:         "https://" + nowhere + "/v1/token",
		CredentialSource: source{os.DevNull + "/" + noneReason},
	}, "", "  ")
	return string(b) + "\n", err
}

// noneReason is what clients quote in their error.
const noneReason = "this run has an access token (CLOUDSDK_AUTH_ACCESS_TOKEN_FILE) and no application default credentials"
