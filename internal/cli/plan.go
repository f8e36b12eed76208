package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/manifest"
	"github.com/taskiam/taskiam/internal/review"
)

type planOptions struct {
	taskOptions
	json, quiet     bool
	gcloud, verbose bool
}

func newPlanCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name:      "plan",
		Usage:     "show what up would create and bind; writes nothing",
		UsageText: "taskiam plan task.toml",
		ArgsUsage: "FILE",
		Description: `Checks the manifest, then asks the cloud what it would refuse, and what the account
would be able to do without being named anywhere.`,
		Flags: append([]cli.Flag{
			newJSONFlag(), newQuietFlag(),
			&cli.BoolFlag{Name: flagGcloud, Usage: "print what up would do as gcloud commands, to be run by hand"},
			&cli.BoolFlag{Name: flagVerbose, Usage: "print every permission by its name, and all that there is room for"},
		}, newTaskFlags()...),
		Action: action(
			func(c *cli.Context) (planOptions, error) { return parsePlan(c, e.Getenv) },
			func(ctx context.Context, o planOptions) error { return runPlan(ctx, e, o) }),
	}
}

func parsePlan(c *cli.Context, getenv func(string) string) (planOptions, error) {
	o := planOptions{json: c.Bool(flagJSON), quiet: c.Bool(flagQuiet), gcloud: c.Bool(flagGcloud), verbose: c.Bool(flagVerbose)}
	if o.json && o.gcloud {
		return o, usage(c, "either --%s or --%s", flagJSON, flagGcloud)
	}
	var err error
	if o.taskOptions, err = parseTask(c, getenv); err != nil {
		return o, err
	}
	o.file, err = oneFile(c)
	return o, err
}

// planDocument is what `plan --json` prints. The account's name is an example: its
// last part differs from run to run.
type planDocument struct {
	Schema   string        `json:"schema"` // taskiam.plan/v1
	Task     string        `json:"task"`
	Manifest string        `json:"manifest"`
	Cloud    string        `json:"cloud"`
	Endpoint string        `json:"endpoint"`
	Operator string        `json:"operator"`
	Project  string        `json:"project"`
	Account  string        `json:"account"`
	TTL      int64         `json:"ttl_seconds"`
	Expires  time.Time     `json:"expires"` // if up began now
	Deliver  []string      `json:"deliver"` // in the order of preference; empty if the manifest does not say
	Edits    []editView    `json:"edits"`
	Notes    []noteView    `json:"notes"`
	Ambient  []ambientView `json:"ambient"`
	Unseen   []string      `json:"unseen"` // what there may be more on, in words
	Refusals []refusalView `json:"refusals"`
	Calls    []string      `json:"calls"`
	truthView
}

// editView is what one resource's policy would gain.
type editView struct {
	Resource string            `json:"resource"`
	Bindings []editBindingView `json:"bindings"`
	// Dropped is what the edit takes away beside: entries of deleted members of others',
	// which BigQuery refuses to be written back.
	Dropped []bindingView `json:"dropped"`
}

type editBindingView struct {
	Grant        int            `json:"grant"` // index in the manifest, from 0
	Role         string         `json:"role"`
	Condition    *conditionView `json:"condition"`
	EndsByItself bool           `json:"ends_by_itself"`
	WorksUntil   time.Time      `json:"works_until"` // if down never comes
	Offer        *offerView     `json:"offer"`       // null where there is none, or no need of one
	Permissions  int            `json:"permissions"` // in the role; 0 if they cannot be read
	// CustomRole says what Role is, where the manifest lists permissions; null where it
	// names a role.
	CustomRole *customRoleView `json:"custom_role"`
}

// customRoleView is the custom role that a list of permissions comes to.
type customRoleView struct {
	State       string   `json:"state"` // "there", "deleted" (up takes it back) or "missing" (up makes it)
	Permissions []string `json:"permissions"`
	Testing     []string `json:"testing"` // what Google still tries out in custom roles
}

