package paths

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWithin(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		dir, path string
		want      bool
	}{
		{"/a", "/a", true}, {"/a", "/a/b/c", true}, {"/a/", "/a/b", true}, {"/", "/a", true}, {"/a", "/a/..b", true},
		{"/a", "/ab", false}, {"/a/b", "/a", false}, {"/a", "/", false}, {"/a", "/a/../b", false}, {"/a", "b", false},
	} {
		if got := Within(tt.dir, tt.path); got != tt.want {
			t.Errorf("%s within %s: %t", tt.path, tt.dir, got)
		}
	}
}

func TestReal(t *testing.T) {
	t.Parallel()
	dir := Real(t.TempDir())
	if err := os.Symlink(dir, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"link/link": dir, "link/../none": filepath.Join(dir, "none")} {
		if got := Real(dir + "/" + path); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
}

func TestTrail(t *testing.T) {
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(err)
	must(os.MkdirAll(filepath.Join(dir, "real", "bin"), 0o700))
	must(os.Symlink("real/bin", filepath.Join(dir, "bin")))
	must(os.Symlink(filepath.Join(dir, "real", "bin", "tool-2"), filepath.Join(dir, "real", "bin", "tool")))
	must(os.Symlink("loop", filepath.Join(dir, "loop")))
	for path, want := range map[string][]string{
		"real/bin/none":    {"real/bin/none"},
		"none/at/all":      {"none/at/all"},
		"bin/tool":         {"bin", "real/bin/tool", "real/bin/tool-2"},
		"bin/../x":         {"bin", "real/x"},
		"./bin//tool-2":    {"bin", "real/bin/tool-2"},
		"real/bin/tool/..": {"real/bin/tool", "real/bin"},
	} {
		for i := range want {
			want[i] = filepath.Join(dir, want[i])
		}
		if diff := cmp.Diff(want, Trail(dir+"/"+path)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	if got := Trail(dir + "/loop"); len(got) == 0 || len(got) > maxLinks+1 {
		t.Errorf("a loop has %d places", len(got))
	}
}
