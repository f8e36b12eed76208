// Package paths says what the path of a file or a folder leads to, and what lies inside what.
//
// Its invariant: it changes nothing, and a path need not exist. What it found may be different a
// moment later: where somebody else could change a path meanwhile, a descriptor has to be held.
package paths

import (
	"os"
	"path/filepath"
	"strings"
)

// Within reports whether path is dir or inside it, by their names alone. Both are absolute, or both
// are not.
func Within(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// Real returns the path, absolute and, if it exists, without symbolic links.
func Real(path string) string {
	if absolute, err := filepath.Abs(path); err == nil {
		path = absolute
	}
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		return resolved
	}
	return filepath.Clean(path)
}

// Trail returns every place that decides what is found at a path: the symbolic links on the way,
// and where it ends, which need not exist.
func Trail(path string) []string {
	if !filepath.IsAbs(path) {
		if here, err := os.Getwd(); err == nil {
			path = here + "/" + path // not cleaned: .. after a link is above the link's target
		}
	}
	var out []string
	at, rest := "/", strings.Split(path, "/")
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		next := filepath.Join(at, name) // .. is above, for there is no link in at
		target, err := os.Readlink(next)
		if err != nil || name == "" || links == maxLinks {
			at = next
			continue
		}
		links++
		out = append(out, next)
		if filepath.IsAbs(target) {
			at = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return append(out, at)
}

// maxLinks is how many links the kernel follows in a path.
const maxLinks = 40
