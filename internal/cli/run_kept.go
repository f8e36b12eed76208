package cli

import (
	"context"

	"github.com/taskiam/taskiam/internal/supervise"
	"github.com/taskiam/taskiam/internal/view"
)

// runKept runs CMD, and meanwhile keeps its delivery good.
func (c *commandRun) runKept(ctx context.Context) (exitCode, error) {
	logs, err := c.app().TokenLogs()
	if err != nil {
		return 0, err
	}
	log, err := logs.Open(c.run.ID())
	if err != nil {
		return 0, err
	}
	defer log.Close()
	if err := supervise.HoldTokenLog(log); err != nil {
		return 0, err
	}
	keeper, err := c.app().TokenKeeper(ctx, c.run, view.NewWriter(log))
	if err != nil {
		return 0, err
	}
	if c.wayOut != nil {
		if err := c.wayOut.Listen(c.run, c.isolate.user.uid); err != nil {
			return 0, err
		}
		keeper.WayOut = c.wayOut
	}
	serving := supervise.EndpointOf(c.run)
	serving.Inherit = c.at.Inherit
	l, err := serving.Open(ctx)
	if err != nil {
		return 0, err
	}
	if serving.Path == "" {
		l = c.sandbox.Guard(l)
	}
	// A signal is for CMD, which may need its access to end well.
	keeping, stop := context.WithCancel(context.WithoutCancel(ctx))
	kept := make(chan error, 1)
	go func() {
		err := keeper.Keep(keeping, l)
		if err != nil {
			c.say("warning: run %s gets no more tokens: %v", c.run.ID(), err)
		}
		kept <- err
	}()
	code, err := c.runChild(ctx)
	stop()
	<-kept
	return code, err
}
