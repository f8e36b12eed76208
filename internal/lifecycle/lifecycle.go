// Package lifecycle brings a run up and takes it down again.
//
// It walks a [grants.Plan] through the journal: what is about to be done is
// recorded before it is done, and the outcome after. Taking down works from the
// journal alone and never sees a manifest. Whatever speaks to Google or makes
// credentials enters by the small interfaces below; the package prints nothing and
// tells of its progress through [Engine.Progress].
package lifecycle

import (
	"context"
	"io"
	"time"

	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/secret"
)

// Accounts makes and ends service accounts. Where a method takes an id, it is the
// account's email or its unique id.
type Accounts interface {
	CreateAccount(ctx context.Context, project, id, displayName, description string) (grants.Account, error)
	Account(ctx context.Context, project, id string) (grants.Account, error)
	// Accounts lists the accounts of a project.
	Accounts(ctx context.Context, project string) ([]grants.Account, error)
	// SetDescription replaces an account's description.
	SetDescription(ctx context.Context, project, id, description string) error
	DisableAccount(ctx context.Context, project, id string) error
	DeleteAccount(ctx context.Context, project, id string) error
}

// Keys holds the public sides of service account keys.
type Keys interface {
	UploadKey(ctx context.Context, project, account string, certificate []byte) (grants.Key, error)
	Keys(ctx context.Context, project, account string) ([]grants.Key, error)
	DeleteKey(ctx context.Context, project, account, keyID string) error
}

// Policies reads and writes who has access to a resource. A write replaces the
// version that its document was read as, and is a [fault.Conflict] if there is
// another one meanwhile.
type Policies interface {
	ReadPolicy(ctx context.Context, name resource.Name) (policy.Document, error)
	WritePolicy(ctx context.Context, name resource.Name, doc policy.Document) (policy.Document, error)
	// TryReadPolicy and TryWritePolicy are the same, tried once: for who keeps others
	// from the policy, and is not to wait meanwhile.
	TryReadPolicy(ctx context.Context, name resource.Name) (policy.Document, error)
	TryWritePolicy(ctx context.Context, name resource.Name, doc policy.Document) (policy.Document, error)
}

// Catalog describes what is there: what would be refused for good, and what would be
// inherited.
type Catalog interface {
	Role(ctx context.Context, name string) (grants.Role, error)
	GrantableRoles(ctx context.Context, name resource.Name) (map[string]bool, error)
	// ProjectNumber returns the number of a project.
	ProjectNumber(ctx context.Context, project string) (string, error)
	Bucket(ctx context.Context, bucket resource.Name) (grants.Bucket, error)
	// Ancestors returns a project and what is above it, the nearest first.
	Ancestors(ctx context.Context, project string) ([]resource.Name, error)
	// SearchPolicies returns the full names of the resources below scope whose policies
	// have the text in a member. It may not know yet what was written a moment ago.
	SearchPolicies(ctx context.Context, scope resource.Name, text string) ([]string, error)
}

// Roles makes and ends custom roles of a project. A write replaces the version of a role
// that has the etag, and is a [fault.Conflict] if there is another one meanwhile.
type Roles interface {
	// CustomRoles lists those of a project, the deleted ones included that can come back.
	CustomRoles(ctx context.Context, project string) ([]grants.Role, error)
	// CreateRole is a [fault.Precondition] for an id that a deleted role had.
	CreateRole(ctx context.Context, r grants.Role) (grants.Role, error)
	UndeleteRole(ctx context.Context, name, etag string) (grants.Role, error)
	DeleteRole(ctx context.Context, name, etag string) error
}

// Permissions says what permissions are about, and which roles hold them.
type Permissions interface {
	// TestablePermissions returns those that mean something on a resource, and how far
	// custom roles may hold them.
	TestablePermissions(ctx context.Context, name resource.Name) (map[string]grants.Support, error)
	// RolesOn returns the roles that can be granted on a resource, with their permissions.
	RolesOn(ctx context.Context, name resource.Name) ([]grants.Role, error)
}

// Tester asks, as some principal, which of the permissions it has on a resource.
type Tester interface {
	TestPermissions(ctx context.Context, name resource.Name, permissions []string) ([]string, error)
}

// Settings are what a project allows at all.
type Settings interface {
	// EnabledServices returns those of the services that are enabled in a project.
	EnabledServices(ctx context.Context, project string, services []string) ([]string, error)
	// Constraint returns what a constraint of organisation policies comes to in a project.
	Constraint(ctx context.Context, project, name string) (grants.Constraint, error)
}

// Cloud is Google Cloud as the operator sees it.
type Cloud interface {
	Accounts
	Keys
	Policies
	Catalog
	Roles
	Permissions
	Tester
	Settings
	// Cloud names what is spoken to: "google" or "emulator", and its endpoint.
	Cloud() (name, endpoint string)
	// Clock returns what time it is there, as far as is known by now.
	Clock() time.Time
	Whoami(ctx context.Context) (grants.Identity, error)
	AccessToken(ctx context.Context, account string, lifetime time.Duration) (grants.Token, error)
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
	Deliver(d delivery.Delivery) error
	// Key returns the key file that is in a run's delivery.
	Key(run *journal.Run) (secret.String, error)
	// Renew says in a run's delivery that it ends at expires, and puts the key file in the
	// place of the one that is there, unless it is zero.
	Renew(run *journal.Run, expires time.Time, key secret.String) error
	// Remove takes away the run's delivery. It refuses a folder that is not one; a
	// folder that is not there is no error.
	Remove(dir string, run grants.RunID) error
}

// Engine brings runs up and down. All fields but Delivered and Progress must be set.
type Engine struct {
	Cloud       Cloud
	Credentials Credentials
	Journals    *journal.Dir
	// AsKey and AsToken return the cloud as the run's own account sees it.
	AsKey   func(keyFile secret.String) (Tester, error)
	AsToken func(token secret.String) (Tester, error)
	// Stop ends a process that was started for a run, and returns once it is gone. One
	// that is gone already, or whose number another process has by now, is no error.
	Stop   func(ctx context.Context, pid int, start string) error
	Now    func() time.Time
	Random io.Reader
	// Delivered returns the folder in which a run's delivery is on this machine, if its
	// journal does not say; "" if there is none in the place where it would be by default.
	Delivered func(grants.RunID) string
	// Progress is told what is being done. It is called from several goroutines.
	Progress func(Event)
}

// Event is one line of progress: the beginning, the end or a wait of one step.
type Event struct {
	Time  time.Time
	Step  string // in words: "create account", "bind", "wait for access"
	On    string // the object of it
	State EventState
	Err   error // why it waits or failed
}

// EventState is how far a step is.
type EventState string

const (
	// Known is no step: it is something that whoever waits should know. Warned is one
	// that must not be missed.
	Known   EventState = "known"
	Warned  EventState = "warned"
	Started EventState = "started"
	Waiting EventState = "waiting"
	Done    EventState = "done"
	Failed  EventState = "failed"
)

// report tells of progress, if anybody listens.
func (e *Engine) report(step, on string, state EventState, err error) {
	if e.Progress != nil {
		e.Progress(Event{Time: e.Now(), Step: step, On: on, State: state, Err: err})
	}
}

// step runs f between its two lines of progress.
func (e *Engine) step(step, on string, f func() error) error {
	e.report(step, on, Started, nil)
	err := f()
	if err != nil {
		e.report(step, on, Failed, err)
		return err
	}
	e.report(step, on, Done, nil)
	return nil
}
