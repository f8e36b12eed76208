package journal_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/journal/journaltest"
	"github.com/taskiam/taskiam/internal/policy"
)

var began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func opened(n byte) journal.Opened {
	run := grants.NewRunID(began, [5]byte{4: n})
	return journal.Opened{
		Run: run, Task: "nightly-report", Cloud: "google", Operator: "user:a@example.com",
		Project: "p", AccountID: grants.AccountID("nightly-report", run),
		Email:   grants.AccountEmail(grants.AccountID("nightly-report", run), "p"),
		Expires: began.Add(2 * time.Hour), Deliver: []grants.DeliveryKind{delivery.Key}, DeliveryDir: "/run/d",
		Grants: []journal.Grant{{Role: "roles/storage.objectViewer", Resource: "//storage.googleapis.com/projects/_/buckets/b"}},
	}
}

var binding = journal.Binding{Role: "roles/storage.objectViewer", Member: "serviceAccount:e", Condition: policy.Condition{Title: "t", Expression: "true"}}

const bucket = "//storage.googleapis.com/projects/_/buckets/b"

func openDir(t *testing.T, path string, disk journal.Disk) *journal.Dir {
	t.Helper()
	d, err := journal.OpenDir(path, disk)
	if err != nil {
		t.Fatal(err)
	}
	d.Now = func() time.Time { return began }
	return d
}

