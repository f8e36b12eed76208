package main

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"testing"

	"github.com/taskiam/taskiam/internal/racetest"
)

// Every mutant still fits the source. Whether the tests notice it is for make mutants.
func TestMutantsFitTheSource(t *testing.T) {
	racetest.Skip(t, "most of the source is parsed again and again")
	t.Chdir(filepath.Join("..", "..", "..")) // the module's root
	known := map[string]bool{}
	for _, m := range mutants {
		if m.name == "" || m.pkg == "" || len(m.tests) == 0 || known[m.name] {
			t.Errorf("%q has no package or no test, or its name is another's", m.name)
		}
		known[m.name] = true
		files := tree{}
		for _, e := range m.edits {
			path, err := files.apply(e)
			if err != nil {
				t.Errorf("%s: %v", m.name, err)
				continue
			}
			if _, err := parser.ParseFile(token.NewFileSet(), path, files[path], parser.SkipObjectResolution); err != nil {
				t.Errorf("%s: the mutant is no Go: %v", m.name, err)
			}
		}
		tests, err := filepath.Glob(filepath.Join(m.pkg, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		there := map[string]bool{}
		for _, path := range tests {
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range f.Decls {
				for _, name := range names(d) {
					there[name] = true
				}
			}
		}
		for _, name := range m.tests {
			if !there[name] {
				t.Errorf("%s: %s has no %s", m.name, m.pkg, name)
			}
		}
	}
}

func TestEdit(t *testing.T) {
	t.Parallel()
	const source = `package p

type T struct{ a int }

func (t *T) f(x int) int {
	g(x, // why
		t.a,
	)
	return t.a + x
}

func g(x, y int) { _ = x + y }
`
	dir := t.TempDir()
	path := filepath.Join(dir, "p.go")
	if err := os.WriteFile(path, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		edit edit
		want string // "" if it does not fit
	}{
		{"another spelling", edit{dir, "T.f", "g(x,t.a)\nreturn", "return"}, `package p

type T struct{ a int }

func (t *T) f(x int) int {
	return t.a + x
}

func g(x, y int) { _ = x + y }
`},
		{"any identifier", edit{dir, "g", "$x + $y", "$y - $x"}, `package p

type T struct{ a int }

func (t *T) f(x int) int {
	g(x, // why
		t.a,
	)
	return t.a + x
}

func g(x, y int) { _ = y - x }
`},
		{"the beginning", edit{dir, "g", "", " return;"}, `package p

type T struct{ a int }

func (t *T) f(x int) int {
	g(x, // why
		t.a,
	)
	return t.a + x
}

func g(x, y int) { return; _ = x + y }
`},
		{"twice", edit{dir, "T.f", "$t.a", "0"}, ""},
		{"the same identifier", edit{dir, "g", "$x + $x", "0"}, ""},
		{"elsewhere", edit{dir, "g", "return", ""}, ""},
		{"no such method", edit{dir, "T.g", "", ""}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			files := tree{}
			at, err := files.apply(tt.edit)
			if tt.want == "" {
				if err == nil {
					t.Errorf("it fits:\n%s", files[at])
				}
				return
			}
			if err != nil || at != path || files[path] != tt.want {
				t.Errorf("got %s, %v:\n%s", at, err, files[path])
			}
		})
	}
}
