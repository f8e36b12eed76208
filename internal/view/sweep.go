package view

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/taskiam/taskiam/internal/lifecycle"
)

// Sweep is what `sweep --json` prints.
type Sweep struct {
	Schema   string         `json:"schema"` // taskiam.sweep/v1
	DryRun   bool           `json:"dry_run"`
	Projects []SweptProject `json:"projects"`
	Elapsed  int64          `json:"elapsed_ms"`
}

// SweptProject is what was found of one project's runs.
type SweptProject struct {
	Project  string     `json:"project"`
	Accounts *int       `json:"accounts"` // how many the project has; null if that could not be read
	Searched string     `json:"searched"` // "" for nothing
	Short    string     `json:"short"`    // why that is not everything; "" if it is
	Unread   []string   `json:"unread"`
	Error    string     `json:"error"` // "" for none
	Runs     []SweptRun `json:"runs"`
}

// SweptRun is what a sweep did with one run.
type SweptRun struct {
	Run     string     `json:"run"`
	Task    string     `json:"task"`    // "" if nothing says
	Account string     `json:"account"` // its email
	Expires *time.Time `json:"expires"` // null if nothing says
	Kind    string     `json:"kind"`    // "account", "journal" or "tombstone"
	State   string     `json:"state"`   // "not over", "busy", "found", "gone" or "left"
	Bound   []string   `json:"bound"`   // what binds it, in a dry run
	Looked  []string   `json:"looked"`  // where that was looked for
	Left    []string   `json:"left"`
	// Dropped is what the writes left out of others' deleted members.
	Dropped []Dropped `json:"dropped"`
	Steps   []Step    `json:"steps"`
	Error   string    `json:"error"` // "" for none
}

// NewSweep returns the document of a sweep.
func NewSweep(s *lifecycle.Sweep, dryRun bool) Sweep {
	doc := Sweep{Schema: "taskiam.sweep/v1", DryRun: dryRun, Projects: []SweptProject{},
		Elapsed: s.Elapsed.Milliseconds()}
	for _, p := range s.Projects {
		v := SweptProject{
			Project: p.Project, Searched: p.Searched,
			Short: message(p.Short), Error: message(p.Err), Unread: list(p.Unread), Runs: []SweptRun{},
		}
		if p.Looked >= 0 {
			v.Accounts = &p.Looked
		}
		for _, r := range p.Runs {
			v.Runs = append(v.Runs, newSweptRun(r))
		}
		doc.Projects = append(doc.Projects, v)
	}
	return doc
}

func newSweptRun(r lifecycle.SweptRun) SweptRun {
	v := SweptRun{
		Run: string(r.Run), Task: r.Task, Account: r.Email, Expires: at(r.Expires),
		Kind: string(r.Kind), State: string(r.State),
		Bound: list(r.Bound), Looked: []string{}, Left: []string{}, Dropped: []Dropped{}, Steps: []Step{},
		Error: message(r.Err),
	}
	if r.Down != nil {
		run := r.Down.Run
		v.Looked, v.Left = append(v.Looked, r.Down.Looked...), append(v.Left, run.Left()...)
		v.Dropped, v.Steps = newDropped(lastDrops(run)), newSteps(lastSteps(run))
	}
	return v
}

// Show adds the projects to a report.
func (d Sweep) Show(r *Report) {
	for i, p := range d.Projects {
		if i > 0 {
			r.Line("")
		}
		p.show(r)
	}
}

// Outcome is the result of a sweep in one line.
func (d Sweep) Outcome() string {
	var projects []string
	for _, p := range d.Projects {
		states := make([]string, len(p.Runs))
		for i, v := range p.Runs {
			states[i] = v.State
		}
		projects = append(projects, "project "+p.Project+" was swept: "+counted("runs", states))
	}
	return strings.Join(projects, "; ")
}

// counted says how many there are of each state.
func counted(what string, states []string) string {
	slices.Sort(states)
	out := fmt.Sprintf("%s: %d", what, len(states))
	for i := 0; i < len(states); {
		n := i
		for n < len(states) && states[n] == states[i] {
			n++
		}
		out += fmt.Sprintf(", %s: %d", states[i], n-i)
		i = n
	}
	return out
}

