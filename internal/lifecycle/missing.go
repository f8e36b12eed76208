package lifecycle

import (
	"context"
	"slices"
	"strings"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/gcloud"
	"github.com/taskiam/taskiam/internal/resource"
)

// perhapsMissing adds to a refusal that its project may not exist: Google says the same of a project that does not
// exist and of one that one may not see. It asks which projects the operator sees, and names one of a similar name.
func (e *Engine) perhapsMissing(ctx context.Context, project string, err error) error {
	if !fault.Is(err, fault.Denied) || strings.Trim(project, "0123456789") == "" {
		return err
	}
	visible, listErr := e.Cloud.Projects(ctx)
	if listErr != nil || slices.Contains(visible, project) {
		return err
	}
	slices.Sort(visible)
	says := "or there is no project " + project + ": Google says the same of both"
	if near := resource.Nearest(project, visible); near != "" {
		says += "; did you mean " + near + "?"
	}
	return fault.WithHint(err, append(fault.Hints(err), says, gcloud.ListProjects)...) // after what it has
}
