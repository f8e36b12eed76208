package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/gcp"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/wait"
)

const (
	// contestWithin is how long runs of this machine try to write a policy that others write
	// too, since the last of their writes that was accepted.
	contestWithin = 10 * time.Minute
	// What Google advises where it did not answer (iam/docs/retry-strategy), and how
	// often in a row that may be.
	firstWait   = time.Second
	longestWait = 32 * time.Second
	maxOutages  = 8
	// The waits between two looks at something that is not there yet, such as a new account.
	firstLook   = 500 * time.Millisecond
	longestLook = 10 * time.Second
	// queueNotice is after how long in the queue for a policy that is reported.
	queueNotice = 3 * time.Second
	// lockNotice is after how long the wait for another process at work on the run is reported.
	lockNotice = time.Second
)

// paces are how often the policies of some resources are written once a quota was used
// up. Google takes an update of a bucket every second (storage/quotas), and five of a
// dataset in ten (bigquery/quotas); something is left of both for others.
var paces = map[string]journal.Pace{
	"bucket":  {Writes: 1, In: 1500 * time.Millisecond},
	"dataset": {Writes: 4, In: 10 * time.Second},
}

// policyEdit is a change of one policy.
type policyEdit struct {
	doing string // the step, for progress
	name  resource.Name
	// ready is closed when the policy may be written. It may be read before.
	ready <-chan struct{}
	// room returns why the policy has no room for the change, if it has not; it may be nil. It is
	// asked of each read: others fill the policy too.
	room func(policy.Document) error
	// change changes the policy, and reports whether it did.
	change func(policy.Document) bool
	// check sees what Google says it stored; it may be nil.
	check func(stored policy.Document) error
	// dropping is told of the deleted members that the write leaves out beside the change: once before it, when an
	// error keeps it from being made, and once, with done, after it. It may be nil where no document drops any.
	dropping func(drops []policy.Binding, done bool) error
	// passing are the kinds of error that end without our doing, such as those about an
	// account that is not visible everywhere yet. They are retried for as long as within says.
	passing []fault.Kind
	within  time.Duration
	// account is the email of the run's account, which may not be visible yet. An error that
	// names another member of the policy is not about it, and does not pass.
	account string
	// accounts are the emails, or members, whose bindings are the edit's own beside that account's.
	accounts []string
	// harmed is told of what a service changed beside the edit, which is no reason for the edit to
	// have failed. Where it is nil, that is the edit's error.
	harmed func(error)
	// mending says that this edit puts such a thing back.
	mending bool
	// beforeRetry is called before such an error is waited for, and may remove its cause. An
	// error that it returns is final. It may be nil.
	beforeRetry func(ctx context.Context) error
}

// edit carries out a policyEdit: the whole read-modify-write, again after a conflict, and again after whatever else
// passes. The policy's lock on this machine is held from the read to the write and through no wait, so that runs
// queue instead of overtaking each other, and none is kept by one that waits for something else.
//
// A bound counts from the first failure of its kind; time in the queue does not count.
func (e *Engine) edit(ctx context.Context, p policyEdit) error {
	begun := e.Now()
	var contest, outage, hidden streak
	var steady steadiness
	var unanswered policy.Document
	reread := false
	for {
		t := &attempt{Engine: e, policyEdit: p, unanswered: unanswered}
		err := t.run(ctx)
		unanswered = t.unanswered
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return errors.Join(context.Cause(ctx), err)
		}
		delay, again := t.rest, false
		var what Wait
		switch {
		case !reread && t.outdated(err):
			reread = true
			continue
		case ambiguous(err) && steady.refuses(e.Now(), t.etag):
			return fmt.Errorf("the policy of %s is refused as if somebody had changed it, but nobody has: %w", p.name,
				lastingConflict(err))
		case fault.Is(err, fault.Conflict, fault.Throttled):
			again = contest.lasted(e.Now(), t.moved) < contestWithin && retryAfter(err) <= gcp.LongestWait
			contest.n++
			if what = forOthers; fault.Is(err, fault.Throttled) {
				what = forQuota
			}
			what = what.atMost(ctx, later(contest.since, t.moved).Add(contestWithin))
		case fault.Is(err, fault.Unavailable):
			outage.n++
			delay, again = wait.Jitter(firstWait, outage.n-1, longestWait)+retryAfter(err), outage.n < maxOutages &&
				!fault.Lasts(err) && retryAfter(err) <= gcp.LongestWait
			what = forAnswer.atMost(ctx, time.Time{})
		case fault.Is(err, p.passing...):
			if other := t.refusedFor(err); other != "" {
				return blamed(p.name, other, err)
			}
			delay, again = wait.Jitter(firstLook, hidden.n, longestLook),
				hidden.lasted(e.Now(), time.Time{}) < p.within
			hidden.n++
			what = forAccount.atMost(ctx, hidden.since.Add(p.within))
			if p.beforeRetry != nil {
				if lasting := p.beforeRetry(ctx); lasting != nil {
					return errors.Join(lasting, err)
				}
			}
		default:
			return err
		}
		if !again {
			return fmt.Errorf("giving up after %s: %w", e.Now().Sub(begun).Round(time.Millisecond), err)
		}
		e.waits(p.doing, p.name.String(), err, what)
		if cause := wait.For(ctx, delay); cause != nil {
			return errors.Join(cause, err)
		}
	}
}

