package credentials

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/secret"
)

const (
	// maxTokens is how many different tokens a minter keeps: one for each set of scopes and
	// each audience. Clients ask for two or three. More are refused: if they replaced older
	// ones, a sandbox could cause a call to Google with every request.
	maxTokens = 16
	// mintTimeout bounds one minting, retries included. Few clients wait longer.
	mintTimeout = 30 * time.Second
	// After a failure there is a pause, which gets longer after each further one: all calls
	// count against the quota of the operator's project.
	firstPause   = time.Second
	longestPause = time.Minute
	// leastLife is the shortest remaining life with which a token is handed out.
	leastLife = 2 * time.Second
	// lastCall is how long before the end of a run the last token is made. Google makes
	// tokens of whole seconds; a later one would not have leastLife.
	lastCall = leastLife + time.Second
	// identityLifetime is how long Google's identity tokens live; it cannot be changed.
	identityLifetime = time.Hour
)

// MinterConfig says how a [Minter] makes its tokens.
type MinterConfig struct {
	// AccessToken makes an access token of the run's account with that lifetime and those
	// scopes, and IDToken an identity token for an audience. If one is nil, there are none.
	AccessToken func(ctx context.Context, lifetime time.Duration, scopes []string) (grants.Token, error)
	IDToken     func(ctx context.Context, audience string) (grants.Token, error)
	// Scopes are those of a token if a caller names none; nil is cloud-platform.
	Scopes []string
	// Lifetime is how long an access token lives; 0 is a quarter of an hour.
	Lifetime time.Duration
	// Expires is the end of the run. No access token is made that would outlive it, and
	// none after it. The zero time is no end.
	Expires time.Time
	// Now is the clock; nil is [time.Now].
	Now func() time.Time
}

// Minter caches the tokens of one run, and makes new ones in advance: in the last third of
// a token's life the next one is fetched, while callers still get the current one, which
// stays valid. However many callers ask at once, each token is made once.
//
// It may be used by several goroutines. Its memory is bounded: it keeps at most 16
// different tokens. So are its calls: one for each token and renewal, and after a failure
// none for up to a minute, during which every caller gets the same error.
type Minter struct {
	cfg MinterConfig

	// ctx is used for all minting, and not the caller's, because other callers may wait for
	// the same token.
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu     sync.Mutex // never held during a call
	closed bool
	tokens map[string]*cached
}

// cached is a token, and the state of fetching the next one.
type cached struct {
	mint func(ctx context.Context) (grants.Token, time.Duration, error)
	// bound says that the token must end with the run, as an access token must.
	bound bool

	held  minted
	next  *flight // nil unless a token is being made
	err   error   // why the last minting failed; nil if it did not
	pause time.Duration
	after time.Time // no minting before this
}

// minted is a token whose life is measured by this machine's clock, from before the
// request: Google's clock may differ by minutes.
type minted struct {
	value    secret.String
	asked    time.Time
	lifetime time.Duration
}

// left is how much of the token's life is left at least. Of the two clocks in a
// [time.Time], the one that advanced further counts: the wall clock may be set back, and
// the monotonic one stops while a laptop sleeps.
func (t minted) left(now time.Time) time.Duration {
	if t.value.IsZero() {
		return 0
	}
	return t.lifetime - max(now.Sub(t.asked), now.Round(0).Sub(t.asked.Round(0)))
}

// flight is one minting in progress, for which any number of callers may wait.
type flight struct {
	done  chan struct{} // closed when token and err are set
	token minted
	err   error
}

// NewMinter returns a minter. It makes no token yet: asking for one in advance spares the
// first client the wait, and shows whether minting works.
func NewMinter(cfg MinterConfig) *Minter {
	if cfg.Lifetime <= 0 {
		cfg.Lifetime = grants.TokenLifetime / 4
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

// Close ends the minter: it cancels what is in progress and waits until that has ended.
// Every later call is refused.
func (m *Minter) Close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.cancel()
	m.work.Wait()
}

// Extend moves the end of the run. A token that was made to end at the earlier end is
// replaced in advance, like every other.
func (m *Minter) Extend(expires time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cfg.Expires = expires
}

// errEnded is the error after the run's end.
var errEnded = fault.New(fault.Denied, "the run has expired")

// AccessToken returns an access token with these scopes, in any order, or with the
// configured ones if there are none. Its Expires is not later than its real end, nor than
// the run's. If a caller's context ends, other callers still get the token.
//
// From a few seconds before the run's end on, and for more different tokens than are kept,
// the error is a [fault.Denied]; otherwise it is that of minting.
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
				return grants.Token{}, 0, fault.New(fault.Denied, "this run gives out no access tokens")
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

// IDToken returns an identity token for the audience. Google lets it live an hour, which
// may be longer than the run has; none is made after the run's end.
func (m *Minter) IDToken(ctx context.Context, audience string) (grants.Token, error) {
	return m.get(ctx, "identity "+audience, func() *cached {
		return &cached{mint: func(ctx context.Context) (grants.Token, time.Duration, error) {
			if m.cfg.IDToken == nil {
				return grants.Token{}, 0, fault.New(fault.Denied, "this run gives out no identity tokens")
			}
			token, err := m.cfg.IDToken(ctx, audience)
			return token, identityLifetime, err
		}}
	})
}

// get returns the token of that name. At the first request, create says how it is made.
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
		return grants.Token{}, fault.New(fault.Unavailable, "the token expired before it arrived")
	}
	return grants.Token{Value: held.value, Expires: now.Add(left)}, nil
}

// look returns the current token or the minting to wait for. If it is time for the next
// token, it starts the minting.
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
				"this run already has %d different tokens, which is the limit", maxTokens)
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
	return minted{}, nil, fault.New(fault.Unavailable, "the last token has just expired")
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
		// If the token says that it ends earlier than requested, that counts. If it says
		// that it has ended already, the clocks differ, and that is ignored.
		if said := token.Expires.Sub(asked); said >= leastLife {
			lifetime = min(lifetime, said)
		}
		m.land(c, f, minted{token.Value, asked, lifetime}, err)
	})
	return f
}

// land stores the result of a minting, and wakes everybody who waits for it.
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
