// Command mutants shows that the tests can fail. It builds packages again with one
// defect each, by go test's overlay and so without touching a file, runs the tests that
// should notice, and expects them to.
//
// A mutant is a few edits, each of which names a declaration and must fit exactly once in
// it, and the tests that are to notice, by name. The command fails if an edit does not
// fit, if a mutant does not compile, if a test is missing or fails without the mutant, and
// if the tests end by anything but the failure of one that was named.
//
// An argument is a pattern: only mutants whose names it finds are played.
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
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// atOnce is how many mutants are built and tested side by side. Their tests use more
// than one processor, their builds less.
const atOnce = 2

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	wanted := ""
	if len(os.Args) > 1 {
		wanted = os.Args[1]
	}
	if err := run(ctx, wanted, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

// run plays the mutants whose names a pattern finds.
func run(ctx context.Context, wanted string, out io.Writer) error {
	pattern, err := regexp.Compile(wanted)
	if err != nil {
		return err
	}
	mutants := slices.DeleteFunc(slices.Clone(mutants), func(m mutant) bool { return !pattern.MatchString(m.name) })
	if len(mutants) == 0 {
		return fmt.Errorf("no mutant has a name with %q in it", wanted)
	}
	dir, err := os.MkdirTemp("", "taskiam-mutants-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	// A red test says something only if it is green without the mutant.
	if err := sound(ctx, mutants, dir); err != nil {
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
func sound(ctx context.Context, mutants []mutant, dir string) error {
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
	cmd := exec.CommandContext(ctx, path, "-test.v", "-test.failfast", "-test.timeout="+testTimeout.String(),
		"-test.run=^("+strings.Join(names, "|")+")$")
	cmd.Dir = filepath.FromSlash(pkg)
	return cmd.CombinedOutput()
}

// testTimeout is how long a mutant's tests may take. One that makes them hang has not been
// noticed by them.
const testTimeout = 3 * time.Minute

// write writes the files that the mutant changes, and the overlay that puts them in place.
func (m mutant) write(dir string) (overlay string, err error) {
	files, mutated := tree{}, map[string]string{}
	for _, e := range m.edits {
		path, err := files.apply(e)
		if err != nil {
			return "", err
		}
		mutated[path] = filepath.Join(dir, filepath.Base(path))
	}
	for path, to := range mutated {
		if err := os.WriteFile(to, []byte(files[path]), 0o600); err != nil {
			return "", err
		}
	}
	raw, err := json.Marshal(map[string]any{"Replace": mutated})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, raw, 0o600)
}
