package app

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/manifest"
)

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
