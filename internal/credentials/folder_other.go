//go:build !linux

package credentials

import "golang.org/x/sys/unix"

// forSearch opens a folder that this user may list.
const forSearch = unix.O_RDONLY
