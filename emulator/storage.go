package emulator

import (
	"net/http"
	"strings"
	"time"
)

// storageState is what Cloud Storage remembers.
type storageState struct {
	Buckets map[string]*bucket `json:"buckets,omitempty"`
	// Uploads are the resumable uploads that were begun and not finished, by upload id.
	Uploads map[string]*upload `json:"uploads,omitempty"`
	// Generation is the last generation that was given to an object.
	Generation int64 `json:"generation,omitempty" snapshot:"-"`
}

// bucket is one bucket with its objects. Bucket names are global, so Project says to whom it belongs.
type bucket struct {
	Name           string             `json:"name"`
	Project        string             `json:"project"` // id
	Location       string             `json:"location"`
	StorageClass   string             `json:"storageClass"`
	Labels         map[string]string  `json:"labels,omitempty"`
	Created        time.Time          `json:"created"`
	Updated        time.Time          `json:"updated" snapshot:"-"`
	Metageneration int64              `json:"metageneration" snapshot:"-"`
	Uniform        bool               `json:"uniform,omitempty"`                // uniform bucket-level access: no object ACLs
	Prevention     bool               `json:"publicAccessPrevention,omitempty"` // enforced
	Policy         *policy            `json:"policy,omitempty"`
	Objects        map[string]*object `json:"objects,omitempty"`
}

// object is the live generation of one object.
type object struct {
	Name               string            `json:"name"`
	Content            []byte            `json:"content"`
	ContentType        string            `json:"contentType,omitempty"`
	ContentEncoding    string            `json:"contentEncoding,omitempty"`
	ContentLanguage    string            `json:"contentLanguage,omitempty"`
	ContentDisposition string            `json:"contentDisposition,omitempty"`
	CacheControl       string            `json:"cacheControl,omitempty"`
	StorageClass       string            `json:"storageClass,omitempty"`
	Metadata           map[string]string `json:"metadata,omitempty"`
	Created            time.Time         `json:"created"`
	Generation         int64             `json:"generation"`
	Metageneration     int64             `json:"metageneration" snapshot:"-"`
}

// storageService is Cloud Storage.
func storageService() *service {
	return &service{
		Name: storageHost, Title: "Cloud Storage API",
		Scopes:  []string{"devstorage.full_control", "devstorage.read_write", "devstorage.read_only"},
		Methods: storageMethods(), Key: storageKey, Seed: storageSeed, Assets: bucketAssets, Node: bucketOrFolder,
		New:       func() any { return &storageState{Buckets: map[string]*bucket{}, Uploads: map[string]*upload{}} },
		Admit:     checkFolder,
		Grantable: map[string][]string{"buckets": {"storage."}},
		Denied:    storageDenied, Errors: storageErrors, Quota: spendBucketUpdate,
	}
}

const storageHost = "storage.googleapis.com"

const storageKey = "storage"

func storageOf(st *state) *storageState { return part[storageState](st, storageKey) }

func bucketAssets(st *state, add func(asset)) {
	for _, b := range storageOf(st).Buckets {
		if a, ok := st.assetBelow(b.Project, "//"+storageHost+"/"+b.Name, storageHost+"/Bucket", b.Policy); ok {
			add(a)
		}
	}
}

// storageDenied is the 403 of a missing permission in the words of Cloud Storage.
func storageDenied(who *principal, permission string, n node) *apiError {
	kind := "project"
	switch {
	case strings.Contains(n.full, "/objects/"):
		kind = "Storage object"
	case strings.Contains(n.full, "/buckets/"):
		kind = "Storage bucket"
	}
	return forbidden("%s does not have %s access to the Google Cloud %s. Permission '%s' denied on resource (or it may not exist).",
		who.email, permission, kind, permission)
}

// spendBucketUpdate counts an update of a bucket's metadata.
func spendBucketUpdate(c *call, q *quotas) error {
	bucket := c.vars["bucket"]
	if !strings.HasPrefix(c.method.id, "storage.buckets.") || !c.method.updates() ||
		q.take("bucket "+bucket, q.limits.BucketUpdates, time.Second, c.now) {
		return nil
	}
	return fail(http.StatusTooManyRequests, "RESOURCE_EXHAUSTED", "rateLimitExceeded",
		"The rate of change requests to the bucket %s exceeds the rate limit. Please reduce the rate of update requests.", bucket)
}

