package journal_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/journal/journaltest"
)

// countingDisk counts how often a journal is read.
type countingDisk struct {
	journal.Disk
	reads atomic.Int64
}

func (d *countingDisk) Read(path string) ([]byte, error) {
	if strings.HasSuffix(path, ".jsonl") {
		d.reads.Add(1)
	}
	return d.Disk.Read(path)
}

const manyEnded = 40

// endedRuns writes the journals of runs that are down, and of one that is not, which comes last.
func endedRuns(t *testing.T, d *journal.Dir) []grants.RunID {
	t.Helper()
	var ids []grants.RunID
	for n := range byte(manyEnded + 1) {
		j := create(t, d, opened(n))
		if n < manyEnded {
			appendAll(t, j, journal.DownBegan{}, journal.Closed{})
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, opened(n).Run)
	}
	return ids
}

// selected is what another process is told: the runs that are wanted, those that cannot be read, and how many journals
// it read for that.
func selected(t *testing.T, path string, want func(journal.Summary) bool) (runs, unread []grants.RunID, reads int) {
	t.Helper()
	disk := &countingDisk{Disk: journal.RealDisk}
	found, bad, err := openDir(t, path, disk).Select(want)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range found {
		runs = append(runs, r.ID())
	}
	for _, u := range bad {
		unread = append(unread, u.Run)
	}
	return runs, unread, int(disk.reads.Load())
}

func all(journal.Summary) bool  { return true }
func none(journal.Summary) bool { return false }

// TestEndedJournalsAreNotRead: what a command costs must not grow with the runs that are down. A state folder from
// before there was an index is one without it.
func TestEndedJournalsAreNotRead(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	ids := endedRuns(t, openDir(t, path, nil))
	up := ids[manyEnded:]
	for i, want := range []int{manyEnded + 1, 1, 1} {
		runs, unread, reads := selected(t, path, journal.Summary.Live)
		if !slices.Equal(runs, up) || unread != nil || reads != want {
			t.Errorf("time %d: up are %v, unread %v, after %d reads, want %d", i+1, runs, unread, reads, want)
		}
	}
	runs, _, reads := selected(t, path, func(s journal.Summary) bool { return s.Run == ids[3] })
	if !slices.Equal(runs, ids[3:4]) || reads != 2 {
		t.Errorf("one that is down: %v after %d reads", runs, reads)
	}
	if runs, _, _ = selected(t, path, all); !slices.Equal(runs, ids) {
		t.Errorf("all: %v", runs)
	}

	// A run is down that was not, and gone on with that was down.
	d := openDir(t, path, nil)
	for i, r := range map[int][]journal.Record{manyEnded: {journal.DownBegan{}, journal.Closed{}}, 5: {journal.DownBegan{}}} {
		j, err := d.Open(t.Context(), ids[i], 0)
		if err != nil {
			t.Fatal(err)
		}
		appendAll(t, j, r...)
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if runs, _, reads := selected(t, path, journal.Summary.Live); !slices.Equal(runs, ids[5:6]) || reads != 2 {
		t.Errorf("up are %v after %d reads, want %v", runs, reads, ids[5])
	}
}

// TestSummaryIsWhatTheRunSays compares what the index says with what a journal does.
func TestSummaryIsWhatTheRunSays(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	endedRuns(t, openDir(t, path, nil))
	ask := func() (out []journal.Summary) {
		selected(t, path, func(s journal.Summary) bool {
			out = append(out, s)
			return false
		})
		return out
	}
	read, kept := ask(), ask()
	if fmt.Sprint(read) != fmt.Sprint(kept) || len(kept) != manyEnded+1 {
		t.Errorf("the journals say\n%v\nthe index\n%v", read, kept)
	}
}

// TestChangedJournalIsReadAgain: the journal of a run that is down is as good as any other, also after somebody has
// changed it and covered that up.
func TestChangedJournalIsReadAgain(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	d := openDir(t, path, nil)
	ids := endedRuns(t, d)
	selected(t, path, none)
	victim := d.Where(ids[7])
	info, err := os.Stat(victim)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(victim)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		what   string
		change func() error
		unread []grants.RunID
	}{
		{"garbage at its end", func() error { return os.WriteFile(victim, append(slices.Clone(text), "x\n"...), 0o600) }, ids[7:8]},
		{"the same length, and the old times", func() error {
			b := bytes.Replace(text, []byte(`"kind":"closed"`), []byte(`"kind":"kloset"`), 1)
			return os.WriteFile(victim, b, 0o600)
		}, ids[7:8]},
		{"another file in its place", func() error {
			return errors.Join(os.WriteFile(victim+".new", text[:len(text)-2], 0o600), os.Rename(victim+".new", victim))
		}, nil}, // what is cut off was never written
		{"as it was", func() error { return os.WriteFile(victim, text, 0o600) }, nil},
		{"a link", func() error { return errors.Join(os.Rename(victim, victim+".bak"), os.Symlink(victim+".bak", victim)) }, ids[7:8]},
		{"nothing", func() error { return os.Remove(victim) }, nil},
	} {
		if err := tt.change(); err != nil {
			t.Fatal(err)
		}
		_ = os.Chtimes(victim, info.ModTime(), info.ModTime())
		if _, unread, reads := selected(t, path, none); !slices.Equal(unread, tt.unread) || reads > 2 {
			t.Errorf("%s: unread are %v, want %v, after %d reads", tt.what, unread, tt.unread, reads)
		}
	}
}

