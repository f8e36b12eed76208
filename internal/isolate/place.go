package isolate

import (
	"path/filepath"
	"strings"

	"github.com/taskiam/taskiam/internal/fault"
)

// shared are the folders of the machine that are everybody's, or no files at all.
var shared = []string{"/boot", "/dev", "/etc", "/home", "/proc", "/run", "/sys", "/tmp", "/usr", "/var/tmp"}

// Closed is what must never be seen in a sandbox: a folder, and what it is.
type Closed struct{ Path, What string }

// Check refuses a sandbox that would see what is closed to it: a path of its own, be it
// the work tree, that has a closed folder, HOME or a folder of everybody's in it, or
// that lies in a closed folder itself.
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
		return fault.New(fault.Usage, "%s is /: that has everything in it", what)
	case within(path, home):
		return fault.New(fault.Usage, "%s is %s: that has all of %s in it, your logins too", what, path, home)
	case within("/proc", path), within("/sys", path), within("/dev", path):
		return fault.New(fault.Usage, "%s is %s: that is no folder of files", what, path)
	}
	for _, c := range closed {
		if within(path, c.Path) || within(c.Path, path) {
			return fault.New(fault.Usage, "%s is %s: that would let the command see %s, %s", what, path, c.What, c.Path)
		}
	}
	for _, dir := range shared {
		if within(path, dir) {
			return fault.New(fault.Usage, "%s is %s: that is everybody's", what, path)
		}
	}
	return nil
}

// within reports whether path is dir or lies in it.
func within(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}
