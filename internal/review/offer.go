package review

import (
	"fmt"
	"slices"
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

// BoundAbove returns what a role is bound on for a resource of a service whose resources have no allow
// policies, such as Document AI: the project that its name says it is in. A relative name is taken for
// one of the service that the role is about.
func BoundAbove(g grants.Grant, name string) (resource.Name, bool) {
	in, service, ok := resource.Within(name)
	if !ok || service != "" {
		return in, ok
	}
	gives := strings.TrimPrefix(g.Role, "roles/")
	if len(g.Permissions) > 0 {
		gives = g.Permissions[0]
	}
	of, _, about := strings.Cut(gives, ".")
	return in, about && of != "" && !slices.ContainsFunc(resource.Types(), func(t *resource.Type) bool {
		permissions, _, _ := strings.Cut(permissionPrefix(t), ".")
		return permissions == of || t.Service == of+".googleapis.com"
	})
}

// askedElsewhere are permissions that are asked for on another resource than the one that they are about.
var askedElsewhere = []struct {
	permission, kind string
	why              string
	role, on         string // what to bind instead; {} is the last part of the resource's name
}{
	// functions/docs/securing/authenticating
	{"cloudfunctions.functions.invoke", "Cloud Functions function",
		"a function of the 2nd generation is called through its Cloud Run service, which asks for run.routes.invoke; " +
			"only functions of the 1st generation ask for this",
		"roles/run.invoker", "//run.googleapis.com/projects/{project}/locations/{location}/services/{}"},
}

// Elsewhere returns the grant on the resource that is really asked, where what a grant gives is asked
// for on another one, and why; it reports false where that is not known. The role's permissions may
// be unknown.
func Elsewhere(g grants.Grant, permissions []string) (instead grants.Grant, why string, ok bool) {
	for _, e := range askedElsewhere {
		service, _, _ := strings.Cut(e.permission, ".")
		named := g.Role == "roles/"+service+".invoker" || slices.Contains(g.Permissions, e.permission)
		if g.Resource.Type().Kind != e.kind || !named && !slices.Contains(permissions, e.permission) {
			continue
		}
		path := g.Resource.Relative()
		last := strings.ToLower(strings.ReplaceAll(path[strings.LastIndexByte(path, '/')+1:], "_", "-"))
		on, err := resource.ParseFull(g.Resource.Expand(strings.Replace(e.on, "{}", last, 1)))
		if err != nil {
			continue
		}
		return grants.Grant{Role: e.role, Resource: on}, e.why, true
	}
	return grants.Grant{}, "", false
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
