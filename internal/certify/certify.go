// Package certify asks Google, in a real and empty project, what no emulator can prove: whether a run comes up and
// goes down there, and which side Google is on in each doubt that docs/fidelity.md lists.
//
// It changes the project, and takes away again whatever it made, also when it is interrupted: what is to be made is
// remembered before it is made. At the end it looks whether anything is left. Against the emulator it is a test of
// itself: each probe says the side that the emulator was told to take.
//
// Its report and the evidence, in the form of package evidence, hold no name of the project and nothing secret:
// before anything is written, all of it is searched for what was replaced.
package certify

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/taskiam/taskiam/emulator/evidence"
	"github.com/taskiam/taskiam/internal/app"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/gcp"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/wait"
)

// Config is what is certified, and how.
type Config struct {
	App     *app.App
	Project string
	Only    []string // switches; empty is all of them, and a run
	Options app.Options
	// Say tells a person what is being done; nil is nobody.
	Say func(format string, args ...any)
	// Wait waits between two looks; nil waits for real.
	Wait func(context.Context, time.Duration) error
	// NewKey makes RSA keys; nil makes fresh ones.
	NewKey func(bits int) (*rsa.PrivateKey, error)
}

// Survey is what is there, and what would be done. Making it reads and changes nothing.
type Survey struct {
	cfg      Config
	op       *gcp.Client
	operator grants.Identity
	number   string
	suffix   string
	old      []made // left by an earlier certification

	Schema  string   `json:"schema"` // taskiam.certify-plan/v1
	Cloud   string   `json:"cloud"`  // google, or emulator
	Old     []string `json:"old"`    // left by an earlier certification
	Makes   []string `json:"makes"`  // what would be made
	Tried   []Doubt  `json:"tried"`
	Untried []Doubt  `json:"untried"` // with the reason
	runs    bool
}

// Look surveys the project. One that is not empty is refused: whatever is there could be hurt.
func Look(ctx context.Context, cfg Config) (*Survey, error) {
	if cfg.Wait == nil {
		cfg.Wait = wait.For
	}
	if cfg.Say == nil {
		cfg.Say = func(string, ...any) {}
	}
	s := &Survey{
		cfg: cfg, runs: len(cfg.Only) == 0, Schema: "taskiam.certify-plan/v1",
		Old: []string{}, Makes: []string{}, Tried: []Doubt{}, Untried: []Doubt{},
	}
	if err := s.choose(); err != nil {
		return nil, err
	}
	var err error
	if s.op, err = cfg.App.Client(ctx, cfg.Options); err != nil {
		return nil, err
	}
	s.Cloud, _ = s.op.Cloud()
	if s.operator, err = s.op.Whoami(ctx); err != nil {
		return nil, err
	}
	if s.number, err = s.op.ProjectNumber(ctx, cfg.Project); err != nil {
		return nil, err
	}
	if s.suffix, err = suffixFrom(cfg.App.Random); err != nil {
		return nil, err
	}
	if err := s.site().able(ctx); err != nil {
		return nil, err
	}
	there, err := s.site().inventory(ctx)
	if err != nil {
		return nil, err
	}
	if len(there.foreign) > 0 {
		return nil, fault.WithHint(fault.New(fault.Precondition,
			"project %s is not empty: it has %s; certify changes policies and makes and deletes accounts, so it works "+
				"only in a project in which there is nothing to lose", cfg.Project, few(there.foreign)),
			"make a project for this alone: gcloud projects create NAME")
	}
	s.old = there.ours
	for _, m := range s.old {
		s.Old = append(s.Old, m.what)
	}
	return s, nil
}

// suffixFrom draws what tells one certification from another.
func suffixFrom(random io.Reader) (string, error) {
	const alphabet = "abcdefghijklmnopqrstuvwxyz234567"
	b := make([]byte, 6)
	if _, err := io.ReadFull(random, b); err != nil {
		return "", fmt.Errorf("drawing a name: %w", err)
	}
	for i := range b {
		b[i] = alphabet[b[i]%32]
	}
	return string(b), nil
}

// few names the first of many.
func few(names []string) string {
	const most = 6
	if more := len(names) - most; more > 0 {
		names = append(slices.Clone(names[:most]), fmt.Sprintf("%d more", more))
	}
	return strings.Join(names, ", ")
}

