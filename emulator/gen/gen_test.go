package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	emulator = ".."
	roleList = "../../../shared/gcp/predefined_roles.json.gz"
	methods  = "../../../shared/gcp/method_permissions.json"
)

// The tables of the emulator are what go generate makes.
func TestTablesAreFresh(t *testing.T) {
	t.Parallel()
	apis, err := apiModule(emulator)
	if err != nil {
		t.Fatal(err)
	}
	for name, make := range map[string]func() ([]byte, error){
		"types.txt":               func() ([]byte, error) { return typeTable(apis, emulator) },
		"bigquery_discovery.json": func() ([]byte, error) { return bigqueryDocument(apis) },
		"roles.txt":               func() ([]byte, error) { return roleTable(roleList) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "roles.txt" {
				if _, err := os.Stat(roleList); os.IsNotExist(err) {
					t.Skipf("the list of predefined roles is not at %s", roleList)
				}
			}
			want, err := make()
			if err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(filepath.Join(emulator, name))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s is stale: run go generate ./emulator", name)
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
	known, err := readKnown(filepath.Join(emulator, "roles.txt"))
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile(filepath.Join(emulator, "types.txt"))
	if err != nil {
		t.Fatal(err)
	}
	// The list has one permission of the routes for all that a hub holds.
	wrong := []string{"networkconnectivity.projects.locations.global.hubs"}
	compared := 0
	for line := range strings.Lines(string(table)) {
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
