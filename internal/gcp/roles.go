package gcp

import (
	"context"
	"strings"

	"google.golang.org/api/iam/v1"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/resource"
)

// Role reads a role and its permissions: a predefined one (roles/…), or one of a
// project's or an organization's own.
func (c *Client) Role(ctx context.Context, name string) (grants.Role, error) {
	return call(ctx, c, task{"reading role", name}, func(ctx context.Context) (grants.Role, error) {
		svc, err := c.iam()
		if err != nil {
			return grants.Role{}, err
		}
		var r *iam.Role
		switch {
		case strings.HasPrefix(name, "projects/"):
			r, err = svc.Projects.Roles.Get(name).Context(ctx).Do()
		case strings.HasPrefix(name, "organizations/"):
			r, err = svc.Organizations.Roles.Get(name).Context(ctx).Do()
		default:
			r, err = svc.Roles.Get(name).Context(ctx).Do()
		}
		if err != nil {
			return grants.Role{}, err
		}
		return grants.Role{Name: r.Name, Title: r.Title, Stage: r.Stage, Permissions: r.IncludedPermissions, Deleted: r.Deleted}, nil
	})
}

// GrantableRoles returns the names of all roles that can be granted on a resource.
func (c *Client) GrantableRoles(ctx context.Context, name resource.Name) (map[string]bool, error) {
	roles := map[string]bool{}
	for page := ""; ; {
		answer, err := call(ctx, c, task{"asking which roles can be granted on", name.Full()}, func(ctx context.Context) (*iam.QueryGrantableRolesResponse, error) {
			svc, err := c.iam()
			if err != nil {
				return nil, err
			}
			return svc.Roles.QueryGrantableRoles(&iam.QueryGrantableRolesRequest{
				FullResourceName: name.Full(),
				PageSize:         3000, // the most that Google takes
				PageToken:        page,
				View:             "BASIC",
			}).Context(ctx).Do()
		})
		if err != nil {
			return nil, err
		}
		for _, r := range answer.Roles {
			roles[r.Name] = true
		}
		if page = answer.NextPageToken; page == "" {
			return roles, nil
		}
	}
}
