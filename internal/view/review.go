package view

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/taskiam/taskiam/internal/worktree"
)

// How much is told of each kind, and of each file: the command chose how much there is.
const (
	maxOfAKind = 12
	maxNames   = 6
)

// Review is what a command has left that may run later.
type Review struct {
	work  string // the work tree
	trees []worktree.Result
}

// NewReview returns what to say of the trees that a command could change.
func NewReview(work string, trees []worktree.Result) Review { return Review{work, trees} }

// Say tells a person what to look at; nothing if there is nothing.
func (v Review) Say(to *Stream) {
	var r Report
	for _, tree := range v.trees {
		where, other := "the work tree", tree.Tree != v.work
		if other {
			where = tree.Tree
		}
		if len(tree.Changes) > 0 {
			r.Line("what the command changed in %s and may run later, outside of the sandbox: look at it first", where)
		}
		of := map[worktree.Kind]int{}
		for _, c := range tree.Changes {
			if of[c.Kind]++; of[c.Kind] <= maxOfAKind {
				r.Row("  "+string(c.Kind), string(c.State), located(tree.Tree, c.Path, other), named(c.What))
			}
		}
		for _, kind := range slices.Compact(kinds(tree.Changes)) {
			if more := of[kind] - maxOfAKind; more > 0 {
				r.Row("  "+string(kind), "", fmt.Sprintf("and %d more", more), "")
			}
		}
		for _, closed := range tree.Unread {
			r.Line("warning: the command has closed %q in %s: it was not looked at", closed, where)
		}
		if tree.Cut {
			r.Line("warning: there is more in %s than was looked at: more may run later than what is named here", where)
		}
	}
	if len(r.parts)+len(r.rows) > 0 {
		r.Say(to)
	}
}

// kinds returns the kind of each change.
func kinds(changes []worktree.Change) []worktree.Kind {
	var out []worktree.Kind
	for _, c := range changes {
		out = append(out, c.Kind)
	}
	return out
}

// located writes the path of a file so that it cannot pass for anything else.
func located(tree, path string, whole bool) string {
	if whole {
		path = filepath.Join(tree, path)
	}
	return plainly(path)
}

// plainly returns a name as it is, or quoted if there is anything in it that names seldom have.
func plainly(name string) string {
	odd := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') &&
			!strings.ContainsRune("-_./@+:*,=", r)
	}
	if name == "" || strings.ContainsFunc(name, odd) {
		return strconv.QuoteToASCII(name)
	}
	return name
}

// named lists what is new in a file.
func named(what []string) string {
	var out []string
	for _, name := range what[:min(len(what), maxNames)] {
		if len(name) > 60 {
			name = name[:60] + "..."
		}
		out = append(out, plainly(name))
	}
	if more := len(what) - maxNames; more > 0 {
		out = append(out, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(out, ", ")
}
