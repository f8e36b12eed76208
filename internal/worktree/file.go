package worktree

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/taskiam/taskiam/internal/lazy"
)

// How much is read: of a file, and of all.
const (
	maxFile  = 1 << 20
	maxBytes = 128 << 20
)

// file is what tells whether a file is as it was.
type file struct {
	kind    Kind
	mode    fs.FileMode
	size    int64
	id      identity
	changed time.Time // it or its mode
	// sum is of what is in it, or of where a link leads; zero means that it was not read.
	sum [sha256.Size]byte
	// settings are those of it that run something, or all that it has, with what they are set to.
	settings map[string]string
	// only means that nothing but the settings runs.
	only bool
}

// identity tells a file from any other of its file system.
type identity struct{ device, number uint64 }

func identityOf(info fs.FileInfo) identity {
	id, _ := status(info)
	return id
}

// same reports whether a file is as it was, so that it runs what it ran.
func (f file) same(was file) bool {
	switch {
	case f.mode != was.mode:
		return false
	case f.sum != [sha256.Size]byte{} && was.sum != [sha256.Size]byte{}:
		return f.sum == was.sum
	}
	return f.size == was.size && f.id == was.id && f.changed.Equal(was.changed)
}

// compare says what is new in a file; tell is false if that runs nothing.
func (f file) compare(was file, there bool) (c Change, tell bool) {
	c = Change{Kind: f.kind, State: New}
	if there {
		c.State = Changed
	}
	for name, value := range f.settings {
		if before, ok := was.settings[name]; !ok || before != value {
			c.What = append(c.What, name)
		}
	}
	for name := range was.settings {
		if _, ok := f.settings[name]; !ok && !f.only {
			c.What = append(c.What, name)
		}
	}
	slices.Sort(c.What)
	return c, !f.only || len(c.What) > 0
}

// forbids reports whether it matters that a file is gone: it may have kept something from happening.
func (f file) forbids() bool { return f.kind == Hook || f.kind == Agent || f.kind == Git && !f.only }

// add looks at one file. A link counts as what it leads to in the tree, and as where it leads.
func (l *looker) add(at string, kind Kind) {
	name := filepath.FromSlash(at)
	info, err := l.root.Lstat(name)
	if err != nil {
		l.closed(at, err)
		return
	}
	regular := info.Mode().IsRegular()
	if kind == Hook && strings.HasSuffix(at, ".sample") || kind == Program && regular && info.Mode()&0o111 == 0 {
		return
	}
	f := file{kind: kind, mode: info.Mode(), size: info.Size()}
	f.id, f.changed = status(info)
	var content []byte
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := l.root.Readlink(name)
		if err != nil {
			return
		}
		if to, err := l.root.Stat(name); err == nil && to.Mode().IsRegular() {
			content, _ = l.read(name, 0)
			f.mode |= to.Mode().Perm() & 0o111
		}
		f.sum = sha256.Sum256(append([]byte("link to "+target+"\x00"), content...))
	case regular:
		var whole bool
		if content, whole = l.read(name, openNoFollow); whole {
			f.sum = sha256.Sum256(append([]byte("file\x00"), content...))
		}
	default:
		return // a folder, or what cannot be run
	}
	if kind == Manifest && !looksLikeManifest().Match(content) {
		return
	}
	if strings.EqualFold(filepath.Base(name), "package.json") {
		f.settings = packageSettings(content)
	}
	l.scan.files[at] = f
}

// looksLikeManifest finds the table that every manifest of taskiam has.
var looksLikeManifest = lazy.Regexp(`(?m)^\s*\[\s*task\s*\]|^\s*task\s*(\.|=)`)

// read returns what is in a file, if it is not large.
func (l *looker) read(name string, flag int) (content []byte, whole bool) {
	if l.bytes <= 0 {
		return nil, false
	}
	f, err := l.root.OpenFile(name, os.O_RDONLY|openNonblock|flag, 0)
	if err != nil {
		l.closed(filepath.ToSlash(name), err)
		return nil, false
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, false
	}
	content, err = io.ReadAll(io.LimitReader(f, maxFile+1))
	l.bytes -= int64(len(content))
	return content, err == nil && len(content) <= maxFile
}

// packageSettings returns what a package.json has: its scripts one by one, and its other keys.
func packageSettings(content []byte) map[string]string {
	var keys map[string]json.RawMessage
	if json.Unmarshal(content, &keys) != nil {
		return nil // the whole file counts
	}
	out := map[string]string{}
	for key, value := range keys {
		var scripts map[string]json.RawMessage
		if key != "scripts" || json.Unmarshal(value, &scripts) != nil {
			out[key] = compact(value)
			continue
		}
		for name, script := range scripts {
			out["scripts."+name] = compact(script)
		}
	}
	return out
}

// compact returns JSON without the spaces that mean nothing.
func compact(value json.RawMessage) string {
	var b bytes.Buffer
	if err := json.Compact(&b, value); err != nil {
		return string(value)
	}
	return b.String()
}
