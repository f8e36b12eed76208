package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
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
// missing, torn, out of date or written by two processes at once costs time and nothing else.

// indexed is one line of the index.
type indexed struct {
	V int `json:"v"`
	// Stamp is that of the journal when it was read: see [Disk].
	Stamp string `json:"stamp"`
	Summary
}

// indexAfter is how many journals of runs that are down are read each time, before the index is written anew.
const indexAfter = 16

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
	var runs []*Run
	var unread []Unread
	kept := make(map[grants.RunID]indexed, len(ids))
	missed := 0
	for _, id := range ids {
		// Before the journal is read: what changes in between makes the line stale, and not wrong.
		stamp, err := d.disk.Stamp(d.Where(id))
		if errors.Is(err, fs.ErrNotExist) {
			continue // pruned since it was listed
		}
		e, known := d.known[id]
		known = known && err == nil && e.Stamp == stamp
		if known {
			kept[id] = e
			if !want(e.Summary) {
				continue
			}
		}
		c, err := d.read(id)
		if _, gone := d.disk.Stamp(d.Where(id)); errors.Is(gone, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			unread = append(unread, Unread{id, err})
			continue
		}
		s := c.run.Summary()
		if !known && !s.Live() && stamp != "" {
			kept[id] = indexed{version, stamp, s}
			missed++
		}
		if known || want(s) {
			runs = append(runs, c.run)
		}
	}
	d.known = kept
	if missed >= indexAfter {
		d.writeIndex()
	}
	return runs, unread, nil
}
