package app

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/taskiam/taskiam/internal/ci"
	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/isolate"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/manifest"
	"github.com/taskiam/taskiam/internal/paths"
)

// What was once left out of the program without any test that noticed.

// getting returns an environment.
func getting(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

// A sandbox sees none of the places where logins and journals are, and can write to nothing that taskiam believes.
func TestLimitsOfTheEnvironment(t *testing.T) {
	t.Parallel()
	dir := paths.Real(t.TempDir())
	at := func(name string) string { return filepath.Join(dir, name) }
	a := &App{World: World{Getenv: getting(map[string]string{
		EnvStateHome: at("state"), EnvRuntimeDir: at("runtime"), EnvConfigHome: at("config"), EnvCacheHome: at("cache"),
		envHome: at("home"), EnvEmulatorToken: at("token"), EnvCredentials: at("login"), "CLOUDSDK_CONFIG": at("sdk"),
		EnvEmulatorCA: at("ca"), "SSL_CERT_FILE": at("cert"), "SSL_CERT_DIR": at("certs") + ":" + at("more"),
		"LD_LIBRARY_PATH": at("lib") + ":" + at("lib2"), "LD_PRELOAD": at("one") + " " + at("two"), "LD_AUDIT": at("audit"),
		"GCONV_PATH": at("gconv"), "PATH": at("bin"),
	})}}
	l, err := a.limits(nil)
	if err != nil {
		t.Fatal(err)
	}
	has := func(places []isolate.Place, path string) bool {
		return slices.ContainsFunc(places, func(p isolate.Place) bool { return p.Path == path })
	}
	for _, name := range []string{"state/taskiam", "runtime", "token", "login"} {
		if !has(l.Closed, at(name)) {
			t.Errorf("%s is not closed", name)
		}
	}
	for _, name := range []string{
		"config/taskiam/config.toml", "cache/taskiam", "home/.config/gcloud", "sdk", "ca", "cert", "certs", "more", "lib",
		"lib2", "one", "two", "audit", "gconv", "bin/bwrap", "bin/git",
	} {
		if !has(l.Relied, at(name)) {
			t.Errorf("%s is not relied on", name)
		}
	}
}

// A configuration that somebody else could have written is not read.
func TestConfigurationOfOthers(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(path string) error{
		"ours":              func(string) error { return nil },
		"everybody's":       func(path string) error { return os.Chmod(path, 0o602) },
		"of another user":   func(path string) error { return os.Chown(path, 4711, -1) },
		"no file":           func(path string) error { return os.Remove(path) },
		"a pipe":            func(path string) error { _ = os.Remove(path); return syscall.Mkfifo(path, 0o600) },
		"a link to a pipe":  func(path string) error { _ = os.Remove(path); return os.Symlink("/dev/zero", path) },
		"a link to nothing": func(path string) error { _ = os.Remove(path); return os.Symlink("nothing", path) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "of another user" && os.Geteuid() != 0 {
				t.Skip("only root gives files away")
			}
			home := t.TempDir()
			a := &App{World: World{Getenv: getting(map[string]string{EnvConfigHome: home})}}
			path := a.ConfigurationFile()
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, path, "project = \"acme-agents\"\n")
			if err := change(path); err != nil {
				t.Fatal(err)
			}
			s, found, err := a.Configuration(manifest.Limits{})
			switch missing := name == "no file" || name == "a link to nothing"; {
			case name == "ours" && (err != nil || !found || s.Project != "acme-agents"):
				t.Errorf("it is not read: %+v, %v, %v", s, found, err)
			case missing && (err != nil || found):
				t.Errorf("what is not there is found: %v", err)
			case name != "ours" && !missing && (!fault.Is(err, fault.Usage) || found || s.Project != ""):
				t.Errorf("it is read: %+v, %v, %v", s, found, err)
			}
		})
	}
}

// A file is formatted whole or not at all: what somebody has written meanwhile stays, and so do its mode and a link.
func TestReplace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, link := filepath.Join(dir, "task.toml"), filepath.Join(dir, "link.toml")
	write(t, file, "old")
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("task.toml", link); err != nil {
		t.Fatal(err)
	}
	is := func(when, want string) {
		t.Helper()
		b, err := os.ReadFile(file)
		info, statErr := os.Lstat(file)
		if err != nil || statErr != nil || string(b) != want || info.Mode() != 0o640 {
			t.Errorf("%s: %q, %v (%v, %v)", when, b, info.Mode(), err, statErr)
		}
		if to, err := os.Readlink(link); err != nil || to != "task.toml" {
			t.Errorf("%s: the link leads to %q: %v", when, to, err)
		}
	}
	if err := replace(link, []byte("older"), []byte("new")); !fault.Is(err, fault.Conflict) {
		t.Errorf("a file that has changed: %v", err)
	}
	is("a file that has changed", "old")
	if err := replace(link, []byte("old"), []byte("new")); err != nil {
		t.Error(err)
	}
	is("formatted", "new")
	if err := os.Link(file, filepath.Join(dir, "second")); err != nil {
		t.Fatal(err)
	}
	if err := replace(file, []byte("new"), []byte("newer")); !fault.Is(err, fault.Usage) {
		t.Errorf("a file with a second name: %v", err)
	}
	is("a file with a second name", "new")
	if names, err := os.ReadDir(dir); err != nil || len(names) != 3 {
		t.Errorf("the folder has %v: %v", names, err)
	}
}

