package cli

import (
	"context"
	"errors"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/shell"
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
		Usage:     "show what up would create and bind; change nothing",
		UsageText: "taskiam plan task.toml",
		ArgsUsage: "FILE",
		Description: `Checks the manifest. Then asks the cloud what it would refuse, and what access the
account would have in addition, because everybody has it.`,
		Flags: append([]cli.Flag{
			newJSONFlag(), newQuietFlag(),
			&cli.BoolFlag{Name: flagGcloud, Usage: "print what up would do as a script of gcloud commands"},
			&cli.BoolFlag{
				Name:  flagVerbose,
				Usage: "print every finding, the name of every permission, and the room that is left in every policy",
			},
			newTrustedFlag(),
		}, newTaskFlags()...),
		Action: action(
			func(c *cli.Context) (planOptions, error) { return parsePlan(c, e.Getenv) },
			func(ctx context.Context, o planOptions) error { return runPlan(ctx, e, o) }),
	}
}

func parsePlan(c *cli.Context, getenv func(string) string) (planOptions, error) {
	o := planOptions{
		json: c.Bool(flagJSON), quiet: c.Bool(flagQuiet), gcloud: c.Bool(flagGcloud), verbose: c.Bool(flagVerbose),
	}
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
	src, err := e.load(o.file, e.limits(o.taskOptions))
	if err != nil {
		return err
	}
	verdict, err := e.verdict(o.taskOptions, src)
	if err != nil {
		return err
	}
	engine, err := e.engine(ctx, o.taskOptions, &src, e.newProgress(o.quiet))
	if err != nil {
		return err
	}
	plan, err := engine.NewPlan(src.Task)
	if err != nil {
		return err
	}
	preview, err := engine.Preview(ctx, plan)
	if err != nil {
		return err
	}
	if wider := refuseWider(o.taskOptions, verdict, src); wider != nil {
		preview.Refusals = append([]error{wider}, preview.Refusals...)
	}
	cloud, endpoint := engine.Cloud.Cloud()
	doc := view.NewPlan(preview, src.Path, cloud, endpoint)
	doc.Verbose, doc.Next = o.verbose, "taskiam up "+shell.Quote(src.Path)
	if isolateNot.fits(src.Task) != nil {
		doc.Next = "taskiam run --" + flagIsolate + "=" + string(isolateClosed) + " " + shell.Quote(src.Path) +
			" -- COMMAND"
	}
	if o.gcloud {
		_, err = io.WriteString(e.Stdout.Programs(), preview.Gcloud().String())
	} else {
		err = e.print(doc, o.json)
	}
	// plan fails where up would refuse, so that a check before a merge can rely on it.
	return errors.Join(append([]error{err}, preview.Refusals...)...)
}
