package isolate

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// devices are the machine's, which bubblewrap shows in a sandbox's /dev.
var devices = []string{"full", "null", "random", "tty", "urandom", "zero"}

// apart calls start on a thread of its own, in which what no namespace of bubblewrap's
// covers is put out of reach of what it starts: the session's keyring, and the modes and
// times of device nodes. The thread lives until ended is closed, because its end is what
// bubblewrap takes for the end of its parent.
func apart(start func() error, ended <-chan struct{}) error {
	started := make(chan error)
	go func() {
		// It is never unlocked, so that the thread ends with this function.
		runtime.LockOSThread()
		err := errors.Join(leaveKeyring(), sealDevices())
		if err == nil {
			err = start()
		}
		started <- err
		if err == nil {
			<-ended
		}
	}()
	return <-started
}

// leaveKeyring gives this thread an empty session keyring. Some kernels and containers have
// no keyrings.
func leaveKeyring() error {
	_, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0)
	if err != nil && !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("leaving the session's keyring: %w", err)
	}
	return nil
}

// sealDevices mounts the device nodes read-only, for this thread: that leaves the devices
// as they are, and nobody can change the modes and times of the nodes. They belong to root,
// so this is for root alone. In a container without the right to mount, the nodes are the
// container's own.
func sealDevices() error {
	if os.Geteuid() != 0 {
		return nil
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); errors.Is(err, unix.EPERM) {
		return nil
	} else if err != nil {
		return fmt.Errorf("sealing /dev: %w", err)
	}
	// What is mounted here must not appear outside.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("sealing /dev: %w", err)
	}
	for _, name := range devices {
		path := filepath.Join("/dev", name)
		err := unix.Mount(path, path, "", unix.MS_BIND, "")
		if err == nil {
			const sealed = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NOEXEC
			err = unix.Mount("", path, "", unix.MS_REMOUNT|unix.MS_BIND|sealed, "")
		}
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("sealing %s: %w", path, err)
		}
	}
	return nil
}
