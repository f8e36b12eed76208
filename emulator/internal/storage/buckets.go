package storage

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
	"github.com/taskiam/taskiam/internal/lazy"
)

// bucketResource is a bucket as the JSON API writes it.
type bucketResource struct {
	Kind             string            `json:"kind"`
	ID               string            `json:"id"`
	SelfLink         string            `json:"selfLink"`
	Name             string            `json:"name"`
	ProjectNumber    string            `json:"projectNumber"`
	Location         string            `json:"location"`
	LocationType     string            `json:"locationType"`
	StorageClass     string            `json:"storageClass"`
	Labels           map[string]string `json:"labels,omitempty"`
	Metageneration   int64             `json:"metageneration,string"`
	Etag             string            `json:"etag"`
	TimeCreated      string            `json:"timeCreated"`
	Updated          string            `json:"updated"`
	Generation       int64             `json:"generation,string"`
	IAMConfiguration iamConfiguration  `json:"iamConfiguration"`
	SoftDelete       softDeletePolicy  `json:"softDeletePolicy"`
	RPO              string            `json:"rpo,omitempty"`          // of what lies in several regions
	SatisfiesPZI     bool              `json:"satisfiesPZI,omitempty"` // of what lies in one: isolated by zone
	Billing          *billing          `json:"billing,omitempty"`
}

// softDeletePolicy says how long deleted objects could be restored; nothing here restores any.
type softDeletePolicy struct {
	EffectiveTime string `json:"effectiveTime"`
	Retention     string `json:"retentionDurationSeconds"`
}

// billing says who pays for what is done with a bucket.
type billing struct {
	RequesterPays bool `json:"requesterPays"`
}

type iamConfiguration struct {
	BucketPolicyOnly         toggle `json:"bucketPolicyOnly"`
	UniformBucketLevelAccess toggle `json:"uniformBucketLevelAccess"`
	PublicAccessPrevention   string `json:"publicAccessPrevention,omitempty"`
}

type toggle struct {
	Enabled    bool   `json:"enabled"`
	LockedTime string `json:"lockedTime,omitempty"` // until when it can be turned off again
}

// Google's defaults for a new bucket.
const (
	uniformAccessLock = 90 * 24 * time.Hour
	softDeletePeriod  = "604800" // seconds: a week
)

var bucketNames = lazy.Regexp(`^[a-z0-9][a-z0-9_.-]{1,220}[a-z0-9]$`)

// newBucket returns a bucket with the policy that Cloud Storage gives it. Its members projectOwner,
// projectEditor and projectViewer are what lets the basic roles of the project work on its objects.
func newBucket(s *wire.State, now time.Time, project, name, location string, uniform bool) *bucket {
	owners, viewers := []string{"projectEditor:" + project, "projectOwner:" + project}, []string{"projectViewer:" +
		project}
	b := &bucket{
		Name: name, Project: project, Location: strings.ToUpper(cmp.Or(location, "US")), StorageClass: "STANDARD",
		Created: now, Updated: now, Metageneration: 1, Uniform: uniform,
		Policy: &iam.Policy{Bindings: []iam.Binding{
			{Role: "roles/storage.legacyBucketOwner", Members: owners},
			{Role: "roles/storage.legacyBucketReader", Members: viewers},
		}},
		Objects: map[string]*object{},
	}
	if uniform {
		b.Policy.Bindings = append(b.Policy.Bindings,
			iam.Binding{Role: "roles/storage.legacyObjectOwner", Members: slices.Clone(owners)},
			iam.Binding{Role: "roles/storage.legacyObjectReader", Members: slices.Clone(viewers)})
	}
	st := stateOf(s)
	if st.Buckets == nil {
		st.Buckets = map[string]*bucket{}
	}
	st.Buckets[name] = b
	return b
}

func insertBucket(c *wire.Call) (any, error) {
	parent, p, err := c.State().ProjectNode(c.Query("project"))
	if err != nil {
		return nil, err
	}
	if err := c.Require("storage.buckets.create", parent); err != nil {
		return nil, err
	}
	var in struct {
		name, location, class string
		labels                map[string]string
		iam                   iamConfiguration
		billing               billing
		kind                  any
		lifecycle             struct {
			Rule []any `json:"rule"`
		}
	}
	if err := c.DecodeKnown(c.Body, map[string]any{
		"name": &in.name, "location": &in.location, "storageClass": &in.class, "labels": &in.labels,
		"iamConfiguration": &in.iam, "billing": &in.billing,
		"kind": &in.kind, "lifecycle": &in.lifecycle,
	}); err != nil {
		return nil, err
	}
	switch {
	case len(in.lifecycle.Rule) > 0:
		return nil, c.Unsupported("field lifecycle")
	case !bucketNames().MatchString(in.name) || strings.HasPrefix(in.name, "goog"):
		return nil, wire.Fail(http.StatusBadRequest, "INVALID_ARGUMENT", "invalid", "Invalid bucket name: '%s'",
			in.name)
	case c.Query("predefinedAcl") != "" || c.Query("predefinedDefaultObjectAcl") != "":
		return nil, c.Unsupported("access control lists")
	}
	if old := stateOf(c.State()).Buckets[in.name]; old != nil {
		if old.Project == p.ID {
			return nil, wire.Fail(http.StatusConflict, "ALREADY_EXISTS", "conflict",
				"Your previous request to create the named bucket succeeded and you already own it.")
		}
		return nil, wire.Fail(http.StatusConflict, "ALREADY_EXISTS", "conflict",
			"The requested bucket name is not available. The bucket namespace is shared by all users of the system. "+
				"Please select a different name and try again.")
	}
	uniform := in.iam.UniformBucketLevelAccess.Enabled || in.iam.BucketPolicyOnly.Enabled
	b := newBucket(c.State(), c.Now, p.ID, in.name, in.location, uniform)
	b.Labels = in.labels
	b.StorageClass = cmp.Or(in.class, b.StorageClass)
	b.Prevention = in.iam.PublicAccessPrevention == "enforced"
	b.Requester = in.billing.RequesterPays
	return showBucket(c, b)
}

