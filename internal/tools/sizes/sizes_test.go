package main

import (
	"flag"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/taskiam/taskiam/internal/racetest"
)

const document = "../../../docs/dependencies.md"

// maxSize is what the stripped program may weigh.
const maxSize = 45_000_000

var update = flag.Bool("update", false, "write the table into docs/dependencies.md")

func TestSizes(t *testing.T) {
	t.Parallel()
	racetest.Skip(t, "it builds the program without -race")
	r, err := measure()
	if err != nil {
		t.Fatal(err)
	}
	if r.total > maxSize {
		t.Errorf("the stripped program has %d bytes, more than %d: see what grew by make sizes", r.total, maxSize)
	}
	if *update {
		if err := run(document, nil); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), tableBegin)
	table, _, ok := strings.Cut(table, tableEnd)
	if !ok {
		t.Fatal("docs/dependencies.md has no table of sizes")
	}
	compare(t, r, table)
}

// compare holds a table against what was measured. It need not be of today: what it says is to be about right.
func compare(t *testing.T, r report, table string) {
	t.Helper()
	total := regexp.MustCompile(`linux/amd64 has ([0-9.]+) MB`).FindStringSubmatch(table)
	if total == nil {
		t.Fatal("the table says nothing of the whole program")
	}
	if said, err := strconv.ParseFloat(total[1], 64); err != nil || !near(int(said*1e6), r.total, 10, 0) {
		t.Errorf("the table says %s MB, and it is %s MB: make sizes", total[1], megabytes(r.total))
	}
	said := map[string][2]int{}
	for _, m := range regexp.MustCompile(`(?m)^\| (\S+) \| (\d+) \| (\d+) \|$`).FindAllStringSubmatch(table, -1) {
		own, _ := strconv.Atoi(m[2])
		alone, _ := strconv.Atoi(m[3])
		said[m[1]] = [2]int{own * 1000, alone * 1000}
	}
	for _, w := range r.modules {
		s, ok := said[w.module]
		delete(said, w.module)
		if !ok {
			t.Errorf("the table does not have %s: make sizes", w.module)
		} else if !near(s[0], w.own, 5, 100_000) || !near(s[1], w.alone, 5, 100_000) {
			t.Errorf("%s has %d bytes, %d with what only it needs, and the table says %d and %d: make sizes",
				w.module, w.own, w.alone, s[0], s[1])
		}
	}
	for module := range said {
		t.Errorf("the table has %s, which the program does not link: make sizes", module)
	}
}

// near reports whether two sizes are about the same: they differ by less than one part in so many, or by little.
func near(said, is, parts, little int) bool {
	apart := max(said-is, is-said)
	return apart <= little || apart*parts < is
}

func TestPackageOf(t *testing.T) {
	t.Parallel()
	for symbol, want := range map[string]string{
		"github.com/urfave/cli/v2.(*App).Run":       "github.com/urfave/cli/v2",
		"github.com/urfave/cli/v2.(*App).Run.func1": "github.com/urfave/cli/v2",
		"net/http.init":                "net/http",
		"main.main":                    "main",
		"gopkg.in/yaml%2ev3.Unmarshal": "gopkg.in/yaml.v3",
		"slices.SortFunc[go.shape.[]github.com/google/x.T,go.shape.int]": "slices",
		"type:.eq.github.com/urfave/cli/v2.Args":                         "github.com/urfave/cli/v2",
		"type:.eq.[2]github.com/urfave/cli/v2.Args":                      "github.com/urfave/cli/v2",
		"go:itab.*github.com/urfave/cli/v2.App,io.Writer":                "github.com/urfave/cli/v2",
		"go:string.*":      "",
		"runtime.pclntab":  "",
		"go:func.*":        "",
		"_rt0_amd64_linux": "",
	} {
		if got := packageOf(symbol); got != want {
			t.Errorf("%s: got %q, want %q", symbol, got, want)
		}
	}
}

// What nothing else needs goes with a module; what something else needs too stays.
func TestWeigh(t *testing.T) {
	t.Parallel()
	type module = struct {
		Path     string
		Main     bool
		Indirect bool
	}
	ours, a, b, c := &module{Path: "x", Main: true}, &module{Path: "a"}, &module{Path: "b"}, &module{Path: "c", Indirect: true}
	graph := map[string]listed{
		program:  {ImportPath: program, Module: ours, Imports: []string{"a", "b"}},
		"a":      {ImportPath: "a", Module: a, Imports: []string{"c", "c/both"}},
		"b":      {ImportPath: "b", Module: b, Imports: []string{"c/both"}},
		"c":      {ImportPath: "c", Module: c},
		"c/both": {ImportPath: "c/both", Module: c},
	}
	r := weigh(graph, 1000, map[string]int{"main": 100, "a": 20, "b": 30, "c": 40, "c/both": 50})
	if r.ours != 100 || r.unnamed != 760 || len(r.modules) != 2 ||
		r.modules[0] != (weight{"a", 20, 60}) || r.modules[1] != (weight{"b", 30, 30}) {
		t.Errorf("got %+v", r)
	}
}
