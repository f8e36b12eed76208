package cli

import (
	"context"
	"time"

	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/supervise"
	"github.com/taskiam/taskiam/internal/view"
)

// watchEnd tells the person when the run's time is nearly over, and when it is: the clients in CMD only say that they
// are refused, or ask for a login. It returns what to call when CMD has ended.
func (c *commandRun) watchEnd(ctx context.Context) (ended func()) {
	journals, err := c.app().Journals()
	if err != nil {
		return c.Stderr.Back // up could not have begun without
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		id := c.run.ID()
		supervise.WatchEnd(ctx, c.run, journals, c.Now, func(end time.Time, over bool) {
			if over {
				c.say("warning: run %s has expired, at %s: from now on its access is refused", id, view.Moment(end))
				return
			}
			c.say("warning: run %s expires at %s; to move that, in another shell: taskiam renew %s --ttl DURATION",
				id, view.Moment(end), id)
		})
	}()
	return func() {
		c.Stderr.Back()
		cancel()
		<-done
	}
}

// downAfter takes the run down after CMD.
func (e *Env) downAfter(ctx context.Context, engine *lifecycle.Engine, run *journal.Run, quiet bool) error {
	ctx, cancel := detached(ctx, downWithin)
	defer cancel()
	down, err := engine.DownFrom(ctx, run, downWait)
	for _, what := range down.Run.Left() {
		e.say("left: %s", what)
	}
	// A teardown that left nothing is told of, even if its journal could not be written.
	if len(down.Run.Left()) == 0 && !quiet {
		e.say("%s", view.NewTeardown(run, down, nil).Outcome())
	}
	return err
}

// detached returns a context for a teardown. It does not end with ctx, but after the bound.
func detached(ctx context.Context, bound time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), bound)
}
