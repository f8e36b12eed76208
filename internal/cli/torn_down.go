package cli

import (
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/view"
)

// tornDown returns the receipt of a teardown as the journal has it; run is what it said before. Without
// a journal it is made of what lifecycle says.
func (e *Env) tornDown(run *journal.Run, r *lifecycle.Receipt, err error) view.Receipt {
	if r == nil || run != nil && !r.Already && len(r.Steps) == 0 {
		return view.NotTakenDown(run, err)
	}
	if dir, openErr := e.journals(); openErr == nil {
		if read, readErr := dir.Read(r.Run); readErr == nil {
			return view.NewTeardown(read, r.Already, err)
		}
	}
	now := e.Now()
	made := &journal.Run{
		Opened: journal.Opened{Run: r.Run, Task: r.Task, Email: r.Email}, At: r.Run.Started(), Down: now.Add(-r.Elapsed),
		Receipt: &journal.Receipt{At: now},
	}
	for _, s := range r.Steps {
		made.Steps = append(made.Steps, journal.Step{At: now, What: s.Name, On: s.On, Failure: s.Err})
	}
	for _, d := range r.Dropped {
		made.Drops = append(made.Drops, journal.Drop{Resource: d.Resource, Binding: journal.BindingOf(d.Binding), Effect: journal.Done})
	}
	for _, what := range r.Left {
		made.Receipt.Checks = append(made.Receipt.Checks, journal.Check{Found: what})
	}
	return view.NewTeardown(made, r.Already, err)
}
