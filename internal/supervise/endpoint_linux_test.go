package supervise

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSocketTakesNoFiles: whoever receives a file has to close it, and that can take as long as its sender likes.
func TestSocketTakesNoFiles(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	l, err := listenUnix(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := new(net.Dialer).DialContext(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	_, _, err = c.(*net.UnixConn).WriteMsgUnix([]byte("GET"), unix.UnixRights(int(null.Fd())), nil)
	if refusesFiles(t) && !errors.Is(err, unix.EPERM) {
		t.Errorf("it takes a file: %v", err)
	}
	if _, err := c.Write([]byte("GET")); err != nil {
		t.Error(err)
	}
}

// refusesFiles reports whether this kernel can refuse them.
func refusesFiles(t *testing.T) bool {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSRIGHTS, 0) == nil
}
