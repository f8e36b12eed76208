package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/search"
)

const (
	// goneWithin bounds the wait for reads to show that something is gone.
	goneWithin = time.Minute
	// clearedWithin bounds the wait for a delivery to be removed. How long that takes, the run's command can decide.
	clearedWithin = 3 * time.Minute
)

// Teardown is what came of one attempt to take a run down.
type Teardown struct {
	// Run is the run at the end, as its journal has it. Without a journal, or if it could
	// not be written, it is the run as the journal would have it.
	Run *journal.Run
	// Already says that the run was down before and nothing was done.
	Already bool
	// Looked says, in words, where bindings were looked for beside the journal.
	Looked []string
}

// Down ends a run: its account is disabled, its bindings and keys removed, the account deleted, and all of that
// checked. It works from the journal alone. If another process is at work on the run, it waits for it as long as wait
// says. With [fault.Incomplete] the run names what is left. If nothing could be begun, there is no Teardown.
func (e *Engine) Down(ctx context.Context, run grants.RunID, wait time.Duration) (*Teardown, error) {
	e.prune()
	j, err := e.openJournal(ctx, run, wait)
	if err != nil {
		return nil, err
	}
	defer j.Close()
	return e.takeDown(ctx, j)
}

func (e *Engine) takeDown(ctx context.Context, j journal.Journal) (*Teardown, error) {
	run := j.Run()
	if err := e.refuse(run.Opened); err != nil {
		return nil, err
	}
	if run.State() == journal.Ended {
		if there, err := e.stillThere(ctx, run); err != nil || !there {
			return &Teardown{Run: run, Already: true}, err
		}
	}
	return e.newDownRun(targetOf(run), j).carryOut(ctx)
}

// stillThere asks the cloud whether a run that is down by its journal has an account all the same. Whoever could
// write the journal could have written that.
func (e *Engine) stillThere(ctx context.Context, run *journal.Run) (bool, error) {
	o := run.Opened
	live, err := e.Cloud.Account(ctx, o.Project, o.Email)
	switch {
	case fault.Is(err, fault.NotFound):
		return false, nil
	case err == nil && targetOf(run).isStranger(live):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("run %s is down by its journal, but the cloud could not be asked: %w", o.Run, err)
	}
	e.report("the journal of run "+string(o.Run)+" says that it is down, but its account "+o.Email+" is there: "+
		"somebody has changed the journal, or restored the account", "", Warned, nil)
	return true, nil
}

// DownFrom ends a run that this process has brought up and knows all of. It does not rely on the journal, which
// the run's command may have been able to write: of what the journal says it believes only what there is to take
// away beside what is known. If the journal cannot be written, that is an error after the teardown.
func (e *Engine) DownFrom(ctx context.Context, known *journal.Run, wait time.Duration) (*Teardown, error) {
	e.prune()
	t := targetOf(known)
	j, err := e.openJournal(ctx, known.ID(), wait)
	switch {
	case err != nil:
		j = nil
	case !reflect.DeepEqual(j.Run().Opened, known.Opened):
		err, j = errors.Join(errors.New("it was changed since the run came up"), j.Close()), nil
	default:
		defer j.Close()
		if j.Run().State() == journal.Ended {
			_, _ = e.stillThere(ctx, known) // it warns, and the teardown goes on in any case
		}
		t.add(targetOf(j.Run()))
	}
	d := e.newDownRun(t, j)
	d.run, d.unrecorded = known, err
	d.target.sure = true
	return d.carryOut(ctx)
}

// downRun is one teardown in progress.
type downRun struct {
	*Engine
	target  target
	journal journal.Journal // nil where there is none; then records are only folded into run

	account  grants.Account // as far as it is known
	state    presence
	here     sync.WaitGroup // what is taken away on this machine
	disabled chan struct{}  // closed once the account is disabled, or cannot be
	off      bool           // whether it is, once disabled is closed

	// search waits for what a search over all policies says; nil if none was begun.
	search func() search.Answer

	names   []resource.Name                    // whose policies may name the account
	found   map[resource.Name][]policy.Binding // those of them that the search alone names, and what it says
	missing error                              // why there may be more of them; nil if there are not
	clean   bool                               // whether all of them could be cleaned so far
	kept    []string                           // keys that could not be deleted
	deleted bool                               // whether the account was

	mu     sync.Mutex // guards what follows
	run    *journal.Run
	looked []string
	left   []string
	checks []journal.Check
	errs   []error
	hints  []string
	harms  []error // what services changed beside the teardown's edits
	// unrecorded is why the journal could not be written. That stops no teardown: what
	// it takes away was announced when it was made.
	unrecorded error
}

