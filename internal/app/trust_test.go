package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskiam/taskiam/internal/manifest"
)

const trustedManifest = `version = 1
[task]
name = "report"
project = "acme-agents"
ttl = "1h"
[[grant]]
role = "roles/storage.objectViewer"
resource = "gs://acme-reports"
`

func source(t *testing.T, path, ttl string, limits manifest.Limits) Source {
	t.Helper()
	src, err := parse(path, path, []byte(strings.Replace(trustedManifest, "1h", ttl, 1)), limits)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// wider returns the kinds of what a manifest opens more.
func (v Verdict) kinds() string {
	var kinds []string
	for _, w := range v.Wider {
		kinds = append(kinds, string(w.Kind))
	}
	return strings.Join(kinds, " ")
}

// Each step is compared with the one before: no series of them leads further than the first, and only who accepts does.
func TestTrustIsNeverWidenedByUse(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	trust := Trust{Dir: filepath.Join(t.TempDir(), "state", "trust"), Now: func() time.Time { return now }}
	of := func(ttl string) Source { return source(t, "/work/task.toml", ttl, manifest.Limits{}) }
	use := func(ttl string) {
		t.Helper()
		if err := trust.Use(t.Context(), of(ttl)); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(ttl, kinds string) {
		t.Helper()
		if got := trust.Compare(of(ttl)).kinds(); got != kinds {
			t.Errorf("a ttl of %s opens %q more, want %q", ttl, got, kinds)
		}
	}
	if v := trust.Compare(of("1h")); !v.First || len(v.Wider) > 0 {
		t.Errorf("what was never seen: %+v", v)
	}
	if _, err := os.Stat(trust.Dir); err == nil {
		t.Error("to compare leaves something")
	}
	use("1h")
	now = now.Add(time.Hour)
	use("1h")
	if v := trust.Compare(of("1h")); !v.Same || !v.Since.Equal(now.Add(-time.Hour)) {
		t.Errorf("the same again: %+v", v)
	}
	expect("2h", "ttl")
	use("2h") // it was refused, and so is this
	expect("2h", "ttl")
	use("30m")
	expect("1h", "ttl") // what was taken away is not put back
	expect("20m", "")
	if err := trust.Accept(t.Context(), of("2h")); err != nil {
		t.Fatal(err)
	}
	expect("1h", "")
	expect("3h", "ttl")
	if v := trust.Compare(source(t, "/work/other.toml", "9h", manifest.Limits{})); !v.First {
		t.Errorf("another path: %+v", v)
	}
}

// What is set beside the manifest is not what the manifest opens.
func TestScopeIsOfTheManifestAlone(t *testing.T) {
	t.Parallel()
	given := manifest.Limits{Given: manifest.Settings{Project: "acme-prod", TTL: 5 * time.Hour, Deliver: nil}}
	src := source(t, "/t.toml", "1h", given)
	if src.Task.Project != "acme-prod" || src.Scope.Project != "acme-agents" || src.Scope.TTL != time.Hour {
		t.Errorf("it opens %+v", src.Scope)
	}
	text := strings.Replace(trustedManifest, `project = "acme-agents"`, "", 1)
	if src, err := parse("t", "/t", []byte(text), given); err != nil || src.Scope.Project != "" || src.Task.Project != "acme-prod" {
		t.Errorf("%v: a project that the operator chooses is in %+v", err, src.Scope)
	}
}

// Whatever cannot be read is no leave: all that the manifest opens is new.
func TestTrustThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(dir, file string) error{
		"cut short":          func(_, file string) error { return os.Truncate(file, 20) },
		"empty":              func(_, file string) error { return os.Truncate(file, 0) },
		"another's to write": func(_, file string) error { return os.Chmod(file, 0o622) },
		"in another's folder": func(dir, _ string) error {
			return os.Chmod(dir, 0o777)
		},
		"a link": func(_, file string) error {
			return errors.Join(os.Rename(file, file+".real"), os.Symlink(file+".real", file))
		},
		"a folder": func(_, file string) error { return errors.Join(os.Remove(file), os.Mkdir(file, 0o700)) },
		"a later version": func(_, file string) error {
			b, err := os.ReadFile(file)
			return errors.Join(err, os.WriteFile(file, []byte(strings.Replace(string(b), `"version":1`, `"version":2`, 1)), 0o600))
		},
		"of another manifest": func(_, file string) error {
			b, err := os.ReadFile(file)
			return errors.Join(err, os.WriteFile(file, []byte(strings.Replace(string(b), "task.toml", "tusk.toml", 1)), 0o600))
		},
		"without a scope": func(_, file string) error {
			return os.WriteFile(file, []byte(`{"path":"/work/task.toml","sha256":"x"}`), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			trust := Trust{Dir: filepath.Join(t.TempDir(), "trust"), Now: time.Now}
			src := source(t, "/work/task.toml", "1h", manifest.Limits{})
			if err := trust.Use(t.Context(), src); err != nil {
				t.Fatal(err)
			}
			if err := spoil(trust.Dir, trust.file(src.Path)); err != nil {
				t.Fatal(err)
			}
			v := trust.Compare(src)
			if v.First || v.Same || v.Unreadable == nil || v.kinds() != "task project ttl grant" {
				t.Errorf("%+v", v)
			}
			if err := v.Refusal(src, ""); err == nil || !strings.Contains(err.Error(), "opens more than is known of it") {
				t.Errorf("it is refused by %v", err)
			}
			_ = trust.Use(t.Context(), src) // it may say so
			if trust.Compare(src).Unreadable == nil {
				t.Error("use alone mends it")
			}
		})
	}
}

// Of many that come at once one is remembered, whole, and never one that opens more than what was there.
func TestTrustOfManyAtOnce(t *testing.T) {
	t.Parallel()
	trust := Trust{Dir: filepath.Join(t.TempDir(), "trust"), Now: time.Now}
	if err := trust.Use(t.Context(), source(t, "/task.toml", "50m", manifest.Limits{})); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			if err := trust.Use(t.Context(), source(t, "/task.toml", fmt.Sprintf("%dm", 40+i), manifest.Limits{})); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if v := trust.Compare(source(t, "/task.toml", "40m", manifest.Limits{})); v.Unreadable != nil || len(v.Wider) > 0 {
		t.Errorf("%+v", v)
	}
	if v := trust.Compare(source(t, "/task.toml", "41m", manifest.Limits{})); v.kinds() != "ttl" {
		t.Errorf("the least of them is not remembered: %+v", v)
	}
}

func TestInWorkTree(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	tree := filepath.Join(dir, "tree")
	if err := errors.Join(os.MkdirAll(filepath.Join(tree, ".git"), 0o700), os.Symlink(filepath.Join(tree, "task.toml"),
		filepath.Join(dir, "link.toml")), os.WriteFile(filepath.Join(tree, "task.toml"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(tree, "task.toml"): filepath.Join(real, "tree"),
		filepath.Join(dir, "link.toml"):  filepath.Join(real, "tree"), // what counts is where it leads
		filepath.Join(dir, "other.toml"): "",
	} {
		if got := InWorkTree(path); got != want {
			t.Errorf("%s is in the work tree %q, want %q", path, got, want)
		}
	}
}
