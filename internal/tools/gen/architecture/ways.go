package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
)

// way is what happens to one thing, station by station.
type way struct {
	name     string
	stations []station
}

// station is one package on a way.
type station struct {
	pkg string // "" for what is outside of the program
	// by is the function, method or type that does it, or what is outside.
	by   string
	what string
	then string // what goes on to the next station
}

var ways = []way{
	{"A manifest, from its bytes to bindings", []station{
		{"", "task.toml", "", "bytes"},
		{"internal/manifest", "Parse", "reads it, or reports every mistake at its place", "grants.Task"},
		{"internal/grants", "NewPlan", "names the account, and the binding for each policy", "grants.Plan"},
		{"internal/review", "Findings", "judges every grant; what stops it ends the way here", "the same plan"},
		{"internal/lifecycle", "Engine.Up", "announces each step in the journal and takes it", "policy.Binding"},
		{"internal/policy", "Decode", "reads the policy, for one edit of it", "the edited document"},
		{"internal/gcp", "Client.TryWritePolicy", "writes it with its etag; after a conflict it is read again", ""},
	}},
	{"A token, from Google to the task's command", []station{
		{"internal/gcp", "Client.ScopedAccessToken", "mints it for the run's account, as the operator", "grants.Token"},
		{"internal/credentials", "Minter.AccessToken", "keeps it, and asks again in good time", "grants.Token"},
		{"internal/metadata", "Server.ServeHTTP", "answers who asks by Compute Engine's protocol", "HTTP"},
		{"internal/supervise", "Sandbox.Guard", "lets in nobody but the task's own processes", "HTTP"},
		{"", "the command", "uses it until the run ends; it is in no file", ""},
	}},
	{"A journal, from the first step to the receipt", []station{
		{"internal/lifecycle", "Engine.Up", "says what it is about to do, then does it", "journal.Record"},
		{"internal/journal", "Journal.Append", "makes it last before the effect that it announces", "RUN.jsonl"},
		{"internal/journal", "Store.Open", "reads it again, in whatever process comes next", "journal.Run"},
		{"internal/lifecycle", "Engine.Down", "takes away what it names, and checks; no manifest", "journal.Closed"},
		{"internal/view", "NewReceipt", "renders what was granted, taken away and checked", ""},
	}},
}

// drawWays draws every way, and refuses one that names what is not there.
func drawWays(pkgs map[string]pkg) (string, error) {
	longest := 0
	for _, w := range ways {
		for _, s := range w.stations {
			longest = max(longest, len(s.label()))
		}
	}
	var b strings.Builder
	for i, w := range ways {
		if i > 0 {
			b.WriteString("\n\n")
		}
		b.WriteString(strings.ToUpper(w.name) + "\n\n")
		for _, s := range w.stations {
			if s.pkg != "" {
				if err := declared(pkgs, s.pkg, s.by); err != nil {
					return "", fmt.Errorf("the way of %s: %w", w.name, err)
				}
			}
			b.WriteString(strings.TrimRight(fmt.Sprintf("  %-*s  %s", longest, s.label(), s.what), " ") + "\n")
			if s.then != "" {
				fmt.Fprintf(&b, "    |  %s\n    v\n", s.then)
			}
		}
	}
	return b.String(), nil
}

func (s station) label() string {
	if s.pkg == "" {
		return s.by
	}
	return label(s.pkg) + ": " + s.by
}

// declared returns an error unless a package declares a name, which may be Type.method.
func declared(pkgs map[string]pkg, path, name string) error {
	p, ok := pkgs[path]
	if !ok {
		return fmt.Errorf("there is no package %s", path)
	}
	for _, file := range p.GoFiles {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, d := range f.Decls {
			if declares(d, name) {
				return nil
			}
		}
	}
	return fmt.Errorf("%s has no %s", path, name)
}

func declares(d ast.Decl, name string) bool {
	typ, method, isMethod := strings.Cut(name, ".")
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			return !isMethod && d.Name.Name == name
		}
		recv := d.Recv.List[0].Type
		if star, ok := recv.(*ast.StarExpr); ok {
			recv = star.X
		}
		id, ok := recv.(*ast.Ident)
		return ok && isMethod && id.Name == typ && d.Name.Name == method
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			if s, ok := spec.(*ast.TypeSpec); ok && s.Name.Name == typ && (!isMethod || asks(s.Type, method)) {
				return true
			}
		}
	}
	return false
}

// asks reports whether a type is an interface with a method.
func asks(typ ast.Expr, method string) bool {
	in, ok := typ.(*ast.InterfaceType)
	return ok && slices.ContainsFunc(in.Methods.List, func(f *ast.Field) bool {
		return slices.ContainsFunc(f.Names, func(id *ast.Ident) bool { return id.Name == method })
	})
}
