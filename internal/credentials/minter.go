package credentials

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/secret"
)

const (
	// maxTokens is how many different tokens a minter keeps: sets of scopes, and
	// audiences. Clients ask for two or three. What is beyond is refused. Making room for
	// it instead would let a sandbox have Google asked at every request.
	maxTokens = 16
	// mintTimeout bounds one minting, with all its repetitions. Few clients wait longer.
	mintTimeout = 30 * time.Second
	// After a refusal Google is left alone for a while, and longer after each further one:
	// the quota that asking uses up is the operator's whole project's.
	firstPause   = time.Second
	longestPause = time.Minute
	// leastLife is what a token has left at the least when it is handed out.
	leastLife = 2 * time.Second
	// lastCall is when the end of a run is so near that no token of whole seconds, which
	// is what Google makes, would have leastLife.
	lastCall = leastLife + time.Second
	// identityLifetime is Google's for identity tokens, and cannot be changed.
	identityLifetime = time.Hour
)

// MinterConfig says how a [Minter] makes its tokens.
type MinterConfig struct {
	// AccessToken makes an access token of the run's account that lives that long and
	// carries those scopes, and IDToken an identity token for an audience. Nil refuses.
	AccessToken func(ctx context.Context, lifetime time.Duration, scopes []string) (grants.Token, error)
	IDToken     func(ctx context.Context, audience string) (grants.Token, error)
	// Scopes are those of a token that is asked for without any; nil is cloud-platform.
	Scopes []string
	// Lifetime is how long an access token lives; 0 is what one of a metadata server does.
	Lifetime time.Duration
	// Expires is the end of the run: no access token is asked for that would outlive it,
	// and from then on there are none. The zero time is no end.
	Expires time.Time
	// Now is the clock; nil is [time.Now].
	Now func() time.Time
}

// Minter keeps the tokens of one run, and makes new ones ahead of need: in the last
// third of a token's life the next one is fetched while callers still get this one,
// which a newer one does not end. However many ask at once, each token is made once.
//
// It may be used by several goroutines. Its memory is bounded, by 16 different tokens,
// and so are its calls: one for each token and renewal, and after a refusal none for up
// to a minute, in which everybody is given the same answer.
type Minter struct {
	cfg MinterConfig

	// ctx is that of all minting. Who asked does not matter to it: others may wait for
	// the same token.
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu     sync.Mutex // held for a look, never across a call
	closed bool
	tokens map[string]*cached
}

// cached is a token, and what is known about getting the next one.
type cached struct {
	mint func(ctx context.Context) (grants.Token, time.Duration, error)
	// bound is whether the token is to end with the run, as an access token is.
	bound bool

	held  minted
	next  *flight // nil unless a token is being made
	err   error   // why the last minting failed; nil if it did not
	pause time.Duration
	after time.Time // before which there is no other minting
}

// minted is a token with its life measured from before it was asked for, by this
// machine's clock: Google's may differ by minutes.
type minted struct {
	value    secret.String
	asked    time.Time
	lifetime time.Duration
}

// left is how much of the token's life is left, at the least. Of the two halves of a
// [time.Time] the one counts that went further: the wall clock may be set back, and the
// monotonic one stands still while a laptop sleeps.
func (t minted) left(now time.Time) time.Duration {
	if t.value.IsZero() {
		return 0
	}
	return t.lifetime - max(now.Sub(t.asked), now.Round(0).Sub(t.asked.Round(0)))
}

// flight is one minting, which any number of callers may wait for.
type flight struct {
	done  chan struct{} // closed when the others are there
	token minted
	err   error
}

// NewMinter returns a minter. It makes no token yet. Asking for one before there is
// anybody to be served keeps the first client from waiting, and tells whether it works.
func NewMinter(cfg MinterConfig) *Minter {
	if cfg.Lifetime <= 0 {
		cfg.Lifetime = delivery.Of(delivery.Metadata).Lifetime(grants.Task{})
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if len(cfg.Scopes) == 0 {
		cfg.Scopes = []string{"https://www.googleapis.com/auth/cloud-platform"}
	}
	m := &Minter{cfg: cfg, tokens: map[string]*cached{}}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	return m
}

// Close ends the minter: what is being made is given up, and waited for. Every later
// call is refused.
func (m *Minter) Close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.cancel()
	m.work.Wait()
}

// Extend moves the end of the run. A token that was made to end with the earlier one is
// replaced ahead of its own, like every other.
func (m *Minter) Extend(expires time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cfg.Expires = expires
}

// errEnded is what a minter says when its run is over.
var errEnded = fault.New(fault.Denied, "the run has ended")

