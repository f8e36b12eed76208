package credentials

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/secret"
	"github.com/taskiam/taskiam/internal/shell"
)

// The names of the files that every delivery has.
const (
	shellName  = "env"
	markerName = "env.json"
	readmeName = "README.txt"
)

const markerSchema = "taskiam.env/v1"

// marker is env.json: the environment for programs, and the mark that identifies a
// delivery.
type marker struct {
	Schema  string            `json:"schema"`
	Run     grants.RunID      `json:"run"`
	Task    string            `json:"task"`
	Account string            `json:"account"`
	Project string            `json:"project"`
	Expires time.Time         `json:"expires"`
	Env     map[string]string `json:"env"`
}

// readme tells a person what the folder is.
func readme(d delivery.Delivery) string {
	title := d.Title()
	return fmt.Sprintf(`%[1]s of %[2]s, for run %[3]s of the task %[4]s and for nobody else.
To use it in a shell: . %[5]s
It ends at %[6]s, or before that with: taskiam down %[3]s (which removes this folder with everything in it).
`, strings.ToUpper(title[:1])+title[1:], d.Account.Email, d.Run, d.Task,
		shell.Quote(filepath.Join(d.Dir, shellName)), d.Expires.UTC().Format(time.RFC3339))
}

// Deliver writes the delivery: a folder of mode 0700 with files of mode 0600, each written
// as a whole. The folder must not exist yet, or be empty and this user's, and no part of its
// path may be a link; anything else is a [fault.Usage]. If something fails, nothing is left.
// The caller closes the folder that is returned.
func Deliver(d delivery.Delivery) (*Folder, error) {
	f, err := deliver(d)
	if err != nil {
		return nil, fmt.Errorf("delivering to %s: %w", d.Dir, err)
	}
	return f, nil
}

func deliver(d delivery.Delivery) (*Folder, error) {
	if !filepath.IsAbs(d.Dir) || !utf8.ValidString(d.Dir) {
		return nil, fault.New(fault.Usage, "the path must be absolute and in UTF-8")
	}
	if !d.Complete() {
		return nil, fmt.Errorf("there is no %s to deliver", d.Kind)
	}
	vars := d.Environment()
	shell, err := Format(vars, "shell")
	if err != nil {
		return nil, err
	}
	if _, err := Format(vars, "dotenv"); err != nil { // so that taskiam env never fails later
		return nil, err
	}
	mark, err := markerOf(d, vars)
	if err != nil {
		return nil, err
	}
	// The marks first, the secrets last.
	files := append([]delivery.File{
		{Name: markerName, Text: mark}, {Name: readmeName, Text: readme(d)}, {Name: shellName, Text: shell},
	}, d.Files()...)

	folder, err := makeFolder(d.Dir)
	if err != nil {
		return nil, err
	}
	if err := fill(folder.root, d, files); err != nil {
		return nil, errors.Join(err, folder.Remove(), folder.Close())
	}
	return folder, nil
}

// markerOf returns what is in env.json.
func markerOf(d delivery.Delivery, vars []delivery.Var) (string, error) {
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
	return string(b) + "\n", err
}

// fill writes the files into the folder, and makes the folder that gcloud writes to.
func fill(root *os.Root, d delivery.Delivery, files []delivery.File) error {
	for i, f := range files {
		if err := writeFile(root, d.Run, f, d.Owner); err != nil {
			return err
		}
		if i == 0 {
			// The mark is durable before there is a secret in the folder, so that Remove
			// recognises the folder even after a power failure.
			if err := syncFolder(root); err != nil {
				return err
			}
		}
	}
	gcloud := filepath.Base(delivery.GcloudPath(d.Dir))
	if err := root.Mkdir(gcloud, 0o700); err != nil {
		return err
	}
	if err := root.Chmod(gcloud, 0o700); err != nil {
		return err
	}
	if d.Owner != 0 {
		if err := root.Chown(gcloud, d.Owner, -1); err != nil {
			return err
		}
		// Its owner has to get in. Each file in it is the owner's alone to read.
		if err := root.Chmod(".", 0o711); err != nil {
			return err
		}
	}
	return syncFolder(root)
}

