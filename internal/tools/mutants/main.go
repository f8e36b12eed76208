// Command mutants shows that the tests can fail. It builds packages again with one
// defect each, by go test's overlay and so without touching a file, runs the tests that
// should notice, and expects them to.
//
// A mutant is a few replacements in the text of one file, each of which must fit exactly
// once, and the tests that are to notice, by name. The command fails where the source has
// moved on, where a mutant does not compile, where a test is not there or fails without
// the mutant, and where something else ends the tests than one that fails.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// atOnce is how many mutants are built and tested side by side. Their tests use more
// than one processor, their builds less.
const atOnce = 2

// mutant is one defect.
type mutant struct {
	name string
	file string // from the module's root
	// edits are pairs of what stands there and what stands there instead.
	edits [][2]string
	pkg   string   // of the tests, from the module's root
	tests []string // that are to notice, at least one of them
}

const lifecycle = "internal/lifecycle"

var mutants = []mutant{
	{
		name: "down does not disable the account", file: "internal/lifecycle/down.go",
		edits: [][2]string{{"\t\t\td.disable(ctx, d.account)\n", ""}},
		pkg:   lifecycle, tests: []string{"TestDownGoesInOrder"},
	},
	{
		name: "policies are written without their etag", file: "internal/policy/policy.go",
		edits: [][2]string{{
			"o.set(\"version\", json.RawMessage(\"3\"))\n\t}\n",
			"o.set(\"version\", json.RawMessage(\"3\"))\n\t}\n\to.fields = slices.DeleteFunc(o.fields, func(f field) bool { return f.name == \"etag\" })\n",
		}},
		pkg: lifecycle, tests: []string{"TestNeighbourBetweenReadAndWrite"},
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
		pkg: lifecycle, tests: []string{"TestAccountOutlastsItsBindings", "TestDownGoesInOrder"},
	},
	{
		name: "bindings are matched by role only", file: "internal/policy/policy.go",
		edits: [][2]string{{"return b.role == role && b.condition == c }", "_ = c; return b.role == role }"}},
		pkg:   lifecycle, tests: []string{"TestEndsByItself"},
	},
	{
		name: "the journal is not fsynced", file: "internal/journal/journal.go",
		edits: [][2]string{{"\treturn f.Sync()\n", "\treturn nil\n"}},
		pkg:   lifecycle, tests: []string{"TestPowerLostAtEveryDiskOperation"},
	},
	{
		name: "the journal's account is believed without its unique id and mark", file: "internal/lifecycle/down.go",
		edits: [][2]string{{
			"\t\tswitch {\n\t\tcase live.Email != t.email,\n\t\t\tt.uid != \"\" && live.UniqueID != t.uid,\n\t\t\t!marked || mark.Run != t.run:\n",
			"\t\t_, _ = mark, marked\n\t\tswitch {\n\t\tcase false:\n",
		}},
		pkg: lifecycle, tests: []string{"TestAccountOfTheSameNameIsNotTouched"},
	},
	{
		name: "conditions are said to have survived without a look", file: "internal/lifecycle/bind.go",
		edits: [][2]string{{
			"func survived(stored policy.Document, edit grants.Edit) error {\n",
			"func survived(stored policy.Document, edit grants.Edit) error {\n\tif len(edit.Bindings) > 0 {\n\t\treturn nil\n\t}\n",
		}},
		pkg: lifecycle, tests: []string{"TestDroppedConditionIsUndone"},
	},
	{
		name: "sweep deletes accounts without a complete search", file: "internal/lifecycle/sweep.go",
		edits: [][2]string{{"complete := o.journal != nil || len(o.target.resources) > 0\n", "complete := true\n"}},
		pkg:   lifecycle, tests: []string{"TestSweepThatMayNotSearch"},
	},
	{
		name: "sweep takes an account for a run's by its id, without the mark", file: "internal/lifecycle/sweep.go",
		edits: [][2]string{{
			"\t\tmark, ours := markOf(a, project)\n",
			"\t\tmark, ours := markOf(a, project)\n\t\tif run, is := grants.RunOf(a.Email, project); is && !ours {\n\t\t\tmark, ours = grants.Mark{Run: run}, true\n\t\t}\n",
		}},
		pkg: lifecycle, tests: []string{"TestSweepLeavesLookAlikesAlone"},
	},
	{
		name: "sweep tells what is over by the machine's clock", file: "internal/lifecycle/sweep.go",
		edits: [][2]string{{"return !s.Cloud.Clock().Before(", "return !s.Now().Before("}},
		pkg:   lifecycle, tests: []string{"TestSweepByTheCloudsClock"},
	},
	{
		name: "a search that was not complete is as good for a deleted account", file: "internal/lifecycle/down.go",
		edits: [][2]string{{"\t} else if missing != nil {\n", "\t} else if false {\n"}},
		pkg:   lifecycle, tests: []string{"TestDeletedAccountMayBeNamedElsewhere"},
	},
	{
		name: "the metadata server answers what was forwarded", file: "internal/metadata/metadata.go",
		edits: [][2]string{{"if r.Header[\"X-Forwarded-For\"] != nil || ", "if "}},
		pkg:   "internal/metadata", tests: []string{"TestRefusals"},
	},
	{
		name: "the metadata server of a sandbox answers strangers", file: "internal/isolate/peer.go",
		edits: [][2]string{{"if err == nil && !held {\n", "if err != nil && !held {\n"}},
		pkg:   "internal/isolate", tests: []string{"TestOnlyFrom"},
	},
	{
		name: "a key outlives its run", file: "internal/credentials/key.go",
		edits: [][2]string{{"NotAfter:              notAfter,\n", "NotAfter:              notAfter.AddDate(10, 0, 0),\n"}},
		pkg:   lifecycle, tests: []string{"TestUpThenDownLeavesNothing", "TestEndsByItself"},
	},
	{
		name: "a renewal forgets the account's mark", file: "internal/lifecycle/renew.go",
		edits: [][2]string{{"x.account.UniqueID, x.mark(x.expires)); err != nil", "x.account.UniqueID, x.account.Description); err != nil"}},
		pkg:   lifecycle, tests: []string{"TestRenew"},
	},
	{
		name: "a token is asked for as long as Google gives one, whenever the run ends", file: "internal/lifecycle/up.go",
		edits: [][2]string{{"lifetime := min(u.plan.Expires.Sub(u.Cloud.Clock()), lifetime)\n", "lifetime := max(lifetime, grants.TokenLifetime)\n"}},
		pkg:   lifecycle, tests: []string{"TestTokenEndsWithAShortRun"},
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
	if err := sound(ctx, dir); err != nil {
		return fmt.Errorf("testing the source as it is: %w", err)
	}
	caught := make([]string, len(mutants)) // by which test
	done := make([]chan struct{}, len(mutants))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(1 + atOnce)
	for i := range done {
		done[i] = make(chan struct{})
	}
	g.Go(func() error { // they are told in their order
		for i, m := range mutants {
			select {
			case <-done[i]:
			case <-ctx.Done():
				return nil
			}
			if caught[i] == "" {
				fmt.Fprintf(out, "SURVIVED  %s\n", m.name)
			} else {
				fmt.Fprintf(out, "caught    %s, by %s\n", m.name, caught[i])
			}
		}
		return nil
	})
	for i, m := range mutants {
		g.Go(func() (err error) {
			caught[i], err = m.play(ctx, filepath.Join(dir, fmt.Sprint(i)))
			if err != nil {
				return fmt.Errorf("the mutant %q: %w", m.name, err)
			}
			close(done[i])
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	survived := 0
	for _, by := range caught {
		if by == "" {
			survived++
		}
	}
	fmt.Fprintf(out, "%d mutants, %d survived\n", len(mutants), survived)
	if survived > 0 {
		return errors.New("the tests do not notice everything")
	}
	return nil
}

// sound returns an error unless every test that is to notice a mutant is there, and
// passes without one.
func sound(ctx context.Context, dir string) error {
	wanted := map[string][]string{}
	for _, m := range mutants {
		wanted[m.pkg] = append(wanted[m.pkg], m.tests...)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for pkg, tests := range wanted {
		g.Go(func() error {
			binary := filepath.Join(dir, filepath.Base(pkg)+".test")
			if err := build(ctx, pkg, binary); err != nil {
				return err
			}
			slices.Sort(tests)
			tests = slices.Compact(tests)
			output, err := test(ctx, pkg, binary, tests)
			if err != nil {
				return fmt.Errorf("%s: %w\n%s", pkg, err, output)
			}
			for _, name := range tests {
				if !bytes.Contains(output, []byte("--- PASS: "+name+" ")) {
					return fmt.Errorf("%s: %s did not pass\n%s", pkg, name, output)
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// play builds the mutant in a folder of its own and runs its tests. It returns the one
// that caught it; "" if none did.
func (m mutant) play(ctx context.Context, dir string) (caught string, err error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	overlay, err := m.write(dir)
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "mutated.test")
	if err := build(ctx, m.pkg, binary, "-overlay", overlay); err != nil {
		return "", err
	}
	defer os.Remove(binary)
	output, err := test(ctx, m.pkg, binary, m.tests)
	if err == nil {
		return "", nil
	}
	for line := range strings.Lines(string(output)) {
		if failed, ok := strings.CutPrefix(line, "--- FAIL: "); ok {
			name, _, _ := strings.Cut(failed, " ")
			if slices.Contains(m.tests, name) {
				return name, nil
			}
		}
	}
	return "", fmt.Errorf("its tests ended, but none of them failed: %w\n%s", err, output)
}

// build builds the test binary of a package.
func build(ctx context.Context, pkg, binary string, flags ...string) error {
	args := append([]string{"test", "-c", "-o", binary}, append(flags, "./"+pkg)...)
	if output, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("compiling the tests of %s: %w\n%s", pkg, err, output)
	}
	return nil
}

// test runs tests of a package until one fails.
func test(ctx context.Context, pkg, binary string, names []string) (output []byte, err error) {
	path, err := filepath.Abs(binary)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, path, "-test.v", "-test.failfast", "-test.timeout="+patience.String(),
		"-test.run=^("+strings.Join(names, "|")+")$")
	cmd.Dir = filepath.FromSlash(pkg)
	return cmd.CombinedOutput()
}

// patience is how long a mutant's tests may take. One that makes them hang has not been
// noticed by them.
const patience = 3 * time.Minute

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
