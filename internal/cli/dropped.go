package cli

import (
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/lifecycle"
)

// droppedView is an entry of a deleted member of somebody else's, which a write of a
// dataset's access list left out: BigQuery answers it, and refuses to have it back.
type droppedView struct {
	Resource string `json:"resource"`
	bindingView
	State string `json:"state"` // "maybe" if the outcome of the write is not known, or "done"
}

// viewDropped returns what one teardown dropped.
func viewDropped(r *lifecycle.Receipt) []droppedView {
	out := []droppedView{}
	for _, d := range r.Dropped {
		out = append(out, droppedView{shortName(d.Resource), viewBinding(d.Binding), string(journal.Done)})
	}
	return out
}

// showDrops adds what was dropped to a report, if anything was.
func showDrops(r *report, drops []droppedView) {
	if len(drops) == 0 {
		return
	}
	r.line("dropped from datasets, since BigQuery refuses deleted members that are written back:")
	for _, d := range drops {
		state := "dropped"
		if d.State != string(journal.Done) {
			state = "perhaps dropped"
		}
		r.row("  "+d.Role, d.Resource, d.Member, state)
		if d.Condition != nil {
			r.line("    if %s", d.Condition.Expression)
		}
	}
}

// showPlanDrops says, dataset by dataset, what an up would drop.
func showPlanDrops(r *report, edits []editView) {
	for _, edit := range edits {
		if len(edit.Dropped) == 0 {
			continue
		}
		r.line("\nthe edit of %s drops deleted members that BigQuery refuses to be written back:", edit.Resource)
		for _, b := range edit.Dropped {
			r.row("  - "+b.Role, b.Member)
			if b.Condition != nil {
				r.line("    if %s", b.Condition.Expression)
			}
		}
	}
}