// makeFolder makes the folder, or uses an empty one, and opens it.
func makeFolder(dir string) (*Folder, error) {
	self, err := walk(dir, 0o700)
	if err != nil {
		return nil, refuse(err)
	}
	f, err := folderOf(self, dir)
	if err != nil {
		return nil, refuse(errors.Join(err, self.Close()))
	}
	names, err := list(f.root)
	if err == nil && len(names) > 0 {
		err = refuse(fmt.Errorf("the folder is not empty: it has %q", names[0]))
	}
	if err == nil {
		// The umask may have removed bits, and an existing folder may have others.
		err = f.root.Chmod(".", 0o700)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// refuse says that the place of the delivery cannot be used.
func refuse(err error) error {
	return fault.WithHint(fault.New(fault.Usage, "%w", err),
		"give a folder that does not exist yet: --out DIR")
}

// unfinished is how the names of files begin that are still being written.
func unfinished(run grants.RunID) string { return "." + string(run) + "." }

// writeFile writes a file and moves it to its place in one step. Both names stay inside
// the folder, and neither is followed if it is a link.
func writeFile(root *os.Root, run grants.RunID, f delivery.File, owner int) (err error) {
	temporary := unfinished(run) + f.Name
	if err := root.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	w, err := root.OpenFile(temporary, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = w.WriteString(f.Text)
	if owner != 0 {
		err = errors.Join(err, w.Chown(owner, -1))
	}
	err = errors.Join(err, w.Chmod(0o600), w.Sync(), w.Close())
	if err == nil {
		err = root.Rename(temporary, f.Name)
	}
	if err != nil {
		return errors.Join(err, root.Remove(temporary))
	}
	return nil
}

// ownerOf returns the number of the user who owns a file; this user's on systems where
// files have no owner.
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

// ReplaceToken puts the token of d into the run's delivery, in place of an older one.
// Whoever reads the file sees the old token or the new one, whole; a sandbox that mounts
// the folder sees the new one.
func ReplaceToken(d delivery.Delivery) error {
	if err := replace(d, secrets(d)...); err != nil {
		return fmt.Errorf("replacing the token in %s: %w", d.Dir, err)
	}
	return nil
}

// Renew says in the run's delivery when the run ends now, and replaces the key, if d has
// one, last. Each file is there whole, old or new, and keeps its owner.
func Renew(d delivery.Delivery) error {
	mark, err := markerOf(d, d.Environment())
	if err == nil {
		files := []delivery.File{{Name: markerName, Text: mark}, {Name: readmeName, Text: readme(d)}}
		if !d.Key.IsZero() {
			files = append(files, secrets(d)...)
		}
		err = replace(d, files...)
	}
	if err != nil {
		return fmt.Errorf("renewing the delivery in %s: %w", d.Dir, err)
	}
	return nil
}

// Expire puts what says that the run has expired, at d.Expires, in the place of its credential, where clients would
// only ask for a login.
func Expire(d delivery.Delivery) error {
	over := delivery.Of(d.Kind).Over
	if over == nil {
		return nil
	}
	if err := replace(d, over(d)...); err != nil {
		return fmt.Errorf("replacing the credential in %s: %w", d.Dir, err)
	}
	return nil
}

// secrets returns the files of the delivery that hold the credential.
func secrets(d delivery.Delivery) []delivery.File {
	return slices.DeleteFunc(d.Files(), func(f delivery.File) bool { return !f.Secret })
}

// replace puts files in place of older ones in a run's delivery, in their order.
func replace(d delivery.Delivery, files ...delivery.File) error {
	folder, err := openDelivery(d.Dir, d.Run, d.Folder)
	if err != nil {
		return err
	}
	for _, f := range files {
		owner := 0
		if info, missing := folder.root.Lstat(f.Name); missing == nil && ownerOf(info) != os.Geteuid() {
			owner = ownerOf(info) // the user it was given to
		}
		if err = writeFile(folder.root, d.Run, f, owner); err != nil {
			break
		}
	}
	if err == nil {
		err = syncFolder(folder.root)
	}
	return errors.Join(err, folder.Close())
}

// ReadKey returns the key file in a run's delivery, which d describes.
func ReadKey(d delivery.Delivery) (secret.String, error) {
	folder, err := openDelivery(d.Dir, d.Run, d.Folder)
	if err != nil {
		return secret.String{}, fmt.Errorf("reading the key in %s: %w", d.Dir, err)
	}
	b, err := readRegular(folder.root, filepath.Base(delivery.KeyPath(d.Dir)))
	if err = errors.Join(err, folder.Close()); err != nil {
		return secret.String{}, fmt.Errorf("reading the key in %s: %w", d.Dir, err)
	}
	return secret.New(string(b)), nil
}
