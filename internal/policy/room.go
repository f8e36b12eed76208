package policy

import (
	"strings"

	"github.com/taskiam/taskiam/internal/fault"
)

// Limits of an allow policy (iam/quotas).
const (
	// maxMembers counts every appearance of every principal, audit exemptions included.
	maxMembers = 1500
	// maxConditions is how many bindings may give one member one role, each under
	// another condition.
	maxConditions = 20
)

// missing returns the bindings of add that are not in have, each once.
func missing(have, add []Binding) []Binding {
	seen := make(map[Binding]bool, len(have))
	for _, b := range have {
		seen[b] = true
	}
	var out []Binding
	for _, b := range add {
		if !seen[b] {
			seen[b] = true
			out = append(out, b)
		}
	}
	return out
}

// conditionRoom returns an error if one member would hold one role too many times.
func conditionRoom(have, fresh []Binding) error {
	type held struct{ role, member string }
	count := map[held]int{}
	for _, b := range have {
		count[held{b.Role, b.Member}]++
	}
	for _, b := range fresh {
		k := held{b.Role, b.Member}
		if count[k]++; count[k] > maxConditions {
			return fault.New(fault.Precondition, "%s would hold %s under %d different conditions, and Google allows %d",
				b.Member, b.Role, count[k], maxConditions)
		}
	}
	return nil
}

// Dead returns how many of a policy's members are deleted principals: they take room and give
// nobody anything.
func Dead(doc Document) int {
	n := 0
	for _, b := range doc.Bindings() {
		if strings.HasPrefix(b.Member, "deleted:") {
			n++
		}
	}
	return n
}

// MembersLeft returns how many more principals a policy can name once the additions are in; 0
// if there is no room for them.
// It reports false for an access list, for which Google states no number.
func MembersLeft(doc Document, add []Binding) (int, bool) {
	p, ok := doc.(*Policy)
	if !ok {
		return 0, false
	}
	all := p.Bindings()
	return max(0, maxMembers-len(all)-p.exempted-len(missing(all, add))), true
}
