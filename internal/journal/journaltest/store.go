package journaltest

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
)

// CheckStore tests what the rest of the program expects of a store. Each call of open returns
// the same journals, as another process would find them; at first and at the end there are none.
func CheckStore(t *testing.T, open func() journal.Store) {
	t.Helper()
	began := time.Now().Add(-time.Hour)
	opened := func(n byte) journal.Opened {
		run := grants.NewRunID(began.Add(time.Duration(n)*time.Minute), [5]byte{n})
		return journal.Opened{Run: run, Task: "t", Project: "p", Expires: began.Add(2 * time.Hour)}
	}
	first, second := opened(1), opened(2)
	c := storeCheck{t, open}
	c.empty(first.Run)
	c.begin(second)
	c.begin(first)
	c.list(first.Run, second.Run)
	c.end(first.Run)
	c.prune(time.Now().Add(time.Hour))
	c.list(second.Run)
	c.end(second.Run)
	c.prune(time.Now().Add(-time.Hour))
	c.list(second.Run) // it was down after that time
	c.prune(time.Now().Add(time.Hour))
	c.list()
}

type storeCheck struct {
	t    *testing.T
	open func() journal.Store
}

// empty checks a store without journals.
func (c storeCheck) empty(run grants.RunID) {
	c.t.Helper()
	if err := c.open().Probe(); err != nil {
		c.t.Fatalf("an empty store refuses journals: %v", err)
	}
	if _, err := c.open().Read(run); !fault.Is(err, fault.NotFound) {
		c.t.Errorf("reading a journal that was never begun: %v, want not found", err)
	}
	if _, err := c.open().Open(c.t.Context(), run, 0); !fault.Is(err, fault.NotFound) {
		c.t.Errorf("opening a journal that was never begun: %v, want not found", err)
	}
	c.list()
}

// begin begins a journal, and checks what others see of it meanwhile and afterwards.
func (c storeCheck) begin(o journal.Opened) {
	c.t.Helper()
	j, err := c.open().Create(o, journal.AccountIntended{})
	if err != nil {
		c.t.Fatalf("beginning a journal: %v", err)
	}
	if _, err := c.open().Open(c.t.Context(), o.Run, 0); !fault.Is(err, fault.Locked) {
		c.t.Errorf("opening a journal that another has open: %v, want locked", err)
	}
	before := j.Run()
	var side sync.WaitGroup
	for range 8 {
		side.Go(func() {
			if err := j.Append(journal.TokenMinted{Expires: o.Expires}); err != nil {
				c.t.Errorf("adding a record: %v", err)
			}
		})
	}
	side.Wait()
	if before.Tokens != 0 || j.Run().Tokens != 8 {
		c.t.Errorf("8 tokens: a copy made before has %d, the journal %d", before.Tokens, j.Run().Tokens)
	}
	if run, err := c.open().Read(o.Run); err != nil || run.Tokens != 8 || run.Account.Effect != journal.Maybe {
		c.t.Errorf("read while it is open: %+v, %v", run, err)
	}
	for range 2 {
		if err := j.Close(); err != nil {
			c.t.Errorf("closing: %v", err)
		}
	}
	if again, err := c.open().Create(o); err == nil {
		c.t.Errorf("a second journal of one run was begun")
		_ = again.Close()
	}
	if got, err := c.open().Opening(o.Run); err != nil || got.Run != o.Run {
		c.t.Errorf("the opening is %+v, %v", got, err)
	}
	if c.open().Where(o.Run) == "" {
		c.t.Error("nobody is told where the journal is")
	}
}

// end goes on with the journal of a run until the run is down, with nothing left.
func (c storeCheck) end(run grants.RunID) {
	c.t.Helper()
	j, err := c.open().Open(c.t.Context(), run, 0)
	if err != nil {
		c.t.Fatalf("opening: %v", err)
	}
	if got := j.Run().Tokens; got != 8 {
		c.t.Errorf("%d tokens in the journal that was closed, want 8", got)
	}
	if err := j.Append(journal.DownBegan{}, journal.Closed{}); err != nil {
		c.t.Errorf("adding records: %v", err)
	}
	if err := j.Close(); err != nil {
		c.t.Errorf("closing: %v", err)
	}
}

// list checks which runs have a journal, and that the oldest is first.
func (c storeCheck) list(want ...grants.RunID) {
	c.t.Helper()
	if got, err := c.open().List(); err != nil || !slices.Equal(got, want) {
		c.t.Errorf("runs %v, %v; want %v", got, err, want)
	}
	var told, chosen []grants.RunID
	runs, unread, err := c.open().Select(func(s journal.Summary) bool {
		told = append(told, s.Run)
		return s.Live()
	})
	for _, r := range runs {
		chosen = append(chosen, r.ID())
		if !r.Live() {
			c.t.Errorf("run %s is %s, and was not wanted", r.ID(), r.State())
		}
	}
	slices.Sort(told)
	if told = slices.Compact(told); err != nil || unread != nil || !slices.Equal(told, want) ||
		!slices.IsSorted(chosen) {
		c.t.Errorf("runs to choose from %v, %v, unread %v; want %v", told, err, unread, want)
	}
}

func (c storeCheck) prune(before time.Time) {
	c.t.Helper()
	if err := c.open().Prune(before); err != nil {
		c.t.Errorf("pruning: %v", err)
	}
}
