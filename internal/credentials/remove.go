package credentials

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/shell"
)

// Remove takes a run's delivery away, with everything in it, the credential first. A
// folder that is not there is no error. A folder that is not marked as this run's
// delivery is left alone, and so is what a link in it points to.
func Remove(dir string, run grants.RunID) error {
	root, err := openDelivery(dir, run)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("removing %s: %w", dir, err)
	}
	err = errors.Join(empty(root), root.Close())
	if err == nil {
		err = os.Remove(dir)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing %s: %w", dir, err)
	}
	return nil
}

// openDelivery opens the folder of a run's delivery and nobody else's.
func openDelivery(dir string, run grants.RunID) (*os.Root, error) {
	root, err := openFolder(dir)
	if err != nil {
		return nil, err
	}
	ours, err := marked(root, run)
	if err == nil && !ours {
		err = fault.WithHint(fmt.Errorf("it is not the delivery of run %s", run),
			fmt.Sprintf("nothing in it was touched; see what it is: ls -la %s", shell.Quote(dir)))
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return root, nil
}

// marked reports whether the folder is the run's delivery, or the beginning or the
// rest of it: an empty folder has nothing that could be anybody else's.
func marked(root *os.Root, run grants.RunID) (bool, error) {
	var m marker
	if b, err := readRegular(root, markerName); err == nil && json.Unmarshal(b, &m) == nil &&
		m.Schema == markerSchema && m.Run == run {
		return true, nil
	}
	// The command may have damaged one of the two.
	about := "for run " + string(run) + " of the task "
	if b, err := readRegular(root, readmeName); err == nil && strings.Contains(string(b), about) {
		return true, nil
	}
	names, err := list(root)
	for _, name := range names {
		if !strings.HasPrefix(name, unfinished(run)) {
			return false, err
		}
	}
	return err == nil, err
}

// readRegular reads a file of the folder that is no link, pipe or device, and not
// larger than anything that Deliver writes.
func readRegular(root *os.Root, name string) ([]byte, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe has no writer to wait for
	if err != nil {
		return nil, err
	}
	var b []byte
	opened, err := f.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular() || !os.SameFile(info, opened):
		err = fmt.Errorf("%s is not a regular file", name)
	default:
		b, err = io.ReadAll(io.LimitReader(f, 1<<20))
	}
	return b, errors.Join(err, f.Close())
}

// empty removes what is in the folder: the credential first, the marker last, so
// that an interrupted removal can be repeated.
func empty(root *os.Root) error {
	names, err := list(root)
	if err != nil {
		return err
	}
	var errs []error
	for _, kind := range delivery.Kinds() { // whatever the kind is: the sandbox may have changed the marker
		for _, f := range secrets(delivery.Delivery{Kind: kind.Name}) {
			errs = append(errs, root.RemoveAll(f.Name))
		}
	}
	for _, name := range names {
		if name != markerName {
			errs = append(errs, removeAll(root, name))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return root.RemoveAll(markerName)
}

// removeAll removes a tree, folders that their maker protected included.
func removeAll(root *os.Root, name string) error {
	err := root.RemoveAll(name)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	// The walk does not go through links. What it cannot open, it opens on the way.
	walkErr := fs.WalkDir(root.FS(), filepath.ToSlash(name), func(path string, entry fs.DirEntry, err error) error {
		if entry != nil && entry.IsDir() && err == nil {
			return root.Chmod(filepath.FromSlash(path), 0o700)
		}
		return err
	})
	return errors.Join(walkErr, root.RemoveAll(name))
}