// TestIndexIsOnlyACache: whatever happens to the index, the answers are those of the journals.
func TestIndexIsOnlyACache(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	d := openDir(t, path, nil)
	ids := endedRuns(t, d)
	selected(t, path, none)
	index := filepath.Join(path, "index")
	whole, err := os.ReadFile(index)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(whole, []byte("\n"))
	for what, text := range map[string][]byte{
		"empty": nil, "torn": whole[:len(whole)/2], "blocks that were not written": make([]byte, 4096),
		"not text":                []byte("\xff\xfe{}\n"),
		"of other journals":       bytes.ReplaceAll(whole, []byte(ids[0]), []byte(ids[manyEnded])),
		"one line of each twice":  bytes.Join(append(lines, lines...), nil),
		"says that they are up":   bytes.ReplaceAll(whole, []byte(`"state":"down"`), []byte(`"state":"up"`)),
		"of a later version":      bytes.ReplaceAll(whole, []byte(`{"v":1,`), []byte(`{"v":2,`)),
		"of another state folder": bytes.ReplaceAll(whole, []byte(`"stamp":"`), []byte(`"stamp":"1`)),
	} {
		if err := os.WriteFile(index, text, 0o600); err != nil {
			t.Fatal(err)
		}
		runs, unread, _ := selected(t, path, journal.Summary.Live)
		if !slices.Equal(runs, ids[manyEnded:]) || unread != nil {
			t.Errorf("%s: up are %v, unread %v", what, runs, unread)
		}
	}
	if err := os.Remove(index); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(index, 0o700); err != nil { // it can be neither read nor written
		t.Fatal(err)
	}
	if runs, _, _ := selected(t, path, journal.Summary.Live); !slices.Equal(runs, ids[manyEnded:]) {
		t.Errorf("without an index: up are %v", runs)
	}
}

