package journal

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
)

// Run is what a journal says about its run: everything that taking it down needs.
// What was intended and is not known to have been done counts as maybe done.
type Run struct {
	Opened Opened
	// At is when the run was opened, and Last when the latest record was written.
	At, Last time.Time

	Account Account
	// Roles are the custom roles that the run shares.
	Roles    []Role
	Bindings []RunBinding
	// Drops is what of others' deleted members the run's edits of datasets left out.
	Drops []Drop
	Keys  []Key
	// Tokens counts the access tokens that were recorded.
	Tokens int
	// TokensUntil is when the last access token that was recorded ends; zero if none was.
	TokensUntil time.Time
	// Kind is the kind of credential that the delivery has; empty before there is one.
	Kind grants.DeliveryKind
	// Delivery has the paths that were or may have been written.
	Delivery []Path
	// Delivered reports whether the delivery was complete.
	Delivered bool
	// Folder tells the folder of the delivery from any other; "" if that is not known.
	Folder string
	// Grants has one element for each in Opened.
	Grants    []GrantState
	Processes []Process
	Failures  []Failure
	// Steps is what was taken away, and what could not be, since the first teardown began.
	Steps []Step

	// Renewals are the ends that the run was to be given, one after the other.
	Renewals []Renewal

	// TimeOver is when the run's end came while its command was still working; zero if it did not.
	TimeOver time.Time

	// Used is what was called through the proxy of a closed network, and UsedMore counts the calls
	// that are not in it. UsedWhole means that this is all: it ended in good order.
	Used      []UsedCall
	UsedMore  int64
	UsedWhole bool

	// Up is when the run came up, and Down when it was last begun to be taken down;
	// zero if never.
	Up, Down time.Time
	// Receipt is that of the last teardown, once it has come to its end; nil before.
	Receipt *Receipt
	// Forgotten is when a person gave the run up, and Leaves what may be in the cloud of it; zero if nobody did.
	Forgotten time.Time
	Leaves    []string

	// Verified reports whether every record was sealed with the key of the journals: see [Seal].
	Verified bool
	seals    seals
}

// Effect is whether something that a run does to the world is there.
type Effect string

const (
	// None means that it was never begun, or that the cloud refused it.
	None Effect = ""
	// Maybe means that it was announced, and that no outcome is known.
	Maybe Effect = "maybe"
	// Done means that it is there.
	Done Effect = "done"
	// Undone means that it was taken away, and seen to be gone.
	Undone Effect = "undone"
)

// Standing reports whether there may be something to take away.
func (e Effect) Standing() bool { return e == Maybe || e == Done }

// Account is the run's service account.
type Account struct {
	Effect Effect
	// UniqueID is empty if Google's answer is not known.
	UniqueID string
	Disabled bool
	// Seen reports whether a read has shown the account, and Refused whether Google has refused
	// to create it.
	Seen, Refused bool
}

// Role is a custom role that the run shares with others.
type Role struct {
	Name        string // in full
	Permissions []string
	// Origin is empty if it is not known whether the run made it or took it back.
	Origin RoleOrigin
}

// RunBinding is a binding that the run adds to a resource's policy.
type RunBinding struct {
	// Resource is a full resource name.
	Resource string
	Binding  Binding
	Effect   Effect
	// ReadBack reports whether the binding was seen by a read after the write.
	ReadBack bool
	// Missing means that it was there, and that a teardown did not find it.
	Missing bool
}

// Drop is the entry of a deleted member of somebody else's, which a write of a dataset's
// access list left out because BigQuery refuses a list that names one. Its effect is
// [Maybe] if the write was announced and its outcome is not known, and [Done] if the
// entry is gone.
type Drop struct {
	// Resource is a full resource name.
	Resource string
	Binding  Binding
	Effect   Effect
	At       time.Time // of the latest record
}

// Key is a key of the account. ID is empty if it may have been uploaded and Google's
// answer is not known: then the account is to be asked for its keys.
type Key struct {
	ID          string
	ValidBefore time.Time
	Effect      Effect
	// Missing means that it was there, and that it was gone when it was to be deleted.
	Missing bool
}

