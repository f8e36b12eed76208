package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
)

const fileSuffix = ".jsonl"

// Dir is the state folder: runs/ has a journal for every run, locks/ the files that
// processes lock to keep out of each other's way. Both are made when first needed,
// with mode 0700. The file index says which journals need not be read; it can be
// deleted. Its methods may be called from several goroutines.
type Dir struct {
	// Now stamps the records; nil means [time.Now].
	Now func() time.Time
	// Reading is told how far [Dir.Select] is where it has many journals to read, as after an upgrade: that so many of
	// all runs were looked at, at last all. Nil is nobody.
	Reading func(done, all int)

	path string
	disk Disk

	mu     sync.Mutex // guards queues; held for a map access only
	queues map[string]chan struct{}

	selecting sync.Mutex // guards known
	known     map[grants.RunID]indexed
}

// OpenDir returns the state folder at path, which need not exist yet. A nil disk is
// the real one.
func OpenDir(path string, disk Disk) (*Dir, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("finding state folder %s: %w", path, err)
	}
	if disk == nil {
		disk = realDisk{}
	}
	return &Dir{path: abs, disk: disk, queues: map[string]chan struct{}{}}, nil
}

// Path returns the folder's absolute path.
func (d *Dir) Path() string { return d.path }

func (d *Dir) runs() string  { return filepath.Join(d.path, "runs") }
func (d *Dir) locks() string { return filepath.Join(d.path, "locks") }

// Where returns the name of the file that has or would have the run's journal.
func (d *Dir) Where(run grants.RunID) string {
	return filepath.Join(d.runs(), string(run)+fileSuffix)
}

func (d *Dir) clock() func() time.Time {
	if d.Now != nil {
		return d.Now
	}
	return time.Now
}

// Create begins the journal of a new run, with what is announced from the start, and
// takes the run's lock. When it returns, the journal is durable: its file, the records
// in it, and the folder that names it.
func (d *Dir) Create(open Opened, announced ...Record) (Journal, error) {
	if _, err := grants.ParseRunID(string(open.Run)); err != nil {
		return nil, fmt.Errorf("creating a journal: %w", err)
	}
	path := d.Where(open.Run)
	at := stamp(d.clock()())
	var run *Run
	var lines []byte
	for _, r := range append([]Record{open}, announced...) {
		line, e, err := encode(at, r)
		if err == nil {
			run, err = extend(run, e)
		}
		if err != nil {
			return nil, fmt.Errorf("creating journal %s: %w", path, err)
		}
		lines = append(lines, line...)
	}
	unlock, err := d.lockRun(context.Background(), open.Run, 0)
	if err != nil {
		return nil, unwritable(err)
	}
	file, err := d.create(path, lines)
	if err != nil {
		return nil, unwritable(errors.Join(fmt.Errorf("creating journal %s: %w", path, err), unlock()))
	}
	return &openFile{
		path:   path,
		file:   file,
		now:    d.clock(),
		unlock: unlock,
		turn:   make(chan struct{}, 1),
		run:    run,
	}, nil
}

// Probe returns why a journal could not be begun and written now: the state folder is
// not writable, or its disk is full. It leaves an empty file among the locks.
func (d *Dir) Probe() error {
	err := d.probe(filepath.Join(d.locks(), "probe"))
	if err != nil {
		return unwritable(fmt.Errorf("trying to write to %s: %w", d.path, err))
	}
	return nil
}

func (d *Dir) probe(path string) error {
	for _, dir := range []string{d.runs(), d.locks()} {
		if err := d.mkdirs(dir); err != nil {
			return err
		}
	}
	file, err := d.openOrCreate(path)
	if err != nil {
		return err
	}
	// As much as the journal of a run takes; a disk that is full may tell only of the fsync.
	err = write(file, make([]byte, 16<<10))
	return errors.Join(err, file.Truncate(0), file.Close())
}

// openOrCreate opens a file that several processes share, for appending, and makes it if it is
// missing. Another process can make it in between.
func (d *Dir) openOrCreate(path string) (File, error) {
	file, err := d.disk.Append(path)
	if errors.Is(err, fs.ErrNotExist) {
		file, err = d.disk.Create(path)
	}
	if errors.Is(err, fs.ErrExist) {
		file, err = d.disk.Append(path)
	}
	return file, err
}

// unwritable says what to do about a run that stops because it cannot be recorded.
func unwritable(err error) error {
	if fault.Is(err, fault.Locked) {
		return err
	}
	return fault.WithHint(err,
		"nothing was called; give taskiam a state folder that it can write: export XDG_STATE_HOME=DIR")
}

