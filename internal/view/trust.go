package view

import "github.com/taskiam/taskiam/internal/guard"

// Trust is what `trust --json` prints.
type Trust struct {
	Schema   string `json:"schema"` // taskiam.trust/v1
	Manifest string `json:"manifest"`
	Task     string `json:"task"`
	First    bool   `json:"first"` // whether nothing was remembered of the manifest
	// Wider is what it opens more than it did, and was accepted.
	Wider []Widening `json:"wider"`
}

// Widening is one thing that a manifest opens more than it did.
type Widening struct {
	// Kind is what is widened: "task", "project", "ttl", "deliver", "token_lifetime", "audiences" or "tree"; "network",
	// "host", "addresses", "resources" or "max_upload"; of a grant
	// "prefix", "condition", "unbounded", "allow_basic" or "accept"; "grant" if it gives what was not given there.
	Kind  string `json:"kind"`
	Grant int    `json:"grant"` // index in the manifest, from 0; -1 if it is about none
	What  string `json:"what"`  // what is widened, in words
	Now   string `json:"now"`   // what it is now, in words
	Was   string `json:"was"`   // what it was
}

// NewTrust returns the document of a manifest that was accepted.
func NewTrust(path, task string, first bool, wider []guard.Widening) Trust {
	return Trust{Schema: "taskiam.trust/v1", Manifest: path, Task: task, First: first, Wider: newWidenings(wider)}
}

func newWidenings(wider []guard.Widening) []Widening {
	out := make([]Widening, len(wider))
	for i, w := range wider {
		out[i] = Widening{string(w.Kind), w.Grant, w.What, w.Now, w.Was}
	}
	return out
}

// Show adds that the manifest was accepted to a report.
func (d Trust) Show(r *Report) {
	r.Line("what %s opens now is accepted, for task %s", d.Manifest, d.Task)
}
