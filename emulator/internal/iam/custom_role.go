package iam

import (
	"slices"
	"strings"
	"time"

	"github.com/taskiam/taskiam/internal/lazy"
)

// CustomRole is a role that a project or an organization has made, in use or deleted.
type CustomRole struct {
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
	MaxCustomRoles     = 300 // per project, and per organization
	MaxRolePermissions = 3000
	maxRoleTitle       = 100      // bytes
	maxRoleDescription = 300      // bytes
	maxRoleSize        = 64 << 10 // title, description and permissions
)

// RoleID is what the ids of custom roles look like.
var RoleID = lazy.Regexp(`^[a-zA-Z0-9_.]{3,64}$`)

var roleStages = []string{"ALPHA", "BETA", "GA", "DEPRECATED", "DISABLED", "EAP"}

// SplitCustomRole takes the name of a custom role apart.
func SplitCustomRole(name string) (parent, id string, ok bool) {
	parent, id, ok = strings.Cut(name, "/roles/")
	return parent, id, ok && (strings.HasPrefix(parent, "projects/") || strings.HasPrefix(parent, "organizations/"))
}

// IsDeleted reports whether the role was deleted.
func (r *CustomRole) IsDeleted() bool { return !r.Deleted.IsZero() }

// Holds returns what the role gives at now. A nil role, a deleted one and a disabled one
// give nothing, though bindings may name them.
func (r *CustomRole) Holds(now time.Time) []string {
	switch {
	case r == nil:
		return nil
	case now.Before(r.Acts):
		return r.Before
	case r.IsDeleted() || r.Stage == "DISABLED":
		return nil
	}
	return r.Permissions
}

// ChangedFrom makes a change of the role take effect after the lag; before is what it gave.
func (r *CustomRole) ChangedFrom(s *Company, before []string, now time.Time) {
	r.Before, r.Acts = nil, s.After(RoleChanged, now)
	if !r.Acts.IsZero() {
		r.Before = before
	}
}

// Grants reports whether the role gives the permission at now.
func (r *CustomRole) Grants(permission string, now time.Time) bool {
	_, ok := slices.BinarySearch(r.Holds(now), permission)
	return ok
}

// GrantableOn is [Role.GrantableOn] for a custom role.
func (r *CustomRole) GrantableOn(prefix string) bool {
	return prefix == "" || slices.ContainsFunc(r.Permissions, func(p string) bool {
		return strings.HasPrefix(p, prefix)
	})
}

// within reports whether the role may be bound where the policies of holders hang:
// in the project or organization that made it, and below. Without holders, as in a seed,
// it may be bound everywhere.
func (r *CustomRole) within(holders []string) bool {
	parent, _, _ := SplitCustomRole(r.Name)
	return holders == nil || slices.Contains(holders, "//"+ResourceManagerHost+"/"+parent)
}

// Etag is the etag of r.
func (r *CustomRole) Etag() string { return etagOf(r.Changed) }

// Touch gives r a new etag, later than its last.
func (r *CustomRole) Touch(now time.Time) { r.Changed = max(now.UnixMicro(), r.Changed+1) }

// Resource is the role as the API shows it.
func (r *CustomRole) Resource(full bool) map[string]any {
	m := map[string]any{"name": r.Name, "etag": r.Etag()}
	for field, value := range map[string]string{"title": r.Title, "description": r.Description, "stage": r.Stage} {
		if value != "" && value != "ALPHA" {
			m[field] = value
		}
	}
	if full && len(r.Permissions) > 0 {
		m["includedPermissions"] = r.Permissions
	}
	if r.IsDeleted() {
		m["deleted"] = true
	}
	return m
}

// grants reports whether a role, predefined or custom, gives the permission at now.
func (s *Company) grants(name, permission string, now time.Time) bool {
	if r := Predefined()[name]; r != nil {
		return r.Has(permission)
	}
	return s.Roles[name].Grants(permission, now)
}

