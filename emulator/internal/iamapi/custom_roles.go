package iamapi

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

func customRoleMethods() []wire.Method {
	var ms []wire.Method
	for _, kind := range []string{"project", "organization"} {
		at := "/v1/" + kind + "s/{" + kind + "}/roles"
		one := at + "/{role}"
		api := "iam." + kind + "s.roles."
		ms = append(ms,
			wire.Method{ID: api + "create", Pattern: "POST " + at, Writes: true, Serve: createRole},
			wire.Method{ID: api + "list", Pattern: "GET " + at, Serve: listCustomRoles},
			wire.Method{ID: api + "get", Pattern: "GET " + one, Serve: getCustomRole},
			wire.Method{ID: api + "patch", Pattern: "PATCH " + one, Writes: true, Serve: patchRole},
			wire.Method{ID: api + "delete", Pattern: "DELETE " + one, Writes: true, Serve: deleteRole},
			wire.Method{ID: api + "undelete", Pattern: "POST " + one + ":undelete", Writes: true, Serve: undeleteRole},
		)
	}
	for i := range ms {
		ms[i].Host = iam.Host
	}
	return ms
}

// roleParent returns the project or organization of the path: as IAM sees it, and
// the name that its roles begin with.
func roleParent(c *wire.Call) (iam.Node, string, error) {
	if number := c.Vars["organization"]; number != "" {
		n, err := c.Container("organizations/" + number)
		return n, "organizations/" + number, err
	}
	n, p, err := c.State().ProjectNode(c.Vars["project"])
	if err != nil {
		return n, "", err
	}
	return n, "projects/" + p.ID, nil
}

// findCustomRole returns the role of the path to a caller with the permission on its
// parent. Deleted ones are found as long as they can come back.
func findCustomRole(c *wire.Call, permission string) (*iam.CustomRole, error) {
	n, parent, err := roleParent(c)
	if err != nil {
		return nil, err
	}
	if err := c.Require(permission, n); err != nil {
		return nil, err
	}
	name := parent + "/roles/" + c.Vars["role"]
	r := c.State().Roles[name]
	if r == nil || r.Irrevocable(c.Company(), c.Now) {
		return nil, wire.NotFound("The role named %s was not found.", name)
	}
	return r, nil
}

// roleBody is a role as it is sent; absent fields are nil.
type roleBody struct {
	Title       *string   `json:"title"`
	Description *string   `json:"description"`
	Permissions *[]string `json:"includedPermissions"`
	Stage       *string   `json:"stage"`
	Etag        string    `json:"etag"`
}

// apply changes the fields that the mask names; without a mask, those that were sent.
func (in roleBody) apply(r *iam.CustomRole, d *iam.Doubts, mask string) ([]string, error) {
	value := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	if mask == "" {
		var sent []string
		for field, is := range map[string]bool{"title": in.Title != nil, "description": in.Description != nil,
			"includedPermissions": in.Permissions != nil, "stage": in.Stage != nil} {
			if is {
				sent = append(sent, field)
			}
		}
		mask = strings.Join(sent, ",")
	}
	var changed []string
	for field := range strings.SplitSeq(mask, ",") {
		switch field = strings.TrimSpace(field); field {
		case "title":
			r.Title = value(in.Title)
		case "description":
			r.Description = value(in.Description)
		case "stage":
			r.Stage = value(in.Stage)
		case "includedPermissions", "included_permissions":
			field = "includedPermissions"
			r.Permissions = nil
			if in.Permissions != nil {
				r.Permissions = iam.SortedSet(*in.Permissions)
			}
		case "etag", "name", "":
			continue
		default:
			return nil, wire.Invalid("Invalid update mask: %q.", field)
		}
		changed = append(changed, field)
	}
	return changed, r.Check(d)
}

// roleConflict is the answer to a stale etag of a role.
func roleConflict(r *iam.CustomRole, etag string) error {
	if etag == "" || iam.SameEtag(etag, r.Etag()) {
		return nil
	}
	return wire.Fail(http.StatusConflict, "ABORTED", "aborted",
		"There were concurrent changes to the role %s. Please retry the whole read-modify-write with exponential "+
			"backoff.", r.Name)
}