// AccessToken returns an access token with these scopes, in whatever order, or with the
// configured ones if there are none. Its Expires is not later than its real end, nor
// than the run's. A caller whose context ends does not keep others from the token.
//
// After the run's end, and from a few seconds before it, it is a [fault.Denied], as for
// more different tokens than are kept; otherwise the error is what minting ended with.
func (m *Minter) AccessToken(ctx context.Context, scopes []string) (grants.Token, error) {
	if len(scopes) == 0 {
		scopes = m.cfg.Scopes
	}
	if len(scopes) > 1 {
		scopes = slices.Compact(slices.Sorted(slices.Values(scopes)))
	}
	return m.get(ctx, "access "+strings.Join(scopes, " "), func() *cached {
		scopes := slices.Clone(scopes)
		return &cached{bound: true, mint: func(ctx context.Context) (grants.Token, time.Duration, error) {
			if m.cfg.AccessToken == nil {
				return grants.Token{}, 0, fault.New(fault.Denied, "this run hands out no access tokens")
			}
			lifetime := m.cfg.Lifetime
			m.mu.Lock()
			end := m.cfg.Expires
			m.mu.Unlock()
			if !end.IsZero() {
				lifetime = min(lifetime, end.Sub(m.cfg.Now()))
			}
			lifetime = lifetime.Truncate(time.Second) // as Google does
			token, err := m.cfg.AccessToken(ctx, lifetime, scopes)
			return token, lifetime, err
		}}
	})
}

// IDToken returns an identity token for the audience. Google gives it an hour, which may
// be longer than the run has; none is made after the run's end.
func (m *Minter) IDToken(ctx context.Context, audience string) (grants.Token, error) {
	return m.get(ctx, "identity "+audience, func() *cached {
		return &cached{mint: func(ctx context.Context) (grants.Token, time.Duration, error) {
			if m.cfg.IDToken == nil {
				return grants.Token{}, 0, fault.New(fault.Denied, "this run hands out no identity tokens")
			}
			token, err := m.cfg.IDToken(ctx, audience)
			return token, identityLifetime, err
		}}
	})
}

// get returns the token of that name. If it is asked for the first time, create tells
// how it is made.
func (m *Minter) get(ctx context.Context, name string, create func() *cached) (grants.Token, error) {
	now := m.cfg.Now()
	held, next, err := m.look(name, now, create)
	if err != nil {
		return grants.Token{}, err
	}
	if next != nil {
		select {
		case <-ctx.Done():
			return grants.Token{}, context.Cause(ctx)
		case <-next.done:
		}
		if next.err != nil {
			return grants.Token{}, next.err
		}
		held, now = next.token, m.cfg.Now()
	}
	left := held.left(now)
	if left <= 0 {
		return grants.Token{}, fault.New(fault.Unavailable, "the token ended before it was there")
	}
	return grants.Token{Value: held.value, Expires: now.Add(left)}, nil
}

// look returns the token in hand, or the minting to wait for, and starts one where it
// is time.
func (m *Minter) look(name string, now time.Time, create func() *cached) (minted, *flight, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || m.remaining(now) < lastCall {
		return minted{}, nil, errEnded
	}
	c := m.tokens[name]
	if c == nil {
		if len(m.tokens) == maxTokens {
			return minted{}, nil, fault.New(fault.Denied,
				"this run has %d different tokens already, which is the limit", maxTokens)
		}
		c = create()
		m.tokens[name] = c
	}
	left := c.held.left(now)
	lastsToTheEnd := c.bound && m.remaining(now)-left < lastCall && left > 0
	if c.next == nil && left <= c.held.lifetime/3 && !lastsToTheEnd && !now.Before(c.after) {
		c.next = m.start(c, now)
	}
	switch {
	case left >= leastLife:
		return c.held, nil, nil
	case c.next != nil:
		return minted{}, c.next, nil
	case c.err != nil:
		return minted{}, nil, c.err
	case lastsToTheEnd:
		return minted{}, nil, errEnded
	}
	return minted{}, nil, fault.New(fault.Unavailable, "the last token has just ended")
}

// remaining is how much of the run is left.
func (m *Minter) remaining(now time.Time) time.Duration {
	if m.cfg.Expires.IsZero() {
		return 1<<63 - 1
	}
	return m.cfg.Expires.Sub(now)
}

// start makes a token in the background. The caller holds the lock.
func (m *Minter) start(c *cached, asked time.Time) *flight {
	f := &flight{done: make(chan struct{})}
	m.work.Go(func() {
		ctx, cancel := context.WithTimeout(m.ctx, mintTimeout)
		defer cancel()
		token, lifetime, err := c.mint(ctx)
		// A token that ends earlier than was asked for is believed; one that ended before
		// it was made only says that the clocks differ.
		if said := token.Expires.Sub(asked); said >= leastLife {
			lifetime = min(lifetime, said)
		}
		m.land(c, f, minted{token.Value, asked, lifetime}, err)
	})
	return f
}

// land keeps what a minting ended with, and tells everybody who waits.
func (m *Minter) land(c *cached, f *flight, token minted, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c.next = nil
	switch {
	case m.closed:
		f.err = errEnded
	case err != nil:
		f.err, c.err = err, err
		c.pause = min(max(2*c.pause, firstPause), longestPause)
		wait := c.pause
		if e := (*fault.Error)(nil); errors.As(err, &e) {
			wait = max(wait, min(e.RetryAfter, longestPause))
		}
		c.after = m.cfg.Now().Add(wait)
	default:
		f.token, c.held = token, token
		c.err, c.pause, c.after = nil, 0, token.asked.Add(firstPause)
	}
	close(f.done)
}
