package iamapi

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

func roleMethods() []wire.Method {
	ms := []wire.Method{
		{ID: "iam.roles.get", Pattern: "GET /v1/roles/{role}", Serve: getRole},
		{ID: "iam.roles.list", Pattern: "GET /v1/roles", Serve: listRoles},
		{ID: "iam.roles.queryGrantableRoles", Pattern: "POST /v1/roles:queryGrantableRoles",
			Serve: queryGrantableRoles},
		{ID: "iam.permissions.queryTestablePermissions", Pattern: "POST /v1/permissions:queryTestablePermissions",
			Serve: queryTestablePermissions},
		{ID: "iam.iamPolicies.lintPolicy", Pattern: "POST /v1/iamPolicies:lintPolicy", Serve: lintPolicy},
	}
	for i := range ms {
		ms[i].Host = iam.Host
	}
	return ms
}

// getRole needs no permission: predefined roles are public.
func getRole(c *wire.Call) (any, error) {
	r := iam.Predefined()["roles/"+c.Vars["role"]]
	if r == nil {
		return nil, wire.NotFound("The role named roles/%s was not found.", c.Vars["role"])
	}
	return r.Resource(true), nil
}

// sortedRoles are the predefined roles by name. The slice must not be changed.
var sortedRoles = sync.OnceValue(func() []*iam.Role {
	return slices.SortedFunc(maps.Values(iam.Predefined()), func(a, b *iam.Role) int {
		return cmp.Compare(a.Name, b.Name)
	})
})

func listRoles(c *wire.Call) (any, error) {
	asked, err := c.ListPage()
	if err != nil {
		return nil, err
	}
	part, next, err := wire.Paginate(sortedRoles(), asked, 300, 1000)
	if err != nil {
		return nil, err
	}
	return rolePage(part, next, strings.EqualFold(c.Query("view"), "FULL")), nil
}

// shownRole is a role of either kind.
type shownRole interface {
	Resource(full bool) map[string]any
	GrantableOn(prefix string) bool
}

func rolePage[R shownRole](part []R, next string, full bool) any {
	answer := map[string]any{}
	var out []any
	for _, r := range part {
		out = append(out, r.Resource(full))
	}
	if len(out) > 0 {
		answer["roles"] = out
	}
	if next != "" {
		answer["nextPageToken"] = next
	}
	return answer
}

func queryGrantableRoles(c *wire.Call) (any, error) {
	var body struct {
		FullResourceName string `json:"fullResourceName"`
		View             string `json:"view"`
		PageSize         int    `json:"pageSize"`
		PageToken        string `json:"pageToken"`
	}
	if err := c.Decode(&body); err != nil {
		return nil, err
	}
	prefixes, ok := c.State().Grantable(body.FullResourceName)
	if !ok {
		return nil, wire.Invalid("The full resource name %q is not valid.", body.FullResourceName)
	}
	var all []shownRole
	for _, r := range sortedRoles() {
		all = append(all, r)
	}
	for _, r := range customRolesFor(c, body.FullResourceName) {
		all = append(all, r)
	}
	all = slices.DeleteFunc(all, func(r shownRole) bool { return !slices.ContainsFunc(prefixes, r.GrantableOn) })
	part, next, err := wire.Paginate(all, wire.Page{Size: body.PageSize, Token: body.PageToken}, 300, 2000)
	if err != nil {
		return nil, err
	}
	return rolePage(part, next, body.View == "FULL"), nil
}

// customRolesFor returns the custom roles that can be granted on a resource, of those
// that the caller may list: its project's and its organization's.
func customRolesFor(c *wire.Call, full string) []*iam.CustomRole {
	n := containerOf(c, full)
	var out []*iam.CustomRole
	for i, holder := range n.Holders {
		parent, container := strings.CutPrefix(holder, "//"+iam.ResourceManagerHost+"/")
		if container && c.May("iam.roles.list", iam.Node{Policies: n.Policies[i:], Holders: n.Holders[i:]}) {
			out = append(out, customRolesOf(c.State(), parent, false, c.Now)...)
		}
	}
	return out
}

// containerOf returns what a full resource name leads to: the resource if a service keeps
// it, else its project, folder or organization, or the zero node.
func containerOf(c *wire.Call, full string) iam.Node {
	if n, ok := c.State().ServiceNode(full); ok {
		return n
	}
	_, path, _ := strings.Cut(strings.TrimPrefix(full, "//"), "/")
	parts := strings.Split(path, "/")
	if len(parts) < 2 {
		return iam.Node{}
	}
	return c.State().ContainerNode(parts[0] + "/" + parts[1])
}

// queryTestablePermissions shows those that custom roles cannot hold, too: their level is how
// that is told (iam/docs/custom-roles-permissions-support).
func queryTestablePermissions(c *wire.Call) (any, error) {
	var body struct {
		FullResourceName string `json:"fullResourceName"`
		PageSize         int    `json:"pageSize"`
		PageToken        string `json:"pageToken"`
	}
	if err := c.Decode(&body); err != nil {
		return nil, err
	}
	prefixes, ok := c.State().Grantable(body.FullResourceName)
	if !ok {
		return nil, wire.Invalid("The full resource name %q is not valid.", body.FullResourceName)
	}
	project := strings.HasPrefix(body.FullResourceName[strings.LastIndex(body.FullResourceName, "//")+2:],
		iam.ResourceManagerHost+"/projects/")
	var testable []string
	for _, p := range iam.KnownPermissions().Sorted {
		if slices.ContainsFunc(prefixes, func(prefix string) bool {
			return strings.HasPrefix(p, prefix)
		}) && (!project || c.State().Doubts.OfProjects(p)) {
			testable = append(testable, p)
		}
	}
	part, next, err := wire.Paginate(testable, wire.Page{Size: body.PageSize, Token: body.PageToken}, 100, 1000)
	if err != nil {
		return nil, err
	}
	answer := map[string]any{}
	var out []any
	for _, p := range part {
		m := map[string]string{"name": p, "stage": "GA"}
		if level := iam.SupportLevel(p); level != "" {
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
func lintPolicy(c *wire.Call) (any, error) {
	var body struct {
		Condition *iam.Condition `json:"condition"`
	}
	if err := c.Decode(&body); err != nil {
		return nil, err
	}
	if body.Condition == nil {
		return nil, wire.Fail(http.StatusBadRequest, "INVALID_ARGUMENT", "badRequest", "A condition is required.")
	}
	err := iam.CompileCondition(body.Condition.Expression)
	if err == nil {
		return struct{}{}, nil
	}
	return map[string]any{"lintResults": []any{map[string]any{
		"level": "CONDITION", "severity": "ERROR", "fieldName": "condition.expression",
		"validationUnitName": "LintValidationUnits/ConditionCompileCheck", "debugMessage": err.Error(),
	}}}, nil
}