func createRole(c *wire.Call) (any, error) {
	n, parent, err := roleParent(c)
	if err != nil {
		return nil, err
	}
	if err := c.Require("iam.roles.create", n); err != nil {
		return nil, err
	}
	var body struct {
		RoleID string   `json:"roleId"`
		Role   roleBody `json:"role"`
	}
	if err := c.Decode(&body); err != nil {
		return nil, err
	}
	r := &iam.CustomRole{Name: parent + "/roles/" + body.RoleID}
	switch old := c.State().Roles[r.Name]; {
	case old != nil && old.IsDeleted():
		return nil, wire.Precondition("You can't create a role_id (%s) which has been marked for deletion.",
			body.RoleID)
	case old != nil:
		return nil, wire.AlreadyExists("A role named %s in %s already exists.", body.RoleID, parent)
	case !iam.RoleID().MatchString(body.RoleID):
		return nil, wire.Invalid("The role_id %q must be 3 to 64 characters of [a-zA-Z0-9_.].", body.RoleID)
	}
	if _, err := body.Role.apply(r, &c.State().Doubts, ""); err != nil {
		return nil, err
	}
	count := 0
	for name, other := range c.State().Roles {
		if strings.HasPrefix(name, parent+"/roles/") && !other.Irrevocable(c.Company(), c.Now) {
			count++
		}
	}
	if count >= iam.MaxCustomRoles {
		return nil, wire.Fail(http.StatusTooManyRequests, "RESOURCE_EXHAUSTED", "rateLimitExceeded",
			"Maximum number of roles reached. Maximum is: %d.", iam.MaxCustomRoles)
	}
	r.Touch(c.Now)
	r.ChangedFrom(c.Company(), nil, c.Now)
	r.Known = r.Acts
	c.State().Roles[r.Name] = r
	return r.Resource(true), nil
}

// customRolesOf returns, in order, the roles of a parent: with the deleted ones if asked.
func customRolesOf(s *wire.State, parent string, deleted bool, now time.Time) []*iam.CustomRole {
	var out []*iam.CustomRole
	for name, r := range s.Roles {
		if strings.HasPrefix(name, parent+"/roles/") && (!r.IsDeleted() || deleted && !r.Irrevocable(&s.Company, now)) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b *iam.CustomRole) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func listCustomRoles(c *wire.Call) (any, error) {
	n, parent, err := roleParent(c)
	if err != nil {
		return nil, err
	}
	if err := c.Require("iam.roles.list", n); err != nil {
		return nil, err
	}
	asked, err := c.ListPage()
	if err != nil {
		return nil, err
	}
	all := customRolesOf(c.State(), parent, strings.EqualFold(c.Query("showDeleted"), "true"), c.Now)
	part, next, err := wire.Paginate(all, asked, 300, 1000)
	if err != nil {
		return nil, err
	}
	return rolePage(part, next, strings.EqualFold(c.Query("view"), "FULL")), nil
}

func getCustomRole(c *wire.Call) (any, error) {
	r, err := findCustomRole(c, "iam.roles.get")
	if err != nil {
		return nil, err
	}
	return r.Resource(true), nil
}

func patchRole(c *wire.Call) (any, error) {
	r, err := findCustomRole(c, "iam.roles.update")
	if err != nil {
		return nil, err
	}
	var body roleBody
	if err := c.Decode(&body); err != nil {
		return nil, err
	}
	if r.IsDeleted() {
		return nil, wire.Precondition("The role %s is deleted.", r.Name)
	}
	if err := roleConflict(r, body.Etag); err != nil {
		return nil, err
	}
	next := *r
	changed, err := body.apply(&next, &c.State().Doubts, c.Query("updateMask"))
	if err != nil {
		return nil, err
	}
	next.Touch(c.Now)
	next.ChangedFrom(c.Company(), r.Holds(c.Now), c.Now)
	*r = next
	answer := r.Resource(true)
	if c.State().Doubts.RolePatchPartial {
		for field := range answer {
			if field != "name" && field != "etag" && !slices.Contains(changed, field) {
				delete(answer, field)
			}
		}
	}
	return answer, nil
}

// deleteRole marks a role as deleted. Bindings of it stay, and grant nothing.
func deleteRole(c *wire.Call) (any, error) {
	r, err := findCustomRole(c, "iam.roles.delete")
	if err != nil {
		return nil, err
	}
	if r.IsDeleted() {
		return nil, wire.Precondition("The role %s is deleted already.", r.Name)
	}
	if err := roleConflict(r, c.Query("etag")); err != nil {
		return nil, err
	}
	before := r.Holds(c.Now)
	r.Deleted = c.Now
	r.ChangedFrom(c.Company(), before, c.Now)
	r.Touch(c.Now)
	c.CheckDue()
	return r.Resource(true), nil
}

func undeleteRole(c *wire.Call) (any, error) {
	r, err := findCustomRole(c, "iam.roles.undelete")
	if err != nil {
		return nil, err
	}
	var body struct {
		Etag string `json:"etag"`
	}
	if err := c.Decode(&body); err != nil {
		return nil, err
	}
	if !r.IsDeleted() {
		return nil, wire.Precondition("The role %s is not deleted.", r.Name)
	}
	if err := roleConflict(r, body.Etag); err != nil {
		return nil, err
	}
	before := r.Holds(c.Now)
	r.Deleted = time.Time{}
	r.ChangedFrom(c.Company(), before, c.Now)
	r.Touch(c.Now)
	return r.Resource(true), nil
}