// choose sorts the doubts into those that are tried and those that are not.
func (s *Survey) choose() error {
	for _, name := range s.cfg.Only {
		if !slices.ContainsFunc(doubts, func(d Doubt) bool { return d.Switch == name }) {
			return fault.New(fault.Usage, "there is no doubt %q; docs/fidelity.md lists them by their switches", name)
		}
	}
	makes := map[string]bool{}
	for _, d := range doubts {
		switch {
		case len(s.cfg.Only) > 0 && !slices.Contains(s.cfg.Only, d.Switch):
		case d.try == nil:
			s.Untried = append(s.Untried, d)
		default:
			s.Tried = append(s.Tried, d)
			for _, m := range d.makes {
				makes[m] = true
			}
		}
	}
	if s.runs {
		makes[aBucket], makes[aSecret], makes[aRun] = true, true, true
	}
	for _, m := range []string{aFew, aCrowd, keys, roles, aBucket, aSecret, bindings, aRun} {
		if makes[m] {
			s.Makes = append(s.Makes, m)
		}
	}
	return nil
}

// What a certification makes, as a person is told of it.
const (
	aFew     = "service accounts whose ids begin with tc-, without any right but those that the probes give"
	aCrowd   = "more such service accounts, until the project's quota refuses one (at most 110)"
	keys     = "keys of these accounts, whose private halves are never written down"
	roles    = "custom roles taskiam_certify_*: their ids stay taken for up to 44 days after they are deleted"
	aBucket  = "a bucket taskiam-certify-* with an object or two of a few bytes"
	aSecret  = "a secret tc-* with one version"
	bindings = "bindings for these accounts in the policy of the project, up to 1,500 for some seconds"
	aRun     = "a run of taskiam (plan, up, down) with two grants, on the bucket and on the secret"
)

// Certify does it all. It returns a report whenever it changed anything; the error says what failed, and is
// [fault.Incomplete] if something is left.
func (s *Survey) Certify(ctx context.Context) (*Report, error) {
	begun := s.cfg.App.Now()
	w := s.site()
	r := &Report{
		Schema: "taskiam.certify/v1", Cloud: s.Cloud, At: begun.UTC().Truncate(24 * time.Hour).Format(time.DateOnly),
		Run: []Step{}, Doubts: []Finding{}, Left: []string{},
	}
	w.id = "certified-" + strings.ReplaceAll(r.At, "-", "")
	err := w.clean(ctx, s.old)
	if err == nil {
		s.probe(ctx, w, r)
	}
	// What was made goes, whatever happened, and whoever wants to stop.
	cleaning, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanLimit)
	defer cancel()
	s.cfg.Say("taking away what was made")
	cleanErr := w.clean(cleaning, w.made)
	left, lookErr := w.left(cleaning)
	switch {
	case lookErr == nil && len(left) == 0: // whatever went wrong, nothing is left
	case len(left) == 0:
		left = []string{"it is not known what"}
		fallthrough
	default:
		err = errors.Join(err, cleanErr, lookErr)
	}
	r.Left = append(r.Left, left...)
	for _, d := range s.Untried {
		r.Doubts = append(r.Doubts, Finding{Doubt: d, Side: sideUntried, Saw: d.Why})
	}
	slices.SortStableFunc(r.Doubts, func(a, b Finding) int { return place(a.Switch) - place(b.Switch) })
	r.Took = s.cfg.App.Now().Sub(begun).Milliseconds()
	r.evidence, r.secrets, r.names = w.evidence, w.secrets, w.names()
	return r, r.err(ctx, s.cfg.Project, err)
}

// cleanLimit is how long taking away may take.
const cleanLimit = 5 * time.Minute

func place(name string) int {
	return slices.IndexFunc(doubts, func(d Doubt) bool { return d.Switch == name })
}

// probe tries the run and the doubts, one after the other.
func (s *Survey) probe(ctx context.Context, w *site, r *Report) {
	if s.runs {
		s.cfg.Say("a run: plan, up, down")
		r.Run = w.run(ctx)
	}
	for _, d := range s.Tried {
		f := Finding{Doubt: d}
		if err := ctx.Err(); err != nil {
			f.Side, f.Saw = sideOpen, "interrupted before it was tried"
			r.Doubts = append(r.Doubts, f)
			continue
		}
		s.cfg.Say("%s: %s", d.Switch, d.Question)
		w.doubt, w.asked = d.Switch, 0
		v, err := d.try(ctx, w)
		var reason untried
		switch {
		case errors.As(err, &reason):
			f.Side, f.Saw = sideUntried, string(reason)
		case err != nil:
			f.Side, f.Saw = sideOpen, err.Error()
		case v.other:
			f.Side, f.Saw, f.Set = sideSwitch, v.saw, d.Switch+" = "+v.value()
		default:
			f.Side, f.Saw = sideDefault, v.saw
		}
		s.cfg.Say("  %s: %s", f.Side, f.Saw)
		r.Doubts = append(r.Doubts, f)
	}
}

// Evidence returns the exchanges that were recorded, in files by their names.
func (r *Report) Evidence() (map[string][]byte, error) { return evidence.Files(r.evidence) }
