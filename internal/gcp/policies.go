package gcp

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"cloud.google.com/go/iam/apiv1/iampb"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
)

// The version of a policy that shows its conditions. Asked for a lower one Google
// hides them, and takes a policy back without them (iam/docs/allow-policies).
const policyVersion = 3

// How many permissions are asked about at once.
const testBatch = 100

// ReadPolicy reads who has access to a resource, conditions included.
func (c *Client) ReadPolicy(ctx context.Context, name resource.Name) (policy.Document, error) {
	doing := task{"reading the policy of", name.String()}
	return call(ctx, c, doing, func(ctx context.Context) (policy.Document, error) {
		data, err := c.readPolicy(ctx, name)
		if err != nil {
			return nil, err
		}
		return policy.Decode(name.Type().API.Dialect, data)
	})
}

func (c *Client) readPolicy(ctx context.Context, name resource.Name) ([]byte, error) {
	api := name.Type().API
	if api.GetPath == "" {
		return nil, fault.New(fault.Invalid, "%s has no allow policy of its own", name.Type().A())
	}
	query := url.Values{}
	var body []byte
	switch version := fmt.Sprint(policyVersion); api.VersionIn {
	case resource.VersionInQuery:
		query.Set("options.requestedPolicyVersion", version)
	case resource.VersionInCompactQuery:
		query.Set("optionsRequestedPolicyVersion", version)
	case resource.VersionInAccessQuery:
		query.Set("accessPolicyVersion", version)
	case resource.VersionInBody:
		var err error
		body, err = protojson.Marshal(&iampb.GetIamPolicyRequest{
			Options: &iampb.GetPolicyOptions{RequestedPolicyVersion: policyVersion},
		})
		if err != nil {
			return nil, err
		}
	}
	return rest(ctx, c.as, api.GetVerb, resourceURL(name, api.GetPath, query), nil, body)
}

// WritePolicy replaces the version of the policy that doc was read as, and returns
// what Google stored. If somebody wrote another one since, it is a [fault.Conflict]
// and nothing has changed. A document without an etag is refused, since Google would
// take it and drop whatever was written meanwhile. Repeated after a lost answer a write
// is a conflict too, and the caller then finds its own change when it reads again.
func (c *Client) WritePolicy(ctx context.Context, name resource.Name, doc policy.Document) (policy.Document, error) {
	doing := task{"writing the policy of", name.String()}
	return call(ctx, c, doing, func(ctx context.Context) (policy.Document, error) {
		data, err := c.writePolicy(ctx, name, doc)
		if err != nil {
			return nil, err
		}
		return policy.Decode(name.Type().API.Dialect, data)
	})
}

func (c *Client) writePolicy(ctx context.Context, name resource.Name, doc policy.Document) ([]byte, error) {
	body, err := doc.Encode()
	if err != nil {
		return nil, err
	}
	api := name.Type().API
	if api.SetPath == "" {
		return nil, fault.New(fault.Invalid, "Google has no method to write the policy of %s", name.Type().A())
	}
	query, header := url.Values{}, http.Header{}
	switch api.Dialect {
	case resource.Standard:
		// The update mask is left to its default, "bindings, etag": audit configurations
		// are not touched. The policy goes as it is, and not through iampb, which would
		// lose the fields that it does not know.
		body = slices.Concat([]byte(`{"policy":`), body, []byte(`}`))
	case resource.Bucket: // the bare policy, its etag included
	case resource.Dataset:
		query.Set("accessPolicyVersion", fmt.Sprint(policyVersion))
		query.Set("updateMode", "UPDATE_ACL")
		header.Set("If-Match", doc.Etag())
	}
	return rest(ctx, c.as, api.SetVerb, resourceURL(name, api.SetPath, query), header, body)
}

// TryReadPolicy is ReadPolicy, tried once and no more.
func (c *Client) TryReadPolicy(ctx context.Context, name resource.Name) (policy.Document, error) {
	return c.impatient().ReadPolicy(ctx, name)
}

// TryWritePolicy is WritePolicy, tried once and no more. After a [fault.Unavailable] it
// is not known whether the policy was written.
func (c *Client) TryWritePolicy(ctx context.Context, name resource.Name, doc policy.Document) (policy.Document, error) {
	return c.impatient().WritePolicy(ctx, name, doc)
}

// TestPermissions returns those of the permissions that this client's principal has
// on a resource. On a resource that does not exist it has none.
func (c *Client) TestPermissions(ctx context.Context, name resource.Name, permissions []string) ([]string, error) {
	if name.Type().API.TestPath == "" {
		return nil, fault.New(fault.Invalid, "testing permissions on %s: Google has no method for %s",
			name, name.Type().A())
	}
	var held []string
	for batch := range slices.Chunk(permissions, testBatch) {
		doing := task{"testing permissions on", name.String()}
		some, err := call(ctx, c, doing, func(ctx context.Context) ([]string, error) {
			return c.testPermissions(ctx, name, batch)
		})
		if err != nil {
			return nil, err
		}
		held = append(held, some...)
	}
	return held, nil
}

func (c *Client) testPermissions(ctx context.Context, name resource.Name, permissions []string) ([]string, error) {
	api := name.Type().API
	query := url.Values{}
	var body []byte
	if api.TestInQuery {
		query["permissions"] = permissions
	} else {
		var err error
		if body, err = protojson.Marshal(&iampb.TestIamPermissionsRequest{Permissions: permissions}); err != nil {
			return nil, err
		}
	}
	data, err := rest(ctx, c.as, api.TestVerb, resourceURL(name, api.TestPath, query), nil, body)
	if err != nil {
		return nil, err
	}
	var held iampb.TestIamPermissionsResponse
	if err := unmarshal(data, &held); err != nil {
		return nil, err
	}
	return held.GetPermissions(), nil
}

// unmarshal reads an answer, and leaves be what Google added to it since.
func unmarshal(data []byte, m proto.Message) error {
	return protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(data, m)
}

// resourceURL returns the URL of one of the paths of a resource's API.
func resourceURL(name resource.Name, path string, query url.Values) string {
	u := "https://" + name.Host() + "/" + name.Expand(path)
	if len(query) > 0 {
		u += "?" + query.Encode()
	}
	return u
}
