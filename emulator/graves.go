package emulator

import (
	"math"
	"sync/atomic"
	"time"
)

// grave is a deleted account as policies remember it.
type grave struct {
	Account   string    `json:"account"`   // unique id
	Member    string    `json:"member"`    // serviceAccount:EMAIL
	Tombstone string    `json:"tombstone"` // deleted:serviceAccount:EMAIL?uid=ID
	Deleted   time.Time `json:"deleted"`
	Buried    bool      `json:"buried,omitempty"` // policies name the tombstone
}

// bury lets policies name the tombstone.
func (s *state) bury(g *grave) {
	if !g.Buried {
		s.rename(g.Member, g.Tombstone)
		g.Buried = true
	}
}

// sweep does what is due: an account is gone for good 30 days after its deletion
// (iam/docs/service-accounts-delete-undelete), its members in policies a while later,
// the id of a deleted role is free again some day. It returns when to come back.
func (s *state) sweep(now time.Time) time.Time {
	next := time.Unix(0, math.MaxInt64)
	// due reports whether t has come, and else keeps it in mind.
	due := func(t time.Time) bool {
		if t.After(now) {
			if t.Before(next) {
				next = t
			}
			return false
		}
		return true
	}
	for id, a := range s.Accounts {
		if a.deleted() && due(a.Deleted.Add(undeletePeriod)) {
			delete(s.Accounts, id)
		}
	}
	for id, g := range s.Graves {
		if !g.Buried && due(g.Deleted.Add(seconds(s.Doubts.TombstoneLag))) {
			s.bury(g)
		}
		if due(g.Deleted.Add(s.Doubts.tombstonePeriod())) {
			s.rename(g.Tombstone, "")
			delete(s.Graves, id)
		}
	}
	for name, r := range s.Roles {
		if r.deleted() && due(r.Deleted.Add(s.Doubts.roleReuse())) {
			delete(s.Roles, name)
			s.unbind(name)
		}
	}
	return next
}

// alarm is when the state has to be swept next, in nanoseconds since 1970.
type alarm struct{ at atomic.Int64 }

// catchUp lets happen what time has brought since the last call. It takes the lock
// only when something is due.
func (s *Server) catchUp() {
	if s.now().UnixNano() < s.alarm.at.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.alarm.at.Store(s.state.sweep(s.now()).UnixNano())
}

// wake makes the next call look for what is due. The caller holds the lock.
func (s *Server) wake() { s.alarm.at.Store(math.MinInt64) }
