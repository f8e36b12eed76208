package journal

import (
	"reflect"
	"strings"
	"time"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/policy"
)

// Record is one fact about a run. The types in this file are all there are.
type Record interface {
	// kind is the record's name in the file. It never changes once written.
	kind() string
}

// Opened is the first record: everything about the run that is fixed before the
// first call.
type Opened struct {
	Run  grants.RunID `json:"run"`
	Task string       `json:"task"`
	// Cloud is "google" or "emulator", and Endpoint where it was reached. A run is
	// taken down where it was brought up, and nowhere else.
	Cloud    string `json:"cloud"`
	Endpoint string `json:"endpoint"`
	// Operator is the member as which taskiam acted: "user:a@example.com".
	Operator  string    `json:"operator"`
	Project   string    `json:"project"`
	AccountID string    `json:"account_id"`
	Email     string    `json:"email"`
	Expires   time.Time `json:"expires"`
	// Began is when the run began by the clock of the cloud, by which it also expires, if
	// that is not when its id says: this machine's clock was wrong then. Else it is zero.
	Began time.Time `json:"began,omitzero"`
	// ManifestPath is absolute, and ManifestSHA256 in lower-case hexadecimal.
	ManifestPath   string `json:"manifest_path"`
	ManifestSHA256 string `json:"manifest_sha256"`
	// Deliver has the kinds of credential that will do, the best one first.
	Deliver     []grants.DeliveryKind `json:"deliver"`
	DeliveryDir string                `json:"delivery_dir"`
	// Metadata is the address of the run's metadata server, HOST:PORT; empty if it may
	// not have one.
	Metadata string `json:"metadata,omitempty"`
	// Socket means that the server answers on a socket in the delivery. What is at the
	// address then, in the sandbox, leads there.
	Socket bool `json:"socket,omitempty"`
	// OwnUser is a user who exists for this run alone; zero is none. Everything that this user
	// has running ends with the run.
	OwnUser OwnUser `json:"own_user,omitzero"`
	// TokenLifetime is how long an access token may live, in seconds; 0 leaves that to
	// its kind. Audiences are whom identity tokens may be made out to.
	TokenLifetime int      `json:"token_lifetime,omitempty"`
	Audiences     []string `json:"audiences,omitempty"`
	Reason        string   `json:"reason,omitempty"`
	// Job is the label of the CI job that the run is for, by which the job finds it again.
	// Login is the path of the credential file that the job logged in with: what the run
	// exports to the job hides it. Both are empty for a run that no CI job brought up.
	Job   string `json:"job,omitempty"`
	Login string `json:"login,omitempty"`
	// Apart means that the run's command cannot read the key that seals the journal: it is
	// in a sandbox, or another user's.
	Apart bool `json:"apart,omitempty"`
	// Grants is what the manifest declares, in its order.
	Grants []Grant `json:"grants"`
	// Edits is what is to be bound for it, resource by resource.
	Edits []Edit `json:"edits"`
}

// OwnUser is a user of this machine who exists for one run alone.
type OwnUser struct {
	UID int `json:"uid"`
	// Claim is what shows that the run still has the number.
	Claim string `json:"claim"`
}

// Grant is one grant of the manifest.
type Grant struct {
	// Role is empty where the manifest lists permissions: RoleReady says which role it is.
	Role        string   `json:"role"`
	Permissions []string `json:"permissions,omitempty"`
	// Resource is a full resource name.
	Resource  string `json:"resource"`
	Prefix    string `json:"prefix,omitempty"`
	Condition string `json:"condition,omitempty"`
	// Unbounded means that this grant ends with down alone, not by itself.
	Unbounded bool `json:"unbounded,omitempty"`
	// Accepted are the findings that the manifest accepts, "NAME: REASON" each.
	Accepted []string `json:"accepted,omitempty"`
}

// Edit is what one resource's policy is to gain.
type Edit struct {
	Resource string    `json:"resource"`
	Bindings []Binding `json:"bindings"`
	// Grants has, for each binding, the index of its grant.
	Grants []int `json:"grants"`
}

// Binding gives one member one role under a condition or none. Two bindings are
// the same if all their fields are: Binding can be compared.
type Binding struct {
	Role      string           `json:"role"`
	Member    string           `json:"member"`
	Condition policy.Condition `json:"condition,omitzero"`
}

