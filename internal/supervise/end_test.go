package supervise

import (
	"context"
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
