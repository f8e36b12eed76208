package journal_test

import (
	"testing"

	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/journal/journaltest"
)

func TestDirIsAStore(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	journaltest.CheckStore(t, func() journal.Store {
		d, err := journal.OpenDir(state, nil)
		if err != nil {
			t.Fatal(err)
		}
		return d
	})
}