// newDownRun returns a teardown of t that has not begun.
func (e *Engine) newDownRun(t target, j journal.Journal) *downRun {
	d := &downRun{Engine: e, target: t, journal: j, disabled: make(chan struct{}),
		found: map[resource.Name][]policy.Binding{}}
	if j != nil {
		d.run = j.Run()
		return d
	}
	cloud, endpoint := e.Cloud.Cloud()
	d.run = journal.NewRun(journal.Opened{
		Run: t.run, Task: t.task, Project: t.project, Email: t.email, Cloud: cloud, Endpoint: endpoint,
		Expires: t.mark.Expires, Began: t.mark.Began, Job: t.mark.Job,
	}, t.run.Started())
	d.run.Account.UniqueID = t.uid
	return d
}

// carryOut does the whole teardown.
func (d *downRun) carryOut(ctx context.Context) (*Teardown, error) {
	if d.target.cameUp && d.target.find == nil {
		d.search = d.searchElsewhere(ctx, d.target.project, d.target.email)
	}
	if d.begin(ctx) {
		d.Engine.finish(ctx, d)
	}
	return d.end()
}

// end closes the journal's account of the teardown and returns what came of it.
func (d *downRun) end() (*Teardown, error) {
	<-d.disabled
	d.here.Wait()
	// What is left keeps the run open, whatever was or was not checked.
	for _, what := range d.left {
		d.checks = append(d.checks, journal.Check{What: "nothing is left", Found: what})
	}
	d.record(journal.Closed{Checks: d.checks})
	t := &Teardown{Run: d.run, Looked: d.looked}
	if len(d.left) > 0 {
		return t, d.incomplete()
	}
	if len(d.harms) > 0 {
		return t, fmt.Errorf("run %s is down, but %w", d.target.run, errors.Join(append(d.harms, d.unrecorded)...))
	}
	if d.unrecorded != nil {
		return t, fmt.Errorf("run %s is down, but its journal does not say so: %w", d.target.run, d.unrecorded)
	}
	return t, nil
}

// refuse returns why a journal cannot be followed at all. It is only a file: it
// must name this cloud, and the account that its own run id makes.
func (e *Engine) refuse(o journal.Opened) error {
	if err := o.CheckCloud(e.Cloud.Cloud()); err != nil {
		return err
	}
	if want := grants.AccountEmail(grants.AccountID(o.Task, o.Run), o.Project); o.Email != want {
		return fault.New(fault.Conflict,
			"the journal of run %s names the account %s, but the account of that run is %s: nothing was changed",
			o.Run, o.Email, want)
	}
	return nil
}

// try carries out one step and records what came of it. The other steps are tried even if
// this one fails.
func (d *downRun) try(name, on string, f func() error) bool {
	err := d.step(name, on, f)
	if err != nil {
		d.failed(name, on, err)
	}
	return err == nil
}

// failed records that a step failed.
func (d *downRun) failed(name, on string, err error) {
	d.record(journal.Failed{Step: name, On: on, Message: err.Error()})
	d.mu.Lock()
	defer d.mu.Unlock()
	d.errs = append(d.errs, err)
}

// record notes what was done, in the journal too where there is one.
func (d *downRun) record(records ...journal.Record) {
	d.mu.Lock()
	err := d.run.Add(d.Now(), records...)
	d.mu.Unlock()
	if d.journal != nil {
		err = errors.Join(err, d.journal.Append(records...))
	}
	if err != nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.unrecorded = err
	}
}

// harm records what a service changed of others beside the teardown's edit.
func (d *downRun) harm(on string, err error) {
	d.record(journal.Failed{Step: "unbind", On: on, Message: err.Error()})
	d.mu.Lock()
	defer d.mu.Unlock()
	d.harms = append(d.harms, err)
}

// remains records that something is still there.
func (d *downRun) remains(format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Contains(d.left, what) {
		d.left = append(d.left, what)
	}
}

