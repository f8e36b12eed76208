package lifecycle

import (
	"slices"
	"time"

	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
)

// A run's conditions, its key and its tokens end by Google's clock. A machine whose own
// is wrong would make them end too early, which is a nuisance, or too late, which must
// not be; so where the two differ a run is dated by Google's.

const (
	// wrongClock is how wrong this machine's clock may be before runs are dated by Google's
	// clock and the operator is warned.
	wrongClock = time.Minute
	// A client with a key signs a JWT, dated by its own clock. Google refuses one that
	// begins more than some minutes in the future, and one that has expired; a JWT lasts an
	// hour at most (identity/protocols/oauth2/service-account, "Forming the JWT claim set").
	signsEarly = 5 * time.Minute
	signsLate  = 55 * time.Minute
)

// clockAhead returns by how much the cloud's clock is ahead of this machine's, to the
// second, as the answers so far told; 0 if this machine's is not wrong.
func (e *Engine) clockAhead() time.Duration {
	ahead := e.Cloud.Clock().Sub(e.Now()).Round(time.Second)
	if ahead.Abs() <= wrongClock {
		return 0
	}
	return ahead
}

// clockSays says in words how wrong this machine's clock is.
func clockSays(ahead time.Duration) string {
	side := "behind"
	if ahead < 0 {
		side = "ahead of"
	}
	return "this machine's clock is " + ahead.Abs().Round(time.Minute).String() + " " + side + " that of the cloud"
}

// warnOfClock says that this machine's clock is wrong, if it is, and what comes of that.
func (e *Engine) warnOfClock(ahead time.Duration, so string) {
	if ahead != 0 {
		e.report(clockSays(ahead)+": "+so, "", Warned, nil)
	}
}

// leaveUnsigned takes out of the deliveries that may be made a key which no client on
// this machine could use, because its clock is too wrong to sign with. It is an error
// if that leaves none.
func (s *survey) leaveUnsigned(plan grants.Plan) error {
	if s.ahead >= -signsEarly && s.ahead <= signsLate {
		return nil
	}
	rest := slices.DeleteFunc(slices.Clone(s.deliver),
		func(d grants.DeliveryKind) bool { return delivery.Of(d).MakesKey })
	if len(rest) > 0 || len(s.deliver) == 0 {
		s.deliver = rest
		return nil
	}
	return fault.WithHint(fault.New(fault.Precondition, "delivering a key to task %s: %s, and Google would not accept "+
		"what the key signs", plan.Task.Name, clockSays(s.ahead)),
		"set the clock of this machine",
		`or put deliver = "token" under [credentials] in the manifest: a token needs no clock`)
}
