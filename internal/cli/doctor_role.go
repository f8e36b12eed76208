package cli

import (
	"context"

	"github.com/taskiam/taskiam/internal/app"
	"github.com/taskiam/taskiam/internal/gcloud"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/review"
	"github.com/taskiam/taskiam/internal/view"
)

func runDoctorRole(ctx context.Context, e *Env, o doctorOptions, subjects []lifecycle.Subject) error {
	var tasks []grants.Task
	for _, p := range subjects {
		tasks = append(tasks, p.Task)
	}
	member, access := o.member, review.OperatorAccess{}
	engine, err := e.app().Engine(ctx, app.Options{Member: o.member, Progress: e.newProgress(o.quiet)})
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
		e.say("warning: the projects of the buckets could not be found: %v", err)
		access = review.NewOperatorAccess(tasks, member, func(resource.Name) string { return "" })
	}
	doc := view.NewOperator(access, tasks, member, view.Commands{
		Role: func(r review.OperatorRole) string {
			return gcloud.CreateOperatorRole(r.Parent, r.ID, r.Title, r.Description, r.Permissions)
		},
		Bind: func(b review.OperatorBinding) string { return gcloud.BindOperator(b.Resource, b.Binding) },
	})
	return e.print(doc, o.json)
}
