package worktree

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tree is a folder that a test changes.
type tree struct {
	t    *testing.T
	path string
}

func newTree(t *testing.T) tree {
	t.Helper()
	path, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return tree{t, path}
}

func (d tree) at(name string) string { return filepath.Join(d.path, filepath.FromSlash(name)) }

func (d tree) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

// write writes a file; what ends in ! can be run.
func (d tree) write(name, content string) {
	d.t.Helper()
	mode := os.FileMode(0o644)
	if plain, ok := strings.CutSuffix(name, "!"); ok {
		name, mode = plain, 0o755
	}
	d.must(os.MkdirAll(filepath.Dir(d.at(name)), 0o755))
	d.must(os.WriteFile(d.at(name), []byte(content), mode))
	d.must(os.Chmod(d.at(name), mode))
}

func (d tree) link(target, name string) {
	d.t.Helper()
	d.must(os.MkdirAll(filepath.Dir(d.at(name)), 0o755))
	d.must(os.Symlink(target, d.at(name)))
}

// told returns what is told of a change, a line for each.
func (d tree) told(change func()) []string {
	d.t.Helper()
	s := Take(d.t.Context(), d.path, time.Now())
	s.Wait()
	change()
	r := s.Compare(d.t.Context())
	if r.Cut || r.Unread != nil {
		d.t.Errorf("not all was looked at: %v %q", r.Cut, r.Unread)
	}
	var out []string
	for _, c := range r.Changes {
		out = append(out, strings.TrimRight(fmt.Sprintf("%s: %s %s %s", c.Kind, c.State, c.Path, strings.Join(c.What, " ")), " "))
	}
	return out
}

