// Package lifecycle brings a run up and takes it down again.
//
// It walks a [grants.Plan] through the journal: what is about to be done is recorded before it is done, and the outcome
// after. Taking down works from the journal alone and never sees a manifest. It prints nothing, and tells of its
// progress through [Engine.Progress].
//
// Google is reached through the concrete [gcp.Client]. The flows together call nearly every method that it has, nothing
// else will ever implement them, and the tests need no double: they give the same client a transport into the
// emulator's handler. [Roles] is an interface, because the program puts a cache in front of it.
//
// Journals are reached through [journal.Store], which does not say how they are kept.
package lifecycle

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/taskiam/taskiam/internal/customrole"
	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/gcp"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/secret"
)

// Roles says what roles hold and where they can be granted. An answer about a predefined
// role may be some hours old; one about a custom role is what IAM says now.
type Roles interface {
	// Role reads one role, with its permissions.
	Role(ctx context.Context, name string) (grants.Role, error)
	// RolesOn returns the roles that can be granted on a resource, with their permissions,
	// and GrantableRoles their names alone.
	RolesOn(ctx context.Context, name resource.Name) ([]grants.Role, error)
	GrantableRoles(ctx context.Context, name resource.Name) (map[string]bool, error)
}

// Turns keeps the runs of one machine from competing for a policy. Nothing depends on it:
// a run that gets no turn meets a conflict, and tries again.
type Turns interface {
	// LockPolicy waits for the turn to read and write the policy that key names.
	LockPolicy(ctx context.Context, key string, pace journal.Pace) (*journal.Turn, error)
}

// KeyPair is a key whose private half never leaves this machine.
type KeyPair interface {
	// Certificate returns a self-signed certificate in PEM that ends at notAfter.
	Certificate(notBefore, notAfter time.Time) ([]byte, error)
	// File returns Google's key file for the account.
	File(account grants.Account, keyID string) (secret.String, error)
}

// Credentials makes and hands over what the sandbox is given.
type Credentials interface {
	NewKeyPair() (KeyPair, error)
	// Deliver writes the delivery, and returns what tells its folder from any other.
	Deliver(d delivery.Delivery) (folder string, err error)
	// Key returns the key file that is in a run's delivery.
	Key(run *journal.Run) (secret.String, error)
	// Renew says in a run's delivery that it ends at expires, and puts the key file in the
	// place of the one that is there, unless it is zero.
	Renew(run *journal.Run, expires time.Time, key secret.String) error
	// Remove takes away the run's delivery, and reports whether it was there. It refuses a folder that is not one, or
	// not the one that was made. folder is what Deliver returned; "" if that is not known.
	Remove(dir string, run grants.RunID, folder string) (found bool, err error)
}

// Engine brings runs up and down. All fields but Delivered and Progress must be set.
type Engine struct {
	// Cloud is Google Cloud as the operator sees it.
	Cloud *gcp.Client
	// Roles answers what does not change from one run to the next; Cloud does, too.
	Roles       Roles
	Credentials Credentials
	Journals    journal.Store
	Turns       Turns
	// Stop ends a process that was started for a run, and returns once it is gone. One
	// that is gone already, or whose number another process has by now, is no error.
	Stop func(ctx context.Context, pid int, start string) error
	// EndUser ends everything that the user of a run has running, and gives the number back.
	EndUser func(ctx context.Context, uid int, claim string) error
	Now     func() time.Time
	Random  io.Reader
	// Delivered returns the folder in which a run's delivery is on this machine, if its
	// journal does not say; "" if there is none in the place where it would be by default.
	Delivered func(grants.RunID) string
	// Progress is told what is being done. It is called from several goroutines.
	Progress func(Event)

	// wrote has the *attempt that wrote a policy last, by its resource.Name, until a read shows another thing.
	wrote sync.Map
}

// Event is one line of progress: the beginning, the end or a wait of one step.
type Event struct {
	Time  time.Time
	Step  string // in words: "create account", "bind", "wait for access"
	On    string // the object of it
	State EventState
	Err   error // why it waits or failed
	Wait  Wait  // with Waiting: what is to be expected of the wait
	// Done of All parts of the step are finished, with Working.
	Done, All int
}

