package credentials

import (
	"context"
	"time"

	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/wait"
)

// Refresh keeps the token in a run's delivery valid until the run ends.
type Refresh struct {
	// Delivery is the run's, without the token.
	Delivery delivery.Delivery
	// Mint makes a token that lives as long as it may, and not longer than the run.
	Mint func(ctx context.Context) (grants.Token, error)
	// Ends is when the current token ends, and Expires when the run does.
	Ends, Expires time.Time
	Now           func() time.Time
	// Refused is told why there is no new token yet. There is another try later, as long
	// as the run lasts. If Refused returns an error, Keep ends with it.
	Refused func(err error) error
}

const (
	// refreshAgain is the pause between a failure and the next try.
	refreshAgain = 15 * time.Second
	// refreshLead is how long before its end a token is replaced at the latest.
	refreshLead = 5 * time.Minute
	// lastGap is how long before the run the last token may end: lifetimes are cut to the second, and the run's end
	// is known to the second only.
	lastGap = 10 * time.Second
)

// Keep replaces the token when half of its life is over, or earlier if less than five minutes would be left, but not
// before a quarter of it. An older token, which a command may have read, stays valid until its own end. Keep returns
// nil at the run's end.
func (r Refresh) Keep(ctx context.Context) error {
	for ends := r.Ends; ends.Before(r.Expires.Add(-lastGap)); {
		left := ends.Sub(r.Now())
		if wait.For(ctx, max(min(left/2, left-refreshLead), left/4)) != nil {
			return nil
		}
		next, err := r.replace(ctx)
		if err != nil || next.IsZero() {
			return err
		}
		ends = next
	}
	// The last one lasts to the end.
	_ = wait.For(ctx, r.Expires.Sub(r.Now()))
	return nil
}

// replace puts a new token into the delivery, with as many tries as it takes, and returns
// when that token ends. The zero time means that further tries are of no use.
func (r Refresh) replace(ctx context.Context) (time.Time, error) {
	for {
		token, err := r.Mint(ctx)
		if err == nil {
			d := r.Delivery
			d.Token = token
			err = ReplaceToken(d)
		}
		if err == nil {
			return token.Expires, nil
		}
		if ctx.Err() != nil || !r.Now().Before(r.Expires) {
			return time.Time{}, nil
		}
		if err := r.Refused(err); err != nil {
			return time.Time{}, err
		}
		if wait.For(ctx, refreshAgain) != nil {
			return time.Time{}, nil
		}
	}
}
