package emulator

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

// customRole is a role that a project or an organization has made, in use or deleted.
type customRole struct {
	Name        string    `json:"name"` // projects/ID/roles/ROLE, organizations/NUMBER/roles/ROLE
	Title       string    `json:"title,omitempty"`
	Description string    `json:"description,omitempty"`
	Permissions []string  `json:"permissions,omitempty"` // sorted
	Stage       string    `json:"stage,omitempty"`       // "" is ALPHA
	Changed     int64     `json:"changed"`               // microseconds since 1970: the etag
	Deleted     time.Time `json:"deleted,omitzero"`

	// Before is what the role still gives until Acts. Known is from when on policies may
	// name it.
	Before []string  `json:"before,omitempty"` // sorted
	Acts   time.Time `json:"acts,omitzero"`
	Known  time.Time `json:"known,omitzero"`
}

// Limits of custom roles (iam/quotas).
const (
	maxCustomRoles     = 300 // per project, and per organization
	maxRolePermissions = 3000
	maxRoleTitle       = 100      // bytes
	maxRoleDescription = 300      // bytes
	maxRoleSize        = 64 << 10 // title, description and permissions
)

var roleID = regexp.MustCompile(`^[a-zA-Z0-9_.]{3,64}$`)

var roleStages = []string{"ALPHA", "BETA", "GA", "DEPRECATED", "DISABLED", "EAP"}

// customRoleName takes the name of a custom role apart.
func customRoleName(name string) (parent, id string, ok bool) {
	parent, id, ok = strings.Cut(name, "/roles/")
	return parent, id, ok && (strings.HasPrefix(parent, "projects/") || strings.HasPrefix(parent, "organizations/"))
}

func (r *customRole) deleted() bool { return !r.Deleted.IsZero() }

// holds returns what the role gives at now. A nil role, a deleted one and a disabled one
// give nothing, though bindings may name them.
func (r *customRole) holds(now time.Time) []string {
	switch {
	case r == nil:
		return nil
	case now.Before(r.Acts):
		return r.Before
	case r.deleted() || r.Stage == "DISABLED":
		return nil
	}
	return r.Permissions
}

// turns makes a change of the role take effect after the lag; before is what it gave.
func (r *customRole) turns(s *company, before []string, now time.Time) {
	r.Before, r.Acts = nil, s.after(roleChanged, now)
	if !r.Acts.IsZero() {
		r.Before = before
	}
}

// grants reports whether the role gives the permission at now.
func (r *customRole) grants(permission string, now time.Time) bool {
	_, ok := slices.BinarySearch(r.holds(now), permission)
	return ok
}

// grantableOn is [role.grantableOn] for a custom role.
func (r *customRole) grantableOn(prefix string) bool {
	return prefix == "" || slices.ContainsFunc(r.Permissions, func(p string) bool { return strings.HasPrefix(p, prefix) })
}

// within reports whether the role may be bound where the policies of holders hang:
// in the project or organization that made it, and below. With no holders, a seed
// is believed.
func (r *customRole) within(holders []string) bool {
	parent, _, _ := customRoleName(r.Name)
	return holders == nil || slices.Contains(holders, "//"+resourceManagerHost+"/"+parent)
}

func (r *customRole) etag() string { return etagOf(r.Changed) }

// touch gives r a new etag, later than its last.
func (r *customRole) touch(now time.Time) { r.Changed = max(now.UnixMicro(), r.Changed+1) }

// resource is the role as the API shows it.
func (r *customRole) resource(full bool) map[string]any {
	m := map[string]any{"name": r.Name, "etag": r.etag()}
	for field, value := range map[string]string{"title": r.Title, "description": r.Description, "stage": r.Stage} {
		if value != "" && value != "ALPHA" {
			m[field] = value
		}
	}
	if full && len(r.Permissions) > 0 {
		m["includedPermissions"] = r.Permissions
	}
	if r.deleted() {
		m["deleted"] = true
	}
	return m
}