func (d *downRun) incomplete() error {
	again := "taskiam down " + string(d.target.run)
	if d.journal == nil {
		again = "taskiam down --account " + d.target.email + " --project " + d.target.project
	}
	// Steps that went on side by side failed in any order.
	slices.SortFunc(d.errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(append([]error{fault.WithHint(
		fault.New(fault.Incomplete, "run %s is not completely removed: %d left", d.target.run, len(d.left)),
		append([]string{again}, d.hints...)...)}, slices.Concat(d.errs, d.harms)...)...)
}

// clearHere stops what the run has at work on this machine, and removes the delivery.
func (d *downRun) clearHere(ctx context.Context, t target) {
	for _, p := range t.processes {
		pid := p.Name()
		if !d.try("stop process", pid, func() error {
			if err := d.Stop(ctx, p.PID, p.Start); err != nil {
				return err
			}
			d.record(journal.ProcessStopped{PID: p.PID, Start: p.Start})
			return nil
		}) {
			d.remains("the process %s", pid)
		}
	}
	if t.user.UID != 0 && !d.try("end user", strconv.Itoa(t.user.UID), func() error {
		return d.EndUser(ctx, t.user.UID, t.user.Claim)
	}) {
		d.remains("processes of user %d", t.user.UID)
	}
	if t.dir != "" && !d.try("remove delivery", t.dir, func() error {
		found, err := d.removeDelivery(ctx, t)
		if err != nil {
			return err
		}
		d.record(journal.Removed{Path: t.dir, Missing: !found})
		if !found && t.delivered {
			d.report("the delivery is not in "+t.dir+" any more: it was removed, or moved elsewhere", "", Warned, nil)
		}
		return nil
	}) {
		d.remains("the delivery in %s", t.dir)
	}
}

// removeDelivery removes the delivery and reports whether it was there. It waits no longer than clearedWithin.
func (d *downRun) removeDelivery(ctx context.Context, t target) (found bool, err error) {
	type answer struct {
		found bool
		err   error
	}
	removed := make(chan answer, 1)
	go func() {
		found, err := d.Credentials.Remove(t.dir, t.run, t.folder)
		removed <- answer{found, err}
	}()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), clearedWithin)
	defer cancel()
	select {
	case a := <-removed:
		return a.found, a.err
	case <-ctx.Done():
		return true, fault.New(fault.Unavailable, "removing %s: not finished within %s", t.dir, clearedWithin)
	}
}

// begin makes sure of the account and begins to disable it: of all writes that is the first, because it is what ends
// tokens that are already out. Beside that, what the run has on this machine is taken away: neither waits for the
// other. It reports whether there is anything more that may be done.
func (d *downRun) begin(ctx context.Context) bool {
	d.record(journal.DownBegan{})
	t := d.target
	d.here.Go(func() { d.clearHere(ctx, t) })
	d.account, d.state = d.lookUp(ctx)
	if d.state != present {
		close(d.disabled)
	} else {
		go func() {
			defer close(d.disabled)
			d.disable(ctx, d.account)
		}()
	}
	if d.state == foreign {
		d.remains("the account %s, which does not belong to this run and was not changed", t.email)
		return false
	}
	return true
}

// removeAccount deletes the account, if nothing names it any more, and records what is left.
func (d *downRun) removeAccount(ctx context.Context) {
	switch complete := d.clean && d.missing == nil; {
	case d.state == present:
		d.deleted = complete && d.delete(ctx, d.account)
		d.leftOfAccount(d.deleted, d.clean, d.missing, d.kept)
	case d.missing != nil:
		// A deleted account stays in policies, those that were not seen among them.
		d.remains("perhaps bindings of %s, which is deleted, on resources that could not be searched", d.target.email)
	}
}

// leftOfAccount records what is left of an account that was not deleted, and why. If it were deleted while a policy
// binds it, a deleted: member would stay there. Disabled, it has no access, and a later teardown can finish. Once the
// account is deleted, it does not matter that it could not be disabled, or that a key could not be deleted.
func (d *downRun) leftOfAccount(deleted, clean bool, missing error, keys []string) {
	if deleted {
		return
	}
	email, state := d.target.email, "disabled"
	if !d.off {
		state = "not disabled"
	}
	switch {
	case !clean:
		d.remains("the account %s, %s, which is kept until the bindings above are removed", email, state)
	case missing != nil:
		d.remains("the account %s, %s, because not every resource that may bind it could be searched", email, state)
	default:
		d.remains("the account %s, %s", email, state)
	}
	if missing != nil {
		d.remains("perhaps bindings of %s on resources that could not be searched", email)
	}
	for _, id := range keys {
		d.remains("key %s of %s", id, email)
	}
}

// presence is what a look at the live account found.
type presence int

const (
	absent presence = iota
	present
	foreign // there, but not this run's
	unknown // it could not be looked at
)

