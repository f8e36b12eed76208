package isolate

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestApart(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	defer close(ended)
	session := func() (int, error) { return unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false) }
	before, noKeyring := session()
	failed := errors.New("the command is not there")
	err := apart(func() error {
		// The modes are as they were, but for the attempt.
		if err := unix.Chmod("/dev/full", 0o666); !errors.Is(err, unix.EROFS) && (os.Geteuid() == 0 || !errors.Is(err, unix.EPERM)) {
			t.Errorf("changing the mode of a device node: %v", err)
		}
		if err := os.WriteFile("/dev/null", []byte("x"), 0); err != nil {
			t.Errorf("writing to a device: %v", err)
		}
		if now, err := session(); noKeyring == nil && (now == before || err != nil) {
			t.Errorf("the session's keyring is %d, and was %d: %v", now, before, err)
		}
		return failed
	}, ended)
	if !errors.Is(err, failed) {
		t.Errorf("it ended with %v", err)
	}
	if err := unix.Chmod("/dev/full", 0o666); os.Geteuid() == 0 && err != nil {
		t.Errorf("/dev is sealed outside of the sandbox too: %v", err)
	}
}
