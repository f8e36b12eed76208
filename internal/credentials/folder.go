package credentials

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/taskiam/taskiam/internal/grants"
)

// Folder is the folder of a delivery, held open. It stays the same folder whatever is done to its name, so that it
// can be emptied wherever it was moved to.
type Folder struct {
	root *os.Root
	self *os.File // the same folder, for calls that take a descriptor
	id   string
}

// ID tells this folder from every other one of the machine: its device, its inode and the boot. Across boots,
// devices may have other numbers.
func (f *Folder) ID() string { return f.id }

// Close lets go of the folder.
func (f *Folder) Close() error { return errors.Join(f.self.Close(), f.root.Close()) }

// Remove removes the folder and everything in it, the credential first, under whatever name it has now.
func (f *Folder) Remove() error {
	info, err := f.self.Stat()
	if err != nil {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Nlink == 0 {
		return nil // somebody has removed it
	}
	if err := f.empty(); err != nil {
		return err
	}
	return f.unlink(info)
}

// unlink removes the name of the folder, which is empty, from the folder that it is in now.
func (f *Folder) unlink(info fs.FileInfo) error {
	parent, err := openAt(f.self, "..")
	if err != nil {
		return err
	}
	defer parent.Close()
	for name := range f.names(parent) {
		if child, err := openAt(parent, name); err == nil {
			here, err := child.Stat()
			if err = errors.Join(err, child.Close()); err == nil && os.SameFile(info, here) {
				return unix.Unlinkat(int(parent.Fd()), name, unix.AT_REMOVEDIR)
			}
		}
	}
	return errors.New("it was moved, to where this user cannot look; it is empty now")
}

// names returns the names that the folder may have in the one that it is in: first the old one. If that one cannot be
// listed, which the folder of other users' deliveries never can, there is no other.
func (f *Folder) names(parent *os.File) iter.Seq[string] {
	return func(yield func(string) bool) {
		if !yield(filepath.Base(f.root.Name())) {
			return
		}
		fd, err := unix.Openat(int(parent.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return
		}
		dir := os.NewFile(uintptr(fd), parent.Name())
		defer dir.Close()
		steps := 0
		for name, err := range namesIn(dir) {
			if steps++; err != nil || steps > maxSteps || !yield(name) {
				return
			}
		}
	}
}

// openAt opens a folder inside another one, and follows no link.
func openAt(dir *os.File, name string) (*os.File, error) {
	path := filepath.Join(dir.Name(), name)
	fd, err := unix.Openat(int(dir.Fd()), name, forSearch|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		var st unix.Stat_t
		if unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
			switch st.Mode & unix.S_IFMT {
			case unix.S_IFLNK:
				return nil, fmt.Errorf("%s is a symbolic link", path)
			case unix.S_IFDIR:
			default:
				return nil, fmt.Errorf("%s is not a folder", path)
			}
		}
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// walk opens a folder by an absolute path in which no part may be a link: a link can lead elsewhere the next time.
// If mode is not 0, folders that are missing are made with it.
func walk(dir string, mode fs.FileMode) (*os.File, error) {
	at, err := os.OpenFile("/", forSearch|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	for name := range strings.SplitSeq(strings.Trim(filepath.Clean(dir), "/"), "/") {
		if name == "" {
			continue
		}
		next, err := openAt(at, name)
		if errors.Is(err, fs.ErrNotExist) && mode != 0 {
			if err = unix.Mkdirat(int(at.Fd()), name, uint32(mode)); err == nil || errors.Is(err, fs.ErrExist) {
				next, err = openAt(at, name)
			} else {
				err = &fs.PathError{Op: "mkdir", Path: filepath.Join(at.Name(), name), Err: err}
			}
		}
		if err := errors.Join(err, at.Close()); err != nil {
			return nil, err
		}
		at = next
	}
	return at, nil
}

// openFolder opens a folder of this user's own. It follows no link.
func openFolder(dir string) (*Folder, error) {
	self, err := walk(dir, 0)
	if err != nil {
		return nil, err
	}
	f, err := folderOf(self, dir)
	if err != nil {
		return nil, errors.Join(err, self.Close())
	}
	return f, nil
}

// folderOf returns the folder that self is, whose path is dir.
func folderOf(self *os.File, dir string) (*Folder, error) {
	info, err := self.Stat()
	if err != nil {
		return nil, err
	}
	if uid := ownerOf(info); uid != os.Geteuid() {
		return nil, fmt.Errorf("it belongs to user %d", uid)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	// root stays this folder, even if its name is given to another one.
	here, err := root.Stat(".")
	if err == nil && !os.SameFile(info, here) {
		err = errors.New("it was replaced by another folder")
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return &Folder{root: root, self: self, id: identity(info)}, nil
}

// identity returns the id of a folder; "" on systems where folders have none.
func identity(info fs.FileInfo) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		boot = nil // not Linux
	}
	return strings.TrimRight(fmt.Sprintf("%d:%d:%s", st.Ino, st.Dev, boot), ":\n")
}

// sameFolder reports whether two ids can be those of the same folder.
func sameFolder(a, b string) bool {
	partsA, partsB := strings.SplitN(a, ":", 3), strings.SplitN(b, ":", 3)
	if len(partsA) == 3 && len(partsB) == 3 && partsA[2] != partsB[2] {
		return partsA[0] == partsB[0] // another boot, in which devices may have other numbers
	}
	return a == b
}

// check returns an error if the folder is not the one that the run's delivery was written to.
func (f *Folder) check(run grants.RunID, id string) error {
	if id != "" && !sameFolder(f.id, id) {
		return fmt.Errorf("it is another folder than the one that was made for run %s", run)
	}
	return nil
}
