package review

import "slices"

// Group is what a permission lets its holder do, in one word.
type Group string

// The groups, the most dangerous one first. Every [Class] is in one.
const (
	// GrantsAccess is what hands out access or lets one act as another: policies, keys, tokens.
	GrantsAccess Group = "grants-access"
	// RunsCode is what has Google run code of one's own, as a rule under another identity.
	RunsCode Group = "runs-code"
	Deletes  Group = "deletes"
	// Writes is also where a permission goes that no rule fits: it may change something.
	Writes Group = "writes"
	Reads  Group = "reads"
)

// Groups are all groups, the most dangerous one first.
var Groups = []Group{GrantsAccess, RunsCode, Deletes, Writes, Reads}

// groupOf says what a permission is good for.
func groupOf(permission string) Group {
	c, _ := ClassOf(permission)
	return c.Group
}

// GroupPermissions sorts permissions into their groups, each sorted by name.
func GroupPermissions(permissions []string) map[Group][]string {
	out := map[Group][]string{}
	for _, p := range permissions {
		g := groupOf(p)
		out[g] = append(out[g], p)
	}
	for _, list := range out {
		slices.Sort(list)
	}
	return out
}
