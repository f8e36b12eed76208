package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"strings"
	"testing"
)

// An error that a function returns beside nil was asked about by whatever leads there: where a condition has
// alternatives, by each of them. Else it returns nil and no error, and its caller uses the nil.
func TestNilComesWithAnError(t *testing.T) {
	t.Parallel()
	for name, p := range list(t) {
		for _, file := range p.GoFiles {
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, filepath.Join(p.Dir, file), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, at := range unasked(f) {
				t.Errorf("%s/%s: nil may be returned without an error", name, fset.Position(at))
			}
		}
	}
}

func TestNilWithoutAnErrorIsFound(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]int{
		`if ctx.Err() != nil { return nil, err }`:                                1,
		`if fault.Is(err, x) || ctx.Err() != nil { return nil, err }`:            1,
		`if fault.Is(err, x) || err != nil && late { return nil, err }`:          0,
		`if err := f(); err != nil { return nil, err }`:                          0,
		`switch { case fault.Is(err, x), late: return nil, err }`:                1,
		`switch { case !late: return nil, err; case err == nil: return v, nil }`: 1,
		`switch { case err == nil: return v, nil; case !late: return nil, err }`: 0,
		`if err == nil { return v, nil }; if late { return nil, err }`:           0,
		`if late { err = errors.New("late"); return nil, err }`:                  0,
		`if late { return nil, nil }`:                                            0, // on purpose, and documented
		`if late { return v, err }`:                                              0,
		`if err != nil { if late { return nil, err } }`:                          0,
		`if err == nil { return nil, err }`:                                      1,
	} {
		f, err := parser.ParseFile(token.NewFileSet(), "", "package p; func f() (*T, error) {"+source+"}", 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(unasked(f)); got != want {
			t.Errorf("%d are found in %s", got, source)
		}
	}
}

// unasked returns where nil is returned beside an error that may be nil there.
func unasked(f *ast.File) (at []token.Pos) {
	// sure has the names of the errors that are there for sure, and "?" below any condition.
	var walk func(list []ast.Stmt, sure map[string]bool)
	with := func(sure map[string]bool, names ...string) map[string]bool {
		out := map[string]bool{}
		for n := range sure {
			out[n] = true
		}
		for _, n := range names {
			out[n] = true
		}
		return out
	}
	walk = func(list []ast.Stmt, sure map[string]bool) {
		for _, s := range list {
			switch s := s.(type) {
			case *ast.BlockStmt:
				walk(s.List, with(sure))
			case *ast.ForStmt:
				walk(s.Body.List, with(sure))
			case *ast.RangeStmt:
				walk(s.Body.List, with(sure))
			case *ast.IfStmt:
				walk(s.Body.List, with(sure, asked(s.Cond)...))
				if s.Else != nil {
					walk([]ast.Stmt{s.Else}, with(sure, absent(s.Cond)...))
				}
				if ends(s.Body.List) {
					sure = with(sure, absent(s.Cond)...)
				}
			case *ast.SwitchStmt:
				before := with(sure)
				for _, c := range s.Body.List {
					clause := c.(*ast.CaseClause)
					here := before
					if s.Tag == nil && len(clause.List) > 0 {
						here = with(before, asked(clause.List...)...)
						for _, x := range clause.List {
							before = with(before, absent(x)...)
						}
					}
					walk(clause.Body, here)
				}
			case *ast.SelectStmt:
				for _, c := range s.Body.List {
					walk(c.(*ast.CommClause).Body, with(sure))
				}
			case *ast.AssignStmt:
				for i, x := range s.Lhs {
					id, ok := x.(*ast.Ident)
					if !ok {
						continue
					}
					// What is made there is an error; a call may return one or none.
					sure = with(sure)
					delete(sure, id.Name)
					if len(s.Rhs) == len(s.Lhs) && made(s.Rhs[i]) {
						sure[id.Name] = true
					}
				}
			case *ast.ReturnStmt:
				n := len(s.Results)
				if n < 2 || !isNil(s.Results[0]) {
					continue
				}
				// An unconditional one returns what a call returned, whatever that is. Names that do not end in
				// err are those of a package's own errors.
				if id, ok := s.Results[n-1].(*ast.Ident); ok && strings.HasSuffix(strings.ToLower(id.Name), "err") &&
					!sure[id.Name] && sure["?"] {
					at = append(at, s.Pos())
				}
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Body != nil && returnsPointer(n.Type) {
				walk(n.Body.List, map[string]bool{})
			}
		case *ast.FuncLit:
			if returnsPointer(n.Type) {
				walk(n.Body.List, map[string]bool{})
			}
		}
		return true
	})
	return at
}

