// Package arch keeps the design's law, which says who may know whom: by the direct
// imports that go list shows, and by the syntax tree.
package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/taskiam/taskiam/"

// allowed is every edge between our packages. Tests may reach further.
var allowed = map[string][]string{
	"cmd/taskiam":            {"internal/cli"},
	"cmd/taskiam-inside":     {"internal/inside"},
	"emulator":               {"internal/secret"},
	"emulator/emulatortest":  {"emulator"},
	"emulator/evidence":      {"internal/lazy"},
	"emulator/internal/iam":  {"internal/lazy", "internal/secret"},
	"emulator/internal/wire": {"emulator/internal/iam", "internal/fault", "internal/lazy", "internal/secret"},
	"internal/app": {
		"emulator", "internal/audit", "internal/ci", "internal/credentials", "internal/delivery", "internal/egress",
		"internal/fault", "internal/gcp", "internal/grants", "internal/guard", "internal/isolate", "internal/journal",
		"internal/lazy", "internal/lifecycle", "internal/manifest", "internal/metadata", "internal/paths",
		"internal/resource", "internal/secret", "internal/shell", "internal/supervise", "internal/wait",
	},
	"internal/audit": {"internal/lazy", "internal/paths"},
	"internal/certify": {
		"emulator/evidence", "internal/app", "internal/credentials", "internal/fault", "internal/gcp", "internal/grants",
		"internal/journal", "internal/lazy", "internal/lifecycle", "internal/manifest", "internal/resource",
		"internal/secret", "internal/view", "internal/wait",
	},
	"internal/child": {},
	"internal/ci":    {"internal/fault", "internal/secret"},
	"internal/cli": {
		"emulator", "internal/app", "internal/certify", "internal/ci", "internal/command", "internal/credentials",
		"internal/delivery", "internal/demo", "internal/fault", "internal/gcloud", "internal/grants", "internal/isolate",
		"internal/journal", "internal/lifecycle", "internal/manifest", "internal/relay", "internal/resource",
		"internal/review", "internal/shell", "internal/supervise", "internal/view", "tasks",
	},
	"internal/command": {"internal/fault", "internal/relay", "internal/spelling"},
	"internal/credentials": {
		"internal/delivery", "internal/fault", "internal/grants", "internal/lazy", "internal/secret",
		"internal/shell", "internal/wait",
	},
	"internal/customrole": {
		"internal/fault", "internal/gcloud", "internal/gcp", "internal/grants", "internal/journal",
		"internal/policy", "internal/resource",
	},
	"internal/delivery": {"internal/grants", "internal/secret"},
	"internal/demo": {
		"emulator", "internal/app", "internal/credentials", "internal/delivery", "internal/journal",
		"internal/lifecycle", "internal/manifest", "internal/supervise", "internal/view", "tasks",
	},
	"internal/egress": {"internal/lazy", "internal/resource", "internal/secret"},
	"internal/fault":  {},
	"internal/gcloud": {
		"internal/grants", "internal/policy", "internal/resource", "internal/shell",
	},
	"internal/gcp": {
		"internal/fault", "internal/gcloud", "internal/grants", "internal/policy", "internal/resource",
		"internal/secret", "internal/wait",
	},
	"internal/grants":  {"internal/lazy", "internal/policy", "internal/resource", "internal/secret"},
	"internal/guard":   {"internal/delivery", "internal/grants", "internal/resource", "internal/visible"},
	"internal/inside":  {"internal/command", "internal/fault", "internal/relay", "internal/visible"},
	"internal/isolate": {"internal/child", "internal/fault", "internal/paths", "internal/relay"},
	"internal/journal": {"internal/fault", "internal/grants", "internal/lazy", "internal/policy", "internal/wait"},
	"internal/lazy":    {},
	"internal/lifecycle": {
		"internal/customrole", "internal/delivery", "internal/fault", "internal/gcloud", "internal/gcp",
		"internal/grants", "internal/journal", "internal/policy", "internal/resource", "internal/review",
		"internal/search", "internal/secret", "internal/spelling", "internal/surroundings", "internal/wait",
	},
	"internal/manifest": {
		"internal/delivery", "internal/fault", "internal/grants", "internal/lazy", "internal/resource",
		"internal/review", "internal/spelling", "internal/visible",
	},
	"internal/metadata": {"internal/fault", "internal/grants", "internal/secret"},
	"internal/paths":    {},
	"internal/policy":   {"internal/fault", "internal/lazy", "internal/resource"},
	"internal/relay":    {"internal/child", "internal/fault", "internal/wait"},
	"internal/resource": {"internal/lazy", "internal/spelling", "internal/visible"},
	"internal/review": {
		"internal/delivery", "internal/gcloud", "internal/grants", "internal/lazy", "internal/policy",
		"internal/resource", "internal/spelling", "internal/visible",
	},
	"internal/racetest": {},
	"internal/search": {
		"internal/fault", "internal/gcp", "internal/grants", "internal/policy", "internal/resource",
	},
	"internal/secret":   {},
	"internal/shell":    {},
	"internal/spelling": {},
	"internal/supervise": {
		"internal/child", "internal/credentials", "internal/delivery", "internal/egress", "internal/fault", "internal/grants",
		"internal/isolate", "internal/journal", "internal/metadata", "internal/paths", "internal/relay", "internal/secret",
		"internal/shell", "internal/visible",
		"internal/wait", "internal/worktree",
	},
	"internal/surroundings": {
		"internal/gcp", "internal/grants", "internal/policy", "internal/resource", "internal/review",
	},
	"internal/tools/bench": {
		"emulator", "internal/credentials", "internal/egress", "internal/fault", "internal/gcp", "internal/grants",
		"internal/metadata", "internal/policy", "internal/relay", "internal/resource", "internal/secret",
		"internal/tools/contest", "internal/wait",
	},
	"internal/tools/contest": {
		"internal/fault", "internal/gcp", "internal/policy", "internal/resource", "internal/wait",
	},
	"internal/tools/findings":         {"internal/grants", "internal/resource", "internal/review"},
	"internal/tools/gen":              {},
	"internal/tools/gen/architecture": {"internal/tools/gen"},
	"internal/tools/gen/emulator":     {"internal/tools/gen"},
	"internal/tools/gen/evidence":     {"emulator/evidence"},
	"internal/tools/gen/resource":     {"internal/resource", "internal/tools/gen"},
	"internal/tools/mutants":          {},
	"internal/tools/release":          {"internal/cli"},
	"internal/tools/sizes":            {},
	"internal/view": {
		"internal/customrole", "internal/delivery", "internal/fault", "internal/grants", "internal/guard",
		"internal/journal", "internal/lazy", "internal/lifecycle", "internal/manifest", "internal/policy",
		"internal/resource", "internal/review", "internal/visible", "internal/worktree",
	},
	"internal/visible":  {},
	"internal/wait":     {},
	"internal/worktree": {"internal/lazy"},
	"tasks":             {},
}

