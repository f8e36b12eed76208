package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/search"
)

// maxAtOnce is how many things of one kind a sweep works on at once.
const maxAtOnce = 8

// sideBySide does something with each of the items, with [maxAtOnce] of them at a time.
func sideBySide[T any](items []T, do func(i int, item T)) { atOnce(maxAtOnce, items, do) }

// atOnce does something with each of the items, with so many of them at a time; -1 is no limit.
func atOnce[T any](limit int, items []T, do func(i int, item T)) {
	var g errgroup.Group
	g.SetLimit(limit)
	for i, item := range items {
		g.Go(func() error {
			do(i, item)
			return nil
		})
	}
	_ = g.Wait() // what goes wrong is kept with the item
}

// projectNames refuses what is no id of a project.
func projectNames(projects []string) error {
	for _, p := range projects {
		if _, err := projectName(p); err != nil {
			return err
		}
	}
	return nil
}

// SweepOptions say what to sweep.
type SweepOptions struct {
	Projects []string // ids of the projects that host accounts
	// OlderThan is for how long a run must have been over.
	OlderThan time.Duration
	// DryRun finds, and writes nothing.
	DryRun bool
	// Resources are places to look at beside those that are found. Where a search is not
	// allowed, they are taken for all there are.
	Resources []resource.Name
}

// Sweep is what a sweep found and did, project by project.
type Sweep struct {
	Projects []SweptProject
	Elapsed  time.Duration
}

// SweptProject is what was found of one project's runs.
type SweptProject struct {
	Project string
	// Looked is how many accounts the project has; -1 if that could not be read.
	Looked int
	// Searched is what was searched for bindings; empty if nothing could be.
	Searched string
	// Short is why that may not be everything; nil if it is.
	Short error
	// Unread has the full names of resources of types that taskiam does not know, of
	// which the search says that they name deleted accounts, perhaps of runs.
	Unread []string
	// Err is why not all of the project's runs could be found.
	Err  error
	Runs []SweptRun // in the order of their beginning
}

// SweptRun is what came of one run.
type SweptRun struct {
	Run     grants.RunID
	Task    string // "" if nothing says
	Email   string
	Expires time.Time // zero if nothing says
	Kind    SweptKind
	State   SweptState
	// Bound has the resources that bind the account, in a dry run.
	Bound []string
	// Down is what came of the teardown; nil if there was none.
	Down *Teardown
	Err  error
}

// SweptKind is what is known of a run.
type SweptKind string

const (
	// SweptAccount is a live account with the mark of a run.
	SweptAccount SweptKind = "account"
	// SweptJournal is a journal on this machine of a run whose account is gone.
	SweptJournal SweptKind = "journal"
	// SweptTombstone is a deleted account that policies still name.
	SweptTombstone SweptKind = "tombstone"
)

// SweptState is what came of a run.
type SweptState string

const (
	// SweptLive means that the run's time, and the grace, is not over: it was not touched.
	SweptLive SweptState = "not over"
	// SweptBusy means that another process is at work on the run.
	SweptBusy SweptState = "busy"
	// SweptFound means that it would be taken away, were this not a dry run.
	SweptFound SweptState = "found"
	// SweptGone means that everything is gone, and was checked to be.
	SweptGone SweptState = "gone"
	// SweptLeft means that something is left.
	SweptLeft SweptState = "left"
)

// Sweep takes away what runs left behind whose time is over: accounts with a run's exact mark, what this machine's
// journals still have open, and deleted accounts that policies go on to name. Every account is disabled before anything
// else is done. It may run on many machines at once: whatever another one has done already is done.
//
// An error is [fault.Incomplete] if something is left, and the result names it.
func (e *Engine) Sweep(ctx context.Context, o SweepOptions) (*Sweep, error) {
	if err := projectNames(o.Projects); err != nil {
		return nil, err
	}
	if !o.DryRun {
		e.prune()
	}
	begun := e.Now()
	out := &Sweep{}
	sweepers := make([]*sweeper, len(o.Projects))
	// Of a journal that cannot be read status and down speak; a sweep goes by the accounts.
	open, _, err := e.Journals.Select(func(r journal.Summary) bool {
		return r.Live() && slices.Contains(o.Projects, r.Project)
	})
	for i, p := range o.Projects {
		s := &sweeper{Engine: e, options: o, result: SweptProject{Project: p, Err: err}}
		for _, run := range open {
			if run.Opened.Project == p && s.refuse(run.Opened) == nil {
				s.open = append(s.open, run)
			}
		}
		sweepers[i] = s
	}
	sideBySide(sweepers, func(_ int, s *sweeper) { s.disable(ctx) })
	sideBySide(sweepers, func(_ int, s *sweeper) { s.find(ctx) })
	e.clear(ctx, sweepers)
	sideBySide(sweepers, func(_ int, s *sweeper) { s.over = s.tombstones(ctx) })
	e.clear(ctx, sweepers)
	var errs []error
	for _, s := range sweepers {
		slices.SortFunc(s.result.Runs, func(a, b SweptRun) int { return cmp.Compare(a.Run, b.Run) })
		out.Projects = append(out.Projects, s.result)
		errs = append(errs, s.errors()...)
	}
	out.Elapsed = e.Now().Sub(begun)
	return out, joinIncompleteFirst(errs)
}

