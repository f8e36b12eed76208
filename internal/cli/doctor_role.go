package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/review"
)

// operatorDocument is what `doctor --role --json` prints.
type operatorDocument struct {
	Schema   string                `json:"schema"` // taskiam.operator/v1
	Member   string                `json:"member"`
	Tasks    []string              `json:"tasks"`
	Roles    []operatorRoleView    `json:"roles"`
	Bindings []operatorBindingView `json:"bindings"`
	Commands []string              `json:"commands"` // the same, for a shell
	Optional []optionalView        `json:"optional"`
	Notes    []string              `json:"notes"`
}

// operatorRoleView is a custom role. Beside Parent it is the body of roles.create
// (iam/docs/reference/rest/v1/projects.roles/create).
type operatorRoleView struct {
	Parent string       `json:"parent"` // "" if it is not known whose the resource is
	RoleID string       `json:"roleId"`
	Role   roleBodyView `json:"role"`
}

type roleBodyView struct {
	Title       string   `json:"title"`
	Description string   `json:"description"`
	Stage       string   `json:"stage"`
	Permissions []string `json:"includedPermissions"`
}

// operatorBindingView binds a role of the operator's.
type operatorBindingView struct {
	Resource  string         `json:"resource"`
	Full      string         `json:"full_resource"`
	Role      string         `json:"role"`
	Member    string         `json:"member"`
	Condition *conditionView `json:"condition"` // null for none
	Fence     string         `json:"fence"`     // "holds", "ignored", "refused" or "not known"; "" if the role binds nothing
}

// optionalView is a permission that a run does not need.
type optionalView struct {
	Permission string `json:"permission"`
	For        string `json:"for"`
}

// optional are permissions on the project of the accounts without which runs work, and
// something else does not.
var optional = []optionalView{
	{"iam.serviceAccounts.update", "renew: the account carries when it ends"},
	{"iam.serviceAccounts.list", "sweep, and doctor: which accounts there are"},
	{"cloudasset.assets.searchAllIamPolicies", "sweep, and down without a journal: where an account is bound"},
	{"resourcemanager.projects.get", "plan: what is inherited from above"},
	{"serviceusage.services.get", "doctor: which APIs are enabled"},
	{"orgpolicy.policy.get", "doctor: what the organisation forbids"},
}

func runDoctorRole(ctx context.Context, e *Env, o doctorOptions, patients []lifecycle.Patient) error {
	var tasks []grants.Task
	for _, p := range patients {
		tasks = append(tasks, p.Task)
	}
	member, access := o.member, review.OperatorAccess{}
	engine, err := e.engine(ctx, cloudOptions{member: o.member, progress: e.newProgress(o.quiet)})
	if err == nil && member == "" {
		id, whoErr := engine.Cloud.Whoami(ctx)
		member, err = id.Member, whoErr
	}
	switch {
	case err == nil:
		access = engine.OperatorAccess(ctx, tasks, member)
	case member == "":
		return err
	default: // somebody else's, without a login: a bucket does not say whose it is
		e.say("warning: nobody can be asked in which projects buckets are: %v", err)
		access = review.NewOperatorAccess(tasks, member, func(resource.Name) string { return "" })
	}
	doc := viewOperator(access, tasks, member)
	if o.json {
		return e.printJSON(doc)
	}
	return e.showOperator(doc, access)
}

func viewOperator(a review.OperatorAccess, tasks []grants.Task, member string) operatorDocument {
	doc := operatorDocument{
		Schema: "taskiam.operator/v1", Member: member, Tasks: []string{}, Roles: []operatorRoleView{},
		Bindings: []operatorBindingView{}, Commands: []string{}, Optional: optional, Notes: []string{},
	}
	for _, t := range tasks {
		doc.Tasks = append(doc.Tasks, t.Name)
	}
	for _, r := range a.Roles {
		doc.Roles = append(doc.Roles, operatorRoleView{r.Parent, r.ID, roleBodyView{r.Title, r.Description, "GA", r.Permissions}})
		doc.Commands = append(doc.Commands, roleCommand(r))
		if r.Parent == "" {
			doc.Notes = append(doc.Notes, "in which project the resources are that "+r.ID+" is for could not be seen: put it in the place of PROJECT")
		}
	}
	for _, b := range a.Bindings {
		doc.Bindings = append(doc.Bindings, operatorBindingView{
			b.Resource.String(), b.Resource.Full(), b.Role, b.Member, viewBinding(b.Binding).Condition, string(b.Fence)})
		doc.Commands = append(doc.Commands, bindCommand(b))
		if note := fenceNote(b); note != "" {
			doc.Notes = append(doc.Notes, note)
		}
	}
	for _, t := range tasks {
		note := "what makes a fresh account of project " + t.Project + " usable reaches every account in it, so that its operator can act as each of them: " +
			"let the project host the accounts of tasks and nothing else"
		if !slices.Contains(doc.Notes, note) {
			doc.Notes = append(doc.Notes, note)
		}
	}
	return doc
}

