package supervise

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
)

// ends is a store that knows the end of one run, which may move; without one, its journal is gone.
type ends struct {
	journal.Store
	end func() time.Time
}

func (s ends) Read(id grants.RunID) (*journal.Run, error) {
	if s.end == nil {
		return nil, fault.New(fault.NotFound, "gone")
	}
	return &journal.Run{Opened: journal.Opened{Run: id, Expires: s.end()}}, nil
}

func (ends) Open(context.Context, grants.RunID, time.Duration) (journal.Journal, error) {
	return nil, fault.New(fault.NotFound, "gone")
}

func TestTheEndIsToldOf(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		ttl     time.Duration
		renewed time.Duration // after ten minutes
		lost    bool
		want    []time.Duration
	}{
		{"five minutes before, and then", time.Hour, 0, false, []time.Duration{55 * time.Minute, time.Hour}},
		{"without a journal too", time.Hour, 0, true, []time.Duration{55 * time.Minute, time.Hour}},
		{"later, if it was renewed", 12 * time.Minute, time.Hour, false,
			[]time.Duration{7 * time.Minute, 55 * time.Minute, time.Hour}},
		{"once, if it is as short as that", 5 * time.Minute, 0, false, []time.Duration{5 * time.Minute}},
	} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			run := &journal.Run{Opened: journal.Opened{Run: grants.NewRunID(began, [5]byte{}), Expires: began.Add(tt.ttl)}}
			store := ends{end: func() time.Time {
				if tt.renewed > 0 && time.Since(began) >= 10*time.Minute {
					return began.Add(tt.renewed)
				}
				return began.Add(tt.ttl)
			}}
			if tt.lost {
				store.end = nil
			}
			var got []time.Duration
			WatchEnd(t.Context(), run, store, time.Now, func(_ time.Time, over bool) {
				got = append(got, time.Since(began))
				if over != (time.Since(began) >= max(tt.ttl, tt.renewed)) {
					t.Errorf("%s: after %s it says that it is over: %v", tt.name, time.Since(began), over)
				}
			})
			if !slices.Equal(got, tt.want) {
				t.Errorf("%s: told after %s, want %s", tt.name, got, tt.want)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			run.Opened.Expires = time.Now().Add(time.Hour)
			store.end = nil
			WatchEnd(ctx, run, store, time.Now, func(time.Time, bool) { t.Errorf("%s: told after CMD", tt.name) })
		})
	}
}

// A command that works past the end leaves that in the journal; one that ends before does not.
func TestTheEndIsRecorded(t *testing.T) {
	t.Parallel()
	for _, works := range []time.Duration{59 * time.Minute, 61 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			journals, j := newJournal(t, began.Add(time.Hour))
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), works)
			defer cancel()
			WatchEnd(ctx, j.Run(), journals, time.Now, func(time.Time, bool) {})
			run, err := journals.Read(j.Run().ID())
			if err != nil {
				t.Fatal(err)
			}
			want := time.Time{}
			if works > time.Hour {
				want = began.Add(time.Hour)
			}
			if !run.TimeOver.Equal(want) {
				t.Errorf("a command that works for %s: the time was over at %s, want %s", works, run.TimeOver, want)
			}
		})
	}
}

