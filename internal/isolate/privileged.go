package isolate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// clockMargin is more than the clock of a file system may be behind.
const clockMargin = 2 * time.Second

// Privileged is a file that gives whoever runs it the rights of its owner or its group.
type Privileged struct {
	Path   string
	SetUID bool // else set-gid
	// Cleared is whether that right was taken from it.
	Cleared bool
}

// Privileged searches what the command could write to for files that were made, or changed,
// since then and are set-uid or set-gid. It takes the first right away and names both. Call
// it after the end of the sandbox, so that nothing moves any more. The search ends with ctx.
func (s Spec) Privileged(ctx context.Context, since time.Time) ([]Privileged, error) {
	since = since.Add(-clockMargin)
	var out []Privileged
	var failed error
	for _, tree := range s.Changeable() {
		found, err := privileged(ctx, tree, since)
		out, failed = append(out, found...), errors.Join(failed, err)
	}
	return out, failed
}

// Changeable returns the folders and files that the command can change, the work tree first.
func (s Spec) Changeable() []string {
	var out []string
	for _, o := range s.own() {
		if o.writable {
			out = append(out, o.path)
		}
	}
	return out
}

func privileged(ctx context.Context, tree string, since time.Time) ([]Privileged, error) {
	var out []Privileged
	var failed error
	err := filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			// A folder that the command has closed is not looked through, and is named.
			failed = errors.Join(failed, err)
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		info, err := d.Info()
		if err != nil || info.Mode()&(fs.ModeSetuid|fs.ModeSetgid) == 0 || changed(info).Before(since) {
			return nil // it is gone, or it is as it was
		}
		p := Privileged{Path: path, SetUID: info.Mode()&fs.ModeSetuid != 0}
		if p.SetUID {
			err = clearSetUID(tree, path)
			p.Cleared = err == nil
			failed = errors.Join(failed, err)
		}
		out = append(out, p)
		return nil
	})
	if err = errors.Join(failed, err); err != nil {
		err = fmt.Errorf("searching %s for set-uid programs: %w", tree, err)
	}
	return out, err
}

// clearSetUID follows no link out of the tree, in case another process moves things in it.
func clearSetUID(tree, path string) error {
	if path == tree { // a file that was named with --rw
		tree = filepath.Dir(tree)
	}
	root, err := os.OpenRoot(tree)
	if err != nil {
		return err
	}
	defer root.Close()
	name, err := filepath.Rel(tree, path)
	if err != nil {
		return err
	}
	info, err := root.Lstat(name)
	if err != nil {
		return err
	}
	return root.Chmod(name, info.Mode()&^fs.ModeSetuid)
}