// The services of the emulator need no row: each may know IAM, the wire and the leaves, and
// no other service. The emulator itself lists them all.
const emulated = "emulator/internal/"

var serviceEdges = []string{
	"emulator/internal/iam", "emulator/internal/wire", "internal/fault", "internal/lazy", "internal/secret",
}

// pure packages take bytes, values and a now: none of these.
var (
	pure = []string{
		"internal/manifest", "internal/review", "internal/delivery", "internal/grants", "internal/policy",
		"internal/resource", "internal/gcloud", "internal/guard",
	}
	impureStd = []string{"os", "net", "net/http", "os/exec", "io/ioutil", "log", "log/slog", "crypto/rand", "math/rand", "math/rand/v2", "syscall"}
)

type pkg struct {
	ImportPath, Dir, Name string
	GoFiles, Imports      []string
}

// list returns our packages. The tests share what go list says.
func list(t *testing.T) map[string]pkg {
	t.Helper()
	pkgs, err := listed()
	if err != nil {
		t.Fatal(err)
	}
	return pkgs
}

var listed = sync.OnceValues(func() (map[string]pkg, error) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Dir,Name,GoFiles,Imports", module+"...").Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return nil, fmt.Errorf("go list: %w", err)
	}
	pkgs := map[string]pkg{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); err == io.EOF {
			return pkgs, nil
		} else if err != nil {
			return nil, err
		}
		if len(p.GoFiles) > 0 {
			pkgs[strings.TrimPrefix(p.ImportPath, module)] = p
		}
	}
})

