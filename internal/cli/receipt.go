package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/journal"
)

type receiptOptions struct {
	word string
	json bool
}

func newReceiptCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name:  "receipt",
		Usage: "show what a run declared, was granted, and how it was taken away",
		UsageText: `taskiam receipt nightly-report
taskiam receipt --json 0s6qsieqib30dbn`,
		ArgsUsage: "RUN|TASK|FILE",
		Description: `Reads the run's journal and asks nobody. Journals of runs that are down are kept for
90 days; of a run whose check did not pass, until it has.`,
		Flags:  []cli.Flag{newJSONFlag()},
		Action: action(parseReceipt, func(ctx context.Context, o receiptOptions) error { return runReceipt(ctx, e, o) }),
	}
}

func parseReceipt(c *cli.Context) (receiptOptions, error) {
	o := receiptOptions{json: c.Bool(flagJSON)}
	switch w := words(c); len(w) {
	case 1:
		o.word = w[0]
	case 0:
		return o, usage(c, "which run?")
	default:
		return o, usage(c, "%s takes one run, not %d", c.Command.HelpName, len(w))
	}
	return o, nil
}

// recordDocument is what `receipt --json` prints. (What `down --json` prints, under
// taskiam.receipt/v1, is of the teardown alone.)
type recordDocument struct {
	Schema   string     `json:"schema"` // taskiam.record/v1
	Run      string     `json:"run"`
	Task     string     `json:"task"`
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
	Up       *time.Time `json:"up"` // null if it never came up
	Expires  time.Time  `json:"expires"`
	// Renewals is each move of the end that was begun.
	Renewals []renewedView `json:"renewals"`
	// ClockAhead is by how many seconds the clock of the cloud, by which the run expires,
	// was ahead of this machine's, by which all else is dated; 0 if the two agreed.
	ClockAhead int64          `json:"clock_ahead_seconds"`
	Down       *time.Time     `json:"down"`   // when the last teardown began; null if none did
	Closed     *time.Time     `json:"closed"` // when the last teardown ended; null if none did
	Clean      bool           `json:"clean"`  // every check of the last teardown passed
	Declared   []declaredView `json:"declared"`
	// CustomRoles are those that lists of permissions came to. They are shared, and stay.
	CustomRoles []sharedRoleView `json:"custom_roles"`
	Granted     []grantedView    `json:"granted"`
	Dropped     []droppedView    `json:"dropped"`
	Minted      mintedView       `json:"minted"`
	Steps       []pastStepView   `json:"steps"`
	Checks      []checkView      `json:"checks"`
}

// renewedView is a move of a run's end.
type renewedView struct {
	At      time.Time `json:"at"`
	Expires time.Time `json:"expires"`
	State   string    `json:"state"` // "maybe", "done" or "undone"
}

// declaredView is a grant of the manifest, and what was found of its being usable.
type declaredView struct {
	grantView
	KnownAt *time.Time `json:"known_at"` // when readiness was known; null if it never was
}

// sharedRoleView is a custom role that the run shares with all that need what it holds.
type sharedRoleView struct {
	Role        string   `json:"role"`
	Permissions []string `json:"permissions"`
	// Origin is "found", "made" or "undeleted"; "" if it is not known whether the run came
	// to make it or to take it back.
	Origin string `json:"origin"`
}

// grantedView is a binding as the journal has it.
type grantedView struct {
	Role      string         `json:"role"`
	Resource  string         `json:"resource"`
	Condition *conditionView `json:"condition"` // null for none
	ReadBack  bool           `json:"read_back"` // it was seen by a read after the write
	State     string         `json:"state"`     // "maybe", "done" or "undone"
}

// mintedView is what credentials were made, and never what they are.
type mintedView struct {
	Keys        []keyView  `json:"keys"`
	Tokens      int        `json:"tokens"`
	TokensUntil *time.Time `json:"tokens_until"` // null if none was minted
}

