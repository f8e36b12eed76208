package cli

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/internal/fault"
)

// TestExitCodesAreDocumented holds the constants and the table for people together.
func TestExitCodesAreDocumented(t *testing.T) {
	t.Parallel()
	f, err := parser.ParseFile(token.NewFileSet(), "exit.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var constants []int
	ast.Inspect(f, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if typ, ok := v.Type.(*ast.Ident); ok && typ.Name == "exitCode" {
			code, err := strconv.Atoi(v.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Errorf("%s: %v", v.Names[0], err)
			}
			constants = append(constants, code)
		}
		return true
	})
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "exit-codes.md"))
	if err != nil {
		t.Fatal(err)
	}
	var documented []int
	for _, m := range regexp.MustCompile(`(?m)^\| (\d+) \| .+ \|$`).FindAllStringSubmatch(string(doc), -1) {
		code, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		documented = append(documented, code)
	}
	if len(constants) == 0 {
		t.Fatal("exit.go has no constants")
	}
	if d := cmp.Diff(constants, documented); d != "" {
		t.Errorf("docs/exit-codes.md and exit.go disagree (-code +doc):\n%s", d)
	}
	if !slices.IsSorted(documented) {
		t.Error("the table is not in order")
	}
}

func TestCodeOf(t *testing.T) {
	t.Parallel()
	for kind, want := range map[fault.Kind]exitCode{
		fault.Other: exitFailure, fault.Usage: exitUsage, fault.Unauthenticated: exitDenied, fault.Denied: exitDenied,
		fault.NotFound: exitFailure, fault.Exists: exitConflict, fault.Conflict: exitConflict, fault.Precondition: exitFailure,
		fault.Invalid: exitFailure, fault.Throttled: exitFailure, fault.Unavailable: exitFailure, fault.Locked: exitConflict,
		fault.Incomplete: exitIncomplete, fault.NotReady: exitNotReady,
	} {
		if got := codeOf(fault.New(kind, "x")); got != want {
			t.Errorf("a %s ends with %d, want %d", kind, got, want)
		}
	}
	if got := codeOf(nil); got != exitOK {
		t.Errorf("success ends with %d", got)
	}
	if got := codeOf(fault.WithHint(&exitError{code: 42}, "x")); got != 42 {
		t.Errorf("CMD's 42 became %d", got)
	}
}
