package iam

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// bindingIndex finds the bindings of a large policy that name somebody. A decision looks
// at those alone: of a thousand bindings few concern one caller.
type bindingIndex struct {
	byMember map[string][]int // positions in the policy, by [identity]
	// others are the positions of bindings with members that depend on a project's policy, such as
	// projectOwner:P. They may concern every caller.
	others []int
	// answers are the last answers to getIamPolicy, encoded, by the version asked for.
	answers sync.Map // int -> encodedPolicy
}

// encodedPolicy is a policy as it was sent while it had that etag.
type encodedPolicy struct {
	changed int64
	body    []byte
}

func newBindingIndex(bindings []Binding) *bindingIndex {
	x := &bindingIndex{byMember: map[string][]int{}}
	for i, b := range bindings {
		other := false
		for _, m := range b.Members {
			id := identity(m)
			if all := x.byMember[id]; len(all) == 0 || all[len(all)-1] != i {
				x.byMember[id] = append(all, i)
			}
			other = other || strings.HasPrefix(m, "project")
		}
		if other {
			x.others = append(x.others, i)
		}
	}
	return x
}

// indexedFrom is how many bindings a policy must have for an index to be worth it.
const indexedFrom = 32

// indexes caches the index of each large policy by its first binding: bindings are
// never changed in place, so what is found under the same first one is still true, and
// while the entry is there its memory is no other policy's. It is emptied when full.
var indexes struct {
	sync.Map // *binding -> *bindingIndex
	n        atomic.Int64
}

const maxIndexes = 512

func indexOf(bindings []Binding) *bindingIndex {
	if x, ok := indexes.Load(&bindings[0]); ok {
		return x.(*bindingIndex)
	}
	x := newBindingIndex(bindings)
	if indexes.n.Add(1) > maxIndexes {
		indexes.Clear()
		indexes.n.Store(1)
	}
	indexes.Store(&bindings[0], x)
	return x
}

// concerning returns, in order, the bindings that decisions about who go by at now, and
// perhaps some that do not concern them.
func (p *Policy) concerning(who *Principal, now time.Time) []Binding {
	all := p.Effective(now)
	// Effective bindings that are not the policy's own are made for this one question.
	if len(all) < indexedFrom || len(p.Bindings) == 0 || &all[0] != &p.Bindings[0] {
		return all
	}
	x := indexOf(all)
	at := slices.Clone(x.others)
	for id := range who.identities {
		at = append(at, x.byMember[id]...)
	}
	slices.Sort(at)
	out := make([]Binding, 0, len(at))
	for _, i := range slices.Compact(at) {
		out = append(out, all[i])
	}
	return out
}

// Encoded returns p as it is sent to somebody who asked for a version, see [Policy.Read],
// in JSON; nil for a small policy, which is encoded as fast as it is found.
func (p *Policy) Encoded(version int) ([]byte, error) {
	if len(p.Bindings) < indexedFrom {
		return nil, nil
	}
	x := indexOf(p.Bindings)
	last, _ := x.answers.Load(version)
	known, ok := last.(encodedPolicy)
	if !ok || known.changed != p.Changed {
		body, err := json.Marshal(p.Read(version))
		if err != nil {
			return nil, fmt.Errorf("encoding a policy: %w", err)
		}
		known = encodedPolicy{p.Changed, body}
		x.answers.Store(version, known)
	}
	return known.body, nil
}
