package lifecycle_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal/journaltest"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/racetest"
)

// What a disk can do to a run: lose its power, fill up, turn read-only, and give back a
// journal that is not what was written.

// onDisk are the flows at whose disk operations something is to go wrong.
var onDisk = []flow{flows[0], flows[2], {
	// A sweep on the machine that has the journal.
	name: "sweep with a journal",
	prepare: func(m *machine, source string) grants.RunID {
		plan := m.upNow(source)
		time.Sleep(longAfter)
		return plan.Run
	},
	run:   func(m *machine, _ string, _ grants.RunID) error { return m.sweep() },
	again: (*machine).sweepAgain,
}}

// eachOperation plays the flow once for every operation on the disk, with what inject
// makes of it from then on, and judges what came of it. With -race, where each takes ten times as
// long, one operation in five: make check plays them all without.
func eachOperation(t *testing.T, f flow, inject func(m *machine) error, judge func(m *machine, err error) error) {
	t.Parallel()
	step := 1
	if racetest.Enabled() {
		step = 5
	}
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, nil)
		for n := 0; ; n += step {
			m.clear()
			var run grants.RunID
			if f.prepare != nil {
				run = f.prepare(m, byShort)
			}
			first, failed := m.disk.Ops()+n, journaltest.Op{}
			usual := m.disk.Before
			m.disk.Before = func(op journaltest.Op) error {
				if op.N < first {
					return usual(op)
				}
				if op.N == first {
					failed = op
				}
				return inject(m)
			}
			err := f.run(m, byShort, run)
			m.disk.Before = usual
			if failed.Name == "" {
				if n < 10 {
					t.Errorf("%s has only %d operations on the disk", f.name, n)
				}
				return
			}
			if err := judge(m, err); err != nil {
				t.Fatalf("%s, operation %d (%s %s): %v", f.name, n, failed.Name, failed.Path, err)
			}
		}
	})
}

// goesOn lets the user do what comes next, after which all has to be as before.
func (m *machine) goesOn(f flow) error {
	if errs := f.again(m); errs != nil {
		return fmt.Errorf("what the user does next says: %w", errors.Join(errs...))
	}
	if left := m.changed(); left != nil {
		return fmt.Errorf("there is\n%s", strings.Join(left, "\n"))
	}
	return nil
}

// TestPowerLostAtEveryDiskOperation drops what was not fsynced, or all but a part of it.
func TestPowerLostAtEveryDiskOperation(t *testing.T) {
	t.Parallel()
	for _, f := range onDisk {
		for _, torn := range []func(string, []byte) int{nil, func(_ string, b []byte) int { return len(b) / 2 }} {
			t.Run(fmt.Sprintf("%s, torn %t", f.name, torn != nil), func(t *testing.T) {
				eachOperation(t, f, func(m *machine) error {
					m.die()
					return journaltest.ErrPower
				}, func(m *machine, _ error) error {
					m.disk.LosePower(torn)
					m.mu.Lock()
					m.dead = false
					m.mu.Unlock()
					if left := m.changed(); f.prepare == nil && len(m.live()) == 0 && left != nil {
						return fmt.Errorf("no journal knows of\n%s", strings.Join(left, "\n"))
					}
					return m.goesOn(f)
				})
			})
		}
	}
}

// TestDiskFullFromEveryOperationOn: an up is refused before its first call or undone,
// and no teardown is stopped.
func TestDiskFullFromEveryOperationOn(t *testing.T) {
	t.Parallel()
	for _, f := range onDisk {
		t.Run(f.name, func(t *testing.T) {
			eachOperation(t, f, func(*machine) error { return syscall.ENOSPC }, func(m *machine, err error) error {
				if f.name == "up" && err == nil {
					return errors.New("nothing is said")
				}
				if left := slices.DeleteFunc(m.changed(), func(s string) bool { return strings.HasPrefix(s, "run ") }); len(left) > 0 && err == nil {
					return fmt.Errorf("nothing is said, but there is\n%s", strings.Join(left, "\n"))
				} else if len(left) > 0 && f.name == "up" {
					return fmt.Errorf("it says %w, but there is\n%s", err, strings.Join(left, "\n"))
				}
				return m.goesOn(f)
			})
		})
	}
}

// readOnly is a disk on which nothing can be made or written.
func readOnly(journaltest.Op) error { return syscall.EROFS }

func TestNothingIsBegunWithoutADisk(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]func(journaltest.Op) error{
		"read-only": readOnly,
		"full": func(op journaltest.Op) error {
			if op.Name == "write" || op.Name == "sync" {
				return syscall.ENOSPC
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, nil)
			m.disk = &journaltest.Disk{Before: before}
			err := m.up(byShort)
			if err == nil || len(fault.Hints(err)) == 0 {
				t.Errorf("up: %v, hints %q", err, fault.Hints(err))
			}
			if len(m.calls) != 0 {
				t.Errorf("it called %v", m.calls)
			}
		})
	}
}

