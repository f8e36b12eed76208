package worktree

import (
	"bytes"
	"context"
	"os/exec"
	"path"
	"strings"
	"time"
)

// maxConfigs is how many files of settings git is asked to read. Of those after them, the whole file counts.
const maxConfigs = 100

// readWithin is how long git may take to read one.
const readWithin = 10 * time.Second

// git looks at what of a repository's own folder runs something.
func (l *looker) git(ctx context.Context, at string) {
	for _, name := range []string{"config", "config.worktree"} {
		l.config(ctx, at, path.Join(at, name))
	}
	for _, name := range []string{"info/attributes", "commondir", "rebase-merge/git-rebase-todo", "gitdir"} {
		l.add(path.Join(at, name), Git)
	}
	l.first = append(l.first, folder{path: path.Join(at, "hooks"), kind: Hook, link: true})
	if info, err := l.root.Lstat(path.Join(at, "hooks")); err == nil && !info.IsDir() {
		l.add(path.Join(at, "hooks"), Hook)
	}
	// Submodules have folders of their own in it, other work trees settings.
	l.then = append(l.then, folder{path: path.Join(at, "modules")})
	for _, name := range l.names(path.Join(at, "worktrees")) {
		l.config(ctx, at, path.Join(at, "worktrees", name, "config.worktree"))
		l.add(path.Join(at, "worktrees", name, "commondir"), Git)
	}
}

// names returns the names in a folder, as many as git's settings are read.
func (l *looker) names(at string) []string {
	dir, err := l.root.Open(at)
	if err != nil {
		l.closed(at, err)
		return nil
	}
	defer dir.Close()
	names, err := dir.Readdirnames(maxConfigs)
	if err != nil {
		return nil // there are none
	}
	if len(names) == maxConfigs {
		l.scan.cut = true
	}
	return names
}

// config looks at a file of git's settings.
func (l *looker) config(ctx context.Context, repository, at string) {
	l.add(at, Git)
	f, there := l.scan.files[at]
	if !there || l.configs >= maxConfigs {
		return
	}
	l.configs++
	content, whole := l.read(at, 0)
	if !whole {
		return
	}
	settings, err := gitSettings(ctx, content)
	if err != nil {
		return // the whole file counts, for git may read it otherwise than this one
	}
	f.settings, f.only = map[string]string{}, true
	for _, s := range settings {
		if !runs(s.name, s.value) {
			continue
		}
		if before, ok := f.settings[s.name]; ok { // a name may be set more than once
			s.value = before + "\n" + s.value
		}
		f.settings[s.name] = s.value
	}
	l.scan.files[at] = f
	tree := repository
	if path.Base(repository) == ".git" {
		tree = path.Dir(repository)
	}
	for _, s := range settings {
		switch name := strings.ToLower(s.name); {
		case name == "core.hookspath":
			if hooks, ok := l.within(tree, s.value); ok {
				l.first = append(l.first, folder{path: hooks, kind: Hook, link: true})
			}
		case name == "core.attributesfile", strings.HasPrefix(name, "include"):
			if included, ok := l.within(path.Dir(at), s.value); ok {
				l.add(included, Git)
			}
		}
	}
}

// within returns where a path leads that is relative to a folder of the tree, or absolute. It reports false if that is
// outside of the tree.
func (l *looker) within(dir, name string) (string, bool) {
	if path.IsAbs(name) {
		inside, ok := strings.CutPrefix(path.Clean(name), path.Clean(l.root.Name())+"/")
		return inside, ok
	}
	at := path.Join(dir, name)
	return at, at != "." && at != ".." && !strings.HasPrefix(at, "../")
}

// setting is one of git's.
type setting struct{ name, value string }

// gitSettings has git read settings. It gets them by its input, follows no include, and finds no repository and no
// settings of anybody's.
func gitSettings(ctx context.Context, content []byte) ([]setting, error) {
	ctx, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, "git", "config", "--file", "-", "--no-includes", "--null", "--list")
	cmd.Dir = "/"
	cmd.Env = []string{
		"GIT_DIR=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_CONFIG_GLOBAL=/dev/null",
		"LC_ALL=C",
	}
	cmd.Stdin = bytes.NewReader(content)
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	var all []setting
	for record := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		name, value, _ := strings.Cut(record, "\n")
		all = append(all, setting{name, value})
	}
	return all, nil
}

// harmless are settings that run nothing and open nothing, as git itself and people write them. All others count: the
// list of those that run a program grows with git.
var harmless = tableOf(map[Kind]string{Git: "core.repositoryformatversion core.filemode core.bare core.logallrefupdates " +
	"core.ignorecase core.precomposeunicode core.symlinks core.autocrlf core.eol core.safecrlf core.quotepath " +
	"core.abbrev core.commentchar core.sparsecheckout core.sparsecheckoutcone core.untrackedcache core.preloadindex " +
	"core.compression core.whitespace core.commitgraph core.multipackindex core.longpaths core.protecthfs core.protectntfs " +
	"user.name user.email author.name author.email committer.name committer.email user.signingkey " +
	"push.default push.autosetupremote push.followtags pull.rebase pull.ff fetch.prune fetch.prunetags fetch.parallel " +
	"merge.ff merge.conflictstyle rebase.autosquash rebase.autostash rebase.updaterefs rerere.enabled rerere.autoupdate " +
	"init.defaultbranch commit.gpgsign tag.gpgsign gc.auto color.ui advice.detachedhead extensions.objectformat " +
	"extensions.refstorage extensions.partialclone index.version feature.manyfiles log.date diff.algorithm diff.renames " +
	"status.showuntrackedfiles help.autocorrect branch.autosetuprebase branch.autosetupmerge branch.sort"})

// runs reports whether a setting may run a program, or lead git to what another wrote.
func runs(name, value string) bool {
	name = strings.ToLower(name)
	first, last := strings.IndexByte(name, '.'), strings.LastIndexByte(name, '.')
	if first < 0 {
		return true
	}
	section, key := name[:first], name[last+1:]
	switch section {
	case "branch": // of one branch: what it follows
		switch key {
		case "remote", "pushremote": // or an address
			return strings.ContainsAny(value, ":/")
		case "merge", "rebase", "description":
			return false
		}
	case "remote":
		return key != "fetch" && key != "tagopt" && key != "prune" && key != "promisor" && key != "partialclonefilter"
	case "submodule":
		return key != "active"
	case "lfs":
		return strings.Contains(key, "url") || strings.Contains(key, "transfer") || strings.Contains(key, "path")
	}
	_, ok := harmless[name]
	return !ok
}
