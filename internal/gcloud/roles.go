package gcloud

import (
	"cmp"
	"strings"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/shell"
)

// CreateRole returns the command that makes a custom role of a project.
func CreateRole(r grants.Role) string {
	parent, id := split(r)
	return createRole(parent, id, r.Stage, r.Title, r.Description, r.Permissions)
}

// UndeleteRole returns the command that takes back a deleted custom role of a project.
func UndeleteRole(r grants.Role) string {
	parent, id := split(r)
	return "gcloud iam roles undelete " + id + " " + in(parent)
}

// UpdateRole returns the command that gives an existing custom role of a project the stage
// and the permissions that r has, and no others.
func UpdateRole(r grants.Role) string {
	parent, id := split(r)
	return strings.Join([]string{
		"gcloud iam roles update", id, in(parent), "--stage=" + r.Stage,
		"--permissions=" + strings.Join(r.Permissions, ","),
	}, " ")
}

// EnableRole returns the command that makes a disabled custom role grant again what it holds.
func EnableRole(r grants.Role) string {
	parent, id := split(r)
	return "gcloud iam roles update " + id + " " + in(parent) + " --stage=GA"
}

// CreateOperatorRole returns the command that makes a custom role for operators. Where its
// parent is not known, a person has to put the project in the place of PROJECT.
func CreateOperatorRole(parent, id, title, description string, permissions []string) string {
	return createRole(cmp.Or(parent, "projects/PROJECT"), id, "GA", title, description, permissions)
}

func createRole(parent, id, stage, title, description string, permissions []string) string {
	return strings.Join([]string{
		"gcloud iam roles create", id, in(parent), "--stage=" + stage, "--title=" + shell.Quote(title),
		"--description=" + shell.Quote(description), "--permissions=" + shell.Quote(strings.Join(permissions, ",")),
	}, " ")
}

// split returns what a custom role belongs to, and its id.
func split(r grants.Role) (parent, id string) {
	parent, id, _ = strings.Cut(r.Name, "/roles/")
	return parent, id
}

// in returns the flag that says which project or organization a command is about.
func in(parent string) string {
	if organization, ok := strings.CutPrefix(parent, "organizations/"); ok {
		return "--organization=" + shell.Quote(organization)
	}
	return "--project=" + shell.Quote(strings.TrimPrefix(parent, "projects/"))
}

// BindOperator returns the command that binds a role for operators. On a resource for which
// there is no command it is a comment that says what to add to the policy.
func BindOperator(n resource.Name, b policy.Binding) string {
	if n.Type().API.Dialect == resource.Dataset {
		return "bq query --project_id=" + n.Project() + " --use_legacy_sql=false " +
			shell.Quote("GRANT `"+b.Role+"` ON SCHEMA `"+n.Project()+"."+n.Var("dataset")+"` TO \""+b.Member+"\"")
	}
	if add, _ := bind(n, b); add != "" {
		return add
	}
	entry := map[string]any{"role": b.Role, "members": []string{b.Member}, "condition": nil}
	if !b.Condition.IsZero() {
		entry["condition"] = b.Condition
	}
	return "# add to the policy of " + n.Full() + ": " + asJSON(entry)
}

// BindOnProject returns the command that gives a member a role on a whole project.
func BindOnProject(project, member, role string) string {
	return "gcloud projects add-iam-policy-binding " + shell.Quote(project) + " --member=" + shell.Quote(member) +
		" --role=" + shell.Quote(role) + " --condition=None"
}

// BindOnOrganization is the same for an organization, whose number a person has to put in
// the place of ORGANIZATION.
func BindOnOrganization(member, role string) string {
	return "gcloud organizations add-iam-policy-binding ORGANIZATION --member=" + shell.Quote(member) +
		" --role=" + shell.Quote(role) + " --condition=None"
}
