package lifecycle

import "github.com/taskiam/taskiam/internal/journal"

// Reusable returns the run that is up, on this cloud and not ended, for the same
// manifest file with the same content, if there is one.
func (e *Engine) Reusable(path, sha256 string) (*journal.Run, bool, error) {
	ids, err := e.Journals.List()
	if err != nil {
		return nil, false, err
	}
	cloud, endpoint := e.Cloud.Cloud()
	for i := len(ids) - 1; i >= 0; i-- {
		run, err := e.Journals.Read(ids[i])
		if err != nil {
			return nil, false, err
		}
		o := run.Opened
		if run.State() == journal.Running && o.ManifestPath == path && o.ManifestSHA256 == sha256 &&
			o.Cloud == cloud && o.Endpoint == endpoint && !run.MayBeExpired(e.Now()) {
			return run, true, nil
		}
	}
	return nil, false, nil
}
