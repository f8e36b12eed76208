package cli

import (
	"context"
	"errors"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/view"
)

type planOptions struct {
	taskOptions
	json, quiet     bool
	gcloud, verbose bool
}

func newPlanCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name:      "plan",
		Usage:     "show what up would create and bind; writes nothing",
		UsageText: "taskiam plan task.toml",
		ArgsUsage: "FILE",
		Description: `Checks the manifest, then asks the cloud what it would refuse, and what the account
would be able to do without being named anywhere.`,
		Flags: append([]cli.Flag{
			newJSONFlag(), newQuietFlag(),
			&cli.BoolFlag{Name: flagGcloud, Usage: "print what up would do as gcloud commands, to be run by hand"},
			&cli.BoolFlag{Name: flagVerbose, Usage: "print every permission by its name, and all that there is room for"},
		}, newTaskFlags()...),
		Action: action(
			func(c *cli.Context) (planOptions, error) { return parsePlan(c, e.Getenv) },
			func(ctx context.Context, o planOptions) error { return runPlan(ctx, e, o) }),
	}
}

func parsePlan(c *cli.Context, getenv func(string) string) (planOptions, error) {
	o := planOptions{json: c.Bool(flagJSON), quiet: c.Bool(flagQuiet), gcloud: c.Bool(flagGcloud), verbose: c.Bool(flagVerbose)}
	if o.json && o.gcloud {
		return o, usage(c, "either --%s or --%s", flagJSON, flagGcloud)
	}
	var err error
	if o.taskOptions, err = parseTask(c, getenv); err != nil {
		return o, err
	}
	o.file, err = oneFile(c)
	return o, err
}

func runPlan(ctx context.Context, e *Env, o planOptions) error {
	src, engine, err := e.prepare(ctx, o.taskOptions, e.newProgress(o.quiet))
	if err != nil {
		return err
	}
	plan, err := engine.NewPlan(src.task)
	if err != nil {
		return err
	}
	preview, err := engine.Preview(ctx, plan)
	if err != nil {
		return err
	}
	cloud, endpoint := engine.Cloud.Cloud()
	doc := view.NewPlan(preview, src.path, cloud, endpoint)
	doc.Verbose, doc.Next = o.verbose, "taskiam up "+quoteShell(src.path)
	if o.gcloud {
		_, err = io.WriteString(e.Stdout, gcloudScript(preview))
	} else {
		err = e.print(doc, o.json)
	}
	// What up would refuse, plan ends with: a check before a merge can rely on it.
	return errors.Join(append([]error{err}, preview.Refusals...)...)
}
