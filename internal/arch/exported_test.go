package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// An exported name of an internal package is used by another package, or by a test that is one.
// A type is used if an exported declaration needs it, and a constant if its type is.
func TestExportedNamesAreUsed(t *testing.T) {
	t.Parallel()
	pkgs := list(t)
	used := map[string]bool{} // "internal/app.App"
	exports := map[string]map[string]ast.Node{}
	for _, file := range tree(t) {
		if !strings.HasSuffix(file, ".go") || strings.Contains(file, "testdata/") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, file), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		uses(f, pkgs, used)
		if dir := filepath.Dir(file); strings.Contains("/"+dir+"/", "/internal/") && !strings.HasSuffix(file, "_test.go") {
			if exports[dir] == nil {
				exports[dir] = map[string]ast.Node{}
			}
			exported(f, exports[dir])
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(exports)) {
		if pkgs[dir].Name == "main" {
			continue
		}
		needs(dir, exports[dir], used)
		for _, name := range slices.Sorted(maps.Keys(exports[dir])) {
			if ast.IsExported(name) && !used[dir+"."+name] {
				t.Errorf("%s.%s is used in its own package only: it need not be exported", dir, name)
			}
		}
	}
}

// uses adds the names of our packages that a file uses.
func uses(f *ast.File, pkgs map[string]pkg, used map[string]bool) {
	ours := map[string]string{} // packages, by their names in the file
	for _, imp := range f.Imports {
		dir, ok := strings.CutPrefix(strings.Trim(imp.Path.Value, `"`), module)
		if !ok {
			continue
		}
		name := pkgs[dir].Name
		if imp.Name != nil {
			name = imp.Name.Name
		}
		ours[name] = dir
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && ours[x.Name] != "" {
				used[ours[x.Name]+"."+sel.Sel.Name] = true
			}
		}
		return true
	})
}

// exported adds what a file declares for other packages: a node for each name, and for methods
// what they take and return.
func exported(f *ast.File, names map[string]ast.Node) {
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			name := d.Name.Name
			if d.Recv != nil && ast.IsExported(name) {
				name = "method " + receiver(d) + "." + name
			}
			if d.Recv == nil || ast.IsExported(d.Name.Name) {
				names[name] = d.Type
			}
		case *ast.GenDecl:
			var typ ast.Expr // of a constant without one: that of the constant before
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					names[s.Name.Name] = s.Type
				case *ast.ValueSpec:
					if s.Type != nil || len(s.Values) > 0 {
						typ = s.Type
					}
					for _, id := range s.Names {
						names[id.Name] = &ast.ValueSpec{Names: []*ast.Ident{id}, Type: typ}
					}
				}
			}
		}
	}
}

func receiver(d *ast.FuncDecl) string {
	typ := d.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if index, ok := typ.(*ast.IndexExpr); ok {
		typ = index.X
	}
	return typ.(*ast.Ident).Name
}

// needs marks the types that what is used needs, and the constants of types that are used.
func needs(dir string, names map[string]ast.Node, used map[string]bool) {
	for grown := true; grown; {
		grown = false
		mark := func(name string) {
			if _, ok := names[name]; ok && !used[dir+"."+name] {
				used[dir+"."+name], grown = true, true
			}
		}
		for name, node := range names {
			of, isMethod := strings.CutPrefix(name, "method ")
			of, _, _ = strings.Cut(of, ".")
			if value, ok := node.(*ast.ValueSpec); ok {
				if id, ok := value.Type.(*ast.Ident); ok && ast.IsExported(id.Name) && used[dir+"."+id.Name] {
					mark(name)
				}
			}
			if !used[dir+"."+name] && !(isMethod && used[dir+"."+of]) {
				continue
			}
			ast.Inspect(node, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.SelectorExpr:
					return false
				case *ast.Ident:
					mark(n.Name)
				}
				return true
			})
		}
	}
}
