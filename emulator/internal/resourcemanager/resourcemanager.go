// Package resourcemanager is the Resource Manager of the emulator: the organization, its
// folders and projects, which a seed describes. Clients can shut projects down, and restore them.
package resourcemanager

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

// Service is Resource Manager: projects, folders and the organization.
func Service() *wire.Service {
	return &wire.Service{
		Name: iam.ResourceManagerHost, Title: "Cloud Resource Manager API",
		Scopes:  []string{"cloudplatformprojects", "cloudplatformprojects.readonly"},
		Methods: methods(), Seed: seed, Assets: assets,
	}
}

func assets(st *wire.State, add func(wire.Asset)) {
	container := func(name, typ string, p *iam.Policy) {
		n := st.ContainerNode(name)
		add(wire.Asset{Name: n.Full, Type: iam.ResourceManagerHost + "/" + typ, Node: n, Policy: p})
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

func methods() []wire.Method {
	ms := []wire.Method{
		{ID: "cloudresourcemanager.projects.get", Pattern: "GET /v1/projects/{project}", Serve: getProjectV1},
		{ID: "cloudresourcemanager.projects.list", Pattern: "GET /v1/projects", Serve: listProjectsV1},
		{ID: "cloudresourcemanager.projects.getAncestry", Pattern: "POST /v1/projects/{project}:getAncestry",
			Serve: getAncestry},
		{ID: "cloudresourcemanager.projects.get", Pattern: "GET /v3/projects/{project}", Serve: getProject},
		{ID: "cloudresourcemanager.projects.list", Pattern: "GET /v3/projects", Serve: listProjects},
		{ID: "cloudresourcemanager.projects.search", Pattern: "GET /v3/projects:search", Serve: searchProjects},
		{ID: "cloudresourcemanager.projects.delete", Pattern: "DELETE /v1/projects/{project}", Writes: true,
			Serve: deleteProjectV1},
		{ID: "cloudresourcemanager.projects.undelete", Pattern: "POST /v1/projects/{project}:undelete", Writes: true,
			Serve: undeleteProjectV1},
		{ID: "cloudresourcemanager.projects.delete", Pattern: "DELETE /v3/projects/{project}", Writes: true,
			Serve: deleteProject},
		{ID: "cloudresourcemanager.projects.undelete", Pattern: "POST /v3/projects/{project}:undelete", Writes: true,
			Serve: undeleteProject},
		{ID: "cloudresourcemanager.operations.get", Pattern: "GET /v3/operations/{operation}", Serve: getOperation},
		{ID: "cloudresourcemanager.folders.get", Pattern: "GET /v3/folders/{folder}", Serve: getFolder},
		{ID: "cloudresourcemanager.folders.list", Pattern: "GET /v3/folders", Serve: listFolders},
		{ID: "cloudresourcemanager.folders.search", Pattern: "GET /v3/folders:search", Serve: searchFolders},
		{ID: "cloudresourcemanager.organizations.get", Pattern: "GET /v3/organizations/{organization}",
			Serve: getOrganization},
		{ID: "cloudresourcemanager.organizations.get", Pattern: "GET /v1/organizations/{organization}",
			Serve: getOrganization},
		{ID: "cloudresourcemanager.organizations.search", Pattern: "GET /v3/organizations:search",
			Serve: searchOrganizations},
	}
	for i := range ms {
		ms[i].Host = iam.ResourceManagerHost
	}
	for _, kind := range []string{"project", "folder", "organization"} {
		for _, version := range []string{"/v1/", "/v2/", "/v3/"} {
			// Folders came with version 2, in which there is nothing else.
			if version == "/v1/" && kind == "folder" || version == "/v2/" && kind != "folder" {
				continue
			}
			ms = append(ms, wire.PolicyMethods(wire.PolicySpec{
				ID: "cloudresourcemanager." + kind + "s", Host: iam.ResourceManagerHost,
				Path: version + kind + "s/{" + kind + "}", GetVerb: http.MethodPost,
				Permission: "resourcemanager." + kind + "s", Conditions: true, Grants: "*", Audit: true,
				Find: func(c *wire.Call) (iam.Node, *iam.Policy, error) {
					n, err := c.Container(kind + "s/" + c.Vars[kind])
					if err != nil {
						return iam.Node{}, nil, err
					}
					return n, n.Policies[0], nil
				},
			})...)
		}
	}
	return ms
}

// see returns the container of that name to a caller that may get it.
func see(c *wire.Call, name, permission string) (iam.Node, error) {
	n, err := c.Container(name)
	if err != nil {
		return n, err
	}
	if c.Require(permission, n) != nil {
		return n, wire.Forbidden("The caller does not have permission")
	}
	return n, nil
}

// The states of a project, and their numbers in version 3.
const (
	active          = "ACTIVE"
	deleteRequested = "DELETE_REQUESTED"
)

var lifecycleNumbers = map[string]int{active: 1, deleteRequested: 2}

func lifecycle(p *iam.Project) string {
	if p.IsDeleted() {
		return deleteRequested
	}
	return active
}

// showProjectV1 is the project as version 1 of the API shows it.
func showProjectV1(_ *wire.Call, p *iam.Project) map[string]any {
	m := map[string]any{
		"projectId": p.ID, "projectNumber": p.Number, "lifecycleState": lifecycle(p),
		"createTime": wire.Time(p.Created),
	}
	if p.Name != "" {
		m["name"] = p.Name
	}
	if kind, id, ok := strings.Cut(p.Parent, "/"); ok {
		m["parent"] = map[string]string{"type": strings.TrimSuffix(kind, "s"), "id": id}
	}
	return m
}

func showProject(c *wire.Call, p *iam.Project) map[string]any {
	m := map[string]any{
		"name": "projects/" + p.Number, "projectId": p.ID,
		"state":      c.Enum(lifecycle(p), lifecycleNumbers[lifecycle(p)]),
		"createTime": wire.Time(p.Created),
		"etag":       `W/"` + p.Number + `"`,
	}
	if p.IsDeleted() {
		m["deleteTime"] = wire.Time(p.Deleted)
	}
	if p.Name != "" {
		m["displayName"] = p.Name
	}
	if p.Parent != "" {
		m["parent"] = p.Parent
	}
	return m
}

func seeProject(c *wire.Call) (*iam.Project, error) {
	return requireProject(c, "resourcemanager.projects.get")
}

// requireProject returns the project of the call to a caller that holds the permission on it.
func requireProject(c *wire.Call, permission string) (*iam.Project, error) {
	if _, err := see(c, "projects/"+c.Vars["project"], permission); err != nil {
		return nil, err
	}
	return c.State().ProjectBy(c.Vars["project"]), nil
}

func getProjectV1(c *wire.Call) (any, error) {
	p, err := seeProject(c)
	if err != nil {
		return nil, err
	}
	return showProjectV1(c, p), nil
}

func getProject(c *wire.Call) (any, error) {
	p, err := seeProject(c)
	if err != nil {
		return nil, err
	}
	return showProject(c, p), nil
}

func getAncestry(c *wire.Call) (any, error) {
	p, err := seeProject(c)
	if err != nil {
		return nil, err
	}
	ancestors := []any{}
	for i, name := range c.State().Containers(p) {
		kind, id, _ := strings.Cut(name, "/")
		if i == 0 {
			id = p.ID
		}
		ancestors = append(ancestors, map[string]any{"resourceId": map[string]string{"type": strings.TrimSuffix(kind,
			"s"), "id": id}})
	}
	return map[string]any{"ancestor": ancestors}, nil
}

// changeProject marks the project of the call for deletion, or restores it, which each can
// be done once (resourcemanager/v3/projects.proto).
func changeProject(c *wire.Call, permission, from string, change func(*iam.Project)) (*iam.Project, error) {
	p, err := requireProject(c, permission)
	if err != nil {
		return nil, err
	}
	if lifecycle(p) != from {
		return nil, wire.Precondition("The project %s is in the state %s, not %s.", p.ID, lifecycle(p), from)
	}
	change(p)
	return p, nil
}

func markDeleted(c *wire.Call) (*iam.Project, error) {
	return changeProject(c, "resourcemanager.projects.delete", active, func(p *iam.Project) { p.Deleted = c.Now })
}

func restore(c *wire.Call) (*iam.Project, error) {
	return changeProject(c, "resourcemanager.projects.undelete", deleteRequested, func(p *iam.Project) {
		p.Deleted = time.Time{}
	})
}

// operation is the long-running operation of a change, which is done at once.
func operation(c *wire.Call, kind string, p *iam.Project) map[string]any {
	done := showProject(c, p)
	done["@type"] = "type.googleapis.com/google.cloud.resourcemanager.v3.Project"
	return map[string]any{"name": "operations/" + kind + "." + p.Number, "done": true, "response": done}
}

func deleteProjectV1(c *wire.Call) (any, error) {
	_, err := markDeleted(c)
	return struct{}{}, err
}

func undeleteProjectV1(c *wire.Call) (any, error) {
	_, err := restore(c)
	return struct{}{}, err
}

func deleteProject(c *wire.Call) (any, error) {
	p, err := markDeleted(c)
	if err != nil {
		return nil, err
	}
	return operation(c, "dp", p), nil
}

func undeleteProject(c *wire.Call) (any, error) {
	p, err := restore(c)
	if err != nil {
		return nil, err
	}
	return operation(c, "up", p), nil
}

// getOperation answers for the operations of changes of projects that the caller may see.
func getOperation(c *wire.Call) (any, error) {
	kind, number, _ := strings.Cut(c.Vars["operation"], ".")
	if kind != "dp" && kind != "up" {
		return nil, wire.NotFound("The operation %s does not exist.", c.Vars["operation"])
	}
	c.Vars["project"] = number
	p, err := seeProject(c)
	if err != nil {
		return nil, err
	}
	return operation(c, kind, p), nil
}

// visible returns, in order, what of a kind the caller may get.
func visible[T any](c *wire.Call, all map[string]T, name func(T) string, permission string) []T {
	var out []T
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if c.May(permission, c.State().ContainerNode(name(all[key]))) {
			out = append(out, all[key])
		}
	}
	return out
}

func visibleProjects(c *wire.Call) []*iam.Project {
	return visible(c, c.State().Projects, func(p *iam.Project) string {
		return "projects/" + p.Number
	}, "resourcemanager.projects.get")
}

func visibleFolders(c *wire.Call) []*iam.Folder {
	return visible(c, c.State().Folders, func(f *iam.Folder) string {
		return "folders/" + f.Number
	}, "resourcemanager.folders.get")
}

// listProjectsV1 knows the filters by state alone, and ignores others.
func listProjectsV1(c *wire.Call) (any, error) {
	return wire.Listing(c, "projects", ofState(visibleProjects(c), "lifecycleState", c.Query("filter")), showProjectV1)
}

func searchProjects(c *wire.Call) (any, error) {
	return wire.Listing(c, "projects", ofState(visibleProjects(c), "state", c.Query("query")), showProject)
}

// ofState returns those of all whose state is the one that a filter asks for: "state:ACTIVE".
func ofState(all []*iam.Project, field, filter string) []*iam.Project {
	for _, term := range strings.Fields(filter) {
		for _, operator := range []string{":", "="} {
			if state, ok := strings.CutPrefix(term, field+operator); ok {
				return slices.DeleteFunc(all, func(p *iam.Project) bool {
					return !strings.EqualFold(lifecycle(p), state)
				})
			}
		}
	}
	return all
}

// listedParent returns the container whose children are asked for.
func listedParent(c *wire.Call, permission string) (string, error) {
	name := c.Query("parent")
	if !strings.HasPrefix(name, "folders/") && !strings.HasPrefix(name, "organizations/") {
		return "", wire.Invalid("A parent is required: folders/N or organizations/N.")
	}
	_, err := see(c, name, permission)
	return name, err
}

func listProjects(c *wire.Call) (any, error) {
	parent, err := listedParent(c, "resourcemanager.projects.list")
	if err != nil {
		return nil, err
	}
	all := slices.Collect(maps.Values(c.State().Projects))
	all = slices.DeleteFunc(all, func(p *iam.Project) bool {
		return p.Parent != parent || p.IsGone(c.Now) || p.IsDeleted() && c.Query("showDeleted") != "true"
	})
	slices.SortFunc(all, func(a, b *iam.Project) int { return cmp.Compare(a.ID, b.ID) })
	return wire.Listing(c, "projects", all, showProject)
}

func showFolder(c *wire.Call, f *iam.Folder) map[string]any {
	return map[string]any{"name": "folders/" + f.Number, "parent": f.Parent, "displayName": f.Name,
		"state": c.Enum("ACTIVE", 1)}
}

func getFolder(c *wire.Call) (any, error) {
	if _, err := see(c, "folders/"+c.Vars["folder"], "resourcemanager.folders.get"); err != nil {
		return nil, err
	}
	return showFolder(c, c.State().Folders[c.Vars["folder"]]), nil
}

func listFolders(c *wire.Call) (any, error) {
	parent, err := listedParent(c, "resourcemanager.folders.list")
	if err != nil {
		return nil, err
	}
	all := slices.Collect(maps.Values(c.State().Folders))
	all = slices.DeleteFunc(all, func(f *iam.Folder) bool { return f.Parent != parent })
	slices.SortFunc(all, func(a, b *iam.Folder) int { return cmp.Compare(a.Number, b.Number) })
	return wire.Listing(c, "folders", all, showFolder)
}

func searchFolders(c *wire.Call) (any, error) {
	return wire.Listing(c, "folders", visibleFolders(c), showFolder)
}

func showOrganization(c *wire.Call, o *iam.Organization) map[string]any {
	return map[string]any{"name": "organizations/" + o.Number, "displayName": o.Domain, "state": c.Enum("ACTIVE", 1)}
}

func getOrganization(c *wire.Call) (any, error) {
	if _, err := see(c, "organizations/"+c.Vars["organization"], "resourcemanager.organizations.get"); err != nil {
		return nil, err
	}
	return showOrganization(c, c.State().Organizations[c.Vars["organization"]]), nil
}

func searchOrganizations(c *wire.Call) (any, error) {
	all := visible(c, c.State().Organizations, func(o *iam.Organization) string {
		return "organizations/" + o.Number
	}, "resourcemanager.organizations.get")
	return wire.Listing(c, "organizations", all, showOrganization)
}
