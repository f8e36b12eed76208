package cli

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/taskiam/taskiam/internal/app"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
)

// live returns the runs that may still have something in the cloud or on this machine.
func live(runs []*journal.Run) []*journal.Run {
	return slices.DeleteFunc(slices.Clone(runs), func(r *journal.Run) bool { return !r.Live() })
}

// choose returns the runs that the words name, each once. A word is a run id, the
// name of a task, or the path of a manifest as it was given to up: the file itself
// is not opened, and may be gone. A task or file names its live runs, or if all are
// down, the last of them.
func choose(runs []*journal.Run, words []string) ([]*journal.Run, error) {
	var out []*journal.Run
	add := func(r *journal.Run) {
		if !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	for _, word := range words {
		matches, err := named(runs, word)
		if err != nil {
			return nil, err
		}
		if len(matches) == 0 {
			return nil, fault.WithHint(
				fault.New(fault.NotFound, "%q is not a run, and not the task or the manifest of a run", word),
				"taskiam status --all")
		}
		up := live(matches)
		if len(up) == 0 {
			up = matches[len(matches)-1:]
		}
		for _, r := range up {
			add(r)
		}
	}
	return out, nil
}

func named(runs []*journal.Run, word string) ([]*journal.Run, error) {
	if id, err := grants.ParseRunID(word); err == nil {
		if at := slices.IndexFunc(runs, func(r *journal.Run) bool { return r.ID() == id }); at >= 0 {
			return runs[at : at+1], nil
		}
	}
	path, err := filepath.Abs(word)
	if err != nil {
		return nil, err
	}
	var out []*journal.Run
	for _, r := range runs {
		if r.Opened.Task == word || r.Opened.ManifestPath == path {
			out = append(out, r)
		}
	}
	return out, nil
}

// refusal returns why a command would not take a run that it could choose; nil if it would.
type refusal func(*journal.Run) error

// willing takes any run.
func willing(*journal.Run) error { return nil }

// theRun returns the run that the word names, or the only one that is up if there is no word. Runs that the command
// would refuse are not counted, unless there are no others.
func theRun(runs []*journal.Run, word, command string, refuse refusal) (*journal.Run, error) {
	matches := live(runs)
	if word != "" {
		var err error
		if matches, err = choose(runs, []string{word}); err != nil {
			return nil, err
		}
	}
	var refused []error
	fit := slices.DeleteFunc(slices.Clone(matches), func(r *journal.Run) bool {
		err := refuse(r)
		if err != nil {
			refused = append(refused, err)
		}
		return err != nil
	})
	switch {
	case len(matches) == 0:
		return nil, fault.WithHint(fault.New(fault.NotFound, "no run is up"), "taskiam up "+defaultManifest)
	case len(refused) == 1 && len(fit) == 0:
		return nil, refused[0]
	case len(fit) == 0:
		return nil, errors.Join(refused...)
	case len(fit) > 1:
		return nil, ambiguous(fit, command)
	}
	return fit[0], nil
}

// eachOne returns the runs that the words name. A word that names several is an error: what cannot be
// taken back is done to runs that were named one by one.
func eachOne(runs []*journal.Run, words []string, command string, refuse refusal) ([]*journal.Run, error) {
	var out []*journal.Run
	for _, word := range words {
		run, err := theRun(runs, word, command, refuse)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(out, run) {
			out = append(out, run)
		}
	}
	return out, nil
}

// ambiguous is the error that lists the runs to choose from.
func ambiguous(runs []*journal.Run, command string) error {
	var lines, hints []string
	for _, r := range runs {
		lines = append(lines, string(r.ID())+" of "+r.Opened.Task)
		hints = append(hints, command+" "+string(r.ID()))
	}
	return fault.WithHint(fault.New(fault.Usage, "%d runs are up, name one of them: %s", len(runs),
		strings.Join(lines, ", ")), hints...)
}

// onThisCloud refuses runs of another cloud than the one that this shell is pointed at.
func (e *Env) onThisCloud(r *journal.Run) error {
	err := e.app().RefuseElsewhere(r.Opened)
	if err != nil && r.Live() {
		forget := "taskiam down --" + flagForget + " " + string(r.ID()) + "   # if that cloud is gone for good"
		err = fault.WithHint(err, append(fault.Hints(err), forget)...)
	}
	return err
}

// completionRuns returns the ids of the live runs and the names of their tasks, each with what it is; none if the
// journals cannot be read, as completion has nobody to tell.
func (e *Env) completionRuns() [][2]string {
	journals, err := e.app().Journals()
	if err != nil {
		return nil
	}
	runs, _ := app.Runs(journals, journal.Summary.Live)
	var out [][2]string
	for _, r := range runs {
		out = append(out, [2]string{string(r.ID()), "run of " + r.Opened.Task})
		if task := [2]string{r.Opened.Task, "task"}; !slices.Contains(out, task) {
			out = append(out, task)
		}
	}
	return out
}

// perhapsLive wants the runs that are up, and those that have not expired although their journals say that they
// are down: the cloud is asked about them, since a journal is only a file.
func perhapsLive(now time.Time) func(journal.Summary) bool {
	return func(s journal.Summary) bool { return s.Live() || !s.Expired(now) }
}