// fenceNote says where the operator is not fenced in, and why.
func fenceNote(b review.OperatorBinding) string {
	every := "the operator can bind every role on " + b.Resource.String()
	switch b.Fence {
	case review.FenceIgnored:
		return every + ": " + b.Resource.Type().Service + " ignores a condition on the roles that are bound"
	case review.FenceRefused:
		return every + ": " + b.Resource.Type().Service + " does not know a condition on the roles that are bound, and would refuse every write"
	case review.FenceNotKnown:
		return every + ": whether " + b.Resource.Type().Service + " knows a condition on the roles that are bound is not said anywhere, and if it does not it would refuse every write"
	case review.FenceHolds, review.FenceNotNeeded:
	}
	return ""
}

// roleCommand makes a custom role.
func roleCommand(r review.OperatorRole) string {
	where := "--project=" + strings.TrimPrefix(cmp.Or(r.Parent, "projects/PROJECT"), "projects/")
	if organization, ok := strings.CutPrefix(r.Parent, "organizations/"); ok {
		where = "--organization=" + organization
	}
	return strings.Join([]string{
		"gcloud iam roles create", r.ID, where, "--stage=GA", "--title=" + quoteShell(r.Title), "--description=" + quoteShell(r.Description),
		"--permissions=" + strings.Join(r.Permissions, ","),
	}, " ")
}

// bindCommand binds a role on a resource. Where gcloud has no command for the resource it
// is a comment that says what to add to its policy.
func bindCommand(b review.OperatorBinding) string {
	n := b.Resource
	if n.Type().API.Dialect == resource.Dataset {
		return "bq query --project_id=" + n.Project() + " --use_legacy_sql=false " +
			quoteShell("GRANT `"+b.Role+"` ON SCHEMA `"+n.Project()+"."+n.Var("dataset")+"` TO \""+b.Member+"\"")
	}
	target, ok := gcloudTarget(n)
	if !ok {
		policy, _ := json.Marshal(map[string]any{"role": b.Role, "members": []string{b.Member}, "condition": viewBinding(b.Binding).Condition}) // of strings alone
		return "# add to the policy of " + n.Full() + ": " + string(policy)
	}
	words := []string{target[0] + " add-iam-policy-binding"}
	words = append(append(words, target[1:]...), "--member="+quoteShell(b.Member), "--role="+b.Role)
	if c := gcloudCondition(n.Type(), b.Condition); c != "" {
		words = append(words, c)
	}
	return strings.Join(words, " ")
}

// showOperator prints what a shell takes: the rest is in comments.
func (e *Env) showOperator(doc operatorDocument, a review.OperatorAccess) error {
	r := newReport()
	r.line("# The least that %s needs to run %s.", doc.Member, strings.Join(doc.Tasks, ", "))
	r.line("# For somebody who may make roles and bind them, to read and then to run.\n")
	for _, c := range doc.Commands[:len(a.Roles)] {
		r.line("%s", c)
	}
	r.line("")
	for i, b := range a.Bindings {
		if note := fenceNote(b); note != "" {
			r.line("# %s", note)
		}
		r.line("%s", doc.Commands[len(a.Roles)+i])
	}
	r.line("")
	for _, note := range doc.Notes {
		if !strings.HasPrefix(note, "the operator can bind every role") {
			r.line("# %s", note)
		}
	}
	r.line("#\n# No run needs these on the project of the accounts; they are for")
	for _, o := range doc.Optional {
		r.row("#   "+o.Permission, o.For)
	}
	return e.print(r)
}