// BindingOf returns b as the journal keeps it.
func BindingOf(b policy.Binding) Binding {
	return Binding{Role: b.Role, Member: b.Member, Condition: b.Condition}
}

// Grants returns b as policies are edited with it.
func (b Binding) Grants() policy.Binding {
	return policy.Binding{Role: b.Role, Member: b.Member, Condition: b.Condition}
}

// AccountIntended announces the creation of the account that Opened names.
type AccountIntended struct{}

// AccountCreated means that the account is there, under the id that no other
// account ever has.
type AccountCreated struct {
	UniqueID string `json:"unique_id"`
}

// RoleIntended announces that a custom role, which all runs share that need what it holds,
// is to be made, or undeleted. No teardown takes it away.
type RoleIntended struct {
	// Role is its full name: projects/P/roles/ID.
	Role        string   `json:"role"`
	Permissions []string `json:"permissions"`
	// Instead is the role that was announced before and was not made: Google keeps its id
	// from being used again. It is empty if there was none.
	Instead string `json:"instead,omitempty"`
}

// RoleReady means that the custom role was there with exactly these permissions.
type RoleReady struct {
	Role        string     `json:"role"`
	Permissions []string   `json:"permissions"`
	Origin      RoleOrigin `json:"origin"`
}

// RoleOrigin says how a run came by a custom role.
type RoleOrigin string

const (
	// RoleFound means that it was there, RoleMade that the run made it, and RoleUndeleted
	// that it undeleted it: or that another run did so at that moment.
	RoleFound     RoleOrigin = "found"
	RoleMade      RoleOrigin = "made"
	RoleUndeleted RoleOrigin = "undeleted"
)

// BindIntended announces that a binding is to be added to a resource's policy.
type BindIntended struct {
	// Resource is a full resource name.
	Resource string `json:"resource"`
	Binding
}

// Bound means that the binding was written.
type Bound struct {
	Resource string `json:"resource"`
	Binding
}

// ReadBack means that the binding was found in the policy by a read after the write.
type ReadBack struct {
	Resource string `json:"resource"`
	Binding
}

// BindingFound announces that a binding of the account is to be removed which the run did not
// make: somebody else has added it.
type BindingFound struct {
	// Resource is a full resource name.
	Resource string `json:"resource"`
	Binding
}

// DropIntended announces that the next write of a dataset's access list leaves out the
// entry of a deleted member of somebody else's: BigQuery refuses a list that names one.
type DropIntended struct {
	// Resource is a full resource name.
	Resource string `json:"resource"`
	Binding
}

// Dropped means that the list was written without the entry.
type Dropped struct {
	Resource string `json:"resource"`
	Binding
}

// KeyIntended announces the upload of a key, whose id only Google knows.
type KeyIntended struct{}

// KeyCreated means that the account has this key.
type KeyCreated struct {
	KeyID       string    `json:"key_id"`
	ValidBefore time.Time `json:"valid_before"`
}

// TokenMinted means that an access token of the account is out until Expires.
type TokenMinted struct {
	Expires time.Time `json:"expires"`
}

// DeliverIntended announces files and folders that are about to be written.
type DeliverIntended struct {
	// Kind is the kind of credential in them, one of those in Opened.
	Kind  grants.DeliveryKind `json:"kind"`
	Paths []string            `json:"paths"`
}

// Delivered means that everything that DeliverIntended announced is there.
type Delivered struct {
	// Folder tells the folder of the delivery from any other that may have its name later.
	Folder string `json:"folder,omitempty"`
}

// GrantReady is what is known about a grant's being usable. A later record about
// the same grant replaces an earlier one.
type GrantReady struct {
	// Grant is its index in Opened.
	Grant int       `json:"grant"`
	State Readiness `json:"state"`
	// Why is in words; empty for what is proved.
	Why string `json:"why,omitempty"`
}

// Readiness says whether a grant is known to be usable.
type Readiness string

const (
	// Proved means that Google was asked as the new account, and said yes three
	// times in a row.
	Proved Readiness = "proved"
	// NotProvable means that the binding was read back, and that there is no way to
	// ask whether it works.
	NotProvable Readiness = "read back, not provable"
	// NotReady means that the binding is there and that Google does not act on it yet.
	NotReady Readiness = "not ready"
)

// ProcessRole is what a process in the background does for its run, which may have several.
type ProcessRole string

