// Command architecture draws the pictures in docs/architecture.md: the packages, as layers of
// packages that import only what is below them, and the ways of a manifest, a token and a
// journal through them. What imports what it asks go list; the ways are a table (ways.go)
// that names types and functions, each of which has to be there.
package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"github.com/taskiam/taskiam/internal/tools/gen"
)

//go:generate go run . ../../../../docs/architecture.md

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: architecture PAGE")
		os.Exit(1)
	}
	err := gen.Write(os.Args[1:], map[string]func() ([]byte, error){
		"architecture.md": func() ([]byte, error) { return page(os.Args[1]) },
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "gen/architecture:", err)
		os.Exit(1)
	}
}

// page returns the page with its pictures drawn anew. The rest of it is written by hand.
func page(path string) ([]byte, error) {
	old, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pkgs, err := list()
	if err != nil {
		return nil, err
	}
	ways, err := drawWays(pkgs)
	if err != nil {
		return nil, err
	}
	for _, picture := range []struct{ name, text string }{
		{"program", drawRooms(pkgs, inProgram)},
		{"emulator", drawRooms(pkgs, inEmulator)},
		{"tools", drawRooms(pkgs, inTools)},
		{"ways", ways},
	} {
		if old, err = replace(old, picture.name, picture.text); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return old, nil
}

// replace puts text between the marks of a picture.
func replace(page []byte, name, text string) ([]byte, error) {
	begin := []byte("<!-- " + name + ": made by go generate ./internal/tools/gen/architecture -->\n")
	end := []byte("<!-- end -->\n")
	before, rest, ok := bytes.Cut(page, begin)
	if !ok {
		return nil, fmt.Errorf("the page has no mark %q", bytes.TrimSpace(begin))
	}
	_, after, ok := bytes.Cut(rest, end)
	if !ok {
		return nil, fmt.Errorf("the picture %s has no end", name)
	}
	drawn := "```text\n" + strings.TrimRight(text, "\n") + "\n```\n"
	return bytes.Join([][]byte{before, begin, []byte(drawn), end, after}, nil), nil
}
