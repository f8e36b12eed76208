package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/secret"
)

// spreadsWithin is how long a change of a policy takes to spread at the most, as a rule
// (iam/docs/access-change-propagation).
const spreadsWithin = 7 * time.Minute

// describePermission lets one change the mark of an account.
const describePermission = "iam.serviceAccounts.update"

// RenewOptions are what a renewal is told beside its run.
type RenewOptions struct {
	// TTL is how long the run is to last from now on.
	TTL time.Duration
	// MaxTTL is how long it may last from its beginning to its end; 0 is no limit. With UpToMax, an end beyond that is
	// no error: the run gets the latest end that it may have.
	MaxTTL  time.Duration
	UpToMax bool
	// Wait is how long another process that is at work on the run is waited for.
	Wait time.Duration
	// Keep makes sure that something keeps the delivery good until the new end, if nothing
	// does yet. As in [UpOptions], it hands over a process that it starts, to be recorded.
	Keep func(ctx context.Context, run *journal.Run, record func(journal.ProcessStarted) error) error
}

// Renewal is a run that was given another end.
type Renewal struct {
	Run *journal.Run
	// Was is when the run would have ended.
	Was     time.Time
	Elapsed time.Duration
}

// Renew moves the end of a run that is up. It works from the journal alone.
//
// With an error and no result the end is what it was; if some of what the run has may last
// longer all the same, the error is [fault.Incomplete] and says what. With both, the run
// has its new end, and the error says what should have been done beside.
func (e *Engine) Renew(ctx context.Context, id grants.RunID, o RenewOptions) (*Renewal, error) {
	begun := e.Now()
	j, err := e.openJournal(ctx, id, o.Wait)
	if err != nil {
		return nil, err
	}
	defer j.Close()
	run := j.Run()
	if s := run.State(); s != journal.Running && s != journal.RunningNotReady {
		return nil, fault.WithHint(fault.New(fault.NotFound, "run %s of %s is not up, it is: %s", id, run.Opened.Task,
			s), "taskiam status "+string(id))
	}
	if err := e.refuse(run.Opened); err != nil {
		return nil, err
	}
	x := &renewRun{Engine: e, journal: j, run: run, ttl: o.TTL, marked: make(chan struct{})}
	if err := x.survey(ctx); err != nil {
		return nil, err
	}
	if x.expires, err = x.end(o); err != nil {
		return nil, err
	}
	e.warnOfClock(e.clockAhead(), "the run expires by the cloud's, at "+x.expires.Format(time.RFC3339))
	if run.Expires().Sub(e.Cloud.Clock()) < spreadsWithin {
		e.report("the run was about to expire, and Google may need some minutes to apply its new end", "", Warned, nil)
	}
	if err := j.Append(journal.RenewIntended{Expires: x.expires}); err != nil {
		return nil, err
	}
	if err := x.carryOut(ctx); err != nil {
		return nil, x.undo(ctx, err)
	}
	if err := j.Append(journal.Renewed{Expires: x.expires}); err != nil {
		// The record may or may not be on disk, so undoing the renewal could contradict it.
		return nil, fault.WithHint(fault.New(fault.Incomplete, "run %s expires at %s, but its journal may not say "+
			"so: %w", id, x.expires.Format(time.RFC3339), err), x.ways()...)
	}
	// The run is renewed. What follows cannot take that back.
	err = errors.Join(x.deleteOldKeys(ctx), x.keep(ctx, o))
	return &Renewal{Run: j.Run(), Was: run.Expires(), Elapsed: e.Now().Sub(begun)}, err
}

// renewRun is one renewal in progress.
type renewRun struct {
	*Engine
	journal journal.Journal
	run     *journal.Run // as it was before
	account grants.Account
	expires time.Time // the new end
	ttl     time.Duration
	moves   []*move
	oldKey  secret.String // in the delivery; zero if it has none

	marked chan struct{} // closed once the account's mark says the new end

	// How far it is: undo needs to know.
	uploading  bool
	delivering bool
	newKey     string // its id, once known
}

// ends returns every end that something of the run may have by now.
func ends(run *journal.Run) []time.Time {
	out := []time.Time{run.Opened.Expires}
	for _, n := range run.Renewals {
		out = append(out, n.Expires)
	}
	return out
}

// began is when the run began, by the clock of the cloud.
func began(o journal.Opened) time.Time { return grants.Mark{Run: o.Run, Began: o.Began}.Started() }

// Latest is the latest end that a run may be given, if it may last maxTTL in all.
func Latest(o journal.Opened, maxTTL time.Duration) time.Time {
	return began(o).Add(maxTTL).UTC().Truncate(time.Second)
}

