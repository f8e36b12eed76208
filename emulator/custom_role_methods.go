package emulator

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

func customRoleMethods() []method {
	var ms []method
	for _, kind := range []string{"project", "organization"} {
		at := "/v1/" + kind + "s/{" + kind + "}/roles"
		one := at + "/{role}"
		api := "iam." + kind + "s.roles."
		ms = append(ms,
			method{id: api + "create", pattern: "POST " + at, writes: true, serve: createRole},
			method{id: api + "list", pattern: "GET " + at, serve: listCustomRoles},
			method{id: api + "get", pattern: "GET " + one, serve: getCustomRole},
			method{id: api + "patch", pattern: "PATCH " + one, writes: true, serve: patchRole},
			method{id: api + "delete", pattern: "DELETE " + one, writes: true, serve: deleteRole},
			method{id: api + "undelete", pattern: "POST " + one + ":undelete", writes: true, serve: undeleteRole},
		)
	}
	for i := range ms {
		ms[i].host = iamHost
	}
	return ms
}

// roleParent returns the project or organization of the path: as IAM sees it, and
// the name that its roles begin with.
func roleParent(c *call) (node, string, error) {
	if number := c.vars["organization"]; number != "" {
		n, err := c.container("organizations/" + number)
		return n, "organizations/" + number, err
	}
	n, p, err := c.state().projectNode(c.vars["project"])
	if err != nil {
		return n, "", err
	}
	return n, "projects/" + p.ID, nil
}

// findCustomRole returns the role of the path to a caller with the permission on its
// parent. Deleted ones are found as long as they can come back.
func findCustomRole(c *call, permission string) (*customRole, error) {
	n, parent, err := roleParent(c)
	if err != nil {
		return nil, err
	}
	if err := c.require(permission, n); err != nil {
		return nil, err
	}
	name := parent + "/roles/" + c.vars["role"]
	r := c.state().Roles[name]
	if r == nil || r.gone(c.company(), c.now) {
		return nil, notFound("The role named %s was not found.", name)
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
func (in roleBody) apply(r *customRole, mask string) ([]string, error) {
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
				r.Permissions = sortedSet(*in.Permissions)
			}
		case "etag", "name", "":
			continue
		default:
			return nil, invalid("Invalid update mask: %q.", field)
		}
		changed = append(changed, field)
	}
	return changed, r.check()
}

// roleConflict is the answer to a stale etag of a role.
func roleConflict(r *customRole, etag string) error {
	if etag == "" || sameEtag(etag, r.etag()) {
		return nil
	}
	return fail(http.StatusConflict, "ABORTED", "aborted",
		"There were concurrent changes to the role %s. Please retry the whole read-modify-write with exponential backoff.", r.Name)
}

func createRole(c *call) (any, error) {
	n, parent, err := roleParent(c)
	if err != nil {
		return nil, err
	}
	if err := c.require("iam.roles.create", n); err != nil {
		return nil, err
	}
	var body struct {
		RoleID string   `json:"roleId"`
		Role   roleBody `json:"role"`
	}
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	r := &customRole{Name: parent + "/roles/" + body.RoleID}
	switch old := c.state().Roles[r.Name]; {
	case old != nil && old.deleted():
		return nil, precondition("You can't create a role_id (%s) which has been marked for deletion.", body.RoleID)
	case old != nil:
		return nil, alreadyExists("A role named %s in %s already exists.", body.RoleID, parent)
	case !roleID.MatchString(body.RoleID):
		return nil, invalid("The role_id %q must be 3 to 64 characters of [a-zA-Z0-9_.].", body.RoleID)
	}
	if _, err := body.Role.apply(r, ""); err != nil {
		return nil, err
	}
	count := 0
	for name, other := range c.state().Roles {
		if strings.HasPrefix(name, parent+"/roles/") && !other.gone(c.company(), c.now) {
			count++
		}
	}
	if count >= maxCustomRoles {
		return nil, fail(http.StatusTooManyRequests, "RESOURCE_EXHAUSTED", "rateLimitExceeded",
			"Maximum number of roles reached. Maximum is: %d.", maxCustomRoles)
	}
	r.touch(c.now)
	r.turns(c.company(), nil, c.now)
	r.Known = r.Acts
	c.state().Roles[r.Name] = r
	return r.resource(true), nil
}

// customRolesOf returns, in order, the roles of a parent: with the deleted ones if asked.
func customRolesOf(s *state, parent string, deleted bool, now time.Time) []*customRole {
	var out []*customRole
	for name, r := range s.Roles {
		if strings.HasPrefix(name, parent+"/roles/") && (!r.deleted() || deleted && !r.gone(&s.company, now)) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b *customRole) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func listCustomRoles(c *call) (any, error) {
	n, parent, err := roleParent(c)
	if err != nil {
		return nil, err
	}
	if err := c.require("iam.roles.list", n); err != nil {
		return nil, err
	}
	asked, err := c.listPage()
	if err != nil {
		return nil, err
	}
	all := customRolesOf(c.state(), parent, strings.EqualFold(c.query("showDeleted"), "true"), c.now)
	part, next, err := paginate(all, asked, 300, 1000)
	if err != nil {
		return nil, err
	}
	return rolePage(part, next, strings.EqualFold(c.query("view"), "FULL")), nil
}

func getCustomRole(c *call) (any, error) {
	r, err := findCustomRole(c, "iam.roles.get")
	if err != nil {
		return nil, err
	}
	return r.resource(true), nil
}

func patchRole(c *call) (any, error) {
	r, err := findCustomRole(c, "iam.roles.update")
	if err != nil {
		return nil, err
	}
	var body roleBody
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	if r.deleted() {
		return nil, precondition("The role %s is deleted.", r.Name)
	}
	if err := roleConflict(r, body.Etag); err != nil {
		return nil, err
	}
	next := *r
	changed, err := body.apply(&next, c.query("updateMask"))
	if err != nil {
		return nil, err
	}
	next.touch(c.now)
	next.turns(c.company(), r.holds(c.now), c.now)
	*r = next
	answer := r.resource(true)
	if c.state().Doubts.RolePatchPartial {
		for field := range answer {
			if field != "name" && field != "etag" && !slices.Contains(changed, field) {
				delete(answer, field)
			}
		}
	}
	return answer, nil
}

// deleteRole marks a role as deleted. Bindings of it stay, and grant nothing.
func deleteRole(c *call) (any, error) {
	r, err := findCustomRole(c, "iam.roles.delete")
	if err != nil {
		return nil, err
	}
	if r.deleted() {
		return nil, precondition("The role %s is deleted already.", r.Name)
	}
	if err := roleConflict(r, c.query("etag")); err != nil {
		return nil, err
	}
	before := r.holds(c.now)
	r.Deleted = c.now
	r.turns(c.company(), before, c.now)
	r.touch(c.now)
	c.checkDue()
	return r.resource(true), nil
}

func undeleteRole(c *call) (any, error) {
	r, err := findCustomRole(c, "iam.roles.undelete")
	if err != nil {
		return nil, err
	}
	var body struct {
		Etag string `json:"etag"`
	}
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	if !r.deleted() {
		return nil, precondition("The role %s is not deleted.", r.Name)
	}
	if err := roleConflict(r, body.Etag); err != nil {
		return nil, err
	}
	before := r.holds(c.now)
	r.Deleted = time.Time{}
	r.turns(c.company(), before, c.now)
	r.touch(c.now)
	return r.resource(true), nil
}