func (p SweptProject) show(r *Report) {
	where := "the project's own policy, the journals and the resources that were given"
	if p.Searched != "" {
		where = "everything in " + p.Searched
	}
	accounts := "not known"
	if p.Accounts != nil {
		accounts = strconv.Itoa(*p.Accounts)
	}
	r.Line("project %s: accounts: %s; runs found: %d", p.Project, accounts, len(p.Runs))
	r.Line("searched for bindings: %s", where)
	if p.Short != "" {
		r.Line("and nothing else: %s", p.Short)
	}
	for _, name := range p.Unread {
		r.Line("names a deleted account, and could not be read: %s", name)
	}
	if len(p.Runs) == 0 {
		return
	}
	r.Line("")
	r.Row("RUN", "TASK", "WHAT", "STATE", "EXPIRED", "ACCOUNT")
	for _, v := range p.Runs {
		r.Row(v.Run, orDash(v.Task), v.Kind, v.State, v.over(), v.Account)
	}
	for _, v := range p.Runs {
		if len(v.Bound) > 0 {
			r.Line("%s is bound on %s", v.Account, strings.Join(v.Bound, ", "))
		}
		showDrops(r, v.Dropped)
		for _, s := range v.Steps {
			if s.Missing {
				r.Line("%s %s of run %s: %s", s.Step, s.On, v.Run, s.outcome())
			}
		}
		for _, what := range v.Left {
			r.Line("left: %s", what)
		}
	}
}

// over says when the run ended, or that it has not.
func (v SweptRun) over() string {
	switch {
	case v.Expires == nil, v.State == string(lifecycle.SweptLive):
		return "-"
	default:
		return Moment(*v.Expires)
	}
}

// SweptRoles is what `sweep --roles --json` prints.
type SweptRoles struct {
	Schema   string              `json:"schema"` // taskiam.swept-roles/v1
	DryRun   bool                `json:"dry_run"`
	Projects []SweptRolesProject `json:"projects"`
	Elapsed  int64               `json:"elapsed_ms"`
}

// SweptRolesProject is what was found of one project's custom roles.
type SweptRolesProject struct {
	Project string      `json:"project"`
	Count   int         `json:"custom_roles"` // how many it has, including recently deleted ones
	Error   string      `json:"error"`        // "" for none
	Roles   []SweptRole `json:"roles"`        // those that taskiam made
}

// SweptRole is what a sweep did with one custom role.
type SweptRole struct {
	Role        string   `json:"role"`
	Permissions []string `json:"permissions"`
	// State is "in use", "changed", "unused" (a dry run), "retired", "was gone already" or "left".
	State string   `json:"state"`
	Why   string   `json:"why"`   // what keeps it; "" for nothing
	Bound []string `json:"bound"` // what binds it
	Error string   `json:"error"` // "" for none
}

// NewSweptRoles returns the document of a sweep of custom roles.
func NewSweptRoles(s *lifecycle.SweptRoles, dryRun bool) SweptRoles {
	doc := SweptRoles{
		Schema: "taskiam.swept-roles/v1", DryRun: dryRun, Projects: []SweptRolesProject{},
		Elapsed: s.Elapsed.Milliseconds(),
	}
	for _, p := range s.Projects {
		v := SweptRolesProject{Project: p.Project, Count: p.Count, Error: message(p.Err), Roles: []SweptRole{}}
		for _, r := range p.Roles {
			v.Roles = append(v.Roles, SweptRole{
				Role: r.Name, Permissions: list(r.Permissions), State: string(r.State), Why: r.Why,
				Bound: list(r.Bound), Error: message(r.Err),
			})
		}
		doc.Projects = append(doc.Projects, v)
	}
	return doc
}

// Outcome is the result of a sweep of custom roles in one line.
func (d SweptRoles) Outcome() string {
	var projects []string
	for _, p := range d.Projects {
		states := make([]string, len(p.Roles))
		for i, v := range p.Roles {
			states[i] = v.State
		}
		projects = append(projects, "project "+p.Project+" was swept: "+counted("custom roles", states))
	}
	return strings.Join(projects, "; ")
}

// Show adds the projects to a report.
func (d SweptRoles) Show(r *Report) {
	for i, p := range d.Projects {
		if i > 0 {
			r.Line("")
		}
		if p.Error != "" {
			r.Line("project %s: not all of its custom roles could be read", p.Project)
			continue
		}
		r.Line("project %s: custom roles: %d; made by taskiam: %d", p.Project, p.Count, len(p.Roles))
		if len(p.Roles) == 0 {
			continue
		}
		r.Line("")
		r.Row("ROLE", "STATE", "WHY", "PERMISSIONS")
		for _, v := range p.Roles {
			r.Row(v.Role, v.State, orDash(v.Why), Grant{Permissions: v.Permissions}.Gives())
		}
	}
}