// joinIncompleteFirst joins errors with what is left before what was refused: the exit code
// is that of the first.
func joinIncompleteFirst(errs []error) error {
	rank := func(err error) int {
		if fault.Is(err, fault.Incomplete) {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(errs, func(a, b error) int { return cmp.Compare(rank(a), rank(b)) })
	return errors.Join(errs...)
}

// sweeper sweeps one project.
type sweeper struct {
	*Engine
	options SweepOptions
	open    []*journal.Run // which this machine's journals had open when the sweep began
	search  *search.Searcher
	over    []*endedRun

	mu     sync.Mutex // guards result
	result SweptProject
}

// endedRun is a run whose time is over and that is to be taken away.
type endedRun struct {
	SweptRun
	target  target
	journal journal.Journal // nil where there is none
	down    *downRun        // nil in a dry run
	on      bool            // whether the teardown may go on
}

func (s *sweeper) add(r SweptRun) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.result.Runs = append(s.result.Runs, r)
}

func (s *sweeper) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.result.Err = errors.Join(s.result.Err, err)
}

func (s *sweeper) errors() []error {
	errs := []error{s.result.Err}
	for _, r := range s.result.Runs {
		errs = append(errs, r.Err)
	}
	return slices.DeleteFunc(errs, func(err error) bool { return err == nil })
}

// isOver reports whether a run that ends then has been over for long enough, by the clock of the cloud: this machine's
// may be wrong, and a run that is not over must not be touched.
func (s *sweeper) isOver(expires time.Time) bool {
	return !s.Cloud.Clock().Before(expires.Add(s.options.OlderThan))
}

// disable finds the runs that are over, and disables their accounts.
func (s *sweeper) disable(ctx context.Context) {
	project := s.result.Project
	accounts, err := s.Cloud.Accounts(ctx, project)
	s.result.Looked = len(accounts)
	if err != nil {
		s.result.Looked = -1
		s.fail(s.perhapsMissing(ctx, project, err))
	}
	s.warnOfClock(s.clockAhead(), "whether a run has expired is decided by the cloud's")
	live := map[grants.RunID]bool{}
	for _, a := range accounts {
		mark, ours := markOf(a, project)
		if !ours {
			continue
		}
		live[mark.Run] = true
		r := SweptRun{Run: mark.Run, Task: mark.Task, Email: a.Email, Expires: mark.Expires, Kind: SweptAccount,
			State: SweptLive}
		if !s.isOver(mark.Expires) {
			s.add(r)
			continue
		}
		s.over = append(s.over, &endedRun{SweptRun: r, target: marked(a, mark)})
	}
	if err == nil { // else it is not known which accounts are gone
		s.over = append(s.over, s.journalled(live)...)
	}
	if s.options.DryRun {
		return
	}
	tell := s.tally("disable accounts of "+project, len(s.over))
	sideBySide(s.over, func(_ int, o *endedRun) {
		s.begin(ctx, o)
		tell()
	})
}

// journalled returns the runs that this machine's journals have open, that are over, and
// of which there is no live account.
func (s *sweeper) journalled(live map[grants.RunID]bool) []*endedRun {
	var out []*endedRun
	for _, run := range s.open {
		o := run.Opened
		if live[o.Run] || !s.isOver(run.Expires()) {
			continue
		}
		out = append(out, &endedRun{target: targetOf(run), SweptRun: SweptRun{
			Run: o.Run, Task: o.Task, Email: o.Email, Expires: run.Expires(), Kind: SweptJournal,
		}})
	}
	return out
}

// begin takes the run's journal in hand, if there is one here, and disables the account.
func (s *sweeper) begin(ctx context.Context, o *endedRun) {
	j, known, err := s.openFor(ctx, o.Run, s.result.Project, o.Email, 0)
	switch {
	case fault.Is(err, fault.Locked):
		o.State = SweptBusy
		return
	case err != nil:
		o.State, o.Err = SweptLeft, err
		return
	case j != nil:
		o.journal, o.target = j, targetOf(j.Run())
	default:
		o.target.resources, o.target.dir = append(o.target.resources, known.edits...), known.dir
	}
	o.down = s.newDownRun(o.target, o.journal)
	o.on = o.down.begin(ctx)
	<-o.down.disabled
}

// find finds what binds the accounts of the runs that are over.
func (s *sweeper) find(ctx context.Context) {
	project, err := projectName(s.result.Project)
	if err != nil {
		s.fail(err)
		return
	}
	s.search = search.New(ctx, s.Cloud, project, search.AnyAccount, s.options.Resources)
	s.result.Short = s.search.Short
	if !s.search.Scope.IsZero() {
		s.result.Searched = s.search.Scope.String()
	}
	for _, o := range s.over {
		if o.down != nil {
			o.down.target.find = s.findingsOf(o)
		}
	}
}

