package arch

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What documents say of the tree is held against the tree.

// The map in CONTRIBUTING.md names every package once, and says of each whether it is pure.
func TestMapOfPackages(t *testing.T) {
	t.Parallel()
	onMap, packages := map[string]bool{}, list(t)
	for name := range packages {
		onMap[mapped(name)] = true
	}
	_, text, _ := strings.Cut(read(t, "CONTRIBUTING.md"), "## Where things are\n")
	text, _, _ = strings.Cut(text, "\n## ")
	on := map[string]bool{}
	for line := range strings.Lines(text) {
		name, what, ok := strings.Cut(strings.TrimPrefix(line, "    "), "/ ")
		if !strings.HasPrefix(line, "    ") || !ok || strings.HasPrefix(name, " ") {
			continue
		}
		on[name] = true
		if _, inside := packages[name]; !inside && !onMap[name] {
			t.Errorf("CONTRIBUTING.md has %s on its map, which is not there", name)
		}
		if marked := strings.Contains(what, "(pure)"); marked != slices.Contains(pure, name) {
			t.Errorf("CONTRIBUTING.md says of %s that being pure is %v", name, marked)
		}
	}
	for name := range onMap {
		if !on[name] {
			t.Errorf("CONTRIBUTING.md has no %s on its map", name)
		}
	}
}

// mapped is what a reader looks for by name: a folder at the top, or below internal or cmd.
func mapped(pkg string) string {
	parts := strings.Split(pkg, "/")
	if parts[0] == "internal" || parts[0] == "cmd" {
		return strings.Join(parts[:2], "/")
	}
	return parts[0]
}

// make fuzz finds the fuzzers by itself: there is no list that could lack one.
func TestEveryFuzzerIsRun(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("make", "-s", "--no-print-directory", "fuzzers")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Skipf("make is not here: %v", err)
	}
	got := strings.Split(strings.TrimSpace(string(out)), "\n")
	var want []string
	for _, file := range tree(t) {
		if !strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, file), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Fuzz") {
				want = append(want, "./"+path.Dir(file)+" "+fn.Name.Name)
			}
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("make fuzz runs\n%s\nand the fuzzers are\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Every direct dependency has its reason in docs/dependencies.md: in the first table if
// code of the program or the public emulator imports it, in the second if only tests,
// tools or the demo do.
func TestEveryDependencyHasItsReason(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "mod", "edit", "-json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
		Tool []struct{ Path string }
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	tool := func(path string) bool {
		return slices.ContainsFunc(mod.Tool, func(t struct{ Path string }) bool { return strings.HasPrefix(t.Path, path+"/") })
	}
	var direct []string
	for _, r := range mod.Require {
		if !r.Indirect || tool(r.Path) {
			direct = append(direct, r.Path)
		}
	}
	needed := map[string]bool{} // by the program
	for _, file := range sources(t) {
		if strings.HasPrefix(file.pkg, "internal/tools/") || file.pkg == "internal/demo" {
			continue
		}
		for _, imp := range file.ast.Imports {
			for _, module := range direct {
				if strings.HasPrefix(strings.Trim(imp.Path.Value, `"`)+"/", module+"/") {
					needed[module] = true
				}
			}
		}
	}
	program, others, _ := strings.Cut(read(t, "docs/dependencies.md"), "\nFor tests")
	inProgram, inOthers := rows(program), rows(others)
	for _, module := range direct {
		switch {
		case needed[module] && !inProgram[module]:
			t.Errorf("docs/dependencies.md does not say why the program needs %s", module)
		case !needed[module] && !inOthers[module]:
			t.Errorf("docs/dependencies.md does not say why tests or tools need %s, or the program needs it no more", module)
		}
	}
	for module := range maps.Keys(inProgram) {
		if !needed[module] {
			t.Errorf("docs/dependencies.md says that the program needs %s, which it does not", module)
		}
	}
	for module := range maps.Keys(inOthers) {
		if needed[module] || !slices.Contains(direct, module) {
			t.Errorf("docs/dependencies.md says that only tests and tools need %s, which is not so", module)
		}
	}
}

// The program is built with CGO_ENABLED=0, so nothing in it is C.
func TestNothingIsC(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		for _, imp := range s.ast.Imports {
			if imp.Path.Value == `"C"` {
				t.Errorf("%s imports C", s.path)
			}
		}
	}
}