// returnsPointer reports whether a function's first result is one that a caller uses: no list, which may be empty.
func returnsPointer(f *ast.FuncType) bool {
	if f.Results == nil || f.Results.NumFields() < 2 {
		return false
	}
	switch f.Results.List[0].Type.(type) {
	case *ast.ArrayType, *ast.MapType:
		return false
	}
	return true
}

func isNil(x ast.Expr) bool {
	id, ok := x.(*ast.Ident)
	return ok && id.Name == "nil"
}

// made reports whether an expression makes an error.
func made(x ast.Expr) bool {
	call, ok := x.(*ast.CallExpr)
	if !ok {
		return false
	}
	switch types.ExprString(call.Fun) {
	case "errors.New", "fmt.Errorf", "fault.New", "fault.WithHint", "errors.Join", "cmp.Or":
		return true
	}
	return false
}

// ends reports whether statements end with leaving them.
func ends(list []ast.Stmt) bool {
	if len(list) == 0 {
		return false
	}
	switch list[len(list)-1].(type) {
	case *ast.ReturnStmt, *ast.BranchStmt:
		return true
	}
	return false
}

// asked returns the names of errors that are there if any of the conditions holds, and "?".
func asked(conds ...ast.Expr) []string {
	counts := map[string]int{}
	n := 0
	var each func(x ast.Expr)
	each = func(x ast.Expr) {
		if p, ok := x.(*ast.ParenExpr); ok {
			x = p.X
		}
		if b, ok := x.(*ast.BinaryExpr); ok && b.Op == token.LOR {
			each(b.X)
			each(b.Y)
			return
		}
		n++
		for name := range there(x) {
			counts[name]++
		}
	}
	for _, c := range conds {
		each(c)
	}
	names := []string{"?"}
	for name, k := range counts {
		if k == n {
			names = append(names, name)
		}
	}
	return names
}

// there returns the names of errors that are there if a condition without alternatives holds.
func there(x ast.Expr) map[string]bool {
	out := map[string]bool{}
	switch x := x.(type) {
	case *ast.ParenExpr:
		for _, name := range asked(x.X) {
			out[name] = name != "?"
		}
	case *ast.BinaryExpr:
		switch {
		case x.Op == token.LAND:
			for name := range there(x.X) {
				out[name] = true
			}
			for name := range there(x.Y) {
				out[name] = true
			}
		case x.Op == token.NEQ && isNil(x.Y):
			out[types.ExprString(x.X)] = true
		}
	case *ast.CallExpr: // errors.Is(err, ...), fault.Is(err, ...), passing(err), os.IsNotExist(err)
		for _, arg := range x.Args {
			if id, ok := arg.(*ast.Ident); ok {
				out[id.Name] = true
			}
		}
	}
	return out
}

// absent returns the names of errors that are there if a condition does not hold: err == nil, or an alternative
// that is that.
func absent(x ast.Expr) (names []string) {
	if b, ok := x.(*ast.BinaryExpr); ok {
		switch {
		case b.Op == token.LOR:
			return append(absent(b.X), absent(b.Y)...)
		case b.Op == token.EQL && isNil(b.Y):
			return []string{types.ExprString(b.X)}
		}
	}
	return nil
}