// survey looks, side by side, at all that a renewal depends on, and finds what is to move.
// It writes nothing to the cloud.
func (x *renewRun) survey(ctx context.Context) error {
	o := x.run.Opened
	var mints bool
	var minters []*move
	var unseen error // why it is not known what lets the operator mint
	// Grants that are gone are the least of it: whatever else forbids a renewal is said first.
	gone := make([]error, len(o.Edits))
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return x.findAccount(ctx) })
	g.Go(func() error { return x.checkRoles(ctx) })
	g.Go(func() (err error) {
		mints, err = x.mayRenew(ctx)
		return err
	})
	for i, edit := range o.Edits {
		name, err := resource.ParseFull(edit.Resource)
		if err != nil {
			return err
		}
		m := &move{resource: name, from: o.Expires, ends: ends(x.run), journalled: true}
		for _, b := range edit.Bindings {
			if _, bounded := b.Condition.Moved(o.Expires, o.Expires); bounded {
				m.bindings = append(m.bindings, b.Grants())
			} else {
				m.endless = append(m.endless, b.Grants())
			}
		}
		if len(m.bindings) == 0 {
			continue
		}
		x.moves = append(x.moves, m)
		g.Go(func() error {
			doc, err := x.Cloud.ReadPolicy(ctx, name)
			if err != nil {
				return err
			}
			gone[i] = x.differs(m, m.apply(doc, o.Expires))
			return nil
		})
	}
	if delivery.Of(x.run.Kind).MakesKey {
		g.Go(func() (err error) {
			x.oldKey, err = x.Credentials.Key(x.run)
			return err
		})
	} else {
		g.Go(func() (err error) {
			minters, err = x.minters(ctx)
			if fault.Is(err, fault.Denied) { // an operator who may mint in the whole project does not need it
				unseen, err = err, nil
			}
			return err
		})
	}
	err := cmp.Or(g.Wait(), errors.Join(gone...))
	if err != nil || mints {
		return err
	}
	x.moves = append(x.moves, minters...)
	return unseen
}

// findAccount makes sure of the account, as a teardown does: a journal that was tampered
// with must not reach anybody else's.
func (x *renewRun) findAccount(ctx context.Context) error {
	o := x.run.Opened
	read := func() (err error) {
		x.account, err = x.Cloud.Account(ctx, o.Project, o.Email)
		return err
	}
	err := read()
	// Reads see a new account late (iam/docs/service-accounts-create).
	late := min(x.run.At.Add(x.run.ClockAhead()+visibleWithin).Sub(x.Cloud.Clock()), visibleWithin)
	if fault.Is(err, fault.NotFound, fault.Denied) && late > 0 && !x.run.Account.Seen {
		err = x.repeat(ctx, "find account", o.Email, forAccount, late, read, fault.NotFound, fault.Denied)
	}
	down := "taskiam down " + string(o.Run)
	if err != nil {
		if fault.Is(err, fault.NotFound) {
			err = fault.WithHint(err, down)
		}
		return err
	}
	mark, ok := grants.ParseMark(x.account.Description)
	switch {
	case x.account.Email != o.Email || x.account.UniqueID != x.run.Account.UniqueID || !ok || mark.Run != o.Run:
		return fault.New(fault.Conflict,
			"the account %s (unique id %s) does not carry the mark of run %s: nothing was changed",
			x.account.Email, x.account.UniqueID, o.Run)
	case x.account.Disabled:
		return fault.WithHint(fault.New(fault.Precondition, "the account %s is disabled", o.Email), down)
	}
	return nil
}

// mayRenew refuses an operator who may not do what a renewal takes. It reports whether the
// operator may mint tokens of every account in the host project.
func (x *renewRun) mayRenew(ctx context.Context) (mints bool, err error) {
	o := x.run.Opened
	host, err := projectName(o.Project)
	if err != nil {
		return false, err
	}
	want := []string{describePermission}
	if kind := delivery.Of(x.run.Kind); kind.MakesKey {
		want = append(want, kind.Permissions...)
	}
	have, err := x.Cloud.TestPermissions(ctx, host, slices.Concat(want, []string{mintPermission, mintIDPermission}))
	if err != nil {
		return false, err
	}
	lacking := slices.DeleteFunc(want, func(p string) bool { return slices.Contains(have, p) })
	if len(lacking) > 0 {
		return false, fault.WithHint(
			fault.New(fault.Denied, "the operator lacks %v on project %s", lacking, o.Project),
			"roles/iam.serviceAccountAdmin and roles/iam.serviceAccountKeyAdmin on the project hold them")
	}
	return slices.Contains(have, mintPermission) &&
		(len(o.Audiences) == 0 || slices.Contains(have, mintIDPermission)), nil
}

