// Package fault names the kinds of failure that taskiam tells apart.
//
// An error of Google's is classified once, in package gcp, by HTTP code, status
// and reason; everybody else asks [KindOf] and never reads a message. Hints are
// the next step to take, as a line that can be pasted; they travel beside the
// error and are printed only by package cli.
package fault

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Kind is what sort of failure an error is. It decides retries and exit codes.
type Kind int

const (
	// Other is a failure without a finer name.
	Other Kind = iota
	// Usage means that the command line or the manifest is wrong. Nothing was called.
	Usage
	// Unauthenticated means that there is no login, or Google does not accept it (401).
	Unauthenticated
	// Denied means that the operator may not do this (403).
	Denied
	// NotFound means that the thing does not exist, or not yet, or not any more (404).
	NotFound
	// Exists means that a thing of that name is already there (409 ALREADY_EXISTS).
	Exists
	// Conflict means that somebody changed the policy between read and write
	// (409 ABORTED; 412 for buckets and datasets). The whole read-modify-write is to be repeated.
	Conflict
	// Precondition means that Google refuses for a reason that lasts, such as an
	// organisation policy (400 FAILED_PRECONDITION).
	Precondition
	// Invalid means that Google refuses the request as it stands (400).
	Invalid
	// Throttled means that a quota per unit of time is used up (429, or 403 with a rate reason).
	Throttled
	// Unavailable means that Google did not answer, or with 5xx. Whether the call
	// took effect is unknown.
	Unavailable
	// Locked means that another taskiam process is at work on the same run.
	Locked
	// Incomplete means that a teardown left something behind.
	Incomplete
	// NotReady means that a run is up but not all of its access is usable yet, or that it was not reported.
	NotReady
)

var kindNames = [...]string{
	"failure", "usage", "unauthenticated", "denied", "not found", "exists", "conflict",
	"precondition", "invalid", "throttled", "unavailable", "locked", "incomplete", "not ready",
}

// String returns the kind's name in words, as --json documents carry it.
func (k Kind) String() string {
	if k < 0 || int(k) >= len(kindNames) {
		return fmt.Sprintf("kind %d", int(k))
	}
	return kindNames[k]
}

// Error is a classified failure. Only Kind is always set.
type Error struct {
	Kind Kind
	// Code is the HTTP status code, Status Google's canonical code ("ABORTED"), and
	// Reason the machine-readable cause ("IAM_PERMISSION_DENIED", "conditionNotMet").
	Code   int
	Status string
	Reason string
	// Constraint is the organisation policy that refused, such as
	// "constraints/iam.disableServiceAccountKeyUpload".
	Constraint string
	// Member is the member of a policy for which a write of it was refused, if a detail says so.
	Member string
	// Message is Google's own sentence, or ours where Google was not asked.
	Message string
	// RetryAfter is how long the server asked us to wait; 0 if it did not say.
	RetryAfter time.Duration
	// Lasting says of a kind that passes by itself that this one does not.
	Lasting bool
	// Unsent says that the call never left this machine: there was no login, or no connection.
	Unsent bool
	// Unsure says that an earlier attempt at the same call may have taken effect.
	Unsure bool
	// Err is the cause, if there is one.
	Err error
}

// Error says the message, and Google's code, status and reason where there are any.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Message)
	if e.Message == "" && e.Err != nil {
		b.WriteString(e.Err.Error())
	}
	if e.Code != 0 {
		fmt.Fprintf(&b, " (%d", e.Code)
		for _, s := range []string{e.Status, e.Reason, e.Constraint} {
			if s != "" {
				b.WriteString(" " + s)
			}
		}
		b.WriteString(")")
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// New returns an error of the given kind.
func New(kind Kind, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: kind, Message: err.Error(), Err: err}
}

// KindOf returns the kind of the first classified error in err's tree, else [Other].
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Other
}

// Is reports whether err is of one of the kinds.
func Is(err error, kinds ...Kind) bool {
	if err == nil {
		return false
	}
	k := KindOf(err)
	for _, want := range kinds {
		if k == want {
			return true
		}
	}
	return false
}

// Lasts reports whether waiting for err to pass is in vain, whatever its kind.
func Lasts(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Lasting
}

// Refused reports whether it is certain that the call which err is about changed nothing:
// every attempt was refused by an answer, or never left this machine.
func Refused(err error) bool {
	var e *Error
	if !errors.As(err, &e) || e.Unsure {
		return false
	}
	if e.Unsent {
		return true
	}
	switch e.Kind {
	case Unauthenticated, Denied, NotFound, Precondition, Invalid, Throttled:
		return e.Code != 0 // Google's answer, and not an error of our own
	default:
		return false
	}
}

// Local reports whether err is about this machine and not about the call that met it: there
// is no login, or no way to the cloud. Every other call would fail for the same reason.
func Local(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Unsent && (e.Lasting || e.Kind == Unauthenticated)
}

type hinted struct {
	error
	hints []string
}

func (h *hinted) Unwrap() error { return h.error }

// WithHint attaches next steps to err. Each is one line, and where it can be a
// command, one that can be pasted. It returns nil for a nil err.
func WithHint(err error, hints ...string) error {
	if err == nil {
		return nil
	}
	return &hinted{err, hints}
}

// Part is one of the errors that another joins, and what to do about it.
type Part struct {
	Err   error
	Hints []string
}

// Parts returns the errors that err joins, in its order and each once, or err alone; each with its own hints. Hints
// that were attached to several together are with the last one of them.
func Parts(err error) []Part {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		// Hints and exit codes wrap an error without a word of their own.
		inner := errors.Unwrap(err)
		if inner == nil || inner.Error() != err.Error() {
			return []Part{{err, Hints(err)}}
		}
		parts := Parts(inner)
		if h, ok := err.(*hinted); ok && len(parts) > 0 {
			last := &parts[len(parts)-1]
			last.Hints = distinct(slices.Concat(h.hints, last.Hints))
		}
		return parts
	}
	var out []Part
	for _, e := range joined.Unwrap() {
		for _, part := range Parts(e) {
			at := slices.IndexFunc(out, func(p Part) bool { return p.Err.Error() == part.Err.Error() })
			if at < 0 {
				out = append(out, part)
				continue
			}
			out[at].Hints = distinct(slices.Concat(out[at].Hints, part.Hints))
		}
	}
	return out
}

// distinct returns the words without repeats.
func distinct(words []string) []string {
	var out []string
	for _, w := range words {
		if !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return out
}

// Hints returns every hint in err's tree, outermost first, without repeats.
func Hints(err error) []string {
	var out []string
	var walk func(error)
	walk = func(err error) {
		if err == nil {
			return
		}
		if h, ok := err.(*hinted); ok {
			out = append(out, h.hints...)
		}
		switch u := err.(type) {
		case interface{ Unwrap() error }:
			walk(u.Unwrap())
		case interface{ Unwrap() []error }:
			for _, e := range u.Unwrap() {
				walk(e)
			}
		}
	}
	walk(err)
	return distinct(out)
}
