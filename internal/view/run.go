package view

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
)

// Run is a run as documents show it.
type Run struct {
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
	// RenewingTo is the end of a renewal that was begun and whose outcome is not known: some of the
	// access may last until then. It is null if there is none.
	RenewingTo *time.Time `json:"renewing_to"`
	// Seconds are measured with this machine's clock, corrected by what is known about it; no call is
	// made. They are 0 when the run has expired.
	Seconds int64 `json:"seconds_left"`
	// ClockAhead is by how many seconds the clock of the cloud was ahead of this machine's when the run
	// began; 0 if the two agreed.
	ClockAhead int64  `json:"clock_ahead_seconds"`
	Manifest   string `json:"manifest"`
	Job        string `json:"job"`     // the label of the CI job that it is for; "" for none
	Deliver    string `json:"deliver"` // the kind of delivery; empty before there is one
	Delivery   string `json:"delivery"`
	// Server is what serves metadata or renews the token in the background; null if nothing does, or the
	// command of run does.
	Server *Server `json:"server"`
	Grants []Grant `json:"grants"`
	// Endless is what was seen to be bound in a form that may never expire, though the manifest does not say so:
	// only down ends it.
	Endless []Endless `json:"endless"`
	// Left is what the last teardown could not remove.
	Left []string `json:"left"`
	// Verified says that the run's command cannot have changed the journal, and that nobody else has without the
	// key that seals it.
	Verified bool `json:"verified"`

	// unsure means that the run has expired by only one of two clocks: this machine's, and this machine's
	// corrected by the error that it had when the run began.
	unsure bool
	forged bool // a record is not sealed
}

// Server is the server of a run that is up.
type Server struct {
	PID     int  `json:"pid"`
	Running bool `json:"running"` // false if it ended before its time
}

// Grant is one grant of a run, and how usable it is.
type Grant struct {
	Role string `json:"role"` // "" where the manifest lists permissions
	// Permissions are those that the manifest lists; empty where it names a role.
	Permissions []string `json:"permissions"`
	Resource    string   `json:"resource"`
	Prefix      string   `json:"prefix"`
	Condition   string   `json:"condition"` // the manifest's own, "" for none
	// EndsByItself is false for a grant that only down ends.
	EndsByItself bool      `json:"ends_by_itself"`
	WorksUntil   time.Time `json:"works_until"` // if down never comes
	Readiness    string    `json:"readiness"`   // "" while it is not known
	Why          string    `json:"why"`         // why it is not proved
	// Accepted are the findings that the manifest accepts, each with its reason.
	Accepted []string `json:"accepted"`
}

// Endless is what a run has, and may have for ever.
type Endless struct {
	Role      string `json:"role"`
	Resource  string `json:"resource"`
	Condition string `json:"condition"` // as it was seen; "" for none
}

// Liveness reports whether the process with this id and start time is there.
type Liveness func(pid int, start string) bool

// NewRun returns the view of a run at the time now by this machine's clock.
func NewRun(r *journal.Run, now time.Time, alive Liveness) Run {
	o := r.Opened
	v := Run{
		Run: string(o.Run), Task: o.Task, State: string(r.State()),
		Cloud: o.Cloud, Endpoint: o.Endpoint, Operator: o.Operator,
		Project: o.Project, Account: o.Email, Started: r.At.UTC(), Expires: r.Expires().UTC(),
		Seconds:    max(0, int64(r.Expires().Sub(now.Add(r.ClockAhead()))/time.Second)),
		ClockAhead: int64(r.ClockAhead() / time.Second), unsure: r.Expired(now) != r.MayBeExpired(now),
		Manifest: o.ManifestPath, Job: o.Job, Deliver: string(r.Kind), Delivery: o.DeliveryDir,
		Server: newServer(r, alive), Grants: newGrants(r), Endless: newEndless(r), Left: list(r.Left()),
		Verified: r.Verified && o.Apart, forged: !r.Verified,
	}
	for _, n := range r.Renewals {
		if n.Effect == journal.Done {
			v.Renewals++
		}
	}
	if r.Live() {
		v.RenewingTo = at(r.Renewing())
	}
	return v
}

