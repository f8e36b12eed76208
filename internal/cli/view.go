package cli

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
)

// runView is a run as --json documents show it.
type runView struct {
	Run      string    `json:"run"`
	Task     string    `json:"task"`
	State    string    `json:"state"`
	Cloud    string    `json:"cloud"` // "google" or "emulator"
	Endpoint string    `json:"endpoint"`
	Operator string    `json:"operator"`
	Project  string    `json:"project"`
	Account  string    `json:"account"`
	Started  time.Time `json:"started"`
	Expires  time.Time `json:"expires"`
	Renewals int       `json:"renewals"` // how often the end was moved
	// RenewingTo is the end of a renewal that was begun and of which it is not known what
	// came: some of the access may last until then. It is null for none.
	RenewingTo *time.Time `json:"renewing_to"`
	// Seconds are told by this machine's clock, set right by what is known of it: nobody
	// is asked. They are 0 when the time is over.
	Seconds int64 `json:"seconds_left"`
	// ClockAhead is by how many seconds the clock of the cloud was ahead of this machine's
	// when the run began; 0 if the two agreed.
	ClockAhead int64  `json:"clock_ahead_seconds"`
	Manifest   string `json:"manifest"`
	Job        string `json:"job"`     // the label of the CI job that it is for; "" for none
	Deliver    string `json:"deliver"` // "metadata", "key" or "token"; empty before there is one
	Delivery   string `json:"delivery"`
	// Server is what serves metadata or renews the token in the background; null if
	// nothing does, or the command of run does.
	Server *serverView `json:"server"`
	Grants []grantView `json:"grants"`
	// Left is what the last teardown could not take away.
	Left []string `json:"left"`

	// unsure says that the time is over by one of the two: this machine's clock as it
	// is, and as it would be if it were as wrong as it was.
	unsure bool
}

// serverView is the server of a run that is up.
type serverView struct {
	PID     int  `json:"pid"`
	Running bool `json:"running"` // false if it ended before its time
}

// viewServer returns the latest server of the run, unless it has ended as it should.
func viewServer(r *journal.Run) *serverView {
	if len(r.Processes) == 0 || !r.Down.IsZero() {
		return nil
	}
	p := r.Processes[len(r.Processes)-1]
	if !p.Effect.Standing() {
		return nil
	}
	return &serverView{PID: p.PID, Running: running(p.PID, p.Start)}
}

// grantView is one grant of a run, and how usable it is.
type grantView struct {
	Role string `json:"role"` // "" where the manifest lists permissions
	// Permissions are those that the manifest lists; empty where it names a role.
	Permissions []string `json:"permissions"`
	Resource    string   `json:"resource"`
	Prefix      string   `json:"prefix"`
	Condition   string   `json:"condition"` // the manifest's own, "" for none
	// EndsByItself is false for what ends with down alone.
	EndsByItself bool      `json:"ends_by_itself"`
	WorksUntil   time.Time `json:"works_until"` // if down never comes
	Readiness    string    `json:"readiness"`   // "" while it is not known
	Why          string    `json:"why"`         // why it is not proved
	// Accepted are the findings that the manifest accepts, each with its reason.
	Accepted []string `json:"accepted"`
}

