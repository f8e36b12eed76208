package app

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/manifest"
)

// repository makes one with a file in it, and returns its folder and its commit.
func repository(t *testing.T) (dir, commit string) {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("there is no git on this machine")
	}
	dir = t.TempDir()
	cmd := exec.Command("sh", "-c", `git init -q -b main && mkdir tasks && echo 'version = 1' >tasks/a.toml && head -c 300000 /dev/zero >tasks/large && git add -A &&
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b.c GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b.c && git commit -q -m c &&
git branch bad "$(git commit-tree -m bad "$(printf '040000 tree %s\t.git\n' "$(git rev-parse HEAD:tasks)" | git mktree)")" &&
git rev-parse HEAD`)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return dir, strings.TrimSpace(string(out))
}

func TestFetch(t *testing.T) {
	t.Parallel()
	dir, commit := repository(t)
	// What the user's own configuration says would run a program.
	home := t.TempDir()
	ran := filepath.Join(home, "ran")
	config := "[protocol \"ext\"]\n\tallow = always\n[url \"ext::sh -c touch% " + ran + " \"]\n\tinsteadOf = " + dir + "\n"
	if err := os.WriteFile(filepath.Join(home, ".gitconfig"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	a := &App{World: World{Getenv: func(name string) string {
		return map[string]string{"PATH": os.Getenv("PATH"), "HOME": home, "GIT_CONFIG_COUNT": "1", "GIT_DIR": "/nothing"}[name]
	}}}
	for _, tt := range []struct {
		name    string
		version Version
		file    string
		kind    fault.Kind
		text    string // of the file, or in the error
	}{
		{"by its commit", Version{Repository: dir, Commit: commit}, "tasks/a.toml", 0, "version = 1\n"},
		{"by a branch", Version{Repository: dir, Commit: "refs/heads/main"}, "tasks/a.toml", 0, "version = 1\n"},
		{"too large", Version{Repository: dir, Commit: commit}, "tasks/large", fault.Usage, "more than 262144 bytes"},
		{"no such file", Version{Repository: dir, Commit: commit}, "b.toml", fault.NotFound, "there is no b.toml in commit " + commit},
		{"no such commit", Version{Repository: dir, Commit: strings.Repeat("0", 40)}, "a.toml", fault.Other, "fetching 000"},
		{"another protocol", Version{Repository: "ext::sh -c touch% " + ran, Commit: commit}, "a.toml", fault.Other, "not allowed"},
		{"an object that no git would make", Version{Repository: dir, Commit: "refs/heads/bad"}, "a", fault.Other, "hasDotgit"},
		{"an option", Version{Repository: "--upload-pack=touch " + ran, Commit: commit}, "a.toml", fault.Usage, "not the address"},
		{"a password", Version{Repository: "https://a:secret@b.c/d", Commit: commit}, "a.toml", fault.Usage, "has a login in it"},
		{"a token", Version{Repository: "https://secret@b.c/d", Commit: commit}, "a.toml", fault.Usage, "has a login in it"},
		{"a token and no path", Version{Repository: "HTTPS://secret@b.c?d", Commit: commit}, "a.toml", fault.Usage, "has a login in it"},
		{"a password for ssh", Version{Repository: "ssh://a:secret@b.c/d", Commit: commit}, "a.toml", fault.Usage, "has a login in it"},
		{"a folder with an at sign", Version{Repository: "file:///none/a@b", Commit: commit}, "a.toml", fault.Other, "fetching"},
		{"a refspec", Version{Repository: dir, Commit: "refs/heads/a:refs/heads/b"}, "a.toml", fault.Usage, "neither the id"},
		{"a tag", Version{Repository: dir, Commit: "refs/tags/v1"}, "a.toml", fault.Usage, "neither the id"},
		{"outside", Version{Repository: dir, Commit: commit}, "../a.toml", fault.Usage, "not a path inside"},
		{"absolute", Version{Repository: dir, Commit: commit}, "/a.toml", fault.Usage, "not a path inside"},
		{"two lines", Version{Repository: dir, Commit: commit, Login: "a:b\nc"}, "a.toml", fault.Usage, "more than one line"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text, got, err := a.Fetch(t.Context(), tt.version, tt.file)
			if err == nil && (string(text) != tt.text || got != commit) {
				t.Errorf("got %q of %s", text, got)
			}
			if err != nil && (fault.KindOf(err) != tt.kind || !strings.Contains(err.Error(), tt.text) || strings.Contains(err.Error(), "secret")) ||
				(err == nil) != strings.HasPrefix(tt.text, "version") {
				t.Errorf("got %v", err)
			}
		})
	}
	if _, err := os.Stat(ran); !os.IsNotExist(err) {
		t.Errorf("a program was run: %v", err)
	}
}

// heard are the steps of which a progress was told.
type heard []lifecycle.Event

func (h *heard) Step(ev lifecycle.Event) { *h = append(*h, ev) }

func (*heard) Retry(string, string, time.Duration, error) {}

// However long a repository takes, whoever waits for it sees that.
func TestFetchIsToldOf(t *testing.T) {
	t.Parallel()
	dir, commit := repository(t)
	for want, file := range map[lifecycle.EventState]string{lifecycle.Done: "tasks/a.toml", lifecycle.Failed: "none"} {
		var told heard
		a := &App{World: World{Getenv: os.Getenv, Now: time.Now}, Progress: &told}
		_, _, _ = a.Fetch(t.Context(), Version{Repository: dir, Commit: commit}, file)
		if len(told) != 2 || told[0].Step != "fetch "+commit+" of "+dir || told[0].State != lifecycle.Started || told[1].State != want {
			t.Errorf("told of %+v, want %s at the end", told, want)
		}
	}
}

// A login is in a file that only this user reads, and in no environment.
func TestFetchLogin(t *testing.T) {
	t.Parallel()
	a := &App{World: World{
		Getenv:  func(name string) string { return "value-of-" + name },
		Environ: func() []string { return []string{"ACTIONS_ID_TOKEN_REQUEST_TOKEN=t", EnvGitLogin + "=user:word"} },
	}}
	for _, v := range a.gitEnviron("/home", "") {
		if name, _, _ := strings.Cut(v, "="); strings.Contains(v, "TASKIAM") || strings.Contains(name, "TOKEN") {
			t.Errorf("git gets %s", v)
		}
	}
	v := Version{Login: "user:word"}
	if got := v.settings(); !strings.Contains(got, "extraHeader = Authorization: Basic dXNlcjp3b3Jk\n") || !strings.Contains(got, "followRedirects = false") {
		t.Errorf("got %s", got)
	}
}

// Ssh reads no configuration but what a named file says.
func TestFetchBySSH(t *testing.T) {
	_, commit := repository(t)
	bin := t.TempDir()
	script := "#!/bin/sh\necho \"ssh gets $*\" >&2\nexit 1\n"
	if err := os.WriteFile(filepath.Join(bin, "ssh"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	named := filepath.Join(bin, "config")
	if err := os.WriteFile(named, []byte("[core]\n\tsshCommand = ssh -F mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := bin + ":" + os.Getenv("PATH")
	a := &App{World: World{Getenv: func(name string) string { return map[string]string{"PATH": path}[name] }}}
	for config, want := range map[string]string{"": "ssh gets -F none ", named: "ssh gets -F mine "} {
		_, _, err := a.Fetch(t.Context(), Version{Repository: "ssh://git@b.c/d", Commit: commit, Config: config}, "a")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("with the configuration %q: %v", config, err)
		}
	}
}

// What git prints is chosen by others: of what is too much, the beginning is kept.
func TestGitPrintsTooMuch(t *testing.T) {
	bin := t.TempDir()
	script := "#!/bin/sh\nhead -c 1000000 /dev/zero\nhead -c 1000000 /dev/zero | tr '\\0' x >&2\nexit $1\n"
	if err := os.WriteFile(filepath.Join(bin, "git"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	g := git{dir: bin, environ: os.Environ(), grace: time.Minute}
	if out, err := g.run(t.Context(), "0"); err != nil || len(out) != manifest.MaxSize+1 {
		t.Errorf("%d bytes are kept: %v", len(out), err)
	}
	if _, err := g.run(t.Context(), "1"); err == nil || !strings.Contains(err.Error(), "xxx") || len(err.Error()) > maxSaid+100 {
		t.Errorf("the error is %.200v", err)
	}
}

// What git has started cannot keep taskiam waiting.
func TestGitEnds(t *testing.T) {
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "git"), []byte("#!/bin/sh\nsleep 5 &\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	g := git{dir: bin, environ: os.Environ(), grace: time.Millisecond}
	if _, err := g.run(t.Context(), "fetch"); !errors.Is(err, exec.ErrWaitDelay) {
		t.Errorf("got %v", err)
	}
}

// A repository that serves another commit than was asked for is not believed, whatever git says to that.
func TestFetchOfAnotherCommit(t *testing.T) {
	bin := t.TempDir()
	asked, served := strings.Repeat("a", 40), strings.Repeat("b", 40)
	write(t, filepath.Join(bin, "git"), "#!/bin/sh\ncase \"$*\" in\n*rev-parse*) echo "+served+" ;;\n*cat-file*) echo 'version = 1' ;;\n"+
		"*init*) for last; do :; done; mkdir -p \"$last\" ;;\nesac\n")
	if err := os.Chmod(filepath.Join(bin, "git"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	a := &App{World: World{Getenv: os.Getenv}}
	if text, commit, err := a.Fetch(t.Context(), Version{Repository: "/r", Commit: "refs/heads/main"}, "a.toml"); err != nil || commit != served {
		t.Errorf("of a branch: %q of %s, %v", text, commit, err)
	}
	if text, _, err := a.Fetch(t.Context(), Version{Repository: "/r", Commit: asked}, "a.toml"); !fault.Is(err, fault.Conflict) {
		t.Errorf("of a commit: %q, %v", text, err)
	}
}
