package emulator

import (
	"slices"
	"strings"
	"time"
)

// supersededPolicy is what a policy said before a change, and until when the search
// over all policies goes by that: its index follows the changes
// (asset-inventory/docs/search-allow-policies).
type supersededPolicy struct {
	Bindings []binding `json:"bindings,omitempty"`
	Until    time.Time `json:"until"`
}

// indexed returns the bindings that the search goes by at now.
func (p *policy) indexed(now time.Time) []binding {
	for _, s := range p.Superseded {
		if now.Before(s.Until) {
			return s.Bindings
		}
	}
	return p.Bindings
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
func (p *policy) settle(s *company, next *policy, now time.Time) []unsettled {
	adding := s.after(memberAdded, now)
	removing := s.after(memberRemoved, now)
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

// supersede adds what is replaced now to what the search still knows.
func (s *company) supersede(past []supersededPolicy, bindings []binding, now time.Time) []supersededPolicy {
	past = slices.DeleteFunc(slices.Clone(past), func(p supersededPolicy) bool { return !now.Before(p.Until) })
	if until := s.after(policySearched, now); !until.IsZero() {
		past = append(past, supersededPolicy{bindings, until})
	}
	if len(past) == 0 {
		return nil
	}
	return past
}