// later returns the later of two times.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// streak is how often something failed for one reason, and since when.
type streak struct {
	n     int
	since time.Time
}

// lasted returns how long it has gone on: since the first failure, which may be this one,
// or since anything moved.
func (s *streak) lasted(now, moved time.Time) time.Duration {
	if s.n == 0 {
		s.since = now
	}
	if moved.After(s.since) && moved.Before(now) {
		return now.Sub(moved)
	}
	return now.Sub(s.since)
}

// A policy that is read several times in a row as it was before each of its writes was refused,
// and for that long, was changed by nobody.
const (
	steadyTimes  = 4
	steadyWithin = 20 * time.Second
)

// steadiness counts the writes in a row that were refused as stale while the policy stayed as it
// was. Cloud Storage answers 412 to them, and also where an organisation policy forbids a member.
type steadiness struct {
	etag  string
	n     int
	since time.Time
}

// ambiguous reports whether a refusal is that of a stale write or another one.
func ambiguous(err error) bool {
	e, ok := errors.AsType[*fault.Error](err)
	return ok && e.Kind == fault.Conflict && e.Code == http.StatusPreconditionFailed
}

// refuses takes down that a write over the etag was refused as stale, and reports whether that is
// certain to be for another reason.
func (s *steadiness) refuses(now time.Time, etag string) bool {
	if etag == "" || etag != s.etag {
		*s = steadiness{etag: etag, since: now}
	}
	s.n++
	return etag != "" && s.n >= steadyTimes && now.Sub(s.since) >= steadyWithin
}

// lastingConflict returns the refusal as what it is: one that lasts.
func lastingConflict(err error) error {
	e, ok := errors.AsType[*fault.Error](err)
	if !ok {
		return err
	}
	lasting := *e
	lasting.Kind = fault.Precondition
	return fault.WithHint(&lasting, "an organisation policy may forbid a member of it: "+
		"gcloud org-policies describe iam.allowedPolicyMemberDomains --effective --project=PROJECT")
}

// outdated reports whether a write was refused for what another read may show otherwise: a member that was deleted
// since is read as deleted. The run's own account may not be visible yet, and is waited for instead.
func (t *attempt) outdated(err error) bool {
	return t.written != nil && fault.Is(err, fault.Invalid) && (!fault.Is(err, t.passing...) || t.refusedFor(err) != "")
}

// refusedFor returns the member of the policy for which a write of it was refused, if that is
// neither the run's account nor unknown. Google names the member in a detail, or in its message.
func (t *attempt) refusedFor(err error) string {
	e, ok := errors.AsType[*fault.Error](err)
	if !ok || t.written == nil || t.account == "" || !fault.Is(err, fault.Invalid) {
		return ""
	}
	if strings.Contains(e.Member+" "+e.Message, t.account) {
		return ""
	}
	for _, b := range t.written.Bindings() {
		_, id, _ := strings.Cut(b.Member, ":")
		switch {
		case b.Member == e.Member, strings.Contains(e.Message, b.Member),
			strings.Contains(id, "@") && strings.Contains(e.Message, id):
			return b.Member
		}
	}
	return e.Member
}

// blamed returns the error of a policy that is refused for a member which others have bound.
func blamed(on resource.Name, member string, err error) error {
	err = fmt.Errorf("the policy of %s is refused for %s, which is none of this run's: %w", on, member, err)
	return fault.WithHint(err, "whoever bound "+member+" there has to mend or remove it; until then nobody can change "+
		"that policy")
}

// retryAfter is how long Google said to wait.
func retryAfter(err error) time.Duration {
	if e, ok := errors.AsType[*fault.Error](err); ok {
		return e.RetryAfter
	}
	return 0
}

