package credentials

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"golang.org/x/sys/unix"
)

// maxSteps is how many names one removal goes through, each time that it comes to them. A command can make more than
// anybody wants to wait for; another removal goes on where this one has stopped.
const maxSteps = 1_000_000

var errTooMany = fmt.Errorf("there are more than %d files and folders in it: the next try goes on", maxSteps)

// maxReasons is how many of the names that stay are told, with why.
const maxReasons = 3

// clearing empties a folder in which others may be at work. It follows no link, enters no mount point, and holds two
// folders open however deep they are nested, so that no limit on paths, descriptors or the stack is in its way.
type clearing struct {
	at    *os.File        // the folder that is being emptied
	above []level         // from the outermost folder down to that one
	stuck map[string]bool // what cannot be removed, by its folder and name
	why   []error
	steps int // that may still be taken
}

// level is a folder on the way down.
type level struct {
	name string // in the folder above
	is   place
	kept bool // whether something in it cannot be removed
}

// place is what tells a folder from others while the machine runs.
type place struct{ dev, ino uint64 }

func (p place) of(name string) string { return fmt.Sprintf("%d:%d:%s", p.dev, p.ino, name) }

// clearFolder removes everything in a folder but one name, which may be "". What cannot be removed stays, and the rest
// is removed all the same.
func clearFolder(dir *os.File, but string) error { return clearWithin(maxSteps, dir, but) }

func clearWithin(steps int, dir *os.File, but string) error {
	c := &clearing{stuck: map[string]bool{}, steps: steps}
	err := c.enter(dir, ".")
	if err == nil && but != "" {
		c.stuck[c.above[0].is.of(but)] = true
	}
	for err == nil && len(c.above) > 0 {
		err = c.next()
	}
	if c.at != nil {
		err = errors.Join(err, c.at.Close())
	}
	return errors.Join(append(c.why, err)...)
}

// next empties the folder it is in until it comes to a folder that is not empty, and goes into that; or goes up if
// nothing is left that could be removed.
func (c *clearing) next() error {
	here := c.above[len(c.above)-1].is
	for removed := true; removed; { // a folder that changes while it is read may not show all of its names
		removed = false
		if _, err := c.at.Seek(0, io.SeekStart); err != nil {
			return err
		}
		for name, err := range namesIn(c.at) {
			if err != nil {
				return err
			}
			if c.steps--; c.steps < 0 {
				return errTooMany
			}
			if c.stuck[here.of(name)] {
				continue
			}
			full, err := unlink(c.at, name)
			if full {
				if err = c.enter(c.at, name); err == nil {
					return nil
				}
			}
			if err != nil {
				c.leave(name, err)
			}
			removed = removed || err == nil
		}
	}
	return c.up()
}

// enter goes into a folder.
func (c *clearing) enter(dir *os.File, name string) error {
	child, err := openToClear(dir, name)
	if err != nil {
		return err
	}
	is, err := placeOf(child)
	if err != nil {
		return errors.Join(err, child.Close())
	}
	c.above = append(c.above, level{name: name, is: is})
	return c.goTo(child)
}

// up goes to the folder above, and removes the one that it comes from. It ends the clearing if somebody has moved that
// one elsewhere: nothing is removed in a folder that was not come to from the outermost one.
func (c *clearing) up() error {
	last := len(c.above) - 1
	from := c.above[last]
	if c.above = c.above[:last]; last == 0 {
		return nil
	}
	parent, err := openToClear(c.at, "..")
	if err != nil {
		return err
	}
	is, err := placeOf(parent)
	if err == nil && is != c.above[last-1].is {
		err = fmt.Errorf("the folder %q was moved while it was emptied", from.name)
	}
	if err != nil {
		return errors.Join(err, parent.Close())
	}
	if err := c.goTo(parent); err != nil {
		return err
	}
	if from.kept {
		c.leave(from.name, nil)
		return nil
	}
	if _, err := unlink(c.at, from.name); err != nil { // a folder that is full again is come to again
		c.leave(from.name, err)
	}
	return nil
}

// goTo makes another folder the one that is being emptied.
func (c *clearing) goTo(dir *os.File) error {
	last := c.at
	c.at = dir
	if last == nil {
		return nil
	}
	return last.Close()
}

// leave notes that a name in this folder stays. err is nil if why was told before.
func (c *clearing) leave(name string, err error) {
	here := &c.above[len(c.above)-1]
	here.kept = true
	c.stuck[here.is.of(name)] = true
	if err != nil && len(c.why) < maxReasons {
		c.why = append(c.why, fmt.Errorf("%q stays: %w", name, err))
	}
}

// unlink removes a file, a link or an empty folder. It reports whether the name is a folder that is not empty.
func unlink(dir *os.File, name string) (full bool, err error) {
	err = unix.Unlinkat(int(dir.Fd()), name, 0)
	if errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EPERM) { // POSIX says the second of a folder
		if folder := unix.Unlinkat(int(dir.Fd()), name, unix.AT_REMOVEDIR); !errors.Is(folder, unix.ENOTDIR) {
			err = folder
		}
	}
	switch {
	case errors.Is(err, unix.ENOENT):
		return false, nil
	case errors.Is(err, unix.ENOTEMPTY), errors.Is(err, unix.EEXIST):
		return true, nil
	case errors.Is(err, unix.EBUSY), errors.Is(err, unix.EXDEV):
		return false, fmt.Errorf("it is in use, or something is mounted there: %w", err)
	}
	return false, err
}

// placeOf returns what tells an open folder from others.
func placeOf(dir *os.File) (place, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &st); err != nil {
		return place{}, fmt.Errorf("looking at a folder: %w", err)
	}
	return place{uint64(st.Dev), st.Ino}, nil
}

// namesIn returns the names in a folder, a few at a time: there may be very many.
func namesIn(dir *os.File) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for {
			names, err := dir.Readdirnames(256)
			for _, name := range names {
				if !yield(name, nil) {
					return
				}
			}
			if err != nil {
				if !errors.Is(err, io.EOF) {
					yield("", err)
				}
				return
			}
		}
	}
}
