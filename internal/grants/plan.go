package grants

import (
	"slices"
	"time"

	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
)

// TokenLifetime is how long an access token lives at most
// (iam/docs/create-short-lived-credentials-direct). What is bound without a time
// condition can be used for that much longer than the run.
const TokenLifetime = time.Hour

// Plan is what one run of a task does to the cloud: every name is fixed in it,
// before the first call.
type Plan struct {
	Task      Task
	Run       RunID
	AccountID string
	Email     string
	// Began is when the run begins, and Expires when it ends, by the clock of the cloud.
	Began, Expires time.Time
	// Edits has one element a resource, in the order in which the manifest names them.
	Edits []Edit
	// Job is the CI job that the run is for; empty for none.
	Job string
}

// Edit is what one resource's policy gains.
type Edit struct {
	Resource resource.Name
	Bindings []policy.Binding
	// Grants has, for each binding, the index of its grant in the task.
	Grants []int
}

// NewPlan plans a run that begins in the second that its id names.
func NewPlan(task Task, run RunID) Plan { return newPlan(task, run, run.Started()) }

// BeginAt returns the plan for the same run if it begins at t, and not when its id says:
// the clock by which the id was made was wrong.
func (p Plan) BeginAt(t time.Time) Plan { return p.again(p.Task, t.UTC().Truncate(time.Second)) }

// again returns the plan for the same run, with another task or another beginning.
func (p Plan) again(task Task, began time.Time) Plan {
	next := newPlan(task, p.Run, began)
	next.Job = p.Job
	return next
}

func newPlan(task Task, run RunID, began time.Time) Plan {
	p := Plan{
		Task:      task,
		Run:       run,
		AccountID: AccountID(task.Name, run),
		Began:     began,
		Expires:   began.Add(task.TTL),
	}
	p.Email = AccountEmail(p.AccountID, task.Project)
	for i, g := range task.Grants {
		at := slices.IndexFunc(p.Edits, func(e Edit) bool { return e.Resource == g.Resource })
		if at < 0 {
			at = len(p.Edits)
			p.Edits = append(p.Edits, Edit{Resource: g.Resource})
		}
		e := &p.Edits[at]
		e.Bindings = append(e.Bindings, policy.Binding{Role: g.Role, Member: policy.Member(p.Email),
			Condition: p.condition(g)})
		e.Grants = append(e.Grants, i)
	}
	return p
}

// ConditionTitle is the title of every condition that a run writes: the mark by
// which its bindings are known.
func ConditionTitle(run RunID) string { return "taskiam " + string(run) }

func (p Plan) condition(g Grant) policy.Condition {
	if !g.Bounded() {
		return policy.Condition{}
	}
	var parts []string
	if g.Condition != "" {
		parts = append(parts, g.Condition)
	}
	if g.Prefix != "" {
		parts = append(parts, policy.PrefixExpression(g.Resource.Var("bucket"), g.Prefix))
	}
	return policy.Condition{
		Title:      ConditionTitle(p.Run),
		Expression: policy.And(append(parts, policy.UntilExpression(p.Expires))...),
	}
}

// MinterRole is the role that lets one mint tokens of an account.
const MinterRole = "roles/iam.serviceAccountTokenCreator"

// MinterBinding lets the operator's member mint tokens of the run's account until
// the run ends. It goes on the account itself; owner does not include it.
func (p Plan) MinterBinding(member string) policy.Binding {
	return policy.Binding{
		Role:   MinterRole,
		Member: member,
		Condition: policy.Condition{
			Title:      ConditionTitle(p.Run),
			Expression: policy.UntilExpression(p.Expires),
		},
	}
}

// Mark returns what the account carries in its description.
func (p Plan) Mark() Mark {
	m := Mark{Version: MarkVersion, Task: p.Task.Name, Run: p.Run, Expires: p.Expires, Job: p.Job}
	if !p.Began.Equal(p.Run.Started()) {
		m.Began = p.Began
	}
	return m
}

// WorksUntil returns when a grant stops working if the run is never taken down. A grant
// that does not end by itself works as long as the last token, which can be minted just
// before the run's key, or the operator's permission to mint, ends.
func (p Plan) WorksUntil(g Grant) time.Time {
	if g.Bounded() {
		return p.Expires
	}
	return p.Expires.Add(TokenLifetime)
}

// Note is something that the owner of a grant should know before it is made.
type Note struct {
	Grant int // index in the task
	Text  string
}

// Notes says, grant by grant, what the manifest's words do not: which grants do
// not end by themselves, and what a prefix leaves out.
func (p Plan) Notes() []Note {
	var notes []Note
	for i, g := range p.Task.Grants {
		if !g.Bounded() {
			notes = append(notes, Note{i, "does not expire, only down ends it: " + WhyUnbounded(g) +
				"; without down, a token made just before the end works until " +
				p.WorksUntil(g).Format(time.RFC3339)})
		}
		if g.Prefix != "" {
			notes = append(notes, Note{i, "listing is a permission on the bucket, which the prefix does not cover: " +
				"objects under it can be read by name but not listed"})
		}
		if Basic(g.Role) {
			notes = append(notes, Note{i, "a basic role covers every service of the project"})
		}
	}
	return notes
}

// WhyUnbounded says why a grant that is not [Grant.Bounded] takes no time condition.
func WhyUnbounded(g Grant) string {
	switch {
	case Basic(g.Role):
		return "basic roles take no conditions"
	case !g.Resource.Type().Conditions:
		return g.Resource.Type().A() + " takes no conditions"
	default:
		return "legacy bucket roles take no conditions"
	}
}