// RoleServer keeps the delivery good: as its metadata server, or by renewing its token.
const RoleServer ProcessRole = "server"

// ProcessStarted means that a process of the run is at work in the background.
type ProcessStarted struct {
	// Role is empty in journals from before there were several; then it is [RoleServer].
	Role ProcessRole `json:"role,omitempty"`
	PID  int         `json:"pid"`
	// Start tells this process from a later one with the same PID. Its form is that
	// of who writes it.
	Start string `json:"start"`
}

// ProcessStopped means that the process is gone.
type ProcessStopped struct {
	PID   int    `json:"pid"`
	Start string `json:"start"`
}

// Up means that everything is in place; what is usable of it, GrantReady says.
type Up struct{}

// RenewIntended announces that the run's end is to move to Expires. Until it is known to
// have come off, some of what the run has may last until then, and the old end stands.
type RenewIntended struct {
	Expires time.Time `json:"expires"`
}

// Renewed means that all that the run has lasts until Expires, which is its end from
// here on.
type Renewed struct {
	Expires time.Time `json:"expires"`
}

// RenewUndone means that nothing of a renewal that did not come off is left: the end is
// what it was.
type RenewUndone struct{}

// TimeOver means that the run's end came while its command was still working.
type TimeOver struct{}

// Used is what was called through the proxy of a closed network since the last such record.
type Used struct {
	Calls []UsedCall `json:"calls,omitempty"`
	// More counts the calls that are not in Calls, because they are of too many kinds.
	More int64 `json:"more,omitempty"`
	// Final means that the proxy has ended: nothing was called after this.
	Final bool `json:"final,omitempty"`
}

// UsedCall is calls of one kind.
type UsedCall struct {
	Method string `json:"method"`
	Host   string `json:"host"`
	// Resources are the full names of what was granted, or added to that, and was called.
	Resources []string `json:"resources,omitempty"`
	// Refused is why the proxy passed none of them on; empty if it did.
	Refused string `json:"refused,omitempty"`
	Calls   int64  `json:"calls"`
	// Failed counts those that the host answered with 400 or above.
	Failed int64 `json:"failed,omitempty"`
	// Sent and Received are bytes of bodies.
	Sent     int64 `json:"sent,omitempty"`
	Received int64 `json:"received,omitempty"`
}

// Key tells a kind of calls from others.
func (c UsedCall) Key() string {
	return strings.Join([]string{c.Method, c.Host, strings.Join(c.Resources, " "), c.Refused}, "\x00")
}

// Add adds other calls of the same kind.
func (c *UsedCall) Add(o UsedCall) {
	c.Calls, c.Failed = c.Calls+o.Calls, c.Failed+o.Failed
	c.Sent, c.Received = c.Sent+o.Sent, c.Received+o.Received
}

// DownBegan means that from here on the run is being taken down.
type DownBegan struct{}

// Unbound means that the binding is no longer in the resource's policy.
type Unbound struct {
	Resource string `json:"resource"`
	Binding
	// Missing means that it was not there any more: somebody else has removed it.
	Missing bool `json:"missing,omitempty"`
}

// KeyDeleted means that the key is gone.
type KeyDeleted struct {
	KeyID string `json:"key_id"`
	// Missing means that it was not there any more: somebody else has deleted it.
	Missing bool `json:"missing,omitempty"`
}

// AccountRefused means that Google has refused to create the account: there is none.
type AccountRefused struct{}

// AccountSeen means that a read has shown the account. Before that, a read which does not
// show it says nothing: it may be too new.
type AccountSeen struct{}

// AccountDisabled means that Google refuses the account and its tokens.
type AccountDisabled struct {
	// Missing means that the account was not there any more: somebody else has deleted it.
	Missing bool `json:"missing,omitempty"`
}

// AccountDeleted means that the account is gone.
type AccountDeleted struct {
	// Missing means that it was not there any more: somebody else has deleted it.
	Missing bool `json:"missing,omitempty"`
}

// Removed means that a path of the delivery is gone.
type Removed struct {
	// Missing means that it was not there: somebody else has removed it, or moved it.
	Missing bool   `json:"missing,omitempty"`
	Path    string `json:"path"`
}

// Failed is a step that failed, in words. On names what it was about; empty where Step does.
type Failed struct {
	Step    string `json:"step"`
	On      string `json:"on,omitempty"`
	Message string `json:"message"`
}

