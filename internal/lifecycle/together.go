package lifecycle

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
)

// together are runs that are taken down together: each policy is edited once for all of those
// that it may name, and read once in the end. What fails is told to the runs that it concerns.
type together struct {
	*Engine
	runs   []*downRun
	atOnce int
}

// shared is a policy and the runs that it may name.
type shared struct {
	name resource.Name
	runs []*downRun
}

// finish takes the bindings and the keys of runs that were begun away, then their accounts, and
// checks that.
func (e *Engine) finish(ctx context.Context, runs ...*downRun) {
	g := together{Engine: e, runs: runs, atOnce: maxAtOnce}
	if len(runs) == 1 {
		g.atOnce = -1 // its policies are few
	}
	for _, d := range runs {
		d.find()
	}
	var unbinding sync.WaitGroup
	unbinding.Go(func() { g.unbind(ctx, (*downRun).edits) })
	each(g, "delete keys", runs, func(d *downRun) {
		if <-d.disabled; d.state == present {
			d.kept = d.deleteKeys(ctx, d.account)
		}
	})
	unbinding.Wait()
	for _, d := range runs {
		d.addFound()
	}
	g.unbind(ctx, (*downRun).foundNames)
	g.unbind(ctx, (*downRun).proofs)
	each(g, "delete accounts", runs, func(d *downRun) { d.removeAccount(ctx) })
	g.check(ctx)
}

// unbind takes the runs out of the policies of the resources that names returns for each.
func (g together) unbind(ctx context.Context, names func(*downRun) []resource.Name) {
	each(g, "edit policies", byPolicy(g.runs, names), func(p shared) { g.unbindFrom(ctx, p) })
}

// unbindFrom takes all of its runs out of one policy. The reading goes on beside the disabling
// of the accounts, the writing waits for it.
func (g together) unbindFrom(ctx context.Context, p shared) {
	took := make([][]policy.Binding, len(p.runs)) // what the writes were to take away: the answer to one may be lost
	seen := make([]bool, len(p.runs))             // whose account, when the policy was last read
	err := g.step("unbind", p.name.String(), func() error {
		err := g.edit(ctx, policyEdit{
			doing: "unbind", name: p.name, ready: allDisabled(p.runs),
			change: func(doc policy.Document) bool {
				changed := false
				for i, d := range p.runs {
					found := d.target.in(doc, d.account.UniqueID)
					took[i] = union(took[i], found)
					seen[i] = d.target.removeFrom(doc, d.account.UniqueID)
					changed = changed || seen[i]
					d.announce(p.name, found)
				}
				return changed
			},
			// A teardown goes on whether or not that can be recorded.
			dropping: func(drops []policy.Binding, done bool) error {
				for i, d := range p.runs {
					if seen[i] {
						d.record(dropRecords(p.name, drops, done)...)
					}
				}
				return nil
			},
			accounts: emails(p.runs),
			harmed: func(err error) {
				for i, d := range p.runs {
					if len(took[i]) > 0 {
						d.harm(p.name.String(), err)
					}
				}
			},
		})
		if fault.Is(err, fault.NotFound) { // a resource that is gone binds no account
			return nil
		}
		return err
	})
	for i, d := range p.runs {
		d.tookOut(p.name, took[i], seen[i], err)
	}
}

// check looks again at everything that was taken away completely. It looks at an account only if
// it was deleted: otherwise it would wait in vain for it to disappear.
func (g together) check(ctx context.Context) {
	var deleted []*downRun
	for _, d := range g.runs {
		if d.deleted {
			deleted = append(deleted, d)
		}
	}
	policies := byPolicy(g.runs, func(d *downRun) []resource.Name {
		if d.clean && d.missing == nil {
			return d.names
		}
		return nil
	})
	var accounts sync.WaitGroup
	accounts.Go(func() { each(g, "check accounts", deleted, func(d *downRun) { g.checkAccount(ctx, d) }) })
	each(g, "check policies", policies, func(p shared) { g.checkPolicy(ctx, p) })
	accounts.Wait()
}

func (g together) checkAccount(ctx context.Context, d *downRun) {
	t := d.target
	g.verify(ctx, "check account is gone", t.email, []*downRun{d}, func(left []string) error {
		_, err := d.Cloud.Account(ctx, t.project, d.account.UniqueID)
		switch {
		case err == nil:
			left[0] = "the account " + t.email
		case fault.Is(err, fault.NotFound):
		default:
			left[0] = "perhaps the account " + t.email
			return err
		}
		return nil
	})
}

