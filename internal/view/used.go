package view

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/taskiam/taskiam/internal/journal"
)

func newUsed(calls []journal.UsedCall) []Used {
	out := []Used{}
	for _, c := range calls {
		u := Used{
			Method: c.Method, Host: c.Host, Resources: []string{}, Refused: c.Refused,
			Calls: c.Calls, Failed: c.Failed, Sent: c.Sent, Received: c.Received,
		}
		for _, full := range c.Resources {
			u.Resources = append(u.Resources, shortName(full))
		}
		out = append(out, u)
	}
	slices.SortStableFunc(out, func(a, b Used) int {
		return cmp.Or(cmp.Compare(a.Refused, b.Refused), cmp.Compare(a.Host, b.Host),
			slices.Compare(a.Resources, b.Resources), cmp.Compare(a.Method, b.Method))
	})
	return out
}

// unused returns the grants on whose resources nothing was called with success; nil is not known. Which role a call
// needed is not known: of several on one resource all count as used. A grant on a project or above it may have been
// used by a call on something whose name does not say where it is: such a grant is unused if nothing at all was used.
func unused(r *journal.Run) []Unused {
	if !r.UsedWhole {
		return nil
	}
	used := slices.DeleteFunc(slices.Clone(r.Used), func(c journal.UsedCall) bool {
		return c.Refused != "" || c.Failed == c.Calls
	})
	out := []Unused{}
	for _, g := range r.Opened.Grants {
		needed := r.UsedMore > 0 || isContainer(g.Resource) && len(used) > 0 ||
			slices.ContainsFunc(used, func(c journal.UsedCall) bool { return slices.Contains(c.Resources, g.Resource) })
		if !needed {
			out = append(out, Unused{g.Role, list(g.Permissions), shortName(g.Resource)})
		}
	}
	return out
}

// isContainer reports whether a resource is a project, a folder or an organisation.
func isContainer(full string) bool {
	return strings.HasPrefix(full, "//cloudresourcemanager.googleapis.com/")
}

func (v Receipt) showUsed(r *Report) {
	if v.Unused == nil && len(v.Used) == 0 && v.UsedMore == 0 {
		return
	}
	r.Line("used, through the proxy:")
	for _, u := range v.Used {
		calls := fmt.Sprintf("calls: %d", u.Calls)
		switch {
		case u.Refused != "":
			calls += ", refused by taskiam: " + u.Refused
		case u.Failed > 0:
			calls += fmt.Sprintf(", refused there: %d", u.Failed)
		}
		r.Row("  "+u.Method+" "+u.Host, orDash(strings.Join(u.Resources, " ")), calls,
			fmt.Sprintf("bytes sent: %d, received: %d", u.Sent, u.Received))
	}
	if v.UsedMore > 0 {
		r.Line("  calls of other kinds: %d", v.UsedMore)
	}
	for _, g := range v.Unused {
		r.Line("never used, and could be left out: %s on %s",
			cmp.Or(g.Role, strings.Join(g.Permissions, ", ")), g.Resource)
	}
}
