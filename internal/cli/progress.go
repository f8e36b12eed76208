package cli

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/taskiam/taskiam/internal/gcp"
	"github.com/taskiam/taskiam/internal/lifecycle"
)

// patience is how long a step may take before it is spoken of. Most take a round
// trip, and nobody needs to hear of those.
const patience = 2 * time.Second

// progress tells a person what is being waited for. Lines are the same on a
// terminal and in a log. A quiet one only warns, and a nil one is silent.
type progress struct {
	say   func(format string, args ...any)
	quiet bool

	mu    sync.Mutex
	steps map[string]*runningStep
	// warned has what was warned of.
	warned []string
}

// runningStep is a step that has begun and not ended.
type runningStep struct {
	began time.Time
	timer *time.Timer
	told  bool
	why   string // the last reason for waiting that was told
}

// newProgress returns a progress that speaks through e.
func (e *Env) newProgress(quiet bool) *progress {
	return &progress{say: e.say, quiet: quiet, steps: map[string]*runningStep{}}
}

// step hears of a step of a run. It may be called from several goroutines.
func (p *progress) step(event lifecycle.Event) {
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
		s.timer = time.AfterFunc(patience, func() { p.slow(name, s) })
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
			p.say("%s: done after %s", name, span(took))
		}
	case lifecycle.Started, lifecycle.Known, lifecycle.Warned:
	}
}

// warn says what must not be missed. A sweep of many projects finds the same thing in
// each, and it is said once.
func (p *progress) warn(what string) {
	if !slices.Contains(p.warned, what) {
		p.warned = append(p.warned, what)
		p.say("warning: %s", what)
	}
}

// slow tells of a step that takes long.
func (p *progress) slow(name string, s *runningStep) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.steps[name] == s && !s.told {
		s.told = true
		p.say("%s: at work", name)
	}
}

// retry hears of a call that is about to be tried again.
func (p *progress) retry(event gcp.Event) {
	if p == nil || p.quiet || event.Wait < patience {
		return
	}
	p.say("%s %s: trying again in %s: %v", event.Op, event.Object, span(event.Wait), event.Err)
}
