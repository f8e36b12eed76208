package grpcapi

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// Cloud Storage has an API for gRPC alone, of which no annotation says how to make it REST. Here are the methods that
// clients need to read and write objects, each by the methods of the JSON API.

const storageService = "google.storage.v2.Storage/"

// storageCalls are those with one request and one answer.
var storageCalls = map[string]func(*call, *dynamicpb.Message) (*dynamicpb.Message, error){
	storageService + "GetObject":           getObject,
	storageService + "ListObjects":         listObjects,
	storageService + "DeleteObject":        deleteObject,
	storageService + "GetBucket":           getBucket,
	storageService + "StartResumableWrite": startWrite,
	storageService + "QueryWriteStatus":    queryWrite,
}

// fields are the fields of a request, as JSON has them.
type fields map[string]any

// text returns a field that is no object: a string, or a number as a string.
func (f fields) text(name string) string {
	switch v := f[name].(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case bool:
		if v {
			return "true"
		}
	}
	return ""
}

func (f fields) object(name string) fields {
	v, _ := f[name].(map[string]any)
	return v
}

// query returns the parameters of REST for the fields that are set, by their names there.
func (f fields) query(names map[string]string) url.Values {
	q := url.Values{}
	for field, parameter := range names {
		if v := f.text(field); v != "" {
			q.Set(parameter, v)
		}
	}
	return q
}

// preconditions are the fields by which a request says which object, or state of it, it means.
var preconditions = map[string]string{
	"generation": "generation", "ifGenerationMatch": "ifGenerationMatch", "ifGenerationNotMatch": "ifGenerationNotMatch",
	"ifMetagenerationMatch": "ifMetagenerationMatch", "ifMetagenerationNotMatch": "ifMetagenerationNotMatch",
}

// fieldsOf reads a request. What would change its meaning, and is not here, is refused.
func (c *call) fieldsOf(in proto.Message) (fields, error) {
	unmasked(in.ProtoReflect())
	raw, err := toJSON(in)
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "Reading the request of %s: %v", c.name, err)
	}
	f := fields{}
	if err := json.Unmarshal(raw, &f); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "Reading the request of %s: %v", c.name, err)
	}
	return f, c.unknown(f, "commonObjectRequestParams", "appendObjectSpec", "restoreToken")
}

// unmasked takes out the mask of what a client wants to read: it gets all, and the mask "*" is none that JSON has.
func unmasked(m protoreflect.Message) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch f.Name() {
		case "read_mask":
			m.Clear(f)
		case "read_object_spec":
			unmasked(v.Message())
		}
		return true
	})
}

// unknown refuses fields that are set and that the emulator does not know.
func (c *call) unknown(f fields, names ...string) error {
	for _, name := range names {
		switch v := f[name].(type) {
		case nil:
		case map[string]any:
			if len(v) > 0 {
				return status.Errorf(codes.Unimplemented, "the emulator does not know field %s of %s", name, c.name)
			}
		default:
			return status.Errorf(codes.Unimplemented, "the emulator does not know field %s of %s", name, c.name)
		}
	}
	return nil
}

// bucketPath is the path of a bucket in the JSON API, by its name here: projects/_/buckets/B.
func bucketPath(prefix, name string) (string, error) {
	id, ok := strings.CutPrefix(name, "projects/_/buckets/")
	if !ok || id == "" || strings.Contains(id, "/") {
		return "", status.Errorf(codes.InvalidArgument,
			"Invalid bucket name: %q; projects/_/buckets/BUCKET is expected.", name)
	}
	return prefix + "/storage/v1/b/" + url.PathEscape(id), nil
}

func objectPath(prefix string, f fields) (string, error) {
	bucket, err := bucketPath(prefix, f.text("bucket"))
	if err == nil && f.text("object") == "" {
		err = status.Error(codes.InvalidArgument, "Required parameter: object")
	}
	return bucket + "/o/" + url.PathEscape(f.text("object")), err
}

// restObject is an object as the JSON API writes it.
type restObject struct {
	Name               string            `json:"name"`
	Bucket             string            `json:"bucket"`
	Generation         string            `json:"generation"`
	Metageneration     string            `json:"metageneration"`
	ContentType        string            `json:"contentType"`
	ContentEncoding    string            `json:"contentEncoding"`
	ContentLanguage    string            `json:"contentLanguage"`
	ContentDisposition string            `json:"contentDisposition"`
	CacheControl       string            `json:"cacheControl"`
	StorageClass       string            `json:"storageClass"`
	Size               int64             `json:"size,string"`
	MD5Hash            string            `json:"md5Hash"`
	CRC32C             string            `json:"crc32c"`
	Etag               string            `json:"etag"`
	TimeCreated        string            `json:"timeCreated"`
	Updated            string            `json:"updated"`
	Metadata           map[string]string `json:"metadata"`
}

// resource is the object as gRPC has it, as JSON.
func (o restObject) resource() map[string]any {
	return map[string]any{
		"name": o.Name, "bucket": "projects/_/buckets/" + o.Bucket, "etag": o.Etag, "generation": o.Generation,
		"metageneration": o.Metageneration, "storageClass": o.StorageClass, "size": o.Size,
		"contentType": o.ContentType, "contentEncoding": o.ContentEncoding, "contentLanguage": o.ContentLanguage,
		"contentDisposition": o.ContentDisposition, "cacheControl": o.CacheControl, "createTime": o.TimeCreated,
		"updateTime": o.Updated, "finalizeTime": o.TimeCreated, "metadata": o.Metadata, "checksums": o.checksums(),
	}
}

