package gcp

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/resource"
)

// BucketUniform reports whether a bucket has uniform bucket-level access, without
// which its policy takes no conditions (storage/docs/uniform-bucket-level-access).
func (c *Client) BucketUniform(ctx context.Context, bucket resource.Name) (bool, error) {
	if bucket.Type().API.Dialect != resource.Bucket {
		return false, fault.New(fault.Invalid, "reading bucket %s: it is a %s", bucket, bucket.Type().Kind)
	}
	return call(ctx, c, task{"reading bucket", bucket.String()}, func(ctx context.Context) (bool, error) {
		data, err := rest(ctx, c.as, http.MethodGet,
			resourceURL(bucket, "storage/v1/b/{bucket}", url.Values{"fields": {"iamConfiguration"}}), nil, nil)
		if err != nil {
			return false, err
		}
		var b struct {
			IAMConfiguration struct {
				UniformBucketLevelAccess struct {
					Enabled bool `json:"enabled"`
				} `json:"uniformBucketLevelAccess"`
			} `json:"iamConfiguration"`
		}
		if err := json.Unmarshal(data, &b); err != nil {
			return false, fmt.Errorf("parsing the answer: %w", err)
		}
		return b.IAMConfiguration.UniformBucketLevelAccess.Enabled, nil
	})
}
