package emulator

import (
	"net/http"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

// Doubts are the questions that Google's documents leave open, or on which they
// disagree. The zero value of each field is the most likely answer; a client that is
// right only under one answer is not right. In a seed they stand in the table "doubts".
type Doubts = iam.Doubts

// Lag is how long changes take to be seen, each kind by itself; the zero value is at
// once. A lag that is set applies to changes made from then on.
type Lag = wire.Lag

// Delay is a length of time: constant if Max is zero, else drawn evenly from Min to
// Max. As text it is "90s" or "30s..90s".
type Delay = wire.Delay

// ParseDelay reads a Delay from text.
func ParseDelay(text string) (Delay, error) { return wire.ParseDelay(text) }

// Quotas are limits on how often something may be done. The zero value limits nothing.
type Quotas = wire.Quotas

// GoogleQuotas are the limits that Google documents as its defaults. For the creation of
// accounts it documents no number.
var GoogleQuotas = wire.GoogleQuotas

// Fault is a rule that makes calls go wrong. A call matches if method and resource fit; the
// rule applies to those matches that Nth, Every, Probability and Count all leave. A rule
// with none of the four applies to every match.
type Fault = wire.Fault

// FaultKind is what a [Fault] does to a call.
type FaultKind = wire.FaultKind

// FaultStatus is a rule, and how often it was used.
type FaultStatus = wire.FaultStatus

// The kinds of faults. FaultDelay and FaultLossy let the call go on, and several of them can
// apply to one call. Of the others, the first that was added and applies ends the call.
const (
	// FaultAnswer answers with an error.
	FaultAnswer = wire.FaultAnswer
	// FaultHang holds the call until its client gives up, or until it is released; then
	// it goes on.
	FaultHang = wire.FaultHang
	// FaultReset breaks the connection without an answer.
	FaultReset = wire.FaultReset
	// FaultDelay waits.
	FaultDelay = wire.FaultDelay
	// FaultFreeze holds this call and each that comes later, of whatever method, until
	// they are released.
	FaultFreeze = wire.FaultFreeze
	// FaultKill calls Config.Kill, then breaks the connection.
	FaultKill = wire.FaultKill
	// FaultLossy drops the conditions of a policy that is set, and says nothing.
	FaultLossy = wire.FaultLossy
)

// Diff compares two snapshots, a before b, for people to read: a line for each
// difference, of the form "path: before → after". It is empty if they are equal. Lists
// are compared as sets, since in policies that is what they are; of a list that differs
// only in its order, it says so. Input that is no snapshot yields a line that says so.
func Diff(a, b []byte) string { return wire.Diff(a, b) }

// Now returns the time on the emulator's clock, by which tokens, keys, conditions and
// delays are judged.
func (s *Server) Now() time.Time { return s.wire.Now() }

// Advance moves the emulator's clock forward by d, even if it is stopped.
func (s *Server) Advance(d time.Duration) { s.wire.Advance(d) }

// SetTime sets the emulator's clock to t, which may be in the past.
func (s *Server) SetTime(t time.Time) { s.wire.SetTime(t) }

// StopClock stops the emulator's clock until [Server.StartClock]; Advance and SetTime
// still move it.
func (s *Server) StopClock() { s.wire.StopClock() }

// StartClock starts a stopped clock again at the time at which it stopped.
func (s *Server) StartClock() { s.wire.StartClock() }

// SetLag sets how long changes take to be seen from now on, and starts the sequence of
// random delays again.
func (s *Server) SetLag(l Lag) { s.wire.SetLag(l) }

// Lag returns how long changes take to be seen.
func (s *Server) Lag() Lag { return s.wire.Lag() }

// SetQuotas limits from now on how often something may be done. What was done before
// does not count.
func (s *Server) SetQuotas(limits Quotas) { s.wire.SetQuotas(limits) }

// Quotas returns the limits in force.
func (s *Server) Quotas() Quotas { return s.wire.Quotas() }

// AddFault adds a rule and returns its name. It is an error if the rule makes no sense
// or its name is taken.
func (s *Server) AddFault(f Fault) (name string, err error) { return s.wire.AddFault(f) }

// RemoveFault removes the rule of that name, or all of them if it is "", and releases the
// calls that they hold. It reports whether there was such a rule.
func (s *Server) RemoveFault(name string) bool { return s.wire.RemoveFault(name) }

// Release releases every call that a rule holds, and ends a freeze. The rules stay.
func (s *Server) Release() { s.wire.Release() }

// Faults returns the rules in the order in which they were added.
func (s *Server) Faults() []FaultStatus { return s.wire.Faults() }

// Snapshot returns the state in a canonical form: JSON, indented, sorted. Two
// snapshots are equal if and only if the state is: it leaves out only etags,
// metagenerations, update times, deleted accounts and their keys and tokens, tokens
// that have expired, custom roles, which are shared, and the emulator's own signing
// key; an absent policy equals an empty one.
func (s *Server) Snapshot() ([]byte, error) { return s.wire.Snapshot() }

// ControlToken returns the bearer token of the control API. With Config.Dir it is also
// in the file control there.
func (s *Server) ControlToken() string { return s.wire.ControlToken().Reveal() }

// Transport returns the emulator as the transport of an [http.Client], without sockets.
// It does to the client what a network would: a connection that a [Fault] breaks is an
// error that wraps [syscall.ECONNRESET], and a request whose context ends returns that
// context's error, while the emulator may or may not have applied it. Each request is
// served by the goroutine that sends it, so that it can be used under testing/synctest.
//
// [Server.Handler] called directly panics with [http.ErrAbortHandler] where a connection
// would break, as net/http expects of handlers.
func (s *Server) Transport() http.RoundTripper { return s.wire.Transport() }