// Closed is the receipt of a teardown: what was looked at in the end, and what was
// found. A teardown that left something behind is closed too, and can be repeated.
type Closed struct {
	Checks []Check `json:"checks"`
}

// Forgotten means that a person has given the run up: what is here was taken away, and the cloud was not asked. A
// teardown that begins later takes it back.
type Forgotten struct {
	// Left is what may still be in the cloud, in words.
	Left []string `json:"left"`
}

// Check is one thing that a teardown looked at.
type Check struct {
	// What is in words, with the name of the thing: "account x@p… is gone".
	What string `json:"what"`
	OK   bool   `json:"ok"`
	// Found is what was there instead; empty if OK.
	Found string `json:"found,omitempty"`
}

// sealed says that the records before it, back to the last seal, are of somebody who has the key of the journals. It
// is a record like any other, so that every [Store] keeps it.
type sealed struct {
	// N is the number of the seal in its journal, from 0 on.
	N int `json:"n"`
	// MAC is an HMAC-SHA256 over the run's id, N, its own time, and these records and their times, in hexadecimal.
	MAC string `json:"mac"`
}

func (Opened) kind() string          { return "opened" }
func (sealed) kind() string          { return "sealed" }
func (AccountIntended) kind() string { return "account intended" }
func (AccountCreated) kind() string  { return "account created" }
func (RoleIntended) kind() string    { return "role intended" }
func (RoleReady) kind() string       { return "role ready" }
func (BindIntended) kind() string    { return "bind intended" }
func (Bound) kind() string           { return "bound" }
func (ReadBack) kind() string        { return "read back" }
func (BindingFound) kind() string    { return "binding found" }
func (DropIntended) kind() string    { return "drop intended" }
func (Dropped) kind() string         { return "dropped" }
func (KeyIntended) kind() string     { return "key intended" }
func (KeyCreated) kind() string      { return "key created" }
func (TokenMinted) kind() string     { return "token minted" }
func (DeliverIntended) kind() string { return "deliver intended" }
func (Delivered) kind() string       { return "delivered" }
func (GrantReady) kind() string      { return "grant ready" }
func (ProcessStarted) kind() string  { return "process started" }
func (ProcessStopped) kind() string  { return "process stopped" }
func (Up) kind() string              { return "up" }
func (RenewIntended) kind() string   { return "renew intended" }
func (Renewed) kind() string         { return "renewed" }
func (RenewUndone) kind() string     { return "renew undone" }
func (TimeOver) kind() string        { return "time over" }
func (Used) kind() string            { return "used" }
func (DownBegan) kind() string       { return "down began" }
func (Unbound) kind() string         { return "unbound" }
func (KeyDeleted) kind() string      { return "key deleted" }
func (AccountRefused) kind() string  { return "account refused" }
func (AccountSeen) kind() string     { return "account seen" }
func (AccountDisabled) kind() string { return "account disabled" }
func (AccountDeleted) kind() string  { return "account deleted" }
func (Removed) kind() string         { return "removed" }
func (Failed) kind() string          { return "failed" }
func (Closed) kind() string          { return "closed" }
func (Forgotten) kind() string       { return "forgotten" }

// kinds has the zero value of every record by its kind.
var kinds = func() map[string]Record {
	m := map[string]Record{}
	for _, r := range []Record{
		Opened{}, AccountIntended{}, AccountCreated{}, RoleIntended{}, RoleReady{}, BindIntended{}, Bound{}, ReadBack{},
		KeyIntended{}, KeyCreated{}, TokenMinted{}, DeliverIntended{}, Delivered{},
		GrantReady{}, ProcessStarted{}, ProcessStopped{}, Up{}, RenewIntended{}, Renewed{},
		RenewUndone{}, TimeOver{}, Used{}, DownBegan{}, Unbound{}, BindingFound{}, DropIntended{}, Dropped{},
		KeyDeleted{}, AccountRefused{}, AccountSeen{}, AccountDisabled{}, AccountDeleted{}, Removed{}, Failed{},
		Closed{}, Forgotten{}, sealed{},
	} {
		m[r.kind()] = r
	}
	return m
}()

// newRecord returns a pointer to a zero record of the kind; nil if there is none.
func newRecord(kind string) any {
	r, ok := kinds[kind]
	if !ok {
		return nil
	}
	return reflect.New(reflect.TypeOf(r)).Interface()
}
