package app

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/resource"
)

// askedCloud counts what it is asked about roles.
type askedCloud struct {
	asked int
	err   error
}

func (c *askedCloud) Role(_ context.Context, name string) (grants.Role, error) {
	c.asked++
	return grants.Role{Name: name, Title: "R", Stage: "GA", Permissions: []string{"a.b.c"}, Etag: "e"}, c.err
}

func (c *askedCloud) RolesOn(context.Context, resource.Name) ([]grants.Role, error) {
	c.asked++
	return []grants.Role{{Name: "roles/x", Permissions: []string{"a.b.c"}}, {Name: "projects/p/roles/own"}}, c.err
}

func (c *askedCloud) GrantableRoles(context.Context, resource.Name) (map[string]bool, error) {
	c.asked++
	return map[string]bool{"roles/x": true, "projects/p/roles/own": true}, c.err
}

func TestRolesAreKept(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	bucket, _, err := resource.Parse("gs://acme-reports")
	if err != nil {
		t.Fatal(err)
	}
	topic, _, err := resource.Parse("projects/acme-agents/topics/reports")
	if err != nil {
		t.Fatal(err)
	}
	now := start
	below := t.TempDir()
	dir := filepath.Join(below, "taskiam", "roles")
	cloud := &askedCloud{}
	kept := cachedRoles{Roles: cloud, of: "emulator one", dir: dir, key: []byte("ours"), now: func() time.Time { return now }}
	// asks counts what one more question costs.
	role := func(name string) int {
		t.Helper()
		before := cloud.asked
		r, err := kept.Role(ctx, name)
		if diff := cmp.Diff(grants.Role{Name: name, Title: "R", Stage: "GA", Permissions: []string{"a.b.c"}, Etag: "e"}, r); diff != "" || err != nil {
			t.Fatalf("%v\n%s", err, diff)
		}
		return cloud.asked - before
	}
	want := func(what string, got, want int) {
		t.Helper()
		if got != want {
			t.Errorf("%s: asked %d times, not %d", what, got, want)
		}
	}

	want("the first time", role("roles/x"), 1)
	want("again", role("roles/x"), 0)
	want("another role", role("roles/y"), 1)
	want("a custom role", role("projects/p/roles/own"), 1)
	want("a custom role again", role("projects/p/roles/own"), 1)
	now = start.Add(rolesKept - time.Nanosecond)
	want("within a day", role("roles/x"), 0)
	now = start.Add(rolesKept)
	want("after a day", role("roles/x"), 1)
	now = start
	want("from the future", role("roles/x"), 1)
	kept.of = "emulator two"
	want("another cloud", role("roles/x"), 1)
	kept.of = "emulator one"

	for _, name := range []resource.Name{bucket, topic} {
		for again := range 2 {
			before := cloud.asked
			roles, err := kept.RolesOn(ctx, name)
			if len(roles) != 1 || roles[0].Name != "roles/x" || err != nil {
				t.Errorf("on %s are %v, %v", name, roles, err)
			}
			names, err := kept.GrantableRoles(ctx, name)
			if diff := cmp.Diff(map[string]bool{"roles/x": true}, names); diff != "" || err != nil {
				t.Errorf("%v\n%s", err, diff)
			}
			want(name.String(), cloud.asked-before, 2-2*again)
		}
	}

	// A failure is not kept.
	cloud.err = errors.New("no")
	if _, err := kept.Role(ctx, "roles/z"); !errors.Is(err, cloud.err) {
		t.Errorf("got %v", err)
	}
	if _, err := kept.GrantableRoles(ctx, topic); err != nil {
		t.Errorf("what is kept takes no call: %v", err)
	}
	cloud.err = nil
	want("after a failure", role("roles/z"), 1)

	// Nobody else can read it, and what they can write is not read.
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) < 6 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, path := range append(files, dir) {
		info, err := os.Lstat(path)
		if err != nil || info.Mode().Perm()&0o077 != 0 || strings.Contains(path, ".new-") {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	kept.dir = filepath.Join(below, "another")
	role("roles/x")
	files, err = filepath.Glob(filepath.Join(kept.dir, "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	file := files[0]
	says := func(text string) error { return os.WriteFile(file, []byte(text), 0o600) }
	sealed := func(text string, key string) error {
		return says(string(cachedRoles{key: []byte(key)}.seal([]byte(text))) + "\n" + text)
	}
	const harmless = `{"schema":"taskiam.roles/v3","of":"emulator one role roles/x","asked":"2026-01-01T00:00:00Z","roles":[{"Name":"roles/x"}]}`
	for what, spoil := range map[string]func() error{
		"half a file":        func() error { return os.Truncate(file, 40) },
		"an empty file":      func() error { return os.Truncate(file, 0) },
		"writable by others": func() error { return os.Chmod(file, 0o622) },
		"without roles": func() error {
			return sealed(`{"schema":"taskiam.roles/v3","of":"emulator one role roles/x","asked":"2026-01-01T00:00:00Z"}`, "ours")
		},
		"of another question": func() error { return sealed(strings.ReplaceAll(harmless, "roles/x", "roles/y"), "ours") },
		"of another version":  func() error { return sealed(strings.Replace(harmless, "/v3", "/v4", 1), "ours") },
		"sealed by others":    func() error { return sealed(harmless, "theirs") },
		"without a seal":      func() error { return says("\n" + harmless) },
		"of the old form":     func() error { return says(strings.Replace(harmless, "/v3", "/v2", 1)) },
		"a link":              func() error { return errors.Join(os.Rename(file, file+".real"), os.Symlink(file+".real", file)) },
		"gone":                func() error { return os.Remove(file) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		want(what, role("roles/x"), 1)
		want(what+", and again", role("roles/x"), 0)
	}
	dir = kept.dir
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	want("in a folder for all", role("roles/x"), 1)

	// Where there can be no folder, all goes on.
	kept.dir = filepath.Join(file, "roles")
	want("without a folder", role("roles/x"), 1)
}

func TestStateKey(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	a := &App{World: World{Random: rand.Reader, Getenv: func(name string) string {
		return map[string]string{EnvStateHome: state}[name]
	}}}
	keys := make(chan string, 8)
	for range cap(keys) {
		go func() {
			key, err := a.stateKey("roles")
			if err != nil {
				t.Error(err)
			}
			keys <- string(key)
		}()
	}
	key := <-keys
	for range cap(keys) - 1 {
		if other := <-keys; other != key {
			t.Error("two processes have different keys")
		}
	}
	path := filepath.Join(state, "taskiam", "roles.key")
	if left, err := filepath.Glob(filepath.Join(state, "taskiam", "*")); err != nil || len(left) != 1 || len(key) != keySize {
		t.Errorf("%q, %v; a key of %d bytes", left, err, len(key))
	}
	for what, spoil := range map[string]func() error{
		"read by others": func() error { return os.Chmod(path, 0o640) },
		"cut":            func() error { return errors.Join(os.Chmod(path, 0o600), os.Truncate(path, 4)) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if _, err := a.stateKey("roles"); err == nil {
			t.Errorf("a key that is %s is used", what)
		}
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
