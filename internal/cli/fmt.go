package cli

import (
	"context"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/app"
	"github.com/taskiam/taskiam/internal/view"
)

type fmtOptions struct {
	files []string
	check bool
}

func newFmtCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name:  "fmt",
		Usage: "bring manifests into one layout",
		UsageText: `taskiam fmt task.toml
taskiam fmt --check tasks/*.toml                   # in CI
taskiam fmt - <task.toml | diff task.toml -        # what it would change`,
		ArgsUsage: "FILE ...",
		Description: `Rewrites the files in place and prints the names of those that it has changed. Comments,
values and their order stay. With - it reads standard input and writes standard output.
A file that is no TOML is reported with its line and column and left as it is.`,
		Flags: []cli.Flag{&cli.BoolFlag{
			Name: "check",
			Usage: "change nothing: print the names of files in another layout, and exit with 1 if there " +
				"are any",
		}},
		Action: action(parseFmt, func(ctx context.Context, o fmtOptions) error { return runFmt(ctx, e, o) }),
	}
}

func parseFmt(c *cli.Context) (fmtOptions, error) {
	o := fmtOptions{check: c.Bool("check")}
	var err error
	if o.files, err = someFiles(c); err != nil {
		return o, err
	}
	if len(o.files) > 1 && slices.Contains(o.files, app.StandardInput) {
		return o, usage(c, "standard input (%s) is formatted alone", app.StandardInput)
	}
	return o, nil
}

func runFmt(_ context.Context, e *Env, o fmtOptions) error {
	if o.files[0] == app.StandardInput && !o.check {
		text, _, err := app.Format(e.Stdin)
		if err != nil {
			return err
		}
		_, err = e.Stdout.Programs().Write(text)
		return err
	}
	var r view.Report
	code := exitOK
	for _, file := range o.files {
		changed, err := e.format(file, o.check)
		switch {
		case err != nil:
			// What is wrong with one is no reason to leave the others.
			view.Error(e.Stderr, err)
			code = max(code, codeOf(err))
		case changed:
			r.Line("%s", file)
			if o.check {
				code = max(code, exitFailure)
			}
		}
	}
	if err := r.Print(e.Stdout); err != nil || code == exitOK {
		return err
	}
	return &exitError{code: code}
}

// format formats one file, or only looks at it. Of standard input there is only that to see.
func (e *Env) format(file string, check bool) (changed bool, err error) {
	if file == app.StandardInput {
		_, changed, err = app.Format(e.Stdin)
		return changed, err
	}
	return app.FormatFile(file, check)
}
