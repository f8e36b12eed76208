package manifest

import (
	"slices"
	"strings"

	"github.com/taskiam/taskiam/internal/grants"
)

const permissionsExample = `permissions = ["storage.objects.get", "storage.objects.list"]`

// gives reads what a grant gives: a role or a list of permissions, and not both.
func (r *reader) gives(t *table, g *grants.Grant) bool {
	_, role := t.values["role"]
	_, permissions := t.values["permissions"]
	switch {
	case role && permissions:
		r.add(t.place.child("permissions").key, "",
			"a grant gives a role or a list of permissions, and this one has both; leave one out, or write two grants")
		return false
	case permissions:
		return r.permissions(t, g)
	case role:
		return r.role(t, g)
	}
	t.missing("role", roleExample)
	r.problems[len(r.problems)-1].Or = "or list what it may do: " + permissionsExample
	return false
}

// permissions reads a list of permissions. Plan and up find out whether they exist, and
// whether custom roles may hold them.
func (r *reader) permissions(t *table, g *grants.Grant) bool {
	p := t.place.child("permissions")
	if _, ok := t.values["permissions"].([]any); !ok {
		fix := permissionsExample
		if s, ok := t.values["permissions"].(string); ok && grants.IsPermission(s) {
			fix = "permissions = " + quoteList([]string{s})
		}
		r.add(p.value, fix, "permissions is a list of strings, and this is %s", kindOf(t.values["permissions"]))
		return false
	}
	before := len(r.problems)
	all := t.texts("permissions", permissionsExample)
	size := 0
	for _, w := range all {
		size += len(w.text)
		switch {
		case slices.Contains(g.Permissions, w.text):
			r.add(w.place.value, "permissions = "+quoteList(eachOnce(all)), "the permission %s is listed twice", w.text)
		case grants.AboveProjects(w.text) != "":
			r.aboveProjects(w, all)
		case grants.IsPermission(w.text):
			g.Permissions = append(g.Permissions, w.text)
		default:
			message, fix := notAPermission(w.text)
			r.add(w.place.value, fix, "%s", message)
		}
	}
	switch {
	case len(all) > grants.MaxPermissions:
		r.add(p.value, "",
			"%d permissions are too many: a custom role holds %d at most", len(all), grants.MaxPermissions)
	case size > grants.MaxPermissionBytes:
		r.add(p.value, "",
			"the permissions have %d bytes in all, and a custom role holds %d at most", size, grants.MaxPermissionBytes)
	}
	slices.Sort(g.Permissions) // their order has no meaning
	return len(r.problems) == before
}

// aboveProjects refuses one of a list of permissions that means nothing on a project.
func (r *reader) aboveProjects(w word, all []word) {
	rest := slices.DeleteFunc(eachOnce(all), func(p string) bool { return grants.AboveProjects(p) != "" })
	fix := ""
	if len(rest) > 0 {
		fix = "permissions = " + quoteList(rest)
	}
	guards := grants.AboveProjects(w.text)
	r.add(w.place.value, fix,
		"permissions are granted through a custom role of a project, and Google does not take %s there: "+
			"it is a permission of %s; leave it out", w.text, guards)
	r.problems[len(r.problems)-1].Or = "or grant a role that holds it, on " + map[bool]string{
		true: "billingAccounts/ID", false: "folders/NUMBER or organizations/NUMBER"}[guards == "billing accounts"]
}

// eachOnce returns the words of a list without duplicates.
func eachOnce(all []word) (out []string) {
	for _, w := range all {
		if !slices.Contains(out, w.text) {
			out = append(out, w.text)
		}
	}
	return out
}

// notAPermission says what is wrong with a permission, and what to write instead if that is
// clear.
func notAPermission(s string) (message, fix string) {
	switch {
	case strings.Contains(s, "*"):
		message = quote(s) + ": a custom role takes no wildcard; name each permission"
		if meant := strings.TrimSuffix(s, "*") + "get"; strings.HasSuffix(s, ".*") && grants.IsPermission(meant) {
			message += ", such as " + meant
		}
	case rolePattern().MatchString(s):
		return quote(s) + " is a role, and not a permission", "role = " + quote(s)
	default:
		message = quote(s) + " is not a permission" + foreign(s) +
			"; write SERVICE.RESOURCE.VERB, such as storage.objects.get"
		if meant := strings.TrimSpace(s); grants.IsPermission(meant) {
			message = quote(s) + " is not a permission; write " + quote(meant)
		}
	}
	return message, ""
}
