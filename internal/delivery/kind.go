package delivery

import (
	"slices"
	"time"

	"github.com/taskiam/taskiam/internal/grants"
)

// Kind is one way to give a sandbox its access.
type Kind struct {
	// Name is its word in manifests, journals and documents.
	Name grants.DeliveryKind
	// MakesKey says that the account gets a key, which Google refuses once the run has
	// ended. Without one, the operator mints the account's tokens.
	MakesKey bool
	// Upkeep is what the delivery needs while the run lasts.
	Upkeep Upkeep
	// Proxied says that the credential stays outside of the sandbox: a proxy adds it to what leaves.
	Proxied bool
	// TokenLifetime is how long one access token lives if the manifest does not say.
	TokenLifetime time.Duration
	// Permissions are what the operator must have on the project that hosts the account,
	// beside those that every run takes. An operator without [MintPermission] will do if
	// it may give itself that on the account.
	Permissions []string
	// Title says in words what it is: "a service account key".
	Title func(d Delivery) string
	// Files returns the files that only this kind has, the secret ones last. Their names
	// and which of them are secret do not depend on d.
	Files func(d Delivery) []File
	// Over returns what takes the place of the credential once the run has expired, at d.Expires: clients that read it
	// again then say so, and do not ask for a login. It is nil where they would say nothing of it.
	Over func(d Delivery) []File
	// Environment returns the variables that only this kind sets. They must say of every
	// client of Google's what it finds: a gap would let it find another identity.
	Environment func(d Delivery) []Var
}

// Upkeep is what has to be done for a delivery while its run lasts.
type Upkeep int

const (
	// NoUpkeep: the credential lasts as long as the run.
	NoUpkeep Upkeep = iota
	// Refresh: the token in its secret files is replaced before it ends.
	Refresh
	// Serve: a metadata server mints tokens for the sandbox.
	Serve
)

// MintPermission lets the operator mint access tokens of an account.
const MintPermission = "iam.serviceAccounts.getAccessToken"

// kinds is every kind of delivery, the one that exposes least first.
var kinds = []Kind{
	proxy,
	metadata,
	key,
	token,
}

// Default is how a task is delivered whose manifest does not say: by key, and by token
// where keys are forbidden. `taskiam run`, which stays and can serve, has DefaultOfRun.
var (
	Default      = []grants.DeliveryKind{Key, Token}
	DefaultOfRun = []grants.DeliveryKind{Metadata}
	// DefaultOfClosed is that of a run in a closed network.
	DefaultOfClosed = []grants.DeliveryKind{Proxy}
)

// Kinds returns every kind of delivery.
func Kinds() []Kind { return slices.Clone(kinds) }

// Of returns the kind with that name. For an unknown name, and for the empty name of a run
// that is not delivered yet, it returns the zero Kind.
func Of(name grants.DeliveryKind) Kind {
	at := slices.IndexFunc(kinds, func(k Kind) bool { return k.Name == name })
	if at < 0 {
		return Kind{}
	}
	return kinds[at]
}

// For returns the kinds that will do for a task, the best first.
func For(t grants.Task) []Kind {
	names := t.Deliver
	if len(names) == 0 {
		names = Default
	}
	out := make([]Kind, len(names))
	for i, name := range names {
		out[i] = Of(name)
	}
	return out
}

// NeedsServer reports whether a run of the task may need a metadata server.
func NeedsServer(t grants.Task) bool {
	return slices.ContainsFunc(For(t), func(k Kind) bool { return k.Upkeep == Serve })
}

// Proxied reports whether a run of the task may need a proxy, and whether it needs one in any case.
func Proxied(t grants.Task) (may, must bool) {
	must = true
	for _, k := range For(t) {
		may, must = may || k.Proxied, must && k.Proxied
	}
	return may, must
}

// Secret reports whether the credential lies in a file of the delivery.
func (k Kind) Secret() bool {
	return k.Files != nil && slices.ContainsFunc(k.Files(Delivery{}), func(f File) bool { return f.Secret })
}

// Lifetime returns how long one access token of the task lives if it is delivered so.
func (k Kind) Lifetime(t grants.Task) time.Duration {
	switch {
	case t.TokenLifetime != 0:
		return t.TokenLifetime
	case k.TokenLifetime != 0:
		return k.TokenLifetime
	default:
		return grants.TokenLifetime
	}
}

// ServeCommand is the command that does the upkeep for a run, "" where there is none.
func (k Kind) ServeCommand(run grants.RunID) string {
	switch k.Upkeep {
	case Refresh:
		return "taskiam serve --refresh " + string(run)
	case Serve:
		return "taskiam serve " + string(run)
	default:
		return ""
	}
}
