package view

import (
	"errors"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/guard"
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

// Failure is what a command with --json prints if it fails before it has printed its own document.
type Failure struct {
	Schema   string `json:"schema"`    // taskiam.error/v1
	ExitCode int    `json:"exit_code"` // as docs/exit-codes.md has it
	Kind     string `json:"kind"`      // what sort of error it is: "usage", "denied", "not found" ...
	// Errors are the messages that standard error has, and Hints the next steps.
	Errors []string `json:"errors"`
	Hints  []string `json:"hints"`
	// Problems are what is wrong with the manifest, with its places; empty if the error is another.
	Problems []Problem `json:"problems"`
	// Wider is what a manifest opens more than it did, for which it is refused; empty if the error is another.
	Wider []Widening `json:"wider"`
}

// NewFailure returns the document of an error, without the secrets that others may have put into it.
func NewFailure(err error, exitCode int) Failure {
	f := Failure{
		Schema: "taskiam.error/v1", ExitCode: exitCode, Kind: fault.KindOf(err).String(),
		Errors: []string{}, Hints: []string{}, Problems: NewProblems(err), Wider: []Widening{},
	}
	if wider, ok := errors.AsType[*guard.WiderError](err); ok {
		f.Wider = newWidenings(wider.Wider)
	}
	for _, part := range fault.Parts(err) {
		f.Errors = append(f.Errors, redact(part.Err.Error()))
	}
	for _, h := range fault.Hints(err) {
		f.Hints = append(f.Hints, redact(h))
	}
	return f
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
