package review

import (
	"slices"
	"strings"
	"sync"

	"github.com/taskiam/taskiam/internal/lazy"
	"github.com/taskiam/taskiam/internal/resource"
)

// applies reports whether a permission in a binding on a resource can be of use: IAM asks
// the policy of the thing that is acted on, and of what that thing is in. On a bucket the
// setIamPolicy of projects is never asked for, though roles that are bound there hold it.
// Where it is not certain, it applies.
func applies(permission string, name resource.Name) bool {
	service, collection, verb := split(permission)
	t := name.Type()
	switch t.Kind {
	case "organization":
		return true
	case "folder":
		return service+"."+collection != "resourcemanager.organizations"
	case "project":
		above := service + "." + collection
		return above != "resourcemanager.organizations" && above != "resourcemanager.folders" &&
			permission != "resourcemanager.projects.create" // asked for on what the new one will be in
	}
	if permission == "storage.hmacKeys.create" { // a project's, and never a bucket's
		return false
	}
	switch t.Service {
	case "iam.googleapis.com":
		return slices.ContainsFunc(t.Testable, func(prefix string) bool {
			return strings.HasPrefix(permission, prefix)
		})
	case "cloudresourcemanager.googleapis.com":
		return true
	}
	if elsewhere(service+"."+collection, verb, t) {
		return false
	}
	host, _, _ := strings.Cut(t.Service, ".")
	if host == service || host == "bigquery" { // what is in BigQuery asks for no other service's permissions
		return host == service
	}
	return len(t.Testable) == 0 || slices.ContainsFunc(t.Testable, func(prefix string) bool {
		of, _, _ := strings.Cut(prefix, ".")
		return prefix == "" || of == service
	})
}

// OfNoUse returns the permissions that nobody asks for where a resource's policy counts, sorted.
func OfNoUse(permissions []string, on resource.Name) []string {
	out := slices.DeleteFunc(slices.Clone(permissions), func(p string) bool { return applies(p, on) })
	slices.Sort(out)
	return out
}

// elsewhere reports whether it is known that a verb of a collection is asked for on other
// things than a resource of the type and what is in it: run.jobs.run is of no use on a
// service. What creates is asked for on what the new thing will be in.
func elsewhere(collection, verb string, t *resource.Type) bool {
	types := typesOf()[collection]
	return len(types) > 0 && !slices.ContainsFunc(types, func(o *resource.Type) bool {
		return o == t && verb != "create" || inside(o, t)
	})
}

// typesOf returns the types that a collection is of, as permissions name it.
var typesOf = sync.OnceValue(func() map[string][]*resource.Type {
	out := map[string][]*resource.Type{}
	for _, t := range resource.Types() {
		prefix := permissionPrefix(t)
		out[prefix] = append(out[prefix], t)
	}
	return out
})

var anyVariable = lazy.Regexp(`\{[^}]*\}`)

// inside reports whether resources of type o are in those of type t.
func inside(o, t *resource.Type) bool {
	outer := anyVariable().ReplaceAllString(t.Pattern, "{}")
	return o.Service == t.Service && strings.HasPrefix(anyVariable().ReplaceAllString(o.Pattern, "{}"), outer+"/")
}

// atLarge reports whether a resource holds others of every service.
func atLarge(name resource.Name) bool {
	kind := name.Type().Kind
	return kind == "project" || kind == "folder" || kind == "organization"
}
