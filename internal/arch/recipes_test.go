package arch

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/taskiam/taskiam/internal/racetest"
)

// The recipes of CONTRIBUTING.md, by their headings: each has a worked example in
// testdata/recipes.
var recipes = map[string]string{
	"command":  "How to add a command",
	"delivery": "How to add a delivery",
	"finding":  "How to add a finding",
	"service":  "How to add an emulator service",
	"state":    "How to add a state backend",
}

// A recipe is few steps, and what its example changes builds, keeps the law and passes the tests
// that the example brings. An example is an archive of new files, and of lines to insert: a file
// is called
//
//	PATH after "TEXT"
//	PATH before "TEXT"
//
// if its lines go behind or before the one line of PATH that has that text.
func TestRecipes(t *testing.T) {
	t.Parallel()
	if os.Getenv("TASKIAM_RECIPES") != "" {
		t.Skip("this is the copy that TestRecipes made: it would copy itself again")
	}
	racetest.Skip(t, "it builds the program once more")
	dir := t.TempDir()
	for _, file := range tree(t) {
		data, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, file), data)
	}
	touched, tested := map[string]bool{}, map[string]bool{"./internal/arch": true}
	for _, name := range slices.Sorted(maps.Keys(recipes)) {
		steps(t, recipes[name])
		example, err := txtar.ParseFile(filepath.Join("testdata", "recipes", name+".txtar"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range example.Files {
			file, inserted := insert(t, dir, f)
			if !inserted {
				write(t, filepath.Join(dir, file), f.Data)
			}
			switch dir := "./" + path.Dir(file); {
			case strings.HasSuffix(file, "_test.go") && !inserted:
				tested[dir] = true
			case strings.HasSuffix(file, ".go") && !strings.HasSuffix(file, "_test.go"):
				touched[dir] = true
			}
		}
	}
	if t.Failed() {
		return
	}
	// As make check builds the tests: then what the recipes leave alone is built already.
	flags := []string{"-trimpath", "-tags=urfave_cli_no_docs"}
	packages := slices.Sorted(maps.Keys(touched))
	for _, args := range [][]string{
		append([]string{"gofmt", "-l"}, packages...),
		slices.Concat([]string{"go", "build"}, flags, packages),
		slices.Concat([]string{"go", "test", "-timeout=5m"}, flags, slices.Sorted(maps.Keys(tested))),
	} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "TASKIAM_RECIPES=1")
		out, err := cmd.CombinedOutput()
		if err != nil || args[0] == "gofmt" && len(out) > 0 {
			t.Errorf("%s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

var place = regexp.MustCompile(`^(\S+) (after|before) (".*")$`)

// insert puts the lines of an archive's file where its name says, if it says so.
func insert(t *testing.T, dir string, f txtar.File) (file string, inserted bool) {
	t.Helper()
	m := place.FindStringSubmatch(f.Name)
	if m == nil {
		return f.Name, false
	}
	at, err := strconv.Unquote(m[3])
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, m[1]))
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(data, []byte(at)); n != 1 {
		t.Fatalf("%s has %q %d times, and not once: the example of a recipe is out of date", m[1], at, n)
	}
	here := bytes.Index(data, []byte(at))
	if m[2] == "before" {
		here = bytes.LastIndexByte(data[:here], '\n') + 1
	} else {
		here += bytes.IndexByte(data[here:], '\n') + 1
	}
	write(t, filepath.Join(dir, m[1]), slices.Concat(data[:here], f.Data, data[here:]))
	return m[1], true
}

// steps checks that CONTRIBUTING.md has a recipe, of five steps at most.
func steps(t *testing.T, heading string) {
	t.Helper()
	_, text, ok := strings.Cut(read(t, "CONTRIBUTING.md"), "## "+heading+"\n")
	if !ok {
		t.Errorf("CONTRIBUTING.md does not say %q", heading)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	n := len(regexp.MustCompile(`(?m)^[0-9]+\. `).FindAllString(text, -1))
	if n == 0 || n > 5 {
		t.Errorf("%q has %d steps in CONTRIBUTING.md, want one to five", heading, n)
	}
}

func write(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
}
