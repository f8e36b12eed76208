package view

import (
	"fmt"
	"strings"
	"time"

	"github.com/taskiam/taskiam/internal/customrole"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/manifest"
	"github.com/taskiam/taskiam/internal/review"
)

// Plan is what `plan --json` prints. The account's name is an example: its last part differs from run
// to run.
type Plan struct {
	Schema   string    `json:"schema"` // taskiam.plan/v1
	Task     string    `json:"task"`
	Manifest string    `json:"manifest"`
	Cloud    string    `json:"cloud"`
	Endpoint string    `json:"endpoint"`
	Operator string    `json:"operator"`
	Project  string    `json:"project"`
	Account  string    `json:"account"`
	TTL      int64     `json:"ttl_seconds"`
	Expires  time.Time `json:"expires"` // if up began now
	Deliver  []string  `json:"deliver"` // in the order of preference; empty if the manifest does not say
	Edits    []Edit    `json:"edits"`
	Notes    []Note    `json:"notes"`
	Ambient  []Ambient `json:"ambient"`
	Unseen   []string  `json:"unseen"` // what there may be more on, in words
	Refusals []Refusal `json:"refusals"`
	WaysOut  []WayOut  `json:"ways_out"` // empty unless the manifest is for a closed network
	Calls    []string  `json:"calls"`
	Outlook

	// Verbose says that people see every permission by its name, and all that there is room for.
	Verbose bool `json:"-"`
	// Next is the command that carries the plan out, for people.
	Next string `json:"-"`
}

// Edit is what one resource's policy would gain.
type Edit struct {
	Resource string        `json:"resource"`
	Bindings []EditBinding `json:"bindings"`
	// Dropped is what the edit also removes: entries of deleted members of other people, which BigQuery
	// does not accept in a write.
	Dropped []Binding `json:"dropped"`
}

// EditBinding is a binding that one resource's policy would gain.
type EditBinding struct {
	Grant        int        `json:"grant"` // index in the manifest, from 0
	Role         string     `json:"role"`
	Condition    *Condition `json:"condition"`
	EndsByItself bool       `json:"ends_by_itself"`
	WorksUntil   time.Time  `json:"works_until"` // if down never comes
	Offer        *Offer     `json:"offer"`       // null where there is none, or no need of one
	Permissions  int        `json:"permissions"` // in the role; 0 if they cannot be read
	OfNoUse      []string   `json:"of_no_use"`   // those of the role that nobody asks for on this resource, sorted
	// CustomRole says what Role is, where the manifest lists permissions; null where it names a role.
	CustomRole *CustomRole `json:"custom_role"`
}

// CustomRole is the custom role for a list of permissions.
type CustomRole struct {
	State       string   `json:"state"` // "there", "deleted" (up restores it) or "missing" (up creates it)
	Permissions []string `json:"permissions"`
	Testing     []string `json:"testing"` // what Google is still testing in custom roles
}

// Offer is a grant that expires, to be written instead of one that does not.
type Offer struct {
	TOML   string `json:"toml"`   // to be pasted into the manifest
	Widens string `json:"widens"` // what else it reaches
}

// Note is a remark about a grant.
type Note struct {
	Grant int    `json:"grant"`
	Text  string `json:"text"`
}

// Ambient is what everybody has on a resource.
type Ambient struct {
	Resource string    `json:"resource"`
	Known    bool      `json:"known"` // false where the policy cannot be read
	Bindings []Binding `json:"bindings"`
}

// Refusal is a reason why up would refuse.
type Refusal struct {
	Kind    string `json:"kind"`
	Message string `json:"message"`
}

// NewPlan returns the document of what an up of the manifest at path would meet on a cloud.
func NewPlan(p *lifecycle.Preview, path, cloud, endpoint string) Plan {
	plan := p.Plan
	task := plan.Task
	doc := Plan{
		Schema: "taskiam.plan/v1", Task: task.Name, Manifest: path, Cloud: cloud, Endpoint: endpoint,
		Operator: p.Operator.Member, Project: task.Project, Account: plan.Email, TTL: int64(task.TTL / time.Second),
		Expires: plan.Expires.UTC(), Deliver: []string{},
		Edits: []Edit{}, Notes: []Note{}, Ambient: []Ambient{}, Refusals: []Refusal{},
		WaysOut: waysOut(task), Calls: p.Calls, Unseen: list(p.Unseen), Outlook: newOutlook(p),
	}
	for _, kind := range task.Deliver {
		doc.Deliver = append(doc.Deliver, string(kind))
	}
	for _, edit := range plan.Edits {
		doc.Edits = append(doc.Edits, newEdit(p, edit))
	}
	for _, n := range plan.Notes() {
		doc.Notes = append(doc.Notes, Note{n.Grant, n.Text})
	}
	for _, a := range p.Ambient {
		v := Ambient{Resource: a.Resource.String(), Known: a.Known, Bindings: []Binding{}}
		for _, b := range a.Bindings {
			v.Bindings = append(v.Bindings, newBinding(b))
		}
		doc.Ambient = append(doc.Ambient, v)
	}
	for _, err := range p.Refusals {
		doc.Refusals = append(doc.Refusals, Refusal{fault.KindOf(err).String(), err.Error()})
	}
	return doc
}

