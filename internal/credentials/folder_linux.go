package credentials

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// forSearch opens a folder that this user may pass, even if it must not be listed.
const forSearch = unix.O_PATH

// openToClear opens a folder in another one to empty it, whatever its modes are. It follows no link and enters no mount
// point: what is mounted there is somebody else's, or a file system that the command serves and never answers for.
func openToClear(dir *os.File, name string) (*os.File, error) {
	at, err := openSameMount(int(dir.Fd()), name)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(at)
	var st unix.Stat_t
	if unix.Fstat(at, &st) == nil && st.Mode&0o700 != 0o700 {
		// Its owner may have closed it. If that fails, opening it says why.
		_ = unix.Chmod(fmt.Sprintf("/proc/self/fd/%d", at), 0o700)
	}
	fd, err := unix.Openat(at, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// openSameMount opens a folder in another one for searching, if it is no link and nothing is mounted on it.
func openSameMount(dir int, name string) (int, error) {
	const flags = unix.O_PATH | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	at, err := unix.Openat2(dir, name, &unix.OpenHow{Flags: flags, Resolve: unix.RESOLVE_NO_XDEV})
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) { // before Linux 5.6, or a container refuses it
		at, err = unix.Openat(dir, name, flags, 0)
	}
	return at, err
}
