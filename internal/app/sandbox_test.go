package app

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/isolate"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/paths"
	"github.com/taskiam/taskiam/internal/supervise"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A command may leave anything beside a manifest: the next sandbox does not wait for it.
func TestManifestsBesideWaitForNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	task := filepath.Join(dir, "task.toml")
	write(t, task, "[task]\n")
	write(t, filepath.Join(dir, "other.toml"), "[package]\n")
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"waits.toml": "fifo", "endless.toml": "/dev/zero", "nowhere.toml": "none", "again.toml": "task.toml"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	found := make(chan []string, 1)
	go func() { found <- manifestsBeside(task) }()
	select {
	case got := <-found:
		if want := []string{filepath.Join(dir, "again.toml"), task}; !slices.Equal(got, want) {
			t.Errorf("found %q, want %q", got, want)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it waits for what lies beside the manifest")
	}
}

// TestManifestsBeside: a manifest is one however its task is written, and even if something in it is wrong.
func TestManifestsBeside(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"[task]\nname = \"x\"\n": true, "version = 1\n[ task ]\n": true, "[task]\nname = \n": true, "[\"task\"]\n": true,
		"['task']\n": true, "[\"t\\u0061sk\"]\n": true, "task.name = \"x\"\n": true, "task = { name = \"x\" }\n": true,
		"\ufeff[task]\n": true, "\ufefftask.name = \"x\"\n": true,
		"": false, "[package]\n": false, "[tool.task]\n": false, "task = \"build\"\n": false, "[[task]]\n": false, "# task\n": false,
	} {
		path := filepath.Join(t.TempDir(), "task.toml")
		write(t, path, text)
		if got := len(manifestsBeside(path)) == 1; got != want {
			t.Errorf("%q is a manifest: %v, want %v", text, got, want)
		}
	}
}

func TestManifestWithASecondNameIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	task := filepath.Join(dir, "task.toml")
	write(t, task, "[task]\n")
	l := &limits{}
	if err := l.fix(task); err != nil || !slices.Contains(l.fixed, task) {
		t.Fatalf("fixed are %q: %v", l.fixed, err)
	}
	if err := os.Link(task, filepath.Join(dir, "other.txt")); err != nil {
		t.Fatal(err)
	}
	if err := l.fix(task); !fault.Is(err, fault.Usage) {
		t.Errorf("with a second name: %v", err)
	}
}

// What a damaged journal's run has delivered is kept out of sandboxes, too.
func TestLimitsOfADamagedJournal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	delivery, task := filepath.Join(dir, "delivery"), filepath.Join(dir, "task.toml")
	if err := os.Mkdir(delivery, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, task, "[task]\n")
	store, err := journal.OpenDir(filepath.Join(dir, "state"), nil)
	if err != nil {
		t.Fatal(err)
	}
	run := grants.NewRunID(time.Now(), [5]byte{1})
	id := grants.AccountID("task", run)
	j, err := store.Create(journal.Opened{
		Run: run, Task: "task", Cloud: "google", Operator: "user:a@example.com", Project: "p", AccountID: id,
		Email: grants.AccountEmail(id, "p"), Expires: time.Now().Add(time.Hour), DeliveryDir: delivery, ManifestPath: task,
	})
	if err == nil {
		err = j.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(store.Where(run))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"whole": "", "damaged": "no record\n"} {
		write(t, store.Where(run), string(whole)+text)
		l := &limits{}
		if err := l.runs(store); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !slices.Contains(l.fixed, task) ||
			!slices.ContainsFunc(l.Closed, func(p isolate.Place) bool { return p.Path == delivery }) {
			t.Errorf("%s: fixed are %q, closed %+v", name, l.fixed, l.Closed)
		}
	}
	write(t, store.Where(run), "no record\n"+string(whole))
	if err := (&limits{}).runs(store); err == nil || !strings.Contains(err.Error(), string(run)) {
		t.Errorf("with no first record: %v", err)
	}
}

// A program that is not installed is installed by whoever puts it into a folder of PATH.
func TestReliesOnProgramsThatAreNotInstalled(t *testing.T) {
	t.Parallel()
	few, last := paths.Real(t.TempDir()), paths.Real(t.TempDir())
	for _, name := range []string{"bwrap", "taskiam", "git", "bq"} {
		write(t, filepath.Join(few, name), "")
		if err := os.Chmod(filepath.Join(few, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, job := range []string{"", "true"} {
		environ := map[string]string{"PATH": few + ":" + last, "BUILDKITE": job}
		a := &App{World: World{Getenv: func(name string) string { return environ[name] }}}
		l := &limits{}
		if err := a.relyOnPrograms(l); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]bool{"bwrap": false, "git": false, "gcloud": true, "buildkite-agent": job != ""} {
			at := filepath.Join(last, name)
			if got := slices.ContainsFunc(l.Relied, func(p isolate.Place) bool { return p.Path == at }); got != want {
				t.Errorf("BUILDKITE=%s: that %s is not written is relied on: %t", job, at, got)
			}
		}
	}
}

func TestNoKeyIsToldOf(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	if err := os.MkdirAll(filepath.Join(state, "taskiam", "journals.key"), 0o700); err != nil {
		t.Fatal(err)
	}
	var said []string
	a := &App{
		World: World{Getenv: func(name string) string { return map[string]string{EnvStateHome: state}[name] }},
		Warn:  func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) },
	}
	if _, err := a.journalsKey(); err == nil || len(said) != 1 || !strings.Contains(said[0], "neither sealed nor verified") {
		t.Errorf("said %q: %v", said, err)
	}
}

func TestShownLoginsAreSeen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := supervise.SandboxConfig{ReadOnly: []string{filepath.Join(dir, "ro")}, Writable: []string{filepath.Join(dir, "rw")}}
	for path, want := range map[string]bool{
		".": true, "sandbox.go": true, filepath.Join(dir, "ro"): true, filepath.Join(dir, "rw", "token"): true, dir: true,
		filepath.Join(dir, "other"): false, "/etc/passwd": false,
	} {
		if err := (Shown{Logins: []string{path}}).areSeen(c); (err == nil) != want || err != nil && !fault.Is(err, fault.Usage) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

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
