package worktree

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// How much of a tree is looked at: what is deeper, or more, is not, and the result says so.
const (
	maxEntries = 400_000
	maxDepth   = 60
	maxUnread  = 20
)

// scan is what one look at a tree has found.
type scan struct {
	files  map[string]file // by their paths in the tree, with slashes
	unread []string
	cut    bool
}

// folder is one that is still to be looked at.
type folder struct {
	path string
	// kind is that of everything in it; "" leaves it to the names.
	kind Kind
	// link means that the path leads to it by a link, which nothing but its kind is followed for.
	link bool
}

// looker is one look at a tree.
type looker struct {
	root  *os.Root
	rules rules
	scan  scan
	left  int // entries
	bytes int64
	// first are folders of which it is known that what is in them runs, and then the others: the nearest first.
	first, then []folder
	seen        map[identity]bool // folders, by what they are: a link may lead to one again
	configs     int               // of git's, that were read
}

// look finds what may run in a tree, with what tells whether it is as it was.
func look(ctx context.Context, tree string) scan {
	l := &looker{
		rules: newRules(), left: maxEntries, bytes: maxBytes, seen: map[identity]bool{},
		scan: scan{files: map[string]file{}},
	}
	alone := ""
	if info, err := os.Lstat(tree); err == nil && !info.IsDir() {
		tree, alone = filepath.Split(tree)
	}
	var err error
	if l.root, err = os.OpenRoot(tree); err != nil {
		l.closed(".", err)
		return l.scan
	}
	defer l.root.Close()
	if alone != "" {
		l.entry(ctx, folder{path: "."}, alone, 0)
		return l.scan
	}
	// Git's folder is found even if there are more names beside it than are looked at.
	if info, err := l.root.Lstat(".git"); err == nil && info.IsDir() {
		l.first = append(l.first, folder{path: ".git"})
	}
	l.then = append(l.then, folder{path: "."})
	for len(l.first)+len(l.then) > 0 {
		next := &l.first
		if len(l.first) == 0 {
			next = &l.then
		}
		f := (*next)[0]
		*next = (*next)[1:]
		if ctx.Err() != nil || l.left <= 0 {
			l.scan.cut = true
			break
		}
		l.folder(ctx, f)
	}
	return l.scan
}

// folder looks at what is in a folder.
func (l *looker) folder(ctx context.Context, f folder) {
	dir, err := l.root.Open(filepath.FromSlash(f.path))
	if err != nil {
		l.closed(f.path, err)
		return
	}
	defer dir.Close()
	info, err := dir.Stat()
	if err != nil || !info.IsDir() {
		return // a link that leads to a file
	}
	id := identityOf(info)
	if l.seen[id] && id != (identity{}) {
		return
	}
	l.seen[id] = true
	if strings.Count(f.path, "/") >= maxDepth {
		l.scan.cut = true
		return
	}
	var entries []fs.DirEntry
	for l.left > 0 && ctx.Err() == nil {
		some, err := dir.ReadDir(min(1000, l.left))
		entries = append(entries, some...)
		l.left -= len(some)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			l.closed(f.path, err)
			break
		}
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	if isGit(f.path, entries) {
		l.git(ctx, f.path)
		return
	}
	for _, e := range entries {
		l.entry(ctx, f, e.Name(), e.Type())
	}
}

// entry looks at one name in a folder. The type may be that of a file whatever it is: it is only a hint.
func (l *looker) entry(ctx context.Context, in folder, name string, typ fs.FileMode) {
	at := path.Join(in.path, name)
	switch {
	case typ.IsDir():
		l.enter(in, at)
	case name == ".git":
		l.add(at, Git) // it says where the repository is
	default:
		kind := l.kindOf(in, at)
		if kind == "" && typ&fs.ModeSymlink != 0 {
			if kind = l.rules.folder(at); kind != "" { // what it leads to has that kind
				l.first = append(l.first, folder{at, kind, true})
			}
		}
		if kind != "" {
			l.add(at, kind)
		}
	}
}

// enter notes a folder that is to be looked at.
func (l *looker) enter(in folder, at string) {
	kind := l.rules.folder(at)
	if kind == "" {
		kind = in.kind
	}
	switch name := path.Base(at); {
	case kind != "":
		l.first = append(l.first, folder{path: at, kind: kind})
	case in.link: // only what has its kind is looked at
	case name == ".git":
		l.first = append(l.first, folder{path: at})
	case path.Base(in.path) == "node_modules", path.Base(in.path) == "site-packages":
		// Installed packages are code.
	default:
		l.then = append(l.then, folder{path: at})
	}
}

// kindOf returns the kind of a file; "" is none.
func (l *looker) kindOf(in folder, at string) Kind {
	switch kind := l.rules.file(at); {
	case in.kind == Hook:
		return Hook
	case kind == "" || kind == Manifest && in.kind != "":
		return in.kind
	default:
		return kind
	}
}

// isGit reports whether git would take a folder for a repository.
func isGit(at string, entries []fs.DirEntry) bool {
	if path.Base(at) == ".git" {
		return true
	}
	has := map[string]bool{}
	for _, e := range entries {
		has[e.Name()] = true
	}
	return has["HEAD"] && (has["commondir"] || has["objects"] && has["refs"])
}

// closed notes what could not be looked at. That it is gone, or leads out of the tree, is no such thing.
func (l *looker) closed(at string, err error) {
	if !errors.Is(err, fs.ErrPermission) {
		return
	}
	if len(l.scan.unread) < maxUnread {
		l.scan.unread = append(l.scan.unread, at)
		return
	}
	l.scan.cut = true
}