// newServer returns the latest server of the run, unless it has ended as it should.
func newServer(r *journal.Run, alive Liveness) *Server {
	p, standing := r.Process(journal.RoleServer)
	if !standing || !r.Down.IsZero() {
		return nil
	}
	return &Server{PID: p.PID, Running: alive(p.PID, p.Start)}
}

func newGrants(r *journal.Run) []Grant {
	out := []Grant{}
	for i, g := range r.Opened.Grants {
		v := Grant{
			Role: g.Role, Permissions: list(g.Permissions), Resource: shortName(g.Resource), Prefix: g.Prefix,
			Condition: g.Condition, EndsByItself: !g.Unbounded, WorksUntil: r.Expires().UTC(),
			Accepted: list(g.Accepted),
		}
		if g.Unbounded {
			v.WorksUntil = v.WorksUntil.Add(grants.TokenLifetime)
		}
		if i < len(r.Grants) {
			v.Readiness, v.Why = string(r.Grants[i].State), r.Grants[i].Why
		}
		out = append(out, v)
	}
	return out
}

// newEndless returns what may never expire.
func newEndless(r *journal.Run) []Endless {
	out := []Endless{}
	for _, b := range r.Endless() {
		out = append(out, Endless{b.Binding.Role, shortName(b.Resource), b.Binding.Condition.Expression})
	}
	return out
}

// On returns the resource with its prefix, as a manifest has it.
func (g Grant) On() string {
	if g.Prefix != "" {
		return g.Resource + "/" + g.Prefix
	}
	return g.Resource
}

// Gives returns the role, or the permissions as far as they fit.
func (g Grant) Gives() string {
	return grants.Grant{Role: g.Role, Permissions: g.Permissions}.Gives()
}

func (g Grant) ends() string { return ends(g.EndsByItself) }

func ends(byItself bool) string {
	if byItself {
		return "expires"
	}
	return "only with down"
}

// ready counts the grants that are usable, as far as that can be known.
func (v Run) ready() int {
	n := 0
	for _, g := range v.Grants {
		if g.Readiness == string(journal.Proved) || g.Readiness == string(journal.NotProvable) {
			n++
		}
	}
	return n
}

// Unbounded counts the grants that only down ends.
func (v Run) Unbounded() int {
	n := 0
	for _, g := range v.Grants {
		if !g.EndsByItself {
			n++
		}
	}
	return n
}

// Show adds a run to a report: what it is, what it may do, and which of its grants expire.
func (v Run) Show(r *Report) {
	v.alarm(r)
	r.Row("run", v.Run)
	r.Row("task", v.Task)
	r.Row("state", v.State)
	r.Row("cloud", v.Cloud+" ("+v.Endpoint+")")
	r.Row("operator", v.Operator)
	r.Row("account", v.Account)
	if v.Job != "" {
		r.Row("job", v.Job)
	}
	r.Row("expires", Moment(v.Expires)+v.TimeLeft()+v.renewed())
	if v.ClockAhead != 0 {
		r.Row("clock", "this machine's was "+clock(v.ClockAhead)+
			" when the run began; the time left assumes that it still is")
	}
	r.Row("delivery", v.Deliver+" in "+v.Delivery)
	if v.Server != nil && v.Server.Running {
		r.Row("server", fmt.Sprintf("process %d", v.Server.PID))
	}
	v.showGrants(r)
}