func getBucket(c *wire.Call) (any, error) {
	b, n, err := findBucket(c)
	if err != nil {
		return nil, err
	}
	// projection=full asks for access control lists too; they are left out for who may not see them, and
	// the emulator keeps none.
	if err := c.Require("storage.buckets.get", n); err != nil {
		return nil, err
	}
	if err := checkMetageneration(c.Request.URL.Query(), b.Metageneration); err != nil {
		return nil, err
	}
	return showBucket(c, b)
}

func listBuckets(c *wire.Call) (any, error) {
	parent, p, err := c.State().ProjectNode(c.Query("project"))
	if err != nil {
		return nil, err
	}
	if err := c.Require("storage.buckets.list", parent); err != nil {
		return nil, err
	}
	var names []string
	for name, b := range stateOf(c.State()).Buckets {
		if b.Project == p.ID && strings.HasPrefix(name, c.Query("prefix")) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	names, next, err := c.Page(names, "maxResults", 1000)
	if err != nil {
		return nil, err
	}
	out := struct {
		Kind  string            `json:"kind"`
		Items []*bucketResource `json:"items,omitempty"`
		Next  string            `json:"nextPageToken,omitempty"`
	}{Kind: "storage#buckets", Next: next}
	for _, name := range names {
		r, err := showBucket(c, stateOf(c.State()).Buckets[name])
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, r)
	}
	return out, nil
}

func deleteBucket(c *wire.Call) (any, error) {
	b, n, err := findBucket(c)
	if err != nil {
		return nil, err
	}
	if err := c.Require("storage.buckets.delete", n); err != nil {
		return nil, err
	}
	if err := checkMetageneration(c.Request.URL.Query(), b.Metageneration); err != nil {
		return nil, err
	}
	if len(b.Objects) > 0 {
		return nil, wire.Fail(http.StatusConflict, "FAILED_PRECONDITION", "conflict",
			"The bucket you tried to delete is not empty.")
	}
	st := stateOf(c.State())
	delete(st.Buckets, b.Name)
	maps.DeleteFunc(st.Uploads, func(_ string, u *upload) bool { return u.Bucket == b.Name })
	return &wire.Raw{Code: http.StatusNoContent}, nil
}

// getStorageLayout says that names of objects are flat here. gcloud asks before it deletes a bucket.
func getStorageLayout(c *wire.Call) (any, error) {
	b, n, err := findBucket(c)
	if err != nil {
		return nil, err
	}
	if err := c.Require("storage.objects.list", n); err != nil {
		return nil, err
	}
	return map[string]any{
		"kind": "storage#storageLayout", "bucket": b.Name, "location": b.Location, "locationType": b.locationType(),
		"hierarchicalNamespace": toggle{},
	}, nil
}

func (b *bucket) locationType() string {
	if b.Location == "US" || b.Location == "EU" || b.Location == "ASIA" {
		return "multi-region"
	}
	return "region"
}

func showBucket(c *wire.Call, b *bucket) (*bucketResource, error) {
	_, p, err := c.State().ProjectNode(b.Project)
	if err != nil {
		return nil, err
	}
	prevention := "inherited"
	if b.Prevention {
		prevention = "enforced"
	}
	uniform := toggle{Enabled: b.Uniform}
	if b.Uniform {
		uniform.LockedTime = storageTime(b.Created.Add(uniformAccessLock))
	}
	var paid *billing
	if b.Requester {
		paid = &billing{true}
	}
	several := b.locationType() == "multi-region"
	rpo := ""
	if several {
		rpo = "DEFAULT"
	}
	return &bucketResource{
		Kind: "storage#bucket", ID: b.Name, SelfLink: c.BaseURL() + "/storage/v1/b/" + b.Name, Name: b.Name,
		ProjectNumber: p.Number, Location: b.Location, LocationType: b.locationType(), StorageClass: b.StorageClass,
		Labels:         b.Labels,
		Metageneration: b.Metageneration, Etag: wire.CounterEtag(b.Metageneration),
		TimeCreated: storageTime(b.Created), Updated: storageTime(b.Updated), Generation: b.Created.UnixMicro(),
		SoftDelete: softDeletePolicy{storageTime(b.Created), softDeletePeriod}, RPO: rpo, SatisfiesPZI: !several,
		Billing: paid,
		IAMConfiguration: iamConfiguration{
			BucketPolicyOnly: uniform, UniformBucketLevelAccess: uniform, PublicAccessPrevention: prevention,
		},
	}, nil
}
