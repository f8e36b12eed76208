package cli

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/app"
	"github.com/taskiam/taskiam/internal/view"
)

type receiptOptions struct {
	word string
	json bool
}

func newReceiptCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name:  "receipt",
		Usage: "show what a run was granted, and how that was removed",
		UsageText: `taskiam receipt nightly-report
taskiam receipt --json 0s6qsieqib30dbn`,
		ArgsUsage: "RUN|TASK|FILE",
		Description: `Reads the journal of the run and calls no service. The journal of a run that is down
is kept for 90 days. If something is left of a run, its journal is kept until a later
teardown has removed it.`,
		Flags: []cli.Flag{newJSONFlag()},
		Action: action(parseReceipt, func(ctx context.Context, o receiptOptions) error {
			return runReceipt(ctx, e, o)
		}),
	}
}

func parseReceipt(c *cli.Context) (receiptOptions, error) {
	o := receiptOptions{json: c.Bool(flagJSON)}
	switch w := words(c); len(w) {
	case 1:
		o.word = w[0]
	case 0:
		return o, usage(c, "the run is missing")
	default:
		return o, usage(c, "%s takes one run, not %d", c.Command.HelpName, len(w))
	}
	return o, nil
}

func runReceipt(_ context.Context, e *Env, o receiptOptions) error {
	journals, err := e.app().Journals()
	if err != nil {
		return err
	}
	runs, unreadable := app.RunsNamed(journals, o.word)
	run, err := theRun(runs, o.word, "taskiam receipt", willing)
	if err != nil {
		if unreadable != nil {
			return unreadable // it may be that one
		}
		return err
	}
	doc := view.NewReceipts(view.NewReceipt(run))
	return e.print(view.History{Receipts: doc}, o.json)
}
