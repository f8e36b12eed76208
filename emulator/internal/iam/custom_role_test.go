package iam

import (
	"testing"
	"time"
)

// afterMinute delays every change by a minute.
type afterMinute struct{}

func (afterMinute) After(_ Delayed, now time.Time) time.Time { return now.Add(time.Minute) }
func (afterMinute) Coin() bool                               { return false }

// What a custom role holds follows its changes with a lag, though it reads as changed.
func TestCustomRoleLag(t *testing.T) {
	t.Parallel()
	r := &CustomRole{Permissions: []string{"storage.objects.get"}}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := &Company{Delays: afterMinute{}}
	r.ChangedFrom(s, nil, at)
	if r.Grants("storage.objects.get", at) || !r.Grants("storage.objects.get", at.Add(time.Minute)) {
		t.Error("a new role does not come to act after the lag")
	}
	at = at.Add(time.Hour)
	before := r.Holds(at)
	r.Deleted = at
	r.ChangedFrom(s, before, at)
	if !r.Grants("storage.objects.get", at) || r.Grants("storage.objects.get", at.Add(time.Minute)) {
		t.Error("a deleted role does not cease to act after the lag")
	}
}
