package supervise

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Protect prevents other processes of the same user, the task's command among them, from
// reading the memory, the environment and the descriptors of this process, which contain the
// operator's login. It does not protect the programs that this process starts.
func Protect() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("keeping other processes out of this one's memory: %w", err)
	}
	return nil
}

// discardInput throws away what was typed at a terminal and not read.
func discardInput(terminal *os.File) {
	// An error means that it is no terminal any more.
	_ = unix.IoctlSetInt(int(terminal.Fd()), unix.TCFLSH, unix.TCIFLUSH)
}

// refuseFiles keeps clients of a unix socket from sending open files, each of which we would have to close, which may
// take as long as the client likes. Kernels before 6.16 cannot.
func refuseFiles(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSRIGHTS, 0) })
}
