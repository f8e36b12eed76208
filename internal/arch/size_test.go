package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// What fits on a screen and in a head. Tests and tables are free of it.
const (
	maxPackageLines = 6500
	maxCommandLines = 350 // a file of internal/cli
	maxFuncLines    = 80
	maxComplexity   = 20
	maxColumns      = 120
	tabColumns      = 4
)

func TestFunctionsFitOnAScreen(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		for _, d := range s.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			name := s.path + ": " + funcName(fn)
			if n := s.fset.Position(fn.End()).Line - s.fset.Position(fn.Pos()).Line + 1; n > maxFuncLines {
				t.Errorf("%s has %d lines, more than %d", name, n, maxFuncLines)
			}
			if n := complexity(fn); n > maxComplexity {
				t.Errorf("%s has a cyclomatic complexity of %d, more than %d", name, n, maxComplexity)
			}
		}
	}
}

func TestLinesFitOnAScreen(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		tables := tableLines(s.fset, s.ast)
		n := 0
		for line := range strings.Lines(s.text) {
			n++
			if strings.HasPrefix(line, "//go:") { // a directive is one line
				continue
			}
			if columns(line) > maxColumns && !tables[n] {
				t.Errorf("%s:%d has %d columns, more than %d", s.path, n, columns(line), maxColumns)
			}
		}
	}
}

func TestCommandsFitInAFile(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if n := strings.Count(s.text, "\n"); s.pkg == "internal/cli" && n > maxCommandLines {
			t.Errorf("%s has %d lines, more than %d", s.path, n, maxCommandLines)
		}
	}
}

func TestPackagesFitInAHead(t *testing.T) {
	t.Parallel()
	lines := map[string]int{}
	for _, s := range sources(t) {
		lines[s.pkg] += strings.Count(s.text, "\n")
	}
	for pkg, n := range lines {
		if n > maxPackageLines {
			t.Errorf("%s has %d lines, more than %d", pkg, n, maxPackageLines)
		}
	}
}

// source is a Go file that is no test.
type source struct {
	pkg, path string // from the module's root
	text      string
	fset      *token.FileSet
	ast       *ast.File
}

// sources are the Go files that are no tests, whatever system they are for.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	for _, file := range tree(t) {
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") || strings.Contains(file, "/testdata/") {
			continue
		}
		s := source{pkg: path.Dir(file), path: file, text: read(t, file), fset: token.NewFileSet()}
		var err error
		if s.ast, err = parser.ParseFile(s.fset, file, s.text, parser.SkipObjectResolution); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

func columns(line string) int {
	line = strings.TrimRight(line, "\r\n")
	return utf8.RuneCountInString(line) + (tabColumns-1)*strings.Count(line, "\t")
}

// complexity is one more than the places where a function goes one of two ways. What
// functions inside of it do counts too: they are read with it.
func complexity(fn *ast.FuncDecl) int {
	n := 1
	ast.Inspect(fn, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.IfStmt, *ast.ForStmt, *ast.RangeStmt:
			n++
		case *ast.CaseClause:
			if node.List != nil {
				n++
			}
		case *ast.CommClause:
			if node.Comm != nil {
				n++
			}
		case *ast.BinaryExpr:
			if node.Op == token.LAND || node.Op == token.LOR {
				n++
			}
		}
		return true
	})
	return n
}

func funcName(fn *ast.FuncDecl) string {
	if fn.Recv == nil {
		return fn.Name.Name
	}
	recv := fn.Recv.List[0].Type
	if star, ok := recv.(*ast.StarExpr); ok {
		recv = star.X
	}
	return fmt.Sprint(recv) + "." + fn.Name.Name
}

// tableLines are the lines of a file's tables: literals that a package-level variable or
// constant holds.
func tableLines(fset *token.FileSet, f *ast.File) map[int]bool {
	lines := map[int]bool{}
	for _, d := range f.Decls {
		gen, ok := d.(*ast.GenDecl)
		if !ok || gen.Tok != token.VAR {
			continue
		}
		ast.Inspect(gen, func(n ast.Node) bool {
			if lit, ok := n.(*ast.CompositeLit); ok {
				for l := fset.Position(lit.Pos()).Line; l <= fset.Position(lit.End()).Line; l++ {
					lines[l] = true
				}
			}
			return true
		})
	}
	return lines
}

// root is the module's.
var root = filepath.Join("..", "..")

// tree is every file of the module, by its path from the root.
func tree(t *testing.T) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if slices.Contains([]string{".git", "bin", "dist"}, d.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		path, err = filepath.Rel(root, path)
		all = append(all, filepath.ToSlash(path))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
