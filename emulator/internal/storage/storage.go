// Package storage is the Cloud Storage of the emulator: buckets, objects and managed folders,
// by the JSON API and the reads of the XML API.
package storage

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

// state is what Cloud Storage remembers.
type state struct {
	Buckets map[string]*bucket `json:"buckets,omitempty"`
	// Uploads are the resumable uploads that were begun and not finished, by the hash of the upload's id.
	Uploads map[string]*upload `json:"uploads,omitempty"`
	// HMACKeys are the HMAC keys by their access ids, the deleted ones too.
	HMACKeys map[string]*hmacKey `json:"hmacKeys,omitempty"`
	// Generation is the last generation that was given to an object.
	Generation int64 `json:"generation,omitempty" snapshot:"-"`
}

// bucket is one bucket with its objects. Bucket names are global, so Project says which project owns it.
type bucket struct {
	Name           string            `json:"name"`
	Project        string            `json:"project"` // id
	Location       string            `json:"location"`
	StorageClass   string            `json:"storageClass"`
	Labels         map[string]string `json:"labels,omitempty"`
	Created        time.Time         `json:"created"`
	Updated        time.Time         `json:"updated" snapshot:"-"`
	Metageneration int64             `json:"metageneration" snapshot:"-"`
	// uniform bucket-level access: no object ACLs
	Uniform    bool               `json:"uniform,omitempty"`
	Prevention bool               `json:"publicAccessPrevention,omitempty"` // enforced
	Requester  bool               `json:"requesterPays,omitempty"`
	Policy     *iam.Policy        `json:"policy,omitempty"`
	Objects    map[string]*object `json:"objects,omitempty"`
}

// object is the live generation of one object.
type object struct {
	Name               string            `json:"name"`
	Content            wire.Content      `json:"content"`
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

	hashes *hashes // of the content; nil if nobody has counted them yet
}

// Service is Cloud Storage.
func Service() *wire.Service {
	return &wire.Service{
		Name: host, Title: "Cloud Storage API",
		Scopes:  []string{"devstorage.full_control", "devstorage.read_write", "devstorage.read_only"},
		Methods: slices.Concat(jsonMethods(), hmacMethods(), xmlMethods()), Key: stateKey, Seed: seed, Assets: assets,
		Node:  bucketOrFolder,
		New:   func() any { return &state{Buckets: map[string]*bucket{}, Uploads: map[string]*upload{}} },
		Admit: checkFolder, Find: findVirtualHost, Batch: "/batch/storage/v1",
		Grantable: map[string][]string{"buckets": {"storage."}},
		Denied:    denied, PayerParameter: "userProject", Errors: wire.StorageErrors, Quota: spendBucketUpdate,
	}
}

const host = "storage.googleapis.com"

const stateKey = "storage"

func stateOf(st *wire.State) *state { return wire.Part[state](st, stateKey) }

func assets(st *wire.State, add func(wire.Asset)) {
	for _, b := range stateOf(st).Buckets {
		if a, ok := st.AssetBelow(b.Project, "//"+host+"/"+b.Name, host+"/Bucket", b.Policy); ok {
			add(a)
		}
	}
}

// denied is the 403 of a missing permission in the words of Cloud Storage.
func denied(who *iam.Principal, permission string, n iam.Node) *wire.Error {
	kind := "project"
	switch {
	case strings.Contains(n.Full, "/objects/"):
		kind = "Storage object"
	case strings.Contains(n.Full, "/buckets/"):
		kind = "Storage bucket"
	}
	refuse := wire.Forbidden
	if who.Anonymous {
		refuse = wire.LoginRequired
	}
	return refuse("%s does not have %s access to the Google Cloud %s. Permission '%s' denied on resource (or "+
		"it may not exist).",
		who.Email, permission, kind, permission)
}

