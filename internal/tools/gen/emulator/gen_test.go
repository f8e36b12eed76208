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
			if _, err := os.Stat(roleList); os.IsNotExist(err) && name == "roles.txt" {
				t.Skipf("the list of predefined roles is not at %s", roleList)
			}
			want, err := make()
			if err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(table(t, name))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s is stale: run go generate ./emulator/..., with TASKIAM_ROLES=%s", name, roleList)
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

// A list of roles is taken in each of its forms; without one, the error says where it is.
func TestRoleTableOfAnyForm(t *testing.T) {
	t.Parallel()
	const (
		viewer = `{"name":"roles/x.viewer","title":"Viewer","stage":"GA","includedPermissions":["x.a.get","x.a.list"]}`
		agent  = `{"name":"roles/x.serviceAgent","title":"Agent","stage":"GA","includedPermissions":["x.a.own"]}`
		none   = `{"name":"roles/y.none","title":"None","stage":"BETA"}`
		table  = "x.a.get\nx.a.list\n\nroles/x.viewer\tViewer\tGA\t0-1\nroles/y.none\tNone\tBETA\t\n"
	)
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "roles.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for form, text := range map[string]string{
		"a list":     "[" + none + "," + viewer + "," + agent + "]",
		"pages":      `{"roles":[` + none + `],"nextPageToken":"t"}` + "\n" + `{"roles":[` + agent + "," + viewer + `]}{}`,
		"a data set": `{"permissions":["x.a.own","x.a.list","x.a.get"],"roles":{"roles/x.viewer":{"title":"Viewer","stage":"GA","p":[1,2]},"roles/x.serviceAgent":{"title":"Agent","stage":"GA","p":[0]},"roles/y.none":{"title":"None","stage":"BETA"}}}`,
	} {
		got, err := roleTable(write(text))
		if want := rolesHead + table; err != nil || string(got) != want {
			t.Errorf("of %s: %v\n%s", form, err, got)
		}
	}
	for name, path := range map[string]string{
		"no argument": "", "no file": filepath.Join(t.TempDir(), "none"), "no roles": write("{}"), "no permissions": write("[" + none + "]"),
	} {
		_, err := roleTable(path)
		if err == nil || !strings.Contains(err.Error(), "https://iam.googleapis.com/v1/roles?view=FULL") {
			t.Errorf("with %s: %v, want where the list is", name, err)
		}
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
