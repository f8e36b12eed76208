package gcp

import (
	"cmp"
	"context"
	"strings"

	"google.golang.org/api/iam/v1"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/resource"
)

// Pages of lists, the most that Google takes each
// (iam/docs/reference/rest/v1/projects.roles/list, .../permissions/queryTestablePermissions).
const (
	rolePage       = 1000
	permissionPage = 1000
)

func role(r *iam.Role) grants.Role {
	return grants.Role{
		Name: r.Name, Title: r.Title, Description: r.Description, Stage: r.Stage,
		Permissions: r.IncludedPermissions, Etag: r.Etag, Deleted: r.Deleted,
	}
}

// CustomRoles lists the custom roles of a project with their permissions, those deleted
// ones included that can come back.
func (c *Client) CustomRoles(ctx context.Context, project string) ([]grants.Role, error) {
	var all []grants.Role
	for token := ""; ; {
		doing := task{"listing the custom roles of project", project}
		page, err := call(ctx, c, doing, func(ctx context.Context) (*iam.ListRolesResponse, error) {
			svc, err := c.iam()
			if err != nil {
				return nil, err
			}
			list := svc.Projects.Roles.List("projects/" + project).ShowDeleted(true).View("FULL")
			return list.PageSize(rolePage).PageToken(token).Context(ctx).Do()
		})
		if err != nil {
			return nil, err
		}
		for _, r := range page.Roles {
			all = append(all, role(r))
		}
		if token = page.NextPageToken; token == "" {
			return all, nil
		}
	}
}

// CreateRole makes a custom role of a project. Repeated after a lost answer it is a
// [fault.Exists], and the role is there. It is a [fault.Precondition] if a role of that
// name was deleted and Google keeps its id from being used again; such a role can be
// undeleted if it can still be read.
func (c *Client) CreateRole(ctx context.Context, r grants.Role) (grants.Role, error) {
	parent, id, _ := strings.Cut(r.Name, "/roles/")
	doing := task{"creating custom role", r.Name}
	return call(ctx, c, doing, unversioned(c, func(ctx context.Context) (grants.Role, error) {
		svc, err := c.iam()
		if err != nil {
			return grants.Role{}, err
		}
		made, err := svc.Projects.Roles.Create(parent, &iam.CreateRoleRequest{RoleId: id, Role: &iam.Role{
			Title: r.Title, Description: r.Description, Stage: r.Stage, IncludedPermissions: r.Permissions,
		}}).Context(ctx).Do()
		if err != nil {
			return grants.Role{}, err
		}
		return role(made), nil
	}))
}

// UndeleteRole takes a deleted custom role of a project back. The etag is that of the
// role as it was read: if it was changed since, this is a [fault.Conflict]. Repeated after
// a lost answer it is that or a [fault.Precondition], and the role is there.
func (c *Client) UndeleteRole(ctx context.Context, name, etag string) (grants.Role, error) {
	return call(ctx, c, task{"undeleting custom role", name}, func(ctx context.Context) (grants.Role, error) {
		svc, err := c.iam()
		if err != nil {
			return grants.Role{}, err
		}
		r, err := svc.Projects.Roles.Undelete(name, &iam.UndeleteRoleRequest{Etag: etag}).Context(ctx).Do()
		if err != nil {
			return grants.Role{}, err
		}
		return role(r), nil
	})
}

// DeleteRole marks a custom role of a project as deleted: what binds it stays and grants
// nothing, and for some days it can be undeleted. The etag is that of the role as it was
// read, as for [Client.UndeleteRole].
func (c *Client) DeleteRole(ctx context.Context, name, etag string) error {
	_, err := call(ctx, c, task{"deleting custom role", name}, func(ctx context.Context) (*iam.Role, error) {
		svc, err := c.iam()
		if err != nil {
			return nil, err
		}
		return svc.Projects.Roles.Delete(name).Etag(etag).Context(ctx).Do()
	})
	return err
}

// TestablePermissions returns every permission that means something on a resource, and
// how far custom roles may hold it.
func (c *Client) TestablePermissions(ctx context.Context, name resource.Name) (map[string]grants.Support, error) {
	all := map[string]grants.Support{}
	for token := ""; ; {
		doing := task{"asking which permissions there are on", name.Full()}
		page, err := call(ctx, c, doing, func(ctx context.Context) (*iam.QueryTestablePermissionsResponse, error) {
			svc, err := c.iam()
			if err != nil {
				return nil, err
			}
			return svc.Permissions.QueryTestablePermissions(&iam.QueryTestablePermissionsRequest{
				FullResourceName: name.Full(), PageSize: permissionPage, PageToken: token,
			}).Context(ctx).Do()
		})
		if err != nil {
			return nil, err
		}
		for _, p := range page.Permissions {
			all[p.Name] = cmp.Or(grants.Support(p.CustomRolesSupportLevel), grants.Supported)
		}
		if token = page.NextPageToken; token == "" {
			return all, nil
		}
	}
}
