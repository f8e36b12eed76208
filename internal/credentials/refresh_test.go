package credentials_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/internal/credentials"
	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/secret"
)

// refreshing is a run of some hours whose token lies in a file.
type refreshing struct {
	t       *testing.T
	refresh credentials.Refresh
	begun   time.Time
	minted  []time.Duration // when, since the beginning
	refused []error
	fail    func() error // what minting ends with; nil is a token
}

func newRefreshing(t *testing.T, lasts time.Duration) *refreshing {
	d := deliver(t, filepath.Join(t.TempDir(), "d"), delivery.Token)
	r := &refreshing{t: t, begun: time.Now(), fail: func() error { return nil }}
	r.refresh = credentials.Refresh{
		Delivery: d, Ends: r.begun.Add(time.Hour), Expires: r.begun.Add(lasts), Now: time.Now,
		Mint: func(context.Context) (grants.Token, error) {
			if err := r.fail(); err != nil {
				return grants.Token{}, err
			}
			r.minted = append(r.minted, time.Since(r.begun))
			lifetime := min(time.Hour, time.Until(r.refresh.Expires))
			return grants.Token{Value: secret.New("ya29.token-" + strconv.Itoa(len(r.minted))), Expires: time.Now().Add(lifetime)}, nil
		},
		Refused: func(err error) error { r.refused = append(r.refused, err); return nil },
	}
	return r
}

func (r *refreshing) token() string {
	r.t.Helper()
	b, err := os.ReadFile(delivery.TokenPath(r.refresh.Delivery.Dir))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(b)
}

func TestRefreshReplacesTheTokenInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRefreshing(t, 150*time.Minute)
		if err := r.refresh.Keep(t.Context()); err != nil {
			t.Fatal(err)
		}
		// At half of each one's life; the last one lasts to the end, and no later.
		want := []time.Duration{30 * time.Minute, time.Hour, 90 * time.Minute}
		if diff := cmp.Diff(want, r.minted); diff != "" {
			t.Error(diff)
		}
		if got := r.token(); got != "ya29.token-3" {
			t.Errorf("the file has %q", got)
		}
		if got := time.Since(r.begun); got != 150*time.Minute {
			t.Errorf("it ended after %s", got)
		}
	})
}

// Tokens are cut to the second, and may live for less than the five minutes that are to be left of one: they are replaced
// in time all the same, no more often than they have to be, and none is made for the last moment of the run.
func TestRefreshMakesFewTokens(t *testing.T) {
	t.Parallel()
	for _, lifetime := range []time.Duration{time.Minute, 5 * time.Minute, 9 * time.Minute, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(300 * time.Millisecond) // not on the second
			const lasts = 2 * time.Hour
			r := newRefreshing(t, lasts)
			ends, n := r.begun.Add(lifetime).Truncate(time.Second), 0
			r.refresh.Ends = ends
			r.refresh.Expires = r.refresh.Expires.Truncate(time.Second)
			r.refresh.Mint = func(context.Context) (grants.Token, error) {
				n++
				lives := min(lifetime, time.Until(r.refresh.Expires)).Truncate(time.Second)
				if !time.Now().Before(ends) || lives < 5*time.Second || n > 1000 {
					return grants.Token{}, fmt.Errorf("token %d, of %s, comes %s before the end of the one before", n, lives, time.Until(ends))
				}
				ends = time.Now().Add(lives).Truncate(time.Second)
				return grants.Token{Value: secret.New("ya29.token"), Expires: ends}, nil
			}
			r.refresh.Refused = func(err error) error { return err }
			if err := r.refresh.Keep(t.Context()); err != nil {
				t.Errorf("of %s: %v", lifetime, err)
			}
			if most := int(4*lasts/lifetime) + 20; n > most || r.refresh.Expires.Sub(ends) > 15*time.Second {
				t.Errorf("of %s: %d tokens, want %d at most, and the last one ends %s before the run", lifetime, n, most, r.refresh.Expires.Sub(ends))
			}
		})
	}
}

func TestRefreshGoesOnAfterAFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRefreshing(t, 2*time.Hour)
		outage := errors.New("no answer")
		r.fail = func() error {
			if time.Since(r.begun) < 45*time.Minute {
				return outage
			}
			return nil
		}
		if err := r.refresh.Keep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(r.refused) != 60 || !errors.Is(r.refused[0], outage) {
			t.Errorf("%d failures were told: %v", len(r.refused), r.refused)
		}
		if len(r.minted) == 0 || r.minted[0] != 45*time.Minute {
			t.Errorf("tokens came at %s", r.minted)
		}
	})
}

func TestRefreshEnds(t *testing.T) {
	t.Parallel()
	gone := fault.New(fault.NotFound, "the account is gone")
	for name, tt := range map[string]struct {
		change func(*refreshing)
		want   error
		after  time.Duration
	}{
		"when it is told to": {func(r *refreshing) {
			r.refresh.Refused = func(err error) error { return err }
			r.fail = func() error { return gone }
		}, gone, 30 * time.Minute},
		"with the run, though no token ever came": {func(r *refreshing) {
			r.fail = func() error { return gone }
		}, nil, 2 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRefreshing(t, 2*time.Hour)
				tt.change(r)
				if err := r.refresh.Keep(t.Context()); !errors.Is(err, tt.want) {
					t.Errorf("it ended with %v, want %v", err, tt.want)
				}
				if got := time.Since(r.begun); got < tt.after || got > tt.after+time.Minute {
					t.Errorf("it ended after %s, want %s", got, tt.after)
				}
			})
		})
	}
}

func TestRefreshEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRefreshing(t, 2*time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		if err := r.refresh.Keep(ctx); err != nil || len(r.minted) != 0 {
			t.Errorf("it ended with %v, after %d tokens", err, len(r.minted))
		}
	})
}
