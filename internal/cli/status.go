package cli

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/app"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/view"
)

type statusOptions struct {
	words []string
	all   bool
	json  bool
}

func newStatusCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name:    "status",
		Aliases: []string{"ls"},
		Usage:   "list the runs, or show what a run may do and when it expires",
		UsageText: `taskiam status
taskiam status nightly-report            # everything about it`,
		ArgsUsage: "[RUN|TASK|FILE ...]",
		Description: `Without arguments, it prints one line for each run that is not completely removed.
It reads the journals on this machine and calls no service.`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "list the runs that are down too"},
			newJSONFlag(),
		},
		Action: action(parseStatus, func(ctx context.Context, o statusOptions) error { return runStatus(ctx, e, o) }),
	}
}

func parseStatus(c *cli.Context) (statusOptions, error) {
	return statusOptions{words: words(c), all: c.Bool("all"), json: c.Bool(flagJSON)}, nil
}

func runStatus(_ context.Context, e *Env, o statusOptions) error {
	journals, err := e.app().Journals()
	if err != nil {
		return err
	}
	var runs []*journal.Run
	var unreadable error
	if o.all && len(o.words) == 0 {
		runs, unreadable = app.Runs(journals, func(journal.Summary) bool { return true })
	} else {
		runs, unreadable = app.RunsNamed(journals, o.words...)
	}
	if len(o.words) > 0 {
		if runs, err = choose(runs, o.words); err != nil {
			return err
		}
	}
	if err := e.showRuns(runs, o); err != nil {
		return err
	}
	return unreadable
}

func (e *Env) showRuns(runs []*journal.Run, o statusOptions) error {
	if len(runs) == 0 && !o.json {
		e.say("no run is up")
		return nil
	}
	var views []view.Run
	for _, r := range runs {
		views = append(views, e.viewRun(r))
	}
	doc := view.NewStatus(views)
	doc.InFull = len(o.words) > 0
	if !o.json && !doc.InFull && doc.SomeOver() {
		defer e.say("a run that has expired keeps its account and bindings until you run: taskiam down RUN")
	}
	return e.print(doc, o.json)
}
