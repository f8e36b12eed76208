package cli

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/resource"
)

// runView is a run as --json documents show it.
type runView struct {
	Run      string      `json:"run"`
	Task     string      `json:"task"`
	State    string      `json:"state"`
	Cloud    string      `json:"cloud"` // "google" or "emulator"
	Endpoint string      `json:"endpoint"`
	Operator string      `json:"operator"`
	Project  string      `json:"project"`
	Account  string      `json:"account"`
	Started  time.Time   `json:"started"`
	Expires  time.Time   `json:"expires"`
	Seconds  int64       `json:"seconds_left"` // 0 when the time is over
	Manifest string      `json:"manifest"`
	Deliver  string      `json:"deliver"` // "key" or "token"
	Delivery string      `json:"delivery"`
	Grants   []grantView `json:"grants"`
	// Left is what the last teardown could not take away.
	Left []string `json:"left"`
}

// grantView is one grant of a run, and how usable it is.
type grantView struct {
	Role      string `json:"role"`
	Resource  string `json:"resource"`
	Prefix    string `json:"prefix"`
	Condition string `json:"condition"` // the manifest's own, "" for none
	// EndsByItself is false for what ends with down alone.
	EndsByItself bool   `json:"ends_by_itself"`
	Readiness    string `json:"readiness"` // "" while it is not known
	Why          string `json:"why"`       // why it is not proved
}

func viewRun(r *journal.Run, now time.Time) runView {
	o := r.Opened
	v := runView{
		Run: string(o.Run), Task: o.Task, State: string(r.State()),
		Cloud: o.Cloud, Endpoint: o.Endpoint, Operator: o.Operator,
		Project: o.Project, Account: o.Email, Started: r.At.UTC(), Expires: o.Expires.UTC(),
		Seconds:  max(0, int64(o.Expires.Sub(now)/time.Second)),
		Manifest: o.ManifestPath, Deliver: string(o.Deliver), Delivery: o.DeliveryDir,
		Grants: []grantView{}, Left: []string{},
	}
	if r.Receipt != nil {
		for _, c := range r.Receipt.Checks {
			if !c.OK && !slices.Contains(v.Left, c.Found) {
				v.Left = append(v.Left, c.Found)
			}
		}
	}
	for i, g := range o.Grants {
		view := grantView{
			Role: g.Role, Resource: shortName(g.Resource), Prefix: g.Prefix,
			Condition: g.Condition, EndsByItself: !g.Unbounded,
		}
		if i < len(r.Grants) {
			view.Readiness, view.Why = string(r.Grants[i].State), r.Grants[i].Why
		}
		v.Grants = append(v.Grants, view)
	}
	return v
}

// shortName returns a full resource name as people write it.
func shortName(full string) string {
	name, err := resource.ParseFull(full)
	if err != nil {
		return full
	}
	return name.String()
}

// on returns the resource with its prefix, as a manifest has it.
func (g grantView) on() string {
	if g.Prefix != "" {
		return g.Resource + "/" + g.Prefix
	}
	return g.Resource
}

// ready counts the grants that are usable, as far as that can be known.
func (v runView) ready() int {
	n := 0
	for _, g := range v.Grants {
		if g.Readiness == string(journal.Proved) || g.Readiness == string(journal.NotProvable) {
			n++
		}
	}
	return n
}

// show adds a run to a report: what it is, what it may do, and what of that ends by
// itself.
func (v runView) show(r *report) {
	v.alarm(r)
	r.row("run", v.Run)
	r.row("task", v.Task)
	r.row("state", v.State)
	r.row("cloud", v.Cloud+" ("+v.Endpoint+")")
	r.row("operator", v.Operator)
	r.row("account", v.Account)
	r.row("expires", moment(v.Expires)+v.left())
	r.row("delivery", v.Deliver+" in "+v.Delivery)
	r.line("")
	r.row("ROLE", "ON", "READY", "ENDS")
	for _, g := range v.Grants {
		r.row(g.Role, g.on(), orDash(g.Readiness), g.ends())
	}
	r.line("")
	for _, g := range v.Grants {
		if g.Why != "" {
			r.line("%s on %s: %s", g.Role, g.on(), g.Why)
		}
	}
	switch forever := v.unbounded(); {
	case forever == 0:
		r.line("everything ends by itself at %s, if down never comes", moment(v.Expires))
	default:
		r.line("without down, %d of %d grants would not end by themselves; a token made just", forever, len(v.Grants))
		r.line("before the end would work until %s", moment(v.Expires.Add(grants.TokenLifetime)))
	}
}

// alarm says what a teardown left behind, if it did.
func (v runView) alarm(r *report) {
	if v.State != string(journal.Incomplete) {
		return
	}
	r.line("NOT ALL GONE: run %s of %s; finish it with: taskiam down %s", v.Run, v.Task, v.Run)
	for _, what := range v.Left {
		r.line("  left: %s", what)
	}
	r.line("")
}

func (g grantView) ends() string {
	if g.EndsByItself {
		return "by itself"
	}
	return "with down only"
}

func (v runView) unbounded() int {
	return len(slices.DeleteFunc(slices.Clone(v.Grants), func(g grantView) bool { return g.EndsByItself }))
}

// left says how much time is left, or that none is.
func (v runView) left() string {
	switch {
	case v.State == string(journal.Ended):
		return ""
	case v.Seconds == 0:
		return " (over)"
	default:
		return fmt.Sprintf(" (in %s)", span(time.Duration(v.Seconds)*time.Second))
	}
}

// row returns the run as a line of a table of runs.
func (v runView) row() []string {
	left := "over"
	switch {
	case v.State == string(journal.Ended):
		left = "-"
	case v.Seconds > 0:
		left = span(time.Duration(v.Seconds) * time.Second)
	}
	return []string{v.Run, v.Task, v.State, left, strconv.Itoa(v.ready()) + "/" + strconv.Itoa(len(v.Grants)), v.Account}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// conditionView is a condition in a --json document.
type conditionView struct {
	Title      string `json:"title"`
	Expression string `json:"expression"`
}

// bindingView is a binding in a --json document.
type bindingView struct {
	Role      string         `json:"role"`
	Member    string         `json:"member"`
	Condition *conditionView `json:"condition"` // null for none
}

func viewBinding(b grants.Binding) bindingView {
	v := bindingView{Role: b.Role, Member: b.Member}
	if !b.Condition.IsZero() {
		v.Condition = &conditionView{Title: b.Condition.Title, Expression: b.Condition.Expression}
	}
	return v
}
