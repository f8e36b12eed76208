package main

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/taskiam/taskiam/internal/racetest"
)

const (
	emulator = "../../../../emulator"
	roleList = "../../../../../shared/gcp/predefined_roles.json.gz"
	methods  = "../../../../../shared/gcp/method_permissions.json"
)

// table returns where the emulator keeps a table.
func table(t *testing.T, name string) string {
	t.Helper()
	var found []string
	if err := filepath.WalkDir(emulator, func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.Name() == name {
			found = append(found, path)
		}
		return err
	}); err != nil || len(found) != 1 {
		t.Fatalf("%s is at %q, want one place (%v)", name, found, err)
	}
	return found[0]
}

// The tables of the emulator are what go generate makes.
func TestTablesAreFresh(t *testing.T) {
	t.Parallel()
	racetest.Skip(t, "it reads all of Google's roles")
	for name, make := range makers(roleList, table(t, "roles.txt")) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want, err := make()
			if err != nil {
				t.Fatal(err)
			}
			if want == nil {
				t.Skipf("%s cannot be made here", name)
			}
			got, err := os.ReadFile(table(t, name))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s is stale: run go generate ./emulator/...", name)
			}
		})
	}
}

// The permissions of the types are those of the list of methods, where that names
// methods of theirs and a role holds what it names.
func TestPermissionsOfMethods(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(methods)
	if os.IsNotExist(err) {
		t.Skipf("the list of methods is not at %s", methods)
	}
	if err != nil {
		t.Fatal(err)
	}
	var needs map[string][]string
	if err := json.Unmarshal(data, &needs); err != nil {
		t.Fatal(err)
	}
	known, err := readKnown(table(t, "roles.txt"))
	if err != nil {
		t.Fatal(err)
	}
	types, err := os.ReadFile(table(t, "types.txt"))
	if err != nil {
		t.Fatal(err)
	}
	// The list has one permission of the routes for all that a hub holds.
	wrong := []string{"networkconnectivity.projects.locations.global.hubs"}
	compared := 0
	for line := range strings.Lines(string(types)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(strings.TrimSpace(line), "\t")
		name, permission := f[0], f[8]
		var want []string
		for _, p := range needs[name+".setIamPolicy"] {
			if prefix, ok := strings.CutSuffix(p, ".setIamPolicy"); ok && known[strings.ToLower(prefix)] != "" {
				want = append(want, prefix)
			}
		}
		if len(want) == 0 || slices.Contains(wrong, name) {
			continue
		}
		compared++
		if !slices.Contains(want, permission) {
			t.Errorf("%s: the table says %s, the list %q", name, permission, want)
		}
	}
	if compared < 150 {
		t.Errorf("only %d types are in the list", compared)
	}
}

func TestSpans(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in   []int
		want string
	}{
		{nil, ""}, {[]int{3}, "3"}, {[]int{3, 4}, "3-4"}, {[]int{9, 1, 2, 3, 3, 7, 8}, "1-3,7-9"},
	} {
		if got := spans(tt.in); got != tt.want {
			t.Errorf("spans(%v) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestSingular(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"instances": "Instance", "sslPolicies": "SslPolicy", "ekmConfig": "EkmConfig"} {
		if got := singular(in); got != want {
			t.Errorf("singular(%q) = %q, want %q", in, got, want)
		}
	}
}
