// Command taskiam-inside is the client of taskiam's for sandboxes: one small file that needs nothing else, which is
// installed there as taskiam.
package main

import (
	"context"
	"os"

	"github.com/taskiam/taskiam/internal/inside"
)

func main() {
	os.Exit(inside.Main(context.Background(), os.Args,
		inside.Process{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Environ: os.Environ()}))
}