// Path is a file or folder of the delivery.
type Path struct {
	Path   string
	Effect Effect
	// Missing means that it was delivered, and that a teardown did not find it.
	Missing bool
}

// GrantState is what is known about a grant's being usable; State is empty if
// nothing is.
type GrantState struct {
	State Readiness
	Why   string
	At    time.Time // when that became known
}

// Process is a process of the run in the background.
type Process struct {
	Role   ProcessRole
	PID    int
	Start  string
	Effect Effect
}

// Renewal is one move of the run's end to Expires. Its effect is [Maybe] until it is known
// what came of it, which is never if it was cut off; a later one takes its place then.
type Renewal struct {
	At      time.Time // when it was begun
	Expires time.Time
	Effect  Effect
}

// Failure is a step that failed. On is empty where Step names the thing.
type Failure struct {
	At                time.Time
	Step, On, Message string
}

// Step is one step of a teardown.
type Step struct {
	At time.Time
	// What is in words; On names the thing, and is empty where What does.
	What, On string
	// Failure is why it did not come off; empty if it did.
	Failure string
	// Missing means that there was nothing to do: what had been there was gone already.
	Missing bool
}

// Receipt is the closing record and its time.
type Receipt struct {
	At     time.Time
	Checks []Check
}

// Clean reports whether every check found what it should.
func (r Receipt) Clean() bool {
	return !slices.ContainsFunc(r.Checks, func(c Check) bool { return !c.OK })
}

// State is how far a run is, in the words that status prints.
type State string

const (
	// Starting means that up is at work, or was when it was cut off.
	Starting State = "starting"
	// Running means that all of the access is usable, or as good as can be known.
	Running State = "up"
	// RunningNotReady means that Google does not act on some of the bindings yet.
	RunningNotReady State = "up (not ready)"
	// Ending means that down is at work, or was when it was cut off.
	Ending State = "ending"
	// Ended means that everything is gone, and was checked to be.
	Ended State = "down"
	// Incomplete means that a teardown came to its end and left something behind.
	Incomplete State = "incomplete"
	// GivenUp means that a person has given the run up, and that the cloud was not asked: see [Run.Leaves].
	GivenUp State = "forgotten"
)

// State returns how far the run is.
func (r *Run) State() State {
	switch {
	case !r.Forgotten.IsZero():
		return GivenUp
	case r.Receipt != nil && r.Receipt.Clean():
		return Ended
	case r.Receipt != nil:
		return Incomplete
	case !r.Down.IsZero():
		return Ending
	case r.Up.IsZero():
		return Starting
	case slices.ContainsFunc(r.Grants, func(g GrantState) bool { return g.State != Proved && g.State != NotProvable }):
		return RunningNotReady
	default:
		return Running
	}
}

// Live reports whether the run may still have something that stands, and nobody has given it up: whether there
// is a reason to take it down.
func (r *Run) Live() bool { return r.State().Live() }

// Live reports whether a run in this state may still have something that stands.
func (s State) Live() bool { return s != Ended && s != GivenUp }

// ClockAhead returns by how much the clock of the cloud was ahead of this machine's when
// the run began, if this machine's was wrong; else 0.
func (r *Run) ClockAhead() time.Duration {
	if r.Opened.Began.IsZero() {
		return 0
	}
	return r.Opened.Began.Sub(r.Opened.Run.Started())
}

// Expires is when the run ends by itself, by the clock of the cloud: what it was opened
// with, or what the last renewal that came off says.
func (r *Run) Expires() time.Time {
	for _, n := range slices.Backward(r.Renewals) {
		if n.Effect == Done {
			return n.Expires
		}
	}
	return r.Opened.Expires
}

// Renewing returns the end of a renewal that was begun and of which it is not known what
// came: until then some of what the run has may last. It is zero if there is none.
func (r *Run) Renewing() time.Time {
	if len(r.Renewals) == 0 || r.Renewals[len(r.Renewals)-1].Effect != Maybe {
		return time.Time{}
	}
	return r.Renewals[len(r.Renewals)-1].Expires
}

