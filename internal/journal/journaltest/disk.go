// Package journaltest has a disk for tests that can lose its power and fail.
//
// It keeps to what POSIX promises and to no more: what was written is lost unless the
// file was fsynced, and a file's name is lost unless its folder was. It does not know
// what a journal has in it.
package journaltest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/wait"
)

// ErrPower is the error of every operation from the moment on at which the power went.
var ErrPower = errors.New("no power")

// Op is one operation on a disk, before it is carried out.
type Op struct {
	// N counts the operations from 0.
	N int
	// Name is "mkdir", "create", "append", "read", "list", "remove", "replace", "sync dir",
	// "lock", "write", "sync" or "truncate".
	Name string
	Path string
}

// Disk is a disk in memory. The zero value has a root folder, and is ready for use.
// Its methods may be called from several goroutines.
type Disk struct {
	// Before is asked before each operation that changes something; an error from it
	// is what the operation returns, undone. It may be nil, and must not use the disk.
	Before func(Op) error

	mu      sync.Mutex
	ops     int
	off     bool
	boot    int              // how often the power came back
	names   map[string]*node // as processes see them
	durable map[string]*node // as they are after a loss of power
	locks   map[string]bool
}

var _ journal.Disk = (*Disk)(nil)

// node is a file, or a folder if dir is set.
type node struct {
	dir           bool
	data, durable []byte
	changes       int
}

// format makes the root folder on a disk that has none. The caller has d.mu.
func (d *Disk) format() {
	if d.names == nil {
		d.names = map[string]*node{"/": {dir: true}}
		d.durable = maps.Clone(d.names)
		d.locks = map[string]bool{}
	}
}

// before counts an operation and asks whether it may go on. The caller has d.mu.
func (d *Disk) before(name, path string) error {
	d.format()
	if d.off {
		return &fs.PathError{Op: name, Path: path, Err: ErrPower}
	}
	op := Op{N: d.ops, Name: name, Path: path}
	d.ops++
	if d.Before != nil {
		if err := d.Before(op); err != nil {
			if errors.Is(err, ErrPower) {
				d.off = true
			}
			return &fs.PathError{Op: name, Path: path, Err: err}
		}
	}
	return nil
}

// Ops returns how many operations there were.
func (d *Disk) Ops() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ops
}

// LosePower loses what was not fsynced, frees every lock, makes every open file
// useless, and turns the power on again. Of what was written to a file after its last
// fsync, torn says how many bytes happened to reach the disk all the same; nil is none.
func (d *Disk) LosePower(torn func(path string, unsynced []byte) int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.off = false
	d.boot++
	d.names = maps.Clone(d.durable)
	clear(d.locks)
	for path, n := range d.names {
		keep := 0
		if tail, ok := bytes.CutPrefix(n.data, n.durable); ok && torn != nil {
			keep = torn(path, tail)
		}
		if keep > 0 {
			n.durable = slices.Clone(n.data[:len(n.durable)+keep])
		}
		n.data = slices.Clone(n.durable)
		n.changes++
	}
}

// Crash ends every process that uses the disk, as SIGKILL would: locks are free and open
// files useless, but all that was written stays. It also turns the power on again.
func (d *Disk) Crash() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.format()
	d.off = false
	d.boot++
	clear(d.locks)
}

// Put sets what is in a file, durably, whatever was there: for tests that damage it.
func (d *Disk) Put(path string, data []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.format()
	n := &node{data: slices.Clone(data), durable: slices.Clone(data)}
	d.names[path], d.durable[path] = n, n
}

// Mkdir makes a folder.
func (d *Disk) Mkdir(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.before("mkdir", dir); err != nil {
		return err
	}
	return d.add("mkdir", dir, &node{dir: true})
}

func (d *Disk) add(op, path string, n *node) error {
	if d.names[path] != nil {
		return &fs.PathError{Op: op, Path: path, Err: fs.ErrExist}
	}
	if parent := d.names[filepath.Dir(path)]; parent == nil || !parent.dir {
		return &fs.PathError{Op: op, Path: path, Err: fs.ErrNotExist}
	}
	d.names[path] = n
	return nil
}

// CheckDir returns an error if dir is not a folder.
func (d *Disk) CheckDir(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := d.names[dir]; n == nil || !n.dir {
		return &fs.PathError{Op: "check", Path: dir, Err: fs.ErrNotExist}
	}
	return nil
}

// Create makes a file.
func (d *Disk) Create(path string) (journal.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.before("create", path); err != nil {
		return nil, err
	}
	n := &node{}
	if err := d.add("create", path, n); err != nil {
		return nil, err
	}
	return &file{d, path, n, d.boot}, nil
}

// Append opens a file.
func (d *Disk) Append(path string) (journal.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.file("append", path)
	if err != nil {
		return nil, err
	}
	return &file{d, path, n, d.boot}, nil
}