// attempt is one attempt at a policyEdit.
type attempt struct {
	*Engine
	policyEdit
	written policy.Document // what was sent to be stored; nil before that
	etag    string          // of the version that it was to replace
	stored  string          // that of what Google says it stored
	// unanswered is what was sent, by this attempt or an earlier one, in a write whose answer was lost.
	unanswered policy.Document
	read       time.Time     // when the last read was over
	roundTrip  time.Duration // and how long it took
	rest       time.Duration // how long to rest after it was lost or throttled
	moved      time.Time     // when somebody on this machine last got through
}

func (t *attempt) run(ctx context.Context) error {
	turn, err := t.turn(ctx)
	if err != nil {
		return err
	}
	doc, err := t.readIn(ctx, turn)
	if err != nil {
		return err
	}
	if !closed(t.ready) {
		// Reading went on beside what has to be done before the writing. The wait for that
		// is no time to keep others out; what was read stands if no other run wrote meanwhile.
		turn.End()
		earlier := turn
		if err := after(ctx, t.ready); err != nil {
			return err
		}
		if turn, err = t.turn(ctx); err != nil {
			return err
		}
		if !turn.Follows(earlier) || t.Now().Sub(t.read) > 2*t.roundTrip {
			if doc, err = t.readIn(ctx, turn); err != nil {
				return err
			}
		}
	}
	return t.writeIn(ctx, turn, doc)
}

// turn waits for the turn to edit the policy.
func (t *attempt) turn(ctx context.Context) (*journal.Turn, error) {
	on := t.name.String()
	notice := time.AfterFunc(queueNotice, func() {
		t.waits(t.doing, on, nil, forTurn.atMost(ctx, time.Time{}))
	})
	defer notice.Stop()
	cloud, endpoint := t.Cloud.Cloud()
	turn, err := t.Turns.LockPolicy(ctx, cloud+" "+endpoint+" "+t.name.Full(), paces[t.name.Type().Kind])
	if err != nil {
		return nil, fmt.Errorf("waiting for the policy of %s: %w", on, err)
	}
	return turn, nil
}

// readIn reads the policy. With an error the turn is over.
func (t *attempt) readIn(ctx context.Context, turn *journal.Turn) (policy.Document, error) {
	begun := t.Now()
	doc, err := t.Cloud.TryReadPolicy(ctx, t.name)
	t.read = t.Now()
	t.roundTrip = t.read.Sub(begun)
	if err != nil {
		t.end(turn, err)
	}
	return doc, err
}

// writeIn changes the policy and writes it, if there is something to change. The turn is
// over then.
func (t *attempt) writeIn(ctx context.Context, turn *journal.Turn, doc policy.Document) error {
	if t.room != nil {
		if err := t.room(doc); err != nil {
			turn.End()
			return err
		}
	}
	if !t.change(doc) {
		turn.End()
		if t.unanswered == nil {
			return nil
		}
		t.written = t.unanswered // it was stored after all
		return t.mend(ctx, doc)
	}
	if err := t.drop(doc.Dropped(), false); err != nil {
		turn.End()
		return err
	}
	return t.put(ctx, doc, func(err error) {
		turn.Wrote()
		if err == nil {
			turn.Accepted(t.roundTrip)
		}
		t.end(turn, err)
	})
}

// put has the document stored, and looks at what was: at all of it, since a service may change what
// is not the edit's own. Every write of a policy goes this way. Once there is an answer, answered is called.
func (t *attempt) put(ctx context.Context, doc policy.Document, answered func(error)) error {
	t.written, t.etag, t.unanswered = doc, doc.Etag(), nil
	stored, err := t.Cloud.TryWritePolicy(ctx, t.name, doc)
	answered(err)
	if fault.Is(err, fault.Unavailable) {
		t.unanswered = doc
	}
	if err == nil {
		err = t.drop(doc.Dropped(), true)
	}
	if err != nil {
		return err
	}
	t.stored = stored.Etag()
	t.wrote.Store(t.name, t)
	if !t.mending {
		err = t.mend(ctx, stored)
	}
	if t.check != nil {
		err = errors.Join(t.check(stored), err)
	}
	return err
}

// end ends a turn with the result err, and shares what was learned about other writers and
// the quota with the other runs of this machine.
func (t *attempt) end(turn *journal.Turn, err error) {
	switch {
	case fault.Is(err, fault.Conflict):
		t.rest = turn.Lost(t.roundTrip)
	case fault.Is(err, fault.Throttled):
		t.rest = turn.Throttled(retryAfter(err))
	}
	t.moved = turn.Moved()
	turn.End()
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
