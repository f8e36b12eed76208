package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"slices"
	"strings"
)

const module = "github.com/taskiam/taskiam/"

// width is how wide a picture may be.
const width = 100

// pkg is one package of ours.
type pkg struct {
	ImportPath, Name, Dir string
	GoFiles, Imports      []string
}

// list returns our packages by their paths below the module, tests' own left out, with
// what they import of each other.
func list() (map[string]pkg, error) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Name,Dir,GoFiles,Imports", module+"...").Output()
	if err != nil {
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			err = errors.New(strings.TrimSpace(string(exit.Stderr)))
		}
		return nil, fmt.Errorf("listing packages: %w", err)
	}
	pkgs := map[string]pkg{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			return nil, err
		}
		if len(p.GoFiles) == 0 {
			continue
		}
		var ours []string
		for _, imp := range p.Imports {
			if path, ok := strings.CutPrefix(imp, module); ok {
				ours = append(ours, path)
			}
		}
		p.Imports = ours
		pkgs[strings.TrimPrefix(p.ImportPath, module)] = p
	}
	return pkgs, nil
}

func inTools(path string) bool { return strings.HasPrefix(path, "internal/tools/") }

func inEmulator(path string) bool { return strings.HasPrefix(path, "emulator/") || path == "emulator" }

func inProgram(path string) bool {
	return !inTools(path) && !strings.HasPrefix(path, "emulator/") && !strings.HasSuffix(path, "test")
}

// label is what a package is called in a picture.
func label(path string) string {
	for _, prefix := range []string{"internal/tools/", "internal/", "emulator/internal/"} {
		if name, ok := strings.CutPrefix(path, prefix); ok {
			return name
		}
	}
	return path
}

// drawRooms draws the packages that are chosen as layers, the highest first: a package is
// in the lowest layer that is above all that it imports. Below that, it has the arrows:
// what each package imports of ours.
func drawRooms(pkgs map[string]pkg, chosen func(string) bool) string {
	var layers [][]string
	level := map[string]int{}
	var place func(path string) int
	place = func(path string) int {
		if n, ok := level[path]; ok {
			return n
		}
		n := 0
		for _, imp := range pkgs[path].Imports {
			if chosen(imp) {
				n = max(n, place(imp)+1)
			}
		}
		level[path] = n
		for len(layers) <= n {
			layers = append(layers, nil)
		}
		layers[n] = append(layers[n], path)
		return n
	}
	longest := 0
	for _, path := range slices.Sorted(maps.Keys(pkgs)) {
		if chosen(path) {
			place(path)
			longest = max(longest, len(label(path)))
		}
	}

	var b strings.Builder
	line := "+" + strings.Repeat("-", width-2) + "+\n"
	b.WriteString(line)
	for _, layer := range slices.Backward(layers) {
		slices.SortFunc(layer, func(a, b string) int { return strings.Compare(label(a), label(b)) })
		var names []string
		for _, path := range layer {
			names = append(names, label(path))
		}
		for _, row := range fill(names, "   ", width-4) {
			fmt.Fprintf(&b, "| %-*s |\n", width-4, row)
		}
		b.WriteString(line)
	}
	b.WriteString("\n")
	for _, layer := range slices.Backward(layers) {
		for _, path := range layer {
			var below []string
			for _, imp := range pkgs[path].Imports {
				if chosen(imp) || !strings.HasPrefix(imp, "emulator/") { // its packages have a picture of their own
					below = append(below, label(imp))
				}
			}
			if len(below) == 0 {
				continue
			}
			slices.Sort(below)
			for i, row := range fill(below, ", ", width-longest-4) {
				if i == 0 {
					fmt.Fprintf(&b, "%-*s -> %s\n", longest, label(path), row)
				} else {
					fmt.Fprintf(&b, "%-*s    %s\n", longest, "", row)
				}
			}
		}
	}
	return b.String()
}

// fill joins words to rows of at most so many columns.
func fill(words []string, between string, columns int) []string {
	var rows []string
	for i, w := range words {
		if i < len(words)-1 {
			w += strings.TrimRight(between, " ")
		}
		space := strings.Repeat(" ", len(between)-len(strings.TrimRight(between, " ")))
		if n := len(rows); n > 0 && len(rows[n-1])+len(space)+len(w) <= columns {
			rows[n-1] += space + w
			continue
		}
		rows = append(rows, w)
	}
	return rows
}
