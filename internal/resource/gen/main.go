// Gen writes the table of resource types that package resource embeds, and the page of
// the manual that lists them. It reads the discovery documents that come with the Go
// module of Google's API clients, and says the same bytes whenever those say the same.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("gen", flag.ContinueOnError)
	dir := flags.String("C", ".", "the folder of package resource")
	if err := flags.Parse(args); err != nil {
		return err
	}
	for _, name := range flags.Args() {
		var out []byte
		var err error
		switch filepath.Base(name) {
		case "types.txt":
			var module string
			if module, err = apiModule(*dir); err == nil {
				out, err = typeTable(module)
			}
		case "resources.md": // of the table that this program was built with
			out = page()
		default:
			err = errors.New("nobody knows how to make it")
		}
		if err != nil {
			return fmt.Errorf("making %s: %w", name, err)
		}
		if err := os.WriteFile(filepath.Join(*dir, name), out, 0o644); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	return nil
}

// apiModule returns the folder of google.golang.org/api, at the version that the
// module of dir requires.
func apiModule(dir string) (string, error) {
	cmd := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "google.golang.org/api")
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			err = errors.New(strings.TrimSpace(string(exit.Stderr)))
		}
		return "", fmt.Errorf("finding google.golang.org/api: %w", err)
	}
	module := strings.TrimSpace(string(out))
	if module == "" {
		return "", errors.New("finding google.golang.org/api: it is not on this disk (go mod download)")
	}
	return module, nil
}
