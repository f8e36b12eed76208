package storage

import (
	"encoding/json"
	"net/http"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

// patchObject changes the metadata of an object. Its content, and so its generation, stays.
func patchObject(c *wire.Call) (any, error) {
	b, o, err := findObject(c, "storage.objects.update")
	if err != nil {
		return nil, err
	}
	for _, unknown := range []string{"predefinedAcl", "overrideUnlockedRetention"} {
		if c.Query(unknown) != "" {
			return nil, c.Unsupported(unknown)
		}
	}
	m := objectMetadata{object: *o}
	known := m.fields()
	var metadata json.RawMessage
	var output any // what a client may send back as it read it
	known["metadata"] = &metadata
	for _, name := range outputOnly {
		known[name] = &output
	}
	if err := c.DecodeKnown(c.Body, known); err != nil {
		return nil, err
	}
	if m.StorageClass != o.StorageClass {
		return nil, wire.Invalid("The storage class of an object changes by a rewrite alone.")
	}
	if m.Metadata, err = wire.MergeStrings(o.Metadata, metadata); err != nil {
		return nil, err
	}
	m.Name = o.Name
	m.Metageneration++
	*o = m.object
	return showObject(c, b, o), nil
}

// outputOnly are the fields of objects and buckets that Google fills in, and ignores from clients.
var outputOnly = []string{
	"acl", "bucket", "crc32c", "etag", "generation", "id", "kind", "locationType", "md5Hash", "mediaLink", "metageneration", "name",
	"owner", "projectNumber", "selfLink", "size", "timeCreated", "timeStorageClassUpdated", "updated",
}

// patchBucket changes the metadata of a bucket, and how access to it is decided. That objects may become
// public, or may not, is a matter of its policy too.
func patchBucket(c *wire.Call) (any, error) {
	b, n, err := findBucket(c)
	if err != nil {
		return nil, err
	}
	for _, permission := range []string{"storage.buckets.update", "storage.buckets.get"} {
		if err := c.Require(permission, n); err != nil {
			return nil, err
		}
	}
	if err := checkMetageneration(c.Request.URL.Query(), b.Metageneration); err != nil {
		return nil, err
	}
	var class, location string
	var labels json.RawMessage
	var access struct {
		BucketPolicyOnly         *toggle `json:"bucketPolicyOnly"`
		UniformBucketLevelAccess *toggle `json:"uniformBucketLevelAccess"`
		PublicAccessPrevention   string  `json:"publicAccessPrevention"`
	}
	paid := billing{b.Requester}
	var output any
	known := map[string]any{
		"billing": &paid, "storageClass": &class, "location": &location, "labels": &labels, "iamConfiguration": &access,
		"softDeletePolicy": &output, "rpo": &output, "satisfiesPZI": &output,
	}
	for _, name := range outputOnly {
		known[name] = &output
	}
	if err := c.DecodeKnown(c.Body, known); err != nil {
		return nil, err
	}
	next := *b
	next.Requester = paid.RequesterPays
	if next.Labels, err = wire.MergeStrings(b.Labels, labels); err != nil {
		return nil, err
	}
	if class != "" {
		next.StorageClass = class
	}
	if toggled := access.UniformBucketLevelAccess; toggled != nil {
		next.Uniform = toggled.Enabled
	} else if toggled := access.BucketPolicyOnly; toggled != nil {
		next.Uniform = toggled.Enabled
	}
	if prevention := access.PublicAccessPrevention; prevention != "" {
		next.Prevention = prevention == "enforced"
	}
	if err := checkAccessChange(c, b, &next, n); err != nil {
		return nil, err
	}
	next.Metageneration++
	next.Updated = c.Now
	*b = next
	return showBucket(c, b)
}

// checkAccessChange refuses what Cloud Storage refuses when uniform access or public access prevention
// of a bucket changes.
func checkAccessChange(c *wire.Call, old, next *bucket, n iam.Node) error {
	refuse := func(format string, args ...any) error {
		return wire.Fail(http.StatusPreconditionFailed, "FAILED_PRECONDITION", "conditionNotMet", format, args...)
	}
	if old.Prevention != next.Prevention {
		if err := c.Require("storage.buckets.setIamPolicy", n); err != nil {
			return err
		}
	}
	if !old.Uniform || next.Uniform {
		return nil
	}
	switch {
	case old.Policy.Conditional():
		return refuse("Uniform bucket-level access of bucket %s cannot be disabled while its policy has conditions.",
			old.Name)
	case c.Now.Sub(old.Created) > uniformAccessLock:
		return refuse("Uniform bucket-level access of bucket %s is locked since %s.", old.Name,
			storageTime(old.Created.Add(uniformAccessLock)))
	}
	return nil
}
