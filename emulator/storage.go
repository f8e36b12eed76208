package emulator

import (
	"encoding/base64"
	"encoding/binary"
	"net/http"
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

// storageMethods are the methods of Cloud Storage's JSON API, and the reads of its XML API, which is
// what Google's Go client reads objects with.
func storageMethods() []method {
	at := func(id, pattern string, serve func(*call) (any, error)) method {
		return method{id: id, host: storageHost, pattern: pattern, serve: serve}
	}
	writes := func(m method) method { m.writes = true; return m }
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
		at("storage.objects.get", "GET /{bucket}/{object...}", readObject),
		at("storage.objects.get", "HEAD /{bucket}/{object...}", readObject),
	}
}

// bucketNode returns the IAM node of a bucket. The policy that hangs on it is the live one.
func (s *Server) bucketNode(b *bucket) (node, error) {
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
func (c *call) objectNode(b *bucket, n node, name string) node {
	return b.objectNode(c.state().withFolders(n, name), name)
}

// findBucket returns the bucket of the request and its node. That a bucket exists is no secret: names
// are global, so it is looked up before any permission.
func (c *call) findBucket() (*bucket, node, error) {
	b := c.state().Storage.Buckets[c.vars["bucket"]]
	if b == nil {
		return nil, node{}, notFound("The specified bucket does not exist.")
	}
	n, err := c.server.bucketNode(b)
	return b, n, err
}

// findObject returns the object of the request if the caller holds the permission on it. Who may not
// list the bucket does not learn that an object is missing: that is a 403.
func (c *call) findObject(permission string) (*bucket, *object, error) {
	b, n, err := c.findBucket()
	if err != nil {
		return nil, nil, err
	}
	name := c.vars["object"]
	if err := c.require(permission, c.objectNode(b, n, name)); err != nil {
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

// counterEtag is an etag of Cloud Storage: a protocol buffer message whose fields, from 1 on, are the
// given numbers, so that metageneration 2 reads CAI=.
func counterEtag(counters ...int64) string {
	var b []byte
	for i, n := range counters {
		b = append(b, byte((i+1)<<3)) // the number of the field, and that it is a varint
		b = binary.AppendUvarint(b, uint64(n))
	}
	return base64.StdEncoding.EncodeToString(b)
}

// storageTime writes an instant as Cloud Storage does, to the millisecond.
func storageTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }

// unsupported is the answer to a parameter or field that would change the meaning of a call and that the
// emulator does not know.
func (c *call) unsupported(what string) error {
	return fail(http.StatusNotImplemented, "UNIMPLEMENTED", "", "the emulator does not know %s of %s", what, c.method.id)
}