func create(t *testing.T, d *journal.Dir, o journal.Opened) journal.Journal {
	t.Helper()
	j, err := d.Create(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func appendAll(t *testing.T, j journal.Journal, records ...journal.Record) {
	t.Helper()
	for _, r := range records {
		if err := j.Append(r); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheFoldOfAWholeRun(t *testing.T) {
	t.Parallel()
	d := openDir(t, t.TempDir(), nil)
	j := create(t, d, opened(1))
	state := func(want journal.State) {
		t.Helper()
		if got := j.Run().State(); got != want {
			t.Errorf("state is %q, want %q", got, want)
		}
		fromDisk, err := d.Read(j.Run().ID())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(j.Run(), fromDisk, cmpopts.IgnoreUnexported(journal.Run{})); diff != "" {
			t.Errorf("memory and disk differ (-memory +disk):\n%s", diff)
		}
	}
	effect := func(what string, got, want journal.Effect) {
		t.Helper()
		if got != want {
			t.Errorf("%s is %q, want %q", what, got, want)
		}
	}

	state(journal.Starting)
	effect("account", j.Run().Account.Effect, journal.None)
	appendAll(t, j, journal.AccountIntended{})
	effect("account", j.Run().Account.Effect, journal.Maybe)
	appendAll(t, j, journal.AccountCreated{UniqueID: "123"}, journal.BindIntended{Resource: bucket, Binding: binding})
	effect("account", j.Run().Account.Effect, journal.Done)
	effect("binding", j.Run().Bindings[0].Effect, journal.Maybe)
	appendAll(t, j, journal.Bound{Resource: bucket, Binding: binding}, journal.ReadBack{Resource: bucket, Binding: binding})
	other := binding
	other.Condition.Title = "another"
	appendAll(t, j, journal.BindIntended{Resource: bucket, Binding: other}) // the same role and member
	if n := len(j.Run().Bindings); n != 2 {
		t.Errorf("%d bindings, want 2: their conditions differ", n)
	}
	appendAll(t, j, journal.KeyIntended{})
	effect("key", j.Run().Keys[0].Effect, journal.Maybe)
	appendAll(t, j,
		journal.KeyCreated{KeyID: "k1", ValidBefore: began.Add(time.Hour)},
		journal.TokenMinted{Expires: began.Add(time.Hour)},
		journal.TokenMinted{Expires: began.Add(time.Minute)},
		journal.DeliverIntended{Kind: delivery.Key, Paths: []string{"/run/d", "/run/d/key.json"}},
		journal.Delivered{},
		journal.ProcessStarted{PID: 7, Start: "a"},
		journal.GrantReady{Grant: 0, State: journal.NotReady, Why: "403"},
		journal.Up{},
	)
	state(journal.RunningNotReady)
	appendAll(t, j, journal.GrantReady{Grant: 0, State: journal.Proved})
	state(journal.Running)

	up := j.Run()
	want := []journal.RunBinding{
		{Resource: bucket, Binding: binding, Effect: journal.Done, ReadBack: true},
		{Resource: bucket, Binding: other, Effect: journal.Maybe},
	}
	if diff := cmp.Diff(want, up.Bindings); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]journal.Key{{ID: "k1", ValidBefore: began.Add(time.Hour), Effect: journal.Done}}, up.Keys); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{bucket}, up.Resources()); diff != "" {
		t.Error(diff)
	}
	if !up.TokensUntil.Equal(began.Add(time.Hour)) {
		t.Errorf("tokens until %s", up.TokensUntil)
	}
	if up.Expired(began.Add(2*time.Hour-1)) || !up.Expired(began.Add(2*time.Hour)) {
		t.Error("a run is over at the second at which it expires")
	}

	appendAll(t, j, journal.DownBegan{})
	state(journal.Ending)
	appendAll(t, j,
		journal.ProcessStopped{PID: 7, Start: "a"},
		journal.Removed{Path: "/run/d"},
		journal.AccountDisabled{},
		journal.Unbound{Resource: bucket, Binding: binding},
		journal.KeyDeleted{KeyID: "k1"},
		journal.Failed{Step: "unbind", Message: "no"},
		journal.Closed{Checks: []journal.Check{{What: "account is gone", OK: true}, {What: "bucket is clean", Found: "a binding"}}},
	)
	state(journal.Incomplete)
	if !j.Run().Live() {
		t.Error("a run that left something behind is not done with")
	}
	appendAll(t, j, journal.DownBegan{})
	state(journal.Ending)
	appendAll(t, j, journal.Unbound{Resource: bucket, Binding: other}, journal.AccountDeleted{},
		journal.Removed{Path: "/run/d/key.json"}, journal.Closed{Checks: []journal.Check{{What: "account is gone", OK: true}}})
	state(journal.Ended)
	end := j.Run()
	for _, b := range end.Bindings {
		effect("binding", b.Effect, journal.Undone)
	}
	for _, p := range end.Delivery {
		effect(p.Path, p.Effect, journal.Undone)
	}
	effect("account", end.Account.Effect, journal.Undone)
	effect("key", end.Keys[0].Effect, journal.Undone)
	effect("process", end.Processes[0].Effect, journal.Undone)
	if end.Live() || !end.Account.Disabled || end.Account.UniqueID != "123" || len(end.Failures) != 1 {
		t.Errorf("in the end: %+v", end)
	}
	if up.State() != journal.Running || up.Bindings[0].Effect != journal.Done {
		t.Error("a copy changed with the journal")
	}
}

func TestAKeyWhoseAnswerGotLost(t *testing.T) {
	t.Parallel()
	j := create(t, openDir(t, t.TempDir(), nil), opened(1))
	appendAll(t, j, journal.KeyIntended{})
	if k := j.Run().Keys; len(k) != 1 || k[0].ID != "" || !k[0].Effect.Standing() {
		t.Errorf("keys: %+v", k)
	}
	appendAll(t, j, journal.KeyDeleted{KeyID: "found"})
	if diff := cmp.Diff([]journal.Key{{ID: "found", Effect: journal.Undone}}, j.Run().Keys); diff != "" {
		t.Error(diff)
	}
}

// The end is what the last renewal that came off says, and a renewal of which it is not
// known what came of it is told apart.
func TestTheEndOfARenewedRun(t *testing.T) {
	t.Parallel()
	j := create(t, openDir(t, t.TempDir(), nil), opened(1))
	first := j.Run().Opened.Expires
	hour := func(n int) time.Time { return first.Add(time.Duration(n) * time.Hour) }
	for _, tt := range []struct {
		record        journal.Record
		ends, renewal time.Time
		effects       []journal.Effect
	}{
		{journal.RenewIntended{Expires: hour(1)}, first, hour(1), []journal.Effect{journal.Maybe}},
		{journal.RenewUndone{}, first, time.Time{}, []journal.Effect{journal.Undone}},
		{journal.RenewIntended{Expires: hour(2)}, first, hour(2), []journal.Effect{journal.Undone, journal.Maybe}},
		{journal.Renewed{Expires: hour(2)}, hour(2), time.Time{}, []journal.Effect{journal.Undone, journal.Done}},
		{journal.RenewIntended{Expires: hour(3)}, hour(2), hour(3), []journal.Effect{journal.Undone, journal.Done, journal.Maybe}},
		{journal.DownBegan{}, hour(2), hour(3), []journal.Effect{journal.Undone, journal.Done, journal.Maybe}},
	} {
		appendAll(t, j, tt.record)
		run := j.Run()
		if !run.Expires().Equal(tt.ends) || !run.Renewing().Equal(tt.renewal) {
			t.Errorf("after %T the run ends at %s, and is renewed to %s", tt.record, run.Expires(), run.Renewing())
		}
		if run.Expired(tt.ends.Add(-1)) || !run.Expired(tt.ends) || !run.MayBeExpired(tt.ends) {
			t.Errorf("after %T the run is not over at its end", tt.record)
		}
		var effects []journal.Effect
		for _, n := range run.Renewals {
			effects = append(effects, n.Effect)
		}
		if diff := cmp.Diff(tt.effects, effects); diff != "" {
			t.Errorf("after %T (-want +got):\n%s", tt.record, diff)
		}
	}
}

// What is taken away before a teardown, because something else takes its place, is no
// step of one.
func TestStepsAreThoseOfATeardown(t *testing.T) {
	t.Parallel()
	j := create(t, openDir(t, t.TempDir(), nil), opened(1))
	appendAll(t, j, journal.KeyDeleted{KeyID: "old"}, journal.DownBegan{}, journal.KeyDeleted{KeyID: "new"})
	if steps := j.Run().Steps; len(steps) != 1 || steps[0].On != "new" {
		t.Errorf("steps: %+v", steps)
	}
}

func TestModesEvenWithoutAnUmask(t *testing.T) {
	// Not parallel: the umask is the process's.
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	state := filepath.Join(t.TempDir(), "a", "taskiam")
	d := openDir(t, state, nil)
	if entries, err := os.ReadDir(filepath.Dir(filepath.Dir(state))); err != nil || len(entries) != 0 {
		t.Errorf("opening made %v, %v", entries, err)
	}
	j := create(t, d, opened(1))
	turn, err := d.LockPolicy(t.Context(), "x", journal.Pace{})
	if err != nil {
		t.Fatal(err)
	}
	turn.End()
	files := 0
	err = filepath.Walk(filepath.Dir(state), func(path string, info os.FileInfo, err error) error {
		want := os.FileMode(0o600)
		if info.IsDir() {
			want = 0o700
		} else {
			files++
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %04o, want %04o", path, got, want)
		}
		return err
	})
	if err != nil || files != 3 { // the journal, its lock, the policy's lock
		t.Errorf("%d files, %v", files, err)
	}
	if got := d.Where(j.Run().ID()); got != filepath.Join(state, "runs", string(j.Run().ID())+".jsonl") {
		t.Errorf("the journal is %s", got)
	}
}

func TestCreateRefusesASecondJournalOfARun(t *testing.T) {
	t.Parallel()
	d := openDir(t, t.TempDir(), nil)
	j := create(t, d, opened(1))
	if _, err := d.Create(opened(1)); !fault.Is(err, fault.Locked) {
		t.Errorf("while it is open: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Create(opened(1)); !errors.Is(err, os.ErrExist) {
		t.Errorf("after it was closed: %v", err)
	}
	if run, err := d.Read(opened(1).Run); err != nil || run.Opened.Task != "nightly-report" {
		t.Errorf("the first one was damaged: %v", err)
	}
	bad := opened(2)
	bad.Run = "../../etc/passwd"
	if _, err := d.Create(bad); err == nil {
		t.Error("a run id that is a path was taken")
	}
	if _, err := d.Read(bad.Run); !fault.Is(err, fault.Usage) {
		t.Errorf("reading a run id that is a path: %v", err)
	}
}

func TestListIsInTheOrderOfTime(t *testing.T) {
	t.Parallel()
	d := openDir(t, filepath.Join(t.TempDir(), "none"), nil)
	if runs, err := d.List(); err != nil || len(runs) != 0 {
		t.Errorf("of nothing: %v, %v", runs, err)
	}
	var want []grants.RunID
	for _, n := range []byte{3, 1, 2} {
		want = append(want, create(t, d, opened(n)).Run().ID())
	}
	slices.Sort(want)
	for _, other := range []string{"README", "short.jsonl", string(want[0]) + ".jsonl~"} {
		if err := os.WriteFile(filepath.Join(d.Path(), "runs", other), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := d.List()
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestOpenGoesOnWhereTheJournalStopped(t *testing.T) {
	t.Parallel()
	d := openDir(t, t.TempDir(), nil)
	j := create(t, d, opened(1))
	appendAll(t, j, journal.AccountIntended{})
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := j.Append(journal.Up{}); err == nil {
		t.Error("a closed journal was appended to")
	}
	if err := j.Close(); err != nil {
		t.Errorf("closing it again: %v", err)
	}
	f, err := os.OpenFile(d.Where(j.Run().ID()), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"v":1,"at":"2026-03`); err != nil { // as a loss of power leaves it
		t.Fatal(err)
	}
	f.Close()

	j, err = d.Open(t.Context(), opened(1).Run, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	appendAll(t, j, journal.AccountCreated{UniqueID: "1"})
	run, err := d.Read(opened(1).Run)
	if err != nil || run.Account.UniqueID != "1" {
		t.Errorf("after a torn line: %+v, %v", run, err)
	}
	if _, err := d.Open(t.Context(), opened(9).Run, 0); !fault.Is(err, fault.NotFound) {
		t.Errorf("a run that never was: %v", err)
	}
	if b, err := os.ReadDir(filepath.Join(d.Path(), "locks")); err != nil || len(b) != 1 {
		t.Errorf("a run that never was left a lock behind: %v, %v", b, err)
	}
}

func TestAJournalUnderAnothersNameIsRefused(t *testing.T) {
	t.Parallel()
	d := openDir(t, t.TempDir(), nil)
	j := create(t, d, opened(1))
	if err := os.Rename(d.Where(j.Run().ID()), d.Where(opened(2).Run)); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Read(opened(2).Run); err == nil || !strings.Contains(err.Error(), "it is the journal of run "+string(opened(1).Run)) {
		t.Errorf("read as another run: %v", err)
	}
}

func TestWhatOthersCouldHaveWrittenIsRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, want string
		spoil      func(d *journal.Dir, path string) error
	}{
		{"a journal that others can write", "can be written by other users", func(_ *journal.Dir, path string) error { return os.Chmod(path, 0o622) }},
		{"a link to a journal", "too many levels of symbolic links", func(_ *journal.Dir, path string) error {
			if err := os.Rename(path, path+".real"); err != nil {
				return err
			}
			return os.Symlink(path+".real", path)
		}},
		{"a pipe", "is not a regular file", func(_ *journal.Dir, path string) error {
			if err := os.Remove(path); err != nil {
				return err
			}
			return syscall.Mkfifo(path, 0o600)
		}},
	} {
		d := openDir(t, t.TempDir(), nil)
		j := create(t, d, opened(1))
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		if err := test.spoil(d, d.Where(j.Run().ID())); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Read(opened(1).Run); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("reading %s: %v", test.name, err)
		}
	}
	for _, folder := range []string{"", "runs", "locks"} {
		d := openDir(t, t.TempDir(), nil)
		if err := create(t, d, opened(1)).Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(d.Path(), folder), 0o777); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Create(opened(2)); err == nil || !strings.Contains(err.Error(), "can be written by other users") {
			t.Errorf("creating in a state folder of which %q can be written by anybody: %v", folder, err)
		}
	}
}

// script is what a run does to its journal. It returns the records that were
// reported as durable, and the error that stopped it.
func script(d *journal.Dir) (durable []journal.Record, err error) {
	j, err := d.Create(opened(1))
	if err != nil {
		return nil, err
	}
	durable = append(durable, opened(1))
	for _, batch := range [][]journal.Record{
		{journal.AccountIntended{}},
		{journal.AccountCreated{UniqueID: "123"}, journal.BindIntended{Resource: bucket, Binding: binding}},
		{journal.Bound{Resource: bucket, Binding: binding}},
	} {
		if err := j.Append(batch...); err != nil {
			return durable, errors.Join(err, j.Close())
		}
		durable = append(durable, batch...)
	}
	if err := j.Close(); err != nil {
		return durable, err
	}
	if j, err = d.Open(context.Background(), opened(1).Run, 0); err != nil {
		return durable, err
	}
	for _, r := range []journal.Record{journal.DownBegan{}, journal.Unbound{Resource: bucket, Binding: binding}, journal.AccountDeleted{}} {
		if err := j.Append(r); err != nil {
			return durable, errors.Join(err, j.Close())
		}
		durable = append(durable, r)
	}
	return durable, j.Close()
}

// TestNothingThatWasReportedIsLost cuts the power before every single operation of a
// run, lets every length of what was not fsynced reach the disk, and looks for what
// Create and Append had returned.
func TestNothingThatWasReportedIsLost(t *testing.T) {
	t.Parallel()
	var whole journaltest.Disk
	all, err := script(openDir(t, "/home/u/.local/state/taskiam", &whole))
	if err != nil {
		t.Fatal(err)
	}
	image, err := whole.Read(openDir(t, "/home/u/.local/state/taskiam", &whole).Where(opened(1).Run))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(image), "\n")
	cuts := 0
	for cut := range whole.Ops() {
		for keep := 0; ; keep += 7 {
			var disk journaltest.Disk
			disk.Before = func(op journaltest.Op) error {
				if op.N == cut {
					return journaltest.ErrPower
				}
				return nil
			}
			d := openDir(t, "/home/u/.local/state/taskiam", &disk)
			durable, err := script(d)
			if err == nil {
				t.Fatalf("the power went before operation %d and nobody noticed", cut)
			}
			disk.Before = nil
			torn := 0
			disk.LosePower(func(_ string, unsynced []byte) int {
				torn = len(unsynced)
				return min(keep, torn)
			})
			cuts++
			got, err := disk.Read(d.Where(opened(1).Run))
			if len(durable) == 0 && err != nil {
				break // no call was made, so nothing need be known
			}
			if want := strings.Join(lines[:len(durable)], ""); !strings.HasPrefix(string(got), want) {
				t.Fatalf("the power went before operation %d (%d torn bytes kept): %d records were reported durable; there is\n%s", cut, keep, len(durable), got)
			}
			// And the journal is of use: down can go on with it.
			j, err := d.Open(t.Context(), opened(1).Run, 0)
			if len(durable) == 0 && fault.Is(err, fault.NotFound) {
				if keep >= torn {
					break
				}
				continue
			}
			if err != nil {
				t.Fatalf("the power went before operation %d (%d torn bytes kept): %v\n%s", cut, keep, err, &disk)
			}
			if err := errors.Join(j.Append(journal.DownBegan{}), j.Close()); err != nil {
				t.Fatal(err)
			}
			if run, err := d.Read(opened(1).Run); err != nil || run.State() != journal.Ending {
				t.Fatalf("after the power came back: %v\n%s", err, &disk)
			}
			if keep >= torn {
				break
			}
		}
	}
	if cuts < whole.Ops() || len(all) != 8 {
		t.Errorf("%d cuts for %d operations, %d records", cuts, whole.Ops(), len(all))
	}
}

// TestTheDiskOfTheTestsDoesLoseThings: without it, the test above could not fail.
func TestTheDiskOfTheTestsDoesLoseThings(t *testing.T) {
	t.Parallel()
	for _, skip := range []string{"sync", "sync dir"} {
		var disk journaltest.Disk
		d := openDir(t, "/state", forgetful{&disk, skip})
		if _, err := d.Create(opened(1)); err != nil {
			t.Fatal(err)
		}
		disk.LosePower(nil)
		if _, err := d.Read(opened(1).Run); !fault.Is(err, fault.NotFound) {
			t.Errorf("without %q the journal is there after a loss of power: %v", skip, err)
		}
		if held := disk.Locked(); len(held) != 0 {
			t.Errorf("locks outlived the power: %q", held)
		}
	}
}

// forgetful is a disk one of whose operations does nothing.
type forgetful struct {
	*journaltest.Disk
	skip string
}

func (f forgetful) SyncDir(dir string) error {
	if f.skip == "sync dir" {
		return nil
	}
	return f.Disk.SyncDir(dir)
}

func (f forgetful) Create(path string) (journal.File, error) {
	file, err := f.Disk.Create(path)
	if f.skip == "sync" {
		file = unsynced{file}
	}
	return file, err
}

type unsynced struct{ journal.File }

func (unsynced) Sync() error { return nil }

// TestAFailingDiskStopsTheRun fails every single operation, once.
func TestAFailingDiskStopsTheRun(t *testing.T) {
	t.Parallel()
	var whole journaltest.Disk
	if _, err := script(openDir(t, "/state", &whole)); err != nil {
		t.Fatal(err)
	}
	for n := range whole.Ops() {
		var disk journaltest.Disk
		var failed journaltest.Op
		disk.Before = func(op journaltest.Op) error {
			if op.N == n {
				failed = op
				return syscall.ENOSPC
			}
			return nil
		}
		d := openDir(t, "/state", &disk)
		durable, err := script(d)
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("operation %d (%s %s) failed, and the run: %v", n, failed.Name, failed.Path, err)
		}
		if len(durable) == 0 && len(fault.Hints(err)) == 0 {
			t.Errorf("operation %d (%s %s): no hint in %v", n, failed.Name, failed.Path, err)
		}
		if held := disk.Locked(); len(held) != 0 {
			t.Errorf("operation %d (%s %s) failed, and these locks stayed: %q", n, failed.Name, failed.Path, held)
		}
	}
}

