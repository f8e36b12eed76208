package lifecycle

import "time"

// receiptsKept is for how long the journal of a run that is down is kept: it is the
// run's receipt.
const receiptsKept = 90 * 24 * time.Hour

// prune removes the journals that are not needed any more. A failure is only reported: it
// must not stop what follows, and the next call tries again.
func (e *Engine) prune() {
	if err := e.Journals.Prune(e.Now().Add(-receiptsKept)); err != nil {
		e.report("old journals cannot be deleted: "+err.Error(), "", Known, nil)
	}
}