// spendBucketUpdate counts an update of a bucket's metadata.
func spendBucketUpdate(c *wire.Call, q *wire.Usage) error {
	bucket := c.Vars["bucket"]
	if !strings.HasPrefix(c.Method.ID, "storage.buckets.") || !c.Method.Updates() ||
		q.Take("bucket "+bucket, q.Limits.BucketUpdates, time.Second, c.Now) {
		return nil
	}
	return wire.Fail(http.StatusTooManyRequests, "RESOURCE_EXHAUSTED", "rateLimitExceeded",
		"The rate of change requests to the bucket %s exceeds the rate limit. Please reduce the rate of update "+
			"requests.", bucket)
}

// jsonMethods are the methods of Cloud Storage's JSON API.
func jsonMethods() []wire.Method {
	// What is about a bucket or an object is open to everybody; IAM decides who of them may.
	at := func(id, pattern string, serve func(*wire.Call) (any, error)) wire.Method {
		return wire.Method{ID: id, Host: host, Pattern: pattern, Colons: true, Serve: serve, Open: true}
	}
	login := func(m wire.Method) wire.Method { m.Open = false; return m }
	writes := func(m wire.Method) wire.Method { m.Writes = true; return m }
	held := func(m wire.Method) wire.Method { m.Writes, m.Large, m.Bearer = true, true, holder; return m }
	return []wire.Method{
		login(writes(at("storage.buckets.insert", "POST /storage/v1/b", insertBucket))),
		login(at("storage.buckets.list", "GET /storage/v1/b", listBuckets)),
		at("storage.buckets.get", "GET /storage/v1/b/{bucket}", getBucket),
		writes(at("storage.buckets.patch", "PATCH /storage/v1/b/{bucket}", patchBucket)),
		writes(at("storage.buckets.delete", "DELETE /storage/v1/b/{bucket}", deleteBucket)),
		at("storage.buckets.getStorageLayout", "GET /storage/v1/b/{bucket}/storageLayout", getStorageLayout),
		at("storage.managedFolders.list", "GET /storage/v1/b/{bucket}/managedFolders", listManagedFolders),
		at("storage.buckets.getIamPolicy", "GET /storage/v1/b/{bucket}/iam", getBucketPolicy),
		writes(at("storage.buckets.setIamPolicy", "PUT /storage/v1/b/{bucket}/iam", setBucketPolicy)),
		login(at("storage.buckets.testIamPermissions", "GET /storage/v1/b/{bucket}/iam/testPermissions",
			testBucketPermissions)),

		at("storage.objects.list", "GET /storage/v1/b/{bucket}/o", listObjects),
		at("storage.objects.get", "GET /storage/v1/b/{bucket}/o/{object}", getObject),
		at("storage.objects.get", "GET /download/storage/v1/b/{bucket}/o/{object}", getObject),
		writes(at("storage.objects.patch", "PATCH /storage/v1/b/{bucket}/o/{object}", patchObject)),
		writes(at("storage.objects.delete", "DELETE /storage/v1/b/{bucket}/o/{object}", deleteObject)),
		writes(at("storage.objects.rewrite",
			"POST /storage/v1/b/{bucket}/o/{object}/rewriteTo/b/{toBucket}/o/{toObject}", rewriteTo)),
		writes(at("storage.objects.copy",
			"POST /storage/v1/b/{bucket}/o/{object}/copyTo/b/{toBucket}/o/{toObject}", copyTo)),
		held(at("storage.objects.insert", "POST /upload/storage/v1/b/{bucket}/o", insertObject)),
		held(at("storage.objects.insert", "POST /resumable/upload/storage/v1/b/{bucket}/o", insertObject)),
		login(held(at("storage.objects.insert", "PUT /upload/storage/v1/b/{bucket}/o", continueUpload))),
		login(held(at("storage.objects.insert", "PUT /resumable/upload/storage/v1/b/{bucket}/o", continueUpload))),
		login(held(at("storage.objects.insert", "DELETE /upload/storage/v1/b/{bucket}/o", cancelUpload))),
		login(held(at("storage.objects.insert", "DELETE /resumable/upload/storage/v1/b/{bucket}/o", cancelUpload))),
	}
}