func viewRun(r *journal.Run, now time.Time) runView {
	o := r.Opened
	v := runView{
		Run: string(o.Run), Task: o.Task, State: string(r.State()),
		Cloud: o.Cloud, Endpoint: o.Endpoint, Operator: o.Operator,
		Project: o.Project, Account: o.Email, Started: r.At.UTC(), Expires: r.Expires().UTC(),
		Seconds:    max(0, int64(r.Expires().Sub(now.Add(r.ClockAhead()))/time.Second)),
		ClockAhead: int64(r.ClockAhead() / time.Second), unsure: r.Expired(now) != r.MayBeExpired(now),
		Manifest: o.ManifestPath, Job: o.Job, Deliver: string(r.Kind), Delivery: o.DeliveryDir, Server: viewServer(r),
		Grants: []grantView{}, Left: []string{},
	}
	for _, n := range r.Renewals {
		if n.Effect == journal.Done {
			v.Renewals++
		}
	}
	if r.Live() {
		v.RenewingTo = at(r.Renewing())
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
			Role: g.Role, Permissions: append([]string{}, g.Permissions...), Resource: shortName(g.Resource), Prefix: g.Prefix,
			Condition: g.Condition, EndsByItself: !g.Unbounded, WorksUntil: v.Expires, Accepted: append([]string{}, g.Accepted...),
		}
		if g.Unbounded {
			view.WorksUntil = v.Expires.Add(grants.TokenLifetime)
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

// gives returns the role, or the permissions as far as they fit.
func (g grantView) gives() string {
	return grants.Grant{Role: g.Role, Permissions: g.Permissions}.Gives()
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
	if v.Job != "" {
		r.row("job", v.Job)
	}
	r.row("expires", moment(v.Expires)+v.left()+v.renewed())
	if v.ClockAhead != 0 {
		r.row("clock", "this machine's was "+v.clock()+" when the run began; what is left is told as if it still were")
	}
	r.row("delivery", v.Deliver+" in "+v.Delivery)
	if v.Server != nil && v.Server.Running {
		r.row("server", fmt.Sprintf("process %d", v.Server.PID))
	}
	r.line("")
	r.row("ROLE", "ON", "READY", "ENDS")
	for _, g := range v.Grants {
		r.row(g.gives(), g.on(), orDash(g.Readiness), g.ends())
	}
	r.line("")
	for _, g := range v.Grants {
		if g.Why != "" {
			r.line("%s on %s: %s", g.gives(), g.on(), g.Why)
		}
		for _, a := range g.Accepted {
			r.line("%s on %s: accepted %s", g.Role, g.on(), a)
		}
	}
	switch forever := v.unbounded(); {
	case forever == 0:
		r.line("everything ends by itself at %s, if down never comes", moment(v.Expires))
	default:
		r.line("without down, %d of %d grants would not end by themselves; with a token made just", forever, len(v.Grants))
		r.line("before the end, these would work until %s", moment(v.Expires.Add(grants.TokenLifetime)))
		for _, g := range v.Grants {
			if !g.EndsByItself {
				r.line("  %s on %s", g.gives(), g.on())
			}
		}
	}
}

// alarm says what nobody may overlook: what a teardown left behind, a renewal that was cut
// off, and a server that has crashed.
func (v runView) alarm(r *report) {
	if v.RenewingTo != nil {
		r.line("NOT ALL RENEWED: run %s of %s ends at %s, but some of its access may last until %s:", v.Run, v.Task, moment(v.Expires), moment(*v.RenewingTo))
		r.line("a renewal was begun and not finished; finish it: taskiam renew %s --ttl DURATION; or end the run: taskiam down %s", v.Run, v.Run)
		r.line("")
	}
	if v.Server != nil && !v.Server.Running {
		again := "taskiam serve " + v.Run
		if v.Deliver == string(grants.DeliverToken) {
			again = "taskiam serve --refresh " + v.Run
		}
		r.line("NO SERVER: run %s of %s gets no more tokens, since process %d has ended; start another: %s", v.Run, v.Task, v.Server.PID, again)
		r.line("")
	}
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
	case v.unsure:
		return " (perhaps over)"
	case v.Seconds == 0:
		return " (over, by this machine's clock)"
	default:
		return fmt.Sprintf(" (in %s)", span(time.Duration(v.Seconds)*time.Second))
	}
}

// renewed says how often the end was moved.
func (v runView) renewed() string {
	switch v.Renewals {
	case 0:
		return ""
	case 1:
		return ", renewed once"
	default:
		return fmt.Sprintf(", renewed %d times", v.Renewals)
	}
}

// clock says how wrong this machine's clock was.
func (v runView) clock() string {
	off := time.Duration(v.ClockAhead) * time.Second
	if off < 0 {
		return span(-off) + " ahead of the cloud's"
	}
	return span(off) + " behind the cloud's"
}

// row returns the run as a line of a table of runs.
func (v runView) row() []string {
	left := "over"
	switch {
	case v.State == string(journal.Ended):
		left = "-"
	case v.unsure:
		left = "over?"
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

func viewBinding(b policy.Binding) bindingView {
	v := bindingView{Role: b.Role, Member: b.Member}
	if !b.Condition.IsZero() {
		v.Condition = &conditionView{Title: b.Condition.Title, Expression: b.Condition.Expression}
	}
	return v
}
