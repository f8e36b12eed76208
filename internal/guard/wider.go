package guard

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/visible"
)

// Widening is one thing that a manifest opens beyond another one.
type Widening struct {
	Kind  WideningKind
	Grant int // index in the wider manifest; -1 if it is about none
	// What is widened: a setting, or what a grant gives and where.
	What string
	// Now and Was are what it is in the wider manifest, and in the other one.
	Now, Was string
}

// WideningKind is what sort of thing is widened.
type WideningKind string

// The kinds of widening.
const (
	WiderTask          WideningKind = "task"
	WiderProject       WideningKind = "project"
	WiderTTL           WideningKind = "ttl"
	WiderDeliver       WideningKind = "deliver"
	WiderTokenLifetime WideningKind = "token_lifetime"
	WiderAudiences     WideningKind = "audiences"
	WiderTree          WideningKind = "tree"      // the command can change more of its work tree
	WiderNetwork       WideningKind = "network"   // it has to be closed no more
	WiderHost          WideningKind = "host"      // another one, or more than before
	WiderAddresses     WideningKind = "addresses" // of a host
	WiderResources     WideningKind = "resources" // of the network
	WiderUpload        WideningKind = "max_upload"
	WiderGrant         WideningKind = "grant"     // there was no such role or permission there
	WiderPrefix        WideningKind = "prefix"    // dropped, shorter or another
	WiderCondition     WideningKind = "condition" // dropped or another
	WiderUnbounded     WideningKind = "unbounded"
	WiderBasic         WideningKind = "allow_basic"
	WiderAccept        WideningKind = "accept"
)

// String says the widening on one line.
func (w Widening) String() string {
	return visible.Line(fmt.Sprintf("%s: %s; before: %s", w.What, w.Now, w.Was))
}

// WiderError refuses a manifest that opens more than it may.
type WiderError struct {
	Manifest string
	Than     string // than what, in words
	Wider    []Widening
}

// Error says what the manifest opens more, each on a line.
func (e *WiderError) Error() string {
	var b strings.Builder
	b.WriteString(e.Manifest + " opens more than " + e.Than + ":")
	for _, w := range e.Wider {
		b.WriteString("\n" + w.String())
	}
	return b.String()
}

// none stands for what there is not.
const none = "none"

// Wider returns what the scope now opens beyond the scope was; nothing if was covers all of it. The order is that of
// the manifest, the settings of the task first.
//
// It may report what opens nothing more in truth, and not the other way round. A role covers itself alone, since what
// roles hold is known to the cloud only; a list of permissions covers its parts. Of two conditions nobody can tell in
// general which one is true more often, so one covers the same text alone, and no condition covers all. A grant covers
// the same one on the same resource; one on a project covers the same one on what has the project in its name.
func Wider(was, now Scope) []Widening {
	var out []Widening
	setting := func(kind WideningKind, now, was string) {
		out = append(out, Widening{kind, -1, string(kind), now, cmp.Or(was, none)})
	}
	if now.Task != was.Task {
		setting(WiderTask, now.Task, was.Task)
	}
	if now.Project != was.Project && now.Project != "" {
		setting(WiderProject, now.Project, was.Project)
	}
	if now.TTL > was.TTL {
		setting(WiderTTL, grants.Span(now.TTL), grants.Span(was.TTL))
	}
	if kinds := moreExposed(was.Deliver, now.Deliver); len(kinds) > 0 {
		setting(WiderDeliver, listed(kinds), listed(was.Deliver))
	}
	if longer(was.TokenLifetime, now.TokenLifetime) {
		setting(WiderTokenLifetime, lifetime(now.TokenLifetime), lifetime(was.TokenLifetime))
	}
	if more := beyond(was.Audiences, now.Audiences); len(more) > 0 {
		setting(WiderAudiences, listed(more), listed(was.Audiences))
	}
	if now.Tree != was.Tree && now.Tree != grants.TreeRead && was.Tree != "" && was.Tree != grants.TreeDirect {
		setting(WiderTree, cmp.Or(string(now.Tree), "not said"), string(was.Tree))
	}
	out = append(out, widerNetwork(was.Network, now.Network)...)
	for i, g := range now.Grants {
		out = append(out, g.beyond(i, was.Grants)...)
	}
	return out
}

// moreExposed returns which kinds of delivery hand more of the credential to the sandbox than those before. What is not
// said may be the least in one command and the most in another.
func moreExposed(was, now []grants.DeliveryKind) []grants.DeliveryKind {
	if len(now) == 0 && len(was) == 0 {
		return nil
	}
	if len(was) == 0 {
		was = delivery.DefaultOfClosed
	}
	if len(now) == 0 {
		now = delivery.Default
	}
	return slices.DeleteFunc(slices.Clone(now), func(k grants.DeliveryKind) bool {
		return slices.ContainsFunc(was, func(o grants.DeliveryKind) bool { return k == o || exposure(k) < exposure(o) })
	})
}

// exposure is how much of a credential is in the sandbox. Two kinds that have it in a file expose different things.
func exposure(name grants.DeliveryKind) int {
	switch k := delivery.Of(name); {
	case k.Proxied:
		return 0
	case k.Name != "" && !k.Secret():
		return 1
	default:
		return 2
	}
}

