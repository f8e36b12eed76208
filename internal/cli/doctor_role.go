package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"strings"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/review"
	"github.com/taskiam/taskiam/internal/view"
)

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
	doc := view.NewOperator(access, tasks, member, view.Commands{Role: roleCommand, Bind: bindCommand})
	return e.print(doc, o.json)
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
		policy, _ := json.Marshal(map[string]any{"role": b.Role, "members": []string{b.Member}, "condition": b.Condition}) // of strings alone
		return "# add to the policy of " + n.Full() + ": " + string(policy)
	}
	words := []string{target[0] + " add-iam-policy-binding"}
	words = append(append(words, target[1:]...), "--member="+quoteShell(b.Member), "--role="+b.Role)
	if c := gcloudCondition(n.Type(), b.Condition); c != "" {
		words = append(words, c)
	}
	return strings.Join(words, " ")
}