// storageMethods are the methods of Cloud Storage's JSON API, and the reads of its XML API, which is
// what Google's Go client reads objects with.
func storageMethods() []method {
	at := func(id, pattern string, serve func(*call) (any, error)) method {
		return method{id: id, host: storageHost, pattern: pattern, colons: true, serve: serve}
	}
	writes := func(m method) method { m.writes = true; return m }
	xml := func(m method) method { m.refuse = xmlRefusal; return m }
	return []method{
		writes(at("storage.buckets.insert", "POST /storage/v1/b", insertBucket)),
		at("storage.buckets.list", "GET /storage/v1/b", listBuckets),
		at("storage.buckets.get", "GET /storage/v1/b/{bucket}", getBucket),
		writes(at("storage.buckets.patch", "PATCH /storage/v1/b/{bucket}", patchBucket)),
		writes(at("storage.buckets.delete", "DELETE /storage/v1/b/{bucket}", deleteBucket)),
		at("storage.buckets.getStorageLayout", "GET /storage/v1/b/{bucket}/storageLayout", getStorageLayout),
		at("storage.managedFolders.list", "GET /storage/v1/b/{bucket}/managedFolders", listManagedFolders),
		at("storage.buckets.getIamPolicy", "GET /storage/v1/b/{bucket}/iam", getBucketPolicy),
		writes(at("storage.buckets.setIamPolicy", "PUT /storage/v1/b/{bucket}/iam", setBucketPolicy)),
		at("storage.buckets.testIamPermissions", "GET /storage/v1/b/{bucket}/iam/testPermissions", testBucketPermissions),

		at("storage.objects.list", "GET /storage/v1/b/{bucket}/o", listObjects),
		at("storage.objects.get", "GET /storage/v1/b/{bucket}/o/{object}", getObject),
		at("storage.objects.get", "GET /download/storage/v1/b/{bucket}/o/{object}", getObject),
		writes(at("storage.objects.patch", "PATCH /storage/v1/b/{bucket}/o/{object}", patchObject)),
		writes(at("storage.objects.delete", "DELETE /storage/v1/b/{bucket}/o/{object}", deleteObject)),
		writes(at("storage.objects.rewrite", "POST /storage/v1/b/{bucket}/o/{object}/rewriteTo/b/{toBucket}/o/{toObject}", rewriteTo)),
		writes(at("storage.objects.copy", "POST /storage/v1/b/{bucket}/o/{object}/copyTo/b/{toBucket}/o/{toObject}", copyTo)),
		writes(at("storage.objects.insert", "POST /upload/storage/v1/b/{bucket}/o", insertObject)),
		writes(at("storage.objects.insert", "POST /resumable/upload/storage/v1/b/{bucket}/o", insertObject)),
		writes(at("storage.objects.insert", "PUT /upload/storage/v1/b/{bucket}/o", continueUpload)),
		writes(at("storage.objects.insert", "PUT /resumable/upload/storage/v1/b/{bucket}/o", continueUpload)),
		xml(at("storage.objects.get", "GET /{bucket}/{object...}", readObject)),
		xml(at("storage.objects.get", "HEAD /{bucket}/{object...}", readObject)),
	}
}

// bucketNode returns the IAM node of a bucket. The policy that hangs on it is the live one.
func bucketNode(s *state, b *bucket) (node, error) {
	parent, _, err := s.projectNode(b.Project)
	if err != nil {
		return node{}, err
	}
	name := "projects/_/buckets/" + b.Name
	return parent.child("//"+storageHost+"/"+name, name, storageHost+"/Bucket", b.Policy), nil
}

// objectNode returns the IAM node of an object, present or not, below its bucket's node. Without uniform
// bucket-level access objects have an access control list; it is always the default one of Google's,
// projectPrivate, here in the form of the roles that it amounts to.
func (b *bucket) objectNode(parent node, name string) node {
	var acl *policy
	if !b.Uniform {
		acl = &policy{Bindings: []binding{
			{Role: "roles/storage.legacyObjectOwner", Members: []string{"projectEditor:" + b.Project, "projectOwner:" + b.Project}},
			{Role: "roles/storage.legacyObjectReader", Members: []string{"projectViewer:" + b.Project}},
		}}
	}
	name = "projects/_/buckets/" + b.Name + "/objects/" + name
	return parent.child("//"+storageHost+"/"+name, name, storageHost+"/Object", acl)
}

// objectNode is [bucket.objectNode] with the managed folders between the bucket and the object.
func objectNode(c *call, b *bucket, n node, name string) node {
	return b.objectNode(withFolders(c.state(), n, name), name)
}

// findBucket returns the bucket of the request and its node. That a bucket exists is no secret: names
// are global, so it is looked up before any permission.
func findBucket(c *call) (*bucket, node, error) {
	b := storageOf(c.state()).Buckets[c.vars["bucket"]]
	if b == nil {
		return nil, node{}, notFound("The specified bucket does not exist.")
	}
	n, err := bucketNode(c.state(), b)
	return b, n, err
}

// findObject returns the object of the request if the caller holds the permission on it. Who may not
// list the bucket does not learn that an object is missing: that is a 403.
func findObject(c *call, permission string) (*bucket, *object, error) {
	b, n, err := findBucket(c)
	if err != nil {
		return nil, nil, err
	}
	name := c.vars["object"]
	if err := c.require(permission, objectNode(c, b, n, name)); err != nil {
		return nil, nil, err
	}
	o := b.Objects[name]
	if o == nil || !sameGeneration(c.query("generation"), o.Generation) {
		if err := c.require("storage.objects.list", n); err != nil {
			return nil, nil, err
		}
		return nil, nil, notFound("No such object: %s/%s", b.Name, name)
	}
	if err := checkGenerations(c.r.URL.Query(), o); err != nil {
		return nil, nil, err
	}
	return b, o, nil
}

// storageTime writes an instant as Cloud Storage does, to the millisecond.
func storageTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }
