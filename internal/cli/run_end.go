package cli

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskiam/taskiam/internal/app"
	"github.com/taskiam/taskiam/internal/credentials"
	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/manifest"
	"github.com/taskiam/taskiam/internal/supervise"
	"github.com/taskiam/taskiam/internal/view"
)

// watchEnd tells the person when the run's time is nearly over, and when it is: the clients in CMD only say that they
// are refused, or ask for a login. With --renew it keeps that from happening. It returns what to call when CMD has
// ended.
func (c *commandRun) watchEnd(ctx context.Context) (ended func()) {
	journals, err := c.app().Journals()
	if err != nil {
		return c.Stderr.Back // up could not have begun without
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // signals are CMD's
	run := c.run
	var watching sync.WaitGroup
	var renewing atomic.Bool
	if c.renew {
		renewing.Store(true)
		watching.Go(func() {
			c.renewing().Keep(ctx, run, journals, c.Now)
			renewing.Store(false)
		})
	}
	watching.Go(func() {
		id := run.ID()
		supervise.WatchEnd(ctx, run, journals, c.Now, func(end time.Time, over bool) {
			switch {
			case over:
				d := supervise.DeliveryOf(run)
				d.Expires = end
				_ = credentials.Expire(d) // without, clients say less
				c.say("warning: run %s has expired, at %s: from now on its access is refused", id, view.Moment(end))
			case !renewing.Load():
				c.say("warning: run %s expires at %s; to move that, in another shell: taskiam renew %s --ttl DURATION",
					id, view.Moment(end), id)
			}
		})
	})
	return func() {
		c.Stderr.Back()
		cancel()
		watching.Wait()
	}
}

// renewing is how --renew moves the end of the run. The teardown need not know of it: it takes the account away from
// the same policies, whatever the condition.
func (c *commandRun) renewing() supervise.Renewing {
	most := c.most()
	return supervise.Renewing{
		TTL: c.task.TTL, Latest: lifecycle.Latest(c.run.Opened, most),
		Renew: func(ctx context.Context) (*journal.Run, error) {
			// Its steps would come between what CMD prints.
			engine, err := c.app().Engine(ctx, app.Options{
				Reason: c.run.Opened.Reason, Progress: c.newProgress(true),
			})
			if err != nil {
				return nil, err
			}
			renewal, err := engine.Renew(ctx, c.run.ID(), lifecycle.RenewOptions{
				TTL: c.task.TTL, MaxTTL: most, UpToMax: true, Wait: downWait, Keep: c.app().KeepServer,
			})
			var run *journal.Run
			if renewal != nil {
				run = renewal.Run
			}
			return run, err
		},
		Renewed: func(run *journal.Run, latest bool) {
			switch {
			case latest:
				c.say("run %s was renewed, and expires at %s; it is not renewed again (--%s %s)", run.ID(),
					view.Moment(run.Expires()), flagMaxTTL, most)
			case !c.quiet:
				c.say("run %s was renewed, and expires at %s", run.ID(), view.Moment(run.Expires()))
			}
		},
		Failed: func(end time.Time, err error, final bool) {
			again := "another try follows"
			if final {
				again = "there is no other try"
			}
			c.say("warning: run %s expires at %s; it could not be renewed, %s: %v", c.run.ID(), view.Moment(end), again,
				err)
		},
	}
}

// most is how long a run may last in all.
func (o runOptions) most() time.Duration { return cmp.Or(o.maxTTL, manifest.DefaultMaxTTL) }

// renewable returns those kinds of delivery of a task with which its run can be renewed while its command works, if it
// can be at all.
func renewable(task grants.Task, most time.Duration) ([]grants.DeliveryKind, error) {
	if most < task.TTL+supervise.LeastGain {
		return nil, fault.New(fault.Usage,
			"--%s could not renew the run: its ttl is %s, and it may last %s in all (--%s)", flagRenew, task.TTL, most,
			flagMaxTTL)
	}
	kept := slices.DeleteFunc(slices.Clone(task.Deliver), func(k grants.DeliveryKind) bool {
		return delivery.Of(k).MakesKey
	})
	if len(kept) == 0 {
		return nil, fault.WithHint(
			fault.New(fault.Usage, "--%s is not for delivery by key: a key cannot be extended, and CMD would go on "+
				"with the old one", flagRenew),
			`put deliver = ["metadata", "token"] under [credentials]`)
	}
	return kept, nil
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