func (v Run) showGrants(r *Report) {
	r.Line("")
	r.Row("ROLE", "ON", "READY", "ENDS")
	for _, g := range v.Grants {
		r.Row(g.Gives(), g.On(), orDash(g.Readiness), g.ends())
	}
	r.Line("")
	for _, g := range v.Grants {
		if g.Why != "" {
			r.Line("%s on %s: %s", g.Gives(), g.On(), g.Why)
		}
		for _, a := range g.Accepted {
			r.Line("%s on %s: accepted %s", g.Role, g.On(), a)
		}
	}
	forever := v.Unbounded()
	if len(v.Endless) > 0 {
		return // the alarm has said it, and that everything expires is not true
	}
	if forever == 0 {
		r.Line("everything expires at %s, even without down", Moment(v.Expires))
		return
	}
	r.Line("%d of %d grants cannot expire: without down, a token made just before the end of", forever, len(v.Grants))
	r.Line("the run works until %s on", Moment(v.Expires.Add(grants.TokenLifetime)))
	for _, g := range v.Grants {
		if !g.EndsByItself {
			r.Line("  %s on %s", g.Gives(), g.On())
		}
	}
}

// alarm says what must not be overlooked: what a teardown left behind, a renewal that was cut off, and a
// server that has crashed.
func (v Run) alarm(r *Report) {
	if v.RenewingTo != nil {
		r.Line("NOT ALL RENEWED: run %s of %s ends at %s, but some of its access may last until %s:",
			v.Run, v.Task, Moment(v.Expires), Moment(*v.RenewingTo))
		r.Line("a renewal was begun and not finished; finish it: taskiam renew %s --ttl DURATION; "+
			"or end the run: taskiam down %s", v.Run, v.Run)
		r.Line("")
	}
	if len(v.Endless) > 0 {
		r.Line("MAY NEVER EXPIRE: run %s of %s has access that only down ends: taskiam down %s", v.Run, v.Task, v.Run)
		for _, g := range v.Endless {
			r.Line("  bound without the end of the run: %s on %s", g.Role, g.Resource)
		}
		r.Line("")
	}
	if v.Server != nil && !v.Server.Running {
		again := delivery.Of(grants.DeliveryKind(v.Deliver)).ServeCommand(grants.RunID(v.Run))
		r.Line("NO SERVER: run %s of %s gets no more tokens, since process %d has ended; start another: %s",
			v.Run, v.Task, v.Server.PID, again)
		r.Line("")
	}
	if v.State != string(journal.Incomplete) {
		return
	}
	r.Line("NOT ALL REMOVED: run %s of %s; finish it with: taskiam down %s", v.Run, v.Task, v.Run)
	for _, what := range v.Left {
		r.Line("  left: %s", what)
	}
	r.Line("")
}

// over reports whether nobody waits for the end of the run any more.
func (v Run) over() bool { return !journal.State(v.State).Live() }

// TimeLeft says how much time is left, or that none is, as what follows a moment.
func (v Run) TimeLeft() string {
	switch {
	case v.over():
		return ""
	case v.unsure:
		return " (perhaps expired)"
	case v.Seconds == 0:
		return " (expired, by this machine's clock)"
	default:
		return fmt.Sprintf(" (in %s)", Span(time.Duration(v.Seconds)*time.Second))
	}
}

