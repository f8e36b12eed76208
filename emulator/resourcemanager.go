package emulator

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// containerService is Resource Manager: projects, folders and the organization.
func containerService() *service {
	return &service{
		Name: resourceManagerHost, Title: "Cloud Resource Manager API",
		Scopes:  []string{"cloudplatformprojects", "cloudplatformprojects.readonly"},
		Methods: resourceManagerMethods(), Seed: containerSeed, Assets: containerAssets,
	}
}

func containerAssets(st *state, add func(asset)) {
	container := func(name, typ string, p *policy) {
		n := st.containerNode(name)
		add(asset{n.full, resourceManagerHost + "/" + typ, n, p})
	}
	for number, o := range st.Organizations {
		container("organizations/"+number, "Organization", &o.Policy)
	}
	for number, f := range st.Folders {
		container("folders/"+number, "Folder", &f.Policy)
	}
	for _, p := range st.Projects {
		container("projects/"+p.Number, "Project", &p.Policy)
	}
}

func resourceManagerMethods() []method {
	ms := []method{
		{id: "cloudresourcemanager.projects.get", pattern: "GET /v1/projects/{project}", serve: getProjectV1},
		{id: "cloudresourcemanager.projects.list", pattern: "GET /v1/projects", serve: listProjectsV1},
		{id: "cloudresourcemanager.projects.getAncestry", pattern: "POST /v1/projects/{project}:getAncestry", serve: getAncestry},
		{id: "cloudresourcemanager.projects.get", pattern: "GET /v3/projects/{project}", serve: getProject},
		{id: "cloudresourcemanager.projects.list", pattern: "GET /v3/projects", serve: listProjects},
		{id: "cloudresourcemanager.projects.search", pattern: "GET /v3/projects:search", serve: searchProjects},
		{id: "cloudresourcemanager.folders.get", pattern: "GET /v3/folders/{folder}", serve: getFolder},
		{id: "cloudresourcemanager.folders.list", pattern: "GET /v3/folders", serve: listFolders},
		{id: "cloudresourcemanager.folders.search", pattern: "GET /v3/folders:search", serve: searchFolders},
		{id: "cloudresourcemanager.organizations.get", pattern: "GET /v3/organizations/{organization}", serve: getOrganization},
		{id: "cloudresourcemanager.organizations.get", pattern: "GET /v1/organizations/{organization}", serve: getOrganization},
		{id: "cloudresourcemanager.organizations.search", pattern: "GET /v3/organizations:search", serve: searchOrganizations},
	}
	for i := range ms {
		ms[i].host = resourceManagerHost
	}
	for _, kind := range []string{"project", "folder", "organization"} {
		for _, version := range []string{"/v1/", "/v2/", "/v3/"} {
			// Folders came with version 2, in which there is nothing else.
			if version == "/v1/" && kind == "folder" || version == "/v2/" && kind != "folder" {
				continue
			}
			ms = append(ms, policyMethods(policySpec{
				api: "cloudresourcemanager." + kind + "s", host: resourceManagerHost,
				path: version + kind + "s/{" + kind + "}", getVerb: http.MethodPost,
				permission: "resourcemanager." + kind + "s", conditions: true, grants: "*", audit: true,
				find: func(c *call) (node, *policy, error) {
					n, err := c.container(kind + "s/" + c.vars[kind])
					if err != nil {
						return node{}, nil, err
					}
					return n, n.policies[0], nil
				},
			})...)
		}
	}
	return ms
}

// see returns the container of that name to a caller that may get it.
func see(c *call, name, permission string) (node, error) {
	n, err := c.container(name)
	if err != nil {
		return n, err
	}
	if c.require(permission, n) != nil {
		return n, forbidden("The caller does not have permission")
	}
	return n, nil
}

// showProjectV1 is the project as version 1 of the API shows it.
func showProjectV1(_ *call, p *project) map[string]any {
	m := map[string]any{
		"projectId": p.ID, "projectNumber": p.Number, "lifecycleState": "ACTIVE", "createTime": apiTime(p.Created),
	}
	if p.Name != "" {
		m["name"] = p.Name
	}
	if kind, id, ok := strings.Cut(p.Parent, "/"); ok {
		m["parent"] = map[string]string{"type": strings.TrimSuffix(kind, "s"), "id": id}
	}
	return m
}

func showProject(c *call, p *project) map[string]any {
	m := map[string]any{
		"name": "projects/" + p.Number, "projectId": p.ID, "state": c.enum("ACTIVE", 1), "createTime": apiTime(p.Created),
		"etag": `W/"` + p.Number + `"`,
	}
	if p.Name != "" {
		m["displayName"] = p.Name
	}
	if p.Parent != "" {
		m["parent"] = p.Parent
	}
	return m
}

