package supervise

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/internal/egress"
	"github.com/taskiam/taskiam/internal/journal"
)

// What was called is counted by its kind, is noted once, and what could not be noted is not lost.
func TestUsage(t *testing.T) {
	t.Parallel()
	var u usage
	var noted []journal.Used
	fails := errors.New("the disk is full")
	note := func(_ context.Context, used journal.Used) error {
		if fails != nil {
			return fails
		}
		noted = append(noted, used)
		return nil
	}
	bucket := []string{"//storage.googleapis.com/projects/_/buckets/b"}
	get := egress.Event{Method: "GET", Host: "storage.googleapis.com", Under: bucket, Status: 200, Received: 5}
	u.add(get)
	get.Status = 403
	u.add(get)
	u.add(egress.Event{Method: "CONNECT", Host: "storage.googleapis.com:443", Status: 200})
	if err := u.record(t.Context(), note, false); !errors.Is(err, fails) {
		t.Fatal(err)
	}
	fails = nil
	get.Status = 200
	u.add(get)
	u.add(egress.Event{Method: "CONNECT", Host: "thief.example:443", Status: 403, Refused: "it is not allowed"})
	for _, final := range []bool{false, false, true} {
		if err := u.record(t.Context(), note, final); err != nil {
			t.Fatal(err)
		}
	}
	want := []journal.Used{{Calls: []journal.UsedCall{
		{Method: "CONNECT", Host: "thief.example:443", Refused: "it is not allowed", Calls: 1},
		{Method: "GET", Host: "storage.googleapis.com", Resources: bucket, Calls: 3, Failed: 1, Received: 15},
	}}, {Final: true}}
	if diff := cmp.Diff(want, noted); diff != "" {
		t.Error(diff)
	}
}

// A command cannot fill the journal, however much it calls.
func TestUsageIsBounded(t *testing.T) {
	t.Parallel()
	var u usage
	for round := range 2 {
		kinds, more := 0, int64(0)
		for i := range 2 * maxUsedKinds {
			u.add(egress.Event{Method: "GET", Host: fmt.Sprintf("h%d.example", i+round*maxUsedKinds), Refused: "no"})
		}
		if err := u.record(t.Context(), func(_ context.Context, used journal.Used) error {
			kinds, more = len(used.Calls), used.More
			return nil
		}, false); err != nil {
			t.Fatal(err)
		}
		if kinds+int(more) != 2*maxUsedKinds || kinds > maxUsedKinds || round > 0 && kinds > 0 {
			t.Errorf("round %d: %d kinds, and %d calls of others", round, kinds, more)
		}
	}
}