// findingsOf returns what looks for places that bind a run's account. A journal knows all that its
// run was to bind; what else binds the account is found too, if it can be.
func (s *sweeper) findingsOf(o *endedRun) func() search.Findings {
	complete := o.journal != nil || len(o.target.resources) > 0
	return func() search.Findings {
		f := s.search.Find(o.target.mark.Started(), o.Email)
		if complete {
			f.Missing, f.Hints = nil, nil
		}
		return f
	}
}

// clear takes away what the sweepers have begun with: the runs of all projects together, so that
// a policy is edited once for all of them. In a dry run it says what there is.
func (e *Engine) clear(ctx context.Context, sweepers []*sweeper) {
	var going []*downRun
	for _, s := range sweepers {
		for _, o := range s.over {
			if o.on {
				going = append(going, o.down)
			}
		}
	}
	e.finish(ctx, going...)
	sideBySide(sweepers, func(_ int, s *sweeper) {
		sideBySide(s.over, func(_ int, o *endedRun) {
			switch {
			case o.down != nil:
				o.end()
			case s.options.DryRun && s.search != nil && o.Kind != SweptTombstone:
				s.look(ctx, o)
			}
			s.add(o.SweptRun)
		})
	})
}

// end takes down what came of one run.
func (o *endedRun) end() {
	o.Down, o.Err = o.down.end()
	if o.journal != nil {
		o.Err = errors.Join(o.Err, o.journal.Close())
	}
	o.State = SweptGone
	if o.Err != nil {
		o.State = SweptLeft
	}
}

// look says what binds the run's account, and writes nothing.
func (s *sweeper) look(ctx context.Context, o *endedRun) {
	o.State = SweptFound
	places := append(s.search.Find(o.target.mark.Started(), o.Email).Resources, o.target.resources...)
	if run, err := s.Journals.Read(o.Run); err == nil && run.Opened.Email == o.Email && s.refuse(run.Opened) == nil {
		places = append(places, targetOf(run).resources...)
	}
	slices.Sort(places)
	for _, full := range slices.Compact(places) {
		name, err := resource.ParseFull(full)
		if err != nil {
			o.Bound = append(o.Bound, full)
			continue
		}
		doc, err := s.Cloud.ReadPolicy(ctx, name)
		switch {
		case fault.Is(err, fault.NotFound):
		case err != nil:
			s.fail(fmt.Errorf("looking for %s: %w", o.Email, err))
		case len(o.target.in(doc, o.target.uid)) > 0:
			o.Bound = append(o.Bound, name.String())
		}
	}
}

// tombstones begins with what policies still say of deleted accounts, and returns that.
func (s *sweeper) tombstones(ctx context.Context) (out []*endedRun) {
	if s.search == nil {
		return nil
	}
	places := s.search.Places()
	for _, was := range s.open {
		run, err := s.Journals.Read(was.ID())
		if err == nil && run.Live() && run.Account.UniqueID != "" { // of one that is down, all was checked
			places = append(places, targetOf(run).resources...)
		}
	}
	dead, err := s.search.TombstonesIn(ctx, places, s.inJournal)
	if err != nil {
		s.fail(err)
	}
	s.result.Unread = s.search.Unread
	for _, g := range dead {
		o := &endedRun{SweptRun: SweptRun{Run: g.Run, Email: g.Email, Kind: SweptTombstone, State: SweptFound}}
		if run, err := s.Journals.Read(g.Run); err == nil && run.Opened.Email == g.Email {
			o.Task, o.Expires = run.Opened.Task, run.Expires()
			if run.Live() && !s.isOver(run.Expires()) {
				o.State = SweptLive
				out = append(out, o)
				continue
			}
		}
		if slices.ContainsFunc(s.result.Runs,
			func(r SweptRun) bool { return r.Email == g.Email && r.Kind != SweptTombstone }) {
			continue // it was spoken of already
		}
		out = append(out, o)
		if s.options.DryRun {
			for _, full := range g.Resources {
				o.Bound = append(o.Bound, plain(full))
			}
			continue
		}
		o.down = s.newDownRun(tombstone(s.search, s.result.Project, g), nil)
		o.on = o.down.begin(ctx)
	}
	return out
}

// inJournal reports whether this machine's journals name a deleted account by its unique id, which proves what no
// title does.
func (s *sweeper) inJournal(run grants.RunID, dead grants.Tombstone) bool {
	known, err := s.Journals.Read(run)
	return err == nil && s.refuse(known.Opened) == nil && known.Opened.Email == dead.Email &&
		known.Account.UniqueID == dead.UniqueID
}

// plain returns a full resource name as people write it.
func plain(full string) string {
	if name, err := resource.ParseFull(full); err == nil {
		return name.String()
	}
	return full
}
