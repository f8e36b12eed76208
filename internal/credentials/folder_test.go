package credentials_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/taskiam/taskiam/internal/credentials"
	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/grants"
)

// swap is what is done to the place of a delivery while its run is up.
type swap struct {
	name string
	do   func(t *testing.T, base string)
	// says is why the delivery is not removed by its path; "" if it is not found there.
	says string
	at   string // where the delivery is then
}

var swaps = []swap{
	{"the folder above is a link to another delivery of the run's", func(t *testing.T, base string) {
		must(t, os.Rename(filepath.Join(base, "out"), filepath.Join(base, "kept")))
		must(t, delivered(newDelivery(t, filepath.Join(base, "decoy", "d"), delivery.Token)))
		must(t, os.Symlink("decoy", filepath.Join(base, "out")))
	}, "out is a symbolic link", "kept/d"},
	{"the folder above is a link to an empty one", func(t *testing.T, base string) {
		must(t, os.Rename(filepath.Join(base, "out"), filepath.Join(base, "kept")))
		must(t, os.MkdirAll(filepath.Join(base, "decoy", "d"), 0o700))
		must(t, os.Symlink("decoy", filepath.Join(base, "out")))
	}, "out is a symbolic link", "kept/d"},
	{"the folder above is a link to nothing", func(t *testing.T, base string) {
		must(t, os.Rename(filepath.Join(base, "out"), filepath.Join(base, "kept")))
		must(t, os.Symlink("nowhere", filepath.Join(base, "out")))
	}, "out is a symbolic link", "kept/d"},
	{"the folder above is another one, with a delivery of the run's", func(t *testing.T, base string) {
		must(t, os.Rename(filepath.Join(base, "out"), filepath.Join(base, "kept")))
		must(t, delivered(newDelivery(t, filepath.Join(base, "out", "d"), delivery.Token)))
	}, "it is another folder than the one that was made", "kept/d"},
	{"an empty folder is in its place", func(t *testing.T, base string) {
		must(t, os.Rename(filepath.Join(base, "out", "d"), filepath.Join(base, "kept")))
		must(t, os.Mkdir(filepath.Join(base, "out", "d"), 0o700))
	}, "it is another folder than the one that was made", "kept"},
	{"it was moved, and its marks taken away", func(t *testing.T, base string) {
		must(t, os.Rename(filepath.Join(base, "out", "d"), filepath.Join(base, "kept")))
		must(t, os.Remove(filepath.Join(base, "kept", "env.json")))
		must(t, os.Remove(filepath.Join(base, "kept", "README.txt")))
	}, "", "kept"},
}

// TestDeliveryThatWasSwapped: by its path, no other folder is taken for the delivery; by the folder that was kept
// open, the delivery is removed wherever it is.
func TestDeliveryThatWasSwapped(t *testing.T) {
	t.Parallel()
	for _, s := range swaps {
		t.Run(strings.ReplaceAll(s.name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			base, err := filepath.EvalSymlinks(t.TempDir())
			must(t, err)
			d := newDelivery(t, filepath.Join(base, "out", "d"), delivery.Token)
			folder, err := credentials.Deliver(d)
			must(t, err)
			defer folder.Close()
			if folder.ID() == "" {
				t.Fatal("the folder has no id")
			}
			s.do(t, base)
			before := tree(t, base)

			found, err := credentials.Remove(d.Dir, run, folder.ID())
			if s.says == "" && (found || err != nil) || s.says != "" && (err == nil || !strings.Contains(err.Error(), s.says)) {
				t.Errorf("removing it by its path: %t, %v; want %q", found, err, s.says)
			}
			d.Folder = folder.ID()
			if err := replaceToken(d, "ya29.newer"); err == nil {
				t.Error("a token was written into another folder")
			}
			if _, err := credentials.ReadKey(d); err == nil {
				t.Error("a key was read from another folder")
			}
			if after := tree(t, base); len(after) != len(before) {
				t.Errorf("something was removed: there was %v, there is %v", before, after)
			}

			must(t, folder.Remove())
			if exists(filepath.Join(base, s.at)) {
				t.Errorf("the delivery is still there: %v", tree(t, base))
			}
			must(t, folder.Remove()) // it is gone, which is no error
		})
	}
}

// TestDeliverFollowsNoLink: what is above the delivery is a link only if somebody has put it there in between.
func TestDeliverFollowsNoLink(t *testing.T) {
	t.Parallel()
	base, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	must(t, os.Mkdir(filepath.Join(base, "elsewhere"), 0o700))
	must(t, os.Symlink("elsewhere", filepath.Join(base, "out")))
	err = delivered(newDelivery(t, filepath.Join(base, "out", "new", "d"), delivery.Token))
	if err == nil || !strings.Contains(err.Error(), "out is a symbolic link") {
		t.Errorf("delivering through a link: %v", err)
	}
	if exists(filepath.Join(base, "elsewhere", "new")) {
		t.Error("a folder was made behind the link")
	}
}

// TestOwnFolderIsRemoved: with its id, and in another boot, in which its device has another number.
func TestOwnFolderIsRemoved(t *testing.T) {
	t.Parallel()
	for name, id := range map[string]func(string) string{
		"as it was": func(id string) string { return id },
		"unknown":   func(string) string { return "" },
		"another boot": func(id string) string {
			inode, _, _ := strings.Cut(id, ":")
			return inode + ":4711:00000000-0000-0000-0000-000000000000"
		},
	} {
		base, err := filepath.EvalSymlinks(t.TempDir())
		must(t, err)
		d := newDelivery(t, filepath.Join(base, "d"), delivery.Token)
		folder, err := credentials.Deliver(d)
		must(t, err)
		if name == "another boot" && strings.Count(folder.ID(), ":") < 2 {
			t.Log("boots are not told apart here")
			continue
		}
		must(t, folder.Close())
		if found, err := credentials.Remove(d.Dir, run, id(folder.ID())); !found || err != nil || exists(d.Dir) {
			t.Errorf("%s: %t, %v", name, found, err)
		}
		if found, err := credentials.Remove(d.Dir, grants.RunID(run), folder.ID()); found || err != nil {
			t.Errorf("%s, once more: %t, %v", name, found, err)
		}
	}
}
