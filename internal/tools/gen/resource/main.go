// Command resource writes the table of resource types that package resource embeds, and the page
// of the manual that lists them. The same input gives the same bytes.
package main

import (
	"fmt"
	"os"

	"github.com/taskiam/taskiam/internal/tools/gen"
)

func main() {
	err := gen.Write(os.Args[1:], map[string]func() ([]byte, error){
		"types.txt":    typeTable,
		"resources.md": page, // of the table that this program was built with
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "gen/resource:", err)
		os.Exit(1)
	}
}
