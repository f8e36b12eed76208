package lifecycle

import (
	"context"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/search"
)

// accountWait bounds the wait for another process that is at work on the run.
const accountWait = 30 * time.Second

// DownAccount ends the run of an account, from any machine: the account's own mark says
// which run that is. If this machine has the run's journal, that is gone by, and closed.
// Without one, what binds the account is looked for in the project, in more, and
// wherever the operator may search; if that cannot have been everything, the account
// stays, disabled, and the error is [fault.Incomplete]. An account that does not carry
// exactly the mark of its email is not touched; what a deleted one of the run left beside it is removed.
func (e *Engine) DownAccount(ctx context.Context, project, email string, more []resource.Name) (*Teardown, error) {
	host, err := projectName(project)
	if err != nil {
		return nil, err
	}
	run, ours := grants.RunOf(email, project)
	if !ours {
		return nil, fault.New(fault.NotFound,
			"%s is not the email of a run's account in project %s: nothing was changed", email, project)
	}
	j, known, err := e.openFor(ctx, run, project, email, accountWait)
	if err != nil {
		return nil, err
	}
	if j != nil {
		defer j.Close()
		t := targetOf(j.Run())
		t.resources = append(t.resources, fullNames(more)...)
		return e.newDownRun(t, j).carryOut(ctx)
	}
	account, err := e.Cloud.Account(ctx, project, email)
	if fault.Is(err, fault.NotFound) {
		return e.downTombstones(ctx, project, email, more)
	}
	if err != nil {
		return nil, e.perhapsMissing(ctx, project, err)
	}
	mark, ok := markOf(account, project)
	if !ok { // it is a stranger's; what the run's left goes all the same
		t, err := e.downTombstones(ctx, project, email, more)
		if t == nil && fault.Is(err, fault.NotFound) {
			err = fault.New(fault.Conflict, "the account %s does not carry the mark of run %s: nothing was changed",
				email, run)
		}
		return t, err
	}
	s := search.New(ctx, e.Cloud, host, email, more)
	teardown, err := e.newDownRun(fromMark(s, account, mark, known), nil).carryOut(ctx)
	if err == nil && known.damaged {
		e.report("the journal "+e.Journals.Where(run)+" cannot be read, and is not needed any more: delete it", "",
			Known, nil)
	}
	return teardown, err
}

// downTombstones takes away what a deleted account left in policies.
func (e *Engine) downTombstones(ctx context.Context, project, email string, more []resource.Name) (*Teardown, error) {
	host, err := projectName(project)
	if err != nil {
		return nil, err
	}
	s := search.New(ctx, e.Cloud, host, email, more)
	dead, err := s.TombstonesIn(ctx, s.Places(), nil)
	for _, g := range dead {
		if g.Email == email {
			return e.newDownRun(tombstone(s, project, g), nil).carryOut(ctx)
		}
	}
	if err != nil {
		return nil, err
	}
	return nil, fault.New(fault.NotFound, "there is no account %s, and no policy that was read names it", email)
}

// markOf returns the mark of a run's account, and whether it is one: whether the mark
// is whole and makes the very email of the account. A prefix or a mark alone proves
// nothing, since anybody can copy either.
func markOf(a grants.Account, project string) (grants.Mark, bool) {
	mark, ok := grants.ParseMark(a.Description)
	return mark, ok && a.Email == grants.AccountEmail(grants.AccountID(mark.Task, mark.Run), project)
}

// fromMark returns the target for an account whose journal is missing or damaged here. known
// is what remains of the journal; if it names the resources, no search is needed.
func fromMark(s *search.Searcher, a grants.Account, m grants.Mark, known remains) target {
	t := marked(a, m)
	t.resources, t.dir = known.edits, known.dir
	t.find = func() search.Findings {
		f := s.Find(m.Started(), a.Email)
		if len(known.edits) > 0 {
			f.Missing, f.Hints = nil, nil
		}
		return f
	}
	return t
}

// remains is what this machine knows of a run without a journal that can be followed.
type remains struct {
	edits   []string // full names of the resources that it was to edit
	dir     string   // of its delivery; "" if there is none, or it is not known where
	damaged bool     // whether there is a journal
}

// openFor opens the journal of a run if this machine has one that can be followed for
// the account: of this cloud, and of this email. Else it returns what is known without
// one. A [fault.Locked] means that another process is at work on the run.
func (e *Engine) openFor(
	ctx context.Context, run grants.RunID, project, email string, wait time.Duration,
) (j journal.Journal, known remains, err error) {
	j, err = e.openJournal(ctx, run, wait)
	if err == nil {
		if o := j.Run().Opened; o.Project == project && o.Email == email && e.refuse(o) == nil {
			return j, remains{}, nil
		}
		err = j.Close()
	} else if !fault.Is(err, fault.Locked) && ctx.Err() == nil {
		err = nil
	}
	if err != nil {
		return nil, remains{}, err
	}
	if e.Delivered != nil {
		known.dir = e.Delivered(run)
	}
	o, err := e.Journals.Opening(run)
	known.damaged = !fault.Is(err, fault.NotFound)
	if err == nil && o.Project == project && o.Email == email && e.refuse(o) == nil {
		known.edits, known.dir = edited(o), o.DeliveryDir
	}
	return nil, known, nil
}

func fullNames(names []resource.Name) []string {
	var out []string
	for _, n := range names {
		out = append(out, n.Full())
	}
	return out
}