// offerView is a grant that ends by itself, in the place of one that does not.
type offerView struct {
	TOML   string `json:"toml"`   // to be pasted into the manifest
	Widens string `json:"widens"` // what it reaches beside
}

// noteView is something about a grant that its words do not say.
type noteView struct {
	Grant int    `json:"grant"`
	Text  string `json:"text"`
}

// ambientView is what everybody has on a resource.
type ambientView struct {
	Resource string        `json:"resource"`
	Known    bool          `json:"known"` // false where the policy cannot be read
	Bindings []bindingView `json:"bindings"`
}

// refusalView is a reason why up would refuse.
type refusalView struct {
	Kind    string `json:"kind"`
	Message string `json:"message"`
}

func runPlan(ctx context.Context, e *Env, o planOptions) error {
	src, engine, err := e.prepare(ctx, o.taskOptions, e.newProgress(o.quiet))
	if err != nil {
		return err
	}
	plan, err := engine.NewPlan(src.task)
	if err != nil {
		return err
	}
	preview, err := engine.Preview(ctx, plan)
	if err != nil {
		return err
	}
	doc := viewPlan(src, preview)
	doc.Cloud, doc.Endpoint = engine.Cloud.Cloud()
	switch {
	case o.json:
		err = e.printJSON(doc)
	case o.gcloud:
		_, err = io.WriteString(e.Stdout, gcloudScript(preview))
	default:
		err = e.showPlan(doc, o.verbose)
	}
	// What up would refuse, plan ends with: a check before a merge can rely on it.
	return errors.Join(append([]error{err}, preview.Refusals...)...)
}

func viewPlan(src source, p *lifecycle.Preview) planDocument {
	plan := p.Plan
	doc := planDocument{
		Schema: "taskiam.plan/v1", Task: src.task.Name, Manifest: src.path, Operator: p.Operator.Member,
		Project: src.task.Project, Account: plan.Email, TTL: int64(src.task.TTL / time.Second),
		Expires: plan.Expires.UTC(), Deliver: []string{},
		Edits: []editView{}, Notes: []noteView{}, Ambient: []ambientView{}, Refusals: []refusalView{},
		Calls: p.Calls, Unseen: append([]string{}, p.Unseen...),
	}
	for _, kind := range src.task.Deliver {
		doc.Deliver = append(doc.Deliver, string(kind))
	}
	for _, edit := range plan.Edits {
		v := editView{Resource: edit.Resource.String(), Bindings: []editBindingView{}, Dropped: []bindingView{}}
		for i, b := range edit.Bindings {
			grant := src.task.Grants[edit.Grants[i]]
			v.Bindings = append(v.Bindings, editBindingView{
				Grant: edit.Grants[i], Role: b.Role, Condition: viewBinding(b).Condition,
				EndsByItself: grant.Bounded(), WorksUntil: plan.WorksUntil(grant).UTC(), Offer: viewOffer(grant),
				Permissions: len(p.Roles[b.Role].Permissions), CustomRole: viewCustomRole(grant, p.Custom[b.Role]),
			})
		}
		for _, b := range p.Dropped[edit.Resource] {
			v.Dropped = append(v.Dropped, viewBinding(b))
		}
		doc.Edits = append(doc.Edits, v)
	}
	for _, n := range plan.Notes() {
		doc.Notes = append(doc.Notes, noteView{n.Grant, n.Text})
	}
	for _, a := range p.Ambient {
		v := ambientView{Resource: a.Resource.String(), Known: a.Known, Bindings: []bindingView{}}
		for _, b := range a.Bindings {
			v.Bindings = append(v.Bindings, viewBinding(b))
		}
		doc.Ambient = append(doc.Ambient, v)
	}
	for _, err := range p.Refusals {
		doc.Refusals = append(doc.Refusals, refusalView{fault.KindOf(err).String(), err.Error()})
	}
	doc.truthView = viewTruth(p)
	return doc
}

