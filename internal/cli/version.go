package cli

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/command"
	"github.com/taskiam/taskiam/internal/view"
)

func newVersionCmd(e *Env) *cli.Command {
	return command.Version(func(_ context.Context, asJSON bool) error {
		return e.print(view.Version(command.ReadBuild()), asJSON)
	})
}

func newJSONFlag() cli.Flag {
	return &cli.BoolFlag{Name: flagJSON, Usage: "print a JSON document"}
}

func newQuietFlag() cli.Flag {
	return &cli.BoolFlag{Name: flagQuiet, Aliases: []string{"q"}, Usage: "do not report progress"}
}
