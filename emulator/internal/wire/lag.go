package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/iam"
)

// Lag is how long changes take to be seen, each kind by itself; the zero value is at
// once. Google gives a minute and more for accounts and keys
// (iam/docs/service-accounts-create, iam/docs/keys-create-delete), two to seven
// minutes and more for policies, longer for taking away than for giving
// (iam/docs/access-change-propagation).
//
// A lag that is set applies to changes made from then on. Those under way keep theirs.
type Lag struct {
	// Seed starts the sequence from which random delays are drawn: the same seed and
	// the same calls in the same order give the same delays.
	Seed uint64 `json:"seed,omitempty"`
	// AccountRead is how long a new account is missing from reads at the IAM API, with
	// 404 or 403 by chance. Writes see it at once.
	AccountRead Delay `json:"account_read,omitzero"`
	// AccountBind is how long policies outside the IAM API refuse to name a new account,
	// with 400. It is independent of AccountRead: either may end first.
	AccountBind Delay `json:"account_bind,omitzero"`
	// AccountMint is how long IAM Credentials does not know a new account.
	AccountMint Delay `json:"account_mint,omitzero"`
	// Key is how long what a new key signs is refused.
	Key Delay `json:"key,omitzero"`
	// Grant is how long a member added to a policy has not got the role yet, and Revoke
	// how long one that was taken out still has it. Reading the policy shows the change
	// at once.
	Grant  Delay `json:"grant,omitzero"`
	Revoke Delay `json:"revoke,omitzero"`
	// Disable is how long an account that was disabled or enabled is still treated as
	// before. Google documents none: disabling is the kill switch.
	Disable Delay `json:"disable,omitzero"`
	// Role is how long a new custom role is unknown to policies, which refuse it with 400,
	// and how long what a custom role holds, since it was made, changed, deleted or
	// undeleted, is what it held before. Reading it shows the change at once.
	Role Delay `json:"role,omitzero"`
	// Search is how long the search over all policies shows one as it was before a change.
	Search Delay `json:"search,omitzero"`
}

// Delay is a length of time: constant if Max is zero, else drawn evenly from Min to
// Max. As text it is "90s" or "30s..90s".
type Delay struct {
	Min, Max time.Duration
}

// ParseDelay reads a Delay from text.
func ParseDelay(text string) (Delay, error) {
	from, to, ranged := strings.Cut(text, "..")
	var d Delay
	var err error
	if d.Min, err = time.ParseDuration(from); err != nil {
		return Delay{}, fmt.Errorf("reading delay %q: %w", text, err)
	}
	if ranged {
		if d.Max, err = time.ParseDuration(to); err != nil {
			return Delay{}, fmt.Errorf("reading delay %q: %w", text, err)
		}
	}
	if d.Min < 0 || ranged && d.Max < d.Min {
		return Delay{}, fmt.Errorf("reading delay %q: it must not be negative, nor end before it begins", text)
	}
	return d, nil
}

// MarshalText writes d as [ParseDelay] reads it.
func (d Delay) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText is [ParseDelay].
func (d *Delay) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDelay(string(text))
	return err
}

// String writes d as [ParseDelay] reads it.
func (d Delay) String() string {
	if d.Max == 0 {
		return d.Min.String()
	}
	return d.Min.String() + ".." + d.Max.String()
}

// Set sets one of the delays by its JSON name, or the seed, from text.
func (l *Lag) Set(name, value string) error {
	raw := []byte(value)
	if name != "seed" {
		raw, _ = json.Marshal(value) // a string always has a JSON form
	}
	next := *l
	dec := json.NewDecoder(bytes.NewReader(fmt.Appendf(nil, "{%q:%s}", name, raw)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&next); err != nil {
		return fmt.Errorf("setting lag %s to %q: %w", name, value, err)
	}
	*l = next
	return nil
}

// Lags draws delays for changes as they are made.
type Lags struct {
	mu     sync.Mutex
	Lag    Lag
	source *rand.Rand
}

// SetLag sets how long changes take to be seen from now on, and starts the sequence of
// random delays again.
func (s *Server) SetLag(l Lag) {
	s.lags.mu.Lock()
	defer s.lags.mu.Unlock()
	s.lags.Lag, s.lags.source = l, rand.New(rand.NewPCG(l.Seed, 0))
}

// Lag returns how long changes take to be seen.
func (s *Server) Lag() Lag {
	s.lags.mu.Lock()
	defer s.lags.mu.Unlock()
	return s.lags.Lag
}

// of returns the delay of a kind of change.
func (l Lag) of(what iam.Delayed) Delay {
	return map[iam.Delayed]Delay{
		iam.NewAccountRead: l.AccountRead, iam.NewAccountBind: l.AccountBind, iam.NewAccountMint: l.AccountMint,
		iam.AccountSwitched: l.Disable, iam.KeyMade: l.Key, iam.MemberAdded: l.Grant, iam.MemberRemoved: l.Revoke,
		iam.RoleChanged: l.Role, iam.PolicySearched: l.Search,
	}[what]
}

// After returns when a change made now is seen; zero is at once.
func (l *Lags) After(what iam.Delayed, now time.Time) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := l.Lag.of(what)
	if d == (Delay{}) {
		return time.Time{}
	}
	wait := d.Min
	if d.Max > d.Min {
		wait += time.Duration(l.source.Int64N(int64(d.Max-d.Min) + 1))
	}
	return now.Add(wait)
}

// Coin is true or false by chance, in the sequence of the seed.
func (l *Lags) Coin() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.source != nil && l.source.IntN(2) == 1
}
