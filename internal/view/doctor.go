package view

import (
	"strings"

	"github.com/taskiam/taskiam/internal/lifecycle"
)

// Doctor is what `doctor --json` prints.
type Doctor struct {
	Schema   string     `json:"schema"` // taskiam.doctor/v1
	OK       bool       `json:"ok"`     // whether there is no problem
	Cloud    string     `json:"cloud"`  // "" if there is no login to ask it with
	Endpoint string     `json:"endpoint"`
	Operator string     `json:"operator"` // "" without a login
	Tasks    []string   `json:"tasks"`
	Findings []Examined `json:"findings"`
}

// Examined is one line of an examination.
type Examined struct {
	About string   `json:"about"`
	What  string   `json:"what"`
	State string   `json:"state"` // "ok", "warning", "problem" or "not known"
	Says  string   `json:"says"`
	Fix   []string `json:"mend"` // how to fix it; commands, where there are any
}

// NewDoctor returns the document of an examination. Its cloud and operator are the caller's to set.
func NewDoctor(tasks []string, findings []lifecycle.Examined) Doctor {
	doc := Doctor{Schema: "taskiam.doctor/v1", Tasks: list(tasks), Findings: []Examined{}}
	for _, f := range findings {
		doc.Findings = append(doc.Findings, Examined{f.About, f.What, string(f.Health), f.Says,
			list(f.Fix)})
	}
	doc.OK = doc.Problems() == 0
	return doc
}

// Problems counts what keeps a run from coming up as it should.
func (d Doctor) Problems() int { return d.count(lifecycle.Broken) }

func (d Doctor) count(h lifecycle.Health) int {
	n := 0
	for _, f := range d.Findings {
		if f.State == string(h) {
			n++
		}
	}
	return n
}

// Show adds the findings to a report.
func (d Doctor) Show(r *Report) {
	about := ""
	for _, f := range d.Findings {
		if f.About != about {
			if about != "" {
				r.Line("")
			}
			about = f.About
			r.Line("%s", about)
		}
		r.Line("  %-9s  %s: %s", f.State, f.What, strings.ReplaceAll(f.Says, "\n", "; "))
		for _, m := range f.Fix {
			r.Exact("             %s", m)
		}
	}
	r.Line("")
	switch problems, warnings, unknown := d.Problems(), d.count(lifecycle.Doubtful), d.count(lifecycle.NotKnown); {
	case problems > 0:
		r.Line("problems: %d, warnings: %d, not known: %d", problems, warnings, unknown)
	case len(d.Tasks) == 0:
		r.Line("no problem found; to check a task too: taskiam doctor FILE")
	case warnings+unknown > 0:
		r.Line("no problem; warnings: %d, not known: %d", warnings, unknown)
	default:
		r.Line("no problem found")
	}
}
