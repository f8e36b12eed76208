package app

import (
	"context"
	"time"

	"github.com/taskiam/taskiam/internal/credentials"
	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/gcp"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/supervise"
)

// FreshToken makes a token of the run's account: from its key if it has one, else by
// impersonation.
func (a *App) FreshToken(ctx context.Context, run *journal.Run) (grants.Token, error) {
	o := run.Opened
	client, err := a.Client(ctx, Options{Reason: o.Reason, NoOperator: delivery.Of(run.Kind).MakesKey})
	if err != nil {
		return grants.Token{}, err
	}
	// A key or a login is sent only to the cloud that it belongs to.
	if err := o.CheckCloud(client.Cloud()); err != nil {
		return grants.Token{}, err
	}
	if delivery.Of(run.Kind).MakesKey {
		key, err := credentials.ReadKey(supervise.DeliveryOf(run))
		if err != nil {
			return grants.Token{}, err
		}
		return client.KeyToken(ctx, key)
	}
	return tokenUntil(ctx, client, o.Email, run.Expires(), a.Now())
}

// tokenUntil makes a token of the account that does not outlive the run. One that would,
// because this machine's clock is wrong, is thrown away unseen and made anew by the cloud's clock.
func tokenUntil(ctx context.Context, client *gcp.Client, email string, ends, now time.Time) (grants.Token, error) {
	token, err := client.AccessToken(ctx, email, min(grants.TokenLifetime, ends.Sub(now)))
	if err != nil || !token.Expires.After(ends.Add(time.Minute)) {
		return token, err
	}
	left := ends.Sub(client.Clock())
	if left < time.Second {
		return grants.Token{}, fault.New(fault.NotFound, "the run of %s has expired, at %s by the clock of the cloud",
			email, ends.UTC().Format("2006-01-02 15:04:05 UTC"))
	}
	return client.AccessToken(ctx, email, min(grants.TokenLifetime, left))
}
