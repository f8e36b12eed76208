package review

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/resource"
)

// Offer is a grant that expires, to replace one that does not.
type Offer struct {
	Grant grants.Grant
	// Widens says what else the offered grant reaches, and what of that it does not.
	Widens string
}

// OfferFor returns the same role on what g's resource is in, the nearest thing that takes
// conditions: a time condition there is inherited by every service. Where the service
// supplies resource.name and resource.type to conditions, the offer has one of its own
// that narrows it to the one resource (iam/docs/conditions-resource-attributes). It
// reports false where there is nothing to offer: where g ends by itself, or its role is
// one that takes no conditions anywhere.
func OfferFor(g grants.Grant) (Offer, bool) {
	t := g.Resource.Type()
	if t.Conditions || grants.Basic(g.Role) {
		return Offer{}, false
	}
	in, ok := container(g.Resource)
	if !ok {
		return Offer{}, false
	}
	o := Offer{Grant: grants.Grant{Role: g.Role, Permissions: g.Permissions, Resource: in}}
	if why := unnamed(g.Resource); why != "" {
		o.Widens = fmt.Sprintf("the role then applies to every %s in %s, and to everything else there that it covers; "+
			"it cannot be limited to this one, because %s",
			t.Kind, in, why)
		return o, true
	}
	o.Grant.Condition = "resource.type == " + strconv.Quote(t.ConditionType) + " && resource.name == " +
		strconv.Quote(g.Resource.Relative())
	o.Widens = fmt.Sprintf("the binding is then in the policy of %s, and its condition limits it to this one %s; "+
		"permissions on %s itself, such as listing, are not covered",
		in, t.Kind, in)
	return o, true
}

// unnamed says why no condition can single out a resource by its name, or returns "".
func unnamed(name resource.Name) string {
	switch t := name.Type(); {
	case !t.SuppliesName || t.ConditionType == "":
		return t.A() + " has no resource.name in conditions"
	case t.NumbersProject && strings.Trim(name.Project(), "0123456789") != "":
		return "its resource.name has the number of the project, which this name does not have: write the resource " +
			"with the number"
	}
	return ""
}

// container returns the nearest thing around a resource whose policy takes conditions.
func container(name resource.Name) (resource.Name, bool) {
	segments := strings.Split(name.Relative(), "/")
	for n := len(segments) - 1; n > 0; n-- {
		path := strings.Join(segments[:n], "/")
		for _, service := range []string{name.Type().Service, "cloudresourcemanager.googleapis.com"} {
			if in, err := resource.ParseFull("//" + service + "/" + path); err == nil && in.Type().Conditions {
				return in, true
			}
		}
	}
	return resource.Name{}, false
}