// minters finds what lets an operator mint tokens of the account until the run ends.
func (x *renewRun) minters(ctx context.Context) ([]*move, error) {
	o := x.run.Opened
	name, _, err := resource.Parse("projects/" + o.Project + "/serviceAccounts/" + o.Email)
	if err != nil {
		return nil, err
	}
	doc, err := x.Cloud.ReadPolicy(ctx, name)
	if err != nil {
		return nil, err
	}
	m := &move{resource: name, from: o.Expires, ends: ends(x.run)}
	for _, b := range doc.Bindings() {
		if b.Role != grants.MinterRole || b.Condition.Title != grants.ConditionTitle(o.Run) {
			continue
		}
		for _, end := range m.ends {
			if c, ok := b.Condition.Moved(end, m.from); ok {
				b.Condition = c
				if !slices.Contains(m.bindings, b) {
					m.bindings = append(m.bindings, b)
				}
				break
			}
		}
	}
	if len(m.bindings) == 0 {
		return nil, nil
	}
	return []*move{m}, nil
}

// end returns the end that the run is to have, or why it may not have it.
func (x *renewRun) end(o RenewOptions) (time.Time, error) {
	id, now, was := string(x.run.ID()), x.Cloud.Clock(), x.run.Expires()
	if !now.Before(was) {
		return time.Time{}, fault.WithHint(fault.New(fault.NotFound, "run %s of %s has expired, at %s",
			id, x.run.Opened.Task, was.Format(time.RFC3339)), "taskiam down "+id)
	}
	end := now.Add(o.TTL).UTC().Truncate(time.Second)
	if latest := Latest(x.run.Opened, o.MaxTTL); o.UpToMax && end.After(latest) {
		end = latest
	}
	if !end.After(was) {
		return time.Time{}, fault.WithHint(fault.New(fault.Usage,
			"run %s already expires at %s, not before %s (in %s): renew cannot make a run shorter",
			id, was.Format(time.RFC3339), end.Format(time.RFC3339), o.TTL), "to end it now: taskiam down "+id)
	}
	since := began(x.run.Opened)
	if all := end.Sub(since); o.MaxTTL > 0 && all > o.MaxTTL {
		err := fault.New(fault.Usage, "run %s would last %s in total, but the limit is %s", id, all.Round(time.Second),
			o.MaxTTL)
		if most := since.Add(o.MaxTTL).Sub(now).Truncate(time.Minute); now.Add(most).After(was) {
			return time.Time{}, fault.WithHint(err, fmt.Sprintf("taskiam renew %s --ttl %s", id, most))
		}
		return time.Time{}, err
	}
	return end, nil
}

// mark is what the account carries if the run ends at a time.
func (x *renewRun) mark(end time.Time) string {
	o := x.run.Opened
	return grants.Mark{Version: grants.MarkVersion, Task: o.Task, Run: o.Run, Expires: end, Began: o.Began,
		Job: o.Job}.String()
}

// carryOut moves the end of everything, the mark's first: a sweep goes by it, and must not
// take away what lasts longer. The key in the delivery is replaced last, by one that works.
func (x *renewRun) carryOut(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return x.step("move the end of the account", x.run.Opened.Email, func() error {
			if err := x.Cloud.SetDescription(gctx, x.run.Opened.Project, x.account.UniqueID,
				x.mark(x.expires)); err != nil {
				return err
			}
			close(x.marked)
			return nil
		})
	})
	for _, m := range x.moves {
		g.Go(func() error { return x.move(gctx, m, x.expires) })
	}
	var key secret.String
	if delivery.Of(x.run.Kind).MakesKey {
		g.Go(func() (err error) {
			key, err = x.makeKey(gctx)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	// As an up does, lest a role was changed since it was looked at.
	if err := x.checkRoles(ctx); err != nil {
		return err
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	x.delivering = true
	return x.step("renew delivery", x.run.Opened.DeliveryDir, func() error {
		return x.Credentials.Renew(x.run, x.expires, key)
	})
}

// keep sees to it that the delivery stays good until the new end.
func (x *renewRun) keep(ctx context.Context, o RenewOptions) error {
	run := x.journal.Run()
	kind := delivery.Of(run.Kind)
	if o.Keep == nil || kind.Upkeep == delivery.NoUpkeep || kind.Upkeep == delivery.Refresh &&
		!run.TokensUntil.Before(x.expires) {
		return nil
	}
	err := x.step("start server", run.Opened.Metadata, func() error {
		return o.Keep(ctx, run, func(p journal.ProcessStarted) error { return x.journal.Append(p) })
	})
	if err != nil {
		return fault.WithHint(fmt.Errorf("run %s is renewed, but nothing keeps its delivery up to date: %w",
			run.ID(), err), kind.ServeCommand(run.ID()))
	}
	return nil
}
