package worktree

import (
	"io/fs"
	"syscall"
	"time"
)

// How files are opened, none of which is waited for.
const (
	openNoFollow = syscall.O_NOFOLLOW
	openNonblock = syscall.O_NONBLOCK
)

// status returns which file it is, and when it or its mode was last changed, which nobody can set back.
func status(info fs.FileInfo) (identity, time.Time) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return identity{st.Dev, st.Ino}, time.Unix(st.Ctim.Unix())
	}
	return identity{}, time.Now() // unknown: it counts as changed
}
