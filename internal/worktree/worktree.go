// Package worktree says what a command has left in its work tree that may run later on the person's machine: git hooks,
// settings that name programs, package scripts, an editor's tasks, an agent's settings.
//
// It looks before the command and after it, and compares. Its invariants: nothing of the tree is run, no program is
// started in the tree or given a path in it, and no link is followed out of it. How much is looked at is bounded, and
// where that was too little, the result says so: the command chose what there is to look at.
//
// Source code is not in the list, although whoever builds or tests the tree runs it: that is what the task was for, and
// git shows it.
package worktree

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// Kind is how a file may come to be run.
type Kind string

// The kinds, in the order in which they are told: what runs unasked comes first.
const (
	Hook     Kind = "git hook"
	Git      Kind = "git settings"
	Shell    Kind = "shell"
	Editor   Kind = "editor"
	Agent    Kind = "agent"
	Start    Kind = "start-up"
	Program  Kind = "program"
	Package  Kind = "package"
	Build    Kind = "build"
	CI       Kind = "CI"
	Manifest Kind = "manifest"
)

var order = []Kind{Hook, Git, Shell, Editor, Agent, Start, Program, Package, Build, CI, Manifest}

// State is what became of a file.
type State string

// The states. That a file is gone is told where it may have forbidden something: of hooks and of settings.
const (
	New     State = "new"
	Changed State = "changed"
	Removed State = "removed"
)

// Change is one file that may run later and is not as it was.
type Change struct {
	Kind  Kind
	State State
	// Path is relative to the tree, or the tree's own if that is a file.
	Path string
	// What is in it that is new, where that is known: the names of settings, of scripts.
	What []string
}

// Result is what was found in one tree.
type Result struct {
	Tree    string // absolute
	Changes []Change
	// Unread are folders and files that could not be looked at, because the command has closed them.
	Unread []string
	// Cut means that there was more than could be looked at.
	Cut bool
}

// Snapshot is what a tree had before the command.
type Snapshot struct {
	tree string
	scan scan
	from time.Time
	done chan struct{}
}

// The time that may be spent before a command; what was not reached is judged by its time.
const before = 20 * time.Second

// clockMargin is more than the clock of a file system may be behind.
const clockMargin = 2 * time.Second

// Take begins to look at a tree, a folder or a file, and does so beside what the caller does. The path is absolute and
// has no links in it.
func Take(ctx context.Context, tree string, now time.Time) *Snapshot {
	s := &Snapshot{tree: tree, from: now.Add(-clockMargin), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		ctx, cancel := context.WithTimeout(ctx, before)
		defer cancel()
		s.scan = look(ctx, tree)
	}()
	return s
}

// Wait returns when the look before the command is over.
func (s *Snapshot) Wait() { <-s.done }

// Compare looks again and returns what is not as it was. Call it after the end of the command, so that nothing moves
// any more. It ends with ctx.
func (s *Snapshot) Compare(ctx context.Context) Result {
	s.Wait()
	now := look(ctx, s.tree)
	r := Result{Tree: s.tree, Unread: now.unread, Cut: now.cut}
	for path, f := range now.files {
		was, there := s.scan.files[path]
		switch {
		case there && f.same(was), !there && s.scan.cut && f.changed.Before(s.from):
			continue
		}
		if c, tell := f.compare(was, there); tell {
			c.Path = path
			r.Changes = append(r.Changes, c)
		}
	}
	for path, was := range s.scan.files {
		if _, there := now.files[path]; !there && !now.cut && was.forbids() {
			r.Changes = append(r.Changes, Change{Kind: was.kind, State: Removed, Path: path})
		}
	}
	slices.SortFunc(r.Changes, func(a, b Change) int {
		return cmp.Or(
			cmp.Compare(slices.Index(order, a.Kind), slices.Index(order, b.Kind)), cmp.Compare(a.Path, b.Path))
	})
	return r
}
