package emulator

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
)

func roleMethods() []method {
	ms := []method{
		{id: "iam.roles.get", pattern: "GET /v1/roles/{role}", serve: getRole},
		{id: "iam.roles.list", pattern: "GET /v1/roles", serve: listRoles},
		{id: "iam.roles.queryGrantableRoles", pattern: "POST /v1/roles:queryGrantableRoles", serve: queryGrantableRoles},
		{id: "iam.permissions.queryTestablePermissions", pattern: "POST /v1/permissions:queryTestablePermissions", serve: queryTestablePermissions},
		{id: "iam.iamPolicies.lintPolicy", pattern: "POST /v1/iamPolicies:lintPolicy", serve: lintPolicy},
	}
	for i := range ms {
		ms[i].host = iamHost
	}
	return ms
}

// getRole needs no permission: predefined roles are public.
func getRole(c *call) (any, error) {
	r := predefined()["roles/"+c.vars["role"]]
	if r == nil {
		return nil, notFound("The role named roles/%s was not found.", c.vars["role"])
	}
	return r.resource(true), nil
}

// sortedRoles are the predefined roles by name. Nobody changes the slice.
var sortedRoles = sync.OnceValue(func() []*role {
	return slices.SortedFunc(maps.Values(predefined()), func(a, b *role) int { return cmp.Compare(a.Name, b.Name) })
})

func listRoles(c *call) (any, error) {
	asked, err := c.listPage()
	if err != nil {
		return nil, err
	}
	part, next, err := paginate(sortedRoles(), asked, 300, 1000)
	if err != nil {
		return nil, err
	}
	return rolePage(part, next, strings.EqualFold(c.query("view"), "FULL")), nil
}

// shownRole is a role of either kind.
type shownRole interface {
	resource(full bool) map[string]any
	grantableOn(prefix string) bool
}

func rolePage[R shownRole](part []R, next string, full bool) any {
	answer := map[string]any{}
	var out []any
	for _, r := range part {
		out = append(out, r.resource(full))
	}
	if len(out) > 0 {
		answer["roles"] = out
	}
	if next != "" {
		answer["nextPageToken"] = next
	}
	return answer
}

func queryGrantableRoles(c *call) (any, error) {
	var body struct {
		FullResourceName string `json:"fullResourceName"`
		View             string `json:"view"`
		PageSize         int    `json:"pageSize"`
		PageToken        string `json:"pageToken"`
	}
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	prefixes, ok := c.state().grantable(body.FullResourceName)
	if !ok {
		return nil, invalid("The full resource name %q is not valid.", body.FullResourceName)
	}
	var all []shownRole
	for _, r := range sortedRoles() {
		all = append(all, r)
	}
	for _, r := range customRolesFor(c, body.FullResourceName) {
		all = append(all, r)
	}
	all = slices.DeleteFunc(all, func(r shownRole) bool { return !slices.ContainsFunc(prefixes, r.grantableOn) })
	part, next, err := paginate(all, page{body.PageSize, body.PageToken}, 300, 2000)
	if err != nil {
		return nil, err
	}
	return rolePage(part, next, body.View == "FULL"), nil
}

// customRolesFor returns the custom roles that can be granted on a resource, of those
// that the caller may list: its project's and its organization's.
func customRolesFor(c *call, full string) []*customRole {
	n := containerOf(c, full)
	var out []*customRole
	for i, holder := range n.holders {
		parent, container := strings.CutPrefix(holder, "//"+resourceManagerHost+"/")
		if container && c.may("iam.roles.list", node{policies: n.policies[i:], holders: n.holders[i:]}) {
			out = append(out, customRolesOf(c.state(), parent, false, c.now)...)
		}
	}
	return out
}

// containerOf returns what a full resource name leads to: the resource if a service keeps
// it, else its project, folder or organization, or the zero node.
func containerOf(c *call, full string) node {
	if n, ok := c.state().serviceNode(full); ok {
		return n
	}
	_, path, _ := strings.Cut(strings.TrimPrefix(full, "//"), "/")
	parts := strings.Split(path, "/")
	if len(parts) < 2 {
		return node{}
	}
	return c.state().containerNode(parts[0] + "/" + parts[1])
}

// queryTestablePermissions shows those that custom roles cannot hold, too: their level is how
// that is told (iam/docs/custom-roles-permissions-support).
func queryTestablePermissions(c *call) (any, error) {
	var body struct {
		FullResourceName string `json:"fullResourceName"`
		PageSize         int    `json:"pageSize"`
		PageToken        string `json:"pageToken"`
	}
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	prefixes, ok := c.state().grantable(body.FullResourceName)
	if !ok {
		return nil, invalid("The full resource name %q is not valid.", body.FullResourceName)
	}
	project := strings.HasPrefix(body.FullResourceName[strings.LastIndex(body.FullResourceName, "//")+2:], resourceManagerHost+"/projects/")
	var testable []string
	for _, p := range knownPermissions().sorted {
		if slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(p, prefix) }) && !(project && aboveProjects(p)) {
			testable = append(testable, p)
		}
	}
	part, next, err := paginate(testable, page{body.PageSize, body.PageToken}, 100, 1000)
	if err != nil {
		return nil, err
	}
	answer := map[string]any{}
	var out []any
	for _, p := range part {
		m := map[string]string{"name": p, "stage": "GA"}
		if level := supportLevel(p); level != "" {
			m["customRolesSupportLevel"] = level
		}
		out = append(out, m)
	}
	if len(out) > 0 {
		answer["permissions"] = out
	}
	if next != "" {
		answer["nextPageToken"] = next
	}
	return answer, nil
}

// lintPolicy says whether a condition compiles; its answer is 200 either way.
func lintPolicy(c *call) (any, error) {
	var body struct {
		Condition *condition `json:"condition"`
	}
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	if body.Condition == nil {
		return nil, fail(http.StatusBadRequest, "INVALID_ARGUMENT", "badRequest", "A condition is required.")
	}
	err := compileCondition(body.Condition.Expression)
	if err == nil {
		return struct{}{}, nil
	}
	return map[string]any{"lintResults": []any{map[string]any{
		"level": "CONDITION", "severity": "ERROR", "fieldName": "condition.expression",
		"validationUnitName": "LintValidationUnits/ConditionCompileCheck", "debugMessage": err.Error(),
	}}}, nil
}
