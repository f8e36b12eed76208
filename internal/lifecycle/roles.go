package lifecycle

import (
	"context"
	"time"

	"github.com/taskiam/taskiam/internal/customrole"
	"github.com/taskiam/taskiam/internal/fault"
)

// customRoles returns what looks after custom roles.
func (e *Engine) customRoles() customrole.Manager {
	return customrole.Manager{Cloud: e.Cloud, RolesOn: e.Roles.RolesOn, Progress: progress{e}}
}

// progress lets customrole tell of its steps as the engine does.
type progress struct{ *Engine }

func (p progress) Warn(text string) { p.report(text, "", Warned, nil) }

func (p progress) Step(name, on string, f func() error) error { return p.step(name, on, f) }

func (p progress) Retry(
	ctx context.Context, name, on string, bound time.Duration, f func() error, kinds ...fault.Kind,
) error {
	return p.repeat(ctx, name, on, forRole, bound, f, kinds...)
}
