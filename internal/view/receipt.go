package view

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/lifecycle"
)

// Receipts is what `down --json` and `receipt --json` print.
type Receipts struct {
	Schema string    `json:"schema"` // taskiam.receipt/v1
	Runs   []Receipt `json:"runs"`
}

// Receipt is what a run declared, was granted and minted, how that was removed, and what the check after
// it found.
type Receipt struct {
	Run      string     `json:"run"`
	Task     string     `json:"task"` // "" if nothing is left that says
	State    string     `json:"state"`
	Cloud    string     `json:"cloud"`
	Endpoint string     `json:"endpoint"`
	Operator string     `json:"operator"`
	Project  string     `json:"project"`
	Account  string     `json:"account"`
	UniqueID string     `json:"unique_id"` // "" if it was never seen
	Manifest string     `json:"manifest"`
	SHA256   string     `json:"manifest_sha256"`
	Reason   string     `json:"reason"`
	Started  time.Time  `json:"started"`
	Up       *time.Time `json:"up"`      // null if it never came up
	Expires  *time.Time `json:"expires"` // null if nothing is left that says
	// TimeOver is when the run expired while its command was still working; null if it did not.
	TimeOver *time.Time `json:"time_over"`
	// Renewals is each move of the end that was begun.
	Renewals []Renewed `json:"renewals"`
	// ClockAhead is by how many seconds the clock of the cloud, by which the run expires, was ahead of
	// this machine's, by which all else is dated; 0 if the two agreed.
	ClockAhead int64      `json:"clock_ahead_seconds"`
	Down       *time.Time `json:"down"`       // when the last teardown began; null if none did
	Closed     *time.Time `json:"closed"`     // when the last teardown ended; null if it did not
	Elapsed    int64      `json:"elapsed_ms"` // how long the last teardown took; 0 if it did not end
	Already    bool       `json:"already"`    // the run was down before the command
	Clean      bool       `json:"clean"`      // every check of the last teardown passed: nothing is left
	Left       []string   `json:"left"`       // what the last teardown could not remove
	Forgotten  *time.Time `json:"forgotten"`  // when a person gave the run up; null if nobody did
	ByHand     []string   `json:"by_hand"`    // of a run that was given up: how to remove what is left without taskiam
	Error      string     `json:"error"`      // why the command failed; "" if it did not
	Declared   []Declared `json:"declared"`
	// CustomRoles are those for lists of permissions. They are shared, and kept.
	CustomRoles []SharedRole `json:"custom_roles"`
	Granted     []Granted    `json:"granted"`
	Dropped     []Dropped    `json:"dropped"`
	Minted      Minted       `json:"minted"`
	// Used is what was called through the proxy of a closed network, in whichever order; UsedMore counts
	// calls that are not listed, because they are of too many kinds.
	Used     []Used `json:"used"`
	UsedMore int64  `json:"used_more"`
	// Unused are the grants that no call was seen to need. It is null if that is not known: of a run without
	// a proxy, and of one whose end was not recorded.
	Unused []Unused `json:"unused"`
	Steps  []Step   `json:"steps"` // of every teardown, in the order of their end
	Checks []Check  `json:"checks"`

	// Missing is the path of a delivery that was made and that no teardown found; "" if there is none.
	Missing string `json:"delivery_missing"`

	// justDropped are those of Dropped that the teardown of this moment left out.
	justDropped []Dropped
	untouched   bool // the command could not begin to take it down
}

// Renewed is a move of a run's end.
type Renewed struct {
	At      time.Time `json:"at"`
	Expires time.Time `json:"expires"`
	State   string    `json:"state"` // "maybe", "done" or "undone"
}

// Declared is a grant of the manifest, and what was found of its being usable.
type Declared struct {
	Grant
	KnownAt *time.Time `json:"known_at"` // when readiness was known; null if it never was
}

// SharedRole is a custom role that the run shares with all that need the same permissions.
type SharedRole struct {
	Role        string   `json:"role"`
	Permissions []string `json:"permissions"`
	// Origin is "found", "made" or "undeleted"; "" if it is not known whether the run made it or took it
	// back.
	Origin string `json:"origin"`
}

