package cli

import (
	"context"
	"runtime"
	"runtime/debug"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/view"
)

// build is "release" in the files of a release: goreleaser sets it when it links them.
var build = ""

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
	info, _ := debug.ReadBuildInfo()
	return e.print(versionOf(info, build), o.json)
}

// versionOf returns the version that Go has written into the program; info is nil if it has not.
func versionOf(info *debug.BuildInfo, build string) view.Version {
	doc := view.Version{
		Schema: "taskiam.version/v1", Version: "(devel)", Build: build,
		Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	if info == nil {
		return doc
	}
	if info.Main.Version != "" {
		doc.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			doc.Revision = s.Value
		case "vcs.time":
			doc.Time = s.Value
		case "vcs.modified":
			doc.Modified = s.Value == "true"
		}
	}
	switch {
	case doc.Build != "":
	case doc.Revision == "" && info.Main.Sum != "": // go install MODULE@VERSION knows the sum, and no checkout
		doc.Build = view.BuildModule
	default:
		doc.Build = view.BuildSource
	}
	return doc
}

func newJSONFlag() cli.Flag {
	return &cli.BoolFlag{Name: flagJSON, Usage: "print a JSON document"}
}

func newQuietFlag() cli.Flag {
	return &cli.BoolFlag{Name: flagQuiet, Aliases: []string{"q"}, Usage: "do not report progress"}
}
