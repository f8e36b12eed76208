package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/resource"
)

const (
	// unbindWithin bounds the fight with others for one policy.
	unbindWithin = 3 * time.Minute
	// visibleSoon bounds the wait for an account whose creation was cut off: it is
	// more likely that there is none.
	visibleSoon = 5 * time.Second
	// goneWithin bounds the wait for reads to show that something is gone.
	goneWithin = time.Minute
)

// Receipt is what a teardown did and found.
type Receipt struct {
	Run   grants.RunID
	Task  string
	Email string
	// Already says that the run was down before and nothing was done.
	Already bool
	Steps   []Step
	// Left names what could not be taken away. Empty means: checked, nothing is left.
	Left    []string
	Elapsed time.Duration
}

// Step is one step of a teardown.
type Step struct {
	Name string
	On   string
	Err  string // "" if it was done
	Took time.Duration
}

// Down ends a run: its account is disabled, its bindings and keys removed, the
// account deleted, and all of that checked. It works from the journal alone. If
// another process is at work on the run, it waits for it as long as wait says. With
// [fault.Incomplete] the receipt names what is left.
func (e *Engine) Down(ctx context.Context, run grants.RunID, wait time.Duration) (*Receipt, error) {
	j, err := e.Journals.Open(ctx, run, wait)
	if err != nil {
		return nil, err
	}
	defer j.Close()
	return e.takeDown(ctx, j)
}

func (e *Engine) takeDown(ctx context.Context, j *journal.Journal) (*Receipt, error) {
	run := j.Run()
	d := &descent{
		Engine: e, run: run, journal: j, begun: e.Now(),
		receipt: &Receipt{Run: run.ID(), Task: run.Opened.Task, Email: run.Opened.Email},
	}
	if run.State() == journal.Ended {
		d.receipt.Already = true
		return d.receipt, nil
	}
	if err := d.refuse(); err != nil {
		return d.receipt, err
	}
	d.record(journal.DownBegan{})
	d.descend(ctx)
	d.receipt.Elapsed = e.Now().Sub(d.begun)
	// What is left keeps the run open, whatever was or was not checked.
	for _, what := range d.receipt.Left {
		d.checks = append(d.checks, journal.Check{What: "nothing is left", Found: what})
	}
	d.record(journal.Closed{Checks: d.checks})
	if len(d.receipt.Left) > 0 {
		return d.receipt, d.incomplete()
	}
	if d.unrecorded != nil {
		return d.receipt, fmt.Errorf("run %s is down, but its journal does not say so: %w", run.ID(), d.unrecorded)
	}
	return d.receipt, nil
}

// descent is one teardown at work.
type descent struct {
	*Engine
	run     *journal.Run
	journal *journal.Journal
	begun   time.Time

	mu      sync.Mutex // guards what follows
	receipt *Receipt
	checks  []journal.Check
	errs    []error
	// unrecorded is why the journal could not be written. That stops no teardown: what
	// it takes away was announced when it was made.
	unrecorded error
}

// refuse returns why the journal cannot be followed at all. It is only a file: it
// must name this cloud, and the account that its own run id makes.
func (d *descent) refuse() error {
	o := d.run.Opened
	cloud, endpoint := d.Cloud.Cloud()
	if o.Cloud != cloud || o.Endpoint != endpoint {
		hint := "unset TASKIAM_EMULATOR_HOST"
		if o.Cloud == "emulator" {
			hint = "export TASKIAM_EMULATOR_HOST=" + o.Endpoint
		}
		return fault.WithHint(fault.New(fault.Usage, "run %s lives on %s (%s), but this is %s (%s)",
			o.Run, o.Cloud, o.Endpoint, cloud, endpoint), hint)
	}
	if want := grants.AccountEmail(grants.AccountID(o.Task, o.Run), o.Project); o.Email != want {
		return fault.New(fault.Conflict, "the journal of run %s names the account %s, which is not that run's (%s): nothing was touched", o.Run, o.Email, want)
	}
	return nil
}

// try carries out one step and takes down its outcome; everything is tried, even
// when one thing fails.
func (d *descent) try(name, on string, f func() error) bool {
	begun := d.Now()
	err := d.step(name, on, f)
	step := Step{Name: name, On: on, Took: d.Now().Sub(begun)}
	if err != nil {
		step.Err = err.Error()
		d.record(journal.Failed{Step: name + " " + on, Message: err.Error()})
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		d.errs = append(d.errs, err)
	}
	d.receipt.Steps = append(d.receipt.Steps, step)
	return err == nil
}

// record takes down what was done.
func (d *descent) record(records ...journal.Record) {
	if err := d.journal.Append(records...); err != nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.unrecorded = err
	}
}

// left records that something is still there.
func (d *descent) left(format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Contains(d.receipt.Left, what) {
		d.receipt.Left = append(d.receipt.Left, what)
	}
}

