package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/gofrs/flock"
	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"
)

// Disk is what the journal asks of a file system. There is a real one, and one for
// tests that loses what was not fsynced (package journaltest).
type Disk interface {
	// Mkdir makes a folder of mode 0700. Its error is [fs.ErrExist] if the name is
	// taken and [fs.ErrNotExist] if the parent is missing.
	Mkdir(dir string) error
	// CheckDir returns an error if dir is not a folder that this user alone can write.
	CheckDir(dir string) error
	// Create makes a new file of mode 0600 for appending. Its error is
	// [fs.ErrExist] if the name is taken.
	Create(path string) (File, error)
	// Append opens an existing file for appending.
	Append(path string) (File, error)
	// Read returns what is in a file. Its error is [fs.ErrNotExist] if there is none.
	Read(path string) ([]byte, error)
	// Stamp returns what is another each time after the file was changed or replaced. Its error is
	// [fs.ErrNotExist] if there is none.
	Stamp(path string) (string, error)
	// Replace puts a file of mode 0600 with data in it in the place of the one that is there, or makes it: whole or
	// not at all.
	Replace(path string, data []byte) error
	// List returns the names in a folder.
	List(dir string) ([]string, error)
	// Remove takes a file away.
	Remove(path string) error
	// SyncDir makes the names in a folder durable.
	SyncDir(dir string) error
	// OpenLock opens the file of a lock, which it makes if need be, and takes nothing yet.
	OpenLock(path string) (Lock, error)
}

// File is a file that is appended to.
type File interface {
	io.Writer
	// Sync makes what was written durable.
	Sync() error
	// Truncate cuts the file to size bytes.
	Truncate(size int64) error
	Close() error
}

// Lock is a lock that ends with the process.
type Lock interface {
	// Try takes the lock, and reports whether it could: another may have it.
	Try() (bool, error)
	// Take is Try, which then waits for the lock until ctx is done. After an error it is closed.
	Take(ctx context.Context) error
	// Holder returns the process that has the lock; 0 if that is not known.
	Holder() int
	// Close frees the lock if it was taken.
	Close() error
}

type realDisk struct{}

var errClosed = errors.New("journal is closed")

func (realDisk) Mkdir(dir string) error { return os.Mkdir(dir, 0o700) }

func (realDisk) CheckDir(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a folder", dir)
	}
	return private(dir, info)
}

// private refuses what somebody else owns or may write: a journal that others can
// change could be made to say anything.
func private(path string, info fs.FileInfo) error {
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d, not to user %d who runs taskiam", path, st.Uid, os.Geteuid())
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s can be written by other users (mode %04o)", path, info.Mode().Perm())
	}
	return nil
}

func (realDisk) Create(path string) (File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
}

func (realDisk) Append(path string) (File, error) {
	return openRegular(path, os.O_WRONLY|os.O_APPEND)
}

func (realDisk) Read(path string) ([]byte, error) {
	f, err := openRegular(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxRead+1))
	if err == nil && len(b) > maxRead {
		err = fmt.Errorf("%s has more than %d MiB, which taskiam has not written", path, maxRead>>20)
	}
	return b, err
}

// maxRead is more than any file of ours has: a journal has some kilobytes. A command that is not isolated can make
// one so large that it takes the whole memory, and with that whoever was to take the run down.
const maxRead = 64 << 20

// Stamp has the time of the inode's last change, which no program can set.
func (realDisk) Stamp(path string) (string, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return "", &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	b := make([]byte, 0, 80)
	for _, n := range []int64{int64(st.Dev), int64(st.Ino), st.Size, st.Mtim.Nano(), st.Ctim.Nano()} {
		b = append(strconv.AppendInt(b, n, 36), '.')
	}
	return string(b), nil
}

func (realDisk) Replace(path string, data []byte) error { return renameio.WriteFile(path, data, 0o600) }

// openRegular opens a file of this user's own, and no link, pipe or device.
func openRegular(path string, flag int) (*os.File, error) {
	f, err := os.OpenFile(path, flag|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", path)
	}
	if err == nil {
		err = private(path, info)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (realDisk) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

func (realDisk) Remove(path string) error { return os.Remove(path) }

func (realDisk) SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (realDisk) OpenLock(path string) (Lock, error) {
	flags := flock.SetFlag(os.O_CREATE | os.O_RDWR | syscall.O_NOFOLLOW | syscall.O_NONBLOCK)
	return realLock{flock.New(path, flags, flock.SetPermissions(0o600))}, nil
}

type realLock struct{ *flock.Flock }

func (l realLock) Try() (bool, error) {
	ok, err := l.TryLock()
	if err != nil {
		return false, fmt.Errorf("locking %s: %w", filepath.Base(l.Path()), err)
	}
	if ok {
		l.sign()
	}
	return ok, nil
}

// Take lets the kernel wait: asking again and again takes a hundred processes most of a
// machine. The kernel's wait cannot be given up, so whoever gives up leaves it to a goroutine,
// which frees the lock as soon as it has it.
func (l realLock) Take(ctx context.Context) error {
	if ok, err := l.Try(); ok || err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	taken := make(chan error, 1)
	go func() { taken <- l.Lock() }()
	select {
	case err := <-taken:
		if err != nil {
			return fmt.Errorf("locking %s: %w", filepath.Base(l.Path()), err)
		}
		l.sign()
		return nil
	case <-ctx.Done():
		go func() {
			if <-taken == nil {
				_ = l.Close()
			}
		}()
		return context.Cause(ctx)
	}
}

// sign tells those who wait who has the lock. The lock is good without it.
func (l realLock) sign() {
	f, err := openRegular(l.Path(), os.O_WRONLY|os.O_TRUNC)
	if err != nil {
		return
	}
	_, _ = f.WriteString(strconv.Itoa(os.Getpid()) + "\n")
	_ = f.Close()
}

// Holder reads a file in which there may be anything by now, and waits for nobody to write it.
func (l realLock) Holder() int {
	b, err := realDisk{}.Read(l.Path())
	if err != nil {
		return 0
	}
	holder, _ := strconv.Atoi(strings.TrimSpace(string(b))) // not a number: not known
	return holder
}