type keyView struct {
	ID    string     `json:"id"`    // "" if Google's answer was never seen
	Until *time.Time `json:"until"` // null likewise
	State string     `json:"state"` // "maybe", "done" or "undone"
}

// pastStepView is one step of the teardowns.
type pastStepView struct {
	At    time.Time `json:"at"`
	Step  string    `json:"step"`
	On    string    `json:"on"`
	Error string    `json:"error"` // "" if it came off
}

type checkView struct {
	What  string `json:"what"`
	OK    bool   `json:"ok"`
	Found string `json:"found"`
}

func runReceipt(_ context.Context, e *Env, o receiptOptions) error {
	dir, err := e.journals()
	if err != nil {
		return err
	}
	runs, unreadable := allRuns(dir)
	run, err := theRun(runs, o.word, "taskiam receipt")
	if err != nil {
		if unreadable != nil {
			return unreadable // it may be that one
		}
		return err
	}
	doc := viewRecord(run, e.Now())
	if o.json {
		return e.printJSON(doc)
	}
	r := newReport()
	doc.show(r)
	return e.print(r)
}

// at returns a time for a document; null for none.
func at(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func viewRecord(r *journal.Run, now time.Time) recordDocument {
	o := r.Opened
	doc := recordDocument{
		Schema: "taskiam.record/v1", Run: string(o.Run), Task: o.Task, State: string(r.State()),
		Cloud: o.Cloud, Endpoint: o.Endpoint, Operator: o.Operator, Project: o.Project,
		Account: o.Email, UniqueID: r.Account.UniqueID, Manifest: o.ManifestPath, SHA256: o.ManifestSHA256, Reason: o.Reason,
		Started: r.At.UTC(), Up: at(r.Up), Expires: r.Expires().UTC(), ClockAhead: int64(r.ClockAhead() / time.Second), Down: at(r.Down), Clean: r.State() == journal.Ended,
		Renewals: []renewedView{}, Declared: []declaredView{}, CustomRoles: []sharedRoleView{}, Granted: []grantedView{}, Dropped: []droppedView{}, Steps: []pastStepView{}, Checks: []checkView{},
		Minted: mintedView{Keys: []keyView{}, Tokens: r.Tokens, TokensUntil: at(r.TokensUntil)},
	}
	for _, n := range r.Renewals {
		doc.Renewals = append(doc.Renewals, renewedView{At: n.At.UTC(), Expires: n.Expires.UTC(), State: string(n.Effect)})
	}
	for i, g := range viewRun(r, now).Grants {
		doc.Declared = append(doc.Declared, declaredView{grantView: g, KnownAt: at(r.Grants[i].At)})
	}
	for _, c := range r.Roles {
		doc.CustomRoles = append(doc.CustomRoles, sharedRoleView{c.Name, c.Permissions, string(c.Origin)})
	}
	slices.SortFunc(doc.CustomRoles, func(a, b sharedRoleView) int { return strings.Compare(a.Role, b.Role) })
	for _, b := range r.Bindings {
		v := viewBinding(b.Binding.Grants())
		doc.Granted = append(doc.Granted, grantedView{
			Role: v.Role, Resource: shortName(b.Resource), Condition: v.Condition, ReadBack: b.ReadBack, State: string(b.Effect),
		})
	}
	for _, d := range r.Drops {
		doc.Dropped = append(doc.Dropped, droppedView{shortName(d.Resource), viewBinding(d.Binding.Grants()), string(d.Effect)})
	}
	for _, k := range r.Keys {
		doc.Minted.Keys = append(doc.Minted.Keys, keyView{ID: k.ID, Until: at(k.ValidBefore), State: string(k.Effect)})
	}
	for _, s := range r.Steps {
		doc.Steps = append(doc.Steps, pastStepView{At: s.At.UTC(), Step: s.What, On: shortName(s.On), Error: s.Failure})
	}
	if r.Receipt != nil {
		doc.Closed = at(r.Receipt.At)
		for _, c := range r.Receipt.Checks {
			doc.Checks = append(doc.Checks, checkView{What: c.What, OK: c.OK, Found: c.Found})
		}
	}
	return doc
}

func (d recordDocument) show(r *report) {
	r.row("run", d.Run)
	r.row("task", d.Task)
	r.row("state", d.State)
	r.row("cloud", d.Cloud+" ("+d.Endpoint+")")
	r.row("operator", d.Operator)
	r.row("account", d.Account+" (unique id "+orDash(d.UniqueID)+")")
	r.row("manifest", d.Manifest+" (sha256 "+d.SHA256+")")
	r.row("started", moment(d.Started))
	r.row("up", momentOr(d.Up, "never"))
	r.row("expires", moment(d.Expires))
	if d.ClockAhead != 0 {
		r.row("clock", "this machine's, by which all but the end is dated, was "+runView{ClockAhead: d.ClockAhead}.clock())
	}
	r.row("closed", momentOr(d.Closed, "not yet"))

	for _, n := range d.Renewals {
		r.row("renewed", moment(n.At), "to "+moment(n.Expires)+n.outcome())
	}

	r.line("\ndeclared:")
	for _, g := range d.Declared {
		r.row("  "+g.gives(), g.on(), orDash(g.Readiness), momentOr(g.KnownAt, "-"))
	}
	if len(d.CustomRoles) > 0 {
		r.line("custom roles, which all runs share that need the same permissions, and which stay:")
		for _, c := range d.CustomRoles {
			r.line("  %s (%s): %s", c.Role, c.origin(), strings.Join(c.Permissions, ", "))
		}
	}
	for _, g := range d.Declared {
		for _, a := range g.Accepted {
			r.line("  %s on %s: accepted %s", g.Role, g.on(), a)
		}
	}
	r.line("granted:")
	for _, g := range d.Granted {
		r.row("  "+g.Role, g.Resource, g.seen(), standing(g.State))
	}
	showDrops(r, d.Dropped)
	r.line("minted:")
	for _, k := range d.Minted.Keys {
		r.row("  key "+orDash(k.ID), "until "+momentOr(k.Until, "-"), standing(k.State))
	}
	if n := d.Minted.Tokens; n > 0 {
		r.row(fmt.Sprintf("  tokens: %d", n), "until "+momentOr(d.Minted.TokensUntil, "-"))
	}
	r.line("taken away:")
	for _, s := range d.Steps {
		outcome := "done"
		if s.Error != "" {
			outcome = "failed: " + s.Error
		}
		r.row("  "+moment(s.At), strings.TrimSpace(s.Step+" "+s.On), outcome)
	}
	r.line("checked:")
	for _, c := range d.Checks {
		found := "nothing is left"
		if !c.OK {
			found = "left: " + c.Found
		}
		r.row("  "+c.What, found)
	}
}

// outcome says what came of a move, if not what was meant to.
func (n renewedView) outcome() string {
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
func (c sharedRoleView) origin() string {
	switch journal.RoleOrigin(c.Origin) {
	case journal.RoleFound:
		return "was there"
	case journal.RoleMade:
		return "made by this run"
	case journal.RoleUndeleted:
		return "undeleted by this run"
	}
	return "perhaps made by this run"
}

func (g grantedView) seen() string {
	if g.ReadBack {
		return "read back"
	}
	return "not read back"
}

// standing says of what a run made whether it is there.
func standing(effect string) string {
	switch journal.Effect(effect) {
	case journal.Undone:
		return "gone"
	case journal.Done:
		return "there"
	case journal.Maybe:
		return "perhaps there"
	case journal.None:
	}
	return "-"
}

func momentOr(t *time.Time, none string) string {
	if t == nil {
		return none
	}
	return moment(*t)
}
