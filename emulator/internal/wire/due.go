package wire

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/iam"
)

// NameTombstone makes policies name the tombstone in place of the account.
func (s *State) NameTombstone(t *iam.Tombstone) {
	if !t.Named {
		s.Rename(t.Member, t.Name)
		t.Named = true
	}
}

// applyDue does what is due: an account cannot come back 30 days after its deletion
// (iam/docs/service-accounts-delete-undelete), its members leave the policies some time
// later, and the id of a deleted role becomes free again. It returns when it has to be
// called next.
func (s *State) applyDue(now time.Time) time.Time {
	next := time.Unix(0, math.MaxInt64)
	// due reports whether t has come, and else remembers it.
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
		if a.IsDeleted() && due(a.Deleted.Add(iam.UndeletePeriod)) {
			delete(s.Accounts, id)
		}
	}
	for id, t := range s.Tombstones {
		if !t.Named && due(t.Deleted.Add(iam.Seconds(s.Doubts.TombstoneLag))) {
			s.NameTombstone(t)
		}
		if due(t.Deleted.Add(s.Doubts.TombstonePeriod())) {
			s.Rename(t.Name, "")
			delete(s.Tombstones, id)
		}
	}
	for name, r := range s.Roles {
		if r.IsDeleted() && due(r.Deleted.Add(s.Doubts.RoleReuse())) {
			delete(s.Roles, name)
			s.unbind(name)
		}
	}
	return next
}

// alarm is when something is due next, in nanoseconds since 1970.
type alarm struct{ at atomic.Int64 }

// catchUp applies what has become due since the last call. It takes the lock only when
// something is due.
func (s *Server) catchUp() {
	if s.Now().UnixNano() < s.alarm.at.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.alarm.at.Store(s.state.applyDue(s.Now()).UnixNano())
}

// checkDue makes the next call look for what is due. The caller holds the lock.
func (s *Server) checkDue() { s.alarm.at.Store(math.MinInt64) }