// TestIndexInARace has several processes at once take runs down and write the index, while journals are pruned.
func TestIndexInARace(t *testing.T) {
	t.Parallel()
	disk := &journaltest.Disk{}
	old := openDir(t, "/state", disk)
	ids := endedRuns(t, old)
	var wg sync.WaitGroup
	for p := range 4 {
		wg.Go(func() {
			d := openDir(t, "/state", disk)
			for n := range byte(20) {
				o := opened(100 + byte(p)*20 + n)
				j, err := d.Create(o)
				if err == nil {
					err = errors.Join(j.Append(journal.DownBegan{}, journal.Closed{}), j.Close())
				}
				if err != nil {
					t.Error(err)
				}
				runs, unread, err := openDir(t, "/state", disk).Select(journal.Summary.Live)
				unread = slices.DeleteFunc(unread, func(u journal.Unread) bool { return fault.Is(u.Err, fault.NotFound) })
				if err != nil || len(unread) > 0 { // but for one that was begun, and has no record yet
					t.Errorf("in a race: unread %v, %v", unread, err)
				}
				if !slices.ContainsFunc(runs, func(r *journal.Run) bool { return r.ID() == ids[manyEnded] }) {
					t.Error("in a race: the run that is up is not found")
				}
			}
		})
	}
	wg.Go(func() {
		if err := old.Prune(began.Add(time.Second)); err != nil {
			t.Error(err)
		}
	})
	wg.Wait()
	disk.LosePower(nil)
	if runs, _, err := openDir(t, "/state", disk).Select(journal.Summary.Live); err != nil || len(runs) != 1 {
		t.Errorf("after it: %d are up, %v", len(runs), err)
	}
}

// BenchmarkSelect asks for the runs that are up, as another process, beside few and many that are down.
func BenchmarkSelect(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			path := b.TempDir()
			d, err := journal.OpenDir(path, nil)
			if err != nil {
				b.Fatal(err)
			}
			text := ""
			for i := range n {
				o := opened(0)
				o.Run = grants.NewRunID(began, [5]byte{1, 2, byte(i >> 16), byte(i >> 8), byte(i)})
				if text == "" {
					j, err := d.Create(o)
					if err == nil {
						err = errors.Join(j.Append(journal.DownBegan{}, journal.Closed{}), j.Close())
					}
					whole, readErr := os.ReadFile(d.Where(o.Run))
					if err = errors.Join(err, readErr); err != nil {
						b.Fatal(err)
					}
					text = strings.ReplaceAll(string(whole), string(o.Run), "RUN")
				}
				err := os.WriteFile(d.Where(o.Run), []byte(strings.ReplaceAll(text, "RUN", string(o.Run))), 0o600)
				if err != nil {
					b.Fatal(err)
				}
			}
			if _, _, err := d.Select(none); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				other, err := journal.OpenDir(path, nil)
				if err != nil {
					b.Fatal(err)
				}
				if runs, unread, err := other.Select(journal.Summary.Live); err != nil || len(runs)+len(unread) > 0 {
					b.Fatal(len(runs), unread, err)
				}
			}
		})
	}
}

// A state folder from before there was an index is read with a word of how far that is; with an index there is nothing
// to tell.
func TestReadingManyJournalsIsTold(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	d := openDir(t, path, nil)
	const many = 700
	text := ""
	for i := range many {
		o := opened(0)
		o.Run = grants.NewRunID(began, [5]byte{1, 2, 3, byte(i >> 8), byte(i)})
		if text == "" {
			j := create(t, d, o)
			appendAll(t, j, journal.DownBegan{}, journal.Closed{})
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			whole, err := os.ReadFile(d.Where(o.Run))
			if err != nil {
				t.Fatal(err)
			}
			text = strings.ReplaceAll(string(whole), string(o.Run), "RUN")
		}
		if err := os.WriteFile(d.Where(o.Run), []byte(strings.ReplaceAll(text, "RUN", string(o.Run))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range [][]int{{256, 512, many}, nil} {
		var told []int
		d := openDir(t, path, nil)
		d.Reading = func(done, all int) {
			if told = append(told, done); all != many {
				t.Errorf("it is told of %d journals", all)
			}
		}
		if runs, unread, err := d.Select(all); err != nil || len(runs) != many || len(unread) > 0 ||
			!slices.IsSortedFunc(runs, func(a, b *journal.Run) int { return strings.Compare(string(a.ID()), string(b.ID())) }) {
			t.Errorf("time %d: %d runs, %d unread, %v", i+1, len(runs), len(unread), err)
		}
		if !slices.Equal(told, want) {
			t.Errorf("time %d: it told %v, want %v", i+1, told, want)
		}
	}
}
