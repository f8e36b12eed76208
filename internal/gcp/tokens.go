package gcp

import (
	"context"
	"time"

	"cloud.google.com/go/iam/credentials/apiv1/credentialspb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/secret"
)

// What a token may be used for at all. IAM decides the rest.
const scopeCloudPlatform = "https://www.googleapis.com/auth/cloud-platform"

// AccessToken makes an access token of the service account, by impersonation. The
// lifetime is cut to seconds; Google allows an hour, unless an organization policy
// allows more. Repeating it makes another token.
func (c *Client) AccessToken(ctx context.Context, email string, lifetime time.Duration) (grants.Token, error) {
	return call(ctx, c, task{"making an access token of", email}, func(ctx context.Context) (grants.Token, error) {
		minter, err := c.minter()
		if err != nil {
			return grants.Token{}, err
		}
		t, err := minter.GenerateAccessToken(ctx, &credentialspb.GenerateAccessTokenRequest{
			// Here the project must be the wildcard (iam/docs/reference/credentials/rest).
			Name:     accountName("-", email),
			Scope:    []string{scopeCloudPlatform},
			Lifetime: durationpb.New(lifetime.Truncate(time.Second)),
		})
		if err != nil {
			return grants.Token{}, err
		}
		return grants.Token{Value: secret.New(t.GetAccessToken()), Expires: t.GetExpireTime().AsTime()}, nil
	})
}
