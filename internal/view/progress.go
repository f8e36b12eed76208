package view

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/clipperhouse/displaywidth"

	"github.com/taskiam/taskiam/internal/lifecycle"
)

const (
	// slowAfter is how long a step may take before it is reported. Most steps take one round trip, and a line
	// for each would only be noise.
	slowAfter = 2 * time.Second
	// liveAfter is the same for the line of a terminal, which is gone again when the step ends.
	liveAfter = time.Second
	// remindAfter is when a wait is told of again where there is no terminal; the next time is twice as long.
	remindAfter = 30 * time.Second
)

// Progress reports to a person what taskiam is waiting for: on a terminal in one line that is rewritten in place and
// gone at the end, elsewhere in lines of their own, at the beginning of a wait, at its end, and after 30 seconds,
// a minute, two minutes and so on between them. A nil Progress is silent.
type Progress struct {
	to    *Stream
	quiet bool

	mu     sync.Mutex
	steps  map[string]*runningStep
	warned []string    // what was warned of
	tick   *time.Timer // redraws the line; nil while there is none
}

// runningStep is a step that has begun and not ended.
type runningStep struct {
	step, on string
	began    time.Time
	timer    *time.Timer
	told     bool
	why      string // the last reason for waiting
	wait     lifecycle.Wait
	// done of all its parts are finished.
	done, all int
	// until is when a pause before another try ends; the zero time is for what is no such pause.
	until time.Time
}

// NewProgress returns a Progress that speaks to a stream. A quiet one only warns.
func NewProgress(to *Stream, quiet bool) *Progress {
	return &Progress{to: to, quiet: quiet, steps: map[string]*runningStep{}}
}

// Quiet reports whether it only warns.
func (p *Progress) Quiet() bool { return p.quiet }

// Step hears of a step of a run. It may be called from several goroutines.
func (p *Progress) Step(event lifecycle.Event) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	name := stepName(event.Step, event.On)
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
		s = &runningStep{step: event.Step, on: event.On, began: event.Time}
		p.steps[name] = s
		s.timer = time.AfterFunc(slowAfter, func() { p.remind(name, s, remindAfter) })
	}
	switch event.State {
	case lifecycle.Waiting:
		p.waits(name, s, event)
	case lifecycle.Working:
		s.done, s.all = event.Done, event.All
	case lifecycle.Done, lifecycle.Failed:
		s.timer.Stop()
		delete(p.steps, name)
		if took := event.Time.Sub(s.began); s.told && event.State == lifecycle.Done {
			p.say("%s: done after %s", name, Span(took))
		}
	case lifecycle.Started, lifecycle.Known, lifecycle.Warned:
	}
	p.refresh()
}

// Reading returns what hears of how many of all journals were looked at.
func (p *Progress) Reading(now func() time.Time) func(done, all int) {
	return func(done, all int) {
		event := lifecycle.Event{Time: now(), Step: "reading journals", State: lifecycle.Working, Done: done, All: all}
		if done == all {
			event.State = lifecycle.Done
		}
		p.Step(event)
	}
}

func stepName(step, on string) string { return strings.TrimSuffix(step+" on "+on, " on ") }

func (p *Progress) say(format string, args ...any) { Say(p.to, format, args...) }

// waits takes down why a step waits, and tells of it where it is new and there is no terminal.
func (p *Progress) waits(name string, s *runningStep, event lifecycle.Event) {
	why := ""
	if event.Err != nil {
		why = event.Err.Error()
	}
	news := why != s.why || event.Wait.For != s.wait.For
	s.why, s.wait = why, event.Wait
	if !news || p.to.screen.live() {
		return
	}
	s.told = true
	p.say("%s: %s", name, strings.Join(withoutEmpty("waiting"+prefixed(" for ", s.wait.For)+
		parenthesized(s.expectation(event.Time)), why), ": "))
}

// expectation says how long a wait takes as a rule, and how long at most from now.
func (s *runningStep) expectation(now time.Time) string {
	var parts []string
	if s.wait.Usual > 0 {
		parts = append(parts, "usually "+Span(s.wait.Usual))
	}
	if left := s.wait.Until.Sub(now); !s.wait.Until.IsZero() && left > 0 {
		parts = append(parts, "at most "+Span(left.Round(time.Second))+" more")
	}
	return strings.Join(parts, ", ")
}

// warn says what must not be missed. A sweep of many projects finds the same thing in each, and it is
// said once.
func (p *Progress) warn(what string) {
	if !slices.Contains(p.warned, what) {
		p.warned = append(p.warned, what)
		p.say("warning: %s", what)
	}
}