func (g together) checkPolicy(ctx context.Context, p shared) {
	g.verify(ctx, "check policy", p.name.String(), p.runs, func(left []string) error {
		doc, err := g.lookBack(ctx, p.name)
		gone := fault.Is(err, fault.NotFound)
		for i, d := range p.runs {
			switch {
			case gone:
			case err != nil:
				left[i] = fmt.Sprintf("perhaps bindings of %s on %s", d.target.email, p.name)
			case len(d.target.in(doc, d.account.UniqueID)) > 0:
				left[i] = fmt.Sprintf("bindings of %s on %s", d.target.email, p.name)
			}
		}
		if gone {
			return nil
		}
		return err
	})
}

// verify repeats look while it still finds something, since reads may lag behind writes, and
// records what is left in the end: look says that for each of the runs.
func (g together) verify(ctx context.Context, name, on string, runs []*downRun, look func(left []string) error) {
	var left []string
	err := g.step(name, on, func() error {
		return g.repeat(ctx, name, on, forGone, goneWithin, func() error {
			left = make([]string, len(runs))
			err := look(left)
			for _, what := range left {
				if err == nil && what != "" {
					err = fault.New(fault.Incomplete, "still there: %s", what)
				}
			}
			return err
		}, fault.Incomplete)
	})
	for i, d := range runs {
		d.verified(name, on, left[i], err)
	}
}

// verified records what the last look has found of this run; err may be about others too.
func (d *downRun) verified(name, on, left string, err error) {
	gone := err == nil || left == ""
	if !gone {
		if fault.Is(err, fault.Incomplete) {
			err = fault.New(fault.Incomplete, "giving up after %s: still there: %s", goneWithin, left)
		}
		d.failed(name, on, err)
		d.remains("%s", left)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.checks = append(d.checks, journal.Check{What: name + " " + on, OK: gone, Found: left})
}

// byPolicy returns the resources that names returns for any of the runs, in the order in which
// they come.
func byPolicy(runs []*downRun, names func(*downRun) []resource.Name) []shared {
	var out []shared
	at := map[resource.Name]int{}
	for _, d := range runs {
		for _, name := range names(d) {
			i, known := at[name]
			if !known {
				i, at[name] = len(out), len(out)
				out = append(out, shared{name: name})
			}
			out[i].runs = append(out[i].runs, d)
		}
	}
	return out
}

// allDisabled returns what is closed once the accounts of all the runs are disabled, or cannot be.
func allDisabled(runs []*downRun) <-chan struct{} {
	if len(runs) == 1 {
		return runs[0].disabled
	}
	all := make(chan struct{})
	go func() {
		defer close(all)
		for _, d := range runs {
			<-d.disabled
		}
	}()
	return all
}

// each does something with each of the items, a bounded number at a time. Where several runs are taken down it tells
// how many are done: of one run, its own steps tell.
func each[T any](g together, step string, items []T, do func(T)) {
	tell := func() {}
	if len(g.runs) > 1 {
		tell = g.tally(step, len(items))
	}
	atOnce(g.atOnce, items, func(_ int, item T) {
		do(item)
		tell()
	})
}

// tally begins a step of so many parts, and returns what is to be called once for each of them that is done. The step
// ends with the last.
func (e *Engine) tally(step string, of int) func() {
	if e.Progress == nil || of == 0 {
		return func() {}
	}
	var mu sync.Mutex
	done := 0
	e.report(step, "", Started, nil)
	return func() {
		mu.Lock()
		defer mu.Unlock()
		if done++; done == of {
			e.report(step, "", Done, nil)
			return
		}
		e.Progress(Event{Time: e.Now(), Step: step, State: Working, Done: done, All: of})
	}
}

// emails returns the emails of the runs' accounts.
func emails(runs []*downRun) []string {
	out := make([]string, len(runs))
	for i, d := range runs {
		out[i] = d.target.email
	}
	return out
}

// union returns what is in either of two lists, each once.
func union[T comparable](a, b []T) []T {
	for _, x := range b {
		if !slices.Contains(a, x) {
			a = append(a, x)
		}
	}
	return a
}
