package lifecycle

import (
	"slices"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/search"
)

// target is what a teardown takes away, as known from the run's journal, from the mark of
// its account, or from what a deleted account left in policies.
type target struct {
	run            grants.RunID
	task           string
	project, email string
	uid            string // of the account; "" if Google's answer was never seen
	sure           bool   // whether the run's command cannot have written what is said of the account
	// opened is when the run was begun, by the clock of the cloud, if its account may be
	// too new to be seen; else zero. mark is what the account carries.
	opened time.Time
	// made says that the account is known to have been made, and not to have been deleted.
	made bool
	// seen says that a read has shown the account, and refused that it was never made.
	seen, refused bool
	// cameUp says that the run was handed to somebody: what the journal does not know may bind it.
	cameUp bool
	mark   grants.Mark
	// tombstone means that the account is gone, and that what names it as deleted is all
	// there is to take away. An account that has this email now is somebody else's.
	tombstone bool

	processes []journal.Process // at work here for the run
	user      journal.OwnUser   // whose processes all belong to the run; zero is nobody

	dir       string // of the delivery; "" if there is none here
	folder    string // what tells that folder from any other; "" if that is not known
	delivered bool   // whether it is known to have been written, and not to have been removed

	keys    []string // ids that are known
	askKeys bool     // whether there may be others

	resources []string // full names of what is known to bind the account
	// proof has those of them by which alone it is known whose a tombstone is: they are
	// taken away last.
	proof    []string
	bindings []journal.RunBinding
	// find returns more places that may bind the account; nil where all are known.
	find func() search.Findings
}

// targetOf returns what a journal knows. It shares nothing with the run, which a teardown writes to.
func targetOf(run *journal.Run) target {
	o := run.Opened
	t := target{
		sure: run.Verified && o.Apart,
		run:  o.Run, task: o.Task, project: o.Project, email: o.Email, uid: run.Account.UniqueID,
		user: o.OwnUser, dir: o.DeliveryDir, folder: run.Folder, bindings: slices.Clone(run.Bindings),
		resources: run.Resources(),
		mark: grants.Mark{Version: grants.MarkVersion, Task: o.Task, Run: o.Run, Expires: run.Expires(), Began: o.Began,
			Job: o.Job},
	}
	t.made = run.Account.Effect == journal.Done
	t.seen, t.refused, t.cameUp = run.Account.Seen, run.Account.Refused, !run.Up.IsZero()
	for _, p := range run.Delivery {
		t.delivered = t.delivered || p.Path == t.dir && p.Effect == journal.Done
	}
	// Once disabled or deleted, it had been seen.
	if !run.Account.Disabled && run.Account.Effect != journal.Undone {
		t.opened = run.At.Add(run.ClockAhead())
	}
	// All that the run was to edit, since a journal can have lost its end.
	t.resources = append(t.resources, edited(o)...)
	for _, p := range run.Processes {
		if p.Effect.Standing() {
			t.processes = append(t.processes, p)
		}
	}
	for _, k := range run.Keys {
		if k.ID == "" {
			t.askKeys = true // its upload was begun, and the answer got lost
		} else {
			t.keys = append(t.keys, k.ID)
		}
	}
	return t
}

// add adds what another account of the same run has to take away. What that says is gone already is not believed.
func (t *target) add(other target) {
	t.resources = append(t.resources, other.resources...)
	for _, b := range other.bindings {
		if !slices.ContainsFunc(t.bindings, func(have journal.RunBinding) bool {
			return have.Resource == b.Resource && have.Binding == b.Binding && have.Effect == b.Effect
		}) {
			t.bindings = append(t.bindings, b)
		}
	}
	t.keys, t.processes = union(t.keys, other.keys), union(t.processes, other.processes)
	t.askKeys = t.askKeys || other.askKeys
}

// edited returns the full names of the resources that a run was to edit.
func edited(o journal.Opened) []string {
	var out []string
	for _, edit := range o.Edits {
		out = append(out, edit.Resource)
	}
	return out
}

// marked returns what a live account's own mark says of it.
func marked(a grants.Account, m grants.Mark) target {
	return target{run: m.Run, task: m.Task, mark: m, project: a.Project, email: a.Email, uid: a.UniqueID, askKeys: true}
}

// in returns what of the target is in a policy.
func (t target) in(doc policy.Document, uid string) []policy.Binding {
	found := doc.Account(t.email, uid)
	if t.tombstone {
		found = slices.DeleteFunc(found, func(b policy.Binding) bool {
			_, dead := grants.ParseTombstone(b.Member)
			return !dead
		})
	}
	return found
}

// removeFrom takes the target out of a policy, and reports whether it was in.
func (t target) removeFrom(doc policy.Document, uid string) bool {
	if !t.tombstone {
		return doc.RemoveAccount(t.email, uid)
	}
	changed := false
	for _, b := range t.in(doc, uid) {
		changed = doc.Remove(b) || changed
	}
	return changed
}

// ownership is whose a live account is that has the email of a run's.
type ownership int

const (
	ours ownership = iota
	strangers
	doubtful
)

// judge says whose a live account is: the run's by its unique id, where that is known, and by its mark. A stranger's
// has no mark, or a copy of it under another unique id. A journal that the run's command could write proves no
// copy: it may have changed the id, to keep its account. Then it is doubtful, and why says so.
func (t target) judge(live grants.Account) (whose ownership, why error) {
	mark, marked := grants.ParseMark(live.Description)
	marked = marked && mark.Run == t.run && live.Email == t.email
	other := t.uid != "" && live.UniqueID != t.uid
	switch {
	case marked && !other:
		return ours, nil
	case live.Email == t.email && (!marked && (other || t.uid == "") || marked && other && t.sure):
		return strangers, nil
	case other:
		return doubtful, fault.New(fault.Conflict,
			"the account %s carries the mark of run %s, but its unique id is %s, "+
				"and not %s as its journal says: either somebody has changed the journal or has copied the mark to an "+
				"account that is not the run's", live.Email, t.run, live.UniqueID, t.uid)
	default:
		return doubtful, fault.New(fault.Conflict, "the account %s (unique id %s) does not carry the mark of run %s",
			live.Email, live.UniqueID, t.run)
	}
}

// isStranger reports whether a live account is surely not the run's.
func (t target) isStranger(live grants.Account) bool {
	whose, _ := t.judge(live)
	return whose == strangers
}

// projectName returns a project that accounts are looked for in. Emails have its id, and
// not its number.
func projectName(project string) (resource.Name, error) {
	name, _, err := resource.Parse("projects/" + project)
	if err != nil {
		return resource.Name{}, fault.New(fault.Usage, "project %q: %w", project, err)
	}
	if project[0] >= '0' && project[0] <= '9' {
		return resource.Name{}, fault.New(fault.Usage, "project %s is a number: name the project by its id", project)
	}
	return name, nil
}

// tombstone returns what there is to take away of a deleted account. There may be more than was seen,
// as there may be of a live account.
func tombstone(s *search.Searcher, project string, g search.DeadAccount) target {
	return target{
		run: g.Run, project: project, email: g.Email, uid: g.UniqueID,
		tombstone: true, resources: g.Resources, proof: g.Titled,
		find: func() search.Findings {
			f := s.Find(s.Began(g.Run), g.Email)
			if g.Known {
				f.Missing, f.Hints = nil, nil
			}
			return f
		},
	}
}
