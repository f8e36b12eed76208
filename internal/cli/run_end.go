package cli

import (
	"context"
	"time"

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