func TestCompare(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("it takes git")
	}
	for _, tt := range []struct {
		name   string
		before func(d tree)
		change func(d tree)
		want   []string
	}{
		{name: "nothing"},
		{name: "what was there is written again", change: func(d tree) {
			d.write("Makefile", "all:\n")
			d.write(".git/config", "[core]\n\tbare = false\n")
		}},
		{name: "code", change: func(d tree) { d.write("main.go", "package main"); d.write("src/app.py", "") }},
		{name: "a hook", change: func(d tree) {
			d.write(".git/hooks/pre-commit!", "")
			d.write(".git/hooks/pre-push.sample", "")
		}, want: []string{"git hook: new .git/hooks/pre-commit"}},
		{name: "a hook that is gone", before: func(d tree) { d.write(".git/hooks/pre-commit!", "check") }, change: func(d tree) {
			d.must(os.Remove(d.at(".git/hooks/pre-commit")))
		}, want: []string{"git hook: removed .git/hooks/pre-commit"}},
		{name: "a folder of old files becomes that of hooks", before: func(d tree) { d.write("examples/pre-commit!", "") }, change: func(d tree) {
			d.must(os.Rename(d.at("examples"), d.at(".git/hooks")))
		}, want: []string{"git hook: new .git/hooks/pre-commit"}},
		{name: "a link becomes the folder of hooks", before: func(d tree) { d.write("examples/pre-commit!", "") }, change: func(d tree) {
			d.link("../examples", ".git/hooks")
		}, want: []string{"git hook: new .git/hooks", "git hook: new .git/hooks/pre-commit"}},
		{name: "what the settings name as hooks", before: func(d tree) {
			d.write(".git/config", "[core]\n\thooksPath = tools/x\n")
			d.write("tools/x/pre-push!", "")
		}, change: func(d tree) { d.write("tools/x/pre-push!", "echo") }, want: []string{"git hook: changed tools/x/pre-push"}},
		{name: "settings that run", change: func(d tree) {
			d.write(".git/config", "[core]\n\tbare = false\n\tfsmonitor = ./x\n[alias \"a\"]\n[alias]\n\tst = !sh\n"+
				"[filter \"f\"]\n\tclean = \\\n  x\n[include]\n\tpath = ../more\n[branch \"b\"]\n\tremote = origin\n\tmerge = refs/heads/b\n")
		}, want: []string{"git settings: changed .git/config alias.st core.fsmonitor filter.f.clean include.path"}},
		{name: "settings that do not", change: func(d tree) {
			d.write(".git/config", "[core]\n\tbare = false\n[branch \"b\"]\n\tremote = origin\n\tmerge = refs/heads/b\n[user]\n\tname = x\n")
		}},
		{name: "settings that git cannot read", change: func(d tree) { d.write(".git/config", "[core\n") },
			want: []string{"git settings: changed .git/config"}},
		{name: "what settings include", before: func(d tree) {
			d.write(".git/config", "[include]\n\tpath = ../more\n")
			d.write("more", "")
		}, change: func(d tree) { d.write("more", "[core]\n\tfsmonitor = x\n") }, want: []string{"git settings: changed more"}},
		{name: "another place for git", change: func(d tree) {
			d.must(os.Rename(d.at(".git"), d.at("elsewhere")))
			d.write(".git", "gitdir: elsewhere\n")
		}, want: []string{"git settings: new .git"}},
		{name: "a repository without .git", change: func(d tree) {
			for _, name := range []string{"HEAD", "objects/x", "refs/x"} {
				d.write("data/"+name, "")
			}
			d.write("data/config", "[core]\n\tfsmonitor = x\n")
		}, want: []string{"git settings: new data/config core.fsmonitor"}},
		{name: "submodules and other work trees", before: func(d tree) { d.write(".git/worktrees/w/HEAD", "") }, change: func(d tree) {
			for _, name := range []string{"HEAD", "objects/x", "refs/x", "hooks/post-checkout"} {
				d.write(".git/modules/m/"+name, "")
			}
			d.write(".git/worktrees/w/config.worktree", "[core]\n\tpager = x\n")
			d.write(".git/rebase-merge/git-rebase-todo", "exec x\n")
			d.write(".gitmodules", "")
		}, want: []string{"git hook: new .git/modules/m/hooks/post-checkout", "git settings: new .git/rebase-merge/git-rebase-todo",
			"git settings: new .git/worktrees/w/config.worktree core.pager", "git settings: new .gitmodules"}},
		{name: "scripts of a package", before: func(d tree) {
			d.write("web/package.json", `{"version": "1", "scripts": {"test": "jest", "build": "tsc"}}`)
		}, change: func(d tree) {
			d.write("web/package.json", `{"version": "1", "scripts": {"build":"tsc", "test": "jest", "postinstall": "x"}, "dependencies": {}}`)
		}, want: []string{"package: changed web/package.json dependencies scripts.postinstall"}},
		{name: "a package in other words", before: func(d tree) { d.write("package.json", `{"scripts": {"a": "b"}}`) }, change: func(d tree) {
			d.write("package.json", `{ "scripts":{"a":"b"} }`)
		}, want: []string{"package: changed package.json"}},
		{name: "the rest", change: func(d tree) {
			for _, name := range []string{
				".vscode/tasks.json", ".idea/runConfigurations/x.xml", ".envrc", "sub/.env.local", "CLAUDE.md", ".claude/hooks/x.sh",
				".mcp.json", ".cursor/rules/x.mdc", ".github/workflows/x.yml", ".github/agents/x.md", "GNUmakefile", "build.rs",
				"lib/x.pth", "node_modules/.bin/x!", "node_modules/a/package.json", "bin/x!", "bin/notes", ".husky/pre-commit",
				"eslint.config.js", "new.toml", "Dockerfile.dev", ".GIT/config",
			} {
				d.write(name, "")
			}
			d.write("task.toml", "version = 1\n[task]\nname = \"x\"\n")
		}, want: []string{
			"git hook: new .husky/pre-commit",
			"shell: new .envrc", "shell: new sub/.env.local",
			"editor: new .idea/runConfigurations/x.xml", "editor: new .vscode/tasks.json",
			"agent: new .claude/hooks/x.sh", "agent: new .cursor/rules/x.mdc", "agent: new .github/agents/x.md", "agent: new .mcp.json", "agent: new CLAUDE.md",
			"start-up: new lib/x.pth",
			"program: new bin/x", "program: new node_modules/.bin/x",
			"package: new build.rs", "package: new eslint.config.js",
			"build: new Dockerfile.dev", "build: new GNUmakefile",
			"CI: new .github/workflows/x.yml",
			"manifest: new task.toml",
		}},
		{name: "a program that can be run from now on", before: func(d tree) { d.write("bin/x", "") }, change: func(d tree) {
			d.must(os.Chmod(d.at("bin/x"), 0o755))
		}, want: []string{"program: new bin/x"}},
		{name: "what cannot be read as a file", change: func(d tree) {
			d.must(syscall.Mkfifo(d.at("justfile"), 0o644))
			d.must(os.Mkdir(d.at("CLAUDE.md"), 0o755))
			d.link("/etc/passwd", "AGENTS.md")
			d.link("/etc", ".vscode")
			d.link(".", "sub/.claude")
			d.link("..", "loop")
		}, want: []string{"editor: new .vscode", "agent: new AGENTS.md", "agent: new sub/.claude"}},
		{name: "what a link leads to", before: func(d tree) { d.link("notes.md", "CLAUDE.md"); d.write("notes.md", "") }, change: func(d tree) {
			d.write("notes.md", "run this")
		}, want: []string{"agent: changed CLAUDE.md"}},
		{name: "settings of an agent that are gone", before: func(d tree) { d.write(".claude/settings.json", "{}") }, change: func(d tree) {
			d.must(os.RemoveAll(d.at(".claude")))
		}, want: []string{"agent: removed .claude/settings.json"}},
		{name: "a large file", before: func(d tree) { d.write("Makefile", strings.Repeat("#", maxFile+1)) }, change: func(d tree) {
			d.write("Makefile", strings.Repeat("#", maxFile)+"x")
			d.must(os.Chtimes(d.at("Makefile"), time.Unix(1, 0), time.Unix(1, 0)))
		}, want: []string{"build: changed Makefile"}},
	} {
		d := newTree(t)
		d.write(".git/config", "[core]\n\tbare = false\n")
		d.write("Makefile", "all:\n")
		if tt.before != nil {
			tt.before(d)
		}
		if tt.change == nil {
			tt.change = func(tree) {}
		}
		if got := d.told(func() { tt.change(d) }); !slices.Equal(got, tt.want) {
			t.Errorf("%s:\n%s\nwant\n%s", tt.name, strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
		}
	}
}

