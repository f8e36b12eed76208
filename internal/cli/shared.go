package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/taskiam/taskiam/internal/fault"
)

// sharedDeliveries is where root puts deliveries for other users: they could not get to
// its own folders.
const sharedDeliveries = "/run/taskiam"

// sharedMode lets everybody pass and nobody look.
const sharedMode = 0o711

// openShared lets other users pass, whatever the umask was when the folder was made.
func openShared() error { return os.Chmod(sharedDeliveries, sharedMode) }

// leaveShared takes the folder away after the last delivery in it.
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

// placeFor returns the place of a delivery for another user, and refuses one that they
// cannot get to. dir is the place that it would have for this one.
func placeFor(to deliverTo, dir, run string) (string, error) {
	uid := to.owner
	if uid == 0 {
		return dir, nil
	}
	if to.dir == "" {
		if err := errors.Join(os.MkdirAll(sharedDeliveries, sharedMode), openShared()); err != nil {
			return "", fault.WithHint(err, "--"+flagOut+" DIR")
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
				fault.New(fault.Usage, "user %d cannot reach the delivery %s: the folder %s is closed to that user, or does not exist", uid, dir, parent),
				"--"+flagOut+" with a folder that every user can reach")
		}
		if parent == filepath.Dir(parent) {
			return dir, nil
		}
	}
}

// mayPass reports whether the user may go through the folder. Their groups do not count.
func mayPass(info fs.FileInfo, uid int) bool {
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) == uid {
		return info.Mode()&0o100 != 0
	}
	return info.Mode()&0o001 != 0
}
