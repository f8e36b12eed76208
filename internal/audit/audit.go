// Package audit finds logins: in the places where programs keep them, and by what is in a file.
//
// It is for mistakes: somebody is about to show a folder to a command, and does not think of the
// login in it. It proves nothing about a folder in which it finds none. Its invariant: no value of
// a secret leaves it, only where one is and what it is. It knows nothing of runs and sandboxes.
package audit

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/taskiam/taskiam/internal/paths"
)

// Login is a place where a login is, and what it is.
type Login struct{ Path, What string }

// The bounds of a search. What comes after so many files is not looked at.
const (
	MaxEntries = 20_000
	// maxSize is the size above which no file is read: logins are small.
	maxSize = 16 << 10
)

// Search looks for logins.
type Search struct {
	// Homes are the home folders of those whose logins matter, and Getenv their environment.
	Homes  []string
	Getenv func(string) string
	// Meant are files and folders whose logins are not reported, without symbolic links.
	Meant []string
}

// In returns the logins at a path, which has no symbolic links, or inside it, the ones nearest to
// it first. whole is false if there are more than [MaxEntries] files.
func (s Search) In(root string) (logins []Login, whole bool) {
	found := func(path, what string) {
		meant := slices.ContainsFunc(s.Meant, func(m string) bool {
			return paths.Within(m, path) || paths.Within(m, root)
		})
		if !meant && !slices.ContainsFunc(logins, func(l Login) bool { return l.Path == path }) {
			logins = append(logins, Login{path, what})
		}
	}
	for _, p := range s.places() {
		switch _, err := os.Lstat(p.path); {
		case p.exactly && root != p.path:
		case paths.Within(p.path, root) && !harmless(root):
			found(root, p.what)
		case paths.Within(root, p.path) && err == nil:
			found(p.path, p.what)
		}
	}
	whole = walk(root, MaxEntries, found)
	return logins, whole
}

// walk reports every login in a tree that is known by its name or by what is in it. It looks at
// most at so many entries; whole is whether there were no more.
func walk(root string, most int, found func(path, what string)) (whole bool) {
	info, err := os.Lstat(root)
	if err != nil {
		return true
	}
	if !info.IsDir() {
		if what := known(root, info); what != "" {
			found(root, what)
		}
		return true
	}
	seen, level := 0, []string{root}
	for depth := 0; len(level) > 0; depth++ {
		var next []string
		for _, dir := range level {
			entries, err := os.ReadDir(dir)
			if err != nil {
				continue // of what this user cannot read, nothing is known
			}
			for _, e := range entries {
				if seen++; seen > most {
					return false
				}
				path := filepath.Join(dir, e.Name())
				if e.IsDir() {
					next = append(next, folder(path, depth, found)...)
				} else if what := knownEntry(path, e); what != "" {
					found(path, what)
				}
			}
		}
		level = next
	}
	return true
}

// skipped are folders that hold what others have written: keys in it are examples. Those of
// tests are looked through if they are directly in the root.
var (
	skipped = []string{"node_modules", "vendor", "third_party", "site-packages", "testdata", "__pycache__", ".terraform"}
	tests   = []string{"test", "tests", "test_data", "example", "examples"}
)

// folder returns the folder, if it is to be looked through.
func folder(path string, depth int, found func(path, what string)) []string {
	switch name := filepath.Base(path); {
	case name == ".gcloud":
		found(path, "logins of gcloud")
		return nil
	case name == ".git":
		// Of a repository, only its configuration; the rest is objects.
		config := filepath.Join(path, "config")
		if info, err := os.Lstat(config); err == nil {
			if what := known(config, info); what != "" {
				found(config, what)
			}
		}
		return nil
	case slices.Contains(skipped, name), depth > 0 && slices.Contains(tests, name):
		return nil
	}
	return []string{path}
}

func knownEntry(path string, e fs.DirEntry) string {
	if !e.Type().IsRegular() || !candidate(path) {
		return ""
	}
	info, err := e.Info()
	if err != nil {
		return ""
	}
	return known(path, info)
}