// renewed says how often the end was moved.
func (v Run) renewed() string {
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
func clock(cloudAhead int64) string {
	off := (time.Duration(cloudAhead) * time.Second).Round(time.Minute) // it is not known to the second
	if off < 0 {
		return Span(-off) + " ahead of the cloud's"
	}
	return Span(off) + " behind the cloud's"
}

// Status is what `status --json` prints.
type Status struct {
	Schema string `json:"schema"` // taskiam.status/v1
	Runs   []Run  `json:"runs"`

	// InFull says that people see each run in full, and not a table.
	InFull bool `json:"-"`
}

// NewStatus returns the document of runs. What a teardown left behind comes first: it must not be
// overlooked.
func NewStatus(runs []Run) Status {
	doc := Status{Schema: "taskiam.status/v1", Runs: append([]Run{}, runs...)}
	slices.SortStableFunc(doc.Runs, func(a, b Run) int { return a.rank() - b.rank() })
	return doc
}

func (v Run) rank() int {
	if v.State == string(journal.Incomplete) {
		return 0
	}
	return 1
}

// SomeOver reports whether a run has expired and was not taken down.
func (d Status) SomeOver() bool {
	return slices.ContainsFunc(d.Runs, func(v Run) bool { return v.Seconds == 0 && !v.over() })
}

// Show adds the runs to a report.
func (d Status) Show(r *Report) {
	if d.InFull {
		for i, v := range d.Runs {
			if i > 0 {
				r.Line("")
			}
			v.Show(r)
			r.Line("record: %s", v.record())
		}
		return
	}
	for _, v := range d.Runs {
		v.alarm(r)
	}
	r.Row("RUN", "TASK", "STATE", "LEFT", "READY", "ACCOUNT")
	for _, v := range d.Runs {
		r.Row(v.Run, v.Task, v.State, v.span(), strconv.Itoa(v.ready())+"/"+strconv.Itoa(len(v.Grants)), v.Account)
	}
	for _, v := range d.Runs {
		if v.forged {
			r.Line("not verified: the journal of run %s has records that are not sealed, or were changed; "+
				"the cloud says what is true: taskiam down %s", v.Run, v.Run)
		}
	}
}

// record says how far the journal of the run can be believed.
func (v Run) record() string {
	switch {
	case v.Verified:
		return "verified"
	case v.forged:
		return "not verified: it has records that are not sealed, or were changed"
	default:
		return "not verified: whoever uses the run can read the key that seals it, and could have changed it; " +
			"down asks the cloud"
	}
}

// span is how much time is left, in a table.
func (v Run) span() string {
	switch {
	case v.over():
		return "-"
	case v.unsure:
		return "expired?"
	case v.Seconds > 0:
		return Span(time.Duration(v.Seconds) * time.Second)
	}
	return "expired"
}

// Up is what `up --json` prints.
type Up struct {
	Schema  string `json:"schema"` // taskiam.run/v1
	Reused  bool   `json:"reused"` // whether the run was already up
	Elapsed int64  `json:"elapsed_ms"`
	Run
}

// NewUp returns the document of a run that is up.
func NewUp(run Run, elapsed time.Duration, reused bool) Up {
	return Up{Schema: "taskiam.run/v1", Reused: reused, Elapsed: elapsed.Milliseconds(), Run: run}
}

// Show adds the run to a report, and what to do next.
func (d Up) Show(r *Report) {
	d.Run.Show(r)
	r.Line("")
	if d.Reused {
		r.Line("already up; next:")
	} else {
		r.Line("up after %s; next:", Span(time.Duration(d.Elapsed)*time.Millisecond))
	}
	r.Row(`  eval "$(taskiam env `+d.Run.Run+`)"`, "this shell acts as the account")
	r.Row(`  eval "$(taskiam env --unset)"`, "this shell acts as you again")
	r.Row("  taskiam down "+d.Run.Run, "remove everything")
}

// Renewal is what `renew --json` prints.
type Renewal struct {
	Schema string `json:"schema"` // taskiam.renewal/v1
	// Was is when the run would have ended; expires is when it ends now.
	Was     time.Time `json:"was"`
	Elapsed int64     `json:"elapsed_ms"`
	Run
}

// NewRenewal returns the document of a run whose end was moved.
func NewRenewal(run Run, was time.Time, elapsed time.Duration) Renewal {
	return Renewal{Schema: "taskiam.renewal/v1", Was: was.UTC(), Elapsed: elapsed.Milliseconds(), Run: run}
}

// Show adds the old end and the new one to a report.
func (d Renewal) Show(r *Report) {
	r.Line("run %s of %s ends at %s, and not at %s%s",
		d.Run.Run, d.Task, Moment(d.Expires), Moment(d.Was), d.TimeLeft())
}