func TestImportsRunOneWay(t *testing.T) {
	t.Parallel()
	pkgs := list(t)
	for name, p := range pkgs {
		edges, known := allowed[name]
		if !known && strings.HasPrefix(name, emulated) {
			edges, known = serviceEdges, true
		}
		if !known {
			// A test helper may know what the package that it serves knows.
			if parent, ok := strings.CutSuffix(name, "test"); ok {
				edges, known = append(slices.Clone(allowed[filepath.Dir(parent)]), filepath.Dir(name)), true
			}
		}
		if !known {
			t.Errorf("%s is not in the table of packages: add it, with the reason in the commit", name)
		}
		for _, imp := range p.Imports {
			ours, ok := strings.CutPrefix(imp, module)
			if name == "emulator" && strings.HasPrefix(ours, emulated) {
				continue
			}
			if ok && !slices.Contains(edges, ours) {
				t.Errorf("%s imports %s, which it must not know", name, ours)
			}
		}
	}
	for name := range allowed {
		if _, ok := pkgs[name]; !ok {
			t.Errorf("the table names %s, which is not there", name)
		}
	}
}

// The services of the emulator know IAM and the wire, never each other; the wire knows IAM;
// IAM knows neither, and no HTTP. Nothing of the emulator knows the rest but the leaves.
func TestTheEmulatorStandsAlone(t *testing.T) {
	t.Parallel()
	pkgs := list(t)
	if slices.Contains(pkgs[emulated+"iam"].Imports, "net/http") {
		t.Errorf("%siam imports net/http", emulated)
	}
	for name, p := range pkgs {
		if name != "emulator" && !strings.HasPrefix(name, "emulator/") {
			continue
		}
		for _, imp := range p.Imports {
			ours, ok := strings.CutPrefix(imp, module)
			switch inside := strings.HasPrefix(ours, "emulator"); {
			case !ok, ours == "internal/fault", ours == "internal/lazy", ours == "internal/secret":
			case !inside:
				t.Errorf("%s imports %s: it is to be an independent second opinion", name, ours)
			case name == emulated+"iam",
				name == emulated+"wire" && ours != emulated+"iam",
				strings.HasPrefix(name, emulated) && ours != emulated+"iam" && ours != emulated+"wire":
				t.Errorf("%s imports %s, which it must not know", name, ours)
			}
		}
	}
}

// The public emulator is for tests on Windows as well, and is compiled for it: what it needs of a Unix has another
// form in a file for Windows. go vet with GOOS=windows says more, and takes a minute.
func TestTheEmulatorIsForWindowsToo(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("go", "list", "-f", "{{.ImportPath}} {{.Imports}} {{.TestImports}} {{.XTestImports}}",
		module+"emulator/...")
	cmd.Env = append(os.Environ(), "GOOS=windows")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		name, imports, _ := strings.Cut(line, " ")
		for imp := range strings.FieldsSeq(strings.NewReplacer("[", " ", "]", " ").Replace(imports)) {
			if imp == "golang.org/x/sys/unix" || strings.HasPrefix(imp, "github.com/google/renameio/v2") {
				t.Errorf("for Windows, %s imports %s, which is not for it", name, imp)
			}
		}
	}
}

func TestPurePackagesReachNothing(t *testing.T) {
	t.Parallel()
	pkgs := list(t)
	for _, name := range pure {
		for _, imp := range pkgs[name].Imports {
			if slices.Contains(impureStd, imp) {
				t.Errorf("%s imports %s: it is to be pure", name, imp)
			}
		}
	}
}

// banned are imports that a package must not have, whatever else it may do: cli is flags,
// options and exit codes, and what opens sockets, starts processes or calls the system is
// elsewhere, where something else than the command line can use it.
var banned = map[string][]string{
	"internal/cli": {"golang.org/x/sys", "net", "net/http", "os/exec"},
}

func TestWhatIsBannedIsNotImported(t *testing.T) {
	t.Parallel()
	pkgs := list(t)
	for name, bans := range banned {
		for _, imp := range pkgs[name].Imports {
			if slices.ContainsFunc(bans, func(b string) bool { return imp == b || b != "net" && strings.HasPrefix(imp, b+"/") }) {
				t.Errorf("%s imports %s, which it must not", name, imp)
			}
		}
	}
}

// calls returns which of the names the files of a package have, as "file: x.name": pkg.name, the
// method or field of a variable or of a field, or *.name for whatever it is of.
func calls(t *testing.T, p pkg, names ...string) []string {
	t.Helper()
	var at []string
	fset := token.NewFileSet()
	for _, file := range p.GoFiles {
		f, err := parser.ParseFile(fset, filepath.Join(p.Dir, file), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			of := ""
			switch x := sel.X.(type) {
			case *ast.Ident:
				of = x.Name
			case *ast.SelectorExpr:
				of = x.Sel.Name
			}
			if name := of + "." + sel.Sel.Name; slices.Contains(names, name) || slices.Contains(names, "*."+sel.Sel.Name) {
				at = append(at, file+": "+name)
			}
			return true
		})
	}
	return at
}