// Expired reports whether the run's time is over when it is now by this machine's clock:
// also if that is still as wrong as it was when the run began.
func (r *Run) Expired(now time.Time) bool {
	return !now.Before(r.Expires()) && !now.Add(r.ClockAhead()).Before(r.Expires())
}

// MayBeExpired reports whether the run's time is over when it is now by this machine's
// clock, or would be if that is still as wrong as it was when the run began.
func (r *Run) MayBeExpired(now time.Time) bool {
	return !now.Before(r.Expires()) || !now.Add(r.ClockAhead()).Before(r.Expires())
}

// Resources returns the full names of all resources whose policies the run may have
// edited, sorted.
func (r *Run) Resources() []string {
	var out []string
	for _, b := range r.Bindings {
		out = append(out, b.Resource)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Endless returns what is bound, or may be, for longer than it was declared: it ends at no end that the run ever
// had, and the manifest did not want that.
func (r *Run) Endless() []RunBinding {
	return slices.DeleteFunc(slices.Clone(r.Bindings), func(b RunBinding) bool {
		return !b.Effect.Standing() || r.declared(b)
	})
}

// declared reports whether a binding has a form that the run gives its own.
func (r *Run) declared(b RunBinding) bool {
	for _, n := range append([]Renewal{{Expires: r.Opened.Expires}}, r.Renewals...) {
		if _, ends := b.Binding.Condition.Moved(n.Expires, n.Expires); ends {
			return true
		}
	}
	for _, edit := range r.Opened.Edits {
		if edit.Resource == b.Resource && slices.ContainsFunc(edit.Bindings, func(d Binding) bool {
			// The name of a custom role may have changed since.
			return d.Condition == b.Binding.Condition && (d.Role == b.Binding.Role ||
				strings.Contains(d.Role, "/roles/") && strings.Contains(b.Binding.Role, "/roles/"))
		}) {
			return true
		}
	}
	return false
}

// Left names, each once, what the last teardown could not take away, or what was given up. It is empty for a run that
// is down,
// and for one that no teardown has come to the end of.
func (r *Run) Left() []string {
	if !r.Forgotten.IsZero() {
		return r.Leaves
	}
	var out []string
	if r.Receipt == nil {
		return out
	}
	for _, c := range r.Receipt.Checks {
		if !c.OK && !slices.Contains(out, c.Found) {
			out = append(out, c.Found)
		}
	}
	return out
}

// DownTook is how long the last teardown took; 0 if none has come to its end.
func (r *Run) DownTook() time.Duration {
	if r.Receipt == nil {
		return 0
	}
	return r.Receipt.At.Sub(r.Down)
}

// NewRun returns a run of which only the opening is known.
func NewRun(o Opened, at time.Time) *Run {
	r := &Run{Opened: o, At: at, Last: at, Grants: make([]GrantState, len(o.Grants))}
	r.seals.addRecord(at, o)
	return r
}

// Add folds records in, as if a journal had them: for what is done where there is no journal, or where it
// cannot be written.
func (r *Run) Add(at time.Time, records ...Record) error {
	at = stamp(at)
	for _, rec := range records {
		if err := r.accepts(rec); err != nil {
			return err
		}
		_, e, err := encode(at, rec) // as it would be read back: no secret in it
		if err != nil {
			return err
		}
		r.add(e)
	}
	return nil
}

// accepts returns an error for a record that cannot follow what is already there.
func (r *Run) accepts(rec Record) error {
	switch rec := rec.(type) {
	case Opened:
		return fmt.Errorf("a second %q", rec.kind())
	case GrantReady:
		if rec.Grant < 0 || rec.Grant >= len(r.Grants) {
			return fmt.Errorf("%q names grant %d of %d", rec.kind(), rec.Grant, len(r.Grants))
		}
		if rec.State != Proved && rec.State != NotProvable && rec.State != NotReady {
			return fmt.Errorf("%q has no state %q", rec.kind(), rec.State)
		}
	}
	return nil
}

// add folds one more entry in. No order of entries is impossible: a teardown can be
// begun at any point, and begun again after its end.
func (r *Run) add(e entry) {
	r.Last = e.at
	r.seals.addRecord(e.at, e.record)
	for _, fold := range []func(entry) bool{r.addAccount, r.addAccess, r.addCredential, r.addLife} {
		if fold(e) {
			return
		}
	}
}

// addAccount folds in what happened to the account. It reports whether the entry is about that.
func (r *Run) addAccount(e entry) bool {
	switch rec := e.record.(type) {
	case AccountIntended:
		r.Account.Effect, r.Account.Refused = Maybe, false
	case AccountCreated:
		r.Account = Account{Effect: Done, UniqueID: rec.UniqueID}
	case AccountRefused:
		r.Account.Effect, r.Account.Refused = None, true
	case AccountSeen:
		r.Account.Seen = true
	case AccountDisabled:
		r.Account.Disabled = true
		r.step(e.at, "disable account", r.Opened.Email, rec.Missing)
	case AccountDeleted:
		r.Account.Effect = Undone
		r.step(e.at, "delete account", r.Opened.Email, rec.Missing)
	default:
		return false
	}
	return true
}

// addAccess folds in what happened to custom roles and policies. It reports whether the entry is about that.
func (r *Run) addAccess(e entry) bool {
	switch rec := e.record.(type) {
	case RoleIntended:
		if rec.Instead != "" {
			r.Roles = slices.DeleteFunc(r.Roles, func(o Role) bool { return o.Name == rec.Instead })
		}
		r.role(rec.Role).Permissions = rec.Permissions
	case RoleReady:
		role := r.role(rec.Role)
		role.Permissions = rec.Permissions
		if role.Origin == "" { // that it is there when it is looked at again says nothing new
			role.Origin = rec.Origin
		}
	case BindIntended:
		b := r.binding(rec.Resource, rec.Binding)
		b.Effect, b.ReadBack, b.Missing = Maybe, false, false
	case Bound:
		r.binding(rec.Resource, rec.Binding).Effect = Done
	case ReadBack:
		b := r.binding(rec.Resource, rec.Binding)
		b.Effect, b.ReadBack = Done, true
	case BindingFound:
		r.binding(rec.Resource, rec.Binding).Effect = Maybe
	case Unbound:
		b := r.binding(rec.Resource, rec.Binding)
		missing := rec.Missing && b.Effect == Done // else it may never have been there
		b.Effect, b.Missing = Undone, b.Missing || missing
		r.step(e.at, "unbind "+rec.Role, rec.Resource, missing)
	case DropIntended:
		*r.drop(rec.Resource, rec.Binding) = Drop{rec.Resource, rec.Binding, Maybe, e.at}
	case Dropped:
		*r.drop(rec.Resource, rec.Binding) = Drop{rec.Resource, rec.Binding, Done, e.at}
	case GrantReady:
		r.Grants[rec.Grant] = GrantState{State: rec.State, Why: rec.Why, At: e.at}
	default:
		return false
	}
	return true
}

// addCredential folds in what happened to keys, tokens and the delivery. It reports whether the entry is about that.
func (r *Run) addCredential(e entry) bool {
	switch rec := e.record.(type) {
	case KeyIntended:
		r.Keys = append(r.Keys, Key{Effect: Maybe})
	case KeyCreated:
		k := r.key("") // the one that was announced
		if k == nil {
			r.Keys = append(r.Keys, Key{})
			k = &r.Keys[len(r.Keys)-1]
		}
		*k = Key{ID: rec.KeyID, ValidBefore: rec.ValidBefore, Effect: Done}
	case KeyDeleted:
		k := r.key(rec.KeyID)
		if k == nil { // one whose answer got lost, found by asking the account
			k = r.key("")
		}
		if k == nil {
			r.Keys = append(r.Keys, Key{})
			k = &r.Keys[len(r.Keys)-1]
		}
		missing := rec.Missing && k.Effect != Undone
		k.ID, k.Effect, k.Missing = rec.KeyID, Undone, k.Missing || missing
		r.step(e.at, "delete key", rec.KeyID, missing)
	case TokenMinted:
		r.Tokens++
		if rec.Expires.After(r.TokensUntil) {
			r.TokensUntil = rec.Expires
		}
	case DeliverIntended:
		r.Kind = rec.Kind
		for _, p := range rec.Paths {
			r.path(p).Effect = Maybe
		}
	case Delivered:
		r.Delivered, r.Folder = true, rec.Folder
		for i := range r.Delivery {
			if r.Delivery[i].Effect == Maybe {
				r.Delivery[i].Effect = Done
			}
		}
	case Removed:
		p := r.path(rec.Path)
		missing := rec.Missing && p.Effect == Done
		p.Effect, p.Missing = Undone, p.Missing || missing
		r.step(e.at, "remove delivery", rec.Path, missing)
	default:
		return false
	}
	return true
}

// addLife folds in how far the run is, and what works for it. It reports whether the entry is about that.
func (r *Run) addLife(e entry) bool {
	switch rec := e.record.(type) {
	case ProcessStarted:
		p := r.process(rec.PID, rec.Start)
		p.Role, p.Effect = cmp.Or(rec.Role, RoleServer), Done
	case ProcessStopped:
		p := r.process(rec.PID, rec.Start)
		p.Effect = Undone
		r.step(e.at, "stop process", p.Name(), false)
	case Up:
		r.Up = e.at
	case RenewIntended:
		r.Renewals = append(r.Renewals, Renewal{At: e.at, Expires: rec.Expires, Effect: Maybe})
	case Renewed:
		if r.Renewing().IsZero() {
			r.Renewals = append(r.Renewals, Renewal{At: e.at})
		}
		last := &r.Renewals[len(r.Renewals)-1]
		last.Expires, last.Effect = rec.Expires, Done
	case RenewUndone:
		if !r.Renewing().IsZero() {
			r.Renewals[len(r.Renewals)-1].Effect = Undone
		}
	case TimeOver:
		r.TimeOver = e.at
	case Used:
		r.addUsed(rec)
	case DownBegan:
		r.Down, r.Receipt, r.Forgotten, r.Leaves = e.at, nil, time.Time{}, nil
	case Failed:
		r.Failures = append(r.Failures, Failure{At: e.at, Step: rec.Step, On: rec.On, Message: rec.Message})
		if !r.Down.IsZero() {
			r.Steps = append(r.Steps, Step{At: e.at, What: rec.Step, On: rec.On, Failure: rec.Message})
		}
	case Closed:
		r.Receipt = &Receipt{At: e.at, Checks: rec.Checks}
	case Forgotten:
		r.Forgotten, r.Leaves = e.at, rec.Left
	default:
		return false
	}
	return true
}

// addUsed adds what was called.
func (r *Run) addUsed(u Used) {
	for _, c := range u.Calls {
		same := func(o UsedCall) bool { return o.Key() == c.Key() }
		if at := slices.IndexFunc(r.Used, same); at >= 0 {
			r.Used[at].Add(c)
		} else {
			r.Used = append(r.Used, c)
		}
	}
	r.UsedMore, r.UsedWhole = r.UsedMore+u.More, r.UsedWhole || u.Final
}

// step adds a step of a teardown that came off. Before there is one, what is taken away
// gives way to something else.
func (r *Run) step(at time.Time, what, on string, missing bool) {
	if r.Down.IsZero() {
		return
	}
	r.Steps = append(r.Steps, Step{At: at, What: what, On: on, Missing: missing})
}

// role returns the custom role of this name, and adds it if there is none.
func (r *Run) role(name string) *Role {
	for i := range r.Roles {
		if r.Roles[i].Name == name {
			return &r.Roles[i]
		}
	}
	r.Roles = append(r.Roles, Role{Name: name})
	return &r.Roles[len(r.Roles)-1]
}

// binding returns the run's binding of this identity, and adds it if there is none.
func (r *Run) binding(resource string, b Binding) *RunBinding {
	for i := range r.Bindings {
		if r.Bindings[i].Resource == resource && r.Bindings[i].Binding == b {
			return &r.Bindings[i]
		}
	}
	r.Bindings = append(r.Bindings, RunBinding{Resource: resource, Binding: b})
	return &r.Bindings[len(r.Bindings)-1]
}

// drop returns the entry of this identity, and adds it if there is none.
func (r *Run) drop(resource string, b Binding) *Drop {
	for i := range r.Drops {
		if r.Drops[i].Resource == resource && r.Drops[i].Binding == b {
			return &r.Drops[i]
		}
	}
	r.Drops = append(r.Drops, Drop{Resource: resource, Binding: b})
	return &r.Drops[len(r.Drops)-1]
}

func (r *Run) key(id string) *Key {
	for i := range r.Keys {
		if r.Keys[i].ID == id {
			return &r.Keys[i]
		}
	}
	return nil
}

func (r *Run) path(path string) *Path {
	for i := range r.Delivery {
		if r.Delivery[i].Path == path {
			return &r.Delivery[i]
		}
	}
	r.Delivery = append(r.Delivery, Path{Path: path})
	return &r.Delivery[len(r.Delivery)-1]
}

func (r *Run) process(pid int, start string) *Process {
	for i := range r.Processes {
		if r.Processes[i].PID == pid && r.Processes[i].Start == start {
			return &r.Processes[i]
		}
	}
	r.Processes = append(r.Processes, Process{PID: pid, Start: start})
	return &r.Processes[len(r.Processes)-1]
}

// Name tells the process from the others of its run: by its number and, unless it is the
// server, by its role.
func (p Process) Name() string {
	if p.Role == RoleServer || p.Role == "" {
		return strconv.Itoa(p.PID)
	}
	return fmt.Sprintf("%d (%s)", p.PID, p.Role)
}

// Process returns the latest process of a role, unless it has ended as it should. That the
// journal has it does not mean that it still runs: it may have crashed.
func (r *Run) Process(role ProcessRole) (Process, bool) {
	for _, p := range slices.Backward(r.Processes) {
		if p.Role == role {
			return p, p.Effect.Standing()
		}
	}
	return Process{}, false
}

// clone returns a copy that shares nothing that add changes.
func (r *Run) clone() *Run {
	c := *r
	c.Roles = slices.Clone(r.Roles)
	c.Used = slices.Clone(r.Used)
	c.Bindings = slices.Clone(r.Bindings)
	c.Drops = slices.Clone(r.Drops)
	c.Keys = slices.Clone(r.Keys)
	c.Delivery = slices.Clone(r.Delivery)
	c.Grants = slices.Clone(r.Grants)
	c.Processes = slices.Clone(r.Processes)
	c.Renewals = slices.Clone(r.Renewals)
	c.Failures = slices.Clone(r.Failures)
	c.Steps = slices.Clone(r.Steps)
	c.seals.open, c.seals.groups = slices.Clip(r.seals.open), slices.Clip(r.seals.groups)
	return &c
}

// OnEmulator reports whether the run lives on an emulator.
func (o Opened) OnEmulator() bool { return o.Cloud == "emulator" }

// CheckCloud refuses a cloud that is not the one on which the run was brought up: it is
// taken down there and nowhere else, and no other one is shown its key or a login.
func (o Opened) CheckCloud(cloud, endpoint string) error {
	if o.Cloud == cloud && o.Endpoint == endpoint {
		return nil
	}
	hint := "unset TASKIAM_EMULATOR_HOST"
	if o.OnEmulator() {
		hint = "export TASKIAM_EMULATOR_HOST=" + o.Endpoint
	}
	return fault.WithHint(fault.New(fault.Usage, "run %s is on %s (%s), but this is %s (%s)",
		o.Run, o.Cloud, o.Endpoint, cloud, endpoint), hint)
}

// ID returns the run's id.
func (r *Run) ID() grants.RunID { return r.Opened.Run }