// bucketNode returns the IAM node of a bucket. The policy that hangs on it is the live one.
func bucketNode(s *wire.State, b *bucket) (iam.Node, error) {
	parent, _, err := s.ProjectNode(b.Project)
	if err != nil {
		return iam.Node{}, err
	}
	name := "projects/_/buckets/" + b.Name
	n := parent.Child("//"+host+"/"+name, name, host+"/Bucket", b.Policy)
	n.Private = b.Prevention
	return n, nil
}

// objectNode returns the IAM node of an object, present or not, below its bucket's node. Without uniform
// bucket-level access objects have an access control list; it is always the default one of Google's,
// projectPrivate, here in the form of the roles that it amounts to.
func (b *bucket) objectNode(parent iam.Node, name string) iam.Node {
	var acl *iam.Policy
	if !b.Uniform {
		acl = &iam.Policy{Bindings: []iam.Binding{
			{Role: "roles/storage.legacyObjectOwner",
				Members: []string{"projectEditor:" + b.Project, "projectOwner:" + b.Project}},
			{Role: "roles/storage.legacyObjectReader", Members: []string{"projectViewer:" + b.Project}},
		}}
	}
	name = "projects/_/buckets/" + b.Name + "/objects/" + name
	return parent.Child("//"+host+"/"+name, name, host+"/Object", acl)
}

// objectNode is [bucket.objectNode] with the managed folders between the bucket and the object.
func objectNode(c *wire.Call, b *bucket, n iam.Node, name string) iam.Node {
	return b.objectNode(withFolders(c.State(), n, name), name)
}

// findBucket returns the bucket of the request and its node, if somebody pays for the call.
func findBucket(c *wire.Call) (*bucket, iam.Node, error) {
	b, n, err := lookUpBucket(c)
	if err == nil {
		err = checkPayer(c, b)
	}
	return b, n, err
}

// checkPayer refuses a call that names nobody who pays where the requester does (storage/docs/requester-pays). It
// counts for the bucket's project if the caller could give that a billing account.
func checkPayer(c *wire.Call, b *bucket) error {
	if !b.Requester || c.Payer() != "" { // who is named was asked for before
		return nil
	}
	owner, _, err := c.State().ProjectNode(b.Project)
	if err != nil {
		return err
	}
	if c.May("resourcemanager.projects.createBillingAssignment", owner) {
		return nil
	}
	return wire.Fail(http.StatusBadRequest, "INVALID_ARGUMENT", "required",
		"Bucket is requester pays bucket but no user project provided.")
}

// lookUpBucket returns the bucket of the request and its node. That a bucket exists is no secret: names
// are global, so it is looked up before any permission.
func lookUpBucket(c *wire.Call) (*bucket, iam.Node, error) {
	b := stateOf(c.State()).Buckets[c.Vars["bucket"]]
	if b == nil {
		return nil, iam.Node{}, wire.NotFound("The specified bucket does not exist.")
	}
	n, err := bucketNode(c.State(), b)
	return b, n, err
}

// findObject returns the object of the request if the caller holds the permission on it. Who may not
// list the bucket does not learn that an object is missing: that is a 403.
func findObject(c *wire.Call, permission string) (*bucket, *object, error) {
	b, n, err := findBucket(c)
	if err != nil {
		return nil, nil, err
	}
	name := c.Vars["object"]
	if err := c.Require(permission, objectNode(c, b, n, name)); err != nil {
		return nil, nil, err
	}
	o := b.Objects[name]
	if o == nil || !sameGeneration(c.Query("generation"), o.Generation) {
		if err := c.Require("storage.objects.list", n); err != nil {
			return nil, nil, err
		}
		return nil, nil, wire.NotFound("No such object: %s/%s", b.Name, name)
	}
	if err := checkGenerations(c.Request.URL.Query(), o); err != nil {
		return nil, nil, err
	}
	return b, o, nil
}

// storageTime writes an instant as Cloud Storage does, to the millisecond.
func storageTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }
