// Command mutants shows that the tests can fail. It builds the packages again with one
// defect each, by go test's overlay and so without touching a file, runs the tests that
// should notice, and expects them to.
//
// A mutant is a few replacements in the text of one file, each of which must fit exactly
// once. Where the source has moved on, where the mutant does not compile, or where the
// tests fail without it, the command says so and fails.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
)

// mutant is one defect.
type mutant struct {
	name string
	file string // from the module's root
	// edits are pairs of what stands there and what stands there instead.
	edits [][2]string
	tests []string // packages
}

const lifecycle = "./internal/lifecycle"

var mutants = []mutant{
	{
		name: "down does not disable the account", file: "internal/lifecycle/down.go",
		edits: [][2]string{{"\t\t\td.disable(ctx, d.account)\n", ""}},
		tests: []string{lifecycle},
	},
	{
		name: "policies are written without their etag", file: "internal/grants/policy.go",
		edits: [][2]string{{
			"o.set(\"version\", json.RawMessage(\"3\"))\n\t}\n",
			"o.set(\"version\", json.RawMessage(\"3\"))\n\t}\n\to.fields = slices.DeleteFunc(o.fields, func(f field) bool { return f.name == \"etag\" })\n",
		}},
		tests: []string{lifecycle},
	},
	{
		name: "the account is deleted before it is unbound", file: "internal/lifecycle/down.go",
		edits: [][2]string{
			{
				"unbound := d.unbindAll(ctx, slices.DeleteFunc(slices.Clone(names), proving))\n",
				"unbound := func() bool { return d.unbindAll(ctx, slices.DeleteFunc(slices.Clone(names), proving))() }\n",
			},
			{"clean := unbound() && readable\n", "clean := readable\n"},
			{
				"\tif clean && missing == nil {\n\t\td.check(",
				"\tclean = unbound() && clean\n\tif clean && missing == nil {\n\t\td.check(",
			},
		},
		tests: []string{lifecycle},
	},
	{
		name: "bindings are matched by role only", file: "internal/grants/policy.go",
		edits: [][2]string{{"return b.role == role && b.condition == c }", "_ = c; return b.role == role }"}},
		tests: []string{lifecycle},
	},
	{
		name: "the journal is not fsynced", file: "internal/journal/journal.go",
		edits: [][2]string{{"\treturn f.Sync()\n", "\treturn nil\n"}},
		tests: []string{lifecycle},
	},
	{
		name: "the journal's account is believed without its unique id and mark", file: "internal/lifecycle/down.go",
		edits: [][2]string{{
			"\t\tswitch {\n\t\tcase live.Email != t.email,\n\t\t\tt.uid != \"\" && live.UniqueID != t.uid,\n\t\t\t!marked || mark.Run != t.run:\n",
			"\t\t_, _ = mark, marked\n\t\tswitch {\n\t\tcase false:\n",
		}},
		tests: []string{lifecycle},
	},
	{
		name: "conditions are said to have survived without a look", file: "internal/lifecycle/bind.go",
		edits: [][2]string{{
			"func survived(stored grants.Document, edit grants.Edit) error {\n",
			"func survived(stored grants.Document, edit grants.Edit) error {\n\tif len(edit.Bindings) > 0 {\n\t\treturn nil\n\t}\n",
		}},
		tests: []string{lifecycle},
	},
	{
		name: "sweep deletes accounts without a complete search", file: "internal/lifecycle/sweep.go",
		edits: [][2]string{{"complete := o.journal != nil || len(o.target.resources) > 0\n", "complete := true\n"}},
		tests: []string{lifecycle},
	},
	{
		name: "sweep takes an account for a run's by its id, without the mark", file: "internal/lifecycle/sweep.go",
		edits: [][2]string{{
			"\t\tmark, ours := markOf(a, project)\n",
			"\t\tmark, ours := markOf(a, project)\n\t\tif run, is := grants.RunOf(a.Email, project); is && !ours {\n\t\t\tmark, ours = grants.Mark{Run: run}, true\n\t\t}\n",
		}},
		tests: []string{lifecycle},
	},
	{
		name: "sweep tells what is over by the machine's clock", file: "internal/lifecycle/sweep.go",
		edits: [][2]string{{"return !s.Cloud.Clock().Before(", "return !s.Now().Before("}},
		tests: []string{lifecycle},
	},
	{
		name: "a search that was not complete is as good for a deleted account", file: "internal/lifecycle/down.go",
		edits: [][2]string{{"\t} else if missing != nil {\n", "\t} else if false {\n"}},
		tests: []string{lifecycle},
	},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	dir, err := os.MkdirTemp("", "taskiam-mutants-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	// A red test says something only if it is green without the mutant.
	if output, err := test(ctx, "", lifecycle); err != nil {
		return fmt.Errorf("testing the source as it is: %w\n%s", err, output)
	}
	survived := 0
	for _, m := range mutants {
		overlay, err := m.write(dir)
		if err != nil {
			return fmt.Errorf("making the mutant %q: %w", m.name, err)
		}
		if output, err := goTest(ctx, append([]string{"-overlay", overlay, "-run", "^$"}, m.tests...)...); err != nil {
			return fmt.Errorf("compiling the mutant %q: %w\n%s", m.name, err, output)
		}
		output, err := test(ctx, overlay, m.tests...)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err == nil {
			survived++
			fmt.Fprintf(out, "SURVIVED  %s\n", m.name)
			continue
		}
		fmt.Fprintf(out, "caught    %s, by %s\n", m.name, failure(output))
	}
	fmt.Fprintf(out, "%d mutants, %d survived\n", len(mutants), survived)
	if survived > 0 {
		return errors.New("the tests do not notice everything")
	}
	return nil
}

// test runs the tests of packages, one after the other until one fails.
func test(ctx context.Context, overlay string, packages ...string) (output []byte, err error) {
	for _, p := range packages {
		args := []string{"-count=1", "-failfast", "-timeout=10m"}
		if overlay != "" {
			args = append(args, "-overlay", overlay)
		}
		args = append(args, p)
		if output, err = goTest(ctx, args...); err != nil {
			return output, err
		}
	}
	return output, nil
}

func goTest(ctx context.Context, args ...string) ([]byte, error) {
	return exec.CommandContext(ctx, "go", append([]string{"test"}, args...)...).CombinedOutput()
}

// failure names the first test that failed.
func failure(output []byte) string {
	for line := range strings.Lines(string(output)) {
		if name, ok := strings.CutPrefix(line, "--- FAIL: "); ok {
			name, _, _ = strings.Cut(name, " ")
			return name
		}
	}
	return "a test binary that did not end well"
}

// write writes the mutant's file and the overlay that puts it in place.
func (m mutant) write(dir string) (overlay string, err error) {
	path, err := filepath.Abs(m.file)
	if err != nil {
		return "", err
	}
	source, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	text := string(source)
	for _, e := range m.edits {
		if n := strings.Count(text, e[0]); n != 1 {
			return "", fmt.Errorf("%s has this %d times, and not once:\n%s", m.file, n, e[0])
		}
		text = strings.Replace(text, e[0], e[1], 1)
	}
	mutated := filepath.Join(dir, "mutated.go")
	if err := os.WriteFile(mutated, []byte(text), 0o600); err != nil {
		return "", err
	}
	raw, err := json.Marshal(map[string]any{"Replace": map[string]string{path: mutated}})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, raw, 0o600)
}
