// Command emulator writes the tables that the emulator embeds: the resource types that have an
// allow policy, the predefined roles, and BigQuery's discovery document. The same input
// gives the same bytes. It knows nothing of how the emulator works.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/taskiam/taskiam/internal/tools/gen"
)

func main() {
	list := flag.String("list", "", "the list of predefined roles, as JSON compressed by gzip")
	roles := flag.String("roles", "roles.txt", "the table of roles, which says what permissions there are")
	flag.Parse()
	if err := gen.Write(flag.Args(), makers(*list, *roles)); err != nil {
		fmt.Fprintln(os.Stderr, "gen/emulator:", err)
		os.Exit(1)
	}
}

// makers are how each table is made.
func makers(list, roles string) map[string]func() ([]byte, error) {
	return map[string]func() ([]byte, error){
		"roles.txt": func() ([]byte, error) {
			if _, err := os.Stat(list); errors.Is(err, os.ErrNotExist) {
				fmt.Fprintf(os.Stderr, "gen/emulator: there is no list of predefined roles at %q: roles.txt stays as "+
					"it is\n", list)
				return nil, nil
			}
			return roleTable(list)
		},
		"types.txt":               func() ([]byte, error) { return typeTable(roles) },
		"bigquery_discovery.json": bigqueryDocument,
	}
}