// rows are the first cells of the tables in a text.
func rows(text string) map[string]bool {
	all := map[string]bool{}
	for line := range strings.Lines(text) {
		if cells := strings.Split(line, "|"); len(cells) == 4 {
			all[strings.TrimSpace(cells[1])] = true
		}
	}
	delete(all, "module")
	delete(all, "---")
	return all
}

// README.md leads to every document.
func TestReadmeListsTheDocuments(t *testing.T) {
	t.Parallel()
	_, more, _ := strings.Cut(read(t, "README.md"), "\n## More\n")
	listed := map[string]bool{}
	for _, l := range link.FindAllStringSubmatch(more, -1) {
		listed[l[1]] = true
	}
	for _, file := range tree(t) {
		if ok, _ := path.Match("docs/*.md", file); ok && !listed[file] {
			t.Errorf("README.md does not list %s under More", file)
		}
	}
}

var (
	link = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	code = regexp.MustCompile("(?s)```.*?```|`[^`\n]*`")
)

// Links in documents lead to files and headings that are there.
func TestLinksResolve(t *testing.T) {
	t.Parallel()
	for _, file := range documents(t) {
		for _, l := range link.FindAllStringSubmatch(code.ReplaceAllString(read(t, file), ""), -1) {
			if strings.Contains(l[1], "://") {
				continue
			}
			target, heading, _ := strings.Cut(l[1], "#")
			to := file
			if target != "" {
				to = path.Join(path.Dir(file), target)
			}
			if _, err := os.Stat(filepath.Join(root, to)); err != nil {
				t.Errorf("%s: %s leads nowhere", file, l[1])
			} else if heading != "" && !headings(read(t, to))[heading] {
				t.Errorf("%s: %s has no heading #%s", file, to, heading)
			}
		}
	}
}

// headings returns the anchors that a document's headings get.
func headings(text string) map[string]bool {
	all := map[string]bool{}
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			continue
		}
		anchor := strings.ToLower(strings.TrimSpace(strings.TrimLeft(line, "#")))
		anchor = regexp.MustCompile(`[^\pL\pN _-]`).ReplaceAllString(anchor, "")
		all[strings.ReplaceAll(anchor, " ", "-")] = true
	}
	return all
}

// What documents name is there: packages and files of the repository, tests, and targets
// of make.
func TestWhatDocumentsNameIsThere(t *testing.T) {
	t.Parallel()
	var tests, targets strings.Builder
	for _, file := range tree(t) {
		if strings.HasSuffix(file, "_test.go") {
			tests.WriteString(read(t, file))
		}
	}
	for line := range strings.Lines(read(t, "Makefile")) {
		if name, _, ok := strings.Cut(line, ":"); ok {
			targets.WriteString(" " + name + " ")
		}
	}
	var (
		aTest   = regexp.MustCompile(`\bTest[A-Z]\w*`)
		aTarget = regexp.MustCompile("`make ([a-z-]+)|(?m)^    make ([a-z-]+)")
		aPath   = regexp.MustCompile(`(?:^|[\s` + "`" + `(])(?:\./)?((?:internal|cmd|emulator|docs|ci|tasks)/[\w./-]*\w)`)
	)
	for _, file := range documents(t) {
		if file == "CHANGELOG.md" {
			continue // it tells what was
		}
		text := read(t, file)
		for _, name := range aTest.FindAllString(text, -1) {
			if !strings.Contains(tests.String(), "func "+name) {
				t.Errorf("%s names %s, which is no test", file, name)
			}
		}
		for _, m := range aTarget.FindAllStringSubmatch(text, -1) {
			if name := m[1] + m[2]; !strings.Contains(targets.String(), " "+name+" ") {
				t.Errorf("%s names make %s, which is no target", file, name)
			}
		}
		for _, m := range aPath.FindAllStringSubmatch(text, -1) {
			if found, _ := filepath.Glob(filepath.Join(root, m[1]) + "*"); len(found) == 0 {
				t.Errorf("%s names %s, which is not there", file, m[1])
			}
		}
	}
}

// documents are the texts for people.
func documents(t *testing.T) []string {
	t.Helper()
	return slices.DeleteFunc(tree(t), func(file string) bool {
		return !strings.HasSuffix(file, ".md") || strings.Contains(file, "/testdata/")
	})
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
