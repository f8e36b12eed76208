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

func (r *role) resource(full bool) map[string]any {
	m := map[string]any{"name": r.Name, "title": r.Title, "stage": r.Stage, "etag": "AA=="}
	if r.Stage == "ALPHA" {
		delete(m, "stage") // which is how Google shows it
	}
	if full && len(r.Permissions) > 0 {
		m["includedPermissions"] = r.Permissions
	}
	return m
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

// permissionPrefixes maps what a full resource name looks like to the permissions
// that can be tested on it, and so to the roles that can be granted.
func permissionPrefixes(full string) ([]string, bool) {
	rest, ok := strings.CutPrefix(full, "//")
	if !ok {
		return nil, false
	}
	service, path, ok := strings.Cut(rest, "/")
	if !ok || path == "" {
		return nil, false
	}
	kind := path
	if i := strings.LastIndex(path, "/"); i > 0 {
		kind = path[:i]
		kind = kind[strings.LastIndex(kind, "/")+1:]
	}
	switch service + " " + kind {
	case "iam.googleapis.com serviceAccounts":
		return []string{"iam.serviceAccount"}, true
	case "storage.googleapis.com buckets":
		return []string{"storage."}, true
	case "pubsub.googleapis.com topics":
		return []string{"pubsub.topics."}, true
	case "pubsub.googleapis.com subscriptions":
		return []string{"pubsub.subscriptions."}, true
	case "secretmanager.googleapis.com secrets":
		return []string{"secretmanager."}, true
	case "bigquery.googleapis.com datasets":
		return []string{"bigquery.datasets.", "bigquery.tables.", "bigquery.routines.", "bigquery.models."}, true
	case "bigquery.googleapis.com tables":
		return []string{"bigquery.tables."}, true
	}
	if kind == "projects" || kind == "folders" || kind == "organizations" {
		return []string{""}, true
	}
	if t := typeOf(full); t != nil {
		return []string{t.spec().writeOptions().service}, true
	}
	return nil, false
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
	prefixes, ok := permissionPrefixes(body.FullResourceName)
	if !ok {
		return nil, invalid("The full resource name %q is not valid.", body.FullResourceName)
	}
	var all []shownRole
	for _, r := range sortedRoles() {
		all = append(all, r)
	}
	for _, r := range c.customRolesFor(body.FullResourceName) {
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
func (c *call) customRolesFor(full string) []*customRole {
	n := c.containerOf(full)
	var out []*customRole
	for i, holder := range n.holders {
		parent := strings.TrimPrefix(holder, "//"+resourceManagerHost+"/")
		if c.may("iam.roles.list", node{policies: n.policies[i:], holders: n.holders[i:]}) {
			out = append(out, c.state().customRolesOf(parent, false, c.now)...)
		}
	}
	return out
}

// containerOf returns the project, folder or organization that a full resource name
// leads into, or the zero node.
func (c *call) containerOf(full string) node {
	_, path, _ := strings.Cut(strings.TrimPrefix(full, "//"), "/")
	parts := strings.Split(path, "/")
	if len(parts) < 2 {
		return node{}
	}
	if bucket := "projects/_/buckets/"; strings.HasPrefix(path, bucket) && len(parts) > 3 {
		if b := c.state().Storage.Buckets[parts[3]]; b != nil {
			return c.state().containerNode("projects/" + b.Project)
		}
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
	prefixes, ok := permissionPrefixes(body.FullResourceName)
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
