package lifecycle_test

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/journal/journaltest"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/racetest"
)

// renewTTL is longer than what the manifests ask for.
const renewTTL = 2 * time.Hour

var renewFlow = flow{
	name: "renew",
	prepare: func(m *machine, source string) grants.RunID {
		run := m.upNow(source).Run
		time.Sleep(10 * time.Minute)
		return run
	},
	run:   func(m *machine, _ string, run grants.RunID) error { return m.renew(run) },
	again: (*machine).downAll,
}

func (m *machine) renew(run grants.RunID) error {
	_, err := m.engine().Renew(m.t.Context(), run, lifecycle.RenewOptions{TTL: renewTTL})
	return err
}

// Every call of a renewal goes wrong in every way. What the journal says of the end then
// is true: at its end everything ends by itself, unless it is said that it may not. And
// a teardown takes away what there is of the old end and of the new one.
func TestRenewFaults(t *testing.T) {
	t.Parallel()
	var cells []cell
	for _, kind := range []string{"key", "token"} {
		f := renewFlow
		f.short = true
		source := f.source(kind)
		for _, s := range f.steps(t, source) {
			for _, tr := range troubles {
				if tr.conflict && !s.writes() {
					continue
				}
				cells = append(cells, cell{f, kind, source, s, tr})
			}
		}
	}
	if len(cells) < 300 {
		t.Errorf("only %d cells", len(cells))
	}
	// With -race, where each takes ten times as long, one in ten.
	if racetest.Enabled() {
		every := 0
		cells = slices.DeleteFunc(cells, func(cell) bool { every++; return every%10 != 0 })
	}
	const shares = 4
	for share := range shares {
		t.Run(fmt.Sprint(share), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newMachine(t, nil)
				for i := share; i < len(cells); i += shares {
					if err := cells[i].playRenewal(m); err != nil {
						t.Errorf("%s: %v", cells[i], err)
						m = newMachine(t, nil)
					}
				}
			})
		})
	}
	t.Logf("%d cells", len(cells))
}

func (c cell) playRenewal(m *machine) error {
	m.clear()
	run := c.flow.prepare(m, c.source)
	m.watch(c.step.point, c.trouble.strike(m, c.step.method))
	renewErr := m.renew(run)
	if !m.reached {
		return fmt.Errorf("the call was not reached (%w)", renewErr)
	}
	if c.trouble.deadly() {
		m.restart(c.trouble.power)
	}
	known, err := m.engine().Journals.Read(run)
	if err != nil {
		return err
	}
	state := strings.Join(m.changed(), "\n")
	later, earlier := 0, strings.Count(state, known.Opened.Expires.Format(time.RFC3339))
	if len(known.Renewals) > 0 {
		later = strings.Count(state, known.Renewals[0].Expires.Format(time.RFC3339))
	}
	switch last := known.Expires(); {
	case c.trouble.deadly():
		if later > 0 && last.Equal(known.Opened.Expires) && known.Renewing().IsZero() {
			return fmt.Errorf("something lasts longer, and nobody says so:\n%s", state)
		}
	case renewErr == nil || !last.Equal(known.Opened.Expires): // with an error: an old key is left
		if last.Equal(known.Opened.Expires) || earlier > 0 && renewErr == nil || later == 0 || known.Renewing() != (time.Time{}) {
			return fmt.Errorf("it was renewed (%v), and the journal says %+v of\n%s", renewErr, known.Renewals, state)
		}
		if renewErr != nil && !fault.Is(renewErr, fault.Incomplete) {
			return fmt.Errorf("it was renewed, and yet: %w", renewErr)
		}
	case fault.Is(renewErr, fault.Incomplete):
		if known.Renewing().IsZero() || !c.trouble.lasting() {
			return fmt.Errorf("it could not be undone, and the journal says %+v of %w", known.Renewals, renewErr)
		}
	default:
		if later > 0 || earlier == 0 || !known.Renewing().IsZero() {
			return fmt.Errorf("it was undone after %w\nbut there is\n%s", renewErr, state)
		}
	}
	if s := known.State(); s != journal.Running {
		return fmt.Errorf("the run is %s", s)
	}
	m.lift()
	// Half of the users try again, which makes everything whole; all take it down.
	if c.step.nth%2 == 1 {
		if err := m.engine().Journals.Probe(); err != nil {
			return err
		}
		time.Sleep(time.Minute)
		if err := m.renew(run); err != nil {
			return fmt.Errorf("renewing again: %w", err)
		}
		if known, err = m.engine().Journals.Read(run); err != nil {
			return err
		}
		if state := strings.Join(m.changed(), "\n"); strings.Contains(state, known.Opened.Expires.Format(time.RFC3339)) ||
			!strings.Contains(state, known.Expires().Format(time.RFC3339)) || !known.Renewing().IsZero() {
			return fmt.Errorf("after another renewal there is\n%s", state)
		}
	}
	for _, err := range m.downAll() {
		return fmt.Errorf("once it is over: %w", err)
	}
	if left := m.changed(); left != nil {
		return fmt.Errorf("there is\n%s", strings.Join(left, "\n"))
	}
	return nil
}

// What is journalled of a renewal is enough, whenever the power goes; and one that cannot
// be journalled is taken back, or said to last.
func TestRenewOnABadDisk(t *testing.T) {
	t.Parallel()
	judge := func(m *machine, renewErr error) error {
		runs := m.live()
		if len(runs) != 1 {
			return fmt.Errorf("%d runs are live", len(runs))
		}
		run := runs[0]
		state := strings.Join(m.changed(), "\n")
		later := len(run.Renewals) > 0 && strings.Contains(state, run.Renewals[0].Expires.Format(time.RFC3339))
		renewed := !run.Expires().Equal(run.Opened.Expires)
		switch {
		case renewErr == nil && !renewed:
			return fmt.Errorf("it was renewed, and the journal does not know of\n%s", state)
		case renewed && !later:
			return fmt.Errorf("the journal has %s, and nothing lasts so long:\n%s", run.Expires(), state)
		case later && !renewed && run.Renewing().IsZero():
			return fmt.Errorf("the journal does not know of\n%s", state)
		}
		return m.goesOn(renewFlow)
	}
	t.Run("the power goes", func(t *testing.T) {
		eachOperation(t, renewFlow, func(m *machine) error {
			m.die()
			return journaltest.ErrPower
		}, func(m *machine, err error) error {
			m.restart(true)
			return judge(m, err)
		})
	})
	t.Run("the disk is full", func(t *testing.T) {
		eachOperation(t, renewFlow, func(*machine) error { return syscall.ENOSPC }, func(m *machine, err error) error {
			for _, run := range m.live() {
				state := strings.Join(m.changed(), "\n")
				if n := run.Renewals; len(n) > 0 && n[0].Effect != journal.Done && !fault.Is(err, fault.Incomplete) && strings.Contains(state, n[0].Expires.Format(time.RFC3339)) {
					return fmt.Errorf("it was not taken back after %w\nthere is\n%s", err, state)
				}
			}
			return judge(m, err)
		})
	})
}