// A key of the state folder that is not whole, or that others can read, seals nothing.
func TestStateKeyOfOthers(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(path string) error{
		"cut short":         func(path string) error { return os.Truncate(path, keySize-1) },
		"readable to all":   func(path string) error { return os.Chmod(path, 0o604) },
		"writable to group": func(path string) error { return os.Chmod(path, 0o620) },
		"a link": func(path string) error {
			if err := os.Rename(path, path+".moved"); err != nil {
				return err
			}
			return os.Symlink(path+".moved", path)
		},
	} {
		state := t.TempDir()
		a := &App{World: World{
			Getenv: getting(map[string]string{EnvStateHome: state}), Random: strings.NewReader(strings.Repeat("k", keySize)),
		}}
		if key, err := a.stateKey("test"); err != nil || string(key) != strings.Repeat("k", keySize) {
			t.Fatalf("the key is %q: %v", key, err)
		}
		if err := change(filepath.Join(state, "taskiam", "test.key")); err != nil {
			t.Fatal(err)
		}
		if key, err := a.stateKey("test"); err == nil {
			t.Errorf("%s: the key is %q", name, key)
		}
	}
}

// Who has a delivery has to get to it: of the groups of a user nothing is known.
func TestMayPass(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, tt := range []struct {
		mode fs.FileMode
		uid  int
		want bool
	}{
		{0o711, 4711, true}, {0o710, 4711, false}, {0o754, 4711, false}, {0o700, os.Geteuid(), true}, {0o611, os.Geteuid(), false},
	} {
		if err := os.Chmod(dir, tt.mode); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		if got := mayPass(info, tt.uid); got != tt.want {
			t.Errorf("user %d into %v: %v", tt.uid, tt.mode, got)
		}
	}
}

// What a job leaves in its workspace may be published, also where only a link leads there.
func TestDeliveriesOfAJobAreOutsideOfItsWorkspace(t *testing.T) {
	t.Parallel()
	dir := paths.Real(t.TempDir())
	workspace, temp := filepath.Join(dir, "work"), filepath.Join(dir, "temp")
	for _, path := range []string{filepath.Join(workspace, "tmp"), temp} {
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(workspace, "tmp"), filepath.Join(temp, "link")); err != nil {
		t.Fatal(err)
	}
	for path, ok := range map[string]bool{temp: true, workspace: false, workspace + "/tmp": false, temp + "/link": false} {
		j := (&App{World: World{Getenv: getting(nil)}}).Job(ci.Job{Workspaces: []string{workspace}, Temp: path}, nil)
		if got, err := j.temp(); ok && (err != nil || got != path) || !ok && !fault.Is(err, fault.Usage) {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
}

// A job that leaves a run takes back what the run has exported, and nothing that was changed since.
func TestLeave(t *testing.T) {
	t.Parallel()
	run := &journal.Run{Kind: delivery.Key, Opened: journal.Opened{
		Run: "1lguhv4k2itf0v0", Task: "t", Project: "acme-agents", Email: "a@acme-agents.iam.gserviceaccount.com",
		DeliveryDir: "/d", Login: "/login.json",
	}}
	for now, want := range map[string]string{"/d/key.json": "/login.json", "": "/login.json", "/other.json": "/other.json"} {
		vars := map[string]string{
			EnvCredentials: now, "GOOGLE_CLOUD_PROJECT": "acme-agents", "CLOUDSDK_CORE_PROJECT": "another", EnvRun: string(run.Opened.Run),
		}
		a := &App{World: World{Getenv: getting(vars), Setenv: func(name, value string) error {
			vars[name] = value
			return nil
		}}}
		if err := a.Job(ci.Job{}, nil).Leave([]*journal.Run{run}); err != nil {
			t.Fatal(err)
		}
		if vars[EnvCredentials] != want || vars["GOOGLE_CLOUD_PROJECT"] != "" || vars["CLOUDSDK_CORE_PROJECT"] != "another" || vars[EnvRun] != "" {
			t.Errorf("with the login %q it leaves %v", now, vars)
		}
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
