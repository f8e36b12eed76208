package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
)

// Place says where a delivery goes, and to whom.
type Place struct {
	Dir   string // "" is the default place
	Owner int    // the user whom it is for; 0 is this user
	// Parent is a folder in which the run gets its own folder, if Dir is empty; "" for none.
	Parent string
}

// PlaceOf returns the absolute path for the delivery of a run. It warns if the delivery could
// be committed by mistake, and refuses a place that its owner cannot reach.
func (a *App) PlaceOf(run grants.RunID, to Place) (string, error) {
	if to.Parent != "" {
		to.Dir = filepath.Join(to.Parent, "taskiam-"+string(run))
	}
	dir, err := a.placeDelivery(to.Dir, run)
	if err != nil {
		return "", err
	}
	if dir, err = withoutLinks(dir); err != nil {
		return "", err
	}
	if dir, err = placeFor(to, dir, string(run)); err != nil {
		return "", err
	}
	return dir, tryWriting(dir)
}

// tryWriting writes a file where a delivery is to be made, and removes it. If that does not work, it has to be known
// before there is an account.
func tryWriting(dir string) error {
	at := dir
	for {
		if _, err := os.Stat(at); err == nil || at == filepath.Dir(at) {
			break
		}
		at = filepath.Dir(at)
	}
	f, err := os.CreateTemp(at, ".taskiam-*")
	if err == nil {
		_, err = f.Write(make([]byte, 4096)) // a disk that is full takes empty files
		err = errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	if err != nil {
		return fault.WithHint(fault.New(fault.Usage, "the delivery cannot be written to %s: %w", dir, err),
			"give a folder in which you can write: --out DIR")
	}
	return nil
}

// withoutLinks returns the path of a folder, which need not exist, without links in what is above it: the journal
// names the place, and a link can lead elsewhere when the run is taken down.
func withoutLinks(dir string) (string, error) {
	parent, rest := filepath.Dir(dir), filepath.Base(dir)
	for {
		real, err := filepath.EvalSymlinks(parent)
		switch {
		case err == nil:
			return filepath.Join(real, rest), nil
		case !errors.Is(err, fs.ErrNotExist) || parent == filepath.Dir(parent):
			return "", fmt.Errorf("finding %s: %w", dir, err)
		}
		parent, rest = filepath.Dir(parent), filepath.Join(filepath.Base(parent), rest)
	}
}

// placeDelivery returns the absolute path, and warns if it is in a work tree.
func (a *App) placeDelivery(out string, run grants.RunID) (string, error) {
	if out == "" {
		return a.DeliveryDir(string(run))
	}
	dir, err := filepath.Abs(out)
	if err != nil {
		return "", fmt.Errorf("finding %s: %w", out, err)
	}
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return "", fault.New(fault.Usage, "--out: %w", err)
	case len(entries) > 0:
		return "", fault.New(fault.Usage, "--out: %s is not empty", dir)
	}
	if tree := workTree(dir); tree != "" {
		a.Warn("warning: %s is in the git work tree %s: do not commit the credential in it", dir, tree)
	}
	return dir, nil
}

// workTree returns the git work tree of dir, which need not exist; "" if it is in none.
func workTree(dir string) string {
	for {
		if _, err := os.Lstat(filepath.Join(dir, ".git")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}

// sharedDeliveries is where root puts deliveries for other users, who cannot reach the
// folders of root.
const sharedDeliveries = "/run/taskiam"

// sharedMode lets other users reach what is in the folder, but not list it.
const sharedMode = 0o711

// openShared sets the mode of the folder, which the umask may have changed.
func openShared() error { return os.Chmod(sharedDeliveries, sharedMode) }

// leaveShared removes the folder after the last delivery in it.
func leaveShared(dir string) error {
	if filepath.Dir(dir) != sharedDeliveries {
		return nil
	}
	err := os.Remove(sharedDeliveries)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EEXIST) {
		return nil
	}
	return err
}

// placeFor returns the place of a delivery for its owner, and refuses one that the owner cannot
// reach. dir is the place that it would have for this user.
func placeFor(to Place, dir, run string) (string, error) {
	uid := to.Owner
	if uid == 0 {
		return dir, nil
	}
	if to.Dir == "" {
		if err := errors.Join(os.MkdirAll(sharedDeliveries, sharedMode), openShared()); err != nil {
			return "", fault.WithHint(err, "--out DIR")
		}
		dir = filepath.Join(sharedDeliveries, run)
	}
	for parent := filepath.Dir(dir); ; parent = filepath.Dir(parent) {
		info, err := os.Stat(parent)
		if err != nil && !os.IsNotExist(err) {
			return "", err
		}
		if err != nil || !mayPass(info, uid) {
			return "", fault.WithHint(
				fault.New(fault.Usage, "user %d cannot reach the delivery %s: the folder %s is closed to that user, "+
					"or does not exist",
					uid, dir, parent),
				"--out with a folder that every user can reach")
		}
		if parent == filepath.Dir(parent) {
			return dir, nil
		}
	}
}

// mayPass reports whether the user may enter the folder. It ignores groups.
func mayPass(info fs.FileInfo, uid int) bool {
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) == uid {
		return info.Mode()&0o100 != 0
	}
	return info.Mode()&0o001 != 0
}
