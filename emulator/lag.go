package emulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
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
	// 404 or 403 in turns of chance. Writes see it at once.
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

// lags draws delays for changes as they are made. A nil *lags is no lag at all: so it
// is while the seed is read.
type lags struct {
	mu     sync.Mutex
	lag    Lag
	source *rand.Rand
}

// SetLag sets how long changes take to be seen from now on, and starts the sequence of
// random delays anew.
func (s *Server) SetLag(l Lag) {
	s.lags.mu.Lock()
	defer s.lags.mu.Unlock()
	s.lags.lag, s.lags.source = l, rand.New(rand.NewPCG(l.Seed, 0))
}

// Lag returns how long changes take to be seen.
func (s *Server) Lag() Lag {
	s.lags.mu.Lock()
	defer s.lags.mu.Unlock()
	return s.lags.lag
}

// after returns when a change made now is seen; zero is at once.
func (l *lags) after(now time.Time, which func(Lag) Delay) time.Time {
	if l == nil {
		return time.Time{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	d := which(l.lag)
	if d == (Delay{}) {
		return time.Time{}
	}
	wait := d.Min
	if d.Max > d.Min {
		wait += time.Duration(l.source.Int64N(int64(d.Max-d.Min) + 1))
	}
	return now.Add(wait)
}

// coin is heads or tails, in the sequence of the seed.
func (l *lags) coin() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.source != nil && l.source.IntN(2) == 1
}

// visibility is from when on an account is seen, and by whom. Zero is always.
type visibility struct {
	Read time.Time `json:"read,omitzero"`
	Bind time.Time `json:"bind,omitzero"`
	Mint time.Time `json:"mint,omitzero"`
	// Switch is when being disabled, or enabled, takes effect.
	Switch time.Time `json:"switch,omitzero"`
}

// newcomer is the visibility of an account made now.
func (l *lags) newcomer(now time.Time) visibility {
	return visibility{
		Read: l.after(now, func(l Lag) Delay { return l.AccountRead }),
		Bind: l.after(now, func(l Lag) Delay { return l.AccountBind }),
		Mint: l.after(now, func(l Lag) Delay { return l.AccountMint }),
	}
}

// overlooks reports whether the call does not see the account yet: writes see their
// own, reads are eventually consistent (google/iam/admin/v1).
func (c *call) overlooks(a *serviceAccount) bool {
	return !c.method.writes && c.method.host == iamHost && c.now.Before(a.Seen.Read)
}

// overlooked is what a read of an account answers that it does not see yet. Google
// answers sometimes the one, sometimes the other.
func (c *call) overlooked(a *serviceAccount) error {
	if c.server.lags.coin() {
		return forbidden("Permission 'iam.serviceAccounts.get' denied on resource (or it may not exist).")
	}
	return notFound("Service account %s does not exist.", a.name())
}

// off reports whether the account is treated as disabled at now.
func (a *serviceAccount) off(now time.Time) bool { return a.Disabled != now.Before(a.Seen.Switch) }

// turn disables or enables the account, with effect after the lag.
func (a *serviceAccount) turn(off bool, now time.Time, l *lags) {
	if a.Disabled == off {
		return
	}
	before := a.off(now)
	a.Disabled, a.Seen.Switch = off, time.Time{}
	if before != off {
		a.Seen.Switch = l.after(now, func(l Lag) Delay { return l.Disable })
	}
}

// usable is from when on a key made now is.
func (l *lags) usable(now time.Time) time.Time {
	return l.after(now, func(l Lag) Delay { return l.Key })
}

// minted reports whether IAM Credentials knows the account.
func (a *serviceAccount) minted(now time.Time) bool { return !now.Before(a.Seen.Mint) }

// bindable reports whether a policy that is written with o may name the account of that
// address: whether it is alive and, save for the policies of the IAM API itself, seen.
func (s *state) bindable(email string, o writeOptions) bool {
	a := s.accountByEmail(email)
	return a != nil && (strings.HasPrefix(o.service, "iam.") || !o.now.Before(a.Seen.Bind))
}

// unsettled is one grant of a policy that has changed, and that decisions do not know
// of yet.
type unsettled struct {
	Role      string     `json:"role"`
	Condition *condition `json:"condition,omitempty"`
	Member    string     `json:"member"`
	Holds     bool       `json:"holds"` // whether decisions go by the grant until then
	Until     time.Time  `json:"until"`
}

func (u unsettled) key() string {
	return binding{Role: u.Role, Condition: u.Condition}.key() + "\x00\x00" + u.Member
}

// grantsOf takes bindings apart, a grant for each member.
func grantsOf(bindings []binding) map[string]unsettled {
	out := map[string]unsettled{}
	for _, b := range bindings {
		for _, m := range b.Members {
			u := unsettled{Role: b.Role, Condition: b.Condition, Member: m}
			out[u.key()] = u
		}
	}
	return out
}

// settle returns what of next decisions do not know yet, where next replaces p now.
func (p *policy) settle(next *policy, now time.Time, l *lags) []unsettled {
	adding := l.after(now, func(l Lag) Delay { return l.Grant })
	removing := l.after(now, func(l Lag) Delay { return l.Revoke })
	if len(p.Unsettled) == 0 && adding.IsZero() && removing.IsZero() {
		return nil
	}
	stated, wanted := grantsOf(p.Bindings), grantsOf(next.Bindings)
	effective := grantsOf(p.effective(now))
	var out []unsettled
	// What was under way and is not changed again goes on.
	for _, u := range p.Unsettled {
		_, was := stated[u.key()]
		_, is := wanted[u.key()]
		if was == is && now.Before(u.Until) {
			out = append(out, u)
		}
	}
	pending := func(u unsettled, holds bool, until time.Time) {
		if _, holding := effective[u.key()]; holding == holds && now.Before(until) {
			u.Holds, u.Until = holds, until
			out = append(out, u)
		}
	}
	for key, u := range wanted {
		if _, was := stated[key]; !was {
			pending(u, false, adding)
		}
	}
	for key, u := range stated {
		if _, is := wanted[key]; !is {
			pending(u, true, removing)
		}
	}
	slices.SortFunc(out, func(a, b unsettled) int { return strings.Compare(a.key(), b.key()) })
	return out
}

// effective returns the bindings that decisions go by at now.
func (p *policy) effective(now time.Time) []binding {
	if len(p.Unsettled) == 0 || !slices.ContainsFunc(p.Unsettled, func(u unsettled) bool { return now.Before(u.Until) }) {
		return p.Bindings
	}
	missing := map[string]bool{}
	bindings := slices.Clone(p.Bindings)
	for _, u := range p.Unsettled {
		switch {
		case !now.Before(u.Until):
		case u.Holds:
			bindings = append(bindings, binding{Role: u.Role, Condition: u.Condition, Members: []string{u.Member}})
		default:
			missing[u.key()] = true
		}
	}
	for i, b := range bindings {
		bindings[i].Members = slices.DeleteFunc(slices.Clone(b.Members), func(m string) bool {
			return missing[unsettled{Role: b.Role, Condition: b.Condition, Member: m}.key()]
		})
	}
	return bindings
}

// renameUnsettled replaces a member in what is under way: a grave does not pass its
// access on to an account that takes its name.
func renameUnsettled(all []unsettled, from, to string) {
	for i := range all {
		if all[i].Member == from {
			all[i].Member = to
		}
	}
}
