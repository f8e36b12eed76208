package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What is skipped under the race detector, or plays a part, runs whole without it: make check has a
// second pass, of some tests in some packages.
func TestWhatRaceLeavesOutRunsWithout(t *testing.T) {
	t.Parallel()
	makefile := read(t, "Makefile")
	names := regexp.MustCompile(`(?m)^WITHOUT_RACE := (.*)$`).FindStringSubmatch(makefile)
	where := regexp.MustCompile(`(?m)-run '\$\(WITHOUT_RACE\)' (.*)$`).FindStringSubmatch(makefile)
	if names == nil || where == nil {
		t.Fatal("the Makefile has no tests to run without -race, or no packages")
	}
	tests, scripts, _ := strings.Cut(names[1], "|^TestScripts$$/")
	second := regexp.MustCompile(tests)
	found := 0
	for _, file := range tree(t) {
		if !strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, file), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || !strings.HasPrefix(fn.Name.Name, "Test") || !asksForRace(fn) {
				continue
			}
			found++
			if fn.Name.Name == "TestScripts" || strings.Contains(makefile, "-run '^"+fn.Name.Name+"$$'") {
				continue // scripts are looked at below; the others have a line of their own
			}
			if !second.MatchString(fn.Name.Name) {
				t.Errorf("%s: %s is not in WITHOUT_RACE of the Makefile", file, fn.Name.Name)
			}
			if !slices.ContainsFunc(strings.Fields(where[1]), func(p string) bool {
				folder, below := strings.CutSuffix(strings.TrimPrefix(p, "./"), "/...")
				return path.Dir(file) == folder || below && strings.HasPrefix(file, folder+"/")
			}) {
				t.Errorf("%s: make check runs no test of this package without -race", file)
			}
		}
	}
	if found < 30 {
		t.Errorf("only %d tests ask for the race detector", found)
	}
	alone := regexp.MustCompile(strings.ReplaceAll(scripts, "$$", "$"))
	const folder = "cmd/taskiam/testdata/script"
	files, err := os.ReadDir(filepath.Join(root, folder))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(f.Name(), ".txtar")
		if skipped := strings.Contains(read(t, folder+"/"+f.Name()), "[race] skip"); skipped != alone.MatchString(name) {
			t.Errorf("script %s is skipped with -race: %t, and WITHOUT_RACE says otherwise", name, skipped)
		}
	}
}

// asksForRace reports whether a test does less under the race detector.
func asksForRace(fn *ast.FuncDecl) bool {
	asks := false
	ast.Inspect(fn, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			x, ok := n.X.(*ast.Ident)
			asks = asks || ok && x.Name == "racetest"
		case *ast.Ident:
			asks = asks || n.Name == "manyProcesses" || n.Name == "eachOperation"
		}
		return !asks
	})
	return asks
}