// longer reports whether one token may live longer. What is not said may be short in one delivery and long in another.
func longer(was, now time.Duration) bool {
	if was == now {
		return false
	}
	return cmp.Or(now, grants.TokenLifetime) > cmp.Or(was, shortestLifetime())
}

// shortestLifetime is that of the delivery whose tokens end first.
func shortestLifetime() time.Duration {
	shortest := grants.TokenLifetime
	for _, k := range delivery.Kinds() {
		shortest = min(shortest, k.Lifetime(grants.Task{}))
	}
	return shortest
}

func lifetime(d time.Duration) string {
	if d == 0 {
		return "that of the delivery"
	}
	return grants.Span(d)
}

// beyond returns which words of a list are not in the other.
func beyond[T comparable](was, now []T) []T {
	return slices.DeleteFunc(slices.Clone(now), func(v T) bool { return slices.Contains(was, v) })
}

// listed writes a list in words.
func listed[T ~string](list []T) string {
	if len(list) == 0 {
		return none
	}
	words := make([]string, len(list))
	for i, v := range list {
		words[i] = string(v)
	}
	return strings.Join(words, ", ")
}

// gives returns what a grant gives, each a role or a permission.
func (g ScopeGrant) gives() []string {
	if len(g.Permissions) == 0 {
		return []string{g.Role}
	}
	return g.Permissions
}

// String says what the grant gives, and where.
func (g ScopeGrant) String() string { return listed(g.gives()) + " on " + g.Resource }

// beyond returns what a grant opens that none of those before opened. Each permission of a list is looked for by
// itself: two grants may have become one, or one two.
func (g ScopeGrant) beyond(index int, was []ScopeGrant) []Widening {
	var added []string
	var out []Widening
	for _, one := range g.gives() {
		gaps, found := g.nearest(one, was)
		if !found {
			added = append(added, one)
			continue
		}
		for _, gap := range gaps {
			gap.Grant, gap.What = index, g.String()+": "+gap.What
			if !slices.Contains(out, gap) {
				out = append(out, gap)
			}
		}
	}
	if len(added) == 0 {
		return out
	}
	var there []string
	for _, o := range was {
		if o.covers(g) {
			there = append(there, o.gives()...)
		}
	}
	w := Widening{WiderGrant, index, "grant on " + g.Resource, listed(added) + g.limits(), listed(there)}
	return append([]Widening{w}, out...)
}

// limits says what narrows a grant, and what it accepts.
func (g ScopeGrant) limits() string {
	var b strings.Builder
	if g.Prefix != "" {
		b.WriteString(" under " + quoted(g.Prefix))
	}
	if g.Condition != "" {
		b.WriteString(" if " + quoted(g.Condition))
	}
	if g.Unbounded {
		b.WriteString(", which does not expire")
	}
	if len(g.Accept) > 0 {
		b.WriteString(", accepting " + listed(g.Accept))
	}
	return b.String()
}

// nearest looks for a grant that gives the same, of the resource or of what is above it, and returns in what the one
// that comes nearest falls short. It reports false if there is none.
func (g ScopeGrant) nearest(one string, was []ScopeGrant) (gaps []Widening, found bool) {
	for _, o := range was {
		if !o.covers(g) || !slices.Contains(o.gives(), one) {
			continue
		}
		if short := o.short(g); !found || len(short) < len(gaps) {
			gaps, found = short, true
		}
	}
	return gaps, found
}

// covers reports whether the resource of one grant is that of another, or the project that has the other's in it.
func (g ScopeGrant) covers(of ScopeGrant) bool {
	if g.Resource == of.Resource {
		return true
	}
	name, _, err := resource.Parse(of.Resource)
	return err == nil && g.Resource == "projects/"+name.Project() &&
		strings.HasPrefix(name.Relative(), g.Resource+"/")
}

// quoted marks where a text of the manifest begins and ends: a comment in a condition could pass for ours.
func quoted(text string) string {
	if text == "" {
		return none
	}
	return fmt.Sprintf("%#q", text)
}

// short returns in what one grant falls short of another that gives the same on the same resource, or on one in it.
func (g ScopeGrant) short(of ScopeGrant) []Widening {
	var gaps []Widening
	gap := func(kind WideningKind, now, was string) {
		gaps = append(gaps, Widening{Kind: kind, What: string(kind), Now: now, Was: was})
	}
	if !strings.HasPrefix(of.Prefix, g.Prefix) {
		gap(WiderPrefix, quoted(of.Prefix), quoted(g.Prefix))
	}
	if g.Condition != "" && g.Condition != of.Condition {
		gap(WiderCondition, quoted(of.Condition), quoted(g.Condition))
	}
	if of.Unbounded && !g.Unbounded {
		gap(WiderUnbounded, "accepted: it does not expire", "it expired")
	}
	if of.Basic && !g.Basic {
		gap(WiderBasic, "true", "false")
	}
	if more := beyond(g.Accept, of.Accept); len(more) > 0 {
		gap(WiderAccept, listed(more), listed(g.Accept))
	}
	return gaps
}