// Granted is a binding that the run had, or may have had.
type Granted struct {
	Role      string     `json:"role"`
	Resource  string     `json:"resource"`
	Condition *Condition `json:"condition"` // null for none
	ReadBack  bool       `json:"read_back"` // it was seen by a read after the write
	State     string     `json:"state"`     // "maybe", "done" or "undone"
	Missing   bool       `json:"missing"`   // somebody else has removed it: it was gone already
}

// Dropped is an entry of a deleted member of somebody else's, which a write of a dataset's access list
// left out: BigQuery refuses a list that names one.
type Dropped struct {
	Resource string `json:"resource"`
	Binding
	State string `json:"state"` // "maybe" if the outcome of the write is not known, or "done"
}

// Minted is what credentials were made, and never what they are.
type Minted struct {
	Keys        []Key      `json:"keys"`
	Tokens      int        `json:"tokens"`
	TokensUntil *time.Time `json:"tokens_until"` // null if none was minted
}

// Key is a key that was made for the account.
type Key struct {
	ID    string     `json:"id"`    // "" if Google's answer was never seen
	Until *time.Time `json:"until"` // null likewise
	State string     `json:"state"` // "maybe", "done" or "undone"
	// Missing means that somebody else has deleted it: it was gone already.
	Missing bool `json:"missing"`
}

// Used is calls of one kind.
type Used struct {
	Method string `json:"method"` // CONNECT is a connection, refused or carried unopened
	Host   string `json:"host"`
	// Resources are those in which what was called lies.
	Resources []string `json:"resources"`
	Refused   string   `json:"refused"` // why taskiam let none of them out; "" if it did
	Calls     int64    `json:"calls"`   // how many
	Failed    int64    `json:"failed"`  // how many of them the host refused
	Sent      int64    `json:"sent"`    // bytes
	Received  int64    `json:"received"`
}

// Unused is a grant that no call was seen to need.
type Unused struct {
	Role        string   `json:"role"`        // "" where the manifest lists permissions
	Permissions []string `json:"permissions"` // empty where it names a role
	Resource    string   `json:"resource"`
}

// Step is one step of a teardown.
type Step struct {
	At    time.Time `json:"at"` // when it ended
	Step  string    `json:"step"`
	On    string    `json:"on"`
	Error string    `json:"error"` // "" if it succeeded
	// Missing means that somebody else has removed what had been there: it was gone already.
	Missing bool `json:"missing"`
}

// Check is what was looked at after a teardown.
type Check struct {
	What  string `json:"what"`
	OK    bool   `json:"ok"`
	Found string `json:"found"`
}

// NewReceipts returns the document of receipts.
func NewReceipts(runs ...Receipt) Receipts {
	return Receipts{Schema: "taskiam.receipt/v1", Runs: append([]Receipt{}, runs...)}
}

// NewReceipt returns the receipt of a run that nothing was done to.
func NewReceipt(r *journal.Run) Receipt {
	v := newReceipt(r)
	v.Already = v.Clean
	return v
}

// NewTeardown returns the receipt of a run that was just taken down, or found to be down already; err is
// why that failed. If nothing could be begun, down is nil and the receipt is what was known before.
func NewTeardown(before *journal.Run, down *lifecycle.Teardown, err error) Receipt {
	if down == nil {
		v := newReceipt(before)
		v.Error, v.untouched = message(err), true
		return v
	}
	v := newReceipt(down.Run)
	// Of a run that is down by its journal nothing is known if the cloud could not be asked.
	v.Already, v.untouched, v.Error = down.Already && err == nil, down.Already && err != nil, message(err)
	// A teardown that could not be recorded is not clean: the next one has to look again.
	v.Clean = v.Clean && err == nil
	v.justDropped = newDropped(lastDrops(down.Run))
	return v
}