func TestClockEnvironmentAndStreamsEnterFromOutside(t *testing.T) {
	t.Parallel()
	pkgs := list(t)
	for name, p := range pkgs {
		if slices.Contains(pure, name) || name == "internal/lifecycle" {
			if at := calls(t, p, "time.Now", "time.Since", "time.Until", "os.Getenv", "os.LookupEnv", "os.Environ"); len(at) > 0 {
				t.Errorf("%s reads the clock or the environment itself: %v", name, at)
			}
		}
		// racetest is for tests alone, which no command line tells what to play.
		if name != "internal/cli" && name != "internal/racetest" && p.Name != "main" {
			if at := calls(t, p, "os.Getenv", "os.LookupEnv", "os.Environ", "os.Stdout", "os.Stderr", "os.Exit",
				"fmt.Print", "fmt.Printf", "fmt.Println", "log.Fatal", "log.Fatalf"); len(at) > 0 {
				t.Errorf("%s prints, exits or reads the environment: %v", name, at)
			}
		}
		if at := calls(t, p, "time.Sleep"); len(at) > 0 {
			t.Errorf("%s sleeps for a fixed time: %v", name, at)
		}
	}
}

// TestNothingIsCompiledAtTheStart: every command would wait for every pattern of the program. Package lazy compiles a
// pattern when it is needed.
func TestNothingIsCompiledAtTheStart(t *testing.T) {
	t.Parallel()
	for name, p := range list(t) {
		if strings.HasPrefix(name, "internal/tools/") {
			continue
		}
		for _, file := range p.GoFiles {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.FuncDecl:
					return n.Name.Name == "init"
				case *ast.FuncLit:
					return false
				case *ast.SelectorExpr:
					if x, ok := n.X.(*ast.Ident); ok && x.Name == "regexp" && strings.Contains(n.Sel.Name, "Compile") {
						t.Errorf("%s/%s compiles a pattern at every start: use lazy.Regexp", name, file)
					}
				}
				return true
			})
		}
	}
}

// TestWhatIsPrintedIsEscaped: a stream of package view is no writer, so a command cannot print past it. What is
// behind a stream is taken out of it only for a run's command, and to ask whether it is a terminal.
func TestWhatIsPrintedIsEscaped(t *testing.T) {
	t.Parallel()
	raw := []string{
		"run.go: Stdout.Child", "run.go: Stderr.Child", "isolate.go: Stdout.Child", "isolate.go: Stderr.Child",
		"connect.go: Stdout.Child", "connect.go: Stderr.Child",
		"run_shell.go: Stdout.Child", // asked whether it is a terminal
		"env.go: os.Stdout", "env.go: os.Stderr",
	}
	for _, at := range calls(t, list(t)["internal/cli"],
		"fmt.Print", "fmt.Printf", "fmt.Println", "os.Stdout", "os.Stderr", "*.Child") {
		if !slices.Contains(raw, at) {
			t.Errorf("%s prints what package view has not made safe", at)
		}
	}
}

// TestOnePlaceChoosesTheStateBackend: whoever reads or writes journals asks [journal.Store], so
// that another backend is a package and a line.
func TestOnePlaceChoosesTheStateBackend(t *testing.T) {
	t.Parallel()
	for name, p := range list(t) {
		at := calls(t, p, "journal.OpenDir", "journal.Dir")
		if name == "internal/app" {
			at = slices.DeleteFunc(at, func(s string) bool { return strings.HasPrefix(s, "app.go:") })
		}
		if len(at) > 0 {
			t.Errorf("%s knows that journals are a folder: %v", name, at)
		}
	}
}

// TestOnePackageKnowsTheKindsOfDelivery: what a kind is like is asked of its value, so that a
// new one is a file and a line in package delivery.
func TestOnePackageKnowsTheKindsOfDelivery(t *testing.T) {
	t.Parallel()
	for name, p := range list(t) {
		if at := calls(t, p, "delivery.Key", "delivery.Token", "delivery.Metadata", "delivery.Proxy"); len(at) > 0 {
			t.Errorf("%s names a kind of delivery: %v", name, at)
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	t.Parallel()
	for name, p := range list(t) {
		documented := 0
		for _, file := range p.GoFiles {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if f.Doc != nil {
				documented++
			}
		}
		if documented != 1 {
			t.Errorf("%s has %d package comments, want one", name, documented)
		}
	}
}
