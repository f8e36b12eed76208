package isolate

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/internal/paths"
)

// pinsOf returns what the first process is told about paths.
func pinsOf(t *testing.T, s Spec) []Pinned {
	t.Helper()
	args := s.Args("--look")
	order, err := ParseInside(args[slices.Index(args, "isolated")+1:])
	if err != nil {
		t.Fatal(err)
	}
	return order.Pins
}

// TestPin: everything that is shown by its path is pinned, and anything else in its place is noticed.
func TestPin(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(at func(string) string) error
		want   string // the path that is noticed; "" is none
	}{
		{"nothing", func(func(string) string) error { return nil }, ""},
		{"what is in a folder", func(at func(string) string) error { return os.WriteFile(at("tree/new"), nil, 0o600) }, ""},
		{"a folder for another", func(at func(string) string) error {
			return errors.Join(os.Rename(at("seen"), at("away")), os.Mkdir(at("seen"), 0o700))
		}, "seen"},
		{"a folder for a link to it", func(at func(string) string) error {
			return errors.Join(os.Rename(at("tree"), at("away")), os.Symlink(at("away"), at("tree")))
		}, "tree"},
		{"a folder above for a link to it", func(at func(string) string) error {
			return errors.Join(os.Rename(at("tree/a"), at("away")), os.Symlink(at("away"), at("tree/a")))
		}, "tree/a"},
		{"a manifest for another", func(at func(string) string) error {
			task := at("tree/a/b/task.toml")
			return errors.Join(os.Rename(task, at("away")), os.WriteFile(task, nil, 0o600))
		}, "tree/a/b/task.toml"},
		{"the delivery for nothing", func(at func(string) string) error { return os.Remove(at("delivery")) }, "delivery"},
	} {
		dir := paths.Real(t.TempDir())
		at := func(name string) string { return filepath.Join(dir, name) }
		for _, name := range []string{"tree/a/b", "seen", "written", "delivery"} {
			if err := os.MkdirAll(at(name), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(at("tree/a/b/task.toml"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		s := Spec{
			Command: []string{"true"}, WorkTree: at("tree"), ReadOnly: []string{at("seen")}, Writable: []string{at("written")},
			Fixed: []string{at("tree/a/b/task.toml"), "/elsewhere/task.toml"}, Delivery: at("delivery"),
		}
		if err := errors.Join(s.Pin(), s.PinDelivery()); err != nil {
			t.Fatal(err)
		}
		if err := tt.change(at); err != nil {
			t.Fatal(err)
		}
		var pinned, noticed []string
		for _, p := range pinsOf(t, s) {
			pinned = append(pinned, strings.TrimPrefix(p.Path, dir+"/"))
			if p.check() != nil {
				noticed = append(noticed, pinned[len(pinned)-1])
			}
		}
		want := []string{"tree", "seen", "written", "tree/a/b", "tree/a", "tree/a/b/task.toml", "delivery"}
		if diff := cmp.Diff(want, pinned); diff != "" {
			t.Errorf("what is pinned (-want +got):\n%s", diff)
		}
		if tt.want == "" && noticed != nil || tt.want != "" && !slices.Contains(noticed, tt.want) {
			t.Errorf("%s: noticed at %q, want %q", tt.name, noticed, tt.want)
		}
	}
}

// TestPinFollowsNoLink: a path that leads through a link is no path to begin with.
func TestPinFollowsNoLink(t *testing.T) {
	t.Parallel()
	dir := paths.Real(t.TempDir())
	if err := os.Symlink(dir, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if id, err := identity("/"); err != nil || id == "" {
		t.Errorf("/ is %q: %v", id, err)
	}
	for _, path := range []string{"link", "link/link", "none"} {
		s := Spec{WorkTree: filepath.Join(dir, path)}
		if err := s.Pin(); err == nil {
			t.Errorf("%s is pinned", path)
		}
	}
}
