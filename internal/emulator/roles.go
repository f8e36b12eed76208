package emulator

import (
	_ "embed"
	"slices"
	"strconv"
	"strings"
	"sync"
)

//go:embed roles.txt
var roleTable string

// role is a predefined role, restricted to the permissions that are known here.
type role struct {
	Name        string
	Title       string
	Stage       string
	Permissions []string        // sorted
	has         map[string]bool // the same
}

// predefined returns the predefined roles by name. It panics if the embedded table
// is malformed, which a test rules out.
var predefined = sync.OnceValue(func() map[string]*role {
	roles, err := parseRoles(roleTable)
	if err != nil {
		panic(err)
	}
	return roles
})

func parseRoles(table string) (map[string]*role, error) {
	var permissions []string
	roles := map[string]*role{}
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
			r := &role{Name: f[0], Title: f[1], Stage: f[2], has: map[string]bool{}}
			for span := range strings.SplitSeq(f[3], ",") {
				if span == "" {
					continue
				}
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
				for _, p := range permissions[i : j+1] {
					r.Permissions = append(r.Permissions, p)
					r.has[p] = true
				}
			}
			slices.Sort(r.Permissions)
			roles[r.Name] = r
		}
	}
	return roles, nil
}

// isBasic reports whether the role is one of the three that are older than IAM.
func isBasic(role string) bool {
	return role == "roles/owner" || role == "roles/editor" || role == "roles/viewer"
}

// grantableOn reports whether the role can be bound on a resource whose
// permissions begin with prefix; "" is every project, folder and organization.
func (r *role) grantableOn(prefix string) bool {
	return prefix == "" || slices.ContainsFunc(r.Permissions, func(p string) bool { return strings.HasPrefix(p, prefix) })
}
