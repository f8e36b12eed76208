package cli

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
)

var began = time.Unix(1_800_000_000, 0).UTC()

func testRun(n byte, task, manifest string, down bool) *journal.Run {
	id := grants.NewRunID(began.Add(time.Duration(n)*time.Second), [5]byte{n})
	r := &journal.Run{
		Opened: journal.Opened{Run: id, Task: task, ManifestPath: manifest, Expires: began.Add(time.Hour)},
		At:     began, Up: began,
	}
	if down {
		r.Down, r.Receipt = began, &journal.Receipt{At: began}
	}
	return r
}

func TestChoose(t *testing.T) {
	t.Parallel()
	path, err := filepath.Abs("a.toml")
	if err != nil {
		t.Fatal(err)
	}
	runs := []*journal.Run{
		testRun(0, "a", path, true),
		testRun(1, "a", path, false),
		testRun(2, "b", "/elsewhere/b.toml", true),
		testRun(3, "b", "/elsewhere/b.toml", true),
		testRun(4, "a", "/elsewhere/a.toml", false),
	}
	id := func(n int) string { return string(runs[n].ID()) }
	for words, want := range map[string][]int{
		"a":                      {1, 4}, // what is up of the task
		"a.toml":                 {1},
		"./x/../a.toml":          {1},
		"/elsewhere/a.toml":      {4},
		"b":                      {3}, // all are down: the last one
		id(0):                    {0}, // by its id it is found, up or down
		id(0) + " " + id(4):      {0, 4},
		"a " + id(1) + " a.toml": {1, 4}, // each once
	} {
		got, err := choose(runs, strings.Fields(words))
		if err != nil {
			t.Errorf("%s: %v", words, err)
			continue
		}
		var ids, wantIDs []string
		for _, r := range got {
			ids = append(ids, string(r.ID()))
		}
		for _, n := range want {
			wantIDs = append(wantIDs, id(n))
		}
		if d := cmp.Diff(wantIDs, ids); d != "" {
			t.Errorf("%s (-want +got):\n%s", words, d)
		}
	}
	for _, word := range []string{"c", "b.toml", "1lgb7npp7vg3qcs", ""} {
		if got, err := choose(runs, []string{word}); !fault.Is(err, fault.NotFound) {
			t.Errorf("%q names %v, %v", word, got, err)
		}
	}
}

func TestTheRun(t *testing.T) {
	t.Parallel()
	up, other, down := testRun(1, "a", "/a", false), testRun(2, "b", "/b", false), testRun(3, "c", "/c", true)
	if got, err := theRun([]*journal.Run{up, down}, "", "x", willing); got != up || err != nil {
		t.Errorf("the only run that is up: %v, %v", got, err)
	}
	if got, err := theRun([]*journal.Run{up, other, down}, "c", "x", willing); got != down || err != nil {
		t.Errorf("the run named: %v, %v", got, err)
	}
	_, err := theRun([]*journal.Run{up, other, down}, "", "taskiam x", willing)
	want := []string{"taskiam x " + string(up.ID()), "taskiam x " + string(other.ID())}
	if d := cmp.Diff(want, fault.Hints(err)); d != "" || !fault.Is(err, fault.Usage) {
		t.Errorf("of two: %v, hints (-want +got):\n%s", err, d)
	}
	if _, err := theRun([]*journal.Run{down}, "", "x", willing); !fault.Is(err, fault.NotFound) {
		t.Errorf("of none: %v", err)
	}
}

func TestAPendingRunIsNeverTakenForOneThatIsDown(t *testing.T) {
	t.Parallel()
	starting := testRun(1, "a", "/a", false)
	starting.Up = time.Time{}
	incomplete := testRun(2, "a", "/a", true)
	incomplete.Receipt.Checks = []journal.Check{{What: "account is gone", Found: "it is there"}}
	if got := live([]*journal.Run{starting, incomplete, testRun(3, "a", "/a", true)}); len(got) != 2 {
		t.Errorf("%d runs are live, want 2", len(got))
	}
}

func TestWhatWouldBeRefusedIsNotCounted(t *testing.T) {
	t.Parallel()
	here, there, other := testRun(1, "a", "/a", false), testRun(2, "a", "/a", false), testRun(3, "b", "/b", false)
	elsewhere := func(r *journal.Run) error {
		if r != here {
			return fault.New(fault.Usage, "run %s is elsewhere", r.ID())
		}
		return nil
	}
	for _, word := range []string{"", "a"} {
		if got, err := theRun([]*journal.Run{here, there, other}, word, "x", elsewhere); got != here || err != nil {
			t.Errorf("%q is %v, %v", word, got, err)
		}
	}
	// If there is no other, it is said why.
	for word, want := range map[string]int{"": 2, "a": 1, string(there.ID()): 1} {
		_, err := theRun([]*journal.Run{there, other}, word, "x", elsewhere)
		if n := strings.Count(fmt.Sprint(err), "is elsewhere"); !fault.Is(err, fault.Usage) || n != want {
			t.Errorf("%q: %v", word, err)
		}
	}
}

func TestWhatIsTakenDownIsNamedOneByOne(t *testing.T) {
	t.Parallel()
	a, again, b := testRun(1, "a", "/a", false), testRun(2, "a", "/a", false), testRun(3, "b", "/b", false)
	runs := []*journal.Run{a, again, b}
	for _, words := range []string{"a", "/a", "b a"} {
		_, err := eachOne(runs, strings.Fields(words), "taskiam down", willing)
		want := []string{"taskiam down " + string(a.ID()), "taskiam down " + string(again.ID())}
		if !fault.Is(err, fault.Usage) || cmp.Diff(want, fault.Hints(err)) != "" {
			t.Errorf("%s: %v, hints %q", words, err, fault.Hints(err))
		}
	}
	got, err := eachOne(runs, []string{string(again.ID()), "b", "/b", string(a.ID())}, "taskiam down", willing)
	if err != nil || len(got) != 3 || got[0] != again || got[1] != b || got[2] != a {
		t.Errorf("named one by one: %v, %v", got, err)
	}
}
