package view

import (
	"strings"
	"testing"
	"time"

	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/policy"
)

// What was seen to be bound without its end comes first, and nobody says then that everything expires.
func TestEndlessIsSaid(t *testing.T) {
	t.Parallel()
	const secret = "//secretmanager.googleapis.com/projects/p/secrets/s"
	ends := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	declared := journal.Binding{
		Role: "roles/secretmanager.secretAccessor", Member: "serviceAccount:ti",
		Condition: policy.Condition{Title: "t", Expression: policy.UntilExpression(ends)},
	}
	run := journal.NewRun(journal.Opened{
		Run: "0s6qgs06boehajg", Task: "t", Expires: ends, Edits: []journal.Edit{{Resource: secret, Bindings: []journal.Binding{declared}}},
	}, ends)
	bare := declared
	bare.Condition = policy.Condition{}
	for _, b := range []journal.Binding{declared, bare} {
		if err := run.Add(ends, journal.Bound{Resource: secret, Binding: b}); err != nil {
			t.Fatal(err)
		}
		doc := NewStatus([]Run{NewRun(run, ends.Add(-time.Hour), func(int, string) bool { return true })})
		doc.InFull = true
		out := shown(t, doc, false)
		endless := b == bare
		if strings.HasPrefix(out, "MAY NEVER EXPIRE") != endless || strings.Contains(out, "everything expires") == endless {
			t.Errorf("of %+v it says\n%s", b, out)
		}
	}
}
