package gcp

import (
	"context"

	"google.golang.org/api/iam/v1"

	"github.com/taskiam/taskiam/internal/grants"
)

// accountName is the name of a service account by email or unique id. The project is
// always said: under the wildcard "-" an account that does not exist is a 403 instead
// of a 404 (google/iam/admin/v1/iam.proto).
func accountName(project, account string) string {
	return "projects/" + project + "/serviceAccounts/" + account
}

func account(a *iam.ServiceAccount) grants.Account {
	return grants.Account{
		Email:       a.Email,
		UniqueID:    a.UniqueId,
		Project:     a.ProjectId,
		Description: a.Description,
		Disabled:    a.Disabled,
	}
}

// CreateAccount creates a service account. Repeated after a lost answer it is a
// [fault.Exists], and the account is there.
func (c *Client) CreateAccount(
	ctx context.Context, project, id, displayName, description string,
) (grants.Account, error) {
	doing := task{"creating service account", id + " in project " + project}
	return call(ctx, c, doing, unversioned(c, func(ctx context.Context) (grants.Account, error) {
		svc, err := c.iam()
		if err != nil {
			return grants.Account{}, err
		}
		a, err := svc.Projects.ServiceAccounts.Create("projects/"+project, &iam.CreateServiceAccountRequest{
			AccountId:      id,
			ServiceAccount: &iam.ServiceAccount{DisplayName: displayName, Description: description},
		}).Context(ctx).Do()
		if err != nil {
			return grants.Account{}, err
		}
		return account(a), nil
	}))
}

// Account reads a service account by its email or its unique id. One that was deleted,
// or created a moment ago, is a [fault.NotFound] or a [fault.Denied].
func (c *Client) Account(ctx context.Context, project, emailOrUID string) (grants.Account, error) {
	return call(ctx, c, task{"reading service account", emailOrUID}, func(ctx context.Context) (grants.Account, error) {
		svc, err := c.iam()
		if err != nil {
			return grants.Account{}, err
		}
		a, err := svc.Projects.ServiceAccounts.Get(accountName(project, emailOrUID)).Context(ctx).Do()
		if err != nil {
			return grants.Account{}, err
		}
		return account(a), nil
	})
}

// accountPage is how many accounts one page of a list may have at most
// (iam/docs/reference/rest/v1/projects.serviceAccounts/list).
const accountPage = 100

// Accounts lists the service accounts of a project, all pages of them. One that was
// created a moment ago may be missing.
func (c *Client) Accounts(ctx context.Context, project string) ([]grants.Account, error) {
	var all []grants.Account
	for token := ""; ; {
		doing := task{"listing the service accounts of project", project}
		page, err := call(ctx, c, doing, func(ctx context.Context) (*iam.ListServiceAccountsResponse, error) {
			svc, err := c.iam()
			if err != nil {
				return nil, err
			}
			list := svc.Projects.ServiceAccounts.List("projects/" + project).PageSize(accountPage).PageToken(token)
			return list.Context(ctx).Do()
		})
		if err != nil {
			return nil, err
		}
		for _, a := range page.Accounts {
			all = append(all, account(a))
		}
		if token = page.NextPageToken; token == "" {
			return all, nil
		}
	}
}

// SetDescription replaces the description of a service account, by its email or its
// unique id, and nothing else of it. There is no etag to send: that of an account is
// deprecated (google/iam/admin/v1/iam.proto). Repeating it changes nothing.
func (c *Client) SetDescription(ctx context.Context, project, uid, description string) error {
	doing := task{"describing service account", uid}
	_, err := call(ctx, c, doing, unversioned(c, func(ctx context.Context) (*iam.ServiceAccount, error) {
		svc, err := c.iam()
		if err != nil {
			return nil, err
		}
		return svc.Projects.ServiceAccounts.Patch(accountName(project, uid), &iam.PatchServiceAccountRequest{
			ServiceAccount: &iam.ServiceAccount{Description: description, ForceSendFields: []string{"Description"}},
			UpdateMask:     "description",
		}).Context(ctx).Do()
	}))
	return err
}

// DisableAccount disables a service account, by its email or its unique id. Google
// rejects its tokens from then on, those already out included. Repeating it changes
// nothing.
func (c *Client) DisableAccount(ctx context.Context, project, uid string) error {
	doing := task{"disabling service account", uid}
	_, err := call(ctx, c, doing, unversioned(c, func(ctx context.Context) (*iam.Empty, error) {
		svc, err := c.iam()
		if err != nil {
			return nil, err
		}
		disable := &iam.DisableServiceAccountRequest{}
		return svc.Projects.ServiceAccounts.Disable(accountName(project, uid), disable).Context(ctx).Do()
	}))
	return err
}

// DeleteAccount deletes a service account, by its email or its unique id. Repeated it
// is a [fault.NotFound].
func (c *Client) DeleteAccount(ctx context.Context, project, uid string) error {
	doing := task{"deleting service account", uid}
	_, err := call(ctx, c, doing, unversioned(c, func(ctx context.Context) (*iam.Empty, error) {
		svc, err := c.iam()
		if err != nil {
			return nil, err
		}
		return svc.Projects.ServiceAccounts.Delete(accountName(project, uid)).Context(ctx).Do()
	}))
	return err
}
