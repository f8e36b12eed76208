package app

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/google/renameio/v2"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/manifest"
	"github.com/taskiam/taskiam/internal/shell"
)

// Format returns the manifest that in has, in the one layout of manifests, and whether it was in another.
func Format(in io.Reader) (text []byte, changed bool, err error) {
	src, err := read(in)
	if err != nil {
		return nil, false, fault.New(fault.Usage, "reading the manifest from standard input: %w", err)
	}
	text, err = manifest.Format("standard input", src)
	return text, !bytes.Equal(src, text), err
}

// FormatFile brings a manifest into the one layout of manifests, and reports whether it was in another. With check
// it is left as it is. A link stays a link: the file that it leads to is formatted.
func FormatFile(file string, check bool) (changed bool, err error) {
	src, err := readFile(file)
	if err != nil {
		return false, fault.New(fault.Usage, "reading the manifest: %w", err)
	}
	text, err := manifest.Format(file, src)
	if err != nil || bytes.Equal(text, src) {
		return false, err
	}
	if check {
		return true, nil
	}
	if err := replace(file, src, text); err != nil {
		return false, fmt.Errorf("formatting %s: %w", file, err)
	}
	return true, nil
}

// replace puts another text in the place of a file's, whole or not at all. Mode and owner stay. It refuses a file that
// has changed since it was read, and one with a second name, which would keep the old text.
func replace(file string, old, text []byte) (err error) {
	path, err := filepath.EvalSymlinks(file)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fault.New(fault.Usage, "%s is no regular file, and cannot be replaced", path)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if ok && st.Nlink > 1 {
		word := shell.Quote(path)
		return fault.WithHint(fault.New(fault.Usage, "%s has %d names (hard links), of which the others would keep "+
			"the old text", path, st.Nlink), "taskiam fmt - <"+word+" >"+word+".new && cat "+word+".new >"+word)
	}
	f, err := renameio.NewPendingFile(path, renameio.WithStaticPermissions(info.Mode().Perm()))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Cleanup()) }()
	if _, err := f.Write(text); err != nil {
		return err
	}
	if ours, err := f.Stat(); err != nil {
		return err
	} else if made, both := ours.Sys().(*syscall.Stat_t); ok && both && (made.Uid != st.Uid || made.Gid != st.Gid) {
		if err := f.Chown(int(st.Uid), int(st.Gid)); err != nil {
			return fmt.Errorf("keeping its owner: %w", err)
		}
	}
	if now, err := os.ReadFile(path); err != nil {
		return err
	} else if !bytes.Equal(now, old) {
		return fault.New(fault.Conflict, "it has changed meanwhile, and is left as it is")
	}
	return f.CloseAtomicallyReplace()
}
