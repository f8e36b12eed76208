package isolate

import (
	"path/filepath"
	"strings"

	"github.com/taskiam/taskiam/internal/fault"
)

// shared are folders that all users of the machine share, or that hold no files.
var shared = []string{"/boot", "/dev", "/etc", "/home", "/proc", "/run", "/sys", "/tmp", "/usr", "/var/tmp"}

// Closed is a folder that a sandbox must never show, and what it is.
type Closed struct{ Path, What string }

// Check refuses a sandbox that would show a closed folder. None of its own paths, the
// work tree included, may contain a closed folder, HOME or a shared folder, or be inside a
// closed folder.
func (s Spec) Check(closed []Closed) error {
	own := []struct {
		what  string
		paths []string
	}{
		{"the work tree", []string{s.WorkTree}},
		{"--ro", s.ReadOnly},
		{"--rw", s.Writable},
	}
	for _, o := range own {
		for _, path := range o.paths {
			if err := refuse(o.what, path, s.Home, closed); err != nil {
				return err
			}
		}
	}
	if s.Delivery != "" {
		for _, o := range own {
			for _, path := range o.paths {
				if within(path, s.Delivery) {
					return fault.New(fault.Usage,
						"the delivery %s must lie outside of %s: %s", s.Delivery, o.what, path)
				}
			}
		}
	}
	return nil
}

func refuse(what, path, home string, closed []Closed) error {
	switch {
	case path == "/":
		return fault.New(fault.Usage, "%s is /: that contains everything", what)
	case within(path, home):
		return fault.New(fault.Usage, "%s is %s: that contains all of %s, your logins included", what, path, home)
	case within("/proc", path), within("/sys", path), within("/dev", path):
		return fault.New(fault.Usage, "%s is %s: that is not a folder of files", what, path)
	}
	for _, c := range closed {
		if within(path, c.Path) || within(c.Path, path) {
			return fault.New(fault.Usage, "%s is %s: the command could then see %s, %s", what, path, c.What, c.Path)
		}
	}
	for _, dir := range shared {
		if within(path, dir) {
			return fault.New(fault.Usage, "%s is %s: all users of this machine share that", what, path)
		}
	}
	return nil
}

// within reports whether path is dir or inside it.
func within(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}
