package gcp

import (
	"context"
	"encoding/base64"
	"fmt"
	"path"
	"time"

	"google.golang.org/api/iam/v1"

	"github.com/taskiam/taskiam/internal/grants"
)

func key(k *iam.ServiceAccountKey) (grants.Key, error) {
	until, err := time.Parse(time.RFC3339, k.ValidBeforeTime)
	if err != nil {
		return grants.Key{}, fmt.Errorf("the end of key %s: %w", path.Base(k.Name), err)
	}
	return grants.Key{ID: path.Base(k.Name), ValidBefore: until}, nil
}

// UploadKey adds the public key in a PEM certificate to a service account. The key
// ends when the certificate does (iam/docs/keys-upload). Repeated after a lost answer
// it may be refused, or add the same public key under another id; [Client.Keys] tells.
func (c *Client) UploadKey(ctx context.Context, project, email string, certPEM []byte) (grants.Key, error) {
	doing := task{"uploading a key of", email}
	return call(ctx, c, doing, unversioned(c, func(ctx context.Context) (grants.Key, error) {
		svc, err := c.iam()
		if err != nil {
			return grants.Key{}, err
		}
		upload := &iam.UploadServiceAccountKeyRequest{PublicKeyData: base64.StdEncoding.EncodeToString(certPEM)}
		k, err := svc.Projects.ServiceAccounts.Keys.Upload(accountName(project, email), upload).Context(ctx).Do()
		if err != nil {
			return grants.Key{}, err
		}
		return key(k)
	}))
}

// Keys lists the keys of a service account that were made or uploaded by its users.
// Google's own, which every account has and which rotate by themselves, are left out.
func (c *Client) Keys(ctx context.Context, project, email string) ([]grants.Key, error) {
	return call(ctx, c, task{"listing the keys of", email}, func(ctx context.Context) ([]grants.Key, error) {
		svc, err := c.iam()
		if err != nil {
			return nil, err
		}
		// The method has no pages: an account has ten user-managed keys at most.
		query := svc.Projects.ServiceAccounts.Keys.List(accountName(project, email)).KeyTypes("USER_MANAGED")
		list, err := query.Context(ctx).Do()
		if err != nil {
			return nil, err
		}
		out := make([]grants.Key, len(list.Keys))
		for i, k := range list.Keys {
			if out[i], err = key(k); err != nil {
				return nil, err
			}
		}
		return out, nil
	})
}

// DeleteKey deletes one key. Tokens that were made with it live on. Repeated it is a
// [fault.NotFound] or a [fault.Denied].
func (c *Client) DeleteKey(ctx context.Context, project, email, keyID string) error {
	doing := task{"deleting a key of", email}
	_, err := call(ctx, c, doing, unversioned(c, func(ctx context.Context) (*iam.Empty, error) {
		svc, err := c.iam()
		if err != nil {
			return nil, err
		}
		name := accountName(project, email) + "/keys/" + keyID
		return svc.Projects.ServiceAccounts.Keys.Delete(name).Context(ctx).Do()
	}))
	return err
}
