package arch

import (
	"go/ast"
	"go/doc/comment"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// docLink is a doc link as go/doc/comment reads it: [Name], [Type.Method], [pkg.Name] or
// [pkg.Type.Method].
var docLink = regexp.MustCompile(`(?m)(?:^|[\s(])\[\*?([A-Za-z_]\w*(?:\.[A-Za-z_]\w*){0,2})\](?:[\s.,;:)']|$)`)

// Every doc link in a comment leads to something: to a name of its own package, or of a package
// that its own imports. What other modules have is not looked up.
func TestDocLinksLead(t *testing.T) {
	t.Parallel()
	pkgs := list(t)
	files := map[string][]*ast.File{}
	fset := token.NewFileSet()
	for _, file := range tree(t) {
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") || strings.Contains(file, "testdata/") {
			continue
		}
		f, err := parser.ParseFile(fset, filepath.Join(root, file), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Dir(file)] = append(files[filepath.Dir(file)], f)
	}
	names := map[string]map[string]bool{}
	for dir, fs := range files {
		names[dir] = map[string]bool{}
		for _, f := range fs {
			declared(f, names[dir])
		}
	}
	for dir, fs := range files {
		imports := map[string]string{}
		for _, f := range fs {
			maps.Copy(imports, importsOf(f, pkgs))
		}
		for _, f := range fs {
			for _, group := range f.Comments {
				for _, m := range docLink.FindAllStringSubmatch(group.Text(), -1) {
					if !leads(m[1], names[dir], imports, names) {
						t.Errorf("%s: [%s] leads nowhere", fset.Position(group.Pos()), m[1])
					}
				}
			}
		}
	}
}

// leads reports whether a link of a file leads to something that is known.
func leads(text string, own map[string]bool, imports map[string]string, names map[string]map[string]bool) bool {
	if own[text] || slices.Contains([]string{"any", "error", "nil", "true", "false"}, text) {
		return true
	}
	first, rest, ok := strings.Cut(text, ".")
	dir, imported := imports[first]
	_, standard := comment.DefaultLookupPackage(first)
	return ok && (imported && (dir == "" || names[dir][rest]) || standard)
}

// importsOf returns the packages of ours that a file imports, by their names; "" for the
// packages of others.
func importsOf(f *ast.File, pkgs map[string]pkg) map[string]string {
	out := map[string]string{}
	for _, imp := range f.Imports {
		path := strings.Trim(imp.Path.Value, `"`)
		dir, ours := strings.CutPrefix(path, module)
		name := filepath.Base(path)
		if ours {
			name = pkgs[dir].Name
		} else {
			dir = ""
		}
		if imp.Name != nil {
			name = imp.Name.Name
		}
		out[name] = dir
	}
	return out
}

// declared adds the names that a file declares: also methods and fields, as Type.Name.
func declared(f *ast.File, names map[string]bool) {
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv != nil {
				names[receiver(d)+"."+d.Name.Name] = true
			} else {
				names[d.Name.Name] = true
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.ValueSpec:
					for _, id := range s.Names {
						names[id.Name] = true
					}
				case *ast.TypeSpec:
					names[s.Name.Name] = true
					for _, field := range fields(s.Type) {
						for _, id := range field.Names {
							names[s.Name.Name+"."+id.Name] = true
						}
					}
				}
			}
		}
	}
}

// fields returns the fields of a struct, or the methods of an interface.
func fields(typ ast.Expr) []*ast.Field {
	switch typ := typ.(type) {
	case *ast.StructType:
		return typ.Fields.List
	case *ast.InterfaceType:
		return typ.Methods.List
	}
	return nil
}
