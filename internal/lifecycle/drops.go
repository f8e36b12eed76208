package lifecycle

import (
	"errors"

	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
)

// dropRecords says that the next write leaves entries out, or, with done, that it did.
func dropRecords(name resource.Name, drops []policy.Binding, done bool) []journal.Record {
	out := make([]journal.Record, len(drops))
	for i, b := range drops {
		out[i] = journal.DropIntended{Resource: name.Full(), Binding: journal.BindingOf(b)}
		if done {
			out[i] = journal.Dropped{Resource: name.Full(), Binding: journal.BindingOf(b)}
		}
	}
	return out
}

// journalDrops returns a policyEdit's dropping that tells the journal.
func journalDrops(j journal.Journal, name resource.Name) func([]policy.Binding, bool) error {
	return func(drops []policy.Binding, done bool) error { return j.Append(dropRecords(name, drops, done)...) }
}

// drop calls dropping with what the write leaves out and, once it is written, reports it as
// progress.
func (t *attempt) drop(drops []policy.Binding, done bool) error {
	if len(drops) == 0 || t.dropping == nil {
		return nil
	}
	if done {
		for _, b := range drops {
			t.report(t.doing, t.name.String(), Known,
				errors.New("the write removed "+b.Member+", which BigQuery does not accept in a write"))
		}
	}
	return t.dropping(drops, done)
}