// Irrevocable reports whether the role was deleted too long ago to be undeleted: it is no
// longer shown, but its id is not free yet.
func (r *CustomRole) Irrevocable(s *Company, now time.Time) bool {
	return r.IsDeleted() && now.Sub(r.Deleted) >= s.Doubts.roleGrace()
}

// Check refuses what a custom role may not be.
func (r *CustomRole) Check(d *Doubts) error {
	size := len(r.Title) + len(r.Description)
	for _, p := range r.Permissions {
		size += len(p)
	}
	switch {
	case len(r.Title) > maxRoleTitle:
		return refuseInvalid("The title is longer than %d bytes.", maxRoleTitle)
	case len(r.Description) > maxRoleDescription:
		return refuseInvalid("The description is longer than %d bytes.", maxRoleDescription)
	case len(r.Permissions) > MaxRolePermissions:
		return refuseInvalid("The role has %d permissions, more than the maximum of %d.", len(r.Permissions),
			MaxRolePermissions)
	case size > maxRoleSize:
		return refuseInvalid("The title, the description and the permissions of the role take %d bytes, more than %d.",
			size, maxRoleSize)
	case r.Stage != "" && !slices.Contains(roleStages, r.Stage):
		return refuseInvalid("Invalid value at 'role.stage', %q", r.Stage)
	}
	parent, _, _ := SplitCustomRole(r.Name)
	for _, p := range r.Permissions {
		if !permissionExists(p) || !d.roleTakes(parent, p) {
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

// SupportLevel is how far custom roles may hold the permission; "" means wholly.
func SupportLevel(permission string) string {
	switch {
	case slices.Contains(unsupported, permission):
		return "NOT_SUPPORTED"
	case slices.Contains(inTesting, permission):
		return "TESTING"
	}
	return ""
}

// roleTakes reports whether a custom role of parent may hold the permission: a
// project's none of what is above projects (iam/docs/creating-custom-roles).
func (d *Doubts) roleTakes(parent, permission string) bool {
	return (!strings.HasPrefix(parent, "projects/") || d.OfProjects(permission)) &&
		SupportLevel(permission) != "NOT_SUPPORTED"
}

// above begin the permissions of what is above projects or beside them: folders, organizations,
// billing accounts. That such a permission "is not valid" in a project's role is published for
// folders and organizations (aquasecurity/cloudsploit#978) and for billing accounts
// (tranquilitybase-io/tb-gcp#200); of the latter, these are what no basic role holds.
var above = []string{
	"resourcemanager.folders.", "resourcemanager.organizations.",
	"billing.accounts.", "billing.anomaliesConfigs.", "billing.budgets.", "billing.credits.",
	"billing.resourceAssociations.", "billing.subscriptions.",
}

// AboveProjects reports whether a permission means nothing on a project: what has it is never in
// one, or it is asked for on what the project is in (terraform-google-iam#158).
func AboveProjects(permission string) bool {
	return permission == "resourcemanager.projects.create" || permission == "resourcemanager.projects.list" ||
		slices.ContainsFunc(above, func(prefix string) bool { return strings.HasPrefix(permission, prefix) })
}

// OfProjects reports whether a permission may be in a project's custom role, as far as the
// levels of resources decide it.
func (d *Doubts) OfProjects(permission string) bool {
	tags := strings.HasPrefix(permission, "resourcemanager.tagKeys.") ||
		strings.HasPrefix(permission, "resourcemanager.tagValues.")
	return !AboveProjects(permission) && (d.ProjectTags || !tags)
}

// permissionExists reports whether a permission is one that is known here, or of a
// service of which none is.
func permissionExists(permission string) bool {
	known := KnownPermissions()
	if known.names[permission] {
		return true
	}
	service, _, _ := strings.Cut(permission, ".")
	return strings.Count(permission, ".") >= 2 && !strings.ContainsAny(permission, "* ") && !known.services[service]
}

// SortedSet returns the elements of a list in order, each once.
func SortedSet(in []string) []string {
	out := slices.Clone(in)
	slices.Sort(out)
	return slices.Compact(out)
}
