// Command emulator writes the tables that the emulator embeds: the resource types that have an
// allow policy, the predefined roles, and BigQuery's discovery document. The same input
// gives the same bytes. It knows nothing of how the emulator works.
//
// The discovery documents come with the Go module of Google's API clients. The list of
// predefined roles is not on this disk: -list names a file with it, and without that the
// error says how to get one.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/taskiam/taskiam/internal/tools/gen"
)

func main() {
	list := flag.String("list", "", "`file` with Google's list of predefined roles, as JSON, by gzip or plain: "+
		"the pages of iam.roles.list with view=FULL, one after another")
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
		"roles.txt":               func() ([]byte, error) { return roleTable(list) },
		"types.txt":               func() ([]byte, error) { return typeTable(roles) },
		"bigquery_discovery.json": bigqueryDocument,
	}
}
