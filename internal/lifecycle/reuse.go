package lifecycle

import (
	"errors"
	"slices"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
)

// Reusable returns the run that is up, on this cloud and not ended, for the same
// manifest file with the same content, if there is one.
func (e *Engine) Reusable(path, sha256 string, task grants.Task) (*journal.Run, bool, error) {
	runs, unread, err := e.Journals.Select(func(s journal.Summary) bool {
		return s.State == journal.Running && s.ManifestPath == path
	})
	if err != nil {
		return nil, false, err
	}
	cloud, endpoint := e.Cloud.Cloud()
	for _, run := range slices.Backward(runs) {
		o := run.Opened
		if o.ManifestSHA256 == sha256 && asSet(o, task) && o.Cloud == cloud && o.Endpoint == endpoint &&
			!run.MayBeExpired(e.Now()) {
			return run, true, nil
		}
	}
	for _, u := range unread { // it may be that one
		err = errors.Join(err, u.Err)
	}
	return nil, false, err
}

// asSet reports whether a run has the settings that a task would have now: not all of them are in its manifest.
func asSet(o journal.Opened, task grants.Task) bool {
	began := o.Began
	if began.IsZero() {
		began = o.Run.Started()
	}
	return o.Project == task.Project && o.Expires.Sub(began) == task.TTL &&
		(len(task.Deliver) == 0 || !slices.ContainsFunc(o.Deliver,
			func(d grants.DeliveryKind) bool { return !slices.Contains(task.Deliver, d) }))
}
