package policy

import (
	"testing"
	"time"
)

// Only the end of a run is moved, and only where it is one.
func TestMoved(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	to := from.Add(90 * time.Minute)
	for _, tt := range []struct{ expression, want string }{
		{`request.time < timestamp("2026-11-24T12:00:00Z")`, `request.time < timestamp("2026-11-24T13:30:00Z")`},
		{And(`resource.name == "a" || true`, UntilExpression(from)), `(resource.name == "a" || true) && request.time < timestamp("2026-11-24T13:30:00Z")`},
		// The manifest's own condition may have the same end in it.
		{And(UntilExpression(from), UntilExpression(from)), And(UntilExpression(from), UntilExpression(to))},
		{UntilExpression(to), ""},
		{UntilExpression(from) + " || true", ""},
		{"", ""},
	} {
		c := Condition{Title: "taskiam x", Expression: tt.expression}
		got, ok := c.Moved(from, to)
		want := c
		if tt.want != "" {
			want.Expression = tt.want
		}
		if got != want || ok != (tt.want != "") {
			t.Errorf("%q is moved to %q, %t", tt.expression, got.Expression, ok)
		}
		if back, ok := got.Moved(to, from); tt.want != "" && (!ok || back != c) {
			t.Errorf("%q is moved back to %q", tt.expression, back.Expression)
		}
	}
}
