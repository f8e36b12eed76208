package grants

import (
	"testing"
	"time"

	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
)

// A plan that begins when its id does not say ends, in all of its parts, by that.
func TestBeginAt(t *testing.T) {
	t.Parallel()
	secret, _, err := resource.Parse("projects/acme-agents/secrets/api-key")
	if err != nil {
		t.Fatal(err)
	}
	topic, _, err := resource.Parse("projects/acme-agents/topics/reports")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	task := Task{Name: "t", Project: "acme-agents", TTL: time.Hour, Grants: []Grant{
		{Role: "roles/x", Resource: secret}, {Role: "roles/y", Resource: topic, AcceptUnbounded: true},
	}}
	planned := NewPlan(task, NewRunID(now, [5]byte{1}))
	if m := planned.Mark(); !m.Began.IsZero() || !m.Started().Equal(now) {
		t.Errorf("the mark of a run that begins when its id says is %s", m)
	}
	p := planned.BeginAt(now.Add(24*time.Hour + 300*time.Millisecond))
	ends := now.Add(25 * time.Hour)
	if p.Run != planned.Run || p.Email != planned.Email || !p.Expires.Equal(ends) {
		t.Errorf("the plan is %+v", p)
	}
	if got, want := p.Edits[0].Bindings[0].Condition.Expression, policy.UntilExpression(ends); got != want {
		t.Errorf("the condition is %s, want %s", got, want)
	}
	if got, want := p.MinterBinding("user:a@example.com").Condition.Expression, policy.UntilExpression(ends); got != want {
		t.Errorf("the minter's condition is %s, want %s", got, want)
	}
	m, ok := ParseMark(p.Mark().String())
	if !ok || !m.Expires.Equal(ends) || !m.Started().Equal(now.Add(24*time.Hour)) {
		t.Errorf("the mark reads as %+v", m)
	}
	for i, want := range []time.Time{ends, ends.Add(time.Hour)} {
		if got := p.WorksUntil(task.Grants[i]); !got.Equal(want) {
			t.Errorf("grant %d works until %s, want %s", i, got, want)
		}
	}
}

// A mark has to fit into what Google takes for a description, however long its parts.
func TestLongestMarkFits(t *testing.T) {
	t.Parallel()
	m := Mark{
		Version: MarkVersion, Task: "a123456789b123456789c123456789d123456789", Run: NewRunID(time.Unix(1<<35-1, 0), [5]byte{}),
		Expires: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Began: time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC),
	}
	if n := len(m.String()); n > 256 {
		t.Errorf("the mark has %d bytes", n)
	}
}
