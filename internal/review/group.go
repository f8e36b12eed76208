package review

import (
	"slices"
	"strings"
	"unicode"
)

// Group is what a permission lets its holder do, in one word.
type Group string

// The groups, the most dangerous one first. A permission is in the first that fits.
const (
	// GrantsAccess is what hands out access or lets one act as another: policies, keys, tokens.
	GrantsAccess Group = "grants-access"
	// RunsCode is what has Google run code of one's own, as a rule under another identity.
	RunsCode Group = "runs-code"
	Deletes  Group = "deletes"
	// Writes is also where a permission goes whose verb is not known: it may change something.
	Writes Group = "writes"
	Reads  Group = "reads"
)

// Groups are all groups, the most dangerous one first.
var Groups = []Group{GrantsAccess, RunsCode, Deletes, Writes, Reads}

// The first words of the verbs of permissions. Whatever begins otherwise is a write.
var (
	readVerbs = words(`access aggregate analyze calculate check compute consume count describe detect diagnose
		discover download enumerate estimate evaluate explain explore export extract fetch find full get gemini
		introspect investigate list listen lint lookup ping preview process psc query read receive recommend
		referencedby render report resolve retrieve review sample scan search select show simulate stream
		streaming subscribe suggest summarize test translate troubleshoot validate verify view wait watch`)
	deleteVerbs = words(`abandon delete destroy drop evict expire purge remove trash truncate uninstall`)
)

func words(s string) map[string]bool {
	set := map[string]bool{}
	for w := range strings.FieldsSeq(s) {
		set[w] = true
	}
	return set
}

// GroupOf says what a permission is good for, by what is known of it and else by its verb:
// the last part of its name (iam/docs/permissions-reference).
func GroupOf(permission string) Group {
	verb := permission[strings.LastIndexByte(permission, '.')+1:]
	first := verb
	if at := strings.IndexFunc(verb, unicode.IsUpper); at > 0 {
		first = verb[:at]
	}
	switch {
	case escalates(permission) != "" || handsOut(permission, verb, first):
		return GrantsAccess
	case runsCode[permission]:
		return RunsCode
	case deleteVerbs[first]:
		return Deletes
	case readVerbs[first] && !strings.Contains(verb, "AndDelete"):
		return Reads
	}
	return Writes
}

// handsOut reports whether a permission gives access away without being enough, by itself,
// to escalate: to be somebody who is there, an identity token, tags on which conditions
// decide, and what Kubernetes has of the kind.
func handsOut(permission, verb, first string) bool {
	switch first {
	case "bind", "escalate", "impersonate":
		return strings.HasPrefix(permission, "container.")
	}
	return slices.Contains([]string{"actAs", "getOpenIdToken", "createTagBinding", "deleteTagBinding", "createToken"},
		verb) ||
		permission == "apikeys.keys.create"
}

// GroupPermissions sorts permissions into their groups, each sorted by name.
func GroupPermissions(permissions []string) map[Group][]string {
	out := map[Group][]string{}
	for _, p := range permissions {
		g := GroupOf(p)
		out[g] = append(out[g], p)
	}
	for _, list := range out {
		slices.Sort(list)
	}
	return out
}