// viewCustomRole returns the custom role of a grant that lists permissions; nil for others.
func viewCustomRole(g grants.Grant, c lifecycle.CustomRole) *customRoleView {
	if len(g.Permissions) == 0 {
		return nil
	}
	return &customRoleView{State: string(c.State), Permissions: g.Permissions, Testing: append([]string{}, c.Testing...)}
}

// show says what the custom role is and holds.
func (c customRoleView) show(r *report) {
	switch lifecycle.RoleState(c.State) {
	case lifecycle.RoleThere:
		r.line("    custom role: is there, and shared by all runs that need these permissions")
	case lifecycle.RoleDeleted:
		r.line("    custom role: was deleted; up takes it back, shared by all runs that need these permissions")
	case lifecycle.RoleMissing:
		r.line("    custom role: not there; up makes it, shared by all runs that need these permissions, and down leaves it")
	}
	r.line("    holds: %s", strings.Join(c.Permissions, ", "))
	if len(c.Testing) > 0 {
		r.line("    note: Google still tries out in custom roles: %s", strings.Join(c.Testing, ", "))
	}
}

// deliverWords says how a task is delivered.
func deliverWords(kinds []string) string {
	if len(kinds) == 0 {
		return "under run metadata, under up a key, or a token where keys are not allowed"
	}
	return list(kinds)
}

func viewOffer(g grants.Grant) *offerView {
	o, ok := review.OfferFor(g)
	if !ok {
		return nil
	}
	return &offerView{TOML: manifest.Block(o.Grant), Widens: o.Widens}
}

func (e *Env) showPlan(doc planDocument, verbose bool) error {
	r := newReport()
	r.row("task", doc.Task)
	r.row("cloud", doc.Cloud+" ("+doc.Endpoint+")")
	r.row("operator", doc.Operator)
	r.row("account", doc.Account+" (new; its last part differs from run to run)")
	r.row("ends", fmt.Sprintf("%s after up began", span(time.Duration(doc.TTL)*time.Second)))
	r.row("delivers", deliverWords(doc.Deliver))
	for _, edit := range doc.Edits {
		r.line("\non %s", edit.Resource)
		for _, b := range edit.Bindings {
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
			r.row("  + "+role, permissions, grantView{EndsByItself: b.EndsByItself}.ends())
			if b.CustomRole != nil {
				b.CustomRole.show(r)
			}
			if b.Condition != nil {
				r.line("    if %s", b.Condition.Expression)
			}
			doc.showRole(r, b.Role, verbose)
			doc.showFindings(r, b.Grant)
			for _, n := range doc.Notes {
				if n.Grant == b.Grant {
					r.line("    note: %s", n.Text)
				}
			}
			if b.Offer != nil {
				r.line("    to have it end by itself, write this instead; %s:", b.Offer.Widens)
				for line := range strings.Lines(b.Offer.TOML) {
					r.line("      %s", strings.TrimSuffix(line, "\n"))
				}
			}
		}
	}
	showPlanDrops(r, doc.Edits)
	r.line("\nwithout being named, the account would also have")
	nothing := true
	for _, a := range doc.Ambient {
		if !a.Known {
			nothing = false
			r.line("  on %s: ambient access unknown, its policy cannot be read", a.Resource)
		}
		for _, b := range a.Bindings {
			nothing = false
			condition := ""
			if b.Condition != nil {
				condition = " if " + b.Condition.Expression
			}
			r.line("  on %s: %s, as %s%s", a.Resource, b.Role, b.Member, condition)
		}
	}
	for _, what := range doc.Unseen {
		nothing = false
		r.line("  on %s: ambient access unknown", what)
	}
	if nothing {
		r.line("  nothing, on these resources and all that is above them")
	}
	doc.showForecast(r, verbose)
	r.line("\ncalls, in this order")
	for i, c := range doc.Calls {
		r.line("  %d. %s", i+1, c)
	}
	if len(doc.Refusals) == 0 {
		r.line("\nnothing was written; next: taskiam up %s", quoteShell(doc.Manifest))
	}
	return e.print(r)
}