// file finds a file for an operation that changes nothing.
func (d *Disk) file(op, path string) (*node, error) {
	err := ErrPower
	if !d.off {
		n := d.names[path]
		if n != nil && !n.dir {
			return n, nil
		}
		err = fs.ErrNotExist
	}
	return nil, &fs.PathError{Op: op, Path: path, Err: err}
}

// Read returns what is in a file.
func (d *Disk) Read(path string) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.file("read", path)
	if err != nil {
		return nil, err
	}
	return slices.Clone(n.data), nil
}

// Stamp tells the file from every other, and from what it was before it was written to.
func (d *Disk) Stamp(path string) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.file("stamp", path)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%p %d", n, n.changes), nil
}

// Replace sets what is in a file, and makes it if it is missing. The name is not durable before SyncDir.
func (d *Disk) Replace(path string, data []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.before("replace", path); err != nil {
		return err
	}
	delete(d.names, path)
	return d.add("replace", path, &node{data: slices.Clone(data), durable: slices.Clone(data)})
}

// List returns the names in a folder.
func (d *Disk) List(dir string) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.off {
		return nil, &fs.PathError{Op: "list", Path: dir, Err: ErrPower}
	}
	if n := d.names[dir]; n == nil || !n.dir {
		return nil, &fs.PathError{Op: "list", Path: dir, Err: fs.ErrNotExist}
	}
	var names []string
	for path := range d.names {
		if filepath.Dir(path) == dir && path != dir {
			names = append(names, filepath.Base(path))
		}
	}
	slices.Sort(names)
	return names, nil
}

// Remove takes a file away.
func (d *Disk) Remove(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.before("remove", path); err != nil {
		return err
	}
	if d.names[path] == nil {
		return &fs.PathError{Op: "remove", Path: path, Err: fs.ErrNotExist}
	}
	delete(d.names, path)
	return nil
}

// SyncDir makes the names in a folder durable, and nothing that is in the files.
func (d *Disk) SyncDir(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.before("sync dir", dir); err != nil {
		return err
	}
	for path := range d.durable {
		if filepath.Dir(path) == dir && d.names[path] == nil {
			delete(d.durable, path)
		}
	}
	for path, n := range d.names {
		if filepath.Dir(path) == dir {
			d.durable[path] = n
		}
	}
	return nil
}

// OpenLock opens a lock, which LosePower frees.
func (d *Disk) OpenLock(path string) (journal.Lock, error) { return &lock{disk: d, path: path}, nil }

type lock struct {
	disk  *Disk
	path  string
	taken bool
	boot  int
}

func (l *lock) Try() (bool, error) {
	d := l.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.before("lock", l.path); err != nil || d.locks[l.path] {
		return false, err
	}
	d.locks[l.path] = true
	l.taken, l.boot = true, d.boot
	return true, nil
}

// Take asks again and again, so that a test in virtual time can wait.
func (l *lock) Take(ctx context.Context) error {
	for {
		taken, err := l.Try()
		if err == nil && !taken {
			err = wait.For(ctx, askAgain)
		}
		if taken || err != nil {
			return err
		}
	}
}

// askAgain is how long a wait for a lock pauses before it asks again.
const askAgain = 50 * time.Millisecond

func (l *lock) Holder() int { return os.Getpid() }

func (l *lock) Close() error {
	d := l.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if l.taken && d.boot == l.boot {
		delete(d.locks, l.path)
	}
	l.taken = false
	return nil
}

// Locked returns the locks that are held, sorted.
func (d *Disk) Locked() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.locks))
}

// String draws the disk: every file with what is in it and how much of that is durable.
func (d *Disk) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var b strings.Builder
	for _, path := range slices.Sorted(maps.Keys(d.names)) {
		if n := d.names[path]; !n.dir {
			fmt.Fprintf(&b, "%s (%d of %d bytes durable, name durable: %t)\n%s\n",
				path, len(n.durable), len(n.data), d.durable[path] == n, n.data)
		}
	}
	return b.String()
}

// file is an open file. It is of no use after the power was lost.
type file struct {
	disk *Disk
	path string
	node *node
	boot int
}

func (f *file) do(name string, change func()) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.boot != f.disk.boot {
		return &fs.PathError{Op: name, Path: f.path, Err: ErrPower}
	}
	if err := f.disk.before(name, f.path); err != nil {
		return err
	}
	change()
	return nil
}

// Write appends b, for the time being.
func (f *file) Write(b []byte) (int, error) {
	if err := f.do("write", func() {
		f.node.data, f.node.changes = append(f.node.data, b...), f.node.changes+1
	}); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Sync makes what was written durable.
func (f *file) Sync() error {
	return f.do("sync", func() { f.node.durable = slices.Clone(f.node.data) })
}

// Truncate cuts the file, for the time being.
func (f *file) Truncate(size int64) error {
	return f.do("truncate", func() {
		f.node.data, f.node.changes = f.node.data[:min(int(size), len(f.node.data))], f.node.changes+1
	})
}

// Close changes nothing.
func (f *file) Close() error { return nil }
