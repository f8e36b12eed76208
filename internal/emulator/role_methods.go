package emulator

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strings"
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

func sortedRoles() []*role {
	return slices.SortedFunc(maps.Values(predefined()), func(a, b *role) int { return cmp.Compare(a.Name, b.Name) })
}

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

func rolePage(part []*role, next string, full bool) any {
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
	all := slices.DeleteFunc(sortedRoles(), func(r *role) bool {
		return !slices.ContainsFunc(prefixes, r.grantableOn)
	})
	part, next, err := paginate(all, page{body.PageSize, body.PageToken}, 300, 2000)
	if err != nil {
		return nil, err
	}
	return rolePage(part, next, body.View == "FULL"), nil
}

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
	seen := map[string]bool{}
	for _, r := range predefined() {
		for _, p := range r.Permissions {
			if slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(p, prefix) }) {
				seen[p] = true
			}
		}
	}
	part, next, err := paginate(slices.Sorted(maps.Keys(seen)), page{body.PageSize, body.PageToken}, 100, 1000)
	if err != nil {
		return nil, err
	}
	answer := map[string]any{}
	var out []any
	for _, p := range part {
		out = append(out, map[string]string{"name": p, "stage": "GA"})
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
