package isolate

import (
	"io/fs"
	"syscall"
	"time"
)

// changed returns when the file or its mode was last changed, which nobody can set back.
func changed(info fs.FileInfo) time.Time {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(st.Ctim.Unix())
	}
	return time.Now() // unknown: it counts as changed
}
