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
		return role(r), nil
	})
}

// GrantableRoles returns the names of all roles that can be granted on a resource.
func (c *Client) GrantableRoles(ctx context.Context, name resource.Name) (map[string]bool, error) {
	all, err := c.grantable(ctx, name, "BASIC")
	if err != nil {
		return nil, err
	}
	roles := map[string]bool{}
	for _, r := range all {
		roles[r.Name] = true
	}
	return roles, nil
}

// RolesOn returns all roles that can be granted on a resource, with their permissions:
// some megabytes.
func (c *Client) RolesOn(ctx context.Context, name resource.Name) ([]grants.Role, error) {
	return c.grantable(ctx, name, "FULL")
}

func (c *Client) grantable(ctx context.Context, name resource.Name, view string) ([]grants.Role, error) {
	var all []grants.Role
	for page := ""; ; {
		doing := task{"asking which roles can be granted on", name.Full()}
		answer, err := call(ctx, c, doing, func(ctx context.Context) (*iam.QueryGrantableRolesResponse, error) {
			svc, err := c.iam()
			if err != nil {
				return nil, err
			}
			return svc.Roles.QueryGrantableRoles(&iam.QueryGrantableRolesRequest{
				FullResourceName: name.Full(),
				PageSize:         3000, // the most that Google takes
				PageToken:        page,
				View:             view,
			}).Context(ctx).Do()
		})
		if err != nil {
			return nil, err
		}
		for _, r := range answer.Roles {
			all = append(all, role(r))
		}
		if page = answer.NextPageToken; page == "" {
			return all, nil
		}
	}
}