// Wait is what is to be expected of a wait. Its zero value says nothing.
type Wait struct {
	// For is what is waited for, in words that follow "waiting for".
	For string
	// Usual is how long that takes as a rule; 0 if that is not known.
	Usual time.Duration
	// Until is when it is given up; the zero time if that is not known.
	Until time.Time
}

// What lifecycle waits for. Google states how long some of it takes: iam/docs/access-change-propagation and
// iam/docs/service-accounts-create.
var (
	forAccess  = Wait{For: "access to take effect", Usual: 2 * time.Minute}
	forAccount = Wait{For: "Google to show the new account everywhere", Usual: time.Minute}
	forKey     = Wait{For: "Google to accept the new key everywhere", Usual: time.Minute}
	forWritten = Wait{For: "Google to show what was written"}
	forGone    = Wait{For: "Google to show that it is gone"}
	forRole    = Wait{For: "Google to show the custom role"}
	forOthers  = Wait{For: "others who are changing the same policy"}
	forTurn    = Wait{For: "other runs on this machine that are changing the same policy"}
	forQuota   = Wait{For: "Google to take more writes: a quota is used up"}
	forAnswer  = Wait{For: "Google to answer"}
	forJournal = Wait{For: "another taskiam that is working on the run"}
)

// atMost returns the wait with the time at which it is given up: at the time, or when ctx ends.
func (w Wait) atMost(ctx context.Context, until time.Time) Wait {
	if deadline, ok := ctx.Deadline(); ok && (until.IsZero() || deadline.Before(until)) {
		until = deadline
	}
	w.Until = until
	return w
}

// EventState is how far a step is.
type EventState string

const (
	// Known is not a step but information. Warned is information that must not be missed.
	Known   EventState = "known"
	Warned  EventState = "warned"
	Started EventState = "started"
	Waiting EventState = "waiting"
	Working EventState = "working" // with how many parts of it are done
	Done    EventState = "done"
	Failed  EventState = "failed"
)

// Ended is how a step is that ended with err.
func Ended(err error) EventState {
	if err != nil {
		return Failed
	}
	return Done
}

// report tells of progress, if anybody listens.
func (e *Engine) report(step, on string, state EventState, err error) {
	if e.Progress != nil {
		e.Progress(Event{Time: e.Now(), Step: step, On: on, State: state, Err: err})
	}
}

// waits tells that a step waits, and what is to be expected of that.
func (e *Engine) waits(step, on string, err error, w Wait) {
	if e.Progress != nil {
		e.Progress(Event{Time: e.Now(), Step: step, On: on, State: Waiting, Err: err, Wait: w})
	}
}

// step runs f between its two lines of progress.
func (e *Engine) step(step, on string, f func() error) error {
	e.report(step, on, Started, nil)
	err := f()
	e.report(step, on, Ended(err), err)
	return err
}

// customRoles returns what looks after custom roles.
func (e *Engine) customRoles() customrole.Manager {
	return customrole.Manager{Cloud: e.Cloud, RolesOn: e.Roles.RolesOn, Progress: progress{e}}
}

// progress lets customrole tell of its steps as the engine does.
type progress struct{ *Engine }

func (p progress) Warn(text string) { p.report(text, "", Warned, nil) }

func (p progress) Step(name, on string, f func() error) error { return p.step(name, on, f) }

func (p progress) Retry(
	ctx context.Context, name, on string, bound time.Duration, f func() error, kinds ...fault.Kind,
) error {
	return p.repeat(ctx, name, on, forRole, bound, f, kinds...)
}

// receiptsKept is for how long the journal of a run that is down is kept: it is the
// run's receipt.
const receiptsKept = 90 * 24 * time.Hour

// prune removes the journals that are not needed any more. A failure is only reported: it
// must not stop what follows, and the next call tries again.
func (e *Engine) prune() {
	if err := e.Journals.Prune(e.Now().Add(-receiptsKept)); err != nil {
		e.report("old journals cannot be deleted: "+err.Error(), "", Known, nil)
	}
}
