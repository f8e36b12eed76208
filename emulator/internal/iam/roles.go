package iam

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
)

//go:generate go run ../../../internal/tools/gen/emulator -list=$TASKIAM_ROLES roles.txt

//go:embed roles.txt
var roleTable string

// Role is a predefined role.
type Role struct {
	Name        string
	Title       string
	Stage       string
	Permissions []string // sorted
	// set holds Permissions too; it is made when a decision first needs the role: a company
	// binds few of the two thousand roles.
	set func() map[string]bool
}

// Has reports whether the role holds the permission.
func (r *Role) Has(permission string) bool { return r.set()[permission] }

// Predefined returns the predefined roles by name. It panics if the embedded table
// is malformed, which a test rules out.
var Predefined = sync.OnceValue(func() map[string]*Role {
	roles, err := parseRoles(roleTable)
	if err != nil {
		panic(err)
	}
	return roles
})

func parseRoles(table string) (map[string]*Role, error) {
	var permissions []string
	roles := map[string]*Role{}
	inRoles := false
	for line := range strings.Lines(table) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "#"):
		case line == "":
			inRoles = true
		case !inRoles:
			permissions = append(permissions, line)
		default:
			f := strings.Split(line, "\t")
			if len(f) != 4 {
				return nil, fmt.Errorf("reading the table of roles: %d columns in %q", len(f), line)
			}
			held, err := parseSpans(f[3], permissions)
			if err != nil {
				return nil, fmt.Errorf("reading the table of roles: %s: %w", f[0], err)
			}
			roles[f[0]] = &Role{Name: f[0], Title: f[1], Stage: f[2], Permissions: held,
				set: sync.OnceValue(func() map[string]bool {
					set := make(map[string]bool, len(held))
					for _, p := range held {
						set[p] = true
					}
					return set
				})}
		}
	}
	return roles, nil
}

// parseSpans returns the elements of all that "3,5-9" names. It counts before it
// copies: the basic roles hold ten thousand each.
func parseSpans(spans string, all []string) ([]string, error) {
	if spans == "" {
		return nil, nil
	}
	var parts [][]string
	total := 0
	for span := range strings.SplitSeq(spans, ",") {
		from, to, ranged := strings.Cut(span, "-")
		if !ranged {
			to = from
		}
		i, err := strconv.Atoi(from)
		if err != nil {
			return nil, err
		}
		j, err := strconv.Atoi(to)
		if err != nil {
			return nil, err
		}
		if i < 0 || j < i || j >= len(all) {
			return nil, fmt.Errorf("there are no lines %s", span)
		}
		parts = append(parts, all[i:j+1])
		total += j + 1 - i
	}
	held := make([]string, 0, total)
	for _, part := range parts {
		held = append(held, part...)
	}
	return held, nil
}

// permissionSet is every permission that a predefined role holds.
type permissionSet struct {
	names    map[string]bool
	services map[string]bool // what the names begin with
	Sorted   []string
}

// KnownPermissions are the permissions of all predefined roles.
var KnownPermissions = sync.OnceValue(func() permissionSet {
	set := permissionSet{names: map[string]bool{}, services: map[string]bool{}}
	for _, r := range Predefined() {
		for _, p := range r.Permissions {
			set.names[p] = true
		}
	}
	set.Sorted = slices.Sorted(maps.Keys(set.names))
	for _, p := range set.Sorted {
		service, _, _ := strings.Cut(p, ".")
		set.services[service] = true
	}
	return set
})

// IsBasic reports whether the role is one of the three that are older than IAM.
func IsBasic(role string) bool {
	return role == "roles/owner" || role == "roles/editor" || role == "roles/viewer"
}

// GrantableOn reports whether the role can be bound on a resource whose
// permissions begin with prefix; "" is every project, folder and organization.
func (r *Role) GrantableOn(prefix string) bool {
	return prefix == "" || slices.ContainsFunc(r.Permissions, func(p string) bool {
		return strings.HasPrefix(p, prefix)
	})
}

// Resource is the role as the API shows it.
func (r *Role) Resource(full bool) map[string]any {
	m := map[string]any{"name": r.Name, "title": r.Title, "stage": r.Stage, "etag": "AA=="}
	if r.Stage == "ALPHA" {
		delete(m, "stage") // which is how Google shows it
	}
	if full && len(r.Permissions) > 0 {
		m["includedPermissions"] = r.Permissions
	}
	return m
}
