//go:build !linux

package credentials

import (
	"os"

	"golang.org/x/sys/unix"
)

// forSearch opens a folder that this user may list.
const forSearch = unix.O_RDONLY

// openToClear opens a folder in another one to empty it, whatever its modes are. It follows no link.
func openToClear(dir *os.File, name string) (*os.File, error) {
	// Its owner may have closed it. If that fails, opening it says why.
	_ = unix.Fchmodat(int(dir.Fd()), name, 0o700, unix.AT_SYMLINK_NOFOLLOW)
	fd, err := unix.Openat(int(dir.Fd()), name,
		unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}