// newJournal returns the journal of a new run with this end.
func newJournal(t *testing.T, expires time.Time) (journal.Store, journal.Journal) {
	t.Helper()
	journals, err := journal.OpenDir(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	j, err := journals.Create(journal.Opened{Run: grants.NewRunID(time.Now(), [5]byte{1}), Task: "t", Expires: expires})
	if err != nil {
		t.Fatal(err)
	}
	return journals, j
}

// A run is renewed in good time, as far as it may, and what fails is told.
func TestRenewingKeepsARun(t *testing.T) {
	t.Parallel()
	busy, refused := fault.New(fault.Unavailable, "busy"), fault.New(fault.Denied, "refused")
	for _, tt := range []struct {
		name        string
		ttl, latest time.Duration
		errs        []error // of the first tries
		lost        bool    // the journal, from the first renewal on
		want        []string
	}{
		{"up to the limit", time.Hour, 2 * time.Hour, nil, false,
			[]string{"45m0s: 1h45m0s", "1h30m0s: 2h0m0s, the latest"}},
		{"at half of a short one", 10 * time.Minute, 12 * time.Minute, nil, false, []string{"5m0s: 12m0s, the latest"}},
		{"not for next to nothing", time.Hour, time.Hour + 59*time.Second, nil, false, nil},
		{"again after a failure", time.Hour, 90 * time.Minute, []error{busy, busy}, false,
			[]string{"45m0s: busy", "46m0s: busy", "47m0s: 1h30m0s, the latest"}},
		{"until the end", 4 * time.Minute, time.Hour, []error{busy, busy, busy, busy, busy, busy, busy, busy}, false,
			[]string{"2m0s: busy", "2m30s: busy", "2m52.5s: busy", "3m9.375s: busy", "3m22.03125s: busy",
				"3m32.03125s: busy", "3m42.03125s: busy", "3m52.03125s: busy"}},
		{"never again after a refusal", time.Hour, 3 * time.Hour, []error{refused}, false, []string{"45m0s: refused for good"}},
		{"without a journal too", time.Hour, 3 * time.Hour, nil, true,
			[]string{"45m0s: 1h45m0s", "1h30m0s: 2h30m0s", "2h15m0s: 3h0m0s, the latest"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			end, lost := began.Add(tt.ttl), false
			store := ends{end: func() time.Time { return end }}
			run, _ := store.Read(grants.NewRunID(began, [5]byte{}))
			var got []string
			note := func(format string, args ...any) {
				got = append(got, time.Since(began).String()+": "+fmt.Sprintf(format, args...))
			}
			r := Renewing{
				TTL: tt.ttl, Latest: began.Add(tt.latest),
				Renew: func(context.Context) (*journal.Run, error) {
					if len(tt.errs) > 0 {
						err := tt.errs[0]
						tt.errs = tt.errs[1:]
						return nil, err
					}
					moved := time.Now().Add(tt.ttl)
					if moved.After(began.Add(tt.latest)) {
						moved = began.Add(tt.latest)
					}
					lost = lost || tt.lost
					if !lost {
						end = moved
					}
					renewed := *run
					renewed.Opened.Expires = moved
					return &renewed, nil
				},
				Renewed: func(run *journal.Run, latest bool) {
					what := run.Expires().Sub(began).String()
					if latest {
						what += ", the latest"
					}
					note("%s", what)
				},
				Failed: func(_ time.Time, err error, final bool) {
					what := err.Error()
					if final {
						what += " for good"
					}
					note("%s", what)
				},
			}
			var journals journal.Store = lostWhen{ends: store, lost: &lost}
			r.Keep(t.Context(), run, journals, time.Now)
			if !slices.Equal(got, tt.want) {
				t.Errorf("%s:\ngot  %q\nwant %q", tt.name, got, tt.want)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		run := &journal.Run{Opened: journal.Opened{Run: grants.NewRunID(time.Now(), [5]byte{}), Expires: time.Now().Add(time.Hour)}}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Minute)
		defer cancel()
		r := Renewing{
			TTL: time.Hour, Latest: time.Now().Add(10 * time.Hour),
			Renew: func(ctx context.Context) (*journal.Run, error) { // it is undone when its command ends
				<-ctx.Done()
				return nil, context.Cause(ctx)
			},
			Failed: func(time.Time, error, bool) { t.Error("told of a failure after the command's end") },
		}
		r.Keep(ctx, run, ends{}, time.Now)
	})
}

// lostWhen is a store whose journals can be lost.
type lostWhen struct {
	ends
	lost *bool
}

func (s lostWhen) Read(id grants.RunID) (*journal.Run, error) {
	if *s.lost {
		return nil, fault.New(fault.NotFound, "gone")
	}
	return s.ends.Read(id)
}