// lookUp finds the live account and makes sure that it is the run's: see [target.judge].
func (d *downRun) lookUp(ctx context.Context) (grants.Account, presence) {
	t := d.target
	found := grants.Account{Email: t.email, UniqueID: t.uid}
	if t.tombstone {
		return found, absent
	}
	state := unknown
	d.try("find account", t.email, func() error {
		live, err := d.liveAccount(ctx)
		if fault.Is(err, fault.NotFound) {
			state = absent
			d.gone()
			return nil
		}
		if err != nil {
			return err
		}
		switch whose, why := t.judge(live); whose {
		case ours:
			found, state = live, present
		case strangers:
			// Ours is gone. Its policies can name it as deleted alone: the live member is the stranger.
			state, d.target.tombstone = absent, true
			d.gone()
			d.report("the account "+live.Email+" is another one now (unique id "+live.UniqueID+") and was not changed",
				"", Warned, nil)
		case doubtful:
			state = foreign
			return why
		}
		return nil
	})
	if state == unknown {
		d.remains("perhaps the account %s, which could not be read", t.email)
	}
	return found, state
}

// liveAccount reads the live account. Reads see a new one late (iam/docs/service-accounts-create), so that in the
// first minutes of a run their finding nothing means nothing.
func (d *downRun) liveAccount(ctx context.Context) (live grants.Account, err error) {
	t := d.target
	read := func() (err error) {
		live, err = d.Cloud.Account(ctx, t.project, t.email)
		return err
	}
	missing := read()
	if t.opened.IsZero() || t.refused || !fault.Is(missing, fault.NotFound, fault.Denied) {
		return live, missing
	}
	if t.seen && fault.Is(missing, fault.NotFound) {
		return d.lookAgain(ctx)
	}
	// Even if a clock was set meanwhile, it is not waited for longer than for a new one.
	late := min(t.opened.Add(visibleWithin).Sub(d.Cloud.Clock()), visibleWithin)
	if t.uid == "" {
		// Whether a creation that was cut off came about is asked by repeating it: writes
		// see at once what is there. If it did not, it has now, and is ours to take away.
		made, err := d.Cloud.CreateAccount(ctx, t.project, grants.AccountID(t.task, t.run), displayName(t.task),
			t.mark.String())
		switch {
		case err == nil:
			d.record(journal.AccountCreated{UniqueID: made.UniqueID})
			return made, nil
		case fault.Is(err, fault.Exists):
			late = visibleWithin
		case fault.Is(err, fault.Denied, fault.Invalid, fault.Precondition, fault.NotFound):
			return live, missing // then the first try was refused as well
		case fault.Refused(err): // for now; what the first try made is seen by then
		default:
			return live, err
		}
	}
	if late <= 0 {
		return live, missing
	}
	return live, d.repeat(ctx, "find account", t.email, forAccount, late, read, fault.NotFound, fault.Denied)
}

// lookAgain reads an account that was seen and is not found any more, several times side by
// side: one of Google's servers may know of it later than the others.
func (d *downRun) lookAgain(ctx context.Context) (grants.Account, error) {
	t := d.target
	looks, errs := make([]grants.Account, answersInARow), make([]error, answersInARow)
	var wg sync.WaitGroup
	for i := range looks {
		wg.Go(func() { looks[i], errs[i] = d.Cloud.Account(ctx, t.project, t.email) })
	}
	wg.Wait()
	for i, err := range errs {
		if !fault.Is(err, fault.NotFound) {
			return looks[i], err
		}
	}
	return grants.Account{}, errs[0]
}

func (d *downRun) disable(ctx context.Context, account grants.Account) {
	d.off = d.try("disable account", account.Email, func() error {
		err := d.Cloud.DisableAccount(ctx, account.Project, account.UniqueID)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
		d.record(journal.AccountDisabled{Missing: goneAlready(err)})
		return nil
	})
}

// find finds the resources whose policies may name the account: what the target says, and what a search found. A name
// that cannot be read is left. What a search could not cover is missing: it bars the deleting, since an account that
// is deleted while something binds it leaves a deleted: member there.
func (d *downRun) find() {
	all := slices.Clone(d.target.resources)
	if d.target.find != nil {
		d.try("find bindings", d.target.email, func() error {
			found := d.target.find()
			all = append(all, found.Resources...)
			d.looked, d.missing = found.Looked, found.Missing
			d.hints = append(d.hints, found.Hints...)
			return d.missing
		})
	}
	slices.Sort(all)
	d.clean = true
	for _, full := range slices.Compact(all) {
		name, err := resource.ParseFull(full)
		if err != nil {
			d.try("unbind", full, func() error { return err })
			d.remains("perhaps bindings of %s on %s, which could not be read", d.target.email, full)
			d.clean = false
			continue
		}
		d.names = append(d.names, name)
	}
}

