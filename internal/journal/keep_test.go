package journal_test

import (
	"os"
	"slices"
	"testing"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
)

func TestPruneKeepsWhatIsOfUse(t *testing.T) {
	t.Parallel()
	d := openDir(t, t.TempDir(), nil)
	clean := journal.Closed{Checks: []journal.Check{{What: "all", OK: true}}}
	left := journal.Closed{Checks: []journal.Check{{What: "all", Found: "a binding"}}}
	down := func(n byte, closed ...journal.Record) grants.RunID {
		j := create(t, d, opened(n))
		appendAll(t, j, journal.DownBegan{})
		appendAll(t, j, closed...)
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		return opened(n).Run
	}
	gone, open, incomplete := down(1, clean), down(2), down(3, left)
	garbled := down(4, clean)
	f, err := os.OpenFile(d.Where(garbled), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("garbled\n"); err != nil {
		t.Fatal(err)
	}
	f.Close()
	busy := down(5, clean)
	j, err := d.Open(t.Context(), busy, 0)
	if err != nil {
		t.Fatal(err)
	}

	check := func(before time.Time, want ...grants.RunID) {
		t.Helper()
		if err := d.Prune(before); err != nil {
			t.Error(err)
		}
		if got, err := d.List(); err != nil || !slices.Equal(got, want) {
			t.Errorf("before %s: %v, %v; want %v", before, got, err, want)
		}
	}
	check(began, gone, open, incomplete, garbled, busy)
	check(began.Add(time.Second), open, incomplete, garbled, busy)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	check(began.Add(time.Second), open, incomplete, garbled)

	if o, err := d.Opening(garbled); err != nil || o.Run != garbled {
		t.Errorf("what a garbled journal begins with: %v, %v", o, err)
	}
	if _, err := d.Opening(gone); !fault.Is(err, fault.NotFound) {
		t.Errorf("the beginning of what is gone: %v", err)
	}
}

func TestStepsOfATeardown(t *testing.T) {
	t.Parallel()
	j := create(t, openDir(t, t.TempDir(), nil), opened(1))
	appendAll(t, j, journal.Failed{Step: "bind", Message: "not a step of a teardown"},
		journal.TokenMinted{Expires: began}, journal.TokenMinted{Expires: began},
		journal.DownBegan{}, journal.AccountDisabled{}, journal.Unbound{Resource: bucket, Binding: binding},
		journal.Failed{Step: "delete key k", Message: "no"}, journal.KeyDeleted{KeyID: "k"}, journal.AccountDeleted{})
	email := opened(1).Email
	want := []journal.Step{
		{At: began, What: "disable account", On: email},
		{At: began, What: "unbind " + binding.Role, On: bucket},
		{At: began, What: "delete key k", Failure: "no"},
		{At: began, What: "delete key", On: "k"},
		{At: began, What: "delete account", On: email},
	}
	if got := j.Run(); !slices.Equal(got.Steps, want) || got.Tokens != 2 {
		t.Errorf("steps %+v\nwant  %+v; %d tokens", got.Steps, want, got.Tokens)
	}
}
