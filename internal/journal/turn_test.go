package journal_test

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/journal/journaltest"
)

// Processes are told apart by their Dir: what they share is the disk.
func TestTurnsKeepToThePaceOnceThrottled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := &journaltest.Disk{}
		pace := journal.Pace{Writes: 5, In: 10 * time.Second}
		begun := time.Now()
		turn := func(throttled time.Duration) time.Duration {
			t.Helper()
			turn, err := openDir(t, "/state", disk).LockPolicy(t.Context(), "google //d", pace)
			if err != nil {
				t.Fatal(err)
			}
			defer turn.End()
			turn.Wrote()
			if throttled > 0 {
				turn.Throttled(throttled)
			}
			return time.Since(begun)
		}
		for i := range 6 {
			if at := turn(0); at != 0 {
				t.Fatalf("turn %d came after %s, before anybody was throttled", i, at)
			}
		}
		turn(3 * time.Second)
		// The hold, which is shorter than the pace; and then five in ten seconds.
		var times []time.Duration
		for range 15 {
			times = append(times, turn(0))
		}
		if times[0] < 10*time.Second {
			t.Errorf("the first turn after the refusal came at %s", times[0])
		}
		for i := 5; i < len(times); i++ {
			if got := times[i] - times[i-5]; got < pace.In || got > pace.In+time.Second {
				t.Errorf("turn %d came %s after the fifth before it", i, got)
			}
		}
		time.Sleep(10 * time.Minute)
		begun = time.Now()
		for range 10 {
			if at := turn(0); at != 0 {
				t.Errorf("long after it, a turn came after %s", at)
			}
		}
	})
}

func TestTurnsWaitWithoutTheLock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := &journaltest.Disk{}
		turn, err := openDir(t, "/state", disk).LockPolicy(t.Context(), "google //p", journal.Pace{})
		if err != nil {
			t.Fatal(err)
		}
		turn.Throttled(time.Minute)
		turn.End()
		begun := time.Now()
		done := make(chan time.Duration)
		go func() {
			turn, err := openDir(t, "/state", disk).LockPolicy(t.Context(), "google //p", journal.Pace{})
			if err != nil {
				t.Error(err)
			} else {
				turn.End()
			}
			done <- time.Since(begun)
		}()
		synctest.Wait()
		if held := disk.Locked(); len(held) != 0 {
			t.Errorf("while it waits it has %q", held)
		}
		if took := <-done; took < time.Minute || took > time.Minute+2*time.Second { // what it waits on top is random
			t.Errorf("the turn came after %s, want a minute", took)
		}
	})
}

func TestTurnFollows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := &journaltest.Disk{}
		turn := func(write bool) *journal.Turn {
			t.Helper()
			turn, err := openDir(t, "/state", disk).LockPolicy(t.Context(), "google //p", journal.Pace{})
			if err != nil {
				t.Fatal(err)
			}
			if write {
				turn.Wrote()
			}
			turn.End()
			time.Sleep(time.Millisecond)
			return turn
		}
		first := turn(false)
		if !turn(false).Follows(first) {
			t.Error("two turns without a write do not follow each other")
		}
		for range 20 { // longer than is remembered
			before := turn(false)
			turn(true)
			if turn(false).Follows(before) {
				t.Error("a turn follows one before which somebody wrote")
			}
		}
	})
}

// What a turn file says is advice: whatever is in it, the lock is to be had.
func TestTurnFileThatIsDamaged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		state := t.TempDir()
		for _, damage := range []string{"", "{", "[]", `{"hold":"9999-01-01T00:00:00Z"}`, `{"paced":"9999-01-01T00:00:00Z","tried":["9999-01-01T00:00:00Z"]}`, "the last one"} {
			begun := time.Now()
			turn, err := openDir(t, state, nil).LockPolicy(t.Context(), "google //p", journal.Pace{Writes: 1, In: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			turn.Wrote()
			turn.End()
			files, err := filepath.Glob(filepath.Join(state, "locks", "turn-*"))
			if err != nil || len(files) != 1 {
				t.Fatalf("turn files are %q, %v", files, err)
			}
			if err := os.WriteFile(files[0], []byte(damage), 0o600); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begun); took != 0 {
				t.Errorf("after %s it took %s", damage, took)
			}
		}
	})
}
