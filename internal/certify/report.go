package certify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/taskiam/taskiam/emulator/evidence"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/lazy"
	"github.com/taskiam/taskiam/internal/secret"
	"github.com/taskiam/taskiam/internal/view"
)

// On which side Google was found to be.
const (
	sideDefault = "default"   // that of the emulator without a switch
	sideSwitch  = "switch"    // the other
	sideUntried = "not tried" // for the reason that is said
	sideOpen    = "undecided" // an error was in the way
)

// Report is what was found.
type Report struct {
	Schema string    `json:"schema"` // taskiam.certify/v1
	Cloud  string    `json:"cloud"`  // google, or emulator
	At     string    `json:"at"`     // the day
	Took   int64     `json:"took_ms"`
	Run    []Step    `json:"run"`
	Doubts []Finding `json:"doubts"`
	Left   []string  `json:"left"` // what could not be taken away

	evidence []evidence.Exchange
	secrets  []secret.String
	names    map[string]string // that must not be written, and what stands in their places
}

// Step is one part of the run that was tried.
type Step struct {
	What string `json:"what"`
	OK   bool   `json:"ok"`
	Saw  string `json:"saw"`
}

// Finding is what came of one doubt.
type Finding struct {
	Doubt
	Side string `json:"side"` // "default", "switch", "not tried" or "undecided"
	Saw  string `json:"saw"`
	Set  string `json:"set"` // the line for the table [doubts] of a seed; "" to leave it
}

// err is what a caller has to know: that something is left, or not decided. Why is what went wrong while taking away.
func (r *Report) err(ctx context.Context, project string, why error) error {
	if len(r.Left) > 0 {
		left := fault.New(fault.Incomplete, "in project %s is left: %s", project, few(r.Left))
		if why != nil {
			left = fault.New(fault.Incomplete, "in project %s is left: %s: %w", project, few(r.Left), why)
		}
		return fault.WithHint(left,
			"taskiam emulator certify --project "+project+" --write   # takes it away first",
			"or delete the project: gcloud projects delete "+project)
	}
	if why != nil {
		return why
	}
	if ctx.Err() != nil {
		return fmt.Errorf("interrupted: %w; nothing is left in project %s", context.Cause(ctx), project)
	}
	var open []string
	for _, f := range r.Doubts {
		if f.Side == sideOpen {
			open = append(open, f.Switch)
		}
	}
	for _, s := range r.Run {
		if !s.OK {
			open = append(open, s.What)
		}
	}
	if len(open) > 0 {
		return fault.WithHint(fmt.Errorf("not decided, because of an error: %s", strings.Join(open, ", ")),
			"taskiam emulator certify --project "+project+" --write --only "+open[0])
	}
	return nil
}

// Show adds the report to one for people.
func (r *Report) Show(out *view.Report) {
	for _, s := range r.Run {
		mark := "ok"
		if !s.OK {
			mark = "FAILED"
		}
		out.Row(s.What, mark, s.Saw)
	}
	out.Line("")
	for _, f := range r.Doubts {
		says := f.Saw
		if f.Set != "" {
			says += "; set " + f.Set
		}
		out.Row(f.Switch, f.Side, says)
	}
	out.Line("")
	if len(r.Left) == 0 {
		out.Line("nothing is left")
	}
	for _, l := range r.Left {
		out.Line("left: %s", l)
	}
}

// looksSecret is what must be in nothing that is written, whoever put it there.
var looksSecret = lazy.Regexp(`ya29\.|BEGIN [A-Z ]*(PRIVATE KEY|CERTIFICATE)|eyJ[A-Za-z0-9_-]{8}|AIza|upload_id=`)

// Write writes the report and the evidence into a folder, and says what it wrote. It writes nothing if a name of the
// project, or anything secret, would be in it.
func (r *Report) Write(dir string) ([]string, error) {
	told := *r
	told.Run, told.Doubts, told.Left = slices.Clone(r.Run), slices.Clone(r.Doubts), slices.Clone(r.Left)
	for i := range told.Run {
		told.Run[i].Saw = r.replaced(told.Run[i].Saw)
	}
	for i := range told.Doubts {
		told.Doubts[i].Saw = r.replaced(told.Doubts[i].Saw)
	}
	for i := range told.Left {
		told.Left[i] = r.replaced(told.Left[i])
	}
	report, err := json.MarshalIndent(told, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing the report: %w", err)
	}
	files := map[string][]byte{"report.json": append(report, '\n')}
	exchanges, err := r.Evidence()
	if err != nil {
		return nil, err
	}
	for name, content := range exchanges {
		files[filepath.Join("evidence", name)] = content
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if what := r.betrays(string(files[name])); what != "" {
			return nil, fmt.Errorf("nothing was written: %s would have held %s, which is a mistake of taskiam's", name,
				what)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "evidence"), 0o700); err != nil {
		return nil, fmt.Errorf("making a folder for the report: %w", err)
	}
	var written []string
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(dir, name)
		written, errs = append(written, path), append(errs, os.WriteFile(path, files[name], 0o600))
	}
	return written, errors.Join(errs...)
}

// replaced puts words in the places of names. The longest go first: one may hold another.
func (r *Report) replaced(s string) string {
	names := slices.SortedFunc(maps.Keys(r.names), func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	for _, name := range names {
		s = strings.ReplaceAll(s, name, r.names[name])
	}
	return idNumbers().ReplaceAllString(s, "<id>")
}

// idNumbers are unique ids, numbers of projects and ids of keys.
var idNumbers = lazy.Regexp(`\b(?:[0-9]{10,}|[0-9a-f]{40})\b`)

// betrays says what in a text must not leave this machine, without repeating it; "" if there is nothing.
func (r *Report) betrays(text string) string {
	for name, word := range r.names {
		if strings.Contains(text, name) {
			return "a name in the place of " + word
		}
	}
	for _, s := range r.secrets {
		if v := s.Reveal(); v != "" && strings.Contains(text, v) {
			return "a secret"
		}
	}
	if m := looksSecret().FindString(text); m != "" {
		return "what looks like a secret"
	}
	if m := regexpID().FindString(text); m != "" {
		return "an id"
	}
	return ""
}

// regexpID are unique ids of accounts and numbers of projects, as values.
var regexpID = func() func() *regexp.Regexp { return lazy.Regexp(`\b[0-9]{12,}\b`) }()

// Show adds what is there and would be done to a report for people.
func (s *Survey) Show(out *view.Report) {
	out.Line("project %s (%s), as %s: empty", s.cfg.Project, s.Cloud, s.operator.Member)
	for _, what := range s.Old {
		out.Line("  left by an earlier certification, and taken away first: %s", what)
	}
	out.Line("it would be made, and taken away again:")
	for _, what := range s.Makes {
		out.Line("  %s", what)
	}
	out.Line("")
	for _, d := range s.Tried {
		out.Row("try", d.Switch, d.Question)
	}
	for _, d := range s.Untried {
		out.Row("not tried", d.Switch, d.Question+" "+d.Why)
	}
	out.Line("")
	out.Line("about ten minutes at Google, most of it waiting until changes are seen; less than a cent")
}
