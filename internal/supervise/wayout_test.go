package supervise

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/taskiam/taskiam/internal/egress"
	"github.com/taskiam/taskiam/internal/fault"
)

func TestPlaceholderIsWorthNothing(t *testing.T) {
	t.Parallel()
	w, err := NewWayOut(egress.Config{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tokens := w.placeholders(func() time.Time { return now })
	token, err := tokens.AccessToken(context.Background(), []string{"https://www.googleapis.com/auth/cloud-platform"})
	if err != nil || token.Value.Reveal() != w.placeholder || !token.Expires.After(now) {
		t.Errorf("the sandbox gets %q until %s: %v", token.Value.Reveal(), token.Expires, err)
	}
	if _, err := tokens.IDToken(context.Background(), "https://x"); !fault.Is(err, fault.NotFound) {
		t.Errorf("an identity token: %v", err)
	}
	// Before the run's server begins, and after its end, there is no token to be put in its place.
	if _, err := w.token(context.Background()); err == nil {
		t.Error("there is a token without a server")
	}
	other, err := NewWayOut(egress.Config{Name: "test"})
	if err != nil || other.placeholder == w.placeholder || string(other.CA()) == string(w.CA()) {
		t.Errorf("two runs have the same placeholder or CA: %v", err)
	}
}

func TestLogOfTheWayOutIsBounded(t *testing.T) {
	t.Parallel()
	w, err := NewWayOut(egress.Config{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	say := func(format string, _ ...any) { said = append(said, format) }
	w.say.Store(&say)
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	e := egress.Event{Time: now, Method: "GET", Host: "thief.example", Path: strings.Repeat("x", 1<<16), Refused: "no"}
	for range 3 * logBurst {
		w.log(e)
	}
	if len(said) != logBurst {
		t.Errorf("%d lines were logged at once", len(said))
	}
	e.Time = now.Add(10 * time.Second)
	for range logBurst {
		w.log(e)
	}
	if got := len(said) - logBurst; got != 10 {
		t.Errorf("ten seconds later %d more were", got)
	}
}