func (o restObject) checksums() map[string]any {
	sums := map[string]any{"md5Hash": o.MD5Hash}
	if b, err := base64.StdEncoding.DecodeString(o.CRC32C); err == nil && len(b) == 4 {
		sums["crc32c"] = binary.BigEndian.Uint32(b)
	}
	return sums
}

// answerWith returns an answer, said in JSON.
func (c *call) answerWith(v any) (*dynamicpb.Message, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, status.Errorf(codes.Internal, "encoding the answer of %s: %v", c.name, err)
	}
	return c.message(c.method.Output(), raw)
}

// findObject gets the metadata of the object that a request names.
func (c *call) findObject(f fields) (o restObject, err error) {
	path, err := objectPath("", f)
	if err != nil {
		return o, err
	}
	return o, c.ask(http.MethodGet, path, f.query(preconditions), nil, &o)
}

func getObject(c *call, in *dynamicpb.Message) (*dynamicpb.Message, error) {
	f, err := c.fieldsOf(in)
	if err != nil {
		return nil, err
	}
	if err := c.unknown(f, "softDeleted"); err != nil {
		return nil, err
	}
	o, err := c.findObject(f)
	if err != nil {
		return nil, err
	}
	return c.answerWith(o.resource())
}

func deleteObject(c *call, in *dynamicpb.Message) (*dynamicpb.Message, error) {
	f, err := c.fieldsOf(in)
	if err != nil {
		return nil, err
	}
	path, err := objectPath("", f)
	if err != nil {
		return nil, err
	}
	if err := c.ask(http.MethodDelete, path, f.query(preconditions), nil, nil); err != nil {
		return nil, err
	}
	return dynamicpb.NewMessage(c.method.Output()), nil
}

func listObjects(c *call, in *dynamicpb.Message) (*dynamicpb.Message, error) {
	f, err := c.fieldsOf(in)
	if err != nil {
		return nil, err
	}
	path, err := bucketPath("", f.text("parent"))
	if err != nil {
		return nil, err
	}
	var got struct {
		Items    []restObject `json:"items"`
		Prefixes []string     `json:"prefixes"`
		Next     string       `json:"nextPageToken"`
	}
	q := f.query(map[string]string{
		"pageSize": "maxResults", "pageToken": "pageToken",
		"delimiter": "delimiter", "includeTrailingDelimiter": "includeTrailingDelimiter",
		"prefix": "prefix", "versions": "versions", "lexicographicStart": "startOffset",
		"lexicographicEnd": "endOffset", "softDeleted": "softDeleted", "matchGlob": "matchGlob", "filter": "filter",
	})
	if err := c.ask(http.MethodGet, path+"/o", q, nil, &got); err != nil {
		return nil, err
	}
	objects := []any{}
	for _, o := range got.Items {
		objects = append(objects, o.resource())
	}
	return c.answerWith(map[string]any{"objects": objects, "prefixes": got.Prefixes, "nextPageToken": got.Next})
}

func getBucket(c *call, in *dynamicpb.Message) (*dynamicpb.Message, error) {
	f, err := c.fieldsOf(in)
	if err != nil {
		return nil, err
	}
	path, err := bucketPath("", f.text("name"))
	if err != nil {
		return nil, err
	}
	var b struct {
		Name           string            `json:"name"`
		Etag           string            `json:"etag"`
		ProjectNumber  string            `json:"projectNumber"`
		Metageneration string            `json:"metageneration"`
		Location       string            `json:"location"`
		LocationType   string            `json:"locationType"`
		StorageClass   string            `json:"storageClass"`
		RPO            string            `json:"rpo"`
		TimeCreated    string            `json:"timeCreated"`
		Updated        string            `json:"updated"`
		Labels         map[string]string `json:"labels"`
		Billing        map[string]bool   `json:"billing"`
		IAM            struct {
			Uniform struct {
				Enabled bool   `json:"enabled"`
				Locked  string `json:"lockedTime"`
			} `json:"uniformBucketLevelAccess"`
			Prevention string `json:"publicAccessPrevention"`
		} `json:"iamConfiguration"`
	}
	if err := c.ask(http.MethodGet, path, f.query(preconditions), nil, &b); err != nil {
		return nil, err
	}
	uniform := map[string]any{"enabled": b.IAM.Uniform.Enabled}
	if b.IAM.Uniform.Locked != "" {
		uniform["lockTime"] = b.IAM.Uniform.Locked
	}
	return c.answerWith(map[string]any{
		"name": "projects/_/buckets/" + b.Name, "bucketId": b.Name, "etag": b.Etag,
		"project": "projects/" + b.ProjectNumber, "metageneration": b.Metageneration, "location": b.Location,
		"locationType": b.LocationType, "storageClass": b.StorageClass, "rpo": b.RPO, "labels": b.Labels,
		"createTime": b.TimeCreated, "updateTime": b.Updated, "billing": b.Billing,
		"iamConfig": map[string]any{"uniformBucketLevelAccess": uniform, "publicAccessPrevention": b.IAM.Prevention},
	})
}
