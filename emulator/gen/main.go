// Gen writes the tables that the emulator embeds: the resource types that have an
// allow policy, the predefined roles, and BigQuery's discovery document. It reads
// what Google publishes, in the Go module of its API clients, and says the same
// bytes whenever that says the same. It knows nothing of how the emulator works.
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
	dir := flags.String("C", ".", "the folder of package emulator")
	list := flags.String("roles", "", "the list of predefined roles, as JSON compressed by gzip")
	if err := flags.Parse(args); err != nil {
		return err
	}
	apis, err := apiModule(*dir)
	if err != nil {
		return err
	}
	for _, name := range flags.Args() {
		var out []byte
		switch name {
		case "roles.txt":
			if _, err := os.Stat(*list); errors.Is(err, os.ErrNotExist) {
				fmt.Fprintf(os.Stderr, "gen: there is no list of predefined roles at %q: %s stays as it is\n", *list, name)
				continue
			}
			out, err = roleTable(*list)
		case "types.txt":
			out, err = typeTable(apis, *dir)
		case "bigquery_discovery.json":
			out, err = bigqueryDocument(apis)
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
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = errors.New(strings.TrimSpace(string(exit.Stderr)))
		}
		return "", fmt.Errorf("finding google.golang.org/api: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}