func seeProject(c *call) (*project, error) {
	if _, err := see(c, "projects/"+c.vars["project"], "resourcemanager.projects.get"); err != nil {
		return nil, err
	}
	return c.state().projectBy(c.vars["project"]), nil
}

func getProjectV1(c *call) (any, error) {
	p, err := seeProject(c)
	if err != nil {
		return nil, err
	}
	return showProjectV1(c, p), nil
}

func getProject(c *call) (any, error) {
	p, err := seeProject(c)
	if err != nil {
		return nil, err
	}
	return showProject(c, p), nil
}

func getAncestry(c *call) (any, error) {
	p, err := seeProject(c)
	if err != nil {
		return nil, err
	}
	ancestors := []any{}
	for i, name := range c.state().containers(p) {
		kind, id, _ := strings.Cut(name, "/")
		if i == 0 {
			id = p.ID
		}
		ancestors = append(ancestors, map[string]any{"resourceId": map[string]string{"type": strings.TrimSuffix(kind, "s"), "id": id}})
	}
	return map[string]any{"ancestor": ancestors}, nil
}

// visible returns, in order, what of a kind the caller may get.
func visible[T any](c *call, all map[string]T, name func(T) string, permission string) []T {
	var out []T
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if c.may(permission, c.state().containerNode(name(all[key]))) {
			out = append(out, all[key])
		}
	}
	return out
}

func visibleProjects(c *call) []*project {
	return visible(c, c.state().Projects, func(p *project) string { return "projects/" + p.Number }, "resourcemanager.projects.get")
}

func visibleFolders(c *call) []*folder {
	return visible(c, c.state().Folders, func(f *folder) string { return "folders/" + f.Number }, "resourcemanager.folders.get")
}

// listProjectsV1 ignores the filter: every project here is active.
func listProjectsV1(c *call) (any, error) {
	return listing(c, "projects", visibleProjects(c), showProjectV1)
}

func searchProjects(c *call) (any, error) {
	return listing(c, "projects", visibleProjects(c), showProject)
}

// listedParent returns the container whose children are asked for.
func listedParent(c *call, permission string) (string, error) {
	name := c.query("parent")
	if !strings.HasPrefix(name, "folders/") && !strings.HasPrefix(name, "organizations/") {
		return "", invalid("A parent is required: folders/N or organizations/N.")
	}
	_, err := see(c, name, permission)
	return name, err
}

func listProjects(c *call) (any, error) {
	parent, err := listedParent(c, "resourcemanager.projects.list")
	if err != nil {
		return nil, err
	}
	all := slices.Collect(maps.Values(c.state().Projects))
	all = slices.DeleteFunc(all, func(p *project) bool { return p.Parent != parent })
	slices.SortFunc(all, func(a, b *project) int { return cmp.Compare(a.ID, b.ID) })
	return listing(c, "projects", all, showProject)
}

func showFolder(c *call, f *folder) map[string]any {
	return map[string]any{"name": "folders/" + f.Number, "parent": f.Parent, "displayName": f.Name, "state": c.enum("ACTIVE", 1)}
}

func getFolder(c *call) (any, error) {
	if _, err := see(c, "folders/"+c.vars["folder"], "resourcemanager.folders.get"); err != nil {
		return nil, err
	}
	return showFolder(c, c.state().Folders[c.vars["folder"]]), nil
}

func listFolders(c *call) (any, error) {
	parent, err := listedParent(c, "resourcemanager.folders.list")
	if err != nil {
		return nil, err
	}
	all := slices.Collect(maps.Values(c.state().Folders))
	all = slices.DeleteFunc(all, func(f *folder) bool { return f.Parent != parent })
	slices.SortFunc(all, func(a, b *folder) int { return cmp.Compare(a.Number, b.Number) })
	return listing(c, "folders", all, showFolder)
}

func searchFolders(c *call) (any, error) {
	return listing(c, "folders", visibleFolders(c), showFolder)
}

func showOrganization(c *call, o *organization) map[string]any {
	return map[string]any{"name": "organizations/" + o.Number, "displayName": o.Domain, "state": c.enum("ACTIVE", 1)}
}

func getOrganization(c *call) (any, error) {
	if _, err := see(c, "organizations/"+c.vars["organization"], "resourcemanager.organizations.get"); err != nil {
		return nil, err
	}
	return showOrganization(c, c.state().Organizations[c.vars["organization"]]), nil
}

func searchOrganizations(c *call) (any, error) {
	all := visible(c, c.state().Organizations, func(o *organization) string { return "organizations/" + o.Number }, "resourcemanager.organizations.get")
	return listing(c, "organizations", all, showOrganization)
}
