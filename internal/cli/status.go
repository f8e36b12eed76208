package cli

import (
	"context"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/journal"
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
		Usage:   "show the runs, what they may do and when they end",
		UsageText: `taskiam status
taskiam status nightly-report            # in full`,
		ArgsUsage: "[RUN|TASK|FILE ...]",
		Description: `Without arguments, a line for every run of which something may still stand. It
reads the journals on this machine and asks nobody.`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "show the runs that are down, too"},
			newJSONFlag(),
		},
		Action: action(parseStatus, func(ctx context.Context, o statusOptions) error { return runStatus(ctx, e, o) }),
	}
}

func parseStatus(c *cli.Context) (statusOptions, error) {
	return statusOptions{words: words(c), all: c.Bool("all"), json: c.Bool(flagJSON)}, nil
}

// statusDocument is what `status --json` prints.
type statusDocument struct {
	Schema string    `json:"schema"` // taskiam.status/v1
	Runs   []runView `json:"runs"`
}

func runStatus(_ context.Context, e *Env, o statusOptions) error {
	dir, err := e.journals()
	if err != nil {
		return err
	}
	runs, unreadable := allRuns(dir)
	switch {
	case len(o.words) > 0:
		if runs, err = choose(runs, o.words); err != nil {
			return err
		}
	case !o.all:
		runs = live(runs)
	}
	if err := e.showRuns(runs, o); err != nil {
		return err
	}
	return unreadable
}

func (e *Env) showRuns(runs []*journal.Run, o statusOptions) error {
	doc := statusDocument{Schema: "taskiam.status/v1", Runs: []runView{}}
	for _, r := range runs {
		doc.Runs = append(doc.Runs, viewRun(r, e.Now()))
	}
	// What a teardown left behind comes first: nobody may overlook it.
	slices.SortStableFunc(doc.Runs, func(a, b runView) int { return a.rank() - b.rank() })
	r := newReport()
	switch {
	case o.json:
		return e.printJSON(doc)
	case len(runs) == 0:
		e.say("no run is up")
		return nil
	case len(o.words) > 0:
		for i, v := range doc.Runs {
			if i > 0 {
				r.line("")
			}
			v.show(r)
		}
	default:
		for _, v := range doc.Runs {
			v.alarm(r)
		}
		r.row("RUN", "TASK", "STATE", "LEFT", "READY", "ACCOUNT")
		over := false
		for _, v := range doc.Runs {
			r.row(v.row()...)
			over = over || v.Seconds == 0 && v.State != string(journal.Ended)
		}
		if over {
			defer e.say("what is over still has its account and bindings until: taskiam down RUN")
		}
	}
	return e.print(r)
}

// rank sorts runs: what was not all taken away comes first.
func (v runView) rank() int {
	if v.State == string(journal.Incomplete) {
		return 0
	}
	return 1
}
