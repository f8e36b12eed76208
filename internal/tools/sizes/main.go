// Command sizes prints what each direct dependency adds to the stripped program, as docs/dependencies.md has it, and
// writes it there with -write.
//
// It builds the program with its symbols and gives each to the package that its name names. What the runtime's tables
// have of functions is spread by the size of their code. Types and texts that no symbol names are given to nobody.
package main

import (
	"bytes"
	"cmp"
	"debug/elf"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

const (
	program = "github.com/taskiam/taskiam/cmd/taskiam"
	tags    = "urfave_cli_no_docs"
)

func main() {
	write := flag.String("write", "", "put the table into this `FILE`, docs/dependencies.md")
	flag.Parse()
	if err := run(*write, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "sizes:", err)
		os.Exit(1)
	}
}

func run(into string, out io.Writer) error {
	r, err := measure()
	if err != nil {
		return err
	}
	if into == "" {
		_, err = io.WriteString(out, r.table())
		return err
	}
	old, err := os.ReadFile(into)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(old), tableBegin)
	_, after, closed := strings.Cut(rest, tableEnd)
	if !ok || !closed {
		return fmt.Errorf("%s has no place for the table, from %s to %s", into, tableBegin, tableEnd)
	}
	return os.WriteFile(into, []byte(before+tableBegin+r.table()+tableEnd+after), 0o644)
}

const (
	tableBegin = "<!-- sizes: made by make sizes -->\n"
	tableEnd   = "<!-- end -->\n"
)

// report is what the program weighs, in bytes.
type report struct {
	total   int // of the stripped program
	unnamed int // what no symbol gives to a package
	ours    int
	modules []weight
}

// weight is what one direct dependency adds.
type weight struct {
	module string
	own    int // its packages
	alone  int // these, and all that nothing else in the program needs: what would go with it
}

// listed is a package of the program.
type listed struct {
	ImportPath string
	Imports    []string
	ImportMap  map[string]string
	Module     *struct {
		Path     string
		Main     bool
		Indirect bool
	}
}

func measure() (report, error) {
	dir, err := os.MkdirTemp("", "taskiam-sizes-")
	if err != nil {
		return report{}, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "taskiam")
	// As it is released, but for the symbols.
	flags := []string{"build", "-trimpath", "-tags", tags, "-buildvcs=false", "-ldflags=-w", "-o", path, program}
	if _, err := output("go", flags...); err != nil {
		return report{}, err
	}
	graph, err := packages()
	if err != nil {
		return report{}, err
	}
	total, named, err := symbols(path)
	if err != nil {
		return report{}, err
	}
	return weigh(graph, total, named), nil
}

func output(name string, args ...string) ([]byte, error) {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=")
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		err = fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", name, strings.Join(args[:1], " "), err)
	}
	return out, nil
}

// packages returns all packages of the program by their paths.
func packages() (map[string]listed, error) {
	out, err := output("go", "list", "-deps", "-tags", tags, "-json=ImportPath,Imports,ImportMap,Module", program)
	if err != nil {
		return nil, err
	}
	graph := map[string]listed{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return graph, nil
		} else if err != nil {
			return nil, err
		}
		graph[p.ImportPath] = p
	}
}

// symbols returns the size of the program at path without its symbols, and how many bytes each package has in it. What
// belongs to none is that of "".
func symbols(path string) (total int, named map[string]int, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, nil, err
	}
	f, err := elf.Open(path)
	if err != nil {
		return 0, nil, err
	}
	defer f.Close()
	total = int(info.Size())
	for _, name := range []string{".symtab", ".strtab"} {
		if s := f.Section(name); s != nil {
			total -= int(s.FileSize)
		}
	}
	all, err := f.Symbols()
	if err != nil {
		return 0, nil, err
	}
	named, code := map[string]int{}, map[string]int{}
	text, sum := 0, 0
	for _, s := range all {
		if int(s.Section) >= len(f.Sections) || f.Sections[s.Section].Type == elf.SHT_NOBITS {
			continue
		}
		pkg := packageOf(s.Name)
		if pkg == "" {
			continue
		}
		named[pkg] += int(s.Size)
		sum += int(s.Size)
		if f.Sections[s.Section].Name == ".text" {
			code[pkg] += int(s.Size)
			text += int(s.Size)
		}
	}
	// The tables of functions: their names, lines and what is on their stacks.
	if tables := f.Section(".gopclntab"); tables != nil {
		for pkg, n := range code {
			share := int(float64(tables.FileSize) * float64(n) / float64(text))
			named[pkg] += share
			sum += share
		}
	}
	named[""] = total - sum
	return total, named, nil
}

