package supervise

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"slices"
	"sync"

	"github.com/taskiam/taskiam/internal/egress"
	"github.com/taskiam/taskiam/internal/journal"
)

const (
	// The command chooses what is called, and must not fill the journal: so many kinds of calls are told apart in a
	// run, and so much of why one was refused is kept.
	maxUsedKinds = 300
	maxRefused   = 200
)

// usage is what was called through a proxy and is not recorded yet.
type usage struct {
	mu    sync.Mutex
	known map[string]bool // the kinds that were recorded, or are in calls
	calls map[string]journal.UsedCall
	more  int64
}

// add counts a request. A connection that was opened counts by the requests in it, a tunnel by itself.
func (u *usage) add(e egress.Event) {
	if e.Method == http.MethodConnect && e.Refused == "" && e.Sent+e.Received == 0 {
		return
	}
	c := journal.UsedCall{
		Method: e.Method, Host: e.Host, Resources: e.Under, Calls: 1, Sent: e.Sent, Received: e.Received,
		Refused: e.Refused[:min(len(e.Refused), maxRefused)],
	}
	if e.Refused == "" && e.Status >= http.StatusBadRequest {
		c.Failed = 1
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.count(c)
}

// count adds calls of a kind. u.mu is held.
func (u *usage) count(c journal.UsedCall) {
	key := c.Key()
	if !u.known[key] {
		if len(u.known) == maxUsedKinds {
			u.more += c.Calls
			return
		}
		if u.known == nil {
			u.known = map[string]bool{}
		}
		u.known[key] = true
	}
	if u.calls == nil {
		u.calls = map[string]journal.UsedCall{}
	}
	c.Add(u.calls[key])
	u.calls[key] = c
}

// record notes what was called since it was last noted, if there is anything to note. What could not be noted is kept.
func (u *usage) record(ctx context.Context, note func(context.Context, journal.Used) error, final bool) error {
	u.mu.Lock()
	used := journal.Used{Calls: slices.SortedFunc(maps.Values(u.calls), byKey), More: u.more, Final: final}
	u.calls, u.more = nil, 0
	u.mu.Unlock()
	if len(used.Calls) == 0 && used.More == 0 && !final {
		return nil
	}
	err := note(ctx, used)
	if err != nil {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.more += used.More
		for _, c := range used.Calls {
			u.count(c)
		}
	}
	return err
}

func byKey(a, b journal.UsedCall) int { return cmp.Compare(a.Key(), b.Key()) }
