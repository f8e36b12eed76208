package review

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// predefined returns the permissions of the predefined roles that the emulator knows.
func predefined(t *testing.T) []string {
	t.Helper()
	table, err := os.ReadFile("../../emulator/internal/iam/roles.txt")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for line := range strings.Lines(string(table)) {
		p := strings.TrimSpace(line)
		if p == "" {
			break
		}
		if !strings.HasPrefix(p, "#") {
			out = append(out, p)
		}
	}
	return out
}

const sharedRoles = "../../../shared/gcp/predefined_roles.json.gz"

// listed returns the permissions of Google's list of roles, those of service agents included. It skips the test
// where the list is missing.
func listed(t *testing.T) []string {
	t.Helper()
	f, err := os.Open(sharedRoles)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("the list of predefined roles is not at %s", sharedRoles)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var list struct{ Permissions []string }
	if err := json.NewDecoder(z).Decode(&list); err != nil {
		t.Fatal(err)
	}
	return list.Permissions
}

// A permission without a class is new: read what it does, and give it a rule in classes.txt.
func TestEveryPermissionHasAClass(t *testing.T) {
	t.Parallel()
	for name, permissions := range map[string]func(*testing.T) []string{"of the emulator": predefined, "of Google": listed} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := permissions(t)
			if len(all) < 10000 {
				t.Fatalf("there are %d permissions", len(all))
			}
			for _, p := range all {
				if c, _ := ClassOf(p); c.Name == unreviewed.Name {
					t.Errorf("%s has no class", p)
				}
			}
		})
	}
}

// A rule for single services that is the first for nothing guards nothing. Nouns are also for what is to come.
func TestEveryRuleIsOfUse(t *testing.T) {
	t.Parallel()
	used := map[int]bool{}
	for _, p := range listed(t) {
		if w, found := rules().find(p); found {
			used[w.order] = true
		}
	}
	classes := map[string]bool{}
	book := rules()
	all := slices.Collect(maps.Values(book.byWord))
	for _, list := range book.byService {
		all = append(all, list...)
	}
	for _, p := range all {
		if !used[p.order] {
			t.Errorf("nothing is of class %s by %s", p.class.Name, p.text)
		}
		classes[p.class.Name] = true
	}
	for _, p := range book.general {
		classes[p.class.Name] = true
	}
	for _, c := range Classes {
		if !classes[c.Name] {
			t.Errorf("no rule is about the class %s", c.Name)
		}
	}
}

func TestRulesAreRead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"nonesuch:\n\ta.b.c\n":        `there is no class "nonesuch"`,
		"\ta.b.c\n":                   "is in no class",
		"read:\n\ta.b\n":              "has 2 parts",
		"read:\n\tget\nwrite:\n\tget": `"get" is there twice`,
	} {
		if _, err := parseRules(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
