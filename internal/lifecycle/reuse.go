package lifecycle

import (
	"errors"
	"slices"

	"github.com/taskiam/taskiam/internal/journal"
)

// Reusable returns the run that is up, on this cloud and not ended, for the same
// manifest file with the same content, if there is one.
func (e *Engine) Reusable(path, sha256 string) (*journal.Run, bool, error) {
	runs, unread, err := e.Journals.Select(func(s journal.Summary) bool {
		return s.State == journal.Running && s.ManifestPath == path
	})
	if err != nil {
		return nil, false, err
	}
	cloud, endpoint := e.Cloud.Cloud()
	for _, run := range slices.Backward(runs) {
		o := run.Opened
		if o.ManifestSHA256 == sha256 && o.Cloud == cloud && o.Endpoint == endpoint && !run.MayBeExpired(e.Now()) {
			return run, true, nil
		}
	}
	for _, u := range unread { // it may be that one
		err = errors.Join(err, u.Err)
	}
	return nil, false, err
}
