package view

import (
	"errors"

	"github.com/taskiam/taskiam/internal/manifest"
)

// Validation is what `validate --json` prints.
type Validation struct {
	Schema string `json:"schema"` // taskiam.validation/v1
	OK     bool   `json:"ok"`
	// Files are the manifests that were looked at.
	Files    []string  `json:"files"`
	Problems []Problem `json:"problems"`
}

// Problem is one thing that is wrong with a manifest.
type Problem struct {
	File string `json:"file"`
	// Line and Column count from 1; a column is a character. Both are 0 for a file that cannot be read.
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Message string `json:"message"`
	Fix     string `json:"fix"` // what to write instead; "" if that depends on what was meant
	Or      string `json:"or"`  // another way to solve it, in words; "" if there is none
}

// NewProblems returns what is wrong with a manifest as documents have it; none if err is about something else.
func NewProblems(err error) []Problem {
	out := []Problem{}
	if problems, ok := errors.AsType[manifest.Problems](err); ok {
		for _, p := range problems {
			out = append(out, Problem(p))
		}
	}
	return out
}

// Show adds the names of the valid files to a report. What is wrong with the others is told as an error.
func (d Validation) Show(r *Report) {
	for _, file := range d.Files {
		if !d.has(file) {
			r.Line("%s is valid", file)
		}
	}
}

func (d Validation) has(file string) bool {
	for _, p := range d.Problems {
		if p.File == file {
			return true
		}
	}
	return false
}
