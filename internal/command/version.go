package command

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/urfave/cli/v2"
)

// Build says which build of a program this is. Its fields are those of view.Version, which says what they mean: a
// program that is too small for that package prints this one.
type Build struct {
	Schema   string `json:"schema"`
	Version  string `json:"version"`
	Revision string `json:"revision"`
	Time     string `json:"time"`
	Modified bool   `json:"modified"`
	Build    string `json:"build"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// build is "release" in the files of a release: goreleaser sets it when it links them.
var build = ""

// ReadBuild returns the build of this program, as Go has noted it in the binary.
func ReadBuild() Build {
	info, _ := debug.ReadBuildInfo()
	return buildOf(info, build)
}

// buildOf returns the build that Go has written into the program; info is nil if it has not.
func buildOf(info *debug.BuildInfo, build string) Build {
	b := Build{
		Schema: "taskiam.version/v1", Version: "(devel)", Build: build,
		Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	if info == nil {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	switch {
	case b.Build != "":
	case b.Revision == "" && info.Main.Sum != "": // go install MODULE@VERSION knows the sum, and no checkout
		b.Build = "module"
	default:
		b.Build = "source"
	}
	return b
}

// String is the line that people read.
func (v Build) String() string { return fmt.Sprintf("taskiam %s %s %s", v.Version, v.Go, v.Platform) }

// Version declares the command that prints which build this is. run prints it, as JSON if that was asked for.
func Version(run func(ctx context.Context, asJSON bool) error) *cli.Command {
	return &cli.Command{
		Name:      "version",
		Usage:     "print the version",
		UsageText: "taskiam version --json",
		Flags:     []cli.Flag{&cli.BoolFlag{Name: "json", Usage: "print a JSON document"}},
		Action: Action(func(c *cli.Context) (bool, error) {
			return c.Bool("json"), NoArguments(c)
		}, run),
	}
}