// grants reports whether a role, predefined or custom, gives the permission at now.
func (s *company) grants(name, permission string, now time.Time) bool {
	if r := predefined()[name]; r != nil {
		return r.has(permission)
	}
	return s.Roles[name].grants(permission, now)
}

// gone reports whether the role was deleted too long ago to come back: it is no
// longer shown, but its id is not free yet.
func (r *customRole) gone(s *company, now time.Time) bool {
	return r.deleted() && now.Sub(r.Deleted) >= s.Doubts.roleGrace()
}

// check refuses what a custom role may not be.
func (r *customRole) check() error {
	size := len(r.Title) + len(r.Description)
	for _, p := range r.Permissions {
		size += len(p)
	}
	switch {
	case len(r.Title) > maxRoleTitle:
		return refuseInvalid("The title is longer than %d bytes.", maxRoleTitle)
	case len(r.Description) > maxRoleDescription:
		return refuseInvalid("The description is longer than %d bytes.", maxRoleDescription)
	case len(r.Permissions) > maxRolePermissions:
		return refuseInvalid("The role has %d permissions, more than the maximum of %d.", len(r.Permissions), maxRolePermissions)
	case size > maxRoleSize:
		return refuseInvalid("The title, the description and the permissions of the role take %d bytes, more than %d.", size, maxRoleSize)
	case r.Stage != "" && !slices.Contains(roleStages, r.Stage):
		return refuseInvalid("Invalid value at 'role.stage', %q", r.Stage)
	}
	parent, _, _ := customRoleName(r.Name)
	for _, p := range r.Permissions {
		if !permissionExists(p) || !roleTakes(parent, p) {
			return refuseInvalid("Permission %s is not valid.", p)
		}
	}
	return nil
}

// unsupported begin the permissions that the page of support levels keeps out of
// custom roles; of the services here, those that change deny policies and principal
// access boundaries (iam/docs/custom-roles-permissions-support).
var unsupported = []string{
	"iam.denypolicies.create", "iam.denypolicies.delete", "iam.denypolicies.replace", "iam.denypolicies.update",
	"iam.principalaccessboundarypolicies.bind", "iam.principalaccessboundarypolicies.create",
	"iam.principalaccessboundarypolicies.delete", "iam.principalaccessboundarypolicies.unbind",
	"iam.principalaccessboundarypolicies.update",
}

// inTesting are the permissions that Google still tries out in custom roles.
var inTesting = []string{
	"bigquery.tables.setColumnDataPolicy",
	"pubsub.snapshots.get", "pubsub.snapshots.getIamPolicy", "pubsub.snapshots.seek", "pubsub.snapshots.setIamPolicy",
	"pubsub.snapshots.update",
}

// supportLevel is how far custom roles may hold the permission; "" means wholly.
func supportLevel(permission string) string {
	switch {
	case slices.Contains(unsupported, permission):
		return "NOT_SUPPORTED"
	case slices.Contains(inTesting, permission):
		return "TESTING"
	}
	return ""
}

// roleTakes reports whether a custom role of parent may hold the permission: a
// project's none that means something on folders and organizations alone
// (iam/docs/creating-custom-roles).
func roleTakes(parent, permission string) bool {
	return (!strings.HasPrefix(parent, "projects/") || !aboveProjects(permission)) && supportLevel(permission) != "NOT_SUPPORTED"
}

// aboveProjects reports whether a permission means something on folders and organizations
// alone.
func aboveProjects(permission string) bool {
	return strings.HasPrefix(permission, "resourcemanager.organizations.") || strings.HasPrefix(permission, "resourcemanager.folders.")
}

// permissionExists reports whether a permission is one that is known here, or of a
// service of which none is.
func permissionExists(permission string) bool {
	known := knownPermissions()
	if known.names[permission] {
		return true
	}
	service, _, _ := strings.Cut(permission, ".")
	return strings.Count(permission, ".") >= 2 && !strings.ContainsAny(permission, "* ") && !known.services[service]
}

func sortedSet(in []string) []string {
	out := slices.Clone(in)
	slices.Sort(out)
	return slices.Compact(out)
}
