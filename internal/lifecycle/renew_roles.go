package lifecycle

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/taskiam/taskiam/internal/customrole"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/journal"
)

// checkRoles refuses to prolong what the run has by a custom role that somebody has changed
// since: what is widened would give more than was declared for longer, and what is narrowed,
// disabled or deleted was meant to give less. A deleted one is not taken back, as a binding
// that was taken away is not bound anew.
func (x *renewRun) checkRoles(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, role := range x.run.Roles {
		g.Go(func() error { return x.checkRole(ctx, role) })
	}
	return g.Wait()
}

func (x *renewRun) checkRole(ctx context.Context, role journal.Role) error {
	down := "taskiam down " + string(x.run.ID())
	r, err := x.Cloud.Role(ctx, role.Name)
	switch {
	case fault.Is(err, fault.NotFound) || err == nil && r.Deleted:
		return fault.WithHint(fault.New(fault.Precondition,
			"renewing run %s: somebody has deleted the custom role %s, and it is not restored",
			x.run.ID(), role.Name), down)
	case fault.Is(err, fault.Denied):
		return fault.WithHint(err,
			customrole.GetPermission+" on the project of the role lets the operator check that nobody has changed it")
	case err != nil:
		return err
	}
	if differs := customrole.Differences(r, role.Permissions); differs != "" {
		return fault.WithHint(fault.New(fault.Precondition,
			"renewing run %s: somebody has changed the custom role %s: %s",
			x.run.ID(), role.Name, differs), down)
	}
	return nil
}
