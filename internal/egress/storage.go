package egress

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/taskiam/taskiam/internal/lazy"
)

const storageHost = "storage.googleapis.com"

var bucketName = lazy.Regexp(`^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$`)

// notRead refuses a request to Cloud Storage for want of a reading.
func notRead(what string) *refusal {
	return forbid("what this request to Cloud Storage is for cannot be read by this proxy: %s", what)
}

// aBucket names a bucket of a path.
func aBucket(name string) ([]named, *refusal) {
	if !bucketName().MatchString(name) {
		return nil, refuse(http.StatusBadRequest, "%q is not the name of a bucket", name)
	}
	return []named{bucket(name)}, nil
}

// readStorage reads a request to Cloud Storage, by its JSON API or its XML API.
func readStorage(q *question) ([]named, *refusal) {
	if name, ok := strings.CutSuffix(q.host, "."+storageHost); ok {
		return readObject(q, name, strings.Join(q.path, "/"))
	}
	path := q.path
	switch path[0] {
	case "resumable":
		if path = path[1:]; len(path) == 0 || path[0] != "upload" {
			return nil, notRead("it is neither of the JSON API nor of a bucket")
		}
		return readUpload(q, path[1:])
	case "upload":
		return readUpload(q, path[1:])
	case "download":
		rest, ok := jsonPath(path[1:])
		if !ok || q.Method != http.MethodGet && q.Method != http.MethodHead {
			return nil, notRead("a download of what is no object")
		}
		return readBucket(q, rest)
	case "storage":
		return readJSON(q)
	case "batch":
		return nil, forbid("a batch may carry identities and resources of its own, and is not passed on to %s", q.host)
	case "", "$discovery", "discovery", "oauth2", "rpc", "auth", "v1", "v2":
		return nil, notRead("it is neither of the JSON API nor of a bucket")
	}
	return readObject(q, path[0], strings.Join(path[1:], "/"))
}

// readJSON reads a request to the JSON API.
func readJSON(q *question) ([]named, *refusal) {
	rest, ok := jsonPath(q.path)
	switch {
	case !ok:
		return nil, notRead("it is not of v1 of the JSON API")
	case rest[0] == "b":
		return readBucket(q, rest)
	case rest[0] == "projects" && len(rest) == 3 && rest[2] == "serviceAccount" && q.Method == http.MethodGet:
		return []named{{storageHost, "projects/" + rest[1]}}, nil
	case rest[0] == "projects" && len(rest) > 2 && rest[2] == "hmacKeys":
		return nil, forbid("HMAC keys could be used outside of this sandbox")
	}
	return nil, notRead(rest[0])
}

// jsonPath returns what follows storage/v1.
func jsonPath(path []string) (rest []string, ok bool) {
	if len(path) < 3 || path[0] != "storage" || path[1] != "v1" {
		return nil, false
	}
	return path[2:], true
}

// readUpload reads an upload by the JSON API: POST /upload/storage/v1/b/BUCKET/o. What it is is in
// its first part, which cannot name another bucket.
func readUpload(q *question, path []string) ([]named, *refusal) {
	rest, ok := jsonPath(path)
	if !ok || len(rest) != 3 || rest[0] != "b" || rest[2] != "o" || q.Method != http.MethodPost {
		return nil, notRead("it is no upload of an object")
	}
	switch strings.ToLower(q.query.Get("uploadType")) {
	case "media", "multipart", "resumable":
		return aBucket(rest[1])
	}
	return nil, notRead("it is no upload of a known type")
}

// ofBuckets are the parts of a bucket in the JSON API whose requests are read, and ofObjects those
// of an object. The others, such as watch, have answers sent elsewhere.
var (
	ofBuckets = map[string]bool{
		"o": true, "iam": true, "acl": true, "defaultObjectAcl": true, "notificationConfigs": true,
		"storageLayout": true, "managedFolders": true, "folders": true, "lockRetentionPolicy": true, "operations": true,
	}
	ofObjects = map[string]bool{"acl": true, "iam": true, "compose": true, "restore": true}
)

// readBucket reads what follows storage/v1 in the path of a request to the JSON API.
func readBucket(q *question, path []string) ([]named, *refusal) {
	if path[0] != "b" {
		return nil, notRead(path[0])
	}
	if len(path) == 1 { // buckets of a project
		project := q.query["project"]
		if len(project) != 1 || q.Method != http.MethodGet && q.Method != http.MethodPost {
			return nil, notRead("buckets of no project, or of several")
		}
		return withDocument(q, []named{{storageHost, "projects/" + project[0]}})
	}
	names, why := aBucket(path[1])
	if why != nil || len(path) == 2 {
		return withDocument(q, names, why)
	}
	if !ofBuckets[path[2]] {
		return nil, notRead(path[2])
	}
	if path[2] == "o" {
		return readVerb(q, names, path)
	}
	return withDocument(q, names)
}

// readVerb reads what is done with an object.
func readVerb(q *question, names []named, path []string) ([]named, *refusal) {
	if len(path) <= 4 {
		if q.Method == http.MethodPost { // an upload has a path of its own; watch sends elsewhere
			return nil, notRead("a POST to objects")
		}
		return withDocument(q, names)
	}
	switch verb := path[4]; {
	case ofObjects[verb]:
		return withDocument(q, names)
	case (verb == "rewriteTo" || verb == "copyTo") && len(path) == 9 && path[5] == "b" && path[7] == "o":
		to, why := aBucket(path[6])
		return withDocument(q, append(names, to...), why)
	case verb == "moveTo" && len(path) == 7 && path[5] == "o":
		return withDocument(q, names)
	default:
		return nil, notRead(verb)
	}
}

// withDocument adds what the body of a request names.
func withDocument(q *question, names []named, why ...*refusal) ([]named, *refusal) {
	if len(why) > 0 && why[0] != nil {
		return nil, why[0]
	}
	doc, unread := q.document()
	if unread != nil {
		return nil, unread
	}
	return append(names, namesInside(storageHost, withoutKeys(doc))...), nil
}

// withoutKeys leaves out what a body of Cloud Storage has that names nothing that it goes to: the
// keys with which objects are encrypted.
func withoutKeys(doc any) any {
	object, ok := doc.(map[string]any)
	if !ok {
		return doc
	}
	out := map[string]any{}
	for key, v := range object {
		switch key {
		case "kmskeyname", "encryption", "name", "id", "selflink", "medialink", "sourceobjects":
		case "logging":
			if l, ok := v.(map[string]any); ok {
				if to, ok := l["logbucket"].(string); ok {
					v = "gs://" + to
				}
			}
			out[key] = v
		default:
			out[key] = v
		}
	}
	return out
}

// readObject reads a request to the XML API, where the path or the host names the bucket.
func readObject(q *question, name, object string) ([]named, *refusal) {
	names, why := aBucket(name)
	if why != nil {
		return nil, why
	}
	switch q.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodPut, http.MethodPost, http.MethodDelete:
		if object == "" {
			return nil, notRead("the XML API changes a bucket: use the JSON API")
		}
	default:
		return nil, notRead("the XML API has no " + q.Method)
	}
	if sources, copies := q.Header["X-Goog-Copy-Source"]; copies {
		source, err := url.PathUnescape(sources[0])
		from, _, _ := strings.Cut(strings.TrimPrefix(source, "/"), "/")
		if err != nil || len(sources) != 1 || !bucketName().MatchString(from) {
			return nil, refuse(http.StatusBadRequest, "x-goog-copy-source names no object")
		}
		names = append(names, bucket(from))
	}
	return names, nil
}
