package cli

import (
	"context"
	"runtime"
	"runtime/debug"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/view"
)

type versionOptions struct {
	json bool
}

func newVersionCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name:      "version",
		Usage:     "print the version",
		UsageText: "taskiam version --json",
		Flags:     []cli.Flag{newJSONFlag()},
		Action: action(parseVersion, func(ctx context.Context, o versionOptions) error {
			return runVersion(ctx, e, o)
		}),
	}
}

func parseVersion(c *cli.Context) (versionOptions, error) {
	return versionOptions{json: c.Bool(flagJSON)}, noArguments(c)
}

func runVersion(_ context.Context, e *Env, o versionOptions) error {
	doc := view.Version{
		Schema: "taskiam.version/v1", Version: "(devel)",
		Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		if info.Main.Version != "" {
			doc.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				doc.Revision = s.Value
			case "vcs.modified":
				doc.Modified = s.Value == "true"
			}
		}
	}
	return e.print(doc, o.json)
}

func newJSONFlag() cli.Flag {
	return &cli.BoolFlag{Name: flagJSON, Usage: "print a JSON document"}
}

func newQuietFlag() cli.Flag {
	return &cli.BoolFlag{Name: flagQuiet, Aliases: []string{"q"}, Usage: "do not report progress"}
}
