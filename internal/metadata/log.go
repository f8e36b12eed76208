package metadata

import (
	"errors"
	"net/http"
	"sync"
	"time"
)

// Event is a token that was handed out, or a request that was refused. It never holds
// the token.
type Event struct {
	Time time.Time
	// Method and Path are those of the request, and Remote is the address that it came
	// from. The client chooses the first two freely: print them quoted.
	Method, Path, Remote string
	// Scopes are those of an access token, and Audience is that of an identity token.
	Scopes   []string
	Audience string
	// ExpiresIn is how much of the token's life the answer claims.
	ExpiresIn time.Duration
	// Code is the status of a refusal, 0 if a token was handed out, and Err its reason. If
	// a token could not be made, Err is the whole error, which the client is not told.
	Code int
	Err  error
	// Unlogged is how many events of the same sort (tokens or refusals) were left out of
	// the log since the last one.
	Unlogged int
}

const (
	// A sandbox can ask as often as it likes, and must not fill the disk with log lines:
	// this many events of a sort are logged at once, and then one a second.
	logBurst = 100
	logEvery = time.Second
	// maxLogged is how much of a path is logged.
	maxLogged = 200
)

// logger passes events on, and leaves some out if there are too many.
type logger struct {
	to  func(Event)
	now func() time.Time

	mu             sync.Mutex
	issued, denied allowance
}

// allowance is how many more events may be logged now.
type allowance struct {
	left     int
	since    time.Time
	unlogged int
}

// take reports whether the next event may be logged.
func (a *allowance) take(now time.Time) bool {
	if a.since.IsZero() {
		a.left, a.since = logBurst, now
	}
	if n := int(now.Sub(a.since) / logEvery); n > 0 {
		a.left = min(logBurst, a.left+n)
		a.since = a.since.Add(time.Duration(n) * logEvery)
	}
	if a.left == 0 {
		a.unlogged++
		return false
	}
	a.left--
	return true
}

func (l *logger) log(r *http.Request, e Event) {
	if l.to == nil {
		return
	}
	e.Time = l.now()
	l.mu.Lock()
	of := &l.issued
	if e.Err != nil {
		of = &l.denied
	}
	ok := of.take(e.Time)
	if ok {
		e.Unlogged, of.unlogged = of.unlogged, 0
	}
	l.mu.Unlock()
	if !ok {
		return
	}
	e.Method, e.Path, e.Remote = r.Method, r.URL.Path, r.RemoteAddr
	e.Method = e.Method[:min(len(e.Method), maxLogged)]
	e.Path = e.Path[:min(len(e.Path), maxLogged)]
	l.to(e)
}

func (s *Server) logToken(r *http.Request, e Event) { s.log.log(r, e) }

func (s *Server) logRefusal(r *http.Request, why refusal) {
	if why.code == http.StatusNotFound && why.err == nil {
		return // clients look for what only virtual machines have
	}
	err := why.err
	if err == nil {
		err = errors.New(why.text)
	}
	s.log.log(r, Event{Code: why.code, Err: err})
}
