package cli

import (
	"context"
	"errors"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/app"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/view"
)

const (
	flagForget = "forget"
	flagYes    = "yes"
)

// checkForget refuses what does not go with --forget.
func checkForget(c *cli.Context, o downOptions) error {
	switch {
	case o.yes && !o.forget:
		return usage(c, "--%s needs --%s", flagYes, flagForget)
	case o.forget && (o.all || o.account != "" || o.project != "" || c.IsSet(flagCI)):
		return usage(c, "--%s takes the names of runs, and no --all, --account, --%s or --%s",
			flagForget, flagProject, flagCI)
	case o.forget && len(o.words) == 0:
		return usage(c, "--%s needs the runs that are to be forgotten", flagForget)
	}
	return nil
}

// runForget gives up runs whose cloud is gone for good. It calls no service.
func runForget(ctx context.Context, e *Env, o downOptions) error {
	journals, err := e.app().Journals()
	if err != nil {
		return err
	}
	runs, unreadable := app.RunsNamed(journals, o.words...)
	if runs, err = eachOne(runs, o.words, "taskiam down --"+flagForget, willing); err != nil {
		return errors.Join(err, unreadable)
	}
	for _, run := range runs {
		if err := e.agreeToForget(run, o.yes); err != nil {
			return err
		}
	}
	engine, err := e.app().EngineHere(e.newProgress(o.quiet))
	if err != nil {
		return err
	}
	var errs []error
	var receipts []view.Receipt
	for _, run := range runs {
		t, err := engine.Forget(ctx, run.ID(), o.wait)
		receipts, errs = append(receipts, view.NewTeardown(run, t, err)), append(errs, err)
	}
	return errors.Join(append(errs, e.showDown(o.json, receipts...))...)
}

// agreeToForget says what a run leaves if it is forgotten, and asks whether it may be.
func (e *Env) agreeToForget(run *journal.Run, yes bool) error {
	id := string(run.ID())
	if !run.Live() || yes {
		return nil
	}
	const again = "taskiam down --" + flagForget + " --" + flagYes + " "
	if !e.asks() {
		return fault.WithHint(fault.New(fault.Usage, "forgetting run %s has to be agreed to, and standard input is no "+
			"terminal", id), again+id)
	}
	o := run.Opened
	e.say("run %s of %s is on %s (%s), in project %s", id, o.Task, o.Cloud, o.Endpoint, o.Project)
	e.say("if that can be reached, this removes all of it, and there is nothing to forget: taskiam down %s", id)
	e.say("to forget the run removes its delivery and stops its processes here, calls no service, and may leave:")
	for _, what := range lifecycle.Leaves(run) {
		e.say("  %s", what)
	}
	e.say("commands that remove this by hand are printed afterwards, and by: taskiam receipt %s", id)
	if e.agreed("forget it?") {
		return nil
	}
	return fault.New(fault.Other, "run %s was not forgotten: the answer was not yes", id)
}