func TestAFailureToWriteIsFinal(t *testing.T) {
	t.Parallel()
	var disk journaltest.Disk
	j := create(t, openDir(t, "/state", &disk), opened(1))
	disk.Before = func(op journaltest.Op) error {
		if op.Name == "sync" {
			return syscall.EIO
		}
		return nil
	}
	if err := j.Append(journal.AccountIntended{}); !errors.Is(err, syscall.EIO) {
		t.Errorf("the fsync failed: %v", err)
	}
	disk.Before = nil // it would work now, and what it was to keep may be lost
	if err := j.Append(journal.AccountIntended{}); !errors.Is(err, syscall.EIO) {
		t.Errorf("after a failed fsync: %v", err)
	}
	if got := j.Run().Account.Effect; got != journal.None {
		t.Errorf("an account that was not announced is %q", got)
	}
}

func TestRecordsThatDoNotFitAreNotWritten(t *testing.T) {
	t.Parallel()
	d := openDir(t, t.TempDir(), nil)
	j := create(t, d, opened(1))
	for _, r := range []journal.Record{
		opened(1),
		journal.GrantReady{Grant: 1, State: journal.Proved},
		journal.GrantReady{Grant: 0, State: "surely"},
		journal.TokenMinted{Expires: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		if err := j.Append(journal.Up{}, r); err == nil {
			t.Errorf("%+v was taken", r)
		}
	}
	appendAll(t, j, journal.AccountIntended{}) // the journal is still good
	if run, err := d.Read(j.Run().ID()); err != nil || !run.Up.IsZero() || run.Account.Effect != journal.Maybe {
		t.Errorf("%+v, %v", run, err)
	}
}

func TestAppendsSideBySideShareAnFsync(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var disk journaltest.Disk
		slow := slowDisk{&disk}
		d := openDir(t, "/state", slow)
		j, err := d.Create(opened(1))
		if err != nil {
			t.Fatal(err)
		}
		before := time.Now()
		const n = 50
		var group sync.WaitGroup
		for i := range n {
			group.Go(func() {
				r := journal.BindIntended{Resource: fmt.Sprintf("//r/%d", i), Binding: binding}
				if err := j.Append(r); err != nil {
					t.Error(err)
				}
				// It is there already, whoever wrote it.
				run, err := d.Read(opened(1).Run)
				if err != nil || !slices.ContainsFunc(run.Bindings, func(b journal.RunBinding) bool { return b.Resource == r.Resource }) {
					t.Errorf("%s was reported durable, and is not there: %v", r.Resource, err)
				}
			})
		}
		group.Wait()
		// One for the first to come, one for all who came meanwhile.
		if took := time.Since(before); took > 2*slowSync {
			t.Errorf("%d appends side by side took %v; an fsync takes %v", n, took, slowSync)
		}
		if got := len(j.Run().Bindings); got != n {
			t.Errorf("%d bindings, want %d", got, n)
		}
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
}

const slowSync = 10 * time.Millisecond

// slowDisk takes its time to fsync.
type slowDisk struct{ *journaltest.Disk }

func (d slowDisk) Create(path string) (journal.File, error) {
	f, err := d.Disk.Create(path)
	return slowFile{f}, err
}

type slowFile struct{ journal.File }

func (f slowFile) Sync() error {
	time.Sleep(slowSync)
	return f.File.Sync()
}

// A run may have several processes, each with a role. Journals from before there were
// roles have none, and mean the one that keeps the delivery good.
func TestProcessesGoByRole(t *testing.T) {
	t.Parallel()
	j := create(t, openDir(t, t.TempDir(), nil), opened(1))
	process := func(role journal.ProcessRole) string {
		p, standing := j.Run().Process(role)
		return fmt.Sprint(p.PID, standing)
	}
	const proxy journal.ProcessRole = "proxy"
	appendAll(t, j, journal.ProcessStarted{PID: 7, Start: "a"}, journal.ProcessStarted{Role: proxy, PID: 8, Start: "a"})
	if server, other := process(journal.RoleServer), process(proxy); server != "7 true" || other != "8 true" {
		t.Errorf("the server is %s, the proxy %s", server, other)
	}
	appendAll(t, j, journal.ProcessStopped{PID: 8, Start: "a"}, journal.ProcessStarted{Role: journal.RoleServer, PID: 9, Start: "b"})
	if server, other := process(journal.RoleServer), process(proxy); server != "9 true" || other != "8 false" {
		t.Errorf("the server is %s, the proxy %s", server, other)
	}
}

func TestARunIsInOneProcessesHands(t *testing.T) {
	t.Parallel()
	d := openDir(t, t.TempDir(), nil)
	j := create(t, d, opened(1))
	_, err := d.Open(t.Context(), j.Run().ID(), 0)
	want := fmt.Sprintf("run %s is in use by process %d", j.Run().ID(), os.Getpid())
	if !fault.Is(err, fault.Locked) || !strings.Contains(err.Error(), want) {
		t.Errorf("at once: %v, want %s", err, want)
	}
	if _, err := d.Open(t.Context(), j.Run().ID(), 20*time.Millisecond); !fault.Is(err, fault.Locked) {
		t.Errorf("after waiting: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Open(ctx, j.Run().ID(), time.Hour); !errors.Is(err, context.Canceled) || fault.Is(err, fault.Locked) {
		t.Errorf("when told to stop waiting: %v", err)
	}
	if _, err := d.Read(j.Run().ID()); err != nil {
		t.Errorf("reading needs no lock: %v", err)
	}

	waited := make(chan error, 1)
	go func() {
		second, err := d.Open(t.Context(), j.Run().ID(), time.Minute)
		if err == nil {
			err = second.Close()
		}
		waited <- err
	}()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; err != nil {
		t.Errorf("after the first let go: %v", err)
	}
}

func TestWaitingForALockInVirtualTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := openDir(t, "/state", &journaltest.Disk{})
		turn, err := d.LockPolicy(t.Context(), "google //b", journal.Pace{})
		if err != nil {
			t.Fatal(err)
		}
		var order []int
		var group sync.WaitGroup
		for i := range 3 {
			group.Go(func() {
				turn, err := d.LockPolicy(t.Context(), "google //b", journal.Pace{})
				if err != nil {
					t.Error(err)
					return
				}
				order = append(order, i) // the lock guards it; -race would tell
				time.Sleep(time.Second)
				turn.End()
			})
			synctest.Wait() // so that they come in this order
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := d.LockPolicy(ctx, "google //b", journal.Pace{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a second's patience: %v", err)
		}
		if free, err := d.LockPolicy(t.Context(), "google //another", journal.Pace{}); err != nil {
			t.Errorf("another policy: %v", err)
		} else {
			free.End()
		}
		turn.End()
		group.Wait()
		if diff := cmp.Diff([]int{0, 1, 2}, order); diff != "" {
			t.Errorf("not in the order in which they came:\n%s", diff)
		}
	})
}

// TestLockBetweenProcesses runs this test binary again, as other processes that add
// to a file what they read in it. Without a lock they lose each other's.
func TestLockBetweenProcesses(t *testing.T) {
	t.Parallel()
	const processes, rounds = 3, 20
	state := os.Getenv("JOURNAL_TEST_STATE")
	if state != "" {
		d := openDir(t, state, nil)
		counter := filepath.Join(state, "counter")
		for range rounds {
			turn, err := d.LockPolicy(t.Context(), "counter", journal.Pace{})
			if err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(counter)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(counter, append(b, '.'), 0o600); err != nil {
				t.Fatal(err)
			}
			turn.End()
		}
		return
	}
	state = t.TempDir()
	if err := os.WriteFile(filepath.Join(state, "counter"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range processes {
		group.Go(func() {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLockBetweenProcesses$")
			cmd.Env = append(os.Environ(), "JOURNAL_TEST_STATE="+state)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	group.Wait()
	b, err := os.ReadFile(filepath.Join(state, "counter"))
	if err != nil || len(b) != processes*rounds {
		t.Errorf("%d of %d additions are there, %v", len(b), processes*rounds, err)
	}
}

// held keeps a journal from being collected, which would close its lock.
var held journal.Journal

// TestTheLockOfADeadProcessIsFree kills a process that has a run's lock.
func TestTheLockOfADeadProcessIsFree(t *testing.T) {
	t.Parallel()
	state := os.Getenv("JOURNAL_TEST_HOLD")
	if state != "" {
		held = create(t, openDir(t, state, nil), opened(1))
		fmt.Println("held")
		<-time.After(time.Hour) // a bare select would be a deadlock, which ends the process
	}
	state = t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestTheLockOfADeadProcessIsFree$")
	cmd.Env = append(os.Environ(), "JOURNAL_TEST_HOLD="+state)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, len("held\n"))
	if _, err := out.Read(line); err != nil || string(line) != "held\n" {
		t.Fatalf("the other process said %q, %v", line, err)
	}
	d := openDir(t, state, nil)
	_, err = d.Open(t.Context(), opened(1).Run, 0)
	if want := fmt.Sprintf("process %d", cmd.Process.Pid); !fault.Is(err, fault.Locked) || !strings.Contains(err.Error(), want) {
		t.Errorf("while it lives: %v, want it to name %s", err, want)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	j, err := d.Open(t.Context(), opened(1).Run, 0)
	if err != nil {
		t.Fatalf("after it was killed: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}

// The first commands of a machine may begin at the same moment.
func TestProbesSideBySide(t *testing.T) {
	for range 50 {
		d, err := journal.OpenDir(filepath.Join(t.TempDir(), "state"), nil)
		if err != nil {
			t.Fatal(err)
		}
		var probes sync.WaitGroup
		for range 8 {
			probes.Go(func() {
				if err := d.Probe(); err != nil {
					t.Error(err)
				}
			})
		}
		probes.Wait()
	}
}

// Whoever gives up just when the lock is had gets the journal or an error, and never neither.
func TestOpenGivenUpWithTheLock(t *testing.T) {
	t.Parallel()
	d := openDir(t, t.TempDir(), nil)
	j := create(t, d, opened(1))
	run := j.Run().ID()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	j, err := d.Open(ctx, run, time.Minute)
	if err == nil {
		if j == nil {
			t.Fatal("there is neither a journal nor an error")
		}
		err = j.Close()
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if j, err = d.Open(t.Context(), run, 0); err != nil {
		t.Fatalf("the lock was kept: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}
