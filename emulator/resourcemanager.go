package emulator

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strings"
)

const resourceManagerHost = "cloudresourcemanager.googleapis.com"

// projectBy returns the project of that id or number, or nil.
func (s *state) projectBy(id string) *project {
	if p := s.Projects[id]; p != nil {
		return p
	}
	for _, p := range s.Projects {
		if p.Number == id {
			return p
		}
	}
	return nil
}

// projectNode returns a project, by id or number, as IAM sees it. A project that
// does not exist is not told from one out of reach: 403.
func (s *Server) projectNode(id string) (node, *project, error) {
	p := s.state.projectBy(id)
	if p == nil {
		return node{}, nil, forbidden("The caller does not have permission")
	}
	return s.state.containerNode("projects/" + p.Number), p, nil
}

// containerNode returns a project, folder or organization, by its number, with its
// ancestors. The zero node is none. Conditions see the type of a project, and else
// nothing of the three (iam/docs/conditions-resource-attributes).
func (s *state) containerNode(name string) node {
	kind, number, _ := strings.Cut(name, "/")
	const service = "//" + resourceManagerHost + "/"
	switch kind {
	case "projects":
		if p := s.projectBy(number); p != nil {
			return s.containerNode(p.Parent).child(service+"projects/"+p.ID, "", resourceManagerHost+"/Project", &p.Policy)
		}
	case "folders":
		if f := s.Folders[number]; f != nil {
			return s.containerNode(f.Parent).child(service+name, "", "", &f.Policy)
		}
	case "organizations":
		if o := s.Organizations[number]; o != nil {
			return node{}.child(service+name, "", "", &o.Policy)
		}
	}
	return node{}
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

func (c *call) container(name string) (node, error) {
	n := c.state().containerNode(name)
	if n.full == "" {
		return n, forbidden("The caller does not have permission")
	}
	return n, nil
}

// see returns the container of that name to a caller that may get it.
func (c *call) see(name, permission string) (node, error) {
	n, err := c.container(name)
	if err != nil {
		return n, err
	}
	if c.require(permission, n) != nil {
		return n, forbidden("The caller does not have permission")
	}
	return n, nil
}

// resourceV1 is the project as version 1 of the API shows it.
func (p *project) resourceV1() map[string]any {
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

// enum is how an enumeration is sent: its name, or its number where the client
// asked for numbers ($alt=json;enum-encoding=int).
func (c *call) enum(name string, number int) any {
	if strings.Contains(c.query("$alt"), "enum-encoding=int") {
		return number
	}
	return name
}

func (c *call) resourceV3(p *project) map[string]any {
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

func (c *call) seeProject() (*project, error) {
	if _, err := c.see("projects/"+c.vars["project"], "resourcemanager.projects.get"); err != nil {
		return nil, err
	}
	return c.state().projectBy(c.vars["project"]), nil
}

func getProjectV1(c *call) (any, error) {
	p, err := c.seeProject()
	if err != nil {
		return nil, err
	}
	return p.resourceV1(), nil
}

func getProject(c *call) (any, error) {
	p, err := c.seeProject()
	if err != nil {
		return nil, err
	}
	return c.resourceV3(p), nil
}

func getAncestry(c *call) (any, error) {
	p, err := c.seeProject()
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

// listing answers a page of resources under a name.
func listing[T any](c *call, field string, all []T, resource func(T) map[string]any) (any, error) {
	asked, err := c.listPage()
	if err != nil {
		return nil, err
	}
	part, next, err := paginate(all, asked, 300, 1000)
	if err != nil {
		return nil, err
	}
	answer := map[string]any{}
	var out []any
	for _, v := range part {
		out = append(out, resource(v))
	}
	if len(out) > 0 {
		answer[field] = out
	}
	if next != "" {
		answer["nextPageToken"] = next
	}
	return answer, nil
}

func (c *call) visibleProjects() []*project {
	return visible(c, c.state().Projects, func(p *project) string { return "projects/" + p.Number }, "resourcemanager.projects.get")
}

func (c *call) visibleFolders() []*folder {
	return visible(c, c.state().Folders, func(f *folder) string { return "folders/" + f.Number }, "resourcemanager.folders.get")
}

// listProjectsV1 ignores the filter: every project here is active.
func listProjectsV1(c *call) (any, error) {
	return listing(c, "projects", c.visibleProjects(), (*project).resourceV1)
}

func searchProjects(c *call) (any, error) {
	return listing(c, "projects", c.visibleProjects(), c.resourceV3)
}

// parent returns the container whose children are asked for.
func (c *call) parent(permission string) (string, error) {
	name := c.query("parent")
	if !strings.HasPrefix(name, "folders/") && !strings.HasPrefix(name, "organizations/") {
		return "", invalid("A parent is required: folders/N or organizations/N.")
	}
	_, err := c.see(name, permission)
	return name, err
}

func listProjects(c *call) (any, error) {
	parent, err := c.parent("resourcemanager.projects.list")
	if err != nil {
		return nil, err
	}
	all := slices.Collect(maps.Values(c.state().Projects))
	all = slices.DeleteFunc(all, func(p *project) bool { return p.Parent != parent })
	slices.SortFunc(all, func(a, b *project) int { return cmp.Compare(a.ID, b.ID) })
	return listing(c, "projects", all, c.resourceV3)
}

func (c *call) folderResource(f *folder) map[string]any {
	return map[string]any{"name": "folders/" + f.Number, "parent": f.Parent, "displayName": f.Name, "state": c.enum("ACTIVE", 1)}
}

func getFolder(c *call) (any, error) {
	if _, err := c.see("folders/"+c.vars["folder"], "resourcemanager.folders.get"); err != nil {
		return nil, err
	}
	return c.folderResource(c.state().Folders[c.vars["folder"]]), nil
}

func listFolders(c *call) (any, error) {
	parent, err := c.parent("resourcemanager.folders.list")
	if err != nil {
		return nil, err
	}
	all := slices.Collect(maps.Values(c.state().Folders))
	all = slices.DeleteFunc(all, func(f *folder) bool { return f.Parent != parent })
	slices.SortFunc(all, func(a, b *folder) int { return cmp.Compare(a.Number, b.Number) })
	return listing(c, "folders", all, c.folderResource)
}

func searchFolders(c *call) (any, error) {
	return listing(c, "folders", c.visibleFolders(), c.folderResource)
}

func (c *call) organizationResource(o *organization) map[string]any {
	return map[string]any{"name": "organizations/" + o.Number, "displayName": o.Domain, "state": c.enum("ACTIVE", 1)}
}

func getOrganization(c *call) (any, error) {
	if _, err := c.see("organizations/"+c.vars["organization"], "resourcemanager.organizations.get"); err != nil {
		return nil, err
	}
	return c.organizationResource(c.state().Organizations[c.vars["organization"]]), nil
}

func searchOrganizations(c *call) (any, error) {
	all := visible(c, c.state().Organizations, func(o *organization) string { return "organizations/" + o.Number }, "resourcemanager.organizations.get")
	return listing(c, "organizations", all, c.organizationResource)
}
