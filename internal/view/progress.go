package view

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/taskiam/taskiam/internal/lifecycle"
)

// slowAfter is how long a step may take before it is reported. Most steps take one round trip, and a line
// for each would only be noise.
const slowAfter = 2 * time.Second

// Progress reports to a person what taskiam is waiting for. Lines are the same on a terminal and in a log. A nil
// Progress is silent.
type Progress struct {
	say   func(format string, args ...any)
	quiet bool

	mu     sync.Mutex
	steps  map[string]*runningStep
	warned []string // what was warned of
}

// runningStep is a step that has begun and not ended.
type runningStep struct {
	began time.Time
	timer *time.Timer
	told  bool
	why   string // the last reason for waiting that was reported
}

// NewProgress returns a Progress that speaks through say. A quiet one only warns.
func NewProgress(say func(format string, args ...any), quiet bool) *Progress {
	return &Progress{say: say, quiet: quiet, steps: map[string]*runningStep{}}
}

// Step hears of a step of a run. It may be called from several goroutines.
func (p *Progress) Step(event lifecycle.Event) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	name := event.Step
	if event.On != "" {
		name += " on " + event.On
	}
	switch {
	case event.State == lifecycle.Warned:
		p.warn(name)
		return
	case p.quiet:
		return
	case event.State == lifecycle.Known:
		p.say("%s", name)
		return
	}
	s := p.steps[name]
	if s == nil {
		s = &runningStep{began: event.Time}
		p.steps[name] = s
		s.timer = time.AfterFunc(slowAfter, func() { p.slow(name, s) })
	}
	switch event.State {
	case lifecycle.Waiting:
		if why := fmt.Sprint(event.Err); event.Err != nil && why != s.why {
			s.told, s.why = true, why
			p.say("%s: waiting: %s", name, why)
		}
	case lifecycle.Done, lifecycle.Failed:
		s.timer.Stop()
		delete(p.steps, name)
		if took := event.Time.Sub(s.began); s.told && event.State == lifecycle.Done {
			p.say("%s: done after %s", name, Span(took))
		}
	case lifecycle.Started, lifecycle.Known, lifecycle.Warned:
	}
}

// warn says what must not be missed. A sweep of many projects finds the same thing in each, and it is
// said once.
func (p *Progress) warn(what string) {
	if !slices.Contains(p.warned, what) {
		p.warned = append(p.warned, what)
		p.say("warning: %s", what)
	}
}

// slow tells of a step that takes long.
func (p *Progress) slow(name string, s *runningStep) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.steps[name] == s && !s.told {
		s.told = true
		p.say("%s: working", name)
	}
}

// Retry hears of a call on an object that is about to be tried again after a wait.
func (p *Progress) Retry(op, object string, wait time.Duration, err error) {
	if p == nil || p.quiet || wait < slowAfter {
		return
	}
	p.say("%s %s: trying again in %s: %v", op, object, Span(wait), err)
}
