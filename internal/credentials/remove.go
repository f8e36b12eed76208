package credentials

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/shell"
)

// Remove removes a run's delivery with everything in it, the credential first, and reports
// whether it was there. id is what [Folder.ID] said of it; "" if that is not known. A folder
// that has another id, or is not marked as this run's delivery, is not touched, and neither
// is what a link leads to.
func Remove(dir string, run grants.RunID, id string) (found bool, err error) {
	folder, err := openDelivery(dir, run, id)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = errors.Join(folder.Remove(), folder.Close())
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return true, fmt.Errorf("removing %s: %w", dir, err)
	}
	return true, nil
}

// openDelivery opens the folder of a run's delivery. Any other folder is an error.
func openDelivery(dir string, run grants.RunID, id string) (*Folder, error) {
	folder, err := openFolder(dir)
	if err != nil {
		return nil, err
	}
	err = folder.check(run, id)
	if err == nil {
		var ours bool
		if ours, err = marked(folder.root, run); err == nil && !ours {
			err = fmt.Errorf("it is not the delivery of run %s", run)
		}
	}
	if err != nil {
		err = fault.WithHint(err, "nothing in it was changed; look at it: ls -la "+shell.Quote(dir))
		return nil, errors.Join(err, folder.Close())
	}
	return folder, nil
}

// marked reports whether the folder is the run's delivery, whole, half written or half
// removed. An empty folder counts: there is nothing in it that could be somebody else's.
func marked(root *os.Root, run grants.RunID) (bool, error) {
	var m marker
	if b, err := readRegular(root, markerName); err == nil && json.Unmarshal(b, &m) == nil &&
		m.Schema == markerSchema && m.Run == run {
		return true, nil
	}
	// The command may have damaged one of the two marked files.
	about := "for run " + string(run) + " of the task "
	if b, err := readRegular(root, readmeName); err == nil && strings.Contains(string(b), about) {
		return true, nil
	}
	dir, err := root.Open(".")
	if err != nil {
		return false, err
	}
	defer dir.Close()
	for name, err := range namesIn(dir) {
		if err != nil || !strings.HasPrefix(name, unfinished(run)) {
			return false, err
		}
	}
	return true, nil
}

// readRegular reads a file of the folder. It refuses links, pipes and devices, and reads
// no more than Deliver ever writes.
func readRegular(root *os.Root, name string) ([]byte, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // without waiting for a pipe's writer
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

// empty removes everything in the folder: the credential first, the marker last, so that
// an interrupted removal can be repeated.
func (f *Folder) empty() error {
	for _, kind := range delivery.Kinds() { // of every kind, because the folder does not say reliably which it is
		for _, file := range secrets(delivery.Delivery{Kind: kind.Name}) {
			_, _ = unlink(f.self, file.Name) // what stays of them is come to again
		}
	}
	if err := clearFolder(f.self, markerName); err != nil {
		return err
	}
	return clearFolder(f.self, "")
}
