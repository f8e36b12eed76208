package isolate

import (
	"fmt"
	"slices"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/paths"
)

// shared are folders that all users of the machine share, or that hold no files.
var shared = []string{"/boot", "/dev", "/etc", "/home", "/proc", "/run", "/sys", "/tmp", "/usr", "/var/tmp"}

// Place is a file or a folder, what it is, and what to do if a sandbox is refused for it.
type Place struct{ Path, What, Hint string }

// Limits say what a sandbox must not reach.
type Limits struct {
	// Closed are never shown.
	Closed []Place
	// Relied are never writable: what is run or believed outside of the sandbox. They need not
	// exist.
	Relied []Place
	// Look returns an error for a path that shows what it must not; nil looks at nothing.
	Look func(path string) error
}

// Check refuses a sandbox that would reach what it must not. None of its own paths, the
// work tree included, may contain a closed place, HOME or a shared folder, or be inside a
// closed place; none that is writable may contain what is relied on, or be inside it.
func (s Spec) Check(limits Limits) error {
	for _, o := range s.own() {
		err := refuse(o.what, o.path, s.Home, limits.Closed)
		if err == nil {
			err = o.keepsOff(limits.Relied, s.Fixed)
		}
		if err != nil {
			return o.advised(err)
		}
	}
	for _, o := range s.own() {
		if limits.Look == nil {
			break
		}
		if err := limits.Look(o.path); err != nil {
			return fmt.Errorf("%s is %s: %w", o.what, o.path, err)
		}
	}
	return s.CheckDelivery()
}

// CheckDelivery refuses a delivery in what the sandbox shows by other names. Where a run's delivery lies
// is known for certain only when the run is up.
func (s Spec) CheckDelivery() error {
	for _, o := range s.own() {
		if s.Delivery != "" && paths.Within(o.path, s.Delivery) {
			return fault.New(fault.Usage,
				"the delivery %s must lie outside of %s: %s", s.Delivery, o.what, o.path)
		}
	}
	return nil
}

// workTree is what messages call the folder in which the command begins.
const workTree = "the work tree"

// ownPath is one path that a sandbox was given to show.
type ownPath struct {
	what, path string
	writable   bool
}

func (s Spec) own() []ownPath {
	all := []ownPath{{workTree, s.WorkTree, !s.KeepTree}}
	for _, path := range s.ReadOnly {
		all = append(all, ownPath{"--ro", path, false})
	}
	for _, path := range s.Writable {
		all = append(all, ownPath{"--rw", path, true})
	}
	return all
}

// advised adds what to do about a refusal, where nothing has said so.
func (o ownPath) advised(err error) error {
	switch {
	case len(fault.Hints(err)) > 0:
		return err
	case o.what == workTree:
		return fault.WithHint(err, "cd FOLDER   # one that holds the work, and nothing else")
	}
	return fault.WithHint(err, "name what the command needs alone: "+o.what+" FOLDER")
}

// keepsOff refuses a writable path that reaches what is relied on. A fixed file can be inside
// of it, and is shown read-only; it cannot be what is to be writable.
func (o ownPath) keepsOff(relied []Place, fixed []string) error {
	if !o.writable {
		return nil
	}
	for _, r := range relied {
		if paths.Within(o.path, r.Path) || paths.Within(r.Path, o.path) {
			err := fault.New(fault.Usage, "%s is %s: the command could then change or make %s: %s",
				o.what, o.path, r.Path, r.What)
			if r.Hint != "" {
				return fault.WithHint(err, r.Hint)
			}
			return err
		}
	}
	if slices.Contains(fixed, o.path) {
		return fault.New(fault.Usage, "%s is %s: that is a manifest, and the command could then give itself "+
			"more the next time", o.what, o.path)
	}
	return nil
}

func refuse(what, path, home string, closed []Place) error {
	switch {
	case path == "/":
		return fault.New(fault.Usage, "%s is /: that contains everything", what)
	case paths.Within(path, home):
		return fault.New(fault.Usage, "%s is %s: that contains all of %s, your logins included", what, path, home)
	case paths.Within("/proc", path), paths.Within("/sys", path), paths.Within("/dev", path):
		return fault.New(fault.Usage, "%s is %s: that is not a folder of files", what, path)
	}
	for _, c := range closed {
		if paths.Within(path, c.Path) || paths.Within(c.Path, path) {
			return fault.New(fault.Usage, "%s is %s: the command could then see %s, %s", what, path, c.What, c.Path)
		}
	}
	for _, dir := range shared {
		if paths.Within(path, dir) {
			return fault.New(fault.Usage, "%s is %s: all users of this machine share that", what, path)
		}
	}
	return nil
}
