package isolate

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// identity tells what is at an absolute path from any other file and folder of the machine. No part of the path may
// be a link: a link can lead elsewhere the next time.
func identity(path string) (string, error) {
	at, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", &fs.PathError{Op: "open", Path: "/", Err: err}
	}
	defer func() { _ = unix.Close(at) }()
	for name := range strings.FieldsFuncSeq(filepath.Clean(path), func(r rune) bool { return r == '/' }) {
		next, err := unix.Openat(at, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil { // ENOTDIR after a link, too
			return "", &fs.PathError{Op: "open", Path: path, Err: err}
		}
		_ = unix.Close(at)
		at = next
	}
	var st unix.Stat_t
	if err := unix.Fstat(at, &st); err != nil {
		return "", &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return "", fmt.Errorf("%s is a symbolic link", path)
	}
	return fmt.Sprintf("%d:%d", st.Dev, st.Ino), nil
}
