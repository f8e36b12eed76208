package view

import (
	"slices"
	"strings"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/review"
)

// Operator is what `doctor --role --json` prints.
type Operator struct {
	Schema   string            `json:"schema"` // taskiam.operator/v1
	Member   string            `json:"member"`
	Tasks    []string          `json:"tasks"`
	Roles    []OperatorRole    `json:"roles"`
	Bindings []OperatorBinding `json:"bindings"`
	Commands []string          `json:"commands"` // the same, for a shell
	Optional []Optional        `json:"optional"`
	Notes    []string          `json:"notes"`

	// fences has the note of each binding that does not fence the operator in; "" for one that does.
	fences []string
}

// OperatorRole is a custom role. Apart from Parent it is the body of roles.create
// (iam/docs/reference/rest/v1/projects.roles/create).
type OperatorRole struct {
	Parent string   `json:"parent"` // "" if it is not known whose the resource is
	RoleID string   `json:"roleId"`
	Role   RoleBody `json:"role"`
}

// RoleBody is what a custom role holds.
type RoleBody struct {
	Title       string   `json:"title"`
	Description string   `json:"description"`
	Stage       string   `json:"stage"`
	Permissions []string `json:"includedPermissions"`
}

// OperatorBinding binds a role of the operator's.
type OperatorBinding struct {
	Resource  string     `json:"resource"`
	Full      string     `json:"full_resource"`
	Role      string     `json:"role"`
	Member    string     `json:"member"`
	Condition *Condition `json:"condition"` // null for none
	// "holds", "ignored", "refused" or "not known"; "" if the role binds nothing
	Fence string `json:"fence"`
}

// Optional is a permission that a run does not need.
type Optional struct {
	Permission string `json:"permission"`
	For        string `json:"for"`
}

// optional are permissions on the project of the accounts that runs do not need, but other commands
// do.
var optional = []Optional{
	{"iam.serviceAccounts.update", "renew: the account carries the time at which it expires"},
	{"iam.serviceAccounts.list", "sweep, and doctor: which accounts there are"},
	{"cloudasset.assets.searchAllIamPolicies", "down and sweep: what binds an account beside what its journal says"},
	{"resourcemanager.projects.get", "plan: what is inherited from above"},
	{"serviceusage.services.get", "doctor: which APIs are enabled"},
	{"orgpolicy.policy.get", "doctor: what the organisation forbids"},
}

// Commands say in a shell's words what an operator is to be given.
type Commands struct {
	Role func(review.OperatorRole) string
	Bind func(review.OperatorBinding) string
}

// NewOperator returns the document of the least that the member needs to run the tasks.
func NewOperator(a review.OperatorAccess, tasks []grants.Task, member string, commands Commands) Operator {
	doc := Operator{
		Schema: "taskiam.operator/v1", Member: member, Tasks: []string{}, Roles: []OperatorRole{},
		Bindings: []OperatorBinding{}, Commands: []string{}, Optional: optional, Notes: []string{},
	}
	for _, t := range tasks {
		doc.Tasks = append(doc.Tasks, t.Name)
	}
	for _, r := range a.Roles {
		doc.Roles = append(doc.Roles, OperatorRole{r.Parent, r.ID,
			RoleBody{r.Title, r.Description, "GA", r.Permissions}})
		doc.Commands = append(doc.Commands, commands.Role(r))
		if r.Parent == "" {
			doc.Notes = append(doc.Notes,
				"the project of the resources for "+r.ID+
					" could not be found: replace PROJECT by it")
		}
	}
	for _, b := range a.Bindings {
		doc.Bindings = append(doc.Bindings, OperatorBinding{
			b.Resource.String(), b.Resource.Full(), b.Role, b.Member, newCondition(b.Condition), string(b.Fence),
		})
		doc.Commands = append(doc.Commands, commands.Bind(b))
		note := fenceNote(b)
		doc.fences = append(doc.fences, note)
		if note != "" {
			doc.Notes = append(doc.Notes, note)
		}
	}
	for _, t := range tasks {
		note := "what the operator needs in project " + t.Project + " reaches every account in it, so that the " +
			"operator can act as each of them: use a project that holds only the accounts of tasks"
		if !slices.Contains(doc.Notes, note) {
			doc.Notes = append(doc.Notes, note)
		}
	}
	return doc
}

// fenceNote says where the operator is not fenced in, and why; "" if it is.
func fenceNote(b review.OperatorBinding) string {
	every := "the operator can bind every role on " + b.Resource.String() + ": "
	service := b.Resource.Type().Service
	switch b.Fence {
	case review.FenceIgnored:
		return every + service + " ignores a condition on the roles that are bound"
	case review.FenceRefused:
		return every + service + " does not support a condition on the roles that are bound, and would refuse every " +
			"write"
	case review.FenceNotKnown:
		return every + "it is not documented whether " + service +
			" supports a condition on the roles that are bound; " +
			"if it does not, it would refuse every write"
	case review.FenceHolds, review.FenceNotNeeded:
	}
	return ""
}

// Show adds what a shell takes to a report: the rest is in comments.
func (d Operator) Show(r *Report) {
	r.Exact("# The least access that %s needs to run %s.", d.Member, strings.Join(d.Tasks, ", "))
	r.Exact("# For an administrator who may create and bind roles: read it, then run it.\n")
	for _, c := range d.Commands[:len(d.Roles)] {
		r.Exact("%s", c)
	}
	r.Exact("")
	for i := range d.Bindings {
		if d.fences[i] != "" {
			r.Exact("# %s", d.fences[i])
		}
		r.Exact("%s", d.Commands[len(d.Roles)+i])
	}
	r.Exact("")
	for _, note := range d.Notes {
		if !slices.Contains(d.fences, note) {
			r.Exact("# %s", note)
		}
	}
	r.Exact("#\n# Optional permissions on the project of the accounts, and what they are for:")
	var comments [][]string
	for _, o := range d.Optional {
		comments = append(comments, []string{"#   " + string(showLine(o.Permission)), string(showLine(o.For))})
	}
	for line := range strings.Lines(align(comments)) {
		r.Exact("%s", strings.TrimSuffix(line, "\n"))
	}
}
