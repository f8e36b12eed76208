package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// edit replaces a piece of one declaration. It names the declaration and not the file,
// and compares tokens and not text, so it survives code that moves or is formatted anew.
type edit struct {
	pkg    string // from the module's root
	symbol string // "name", or "Type.method"
	// find must fit exactly once. $name stands for any one identifier, the same wherever
	// it is repeated. An empty find is the beginning of a function's body.
	find string
	with string // may use what $name stands for
}

// tree is Go source by path: what was read of the disk and then edited.
type tree map[string]string

// apply carries the edit out and returns the file that it changed.
func (t tree) apply(e edit) (path string, err error) {
	path, from, to, err := t.declaration(e.pkg, e.symbol)
	if err != nil {
		return "", err
	}
	text := t[path]
	if e.find == "" {
		t[path] = text[:from.body] + e.with + text[from.body:]
		return path, nil
	}
	found := search(tokens(text[from.start:to]), tokens(e.find))
	if len(found) != 1 {
		return "", fmt.Errorf("%s %s has this %d times, and not once:\n%s", e.pkg, e.symbol, len(found), e.find)
	}
	m := found[0]
	with := variable.ReplaceAllStringFunc(e.with, func(name string) string {
		if value, ok := m.names[name]; ok {
			return value
		}
		return name
	})
	t[path] = text[:from.start+m.start] + with + text[from.start+m.end:]
	return path, nil
}

// begin is where a declaration begins, and its body.
type begin struct{ start, body int }

// declaration finds the one declaration of a name in the code of a package.
func (t tree) declaration(pkg, symbol string) (path string, from begin, to int, err error) {
	files, err := filepath.Glob(filepath.Join(pkg, "*.go"))
	if err != nil {
		return "", begin{}, 0, err
	}
	found := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		if _, read := t[file]; !read {
			text, err := os.ReadFile(file)
			if err != nil {
				return "", begin{}, 0, err
			}
			t[file] = string(text)
		}
		fset := token.NewFileSet()
		parsed, err := parser.ParseFile(fset, file, t[file], parser.SkipObjectResolution)
		if err != nil {
			return "", begin{}, 0, err
		}
		for _, d := range parsed.Decls {
			if slices.Contains(names(d), symbol) {
				found++
				path, to = file, fset.Position(d.End()).Offset
				from.start = fset.Position(d.Pos()).Offset
				if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
					from.body = fset.Position(f.Body.Lbrace).Offset + 1
				}
			}
		}
	}
	if found != 1 {
		return "", begin{}, 0, fmt.Errorf("%s declares %s %d times, and not once", pkg, symbol, found)
	}
	return path, from, to, nil
}

// names returns what a declaration declares.
func names(d ast.Decl) []string {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			return []string{d.Name.Name}
		}
		recv := d.Recv.List[0].Type
		if star, ok := recv.(*ast.StarExpr); ok {
			recv = star.X
		}
		if generic, ok := recv.(*ast.IndexExpr); ok {
			recv = generic.X
		}
		if name, ok := recv.(*ast.Ident); ok {
			return []string{name.Name + "." + d.Name.Name}
		}
	case *ast.GenDecl:
		var all []string
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				all = append(all, s.Name.Name)
			case *ast.ValueSpec:
				for _, name := range s.Names {
					all = append(all, name.Name)
				}
			}
		}
		return all
	}
	return nil
}

// lexeme is one token, and where it stands in its text.
type lexeme struct {
	text       string
	start, end int
	identifier bool
}

var variable = regexp.MustCompile(`\$\w+`)

// tokens splits source into its tokens. Comments, line ends and the comma that stands
// before one are left out.
func tokens(source string) []lexeme {
	file := token.NewFileSet().AddFile("", -1, len(source))
	var s scanner.Scanner
	s.Init(file, []byte(source), func(token.Position, string) {}, 0) // $ is no Go
	var out []lexeme
	for {
		pos, kind, text := s.Scan()
		if kind == token.EOF {
			return out
		}
		if kind == token.SEMICOLON && text == "\n" {
			continue
		}
		if text == "" {
			text = kind.String()
		}
		l := lexeme{text: text, start: file.Offset(pos), identifier: kind == token.IDENT}
		l.end = l.start + len(text)
		if n := len(out); n > 0 {
			last := out[n-1]
			switch {
			case last.text == "," && (kind == token.RPAREN || kind == token.RBRACE || kind == token.RBRACK):
				out = out[:n-1]
			case last.text == "$" && l.identifier && last.end == l.start:
				out[n-1] = lexeme{text: "$" + text, start: last.start, end: l.end}
				continue
			}
		}
		out = append(out, l)
	}
}

// match is where a pattern fits, and what its variables stand for there.
type match struct {
	start, end int
	names      map[string]string
}

// search returns every place where a pattern fits.
func search(source, pattern []lexeme) []match {
	var found []match
	for i := 0; i+len(pattern) <= len(source); i++ {
		bound := map[string]string{}
		fits := func(got, want lexeme) bool {
			if !strings.HasPrefix(want.text, "$") {
				return got.text == want.text
			}
			if _, ok := bound[want.text]; !ok && got.identifier {
				bound[want.text] = got.text
			}
			return bound[want.text] == got.text
		}
		if slices.EqualFunc(source[i:i+len(pattern)], pattern, fits) {
			found = append(found, match{source[i].start, source[i+len(pattern)-1].end, bound})
		}
	}
	return found
}
