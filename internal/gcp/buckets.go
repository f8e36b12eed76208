package gcp

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/resource"
)

// Bucket reads what a bucket's metadata says of access to it.
func (c *Client) Bucket(ctx context.Context, bucket resource.Name) (grants.Bucket, error) {
	if bucket.Type() != resource.Lookup("bucket") {
		return grants.Bucket{}, fault.New(fault.Invalid, "reading bucket %s: it is %s", bucket, bucket.Type().A())
	}
	return call(ctx, c, task{"reading bucket", bucket.String()}, func(ctx context.Context) (grants.Bucket, error) {
		data, err := rest(ctx, c.as, http.MethodGet,
			resourceURL(bucket, "storage/v1/b/{bucket}", url.Values{"fields": {"iamConfiguration,projectNumber"}}),
			nil, nil)
		if err != nil {
			return grants.Bucket{}, err
		}
		var b struct {
			ProjectNumber    string `json:"projectNumber"`
			IAMConfiguration struct {
				UniformBucketLevelAccess struct {
					Enabled bool `json:"enabled"`
				} `json:"uniformBucketLevelAccess"`
			} `json:"iamConfiguration"`
		}
		if err := json.Unmarshal(data, &b); err != nil {
			return grants.Bucket{}, fmt.Errorf("parsing the answer: %w", err)
		}
		uniform := b.IAMConfiguration.UniformBucketLevelAccess.Enabled
		return grants.Bucket{Uniform: uniform, Project: b.ProjectNumber}, nil
	})
}