func newEdit(p *lifecycle.Preview, edit grants.Edit) Edit {
	v := Edit{Resource: edit.Resource.String(), Bindings: []EditBinding{}, Dropped: []Binding{}}
	for i, b := range edit.Bindings {
		grant := p.Plan.Task.Grants[edit.Grants[i]]
		v.Bindings = append(v.Bindings, EditBinding{
			Grant: edit.Grants[i], Role: b.Role, Condition: newCondition(b.Condition),
			EndsByItself: grant.Bounded(), WorksUntil: p.Plan.WorksUntil(grant).UTC(), Offer: newOffer(grant),
			Permissions: len(p.Roles[b.Role].Permissions),
			OfNoUse:     list(review.OfNoUse(p.Roles[b.Role].Permissions, edit.Resource)),
			CustomRole:  newCustomRole(grant, p.Custom[b.Role]),
		})
	}
	for _, b := range p.Dropped[edit.Resource] {
		v.Dropped = append(v.Dropped, newBinding(b))
	}
	return v
}

// newCustomRole returns the custom role of a grant that lists permissions; nil for others.
func newCustomRole(g grants.Grant, c customrole.Role) *CustomRole {
	if len(g.Permissions) == 0 {
		return nil
	}
	return &CustomRole{State: string(c.State), Permissions: g.Permissions, Testing: list(c.Testing)}
}

func newOffer(g grants.Grant) *Offer {
	o, ok := review.OfferFor(g)
	if !ok {
		return nil
	}
	return &Offer{TOML: manifest.Block(o.Grant), Widens: o.Widens}
}

// Show adds the plan to a report.
func (d Plan) Show(r *Report) {
	r.Row("task", d.Task)
	r.Row("cloud", d.Cloud+" ("+d.Endpoint+")")
	r.Row("operator", d.Operator)
	r.Row("account", d.Account+" (new; its last part differs from run to run)")
	r.Row("ends", fmt.Sprintf("%s after up begins", Span(time.Duration(d.TTL)*time.Second)))
	r.Row("delivers", deliveries(d.Deliver))
	for _, edit := range d.Edits {
		r.Line("\non %s", edit.Resource)
		for _, b := range edit.Bindings {
			d.showBinding(r, b)
		}
	}
	d.showDrops(r)
	d.showAmbient(r)
	if len(d.WaysOut) > 0 {
		r.Line("")
		ShowWaysOut(r, d.WaysOut)
	}
	d.showForecast(r, d.Verbose)
	r.Line("\ncalls, in this order")
	for i, c := range d.Calls {
		r.Line("  %d. %s", i+1, c)
	}
	if len(d.Refusals) == 0 {
		r.Line("\nnothing was written; next: %s", d.Next)
	}
}

// deliveries says how a task is delivered.
func deliveries(kinds []string) string {
	if len(kinds) == 0 {
		return "with run: metadata; with up: a key, or a token where keys are not allowed"
	}
	return OneOf(kinds)
}

func (d Plan) showBinding(r *Report, b EditBinding) {
	permissions := "permissions not known"
	switch {
	case b.Permissions == 1:
		permissions = "1 permission"
	case b.Permissions > 1:
		permissions = fmt.Sprintf("%d permissions", b.Permissions)
	}
	role := b.Role
	if b.CustomRole != nil && role == "" {
		role, permissions = "a custom role", fmt.Sprintf("%d listed", len(b.CustomRole.Permissions))
	}
	r.Row("  + "+role, permissions, ends(b.EndsByItself))
	if b.CustomRole != nil {
		b.CustomRole.show(r)
	}
	if b.Condition != nil {
		r.Line("    if %s", b.Condition)
	}
	d.showRole(r, b.Role, b.OfNoUse, d.Verbose)
	d.showFindings(r, b.Grant, d.Verbose)
	for _, n := range d.Notes {
		if n.Grant == b.Grant {
			r.Line("    note: %s", n.Text)
		}
	}
	if b.Offer != nil {
		r.Line("    to make it expire, write this instead; %s:", b.Offer.Widens)
		for line := range strings.Lines(b.Offer.TOML) {
			r.Exact("      %s", strings.TrimSuffix(line, "\n"))
		}
	}
}

// show says what the custom role is and holds.
func (c CustomRole) show(r *Report) {
	switch customrole.State(c.State) {
	case customrole.There:
		r.Line("    custom role: exists; all runs that need these permissions share it")
	case customrole.Deleted:
		r.Line("    custom role: deleted; up restores it; all runs that need these permissions share it")
	case customrole.Missing:
		r.Line("    custom role: does not exist; up creates it; all runs that need these permissions share it, and " +
			"down keeps it")
	}
	r.Line("    holds: %s", strings.Join(c.Permissions, ", "))
	if len(c.Testing) > 0 {
		r.Line("    note: Google is still testing this in custom roles: %s", strings.Join(c.Testing, ", "))
	}
}

// showDrops says, dataset by dataset, what an up would drop.
func (d Plan) showDrops(r *Report) {
	for _, edit := range d.Edits {
		if len(edit.Dropped) == 0 {
			continue
		}
		r.Line("\nthe edit of %s removes deleted members, which BigQuery does not accept in a write:", edit.Resource)
		for _, b := range edit.Dropped {
			r.Row("  - "+b.Role, b.Member)
			if b.Condition != nil {
				r.Line("    if %s", b.Condition)
			}
		}
	}
}

// showAmbient adds what the account would have without being named.
func (d Plan) showAmbient(r *Report) {
	r.Line("\naccess that the account would also have, without being named")
	nothing := true
	for _, a := range d.Ambient {
		if !a.Known {
			nothing = false
			r.Line("  on %s: ambient access unknown, its policy cannot be read", a.Resource)
		}
		for _, b := range a.Bindings {
			nothing = false
			condition := ""
			if b.Condition != nil {
				condition = " if " + b.Condition.String()
			}
			r.Line("  on %s: %s, as %s%s", a.Resource, b.Role, b.Member, condition)
		}
	}
	for _, what := range d.Unseen {
		nothing = false
		r.Line("  on %s: ambient access unknown", what)
	}
	if nothing {
		r.Line("  nothing, on these resources and everything above them")
	}
}
