// Command taskiam gives each run of a task an identity of its own in Google Cloud,
// with the access that its manifest declares and no more, for as long as it runs.
package main

import (
	"context"
	"os"

	"github.com/taskiam/taskiam/internal/cli"
)

func main() { os.Exit(cli.Main(context.Background(), os.Args, cli.OS())) }
