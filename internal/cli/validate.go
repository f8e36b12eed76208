package cli

import (
	"context"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/manifest"
	"github.com/taskiam/taskiam/internal/view"
)

type validateOptions struct {
	files  []string
	maxTTL time.Duration
	json   bool
}

func newValidateCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name:  "validate",
		Usage: "check manifests, without a login and without any call",
		UsageText: `taskiam validate task.toml
taskiam validate --json tasks/*.toml     # for editors and CI`,
		ArgsUsage: "FILE ...",
		Description: `Reports everything that is wrong with the files, each with its line and column.
The exit code is 2 if there is anything. Whether resources and roles exist, and what
the access opens, is for plan.`,
		Flags: []cli.Flag{newMaxTTLFlag(), newJSONFlag()},
		Action: action(
			func(c *cli.Context) (validateOptions, error) { return parseValidate(c, e.Getenv) },
			func(ctx context.Context, o validateOptions) error { return runValidate(ctx, e, o) }),
	}
}

func parseValidate(c *cli.Context, getenv func(string) string) (validateOptions, error) {
	o := validateOptions{json: c.Bool(flagJSON)}
	var err error
	if o.files, err = someFiles(c); err != nil {
		return o, err
	}
	o.maxTTL, err = parseMaxTTL(c, getenv)
	return o, err
}

// someFiles returns the positional arguments, which are manifests.
func someFiles(c *cli.Context) ([]string, error) {
	w := words(c)
	if len(w) == 0 {
		return nil, usage(c, "the manifest is missing")
	}
	for _, file := range w {
		if file == "" {
			return nil, usage(c, "the manifest's name is empty")
		}
	}
	return w, nil
}

func runValidate(_ context.Context, e *Env, o validateOptions) error {
	doc := view.Validation{Schema: "taskiam.validation/v1", Files: o.files, Problems: []view.Problem{}}
	var errs []error
	for _, file := range o.files {
		_, err := e.load(file, manifest.Limits{MaxTTL: o.maxTTL, Now: e.Now()})
		if err == nil {
			continue
		}
		errs = append(errs, err)
		problems := view.NewProblems(err)
		if len(problems) == 0 {
			problems = []view.Problem{{File: file, Message: err.Error()}}
		}
		doc.Problems = append(doc.Problems, problems...)
	}
	doc.OK = len(errs) == 0
	if err := e.print(doc, o.json); err != nil {
		return err
	}
	if doc.OK {
		return nil
	}
	if o.json {
		return &exitError{code: exitUsage}
	}
	for _, err := range errs {
		view.Error(e.Stderr, err)
	}
	return &exitError{code: exitUsage}
}

func newSchemaCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name:      "schema",
		Usage:     "print the JSON Schema of manifests, for editors",
		UsageText: "taskiam schema > manifest.schema.json",
		Description: `Editors that know TOML find it by the first line of a manifest, "#:schema URL", which
init writes.`,
		Action: action(
			func(c *cli.Context) (struct{}, error) { return struct{}{}, noArguments(c) },
			func(context.Context, struct{}) error {
				text, err := manifest.Schema()
				if err != nil {
					return err
				}
				return view.RawJSON(e.Stdout, text)
			}),
	}
}