// proves reports whether it is by a policy alone that it is known whose a tombstone is. It is edited last, and not if
// another one could not be: it could not be told any more whose the others are.
func (d *downRun) proves(name resource.Name) bool {
	return slices.Contains(d.target.proof, name.Full())
}

// edits returns the resources that are edited first.
func (d *downRun) edits() []resource.Name {
	return slices.DeleteFunc(slices.Clone(d.names), d.proves)
}

// proofs returns the resources that are edited last, if they can be now.
func (d *downRun) proofs() []resource.Name {
	names := slices.DeleteFunc(slices.Clone(d.names), func(n resource.Name) bool { return !d.proves(n) })
	if d.clean && d.missing == nil {
		return names
	}
	for _, name := range names {
		d.remains("bindings of %s on %s, which are kept until those above are removed", d.target.email, name)
	}
	return nil
}

// tookOut records what came of an edit that was to take the run out of a policy: took is what
// it takes away, and seen whether the run was there when the policy was last read.
func (d *downRun) tookOut(name resource.Name, took []policy.Binding, seen bool, err error) {
	if err == nil {
		d.record(d.unbound(name.Full(), took)...)
		return
	}
	d.mu.Lock()
	d.clean = false
	d.mu.Unlock()
	d.failed("unbind", name.String(), err)
	d.adviseOn(name)
	if seen {
		d.remains("bindings of %s on %s", d.target.email, name)
	} else {
		d.remains("perhaps bindings of %s on %s, which could not be read", d.target.email, name)
	}
}

// unbound returns the records that say that the run's bindings on a resource are gone: those that the
// journal knows, and what else of the account was removed.
func (d *downRun) unbound(full string, removed []policy.Binding) []journal.Record {
	var out []journal.Record
	same := func(a, b journal.Binding) bool { return a.Role == b.Role && a.Condition == b.Condition }
	if d.journal != nil {
		for _, b := range d.target.bindings {
			if b.Resource == full {
				found := slices.ContainsFunc(removed, func(r policy.Binding) bool {
					return same(b.Binding, journal.BindingOf(r))
				})
				out = append(out, journal.Unbound{Resource: full, Binding: b.Binding, Missing: !found})
			}
		}
	}
	for _, b := range removed {
		took := journal.BindingOf(b)
		if d.journal == nil || !slices.ContainsFunc(d.target.bindings, func(known journal.RunBinding) bool {
			return known.Resource == full && same(known.Binding, took)
		}) {
			out = append(out, journal.Unbound{Resource: full, Binding: took})
		}
	}
	return out
}

// deleteKeys deletes every key of the account: whoever made it, it is the run's. It
// returns those that it could not delete.
func (d *downRun) deleteKeys(ctx context.Context, account grants.Account) (kept []string) {
	ids := slices.Clone(d.target.keys)
	if d.target.askKeys {
		d.try("list keys", account.Email, func() error {
			keys, err := d.Cloud.Keys(ctx, account.Project, account.UniqueID)
			for _, k := range keys {
				if !slices.Contains(ids, k.ID) {
					ids = append(ids, k.ID)
				}
			}
			if fault.Is(err, fault.NotFound) { // somebody else was quicker, and its keys went with it
				return nil
			}
			return err
		})
	}
	var wg sync.WaitGroup
	gone := make([]bool, len(ids))
	for i, id := range ids {
		wg.Go(func() {
			gone[i] = d.try("delete key", id, func() error {
				missing, err := d.deleteKey(ctx, account.Project, account.UniqueID, id)
				if err != nil {
					return err
				}
				d.record(journal.KeyDeleted{KeyID: id, Missing: missing})
				return nil
			})
		})
	}
	wg.Wait()
	for i, id := range ids {
		if !gone[i] {
			kept = append(kept, id)
		}
	}
	return kept
}

// delete deletes the account and reports whether it could.
func (d *downRun) delete(ctx context.Context, account grants.Account) bool {
	return d.try("delete account", account.Email, func() error {
		err := d.Cloud.DeleteAccount(ctx, account.Project, account.UniqueID)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
		d.record(journal.AccountDeleted{Missing: goneAlready(err)})
		return nil
	})
}