// TestTeardownOnAReadOnlyDisk: without a lock, and without a word in the journal.
func TestTeardownOnAReadOnlyDisk(t *testing.T) {
	t.Parallel()
	t.Run("down", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			m := newMachine(t, nil)
			plan := m.upNow(byShort)
			usual := m.disk.Before
			m.disk.Before = readOnly
			m.watch(point{}, nil)
			err := m.down(plan.Run)
			want := "taskiam down --account " + plan.Email + " --project " + hosting
			if hints := fault.Hints(err); !errors.Is(err, syscall.EROFS) || !slices.Contains(hints, want) || len(m.calls) > 0 {
				t.Errorf("down: %v, hints %q, calls %v", err, hints, m.calls)
			}
			if _, err := m.engine().DownAccount(t.Context(), hosting, plan.Email, nil); err != nil {
				t.Errorf("down of the account: %v", err)
			}
			m.disk.Before = usual
			// Only the journal does not know.
			if err := m.goesOn(flows[0]); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("sweep", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			m := newMachine(t, nil)
			m.lose(m.upNow(byShort))
			m.disk.Before = readOnly
			if err := m.sweep(); err != nil {
				t.Errorf("sweep: %v", err)
			}
			if left := m.changed(); left != nil {
				t.Errorf("there is\n%s", strings.Join(left, "\n"))
			}
		})
	})
}

// TestDamagedJournal: what cannot be the journal that was written is not acted on, and
// the run ends by its account.
func TestDamagedJournal(t *testing.T) {
	t.Parallel()
	lines := func(change func([][]byte) [][]byte) func([]byte, grants.Plan) []byte {
		return func(b []byte, _ grants.Plan) []byte {
			return bytes.Join(change(bytes.SplitAfter(b, []byte("\n"))), nil)
		}
	}
	for name, damage := range map[string]func([]byte, grants.Plan) []byte{
		"empty":               func([]byte, grants.Plan) []byte { return nil },
		"its first line torn": func(b []byte, _ grants.Plan) []byte { return b[:40] },
		"garbage":             func(b []byte, _ grants.Plan) []byte { return bytes.Repeat([]byte{0xff, '\n'}, len(b)/2) },
		"garbage in the middle": lines(func(l [][]byte) [][]byte {
			l[3] = []byte("\x00\x00\x00\n")
			return l
		}),
		"its beginning lost": lines(func(l [][]byte) [][]byte { return l[1:] }),
		"two lines as one": lines(func(l [][]byte) [][]byte {
			l[2] = bytes.TrimSuffix(l[2], []byte("\n"))
			return l
		}),
		"of a later version": func(b []byte, _ grants.Plan) []byte {
			return bytes.ReplaceAll(b, []byte(`{"v":1,`), []byte(`{"v":2,`))
		},
		"of a later version from the third line on": lines(func(l [][]byte) [][]byte {
			l[2] = bytes.Replace(l[2], []byte(`{"v":1,`), []byte(`{"v":2,`), 1)
			return l
		}),
		"edited by hand: another account": func(b []byte, plan grants.Plan) []byte {
			return bytes.ReplaceAll(b, []byte(plan.Email), []byte("report-writer@acme-agents.iam.gserviceaccount.com"))
		},
		"edited by hand: another project": func(b []byte, _ grants.Plan) []byte {
			return bytes.Replace(b, []byte(`"project":"acme-agents"`), []byte(`"project":"acme-data"`), 1)
		},
		"edited by hand: a new field": func(b []byte, _ grants.Plan) []byte {
			return bytes.Replace(b, []byte(`"record":{`), []byte(`"record":{"note":"mine",`), 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newMachine(t, nil)
				plan := m.upNow(byShort)
				path := m.engine().Journals.Where(plan.Run)
				written, err := m.disk.Read(path)
				if err != nil {
					t.Fatal(err)
				}
				damaged := damage(slices.Clone(written), plan)
				if bytes.Equal(damaged, written) {
					t.Fatal("it is not damaged")
				}
				m.disk.Put(path, damaged)
				up := m.snapshot()
				if err := m.down(plan.Run); err == nil {
					t.Error("down acts on it")
				} else if strings.Contains(err.Error(), "\n") {
					t.Errorf("down says more than one thing: %v", err)
				}
				if got := m.snapshot(); !bytes.Equal(up, got) {
					t.Errorf("down has changed something")
				}
				time.Sleep(time.Hour) // until a search is believed
				e := m.engine()
				e.Delivered = func(run grants.RunID) string { return m.options(grants.Plan{Run: run}).Dir }
				var told []string
				e.Progress = func(ev lifecycle.Event) {
					if ev.State == lifecycle.Known {
						m.mu.Lock()
						defer m.mu.Unlock()
						told = append(told, ev.Step)
					}
				}
				if _, err := e.DownAccount(t.Context(), hosting, plan.Email, nil); err != nil {
					t.Fatalf("down of the account: %v", err)
				}
				if !strings.Contains(strings.Join(told, "\n"), path) && !strings.HasPrefix(name, "edited by hand: another") {
					t.Errorf("what is to become of the journal is not said: %q", told)
				}
				if !bytes.Equal(m.before, m.snapshot()) || m.safe.count() > 0 {
					t.Errorf("not all is as before; there are %d deliveries", m.safe.count())
				}
			})
		})
	}
}