func (d *descent) incomplete() error {
	run := d.run.ID()
	return errors.Join(append([]error{fault.WithHint(
		fault.New(fault.Incomplete, "run %s is not all gone: %d left", run, len(d.receipt.Left)),
		"taskiam down "+string(run))}, d.errs...)...)
}

func (d *descent) descend(ctx context.Context) {
	o := d.run.Opened
	if !d.try("remove delivery", o.DeliveryDir, func() error {
		if err := d.Credentials.Remove(o.DeliveryDir, d.run.ID()); err != nil {
			return err
		}
		d.record(journal.Removed{Path: o.DeliveryDir})
		return nil
	}) {
		d.left("the delivery in %s", o.DeliveryDir)
	}

	account, state := d.lookUp(ctx)
	if state == foreign {
		d.left("the account %s, which is not this run's and was not touched", o.Email)
		return
	}

	// Disabling goes first among the writes, and beside the reading of the policies:
	// it is what ends tokens that are already out.
	disabled := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(disabled)
		if state == present {
			d.disable(ctx, account)
		}
	})
	names, readable := d.resources()
	unbound := d.unbindAll(ctx, names, account.UniqueID, disabled)
	if state == present {
		<-disabled
		wg.Go(func() { d.deleteKeys(ctx, account) })
	}
	clean := unbound() && readable
	wg.Wait()

	if state == present {
		if !clean {
			// Deleted now, it would stay in those policies as a deleted: member; disabled,
			// it is as powerless, and a later down can finish.
			d.left("the account %s, disabled, until the bindings above are gone", o.Email)
			return
		}
		d.delete(ctx, account)
	}
	if clean {
		d.check(ctx, account, state, names)
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

// lookUp finds the live account and makes sure that it is the run's: by its unique
// id, where the journal has one, and by the mark. A journal that was tampered with
// must not reach anybody else's account.
func (d *descent) lookUp(ctx context.Context) (grants.Account, presence) {
	o := d.run.Opened
	found := grants.Account{Email: o.Email, UniqueID: d.run.Account.UniqueID}
	state := unknown
	d.try("find account", o.Email, func() error {
		live, err := d.account(ctx)
		if fault.Is(err, fault.NotFound) {
			state = absent
			return nil
		}
		if err != nil {
			return err
		}
		mark, marked := grants.ParseMark(live.Description)
		switch {
		case live.Email != o.Email,
			d.run.Account.UniqueID != "" && live.UniqueID != d.run.Account.UniqueID,
			!marked || mark.Run != d.run.ID():
			state = foreign
			return fault.New(fault.Conflict, "the account %s (unique id %s) does not carry the mark of run %s", live.Email, live.UniqueID, d.run.ID())
		}
		found, state = live, present
		return nil
	})
	if state == unknown {
		d.left("perhaps the account %s, which could not be looked at", o.Email)
	}
	return found, state
}

// account reads the live account. One whose creation was begun but not confirmed
// may take a moment to show; one that was confirmed and is not there is gone.
func (d *descent) account(ctx context.Context) (grants.Account, error) {
	o := d.run.Opened
	if d.run.Account.UniqueID != "" {
		return d.Cloud.Account(ctx, o.Project, o.Email)
	}
	var live grants.Account
	err := d.repeat(ctx, "find account", o.Email, visibleSoon, func() (err error) {
		live, err = d.Cloud.Account(ctx, o.Project, o.Email)
		return err
	}, fault.NotFound)
	return live, err
}

func (d *descent) disable(ctx context.Context, account grants.Account) {
	if !d.try("disable account", account.Email, func() error {
		err := d.Cloud.DisableAccount(ctx, account.Project, account.UniqueID)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
		d.record(journal.AccountDisabled{})
		return nil
	}) {
		d.left("the account %s, not disabled", account.Email)
	}
}

// resources returns the resources whose policies the run may have edited: all that it
// was to edit, since a journal can have lost its end. A name that cannot be read, in a
// journal that was written by hand, is left.
func (d *descent) resources() (names []resource.Name, readable bool) {
	all := d.run.Resources()
	for _, edit := range d.run.Opened.Edits {
		all = append(all, edit.Resource)
	}
	slices.Sort(all)
	readable = true
	for _, full := range slices.Compact(all) {
		name, err := resource.ParseFull(full)
		if err != nil {
			d.try("unbind", full, func() error { return err })
			d.left("bindings of %s on %s", d.run.Opened.Email, full)
			readable = false
			continue
		}
		names = append(names, name)
	}
	return names, readable
}

// unbindAll begins to take the account out of every policy of the run, side by
// side; the reads go on beside the disabling, the writes wait for it. The returned
// function waits for the end and reports whether all are clean.
func (d *descent) unbindAll(ctx context.Context, names []resource.Name, uid string, disabled <-chan struct{}) func() bool {
	var wg sync.WaitGroup
	clean := make([]bool, len(names))
	for i, name := range names {
		wg.Go(func() { clean[i] = d.unbind(ctx, name, uid, disabled) })
	}
	return func() bool {
		wg.Wait()
		return !slices.Contains(clean, false)
	}
}

func (d *descent) unbind(ctx context.Context, name resource.Name, uid string, disabled <-chan struct{}) bool {
	email, on := d.run.Opened.Email, name.String()
	ok := d.try("unbind", on, func() error {
		err := d.repeat(ctx, "unbind", on, unbindWithin, func() error {
			return d.underLock(ctx, name, func(doc grants.Document) (bool, error) {
				<-disabled
				return doc.RemoveAccount(email, uid), nil
			}, nil)
		}, fault.Conflict)
		if err != nil && !fault.Is(err, fault.NotFound) { // a resource that is gone binds nobody
			return err
		}
		d.record(d.unbound(name.Full())...)
		return nil
	})
	if !ok {
		d.left("bindings of %s on %s", email, on)
	}
	return ok
}

// unbound returns the records that say that the run's bindings on a resource are gone.
func (d *descent) unbound(full string) []journal.Record {
	var out []journal.Record
	for _, b := range d.run.Bindings {
		if b.Resource == full {
			out = append(out, journal.Unbound{Resource: full, Binding: b.Binding})
		}
	}
	return out
}

// deleteKeys deletes every key of the account: whoever made it, it is the run's.
func (d *descent) deleteKeys(ctx context.Context, account grants.Account) {
	var ids []string
	unnamed := false
	for _, k := range d.run.Keys {
		if k.ID == "" {
			unnamed = true // its upload was begun, and the answer got lost
		} else {
			ids = append(ids, k.ID)
		}
	}
	if unnamed {
		d.try("list keys", account.Email, func() error {
			keys, err := d.Cloud.Keys(ctx, account.Project, account.UniqueID)
			for _, k := range keys {
				if !slices.Contains(ids, k.ID) {
					ids = append(ids, k.ID)
				}
			}
			return err
		})
	}
	var wg sync.WaitGroup
	for _, id := range ids {
		wg.Go(func() {
			if !d.try("delete key", id, func() error {
				err := d.Cloud.DeleteKey(ctx, account.Project, account.UniqueID, id)
				// Google answers 403 as well as 404 for a key that is gone.
				if err != nil && !fault.Is(err, fault.NotFound, fault.Denied) {
					return err
				}
				d.record(journal.KeyDeleted{KeyID: id})
				return nil
			}) {
				d.left("key %s of %s", id, account.Email)
			}
		})
	}
	wg.Wait()
}

func (d *descent) delete(ctx context.Context, account grants.Account) {
	if !d.try("delete account", account.Email, func() error {
		err := d.Cloud.DeleteAccount(ctx, account.Project, account.UniqueID)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
		d.record(journal.AccountDeleted{})
		return nil
	}) {
		d.left("the account %s", account.Email)
	}
}

// check looks again at everything that the run touched.
func (d *descent) check(ctx context.Context, account grants.Account, state presence, names []resource.Name) {
	o := d.run.Opened
	var wg sync.WaitGroup
	if state == present {
		wg.Go(func() {
			d.verify(ctx, "check account is gone", o.Email, func() (string, error) {
				_, err := d.Cloud.Account(ctx, o.Project, account.UniqueID)
				switch {
				case err == nil:
					return "the account " + o.Email, nil
				case fault.Is(err, fault.NotFound):
					return "", nil
				default:
					return "perhaps the account " + o.Email, err
				}
			})
		})
	}
	for _, name := range names {
		wg.Go(func() {
			d.verify(ctx, "check policy", name.String(), func() (string, error) {
				doc, err := d.Cloud.ReadPolicy(ctx, name)
				switch {
				case fault.Is(err, fault.NotFound):
					return "", nil
				case err != nil:
					return fmt.Sprintf("perhaps bindings of %s on %s", o.Email, name), err
				case len(doc.Account(o.Email, account.UniqueID)) > 0:
					return fmt.Sprintf("bindings of %s on %s", o.Email, name), nil
				default:
					return "", nil
				}
			})
		})
	}
	wg.Wait()
}

// verify repeats look while it still finds something, since reads may lag behind
// writes, and records what is left in the end.
func (d *descent) verify(ctx context.Context, name, on string, look func() (left string, err error)) {
	var left string
	ok := d.try(name, on, func() error {
		return d.repeat(ctx, name, on, goneWithin, func() error {
			var err error
			if left, err = look(); err == nil && left != "" {
				err = fault.New(fault.Incomplete, "still there: %s", left)
			}
			return err
		}, fault.Incomplete)
	})
	if !ok {
		d.left("%s", left)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.checks = append(d.checks, journal.Check{What: name + " " + on, OK: ok, Found: left})
}