// carriers are symbols that hold what many packages have.
var carriers = []string{
	"runtime.pclntab", "runtime.types", "runtime.rodata", "runtime.text", "runtime.etext", "runtime.gcdata",
	"runtime.findfunctab", "runtime.typelink", "runtime.itablink",
}

// packageOf returns the package that a symbol's name names; "" for none.
func packageOf(symbol string) string {
	if slices.Contains(carriers, symbol) {
		return ""
	}
	for _, prefix := range []string{"type:.eq.", "type:.hash.", "go:itab."} {
		if name, ok := strings.CutPrefix(symbol, prefix); ok {
			symbol = strings.TrimLeft(name, "*[]0123456789")
		}
	}
	symbol, _, _ = strings.Cut(symbol, ",")
	symbol, _, _ = strings.Cut(symbol, "[") // of what a generic function is made
	at := strings.LastIndexByte(symbol, '/') + 1
	dot := strings.IndexByte(symbol[at:], '.')
	if dot < 0 || strings.ContainsAny(symbol[:at+dot], ":( ") {
		return ""
	}
	return strings.ReplaceAll(symbol[:at+dot], "%2e", ".")
}

// weigh gives the bytes to the direct dependencies.
func weigh(graph map[string]listed, total int, named map[string]int) report {
	r := report{total: total}
	direct := map[string]bool{}
	for _, p := range graph {
		switch {
		case p.Module == nil:
		case p.Module.Main:
			r.ours += named[p.ImportPath]
		case !p.Module.Indirect:
			direct[p.Module.Path] = true
		}
	}
	known := 0
	for path := range graph {
		known += named[path]
	}
	r.unnamed = total - known - named["main"]
	r.ours += named["main"]
	for module := range direct {
		w := weight{module: module}
		without := reachable(graph, module)
		for path, p := range graph {
			if p.Module != nil && p.Module.Path == module {
				w.own += named[path]
			}
			if !without[path] {
				w.alone += named[path]
			}
		}
		r.modules = append(r.modules, w)
	}
	slices.SortFunc(r.modules, func(a, b weight) int {
		return cmp.Or(cmp.Compare(b.alone, a.alone), cmp.Compare(b.own, a.own), cmp.Compare(a.module, b.module))
	})
	return r
}

// reachable returns the packages that the program would have without a module.
func reachable(graph map[string]listed, without string) map[string]bool {
	seen := map[string]bool{}
	var visit func(path string)
	visit = func(path string) {
		p, ok := graph[path]
		if !ok || seen[path] || p.Module != nil && p.Module.Path == without {
			return
		}
		seen[path] = true
		for _, imp := range p.Imports {
			if vendored, ok := p.ImportMap[imp]; ok {
				imp = vendored
			}
			visit(imp)
		}
	}
	visit(program)
	visit("runtime") // every program has it
	return seen
}

func (r report) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "The stripped program for linux/amd64 has %s MB: %s MB are our own packages, and %s MB are "+
		"types,\ntexts and tables that no symbol gives to a package. The rest is below, in Go's library, and in\n"+
		"modules that several of these need.\n\n", megabytes(r.total), megabytes(r.ours), megabytes(r.unnamed))
	b.WriteString("| module | its packages, kB | with what nothing else needs, kB |\n|---|---:|---:|\n")
	for _, w := range r.modules {
		fmt.Fprintf(&b, "| %s | %d | %d |\n", w.module, w.own/1000, w.alone/1000)
	}
	return b.String()
}

func megabytes(n int) string { return fmt.Sprintf("%.1f", float64(n)/1e6) }
