package grants

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/taskiam/taskiam/internal/lazy"
)

// A list of permissions is granted through a custom role of the project, which IAM has
// instead of them. Such a role is shared: it is named by its permissions, all runs that
// need the same ones use the same one, and none is deleted with a run. Google keeps the
// id of a deleted role for up to 44 days and counts it for some of them, so a role for
// each run would soon use up what a project may have
// (iam/docs/creating-custom-roles, iam/quotas).

// Limits of custom roles (iam/quotas).
const (
	// MaxCustomRoles is how many a project may have, those that were deleted in the last
	// days included.
	MaxCustomRoles = 300
	// MaxPermissions is how many permissions one may hold.
	MaxPermissions = 3000
	// MaxPermissionBytes is how long they may be in all: 64 KiB, less what the title and
	// the description take.
	MaxPermissionBytes = 64<<10 - 512
)

// MaxRoleTries is how many ids there are for one set of permissions: one after the
// other is taken where Google keeps those before it from being used again.
const MaxRoleTries = 5

// PermissionPattern is SERVICE.RESOURCE.VERB, or HOST/RESOURCE.VERB where the service is
// not Google's own (iam/docs/permissions-reference).
const PermissionPattern = `^([a-z][a-zA-Z0-9-]*\.|[a-z0-9-]+(\.[a-z0-9-]+)+/)` +
	`[a-zA-Z][a-zA-Z0-9_]*\.[a-zA-Z][a-zA-Z0-9]*$`

var permissionPattern = lazy.Regexp(PermissionPattern)

// IsPermission reports whether s has the form of a permission.
func IsPermission(s string) bool { return permissionPattern().MatchString(s) }

// aboveProjects begin the permissions of folders, organizations and billing accounts, which are in
// no project.
var aboveProjects = []string{
	"resourcemanager.folders.", "resourcemanager.organizations.",
	"billing.accounts.", "billing.anomaliesConfigs.", "billing.budgets.", "billing.credits.",
	"billing.resourceAssociations.", "billing.subscriptions.",
}

// AboveProjects returns what guards a permission that means nothing on a project, or "". Google
// refuses such a permission in a project's custom role, and to be asked about it on a project
// (iam/docs/creating-custom-roles). Of others, such as those of tags, only Google can tell.
func AboveProjects(permission string) string {
	switch {
	case permission == "resourcemanager.projects.create", permission == "resourcemanager.projects.list":
		return "the folder or organization that projects are in"
	case !slices.ContainsFunc(aboveProjects, func(p string) bool { return strings.HasPrefix(permission, p) }):
		return ""
	case strings.HasPrefix(permission, "billing."):
		return "billing accounts"
	}
	return "folders and organizations"
}

// permissionSet returns the permissions in order, each once.
func permissionSet(permissions []string) []string {
	out := slices.Clone(permissions)
	slices.Sort(out)
	return slices.Compact(out)
}

// roleHash is the SHA-256 of a set of permissions, in hex. The text in front keeps it
// apart from those of a later version, whose roles may be made otherwise.
func roleHash(permissions []string) string {
	h := sha256.New()
	// a hash takes everything
	_, _ = io.WriteString(h, "taskiam custom role 1\n"+strings.Join(permissionSet(permissions), "\n"))
	return hex.EncodeToString(h.Sum(nil))
}

const roleIDPrefix = "taskiam_"

// roleID returns the id of the custom role for a set of permissions: the same for the
// same set in whatever order, taskiam_ and 32 hex digits. With a try of 1 and more it is
// the one to take where those before it cannot be used.
func roleID(permissions []string, try int) string {
	id := roleIDPrefix + roleHash(permissions)[:32]
	if try > 0 {
		id += fmt.Sprintf("_%d", try+1)
	}
	return id
}

// roleMark is the description of a custom role of ours.
type roleMark struct {
	Version int    `json:"taskiam_role"`
	SHA256  string `json:"sha256"` // of its permissions
}

// CustomRole returns the custom role of a project for a set of permissions, as it is to
// be made. Its description is the mark by which it is known to be ours.
func CustomRole(project string, permissions []string, try int) Role {
	mark, err := json.Marshal(roleMark{MarkVersion, roleHash(permissions)})
	if err != nil { // a number and hex digits always encode
		panic(err)
	}
	set := permissionSet(permissions)
	return Role{
		Name:        "projects/" + project + "/roles/" + roleID(permissions, try),
		Title:       fmt.Sprintf("taskiam: %s, shared", count(len(set), "permission")),
		Description: string(mark),
		Stage:       "GA",
		Permissions: set,
	}
}

// Ours reports whether a custom role was made by [CustomRole] and holds what it was made
// with: whether its description is the mark, whole, its id is one that the mark makes,
// and its permissions are those that the mark names. A name alone proves nothing, and a
// role that somebody changed since is theirs.
func (r Role) Ours() bool { return r.Marked() && r.mark().SHA256 == roleHash(r.Permissions) }

// Marked reports whether a custom role was made by [CustomRole], whatever it holds by now.
func (r Role) Marked() bool {
	m := r.mark()
	id := r.Name[strings.LastIndexByte(r.Name, '/')+1:]
	if m.Version != MarkVersion || len(m.SHA256) != 2*sha256.Size {
		return false
	}
	for try := range MaxRoleTries {
		want := roleIDPrefix + m.SHA256[:32]
		if try > 0 {
			want += fmt.Sprintf("_%d", try+1)
		}
		if id == want {
			return true
		}
	}
	return false
}

// mark returns the mark in the description; zero if that is something else.
func (r Role) mark() (m roleMark) {
	dec := json.NewDecoder(bytes.NewReader([]byte(r.Description)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&m); err != nil {
		return roleMark{}
	}
	if _, err := dec.Token(); err != io.EOF {
		return roleMark{}
	}
	return m
}

// Beside returns which permissions the role has beside a set, and which of the set it lacks.
func (r Role) Beside(permissions []string) (more, lacking []string) {
	more = slices.DeleteFunc(permissionSet(r.Permissions), func(p string) bool {
		return slices.Contains(permissions, p)
	})
	lacking = slices.DeleteFunc(permissionSet(permissions), func(p string) bool {
		return slices.Contains(r.Permissions, p)
	})
	return more, lacking
}

// Gives says what a grant gives: its role, or its permissions.
func (g Grant) Gives() string {
	switch n := len(g.Permissions); {
	case n == 0:
		return g.Role
	case n <= 3:
		return strings.Join(g.Permissions, ", ")
	default:
		return strings.Join(g.Permissions[:2], ", ") + fmt.Sprintf(" and %d more permissions", n-2)
	}
}

// WithRoles returns the plan with the roles by which its lists of permissions are
// granted, each under the index of its grant.
func (p Plan) WithRoles(roles map[int]string) Plan {
	p.Task.Grants = slices.Clone(p.Task.Grants)
	for i, role := range roles {
		p.Task.Grants[i].Role = role
	}
	return p.again(p.Task, p.Began)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// Support is how far custom roles may hold a permission
// (iam/docs/custom-roles-permissions-support).
type Support string

const (
	// Supported means that they may.
	Supported Support = "SUPPORTED"
	// Testing means that they may, and that Google is still trying it out.
	Testing Support = "TESTING"
	// NotSupported means that they may not.
	NotSupported Support = "NOT_SUPPORTED"
)