// remind tells of a step that takes long, where there is no terminal, and again after the time, then after twice
// as long: a log that stands still is taken for a program that does.
func (p *Progress) remind(name string, s *runningStep, next time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.steps[name] != s {
		return
	}
	s.timer = time.AfterFunc(next, func() { p.remind(name, s, 2*next) })
	switch now := time.Now(); {
	case p.to.screen.live(), p.to.screen.ended():
	case s.all > 0:
		s.told = true
		p.say("%s: %d of %d are done", name, s.done, s.all)
	case !s.told:
		s.told = true
		p.say("%s: working", name)
	case next > remindAfter:
		p.say("%s: still waiting after %s%s", name, Span(now.Sub(s.began)), parenthesized(s.expectation(now)))
	}
}

// Retry hears of a call on an object that is about to be tried again after a wait.
func (p *Progress) Retry(op, object string, wait time.Duration, err error) {
	if p == nil || p.quiet || wait < slowAfter {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.to.screen.live() {
		p.say("%s %s: trying again in %s: %v", op, object, Span(wait), err)
		return
	}
	now := time.Now()
	p.steps["again "+op+" "+object] = &runningStep{step: op, on: object, began: now, why: err.Error(),
		until: now.Add(wait)}
	p.refresh()
}

// refresh makes the line of the terminal say what is waited for now, and sees to it that it does so in a second too.
func (p *Progress) refresh() {
	now := time.Now()
	maps.DeleteFunc(p.steps, func(_ string, s *runningStep) bool { return !s.until.IsZero() && !now.Before(s.until) })
	p.to.screen.show(p.line(now))
	switch {
	case len(p.steps) == 0 && p.tick != nil:
		p.tick.Stop()
		p.tick = nil
	case len(p.steps) > 0 && p.tick == nil:
		p.tick = time.AfterFunc(liveAfter, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.tick != nil {
				p.tick = nil
				p.refresh()
			}
		})
	}
}

// line returns what is to be seen of the steps: the one that has waited longest, and how many others there are.
func (p *Progress) line(now time.Time) safe {
	slow := slices.DeleteFunc(slices.Collect(maps.Values(p.steps)),
		func(s *runningStep) bool { return now.Sub(s.began) < liveAfter && s.until.IsZero() })
	if len(slow) == 0 {
		return ""
	}
	s := slices.MinFunc(slow, func(a, b *runningStep) int {
		return cmp.Or(b.waiting()-a.waiting(), a.began.Compare(b.began),
			cmp.Compare(a.step, b.step), cmp.Compare(a.on, b.on))
	})
	return s.line(now, len(slow)-1, p.to.form.columns()-roomBehind)
}

func (s *runningStep) waiting() int {
	if s.wait.For != "" || s.why != "" {
		return 1
	}
	return 0
}

// line says what the step waits for and for how long at most. If it is wider than the terminal, it does without what
// matters less: the reason first, which an error repeats if it comes to that, then the object and how long it usually
// takes.
func (s *runningStep) line(now time.Time, others, width int) safe {
	what, on := s.step, prefixed(" on ", s.on)
	if s.wait.For != "" {
		what, on = "waiting for "+s.wait.For, prefixed(": ", s.on)
	}
	var times []string
	switch {
	case !s.until.IsZero():
		what, on = s.step+prefixed(" ", s.on), ""
		times = []string{"again in " + seconds(s.until.Sub(now))}
	case s.all > 0:
		times = []string{fmt.Sprintf("%d of %d, %s", s.done, s.all, seconds(now.Sub(s.began)))}
	default:
		times = []string{seconds(now.Sub(s.began))}
	}
	usual, most := prefixed("usually ", spanOr(s.wait.Usual)), ""
	if left := s.wait.Until.Sub(now); !s.wait.Until.IsZero() && left > 0 {
		most = "at most " + seconds(left) + " more"
	}
	more := ""
	switch {
	case others == 1:
		more = "and 1 more step"
	case others > 1:
		more = fmt.Sprintf("and %d more steps", others)
	}
	forms := [][]string{
		{on, usual, most, more, prefixed(": ", s.why)}, {on, usual, most, more}, {on, usual, most}, {"", usual, most},
		{"", "", most},
	}
	var text string
	for _, f := range forms {
		inside := withoutEmpty(append(slices.Clone(times), f[1:min(4, len(f))]...)...)
		text = what + f[0] + " (" + strings.Join(inside, ", ") + ")"
		if len(f) > 4 {
			text += f[4]
		}
		if displaywidth.String(string(showLine(text))) <= width {
			break
		}
	}
	return showLine(text)
}

// seconds writes a length of time that is counted.
func seconds(d time.Duration) string { return Span(max(d, 0).Truncate(time.Second)) }

func spanOr(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return Span(d)
}

// prefixed returns the text behind what goes before it; "" for no text.
func prefixed(before, text string) string {
	if text == "" {
		return ""
	}
	return before + text
}

func parenthesized(text string) string {
	if text == "" {
		return ""
	}
	return " (" + text + ")"
}

func withoutEmpty(texts ...string) []string {
	return slices.DeleteFunc(texts, func(t string) bool { return t == "" })
}
