package iam

import (
	"slices"
	"strings"
	"time"
)

// Superseded is what a policy said before a change, and until when the search
// over all policies goes by that: its index follows the changes
// (asset-inventory/docs/search-allow-policies).
type Superseded struct {
	Bindings []Binding `json:"bindings,omitempty"`
	Until    time.Time `json:"until"`
}

// Indexed returns the bindings that the search goes by at now.
func (p *Policy) Indexed(now time.Time) []Binding {
	for _, s := range p.Superseded {
		if now.Before(s.Until) {
			return s.Bindings
		}
	}
	return p.Bindings
}

// Unsettled is one grant of a policy that has changed, and that decisions do not know
// of yet.
type Unsettled struct {
	Role      string     `json:"role"`
	Condition *Condition `json:"condition,omitempty"`
	Member    string     `json:"member"`
	Holds     bool       `json:"holds"` // whether decisions go by the grant until then
	Until     time.Time  `json:"until"`
}

func (u Unsettled) key() string {
	return Binding{Role: u.Role, Condition: u.Condition}.Key() + "\x00\x00" + u.Member
}

// grantsOf takes bindings apart, a grant for each member.
func grantsOf(bindings []Binding) map[string]Unsettled {
	out := map[string]Unsettled{}
	for _, b := range bindings {
		for _, m := range b.Members {
			u := Unsettled{Role: b.Role, Condition: b.Condition, Member: m}
			out[u.key()] = u
		}
	}
	return out
}

// Settle returns what of next decisions do not know yet, where next replaces p now.
func (p *Policy) Settle(s *Company, next *Policy, now time.Time) []Unsettled {
	adding := s.After(MemberAdded, now)
	removing := s.After(MemberRemoved, now)
	if len(p.Unsettled) == 0 && adding.IsZero() && removing.IsZero() {
		return nil
	}
	stated, wanted := grantsOf(p.Bindings), grantsOf(next.Bindings)
	effective := grantsOf(p.Effective(now))
	var out []Unsettled
	// What was under way and is not changed again goes on.
	for _, u := range p.Unsettled {
		_, was := stated[u.key()]
		_, is := wanted[u.key()]
		if was == is && now.Before(u.Until) {
			out = append(out, u)
		}
	}
	pending := func(u Unsettled, holds bool, until time.Time) {
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
	slices.SortFunc(out, func(a, b Unsettled) int { return strings.Compare(a.key(), b.key()) })
	return out
}

// Effective returns the bindings that decisions go by at now.
func (p *Policy) Effective(now time.Time) []Binding {
	if len(p.Unsettled) == 0 || !slices.ContainsFunc(p.Unsettled, func(u Unsettled) bool {
		return now.Before(u.Until)
	}) {
		return p.Bindings
	}
	missing := map[string]bool{}
	bindings := slices.Clone(p.Bindings)
	for _, u := range p.Unsettled {
		switch {
		case !now.Before(u.Until):
		case u.Holds:
			bindings = append(bindings, Binding{Role: u.Role, Condition: u.Condition, Members: []string{u.Member}})
		default:
			missing[u.key()] = true
		}
	}
	for i, b := range bindings {
		bindings[i].Members = slices.DeleteFunc(slices.Clone(b.Members), func(m string) bool {
			return missing[Unsettled{Role: b.Role, Condition: b.Condition, Member: m}.key()]
		})
	}
	return bindings
}

// RenameUnsettled replaces a member in what is under way: a deleted account does not pass its
// access on to an account that takes its name.
func RenameUnsettled(all []Unsettled, from, to string) {
	for i := range all {
		if all[i].Member == from {
			all[i].Member = to
		}
	}
}

// Supersede adds what is replaced now to what the search still knows.
func (s *Company) Supersede(past []Superseded, bindings []Binding, now time.Time) []Superseded {
	past = slices.DeleteFunc(slices.Clone(past), func(p Superseded) bool { return !now.Before(p.Until) })
	if until := s.After(PolicySearched, now); !until.IsZero() {
		past = append(past, Superseded{bindings, until})
	}
	if len(past) == 0 {
		return nil
	}
	return past
}