func newReceipt(r *journal.Run) Receipt {
	o := r.Opened
	v := Receipt{
		Run: string(o.Run), Task: o.Task, State: string(r.State()),
		Cloud: o.Cloud, Endpoint: o.Endpoint, Operator: o.Operator, Project: o.Project,
		Account: o.Email, UniqueID: r.Account.UniqueID,
		Manifest: o.ManifestPath, SHA256: o.ManifestSHA256, Reason: o.Reason,
		Started: r.At.UTC(), Up: at(r.Up), Expires: at(r.Expires()), TimeOver: at(r.TimeOver), Renewals: []Renewed{},
		ClockAhead: int64(r.ClockAhead() / time.Second),
		Down:       at(r.Down), Clean: r.State() == journal.Ended, Left: list(r.Left()),
		Forgotten: at(r.Forgotten), ByHand: []string{},
		Declared: []Declared{}, CustomRoles: []SharedRole{}, Granted: []Granted{}, Dropped: newDropped(r.Drops),
		Used: newUsed(r.Used), UsedMore: r.UsedMore, Unused: unused(r),
		Minted: newMinted(r), Steps: newSteps(r.Steps), Checks: []Check{},
	}
	if v.Forgotten != nil {
		v.ByHand = lifecycle.ByHand(r)
	}
	for _, p := range r.Delivery {
		if p.Missing {
			v.Missing = p.Path
		}
	}
	for _, n := range r.Renewals {
		v.Renewals = append(v.Renewals, Renewed{At: n.At.UTC(), Expires: n.Expires.UTC(), State: string(n.Effect)})
	}
	for i, g := range newGrants(r) {
		v.Declared = append(v.Declared, Declared{Grant: g, KnownAt: at(r.Grants[i].At)})
	}
	for _, c := range r.Roles {
		v.CustomRoles = append(v.CustomRoles, SharedRole{c.Name, c.Permissions, string(c.Origin)})
	}
	slices.SortFunc(v.CustomRoles, func(a, b SharedRole) int { return strings.Compare(a.Role, b.Role) })
	for _, b := range r.Bindings {
		binding := newBinding(b.Binding.Grants())
		v.Granted = append(v.Granted, Granted{
			Role: binding.Role, Resource: shortName(b.Resource), Condition: binding.Condition,
			ReadBack: b.ReadBack, State: string(b.Effect), Missing: b.Missing,
		})
	}
	if r.Receipt != nil {
		v.Closed, v.Elapsed = at(r.Receipt.At), r.DownTook().Milliseconds()
		for _, c := range r.Receipt.Checks {
			v.Checks = append(v.Checks, Check{What: c.What, OK: c.OK, Found: c.Found})
		}
	}
	return v
}

func newMinted(r *journal.Run) Minted {
	m := Minted{Keys: []Key{}, Tokens: r.Tokens, TokensUntil: at(r.TokensUntil)}
	for _, k := range r.Keys {
		m.Keys = append(m.Keys, Key{ID: k.ID, Until: at(k.ValidBefore), State: string(k.Effect),
			Missing: k.Missing})
	}
	return m
}

// lastDrops and lastSteps are those since the last teardown of a run began.
func lastDrops(r *journal.Run) []journal.Drop {
	return slices.DeleteFunc(slices.Clone(r.Drops), func(d journal.Drop) bool { return d.At.Before(r.Down) })
}

func lastSteps(r *journal.Run) []journal.Step {
	return slices.DeleteFunc(slices.Clone(r.Steps), func(s journal.Step) bool { return s.At.Before(r.Down) })
}

func newDropped(drops []journal.Drop) []Dropped {
	out := []Dropped{}
	for _, d := range drops {
		out = append(out, Dropped{shortName(d.Resource), newBinding(d.Binding.Grants()), string(d.Effect)})
	}
	return out
}

func newSteps(steps []journal.Step) []Step {
	out := []Step{}
	for _, s := range steps {
		out = append(out, Step{At: s.At.UTC(), Step: s.What, On: shortName(s.On), Error: s.Failure, Missing: s.Missing})
	}
	return out
}

// Show adds each teardown to a report: its last steps, and what they came to.
func (d Receipts) Show(r *Report) {
	for i, v := range d.Runs {
		if i > 0 {
			r.Line("")
		}
		v.showTeardown(r)
	}
}