// create makes a new file with lines in it, durably.
func (d *Dir) create(path string, lines []byte) (File, error) {
	if err := d.mkdirs(d.runs()); err != nil {
		return nil, err
	}
	file, err := d.disk.Create(path)
	if err != nil {
		return nil, err
	}
	err = write(file, lines)
	if err == nil {
		// The file's name is in the folder, and the folder is fsynced apart from it.
		err = d.disk.SyncDir(filepath.Dir(path))
	}
	if err != nil {
		// Nothing was announced yet, so nothing needs this file; one that cannot be
		// removed either is read as a run that ended before its first call.
		return nil, errors.Join(err, file.Close(), d.disk.Remove(path))
	}
	return file, nil
}

// mkdirs makes one of the two folders, and the state folder around it.
func (d *Dir) mkdirs(dir string) error {
	if err := d.mkdir(d.path); err != nil {
		return err
	}
	return d.mkdir(dir)
}

// mkdir makes the folder and its parents, each durable in its own parent.
func (d *Dir) mkdir(dir string) error {
	err := d.disk.Mkdir(dir)
	switch {
	case err == nil:
		return d.disk.SyncDir(filepath.Dir(dir))
	case errors.Is(err, fs.ErrExist):
		return d.disk.CheckDir(dir)
	case errors.Is(err, fs.ErrNotExist):
		if err := d.mkdir(filepath.Dir(dir)); err != nil {
			return err
		}
		return d.mkdir(dir)
	}
	return err
}

// Open takes the run's lock and reads its journal, to go on with it. If another
// process has the lock, Open waits for it as long as wait says, and then returns a
// [fault.Locked] that names the process. A run that was never opened is a
// [fault.NotFound].
func (d *Dir) Open(ctx context.Context, run grants.RunID, wait time.Duration) (Journal, error) {
	c, err := d.read(run) // before a lock file is made for it
	if err != nil {
		return nil, err
	}
	unlock, err := d.lockRun(ctx, run, wait)
	if fault.Is(err, fault.Locked) || err != nil && ctx.Err() != nil {
		return nil, err
	}
	if err != nil {
		return nil, fault.WithHint(err, byAccount(c.run.Opened))
	}
	j, err := d.open(run)
	if err != nil {
		return nil, fault.WithHint(errors.Join(err, unlock()), byAccount(c.run.Opened))
	}
	j.unlock = unlock
	return j, nil
}

func (d *Dir) open(run grants.RunID) (*openFile, error) {
	c, err := d.read(run)
	if err != nil {
		return nil, err
	}
	path := d.Where(run)
	file, err := d.disk.Append(path)
	if err != nil {
		return nil, fmt.Errorf("opening journal %s: %w", path, err)
	}
	if c.whole < c.size {
		// What is appended must not continue a torn line.
		if err = file.Truncate(c.whole); err == nil {
			err = file.Sync()
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening journal %s: %w", path, err), file.Close())
	}
	return &openFile{
		path: path,
		file: file,
		now:  d.clock(),
		turn: make(chan struct{}, 1),
		run:  c.run,
	}, nil
}

// Read returns what the run's journal says now. It takes no lock: the run may be at
// work. A run that was never opened is a [fault.NotFound].
func (d *Dir) Read(run grants.RunID) (*Run, error) {
	c, err := d.read(run)
	return c.run, err
}

// contents is what a journal's file has in it: a run, in the first whole of its size bytes.
type contents struct {
	run         *Run
	whole, size int64
}

func (d *Dir) read(run grants.RunID) (contents, error) {
	if _, err := grants.ParseRunID(string(run)); err != nil {
		return contents{}, fault.New(fault.Usage, "reading a journal: %w", err)
	}
	path := d.Where(run)
	b, err := d.disk.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return contents{}, fault.WithHint(fault.New(fault.NotFound, "run %s has no journal in %s", run, d.runs()),
			"taskiam status")
	}
	if err != nil {
		return contents{}, fmt.Errorf("reading journal %s: %w", path, err)
	}
	r, whole, err := replay(path, b)
	if err != nil {
		return contents{}, err
	}
	if r.Opened.Run != run {
		return contents{}, fault.WithHint(
			fmt.Errorf("reading journal %s, line 1: it is the journal of run %s", path, r.Opened.Run),
			"a journal that was copied or renamed is not used; give it its own name again")
	}
	return contents{run: r, whole: int64(whole), size: int64(len(b))}, nil
}

// List returns the runs that have a journal, the oldest first.
func (d *Dir) List() ([]grants.RunID, error) {
	names, err := d.disk.List(d.runs())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing runs: %w", err)
	}
	var out []grants.RunID
	for _, name := range names {
		base, ok := strings.CutSuffix(name, fileSuffix)
		if !ok {
			continue
		}
		if run, err := grants.ParseRunID(base); err == nil {
			out = append(out, run)
		}
	}
	slices.Sort(out) // ids sort by time
	return out, nil
}
