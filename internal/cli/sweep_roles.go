package cli

import (
	"context"
	"errors"

	"github.com/taskiam/taskiam/internal/lifecycle"
)

// sweptRolesDocument is what `sweep --roles --json` prints.
type sweptRolesDocument struct {
	Schema   string                  `json:"schema"` // taskiam.swept-roles/v1
	DryRun   bool                    `json:"dry_run"`
	Projects []sweptRolesProjectView `json:"projects"`
	Elapsed  int64                   `json:"elapsed_ms"`
}

// sweptRolesProjectView is what was found of one project's custom roles.
type sweptRolesProjectView struct {
	Project string          `json:"project"`
	Count   int             `json:"custom_roles"` // how many it has, whoever made them, those deleted of late included
	Error   string          `json:"error"`        // "" for none
	Roles   []sweptRoleView `json:"roles"`        // those that taskiam made
}

// sweptRoleView is what came of one custom role.
type sweptRoleView struct {
	Role        string   `json:"role"`
	Permissions []string `json:"permissions"`
	State       string   `json:"state"` // "in use", "changed", "unused" (a dry run), "retired" or "left"
	Why         string   `json:"why"`   // what keeps it; "" for nothing
	Bound       []string `json:"bound"` // what binds it
	Error       string   `json:"error"` // "" for none
}

func (e *Env) sweepRoles(ctx context.Context, engine *lifecycle.Engine, o lifecycle.SweepOptions, asJSON bool) error {
	result, err := engine.SweepRoles(ctx, o)
	if result == nil {
		return err
	}
	doc := sweptRolesDocument{Schema: "taskiam.swept-roles/v1", DryRun: o.DryRun, Projects: []sweptRolesProjectView{}, Elapsed: result.Elapsed.Milliseconds()}
	for _, p := range result.Projects {
		v := sweptRolesProjectView{Project: p.Project, Count: p.Count, Error: message(p.Err), Roles: []sweptRoleView{}}
		for _, r := range p.Roles {
			v.Roles = append(v.Roles, sweptRoleView{
				Role: r.Name, Permissions: append([]string{}, r.Permissions...), State: string(r.State), Why: r.Why,
				Bound: append([]string{}, r.Bound...), Error: message(r.Err),
			})
		}
		doc.Projects = append(doc.Projects, v)
	}
	if asJSON {
		return errors.Join(err, e.printJSON(doc))
	}
	r := newReport()
	doc.show(r)
	return errors.Join(err, e.print(r))
}

func (d sweptRolesDocument) show(r *report) {
	for i, p := range d.Projects {
		if i > 0 {
			r.line("")
		}
		if p.Error != "" {
			r.line("project %s: not all of its custom roles could be looked at", p.Project)
			continue
		}
		r.line("project %s: custom roles: %d; made by taskiam: %d", p.Project, p.Count, len(p.Roles))
		if len(p.Roles) == 0 {
			continue
		}
		r.line("")
		r.row("ROLE", "STATE", "WHY", "PERMISSIONS")
		for _, v := range p.Roles {
			r.row(v.Role, v.State, orDash(v.Why), grantView{Permissions: v.Permissions}.gives())
		}
	}
}
