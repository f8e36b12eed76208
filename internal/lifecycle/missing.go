package lifecycle

import (
	"context"
	"slices"
	"strings"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/gcloud"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/spelling"
)

// goneAlready reports whether what was to be taken away was not there. After an attempt whose answer was lost, that
// may have been our own doing.
func goneAlready(err error) bool { return fault.Is(err, fault.NotFound) && fault.Refused(err) }

// gone records that an account which was made, and its keys with it, are not there any more.
func (d *downRun) gone() {
	if !d.target.made {
		return
	}
	for _, id := range d.target.keys {
		d.record(journal.KeyDeleted{KeyID: id, Missing: true})
	}
	d.record(journal.AccountDeleted{Missing: true})
}

// deleteKey deletes a key, by the email or the unique id of its account, and reports whether it was gone already.
// Google may refuse with 403 for one that is gone as well as for one that must not be deleted, which only a look
// tells apart.
func (e *Engine) deleteKey(ctx context.Context, project, account, id string) (missing bool, err error) {
	err = e.Cloud.DeleteKey(ctx, project, account, id)
	if !fault.Is(err, fault.Denied) {
		if fault.Is(err, fault.NotFound) {
			return goneAlready(err), nil
		}
		return false, err
	}
	keys, lookErr := e.Cloud.Keys(ctx, project, account)
	if fault.Is(lookErr, fault.NotFound) ||
		lookErr == nil && !slices.ContainsFunc(keys, func(k grants.Key) bool { return k.ID == id }) {
		return fault.Refused(err), nil
	}
	return false, err
}

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
	if near := spelling.Nearest(project, visible); near != "" {
		says += "; did you mean " + near + "?"
	}
	return fault.WithHint(err, append(fault.Hints(err), says, gcloud.ListProjects)...) // after what it has
}