// name names the run; its task may not be known any more.
func (v Receipt) name() string {
	if v.Task == "" {
		return "run " + v.Run
	}
	return "run " + v.Run + " of " + v.Task
}

// lastTeardown returns the steps of the last teardown.
func (v Receipt) lastTeardown() []Step {
	if v.Down == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(v.Steps), func(s Step) bool { return s.At.Before(*v.Down) })
}

// showForgotten says how to remove what was given up with the run.
func (v Receipt) showForgotten(r *Report) {
	if v.Forgotten == nil {
		return
	}
	r.Line("forgotten at %s: the cloud was not asked. To remove what may be left there: taskiam down %s",
		Moment(*v.Forgotten), v.Run)
	r.Line("or, without taskiam:")
	for _, command := range v.ByHand {
		r.Line("  %s", command)
	}
}

func (v Receipt) showTeardown(r *Report) {
	if v.Already && v.Forgotten != nil {
		r.Line("%s is forgotten already", v.name())
		return
	}
	if v.Already {
		r.Line("%s is already down", v.name())
		return
	}
	if v.untouched {
		r.Line("%s: not taken down", v.name())
		return
	}
	r.Line("%s", v.name())
	for _, s := range v.lastTeardown() {
		r.Row("  "+s.Step, s.On, s.outcome(), "after "+Span(s.At.Sub(*v.Down)))
	}
	r.Line("")
	showDrops(r, v.justDropped)
	for _, what := range v.Left {
		r.Line("left: %s", what)
	}
	v.showForgotten(r)
	if v.Clean {
		r.Line("down after %s; checked: %s", Span(time.Duration(v.Elapsed)*time.Millisecond), v.checked())
	}
}

// Outcome is the result of a teardown in one line.
func (v Receipt) Outcome() string {
	took := Span(time.Duration(v.Elapsed) * time.Millisecond)
	switch {
	case v.untouched:
		return v.name() + ": not taken down"
	case v.Already:
		return v.name() + " is already down"
	case len(v.Left) == 0 && v.Error != "":
		return v.Error
	case v.Forgotten != nil:
		return v.name() + " is forgotten: the cloud was not asked"
	case len(v.Left) > 0:
		return v.name() + " is not completely removed after " + took + "; left: " + strings.Join(v.Left, "; ")
	default:
		return v.name() + " is down after " + took + "; checked: " + v.checked()
	}
}

// checked says what the checks of a teardown that left nothing came to.
func (v Receipt) checked() string {
	if v.Missing != "" {
		return "nothing is left in the cloud; the delivery was not in " + v.Missing + " any more"
	}
	return "nothing is left"
}

// History is one receipt as `receipt` shows it: from what the run declared to what was checked.
type History struct{ Receipts }

// Show adds the receipts to a report.
func (d History) Show(r *Report) {
	for i, v := range d.Runs {
		if i > 0 {
			r.Line("")
		}
		v.showRun(r)
		v.showDeclared(r)
		v.showGranted(r)
		v.showUsed(r)
		v.showEnd(r)
	}
}

func (v Receipt) showRun(r *Report) {
	r.Row("run", v.Run)
	r.Row("task", v.Task)
	r.Row("state", v.State)
	r.Row("cloud", v.Cloud+" ("+v.Endpoint+")")
	r.Row("operator", v.Operator)
	r.Row("account", v.Account+" (unique id "+orDash(v.UniqueID)+")")
	r.Row("manifest", v.Manifest+" (sha256 "+v.SHA256+")")
	r.Row("started", Moment(v.Started))
	r.Row("up", momentOr(v.Up, "never"))
	r.Row("expires", momentOr(v.Expires, "not known"))
	if v.TimeOver != nil {
		r.Row("time over", Moment(*v.TimeOver)+", while the command was still working: from then on it was refused")
	}
	if v.ClockAhead != 0 {
		r.Row("clock", "this machine's, by which all but the end is dated, was "+clock(v.ClockAhead))
	}
	r.Row("closed", momentOr(v.Closed, "not yet"))
	for _, n := range v.Renewals {
		r.Row("renewed", Moment(n.At), "to "+Moment(n.Expires)+n.outcome())
	}
}

