package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/guard"
	"github.com/taskiam/taskiam/internal/manifest"
	"github.com/taskiam/taskiam/internal/shell"
)

// Source is a manifest as it was read.
type Source struct {
	Task   grants.Task
	Path   string // absolute, or [StandardInput]
	SHA256 string // of its bytes, in hexadecimal
	// Scope is what the manifest itself opens, whatever flags and the environment set in its place.
	Scope guard.Scope
}

// Load reads and checks a manifest within the operator's limits.
func Load(file string, limits manifest.Limits) (Source, error) {
	path, err := filepath.Abs(file)
	if err != nil {
		return Source{}, fmt.Errorf("finding %s: %w", file, err)
	}
	b, err := readFile(path)
	if err != nil {
		err = fault.New(fault.Usage, "reading the manifest: %w", err)
		if errors.Is(err, os.ErrNotExist) {
			err = fault.WithHint(err, "taskiam init "+shell.Quote(file))
		}
		return Source{}, err
	}
	return parse(file, path, b, limits)
}

// readFile reads as much of a file as [read] does.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return read(f)
}

// read reads what may be a manifest, and of what is too large for one no more than shows that.
func read(r io.Reader) ([]byte, error) { return io.ReadAll(io.LimitReader(r, manifest.MaxSize+1)) }

// StandardInput is the manifest that is read from standard input.
const StandardInput = "-"

// Read is [Load] for standard input.
func Read(stdin io.Reader, limits manifest.Limits) (Source, error) {
	b, err := read(stdin)
	if err != nil {
		return Source{}, fault.New(fault.Usage, "reading the manifest from standard input: %w", err)
	}
	return parse("standard input", StandardInput, b, limits)
}

func parse(name, path string, b []byte, limits manifest.Limits) (Source, error) {
	task, err := manifest.Parse(name, b, limits)
	if err != nil {
		return Source{}, err
	}
	own := limits
	own.Given, own.Usual.Project = manifest.Settings{}, undeclared
	alone, err := manifest.Parse(name, b, own)
	if err != nil {
		return Source{}, err
	}
	if alone.Project == undeclared {
		alone.Project = ""
	}
	sum := sha256.Sum256(b)
	return Source{Task: task, Path: path, SHA256: hex.EncodeToString(sum[:]), Scope: guard.ScopeOf(alone)}, nil
}

// undeclared takes the place of the project that a manifest leaves to the operator. No project has this id: they have
// 30 characters at most.
const undeclared = "the-project-that-the-operator-names"

// For completes the options for a task: the reason of its manifest and, in a CI job, the
// address of the job and the masking of credentials. job is nil outside of a CI job.
func (s *Source) For(ctx context.Context, job *Job, o Options) Options {
	if job != nil {
		s.Task.Reason = job.reason(s.Task.Reason)
		o.Mask = job.mask(ctx)
	}
	o.Reason = s.Task.Reason
	return o
}
