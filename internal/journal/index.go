package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskiam/taskiam/internal/grants"
)

// Summary is what is said of a run to decide whether its journal has to be read.
type Summary struct {
	Run          grants.RunID `json:"run"`
	Task         string       `json:"task"`
	Project      string       `json:"project"`
	ManifestPath string       `json:"manifest,omitempty"`
	DeliveryDir  string       `json:"delivery,omitempty"`
	Job          string       `json:"job,omitempty"`
	State        State        `json:"state"`
	Expires      time.Time    `json:"expires"`
	// ClockAhead and Last are those of [Run].
	ClockAhead time.Duration `json:"clock_ahead,omitempty"`
	Last       time.Time     `json:"last"`
	// Roles are the full names of the custom roles that the run shares.
	Roles []string `json:"roles,omitempty"`
}

// Summary returns what a store says of the run before it reads its journal.
func (r *Run) Summary() Summary {
	o := r.Opened
	s := Summary{
		Run: o.Run, Task: o.Task, Project: o.Project, ManifestPath: o.ManifestPath, DeliveryDir: o.DeliveryDir,
		Job: o.Job, State: r.State(), Expires: r.Expires(), ClockAhead: r.ClockAhead(), Last: r.Last,
	}
	for _, role := range r.Roles {
		s.Roles = append(s.Roles, role.Name)
	}
	return s
}

// Live is [Run.Live].
func (s Summary) Live() bool { return s.State.Live() }

// Expired is [Run.Expired].
func (s Summary) Expired(now time.Time) bool {
	return !now.Before(s.Expires) && !now.Add(s.ClockAhead).Before(s.Expires)
}

// Unread is a journal that cannot be read, and why.
type Unread struct {
	Run grants.RunID
	Err error
}

// The index has a line for each journal of a run that is down: there may be ten thousand of them, and hardly a
// command needs what is in them. It is a cache. A line counts only as long as the file of its journal is what it was
// when it was read, to the inode and the time of its last change; every other journal is read. So an index that is
// missing, torn, out of date or written by two processes at once costs time and nothing else. It is not sealed: whoever
// can write one that lies can remove journals as well.

// indexed is one line of the index.
type indexed struct {
	V int `json:"v"`
	// Stamp is that of the journal when it was read: see [Disk].
	Stamp string `json:"stamp"`
	Summary
}

// indexAfter is how many journals of runs that are down are read each time, before the index is written anew.
const indexAfter = 16

const (
	readAtOnce = 256 // how many runs are looked at before it is told how far that is
	tellFrom   = 128 // how many journals have to be read for that to be told
)

func (d *Dir) index() string { return filepath.Join(d.path, "index") }

// readIndex returns the index by run; what is not understood of it says nothing.
func (d *Dir) readIndex() map[grants.RunID]indexed {
	out := map[grants.RunID]indexed{}
	b, err := d.disk.Read(d.index())
	if err != nil {
		return out
	}
	for line := range bytes.Lines(b) {
		var e indexed
		if json.Unmarshal(line, &e) == nil && e.V == version && !e.Live() {
			out[e.Run] = e
		}
	}
	return out
}

// writeIndex replaces the index by what is known. If that fails, journals are read again.
func (d *Dir) writeIndex() {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for _, run := range slices.Sorted(maps.Keys(d.known)) {
		if enc.Encode(d.known[run]) != nil {
			return
		}
	}
	_ = d.disk.Replace(d.index(), b.Bytes())
}

// Select reads the journals of the runs that are wanted, by what is said of them, and returns them, the oldest first,
// beside those that cannot be read. A journal that the index does not have is read to ask for it.
func (d *Dir) Select(want func(Summary) bool) ([]*Run, []Unread, error) {
	ids, err := d.List()
	if err != nil {
		return nil, nil, err
	}
	d.selecting.Lock()
	defer d.selecting.Unlock()
	if d.known == nil {
		d.known = d.readIndex()
	}
	x := selection{Dir: d, want: want, kept: make(map[grants.RunID]indexed, len(ids))}
	done := 0
	for some := range slices.Chunk(ids, readAtOnce) {
		x.add(some)
		done += len(some)
		if d.Reading != nil && x.missed >= tellFrom {
			d.Reading(done, len(ids))
		}
	}
	d.known = x.kept
	if x.missed >= indexAfter {
		d.writeIndex()
	}
	return x.runs, x.unread, nil
}

// selection is what a Select has found so far.
type selection struct {
	*Dir
	want   func(Summary) bool
	runs   []*Run
	unread []Unread
	kept   map[grants.RunID]indexed
	missed int
}

// looked is what a look at one journal found.
type looked struct {
	stamp string
	gone  bool // it was pruned since it was listed
	known bool // the index has it
	c     contents
	err   error
}

// add looks at some more runs: those that the index does not have are read side by side, then those that are wanted
// of the others.
func (x *selection) add(ids []grants.RunID) {
	all := make([]looked, len(ids))
	sideBySide(len(ids), func(i int) {
		l := &all[i]
		// Before the journal is read: what changes in between makes the line stale, and not wrong.
		var err error
		l.stamp, err = x.disk.Stamp(x.Where(ids[i]))
		l.gone = errors.Is(err, fs.ErrNotExist)
		e, known := x.known[ids[i]]
		if l.known = known && err == nil && e.Stamp == l.stamp; !l.known {
			x.look(ids[i], l)
		}
	})
	var wanted []int
	for i, id := range ids {
		switch l := &all[i]; {
		case l.gone:
		case l.known:
			x.kept[id] = x.known[id]
			if x.want(x.known[id].Summary) {
				wanted = append(wanted, i)
			}
		case l.err != nil:
			x.unread = append(x.unread, Unread{id, l.err})
		default:
			s := l.c.run.Summary()
			if !s.Live() && l.stamp != "" {
				x.kept[id] = indexed{version, l.stamp, s}
				x.missed++
			}
			if !x.want(s) {
				l.c.run = nil
			}
		}
	}
	sideBySide(len(wanted), func(n int) { x.look(ids[wanted[n]], &all[wanted[n]]) })
	for i, id := range ids {
		switch l := all[i]; {
		case l.gone:
		case l.known && l.err != nil:
			x.unread = append(x.unread, Unread{id, l.err})
		case l.c.run != nil:
			x.runs = append(x.runs, l.c.run)
		}
	}
}

// look reads a journal, if it is still there.
func (x *selection) look(id grants.RunID, l *looked) {
	if l.gone {
		return
	}
	l.c, l.err = x.read(id)
	_, err := x.disk.Stamp(x.Where(id))
	l.gone = errors.Is(err, fs.ErrNotExist)
}

// sideBySide does something with each of n things, with as many at a time as there are processors.
func sideBySide(n int, do func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				do(int(i))
			}
		})
	}
	wg.Wait()
}