func (v Receipt) showDeclared(r *Report) {
	r.Line("\ndeclared:")
	for _, g := range v.Declared {
		r.Row("  "+g.Gives(), g.On(), orDash(g.Readiness), momentOr(g.KnownAt, "-"))
	}
	if len(v.CustomRoles) > 0 {
		r.Line("custom roles, shared by all runs that need the same permissions, and kept:")
		for _, c := range v.CustomRoles {
			r.Line("  %s (%s): %s", c.Role, c.origin(), strings.Join(c.Permissions, ", "))
		}
	}
	for _, g := range v.Declared {
		for _, a := range g.Accepted {
			r.Line("  %s on %s: accepted %s", g.Role, g.On(), a)
		}
	}
}

func (v Receipt) showGranted(r *Report) {
	r.Line("granted:")
	for _, g := range v.Granted {
		r.Row("  "+g.Role, g.Resource, g.seen(), standing(g.State, g.Missing))
	}
	showDrops(r, v.Dropped)
	r.Line("minted:")
	for _, k := range v.Minted.Keys {
		r.Row("  key "+orDash(k.ID), "until "+momentOr(k.Until, "-"), standing(k.State, k.Missing))
	}
	if n := v.Minted.Tokens; n > 0 {
		r.Row(fmt.Sprintf("  tokens: %d", n), "until "+momentOr(v.Minted.TokensUntil, "-"))
	}
}

func (v Receipt) showEnd(r *Report) {
	r.Line("removed:")
	for _, s := range v.Steps {
		r.Row("  "+Moment(s.At), strings.TrimSpace(s.Step+" "+s.On), s.outcome()+prefixed(": ", s.Error))
	}
	r.Line("checked:")
	for _, c := range v.Checks {
		found := "nothing is left"
		if !c.OK {
			found = "left: " + c.Found
		} else if strings.HasPrefix(c.What, lifecycle.NotSearched) {
			found = "-"
		}
		r.Row("  "+c.What, found)
	}
	if v.Forgotten != nil {
		for _, what := range v.Left {
			r.Row("  not looked at", "left: "+what)
		}
	}
	v.showForgotten(r)
}

// outcome says how a renewal ended, if it did not succeed.
func (n Renewed) outcome() string {
	switch journal.Effect(n.State) {
	case journal.Undone:
		return ", which was undone"
	case journal.Maybe:
		return ", which was not finished"
	case journal.None, journal.Done:
	}
	return ""
}

// origin says how the run came by the role.
func (c SharedRole) origin() string {
	switch journal.RoleOrigin(c.Origin) {
	case journal.RoleFound:
		return "existed"
	case journal.RoleMade:
		return "created by this run"
	case journal.RoleUndeleted:
		return "restored by this run"
	}
	return "perhaps created by this run"
}

func (g Granted) seen() string {
	if g.ReadBack {
		return "read back"
	}
	return "not read back"
}

// goneAlready is said of what somebody else removed before the teardown did.
const goneAlready = "was gone already"

// outcome says in words what came of a step.
func (s Step) outcome() string {
	switch {
	case s.Error != "":
		return "failed"
	case s.Missing:
		return goneAlready
	default:
		return "done"
	}
}

// standing says whether something that a run made is there.
func standing(effect string, missing bool) string {
	switch journal.Effect(effect) {
	case journal.Undone:
		if missing {
			return goneAlready
		}
		return "removed"
	case journal.Done:
		return "exists"
	case journal.Maybe:
		return "perhaps exists"
	case journal.None:
	}
	return "-"
}

// showDrops adds what was dropped to a report, if anything was.
func showDrops(r *Report, drops []Dropped) {
	if len(drops) == 0 {
		return
	}
	r.Line("removed from datasets, because BigQuery does not accept deleted members in a write:")
	for _, d := range drops {
		state := "removed"
		if d.State != string(journal.Done) {
			state = "perhaps removed"
		}
		r.Row("  "+d.Role, d.Resource, d.Member, state)
		if d.Condition != nil {
			r.Line("    if %s", d.Condition)
		}
	}
}
