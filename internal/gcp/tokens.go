package gcp

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"cloud.google.com/go/iam/credentials/apiv1/credentialspb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/secret"
)

// What a token may be used for at all. IAM decides the rest.
const scopeCloudPlatform = "https://www.googleapis.com/auth/cloud-platform"

// AccessToken makes an access token of the service account, by impersonation. The
// lifetime is cut to seconds; Google allows an hour, unless an organization policy
// allows more. Repeating it makes another token.
func (c *Client) AccessToken(ctx context.Context, email string, lifetime time.Duration) (grants.Token, error) {
	return c.ScopedAccessToken(ctx, email, lifetime, []string{scopeCloudPlatform})
}

// ScopedAccessToken is AccessToken with scopes of the caller's, at least one: what the
// token may be used for at all, whatever its account is granted.
func (c *Client) ScopedAccessToken(
	ctx context.Context, email string, lifetime time.Duration, scopes []string,
) (grants.Token, error) {
	if lifetime < time.Second { // cut to seconds that is none, which Google takes for an hour
		return grants.Token{}, fault.New(fault.Invalid, "making an access token of %s: it would live for %s", email,
			lifetime)
	}
	return call(ctx, c, task{"making an access token of", email}, func(ctx context.Context) (grants.Token, error) {
		minter, err := c.minter()
		if err != nil {
			return grants.Token{}, err
		}
		t, err := minter.GenerateAccessToken(ctx, &credentialspb.GenerateAccessTokenRequest{
			// Here the project must be the wildcard (iam/docs/reference/credentials/rest).
			Name:     accountName("-", email),
			Scope:    scopes,
			Lifetime: durationpb.New(lifetime.Truncate(time.Second)),
		})
		if err != nil {
			return grants.Token{}, err
		}
		return grants.Token{Value: secret.New(t.GetAccessToken()), Expires: t.GetExpireTime().AsTime()}, nil
	})
}

// IDToken makes an OpenID Connect token that says to the audience who the service
// account is, its email included. It lasts an hour, which cannot be changed and which
// neither disabling nor deleting the account cuts short: whoever checks such a token
// does not ask Google. Repeating it makes another token.
func (c *Client) IDToken(ctx context.Context, email, audience string) (grants.Token, error) {
	return call(ctx, c, task{"making an identity token of", email}, func(ctx context.Context) (grants.Token, error) {
		minter, err := c.minter()
		if err != nil {
			return grants.Token{}, err
		}
		t, err := minter.GenerateIdToken(ctx, &credentialspb.GenerateIdTokenRequest{
			Name:         accountName("-", email),
			Audience:     audience,
			IncludeEmail: true,
		})
		if err != nil {
			return grants.Token{}, err
		}
		expires, err := jwtExpiry(t.GetToken())
		if err != nil {
			return grants.Token{}, fmt.Errorf("reading the identity token: %w", err)
		}
		return grants.Token{Value: secret.New(t.GetToken()), Expires: expires}, nil
	})
}

// jwtExpiry reads when a JWT ends, without checking its signature: it came from whoever
// signed it. No error quotes the token.
func jwtExpiry(token string) (time.Time, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}, errors.New("it is not a JWT")
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return time.Time{}, errors.New("its claims are not in base64url")
	}
	var claims struct {
		Expires int64 `json:"exp"` // RFC 7519, section 4.1.4
	}
	if err := json.Unmarshal(raw, &claims); err != nil || claims.Expires <= 0 {
		return time.Time{}, errors.New("its claims do not say when it ends")
	}
	return time.Unix(claims.Expires, 0).UTC(), nil
}
