package credentials

import "golang.org/x/sys/unix"

// forSearch opens a folder that this user may pass, even if it must not be listed.
const forSearch = unix.O_PATH
