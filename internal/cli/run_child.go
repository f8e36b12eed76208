package cli

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/taskiam/taskiam/internal/credentials"
	"github.com/taskiam/taskiam/internal/supervise"
)

// runChild runs CMD and returns its exit code. Meanwhile signals are for CMD.
func (c *commandRun) runChild(ctx context.Context) (exitCode, error) {
	vars, err := credentials.Environ(c.app().Delivery(c.run).Environment())
	if err != nil {
		return 0, err
	}
	environ := slices.Concat(c.sandbox.Environment(), vars, c.prompt)
	leave, err := c.sandbox.Enter(ctx, c.run)
	if err != nil {
		return 0, err
	}
	defer leave()

	signals := make(chan os.Signal, 8)
	release := c.interrupts.handle(func(s os.Signal) {
		select {
		case signals <- s:
		default: // CMD has many signals waiting already
		}
	})
	defer release()
	if ctx.Err() != nil { // a signal came just before up ended
		return 0, fmt.Errorf("starting %s: %w", c.command[0], context.Cause(ctx))
	}
	if err := c.vacant(); err != nil { // the delivery has been there since before the access worked
		return 0, err
	}
	c.sayBefore()
	child, err := c.sandbox.Start(supervise.Command{
		Args: c.command, Environ: environ, KillAfter: c.killAfter,
		Stdin: c.Stdin, Stdout: c.Stdout.Child(), Stderr: c.Stderr.Child(),
	})
	if err != nil {
		return 0, err
	}
	watched := c.watchEnd(ctx)
	code := child.Wait(signals)
	watched()
	c.wantedUserns = child.WantedUserns()
	if code == supervise.Unknown {
		code = int(exitRunFailed)
	}
	if left := c.sandbox.UserHas(); left != "" && !c.isolate.user.own {
		c.say("warning: user %d still has processes, and they can read what a later run delivers to that user "+
			"(use --%s %s): %s", c.isolate.user.uid, flagUID, userNew, left)
	}
	if child.WithoutSandbox() {
		return 0, fmt.Errorf("starting %s: bubblewrap ended with %d and without a sandbox", c.command[0], code)
	}
	return exitCode(code), nil
}