// TestNothingIsRun: settings in the tree that run a program do not run it while they are looked at, and what is outside
// of the tree is not read.
func TestNothingIsRun(t *testing.T) {
	t.Parallel()
	d := newTree(t)
	mark := filepath.Join(t.TempDir(), "ran")
	run := "touch " + mark
	d.write(".git/HEAD", "ref: refs/heads/main\n")
	d.write(".git/config", "[core]\n\tfsmonitor = "+run+"\n\tpager = "+run+"\n\tsshCommand = "+run+"\n[alias]\n\tconfig = !"+run+
		"\n[include]\n\tpath = /etc/passwd\n[trace2]\n\tnormalTarget = "+mark+"\n")
	d.write(".gitconfig", "[alias]\n\tconfig = !"+run+"\n")
	got := d.told(func() { d.write(".git/config", d.read(".git/config")+"[core]\n\teditor = "+run+"\n") })
	if want := "git settings: changed .git/config core.editor"; len(got) != 1 || got[0] != want {
		t.Errorf("told: %q", got)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("a program of the tree's ran")
	}
}

func (d tree) read(name string) string {
	d.t.Helper()
	b, err := os.ReadFile(d.at(name))
	d.must(err)
	return string(b)
}

// TestBounds: what is not looked at is said, and hides no hook.
func TestBounds(t *testing.T) {
	t.Parallel()
	d := newTree(t)
	d.write(".git/config", "")
	s := Take(t.Context(), d.path, time.Now())
	s.Wait()
	d.write(strings.Repeat("d/", maxDepth+1)+"Makefile", "")
	d.write(".git/hooks/pre-commit!", "")
	r := s.Compare(t.Context())
	if !r.Cut || len(r.Changes) != 1 || r.Changes[0].Kind != Hook {
		t.Errorf("a deep tree: %+v", r)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if r := s.Compare(ended); !r.Cut {
		t.Errorf("without time: %+v", r)
	}
	if os.Geteuid() == 0 {
		return // to root nothing is closed
	}
	d.must(os.Chmod(d.at(".git/hooks"), 0))
	if r := s.Compare(t.Context()); !slices.Equal(r.Unread, []string{".git/hooks"}) {
		t.Errorf("a closed folder: %+v", r)
	}
	d.must(os.Chmod(d.at(".git/hooks"), 0o755))
}

// TestNotAllBefore: what was not reached before the command is judged by its time.
func TestNotAllBefore(t *testing.T) {
	t.Parallel()
	d := newTree(t)
	d.write("Makefile", "")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for from, want := range map[time.Time]int{time.Now().Add(time.Hour): 0, time.Now(): 1} {
		s := Take(ended, d.path, from)
		if r := s.Compare(t.Context()); len(r.Changes) != want {
			t.Errorf("since %s: %+v", from, r)
		}
	}
}

// TestOneFile: what is given to be changed may be a file.
func TestOneFile(t *testing.T) {
	t.Parallel()
	d := newTree(t)
	d.write(".bashrc", "")
	d.write("Makefile", "")
	d.path = d.at(".bashrc")
	if got := d.told(func() { d.must(os.WriteFile(d.path, []byte("x"), 0o600)) }); !slices.Equal(got, []string{"shell: changed .bashrc"}) {
		t.Errorf("told: %q", got)
	}
}
