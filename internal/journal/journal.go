// Package journal keeps the durable record of one run: what is about to be done,
// before it is done, and what came of it, after.
//
// When [Journal.Append] returns without an error, its records are there after the power
// was lost. So whatever a run may have done to the cloud or to this machine can be read
// from its journal alone, and [Run] is that reading.
//
// Where journals are kept is a [Store]. The one of this package is a folder, [Dir]: each
// journal is a file of JSON lines, one [Record] a line, that is only ever appended to.
//
// The package does not know what a manifest, a cloud or a credential is, and it
// cannot hold a secret: no record has a field for one, and what looks like one in
// free text is struck out before it is written.
package journal

import (
	"bytes"
	"fmt"
	"sync"
	"time"
)

// openFile is the open, locked journal of one run in a folder.
type openFile struct {
	path   string
	file   File
	now    func() time.Time
	unlock func() error

	// turn holds one token: who has it writes for everybody who queued meanwhile,
	// so that records appended side by side share one fsync.
	turn chan struct{}

	mu    sync.Mutex // guards what follows; never held across a write
	queue []*commit
	run   *Run
	fault error // the first failure to write; final
}

// commit is the records of one Append on their way to the disk.
type commit struct {
	entries []entry
	lines   []byte
	done    bool
	err     error
}

// Append writes the records, in order and each on a line of its own, and returns
// when they are durable. Records appended by several goroutines at once share one
// fsync.
//
// An error means that the records may or may not be there. It is final: after a
// failed write or fsync the state of the file is unknown, so every later Append
// returns the same error, and what it was to announce must not be done.
func (j *openFile) Append(records ...Record) error {
	c := &commit{}
	at := stamp(j.now())
	for _, r := range records {
		line, e, err := encode(at, r)
		if err != nil {
			return fmt.Errorf("encoding a record for journal %s: %w", j.path, err)
		}
		c.entries = append(c.entries, e)
		c.lines = append(c.lines, line...)
	}
	j.mu.Lock()
	for _, e := range c.entries {
		if err := j.run.accepts(e.record); err != nil {
			j.mu.Unlock()
			return fmt.Errorf("appending to journal %s: %w", j.path, err)
		}
	}
	j.queue = append(j.queue, c)
	j.mu.Unlock()

	j.turn <- struct{}{}
	defer func() { <-j.turn }()
	if !c.done { // else somebody before us wrote it along with theirs
		j.flush()
	}
	return c.err
}

// flush writes whatever is queued. The caller has the turn.
func (j *openFile) flush() {
	j.mu.Lock()
	batch, err := j.queue, j.fault
	j.queue = nil
	j.mu.Unlock()

	if err == nil {
		var b bytes.Buffer
		for _, c := range batch {
			b.Write(c.lines)
		}
		if err = write(j.file, b.Bytes()); err != nil {
			err = fmt.Errorf("writing journal %s: %w", j.path, err)
		}
	}

	j.mu.Lock()
	defer j.mu.Unlock()
	j.fault = err
	for _, c := range batch {
		c.done, c.err = true, err
		if err == nil {
			for _, e := range c.entries {
				j.run.add(e)
			}
		}
	}
}

// write puts b at the end of f, for good.
func write(f File, b []byte) error {
	if _, err := f.Write(b); err != nil {
		return err
	}
	return f.Sync()
}

// Run returns what the journal says so far: a copy, which later records do not change.
func (j *openFile) Run() *Run {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.run.clone()
}

// Close gives the file and the run's lock back. The journal cannot be appended to
// after it.
func (j *openFile) Close() error {
	j.turn <- struct{}{}
	defer func() { <-j.turn }()
	j.mu.Lock()
	if j.fault == errClosed {
		j.mu.Unlock()
		return nil
	}
	j.fault = errClosed
	j.mu.Unlock()
	err := j.file.Close()
	if unlockErr := j.unlock(); err == nil {
		err = unlockErr
	}
	if err != nil {
		return fmt.Errorf("closing journal %s: %w", j.path, err)
	}
	return nil
}
